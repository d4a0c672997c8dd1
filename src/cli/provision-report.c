#include "provision-report.h"

#include <stdlib.h>
#include <string.h>

#include "muster/json.h"
#include "muster/text.h"

#include "outage.h"

static const struct column columns[] = {
	{ "device", "DEVICE", false, false },
	{ "registrationId", "REGISTRATION ID", false, false },
	{ "attestation", "ATTESTATION", false, false },
	{ "hub", "HUB", false, false },
	{ "state", "STATE", false, false },
	{ "verified", "VERIFIED", false, false },
	{ "seconds", "SECONDS", true, false },
};

const struct column provision_columns[PROVISION_COLUMN_COUNT] = {
	{ "socket", "SOCKET", false, false },
	{ "device", "DEVICE", false, false },
	{ "registrationId", "REGISTRATION ID", false, false },
	{ "hub", "HUB", false, false },
	{ "state", "STATE", false, false },
	{ "verified", "VERIFIED", false, false },
	{ "cause", "CAUSE", false, false },
	{ "seconds", "SECONDS", true, false },
};

static void board_done(struct failed_board *board)
{
	free(board->serial);
	free(board->registration_id);
	free(board->message);
}

void provision_report_done(struct provision_report *report)
{
	for (size_t i = 0; i < report->board_count; i++)
		board_done(&report->boards[i]);
	free(TAKE_PTR(report->boards));
	cJSON_Delete(TAKE_PTR(report->rows));
}

static bool add_seconds(cJSON *object, double seconds)
{
	char text[32];

	snprintf(text, sizeof(text), "%.2f", seconds);
	return cJSON_AddRawToObject(object, "seconds", text);
}

static bool add_failure(cJSON *object, const struct muster_error *failure)
{
	char cause[8];

	if (failure->code == MUSTER_OK)
		return true;
	snprintf(cause, sizeof(cause), "E%04u", (unsigned)failure->cause);
	return json_add_text(object, "cause", cause) &&
	       json_add_text(object, "detail", failure->message);
}

cJSON *provision_describe(struct station_result *result)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();

	if (!object || !json_add_text(object, "device", result->device) ||
	    !json_add_text(object, "socket", result->socket) ||
	    !json_add_text(object, "registrationId", result->registration_id) ||
	    !json_add_text(object, "deviceId", result->device_id) ||
	    !json_add_text(object, "attestation", result->attestation) ||
	    !json_add_text(object, "hub", result->hub) ||
	    !json_add_text(object, "state", result->state) ||
	    !json_add_text(object, "journalState", result->journal_state) ||
	    !json_add_bool(object, "verified", result->verified) ||
	    !add_seconds(object, result->seconds) ||
	    !json_add_text(object, "evidence", result->evidence_path) ||
	    !json_add_text(object, "keyFile", result->key_file) ||
	    !add_failure(object, &result->failure) ||
	    (result->plan && !json_add_item(object, "plan", TAKE_PTR(result->plan))))
		return NULL;
	return TAKE_PTR(object);
}

static bool print_single(const struct provision_report *report, const cJSON *object,
			 struct muster_error *err)
{
	const cJSON *plan = json_get(object, "plan");

	if (!output_print(stdout, report->output, object, columns, ARRAY_SIZE(columns), err))
		return false;
	/* A plan is no row; people get it below the table. */
	return !plan || report->output != OUTPUT_TABLE ||
	       output_print(stdout, OUTPUT_YAML, plan, NULL, 0, err);
}

static bool print_at_once(struct provision_report *report, cJSON *object, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *page = cJSON_CreateArray();

	if (!page || !cJSON_AddItemToArray(page, object)) {
		cJSON_Delete(object);
		return muster_fail_memory(err);
	}
	return output_rows_page(&report->stream, page, err);
}

void provision_report_stream(struct provision_report *report)
{
	report->is_endless = true;
	report->stream = (struct output_rows){ .stream = stdout,
					       .format = report->output,
					       .columns = provision_columns,
					       .column_count = ARRAY_SIZE(provision_columns) };
}

bool provision_add_row(enum output_format output, const cJSON *object, struct muster_error *err)
{
	return output_add(stdout, output, object, provision_columns, ARRAY_SIZE(provision_columns),
			  err);
}

bool provision_told(void *context, struct muster_error *err)
{
	(void)context;
	return output_flush(stdout, err);
}

/* Formats of lines are printed as they come. */
static bool take_row(struct provision_report *report, cJSON *object, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *row = object;

	if (report->is_endless)
		return print_at_once(report, TAKE_PTR(row), err);
	if (report->output == OUTPUT_JSONL || report->output == OUTPUT_TSV)
		return provision_add_row(report->output, row, err);
	if (!report->rows)
		report->rows = cJSON_CreateArray();
	return (report->rows && cJSON_AddItemToArray(report->rows, TAKE_PTR(row))) ||
	       muster_fail_memory(err);
}

/* -- Boards that are plugged in again -------------------------------------------------------------------------- */

static bool is_same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* A serial may be another board's, by a wrong label; it says something only of one whose registration ID is not known. */
static bool is_same_board(const struct failed_board *board, const struct station_result *result)
{
	if (board->registration_id && result->registration_id)
		return strcmp(board->registration_id, result->registration_id) == 0;
	return is_same(board->serial, result->serial);
}

/* What it failed of before is no matter now. */
static void forget_board(struct provision_report *report, const struct station_result *result)
{
	size_t kept = 0;

	for (size_t i = 0; i < report->board_count; i++) {
		struct failed_board *board = &report->boards[i];

		if (!is_same_board(board, result)) {
			report->boards[kept++] = *board;
			continue;
		}
		report->count--;
		report->failed--;
		report->spooled -= board->cause == CAUSE_DEVICE_SPOOLED;
		report->parked -= board->is_parked;
		board_done(board);
	}
	report->board_count = kept;
}

static bool copy_name(char **target, const char *name)
{
	*target = name ? strdup(name) : NULL;
	return !name || *target;
}

static bool has_name(const struct station_result *result)
{
	return result->serial || result->registration_id;
}

/* A contact that flaps fails once a second, for days. */
static bool has_nameless(const struct provision_report *report, enum muster_code code)
{
	for (size_t i = 0; i < report->board_count; i++) {
		const struct failed_board *board = &report->boards[i];

		if (!board->serial && !board->registration_id && board->code == code)
			return true;
	}
	return false;
}

static bool remember_board(struct provision_report *report, const struct station_result *result,
			   struct muster_error *err)
{
	struct failed_board board = { .code = result->failure.code,
				      .cause = result->failure.cause,
				      .is_parked = result->is_parked };
	struct failed_board *boards;

	if (!has_name(result) && has_nameless(report, result->failure.code))
		return true;
	boards = reallocarray(report->boards, report->board_count + 1, sizeof(*boards));
	if (!boards)
		return muster_fail_memory(err);
	report->boards = boards;
	if (!copy_name(&board.serial, result->serial) ||
	    !copy_name(&board.registration_id, result->registration_id) ||
	    !copy_name(&board.message, result->failure.message)) {
		board_done(&board);
		return muster_fail_memory(err);
	}
	boards[report->board_count++] = board;
	return true;
}

static void sum_up_boards(struct provision_report *report)
{
	const struct failed_board *first = report->boards;

	report->differ = false;
	if (report->board_count > 0)
		muster_fail(&report->failure, first->cause, "%s", first->message);
	for (size_t i = 1; i < report->board_count; i++)
		report->differ |= report->boards[i].code != first->code;
}

/* -- All that come ----------------------------------------------------------------------------------------------- */

static bool note_failure(struct provision_report *report, const struct station_result *result,
			 struct muster_error *err)
{
	if (report->is_endless && !remember_board(report, result, err))
		return false;
	if (report->failed++ == 0)
		report->failure = result->failure;
	report->differ |= report->failure.code != result->failure.code;
	report->spooled += result->failure.cause == CAUSE_DEVICE_SPOOLED;
	report->parked += result->is_parked;
	if (!report->is_single && result->failure.cause != CAUSE_DEVICE_SPOOLED)
		output_failure(result->socket ? result->socket : result->device, &result->failure);
	return true;
}

bool provision_lacks_key(const struct station_result *result)
{
	return !result->key_file && strcmp(result->state, "enrolled") == 0 && result->attestation &&
	       strcmp(result->attestation, "symmetricKey") == 0;
}

static void note_keys(const struct provision_report *report, const struct station_result *result)
{
	if (report->is_quiet || report->has_key_fd || !provision_lacks_key(result))
		return;
	fprintf(stderr,
		"muster: %s: this run wrote its keys nowhere; --out DIR or --key-fd N says where to, "
		"and muster key derive makes them again\n",
		PRINTABLE(result->device));
}

bool provision_report_add(void *context, struct station_result *result, struct muster_error *err)
{
	struct provision_report *report = context;
	CLEANUP(station_result_done) struct station_result own = *result;
	CLEANUP(cJSON_freep) cJSON *object = NULL;

	forget_board(report, &own);
	report->count++;
	if (own.failure.code != MUSTER_OK && !note_failure(report, &own, err))
		return false;
	if (report->is_single && report->failed > 0 && own.failure.cause != CAUSE_DEVICE_SPOOLED)
		return true;
	note_keys(report, &own);
	if (report->is_mute)
		return true;
	object = provision_describe(&own);
	if (!object)
		return muster_fail_memory(err);
	return report->is_single ? print_single(report, object, err)
				 : take_row(report, TAKE_PTR(object), err);
}

void provision_report_outage(void *context, const struct dps_outage_news *news)
{
	const struct provision_report *report = context;

	outage_print(news, report->output, report->is_quiet);
}

bool provision_fail_spooled(size_t count, struct muster_error *err)
{
	return muster_fail(err, CAUSE_DEVICE_SPOOLED, "%zu device%s ready and wait%s to be sent",
			   count, count == 1 ? " is" : "s are", count == 1 ? "s" : "");
}

/* "1 of 3 devices failed and 1 is parked" */
static const char *count_failed(char text[120], const struct provision_report *report)
{
	size_t parked = report->parked, failed = report->failed - parked;
	const char *is = parked == 1 ? "is" : "are";

	if (failed == 0)
		snprintf(text, 120, "%zu of %zu devices %s parked", parked, report->count, is);
	else if (parked == 0)
		snprintf(text, 120, "%zu of %zu devices failed", failed, report->count);
	else
		snprintf(text, 120, "%zu of %zu devices failed and %zu %s parked", failed,
			 report->count, parked, is);
	return text;
}

bool provision_report_end(struct provision_report *report, struct muster_error *err)
{
	char counts[120];

	if (report->is_endless && !report->is_mute && !output_rows_end(&report->stream, err))
		return false;
	if (report->rows && !output_print(stdout, report->output, report->rows, provision_columns,
					  ARRAY_SIZE(provision_columns), err))
		return false;
	if (report->boards)
		sum_up_boards(report);
	if (report->failed == 0)
		return true;
	if (report->spooled == report->failed && !report->is_single)
		return provision_fail_spooled(report->spooled, err);
	*err = report->failure;
	if (report->differ)
		muster_fail(err, CAUSE_DEVICES_FAILED, "%s, each with its own line",
			    count_failed(counts, report));
	else if (!report->is_single)
		muster_error_prefix(err, "%s", count_failed(counts, report));
	return false;
}
