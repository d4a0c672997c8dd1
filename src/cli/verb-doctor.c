/* muster doctor: is this station fit, and if not, what must be done. */
#include <stdarg.h>

#include "muster/json.h"
#include "muster/text.h"

#include "doctor.h"
#include "login-options.h"
#include "socket-options.h"

/* clang-format off */
static const struct option_row rows[] = {
	{ 0, "token", NULL, OPTION_TEXT, "URI", "Also check the module of this PKCS#11 token",
	  offsetof(struct doctor_options, token), "MUSTER_TOKEN", NULL, 0 },
	{ 0, "login-file", NULL, OPTION_TEXT, "FILE", "DPS connection string to check",
	  offsetof(struct doctor_options, login_file), "MUSTER_LOGIN_FILE", NULL, 0 },
	{ 0, "ca-file", NULL, OPTION_TEXT, "FILE", "Roots to check instead of the system's",
	  offsetof(struct doctor_options, network.ca_file), "MUSTER_CA_FILE", NULL, 0 },
	PROXY_ROWS(struct doctor_options, network),
	{ 'j', "journal", NULL, OPTION_TEXT, "FILE", "Journal to check",
	  offsetof(struct doctor_options, journal), "MUSTER_JOURNAL", NULL, 0 },
	SOCKET_MAP_ROW(struct doctor_options, socket_map),
	{ 0 },
};
/* clang-format on */

static const struct doctor_check checks[] = {
	{ "environment", doctor_environment },
	{ "memory", doctor_memory },
	{ "core dumps", doctor_core },
	{ "clock", doctor_clock },
	{ "configuration", doctor_configuration },
	{ "journal", doctor_journal },
	{ "state", doctor_state },
	{ "hooks", doctor_hooks },
	{ "workers", doctor_workers },
	{ "sandbox", doctor_sandbox },
	{ "TPM devices", doctor_tpm_devices },
	{ "sockets", doctor_sockets },
	{ "udev", doctor_udev },
	{ "PKCS#11 modules", doctor_modules },
	{ "TLS roots", doctor_roots },
	{ "proxy", doctor_proxy },
	{ "DPS login", doctor_login },
};

static const struct column columns[] = {
	{ "check", "CHECK", false, false },
	{ "verdict", "VERDICT", false, false },
	{ "seen", "SEEN", false, true },
	{ "remedy", "TRY", false, true },
};

static void add(struct doctor *doctor, enum verdict verdict, const char *seen, const char *remedy)
{
	static const char *const words[] = { "ok", "warn", "fail" };
	cJSON *object = cJSON_CreateObject();

	doctor->failures += verdict == VERDICT_FAIL;
	if (!object || !cJSON_AddItemToArray(doctor->findings, object) ||
	    !json_add_text(object, "check", doctor->check) ||
	    !json_add_text(object, "verdict", words[verdict]) ||
	    !json_add_text(object, "seen", seen) || !json_add_text(object, "remedy", remedy))
		doctor->is_out_of_memory = true;
}

void doctor_find(struct doctor *doctor, enum verdict verdict, const char *remedy,
		 const char *format, ...)
{
	char seen[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(seen, sizeof(seen), format, arguments);
	va_end(arguments);
	add(doctor, verdict, seen, remedy);
}

void doctor_find_error(struct doctor *doctor, enum verdict verdict, const struct muster_error *err)
{
	const struct muster_cause_info *info = muster_cause_find(err->cause);

	add(doctor, verdict, err->message, info ? info->remedy : NULL);
}

static void examine(struct doctor *doctor)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		doctor->check = checks[i].name;
		checks[i].look(doctor);
	}
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *findings = cJSON_CreateArray();
	struct doctor doctor = { .options = *(const struct doctor_options *)call->options,
				 .findings = findings };

	if (!findings)
		return muster_fail_memory(err);
	examine(&doctor);
	config_done(&doctor.config);
	if (doctor.is_out_of_memory)
		return muster_fail_memory(err);
	if (!result_print(call, findings, err))
		return false;
	return doctor.failures == 0 ||
	       muster_fail(err, CAUSE_STATION_UNFIT, "%zu of %d checks failed", doctor.failures,
			   cJSON_GetArraySize(findings));
}

const struct verb verb_doctor = {
	.name = "doctor",
	.summary = "Check this station and name the remedies",
	.description =
		"Looks at what provisioning needs on this machine. It changes nothing, talks to no TPM,\n"
		"no token and no network. The exit status is 4 when something must be mended.",
	.options = rows,
	.options_size = sizeof(struct doctor_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run,
};
