/* muster config show: what holds here, and where each setting came from. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "muster/dps-budget.h"
#include "muster/file.h"
#include "muster/journal.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/station-hooks.h"
#include "muster/token-uri.h"

#include "login-options.h"
#include "outage.h"
#include "report.h"
#include "socket-options.h"

#define SYSTEM_CONFIG "/etc/muster/muster.yaml"

struct config_options {
	struct login_options login;
	const char *id_scope;
	const char *journal;
	const char *out;
	const char *operator_name;
	const char *device_endpoint;
	const char *profile;
	const char *tpm;
	const char *token;
	const char *pin_file;
	const char *socket_map;
};

/* clang-format off */
static const struct option_row rows[] = {
	LOGIN_ROWS_LETTERED(0, 0, 0, struct config_options, login),
	{ 0, "id-scope", NULL, OPTION_TEXT, "SCOPE", "ID scope of the DPS",
	  offsetof(struct config_options, id_scope), "MUSTER_ID_SCOPE", NULL, 0 },
	{ 'j', "journal", NULL, OPTION_TEXT, "FILE", "Journal of this station",
	  offsetof(struct config_options, journal), "MUSTER_JOURNAL", NULL, 0 },
	{ 0, "out", NULL, OPTION_TEXT, "DIR", "Where evidence and key files go",
	  offsetof(struct config_options, out), "MUSTER_OUT", NULL, 0 },
	{ 0, "operator", NULL, OPTION_TEXT, "NAME", "Who is working here",
	  offsetof(struct config_options, operator_name), "MUSTER_OPERATOR", NULL, 0 },
	{ 0, "device-endpoint", NULL, OPTION_TEXT, "HOST", "Where devices register, HOST[:PORT]",
	  offsetof(struct config_options, device_endpoint), "MUSTER_DEVICE_ENDPOINT", NULL, 0 },
	{ 'p', "profile", NULL, OPTION_TEXT, "FILE", "Profile of the devices",
	  offsetof(struct config_options, profile), "MUSTER_PROFILE", NULL, 0 },
	{ 'T', "tpm", "tcti", OPTION_TEXT, "TCTI", "The device's TPM",
	  offsetof(struct config_options, tpm), "MUSTER_TPM", NULL, 0 },
	{ 0, "token", NULL, OPTION_TEXT, "URI", "PKCS#11 token",
	  offsetof(struct config_options, token), "MUSTER_TOKEN", NULL, 0 },
	{ 0, "pin-file", NULL, OPTION_TEXT, "FILE", "The token's user PIN, in a file of mode 0600",
	  offsetof(struct config_options, pin_file), "MUSTER_PIN_FILE", NULL, 0 },
	SOCKET_MAP_ROW(struct config_options, socket_map),
	RATE_ROW(struct config_options, login),
	PATIENCE_ROW(struct config_options, login),
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "setting", "SETTING", false, false },
	{ "value", "VALUE", false, false },
	{ "origin", "ORIGIN", false, false },
	{ "place", "PLACE", false, false },
};

/* A setting as it will be shown. */
struct setting {
	const char *value;
	const char *
		origin; /* "option", "environment", "profile", "system file", "user file", "file", "default" or "unset" */
	const char *place; /* option, variable or file; or NULL */
	char option[80];
};

static const char *file_origin(const char *path)
{
	if (strcmp(path, SYSTEM_CONFIG) == 0)
		return "system file";
	return getenv("MUSTER_CONFIG") ? "file" : "user file";
}

/* ONE_OF points to the choice, TEXT to the variable itself. */
static bool is_from_environment(const struct option_row *row, const char *value)
{
	const char *variable = row->environment ? getenv(row->environment) : NULL;

	return variable &&
	       (value == variable || (row->kind == OPTION_ONE_OF && strcmp(value, variable) == 0));
}

/* What the station's other verbs fall back to. */
struct fallbacks {
	char *journal, *out; /* NULL: there is no home directory */
	const char *user;
	char rate[12];
};

static void fallbacks_done(struct fallbacks *fallbacks)
{
	free(fallbacks->journal);
	free(fallbacks->out);
}

static bool find_fallbacks(const struct config_options *options, const struct config *config,
			   struct fallbacks *ret_fallbacks, struct muster_error *err)
{
	CLEANUP(freep) char *journal = NULL;
	const struct passwd *user = getpwuid(getuid());

	snprintf(ret_fallbacks->rate, sizeof(ret_fallbacks->rate), "%d", DPS_BUDGET_QUOTA);
	ret_fallbacks->journal = journal_default_path();
	ret_fallbacks->user = user ? user->pw_name : "unknown";
	if (!journal_path_choose(options->journal, config->journal, &journal, err))
		return err->cause == CAUSE_JOURNAL_UNSET;
	ret_fallbacks->out = file_beside(journal, "evidence");
	return ret_fallbacks->out || muster_fail_memory(err);
}

static const char *default_of(const struct option_row *row, const struct login_options *login,
			      const struct dps_endpoints *endpoints,
			      const struct fallbacks *fallbacks)
{
	const struct {
		const char *option, *value;
	} defaults[] = {
		{ "auth-type", "key" },
		{ "proxy", "none" },
		{ "sign-in", dps_sign_in_names[login_sign_in(login)] },
		{ "authority-host", endpoints->authority },
		{ "management-endpoint", endpoints->management },
		{ "metadata-endpoint", endpoints->metadata },
		{ "dps-suffix", endpoints->suffix },
		{ "dps-resource", endpoints->resource },
		{ "journal", fallbacks->journal },
		{ "out", fallbacks->out },
		{ "operator", fallbacks->user },
		{ "socket-map", SOCKETS_FILE },
		{ "rate", fallbacks->rate },
		{ "patience", OUTAGE_PATIENCE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		if (strcmp(defaults[i].option, row->name) == 0)
			return defaults[i].value;
	return NULL;
}

/* What the profile that was named says of what an option says, too. NULL: nothing. */
static const char *profile_text(const struct profile *profile, const struct option_row *row)
{
	if (row->offset == offsetof(struct config_options, id_scope))
		return profile->id_scope;
	if (row->offset == offsetof(struct config_options, device_endpoint))
		return profile->device_endpoint;
	return NULL;
}

/* What stands on the line or in the environment holds, then the files, then the default. `given` is NULL where a way to
 * log in was dropped for another. */
static void find_setting(const struct option_row *row, const char *given, const char *configured,
			 const char *path, const char *fallback, struct setting *setting)
{
	*setting = (struct setting){ .origin = "unset" };
	if (given) {
		bool is_variable = is_from_environment(row, given);

		snprintf(setting->option, sizeof(setting->option), "--%s", row->name);
		setting->value = row->flags & OPTION_SECRET ? "***" : given;
		setting->origin = is_variable ? "environment" : "option";
		setting->place = is_variable ? row->environment : setting->option;
	} else if (configured) {
		setting->value = configured;
		setting->origin = file_origin(path);
		setting->place = path;
	} else if (fallback) {
		setting->value = fallback;
		setting->origin = "default";
	}
}

/* -- What is not shown ------------------------------------------------------------------------------------------------ */

/* Settings that say where a secret is, and may hold it instead by mistake. */
static const char *const sources[] = { "loginFile",        "proxyLoginFile",
				       "clientSecretFile", "clientCertificate",
				       "clientKey",        "federatedTokenFile",
				       "pinFile" };

/* A name without a folder, or one as long as secrets are; what is there is a file. */
static bool is_no_source(const char *value)
{
	enum { LONG_NAME = 16 };
	const char *slash = strrchr(value, '/');

	return secret_source_is_file(value) && (!slash || strlen(slash + 1) >= LONG_NAME) &&
	       access(value, F_OK) != 0 && errno == ENOENT;
}

static bool is_pkcs11(const char *value)
{
	return strncasecmp(value, "pkcs11:", 7) == 0;
}

/* A URI that is taken carries no PIN. */
static bool is_token_uri(const char *value)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 };
	struct muster_error ignored;

	return token_uri_parse(value, &uri, &ignored);
}

/* USER:PASSWORD@HOST, in a URL or as a proxy. */
static bool has_login(const char *key, const char *value)
{
	const char *scheme = strstr(value, "://");
	const char *authority = scheme ? scheme + 3 : value;
	size_t length = strcspn(authority, "/?#");
	const char *at = memrchr(authority, '@', length);

	if (!scheme && strcmp(key, "proxy") != 0)
		return false;
	return at && memchr(authority, ':', (size_t)(at - authority));
}

static bool may_be_secret(const char *key, const char *value)
{
	if (text_may_be_secret(value) || has_login(key, value))
		return true;
	if (strcmp(key, "token") == 0 || is_pkcs11(value))
		return !is_token_uri(value);
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (strcmp(key, sources[i]) == 0)
			return is_no_source(value);
	return false;
}

static bool add_value(cJSON *object, const char *key, const char *value)
{
	char described[64];

	if (value && may_be_secret(key, value)) {
		snprintf(described, sizeof(described), "(%zu characters that may be a secret)",
			 strlen(value));
		value = described;
	}
	return json_add_text(object, "value", value);
}

static bool add_setting(cJSON *array, const char *key, const struct setting *setting)
{
	cJSON *object = cJSON_CreateObject();

	return object && cJSON_AddItemToArray(array, object) &&
	       json_add_text(object, "setting", key) && add_value(object, key, setting->value) &&
	       json_add_text(object, "origin", setting->origin) &&
	       json_add_text(object, "place", setting->place);
}

/* What no option says. */
static bool add_configured(cJSON *array, const char *key, const char *value, const char *path)
{
	const struct setting setting = {
		.value = value,
		.origin = path    ? file_origin(path)
			  : value ? "default"
				  : "unset",
		.place = path,
	};

	return add_setting(array, key, &setting);
}

/* One of a map's entries, by what is told of it. */
static bool add_entry(cJSON *array, const struct config *config, const char *map, const char *name,
		      const char *value)
{
	CLEANUP(freep) char *key = text_format("%s.%s", map, name);
	char unused[CONFIG_NUMBER_SIZE];
	const char *path;

	if (!key)
		return false;
	(void)config_setting(config, key, unused, &path);
	return add_configured(array, key, value, path);
}

/* Not where it is: the address of a webhook may hold a secret. */
static const char *receiver_of(const struct config_hook *hook)
{
	return hook->webhook ? "webhook" : hook->folder ? "folder" : "command";
}

static bool add_maps(cJSON *array, const struct config *config)
{
	for (size_t i = 0; i < config->module_count; i++)
		if (!add_entry(array, config, "modules", config->modules[i].name,
			       config->modules[i].path))
			return false;
	for (size_t i = 0; i < config->ek_service_count; i++)
		if (!add_entry(array, config, "ekCertificateServices", config->ek_services[i].name,
			       config->ek_services[i].url))
			return false;
	for (size_t i = 0; i < config->hook_count; i++)
		if (!add_entry(array, config, "hooks", config->hooks[i].name,
			       receiver_of(&config->hooks[i])))
			return false;
	return true;
}

static bool add_station(cJSON *array, const struct config *config)
{
	static const char *const keys[] = { "ekCertificateCache",       "tpmNetwork",
					    "tpmDeadlines.command",     "tpmDeadlines.activation",
					    "tpmDeadlines.keyCreation", "approvals.needed",
					    "approvals.approvers",      "approvals.requesters",
					    "approvals.stations" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		char room[CONFIG_NUMBER_SIZE];
		const char *path, *value = config_setting(config, keys[i], room, &path);

		if (!add_configured(array, keys[i], value, path))
			return false;
	}
	return add_maps(array, config);
}

static bool add_all(cJSON *array, const struct config_options *options,
		    const struct login_options *complete, const struct config *config,
		    const struct profile *profile, const struct dps_endpoints *endpoints,
		    const struct fallbacks *fallbacks)
{
	for (const struct option_row *row = rows; row->name; row++) {
		const char *given =
			*(const char *const *)(const void *)((const char *)options + row->offset);
		char key[CONFIG_KEY_SIZE];
		const char *path = NULL, *configured;
		struct setting setting;

		configured = config_text(config, config_key(key, row->name), &path);
		/* A file's way to log in gives way to one that was given. */
		if ((strcmp(key, "loginFile") == 0 && !complete->login_file) ||
		    (strcmp(key, "dpsName") == 0 && !complete->dps_name))
			configured = NULL;
		find_setting(row, given, configured, path,
			     default_of(row, complete, endpoints, fallbacks), &setting);
		if (!given && profile_text(profile, row))
			setting = (struct setting){ .value = profile_text(profile, row),
						    .origin = "profile",
						    .place = options->profile };
		if (!add_setting(array, key, &setting))
			return false;
	}
	return add_station(array, config);
}

/* What no command would take does not hold. */
static bool check(const struct login_options *login, const struct config *config,
		  struct muster_error *err)
{
	struct dps_rate rate;
	int64_t patience_ms;

	return http_terms_check(&login->network, err) && login_rate(login->rate, &rate, err) &&
	       outage_patience(login->patience, &patience_ms, err) && hooks_check_form(config, err);
}

/* One that nobody named on the line keeps nothing else from being shown. */
static bool load_profile(const char *path, struct profile *ret_profile, struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	bool is_loaded = !path || profile_load(path, ret_profile, &report, err);

	report_print(&report);
	if (is_loaded || path != getenv("MUSTER_PROFILE"))
		return is_loaded;
	log_warning("MUSTER_PROFILE: %s, going on", err->message);
	profile_done(ret_profile);
	return true;
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(profile_done) struct profile profile = { 0 };
	CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(fallbacks_done) struct fallbacks fallbacks = { 0 };
	struct config_options options = *(const struct config_options *)call->options;
	struct login_options complete = options.login;
	struct dps_endpoints endpoints;

	if (!report_config_load(&config, err) || !load_profile(options.profile, &profile, err))
		return false;
	(void)login_options_choose(&options.login);
	login_options_complete(&complete, &config);
	endpoints = complete.endpoints;
	if (!dps_endpoints_complete(&endpoints, err) || !check(&complete, &config, err) ||
	    !find_fallbacks(&options, &config, &fallbacks, err))
		return false;
	if (!array ||
	    !add_all(array, &options, &complete, &config, &profile, &endpoints, &fallbacks))
		return muster_fail_memory(err);
	return result_print(call, array, err);
}

const struct verb verb_config_show = {
	.noun = "config",
	.name = "show",
	.summary = "Show what holds here and where it came from",
	.description =
		"Lists every setting with its value and where that came from: option, environment\n"
		"variable, profile, user file, system file or default. Secrets, and what may be one, are\n"
		"not shown. With the options of another command it says what would hold there. It sends\n"
		"nothing.",
	.options = rows,
	.options_size = sizeof(struct config_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run,
};
