/* muster journal reconcile: a new journal from the service and the evidence files. */
#include <string.h>

#include "muster/json.h"
#include "muster/station-journal.h"
#include "muster/text.h"

#include "journal.h"
#include "login-options.h"
#include "report.h"

struct reconcile_options {
	const char *journal;
	const char *evidence;
	const char *operator_name;
	bool evidence_only;
	bool again;
	struct login_options login;
};

/* clang-format off */
static const struct option_row rows[] = {
	JOURNAL_ROW(struct reconcile_options),
	{ 0, "evidence", NULL, OPTION_TEXT, "DIR", "Where evidence files are; default: as muster provision --out",
	  offsetof(struct reconcile_options, evidence), "MUSTER_OUT", NULL, OPTION_ONCE },
	{ 0, "evidence-only", NULL, OPTION_FLAG, NULL, "Leave out enrollments of which there is no evidence",
	  offsetof(struct reconcile_options, evidence_only), NULL, NULL, 0 },
	{ 0, "again", NULL, OPTION_FLAG, NULL, "Also into a journal that was made again before and is in use",
	  offsetof(struct reconcile_options, again), NULL, NULL, 0 },
	OPERATOR_ROW(struct reconcile_options, operator_name),
	LOGIN_ROWS(struct reconcile_options, login),
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "released", "RELEASED", true, false },   { "retired", "RETIRED", true, false },
	{ "differing", "DIFFERING", true, false }, { "parked", "PARKED", true, false },
	{ "foreign", "FOREIGN", true, false },     { "known", "KNOWN", true, false },
};

static cJSON *describe(const struct station_reconciliation *result)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();

	if (!object || !json_add_int64(object, "released", (int64_t)result->released) ||
	    !json_add_int64(object, "retired", (int64_t)result->retired) ||
	    !json_add_int64(object, "differing", (int64_t)result->differing) ||
	    !json_add_int64(object, "parked", (int64_t)result->parked) ||
	    !json_add_int64(object, "foreign", (int64_t)result->foreign) ||
	    !json_add_int64(object, "known", (int64_t)result->known))
		return NULL;
	return TAKE_PTR(object);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct reconcile_options *options = call->options;
	CLEANUP(service_done) struct service service = { 0 };
	CLEANUP(freep) char *journal = NULL;
	CLEANUP(freep) char *evidence = NULL;
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	struct station_reconcile_request request = { .operator_name = options->operator_name,
						     .needs_evidence = options->evidence_only,
						     .again = options->again };
	struct station_reconciliation result;

	if (!journal_verb_path(options->journal, &journal, err) ||
	    !journal_verb_evidence(options->evidence, journal, &evidence, err) ||
	    !service_open(&options->login, &service, err))
		return false;
	request.journal_path = journal;
	request.evidence_directory = evidence;
	request.client = service.client;
	if (!station_reconcile(&request, &result, err))
		return false;
	object = describe(&result);
	return object ? result_print(call, object, err) : muster_fail_memory(err);
}

const struct verb verb_journal_reconcile = {
	.noun = "journal",
	.name = "reconcile",
	.summary = "Make a lost journal again from the service and the evidence",
	.description =
		"Reads the service's enrollments and the evidence files and makes a new journal of them.\n"
		"Changes nothing at the service. Cut off and run again it goes on.",
	.options = rows,
	.options_size = sizeof(struct reconcile_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run,
};
