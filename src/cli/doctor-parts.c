/* The doctor on what muster needs: configuration, journal, workers, modules, roots, login. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "muster/dps.h"
#include "muster/file.h"
#include "muster/journal.h"
#include "muster/process.h"
#include "muster/profile-sockets.h"
#include "muster/station-attached.h"
#include "muster/station-hooks.h"
#include "muster/station.h"
#include "muster/text.h"

#include "doctor.h"
#include "login-options.h"
#include "outage.h"
#include "report.h"

#define ROOTS_MAX (4 * 1024 * 1024)

static void fill_from_config(struct doctor *doctor)
{
	struct doctor_options *options = &doctor->options;
	struct login_options login = { .network = options->network };

	login_options_complete(&login, &doctor->config);
	options->network = login.network;
	if (!options->journal)
		options->journal = doctor->config.journal;
}

void doctor_configuration(struct doctor *doctor)
{
	CLEANUP(text_done) struct text paths = TEXT_MAX(8192);
	struct dps_rate rate;
	int64_t patience_ms;
	struct muster_error err = { 0 };

	if (!report_config_load(&doctor->config, &err)) {
		doctor_find_error(doctor, VERDICT_FAIL, &err);
		return;
	}
	fill_from_config(doctor);
	if (!login_rate(getenv("MUSTER_RATE"), &rate, &err) ||
	    !outage_patience(getenv("MUSTER_PATIENCE"), &patience_ms, &err)) {
		doctor_find(doctor, VERDICT_FAIL, "Set the variable otherwise, or not at all.",
			    "%s", err.message);
		return;
	}
	for (size_t i = 0; i < doctor->config.paths.count; i++)
		text_addf(&paths, "%s%s", i > 0 ? ", " : "", doctor->config.paths.items[i]);
	doctor_find(doctor, VERDICT_OK, NULL, "%s",
		    paths.length > 0 ? paths.data : "no configuration file");
}

/* -- Journal ---------------------------------------------------------------------------------------------- */

/* Where there is nothing yet: the nearest directory that exists must let it be made. */
static void look_at_place(struct doctor *doctor, const char *path, const char *remedy)
{
	CLEANUP(freep) char *place = strdup(path);
	char *slash = place ? strrchr(place, '/') : NULL;

	for (; slash; slash = strrchr(place, '/')) {
		slash[slash == place] = '\0'; /* the root stays */
		if (slash == place || access(place, F_OK) == 0)
			break;
	}
	if (slash && access(place, W_OK | X_OK) != 0)
		doctor_find(doctor, VERDICT_FAIL, remedy, "'%s' cannot be made: '%s': %s",
			    PRINTABLE(path), PRINTABLE(place), strerror(errno));
	else
		doctor_find(doctor, VERDICT_OK, NULL, "'%s' will be made", PRINTABLE(path));
}

void doctor_journal(struct doctor *doctor)
{
	CLEANUP(freep) char *standard = journal_default_path();
	CLEANUP(journal_freep) struct journal *journal = NULL;
	const char *path = doctor->options.journal ? doctor->options.journal : standard;
	struct journal_head head = { 0 };
	struct muster_error err = { 0 };
	size_t devices = 0;

	if (!path) {
		doctor_find(doctor, VERDICT_FAIL, "Pass --journal FILE.", "no home directory");
		return;
	}
	if (!journal_check_space(path, 100, &err))
		doctor_find_error(doctor, VERDICT_FAIL, &err);
	if (access(path, F_OK) < 0) {
		look_at_place(doctor, path, "Give yourself the directory, or pass --journal.");
		return;
	}
	if (!journal_open(path, JOURNAL_READ, &journal, &err) ||
	    !journal_verify_chain(journal, NULL, NULL, &head, &err) ||
	    !journal_verify_devices(journal, &devices, &err))
		doctor_find_error(doctor, VERDICT_FAIL, &err);
	else if (access(path, W_OK) < 0)
		doctor_find(doctor, VERDICT_FAIL, "Check owner and mode.", "'%s': %s",
			    PRINTABLE(path), strerror(errno));
	else
		doctor_find(doctor, VERDICT_OK, NULL, "'%s': %lld entries, %zu device%s, all hold",
			    PRINTABLE(path), (long long)head.seq, devices, devices == 1 ? "" : "s");
}

/* -- What is remembered ---------------------------------------------------------------------------------- */

void doctor_state(struct doctor *doctor)
{
	static const char remedy[] = "Give yourself the directory, or set XDG_STATE_HOME.";
	CLEANUP(freep) char *path = NULL;
	struct muster_error err = { 0 };

	if (!directory_state_find("refused PINs and the rate budget", &path, &err))
		doctor_find_error(doctor, VERDICT_FAIL, &err);
	else if (access(path, F_OK) < 0)
		look_at_place(doctor, path, remedy);
	else if (access(path, W_OK | X_OK) < 0)
		doctor_find(doctor, VERDICT_FAIL, remedy, "'%s': %s", PRINTABLE(path),
			    strerror(errno));
	else
		doctor_find(doctor, VERDICT_OK, NULL, "'%s'", PRINTABLE(path));
}

/* -- Hooks ------------------------------------------------------------------------------------------------ */

void doctor_hooks(struct doctor *doctor)
{
	CLEANUP(freep) char *standard = journal_default_path();
	const char *path = doctor->options.journal ? doctor->options.journal : standard;
	struct hooks_backlog backlog = { 0 };
	struct muster_error err = { 0 };
	size_t owed = 0;

	if (!hooks_check(&doctor->config, &err) || !hooks_check_places(&doctor->config, &err))
		doctor_find(doctor, VERDICT_FAIL,
			    "Mend muster.yaml, or what it names; muster-hook(1) has the form.",
			    "%s", err.message);
	else if (path &&
		 (!hooks_backlog(path, &backlog, &err) || !hooks_count_owed(path, &owed, &err)))
		doctor_find_error(doctor, VERDICT_WARN, &err);
	else if (owed > 0)
		doctor_find(
			doctor, VERDICT_WARN,
			"Let muster hook deliver make up for them; where it cannot, look at the "
			"folder hooks beside the journal.",
			"%zu events are owed to hooks: their run was cut off, or their folder "
			"took none",
			owed);
	else if (backlog.hooks[0])
		doctor_find(
			doctor, VERDICT_WARN,
			"Look at them with muster hook list; mend the hook, then muster hook deliver or "
			"retry.",
			"%zu events wait and %zu are set aside, which hooks (%s) did not take",
			backlog.waiting, backlog.set_aside, backlog.hooks);
	else
		doctor_find(doctor, VERDICT_OK, NULL, "%zu configured, none has failed",
			    doctor->config.hook_count);
}

/* -- Sockets ---------------------------------------------------------------------------------------------- */

void doctor_sockets(struct doctor *doctor)
{
	CLEANUP(socket_map_done) struct socket_map map = { 0 };
	const char *file = socket_map_file(doctor->options.socket_map);
	struct muster_error err = { 0 };

	if (!socket_map_read(file, &map, &err))
		doctor_find_error(doctor, VERDICT_FAIL, &err);
	else if (!map.is_there)
		doctor_find(doctor, VERDICT_OK, NULL, "no map of sockets");
	else
		doctor_find(doctor, VERDICT_OK, NULL, "'%s': %zu socket%s", PRINTABLE(file),
			    map.count, map.count == 1 ? "" : "s");
}

void doctor_udev(struct doctor *doctor)
{
	CLEANUP(udev_rules_done) struct udev_rules rules = { 0 };
	struct muster_error err = { 0 };

	if (!udev_rules_find(NULL, &rules, &err))
		doctor_find_error(doctor, VERDICT_WARN, &err);
	else if (!rules.file)
		doctor_find(doctor, VERDICT_OK, NULL, "muster's rules are not installed");
	else if (!rules.has_udevd)
		doctor_find(doctor, VERDICT_WARN,
			    "Start systemd-udevd; where that cannot run, name TPMs with --tpm.",
			    "'%s' is there, and no udevd that would run it", rules.file);
	else if (rules.missed > 0)
		doctor_find(doctor, VERDICT_WARN,
			    "sudo udevadm control --reload && sudo udevadm trigger "
			    "--subsystem-match=tpmrm",
			    "'%s' was not run for %zu of %zu TPMs, the first is '%s'", rules.file,
			    rules.missed, rules.tpms, PRINTABLE(rules.first));
	else
		doctor_find(doctor, VERDICT_OK, NULL, "'%s', run for %zu TPM%s", rules.file,
			    rules.tpms, rules.tpms == 1 ? "" : "s");
}

/* -- Workers ---------------------------------------------------------------------------------------------- */

void doctor_workers(struct doctor *doctor)
{
	static const char *const programs[] = { "muster-tpm-worker", "muster-hsm-worker" };

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		struct muster_error err = { 0 };

		if (station_worker_check(programs[i], &err))
			doctor_find(doctor, VERDICT_OK, NULL, "%s answers", programs[i]);
		else
			doctor_find_error(doctor, VERDICT_FAIL, &err);
	}
}

static bool is_whole(const char *words)
{
	return strstr(words, "seccomp") && strstr(words, "Landlock") &&
	       (!text_has_prefix(words, "socket:") || strstr(words, "own root and network"));
}

void doctor_sandbox(struct doctor *doctor)
{
	/* One of each kind; neither is opened. */
	static const char *const kinds[] = { "device:/dev/null", "swtpm:path=/tmp/none" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char words[STATION_SANDBOX_SIZE];
		struct muster_error err = { 0 };

		if (!station_sandbox_check(kinds[i], words, &err))
			doctor_find_error(doctor, VERDICT_FAIL, &err);
		else
			doctor_find(doctor, is_whole(words) ? VERDICT_OK : VERDICT_WARN,
				    is_whole(words)
					    ? NULL
					    : "Use a kernel with Landlock and user name spaces "
					      "(user.max_user_namespaces), and a build for use.",
				    "TPM worker, %s", words);
	}
}

/* -- Modules ---------------------------------------------------------------------------------------------- */

static void look_at_token(struct doctor *doctor)
{
	CLEANUP(station_module_done) struct station_module module = { 0 };
	struct muster_error err = { 0 };

	if (station_module_find(doctor->options.token, &module, &err))
		doctor_find(doctor, VERDICT_OK, NULL, "'%s' for the token", PRINTABLE(module.path));
	else
		doctor_find_error(doctor, VERDICT_FAIL, &err);
}

void doctor_modules(struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->config.module_count; i++) {
		const struct config_module *module = &doctor->config.modules[i];
		struct muster_error err = { 0 };

		if (file_check_trusted(module->path, &err))
			doctor_find(doctor, VERDICT_OK, NULL, "%s: '%s'", PRINTABLE(module->name),
				    PRINTABLE(module->path));
		else
			doctor_find_error(doctor, VERDICT_FAIL, &err);
	}
	if (doctor->options.token)
		look_at_token(doctor);
	else if (doctor->config.module_count == 0)
		doctor_find(doctor, VERDICT_OK, NULL, "none configured");
}

/* -- Roots and login -------------------------------------------------------------------------------------- */

void doctor_roots(struct doctor *doctor)
{
	CLEANUP(bytes_done) struct bytes roots = { 0 };
	const char *variable = getenv("SSL_CERT_FILE");
	const char *path = doctor->options.network.ca_file ? doctor->options.network.ca_file
			   : variable && *variable         ? variable
							   : "/etc/ssl/certs/ca-certificates.crt";
	struct muster_error err = { 0 };

	/* The system's own are read as they are, as commands do. */
	if (!(doctor->options.network.ca_file ? file_read_owned : file_read)(path, ROOTS_MAX,
									     &roots, &err))
		doctor_find_error(doctor, VERDICT_FAIL, &err);
	else if (!strstr((const char *)roots.data, "-----BEGIN CERTIFICATE-----"))
		doctor_find(doctor, VERDICT_FAIL, "Install ca-certificates, or check --ca-file.",
			    "'%s' holds no certificate", PRINTABLE(path));
	else
		doctor_find(doctor, VERDICT_OK, NULL, "'%s'", PRINTABLE(path));
}

static void look_at_no_proxy(struct doctor *doctor)
{
	if (process_removed_proxy())
		doctor_find(
			doctor, VERDICT_WARN,
			"If servers are reached through it only, name it by --proxy, or as proxy in "
			"muster.yaml.",
			"none is used, also not the one of the environment's %s",
			process_removed_proxy());
	else
		doctor_find(doctor, VERDICT_OK, NULL, "none; servers are reached directly");
}

/* It is not asked. */
void doctor_proxy(struct doctor *doctor)
{
	struct http_terms terms = doctor->options.network;
	CLEANUP(http_freep) struct http *http = NULL;
	struct muster_error err = { 0 };

	if (!terms.proxy || strcmp(terms.proxy, "none") == 0) {
		look_at_no_proxy(doctor);
		return;
	}
	terms.ca_file = NULL;
	if (terms.proxy_login && !secret_source_is_file(terms.proxy_login))
		terms.proxy_login = NULL;
	http = http_new(&terms, &err);
	if (!http)
		doctor_find_error(doctor, VERDICT_FAIL, &err);
	else
		doctor_find(doctor, VERDICT_OK, NULL, "'%s'%s%s", PRINTABLE(terms.proxy),
			    terms.no_proxy ? ", but not to " : "",
			    PRINTABLE(terms.no_proxy ? terms.no_proxy : ""));
}

static void look_at_login_file(struct doctor *doctor, const char *source)
{
	CLEANUP(dps_login_done) struct dps_login login = { 0 };
	struct muster_error err = { 0 };

	if (!dps_login_read_source(&login, source, &err))
		doctor_find_error(doctor, VERDICT_FAIL, &err);
	else
		doctor_find(doctor, VERDICT_OK, NULL, "policy '%s' at '%s'",
			    PRINTABLE(login.policy), PRINTABLE(login.host));
}

/* Reads the files that a sign-in needs. */
static void look_at_sign_in(struct doctor *doctor, const struct login_options *login)
{
	CLEANUP(dps_credential_freep) struct dps_credential *credential = NULL;
	struct muster_error err = { 0 };

	if (!login_credential_new(login, &credential, &err))
		doctor_find_error(doctor, VERDICT_FAIL, &err);
	else
		doctor_find(doctor, VERDICT_OK, NULL, "service '%s', signing in by %s",
			    PRINTABLE(login->dps_name), dps_sign_in_names[login_sign_in(login)]);
}

/* A person is not asked here, a descriptor not read, a token not opened. */
static const char *find_unread(const struct login_options *login)
{
	const char *const sources[] = { login->login_file, login->client_secret_file,
					login->client_certificate, login->client_key };

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (sources[i] &&
		    (!secret_source_is_file(sources[i]) || text_has_prefix(sources[i], "pkcs11:")))
			return sources[i];
	return NULL;
}

void doctor_login(struct doctor *doctor)
{
	struct login_options login = { .login_file = doctor->options.login_file };

	login_options_complete(&login, &doctor->config);
	if (find_unread(&login))
		doctor_find(doctor, VERDICT_OK, NULL, "'%s' is opened when it is needed",
			    PRINTABLE(find_unread(&login)));
	else if (login.login_file)
		look_at_login_file(doctor, login.login_file);
	else if (login.dps_name)
		look_at_sign_in(doctor, &login);
	else
		doctor_find(doctor, VERDICT_WARN,
			    "Put the connection string into a file of mode 0600 and name it with "
			    "--login-file, or see muster-login(7).",
			    "nothing says how to log in");
}
