/* muster retire: a device that was released ends, and its serial is free for what replaces it. */
#include <string.h>

#include "muster/json.h"
#include "muster/station-retire.h"
#include "muster/text.h"

#include "journal.h"
#include "login-options.h"

struct retire_options {
	const char *journal;
	int by;
	struct station_retirement terms;
	struct login_options login;
};

/* clang-format off */
static const struct option_row rows[] = {
	{ 0, "reason", NULL, OPTION_TEXT, "TEXT", "Why; a case number belongs here. Must be given",
	  offsetof(struct retire_options, terms.reason), NULL, NULL, 0 },
	{ 0, "disable", NULL, OPTION_FLAG, NULL, "Keep the enrollment, disabled; only the registration record goes",
	  offsetof(struct retire_options, terms.keeps_disabled), NULL, NULL, 0 },
	{ 0, "force", NULL, OPTION_FLAG, NULL, "Also when others wrote the enrollment, or it is gone; another board's or service's is left as it is",
	  offsetof(struct retire_options, terms.force), NULL, NULL, 0 },
	BY_ROW(struct retire_options, by),
	JOURNAL_ROW(struct retire_options),
	OPERATOR_ROW(struct retire_options, terms.operator_name),
	LOGIN_ROWS_LETTERED(0, 0, 0, struct retire_options, login),
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "registrationId", "REGISTRATION ID", false, false },
	{ "serial", "SERIAL", false, false },
	{ "attestation", "ATTESTATION", false, false },
	{ "state", "STATE", false, false },
	{ "operator", "OPERATOR", false, false },
	{ "updated", "UPDATED", false, false },
};

static bool print(const struct invocation *call, struct journal *journal,
		  const char *registration_id, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	bool found;

	if (!journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, registration_id, &device,
				 &found, err))
		return false;
	object = journal_device_json(&device);
	return object ? result_print(call, object, err) : muster_fail_memory(err);
}

/* The one kind of key that is not freed. */
static void tell_of_key(const struct invocation *call, const struct journal_device *device)
{
	if (!call->is_quiet && device->attestation &&
	    strcmp(device->attestation, "symmetricKey") == 0)
		fprintf(stderr,
			"muster: the key of '%s' follows from that ID and the master: another board that is "
			"enrolled under it gets the same\n",
			PRINTABLE(device->registration_id));
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct retire_options *options = call->options;
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	CLEANUP(service_done) struct service service = { 0 };
	struct station_retired end;

	if (!options->terms.reason || text_is_blank(options->terms.reason))
		return muster_fail(err, CAUSE_USAGE, "'muster retire' needs --reason TEXT");
	if (!journal_verb_open_to_write(options->journal, &journal, err) ||
	    !journal_verb_find(journal, options->by, call->operands[0], &device, err) ||
	    !service_open(&options->login, &service, err) ||
	    !station_retire(journal, &device, &options->terms, service.client, &end, err))
		return false;
	if (end.before && !call->is_quiet)
		fprintf(stderr, "muster: enrollment '%s' was %s until now and is %s\n",
			PRINTABLE(device.registration_id), end.before, end.now);
	tell_of_key(call, &device);
	return print(call, journal, device.registration_id, err);
}

const struct verb verb_retire = {
	.name = "retire",
	.operands = "DEVICE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "End a device: its enrollment goes, and its serial is free again",
	.description =
		"For a board that was replaced, scrapped or lost. DEVICE is any of its names, as for muster\n"
		"journal show. Deletes its enrollment, or with --disable disables it and deletes the\n"
		"registration record, and records who, when and why. Then muster provision takes the same\n"
		"serial with another key. The device's identity at its hub stays: end it there.",
	.options = rows,
	.options_size = sizeof(struct retire_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run,
};
