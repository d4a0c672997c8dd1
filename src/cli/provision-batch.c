#include "provision-batch.h"

#include <string.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/text.h"

#include "outage.h"
#include "provision-report.h"

enum { PLAIN_EVERY_MS = 30000 };

const char *const provision_lookalikes[] = {
	[PROFILE_LOOKALIKES_WARN] = "warn",
	[PROFILE_LOOKALIKES_REFUSE] = "refuse",
	[PROFILE_LOOKALIKES_PASS] = "pass",
	NULL,
};

/* -- On the way -------------------------------------------------------------------------------------------------- */

static void end_line(struct provision_batch *batch)
{
	if (batch->shows_line)
		fputc('\n', stderr);
	batch->shows_line = false;
}

static void print_mistake(void *context, size_t line, size_t column, bool is_warning,
			  const char *message)
{
	const struct provision_batch *batch = context;

	if (!is_warning || !batch->is_quiet)
		fprintf(stderr, "%s%s:%zu:%zu: %s%s\n",
			log_priority(is_warning ? LOG_WARNING : LOG_ERROR), PRINTABLE(batch->path),
			line, column, is_warning ? "warning: " : "", message);
}

static void print_progress(struct provision_batch *batch, const struct station_figures *figures)
{
	int64_t now = clock_now_ms();

	if (batch->is_quiet || (!batch->is_terminal && now - batch->shown_ms < PLAIN_EVERY_MS))
		return;
	batch->shown_ms = now;
	fprintf(stderr, "%smuster: %zu of %zu, %.1f a second, ", batch->is_terminal ? "\r" : "",
		figures->ended, figures->rows, figures->rate);
	if (figures->seconds_left >= 0)
		fprintf(stderr, "%lld s to go, ", (long long)figures->seconds_left);
	fprintf(stderr, "bound by %s%s", station_bound_name(figures->bound),
		batch->is_terminal ? "   " : "\n");
	batch->shows_line = batch->is_terminal;
}

/* -- The figures as an object ------------------------------------------------------------------------------------- */

static bool add_count(cJSON *object, const char *name, size_t count)
{
	return json_add_int64(object, name, (int64_t)count);
}

static bool add_seconds(cJSON *object, const char *name, double seconds)
{
	char text[32];

	snprintf(text, sizeof(text), "%.2f", seconds);
	return cJSON_AddRawToObject(object, name, text) != NULL;
}

static bool add_counts(cJSON *object, const struct station_figures *figures)
{
	return add_count(object, "rows", figures->rows) &&
	       add_count(object, "ended", figures->ended) &&
	       add_count(object, "before", figures->before) &&
	       add_count(object, "enrolled", figures->enrolled) &&
	       add_count(object, "adopted", figures->adopted) &&
	       add_count(object, "spooled", figures->spooled) &&
	       add_count(object, "failed", figures->failed) &&
	       add_count(object, "parked", figures->parked) &&
	       add_count(object, "planned", figures->planned) &&
	       add_count(object, "verified", figures->verified) &&
	       add_seconds(object, "seconds", figures->seconds) &&
	       json_add_text(object, "boundBy", station_bound_name(figures->bound));
}

static cJSON *stages_of(const struct station_figures *figures)
{
	CLEANUP(cJSON_freep) cJSON *stages = cJSON_CreateArray();

	for (size_t i = 0; stages && i < STATION_STAGES; i++) {
		cJSON *stage = cJSON_CreateObject();
		size_t count = figures->stages[i].count;

		if (!cJSON_AddItemToArray(stages, stage) ||
		    !json_add_text(stage, "stage", figures->stages[i].name) ||
		    !add_count(stage, "devices", count) ||
		    !add_seconds(stage, "seconds",
				 count ? (double)figures->stages[i].sum_ms / 1000 / (double)count
				       : 0) ||
		    !add_seconds(stage, "longest", (double)figures->stages[i].max_ms / 1000))
			return NULL;
	}
	return TAKE_PTR(stages);
}

static cJSON *reasons_of(const struct station_figures *figures)
{
	CLEANUP(cJSON_freep) cJSON *reasons = cJSON_CreateArray();

	for (size_t i = 0; reasons && i < figures->reason_count; i++) {
		const struct station_reason *reason = &figures->reasons[i];
		cJSON *object = cJSON_CreateObject();
		char cause[8];

		snprintf(cause, sizeof(cause), "E%04u", (unsigned)reason->cause);
		if (!cJSON_AddItemToArray(reasons, object) ||
		    !json_add_text(object, "cause", cause) ||
		    !add_count(object, "devices", reason->count) ||
		    !json_add_text(object, "first", reason->device) ||
		    !json_add_text(object, "detail", reason->message))
			return NULL;
	}
	return TAKE_PTR(reasons);
}

static const char *slowest_of(const struct station_figures *figures)
{
	size_t slowest = 0;
	double most = -1;

	for (size_t i = 0; i < STATION_STAGES; i++) {
		size_t count = figures->stages[i].count;
		double mean = count ? (double)figures->stages[i].sum_ms / (double)count : -1;

		if (mean > most) {
			most = mean;
			slowest = i;
		}
	}
	return figures->stages[slowest].name;
}

static size_t good_of(const struct station_figures *figures)
{
	return figures->before + figures->enrolled + figures->adopted;
}

/* Hundredths of the whole, which may be nothing. */
static bool add_share(cJSON *object, const char *name, size_t part, size_t whole)
{
	return add_seconds(object, name, whole ? (double)part * 100 / (double)whole : 0);
}

static cJSON *report_of(const struct station_figures *figures)
{
	CLEANUP(cJSON_freep) cJSON *report = cJSON_CreateObject();
	size_t good = figures->enrolled + figures->adopted + figures->spooled;

	if (!report || !add_counts(report, figures) ||
	    !add_share(report, "yieldPercent", good_of(figures), figures->rows) ||
	    !add_share(report, "firstPassPercent", figures->first_pass,
		       good + figures->failed + figures->parked) ||
	    !add_seconds(report, "perSecond",
			 figures->seconds > 0 ? (double)figures->ended / figures->seconds : 0) ||
	    !json_add_text(report, "slowestStage", slowest_of(figures)) ||
	    !json_add_item(report, "stages", stages_of(figures)) ||
	    !json_add_item(report, "reasons", reasons_of(figures)) ||
	    !json_add_bool(report, "resumed", figures->was_resumed))
		return NULL;
	return TAKE_PTR(report);
}

/* -- The report --------------------------------------------------------------------------------------------------- */

static const struct column report_columns[] = {
	{ "rows", "ROWS", true, false },
	{ "before", "BEFORE", true, false },
	{ "enrolled", "ENROLLED", true, false },
	{ "adopted", "ADOPTED", true, false },
	{ "spooled", "SPOOLED", true, false },
	{ "failed", "FAILED", true, false },
	{ "parked", "PARKED", true, false },
	{ "verified", "VERIFIED", true, false },
	{ "yieldPercent", "YIELD %", true, false },
	{ "firstPassPercent", "FIRST PASS %", true, false },
	{ "perSecond", "A SECOND", true, false },
	{ "slowestStage", "SLOWEST", false, false },
	{ "boundBy", "BOUND BY", false, false },
	{ "seconds", "SECONDS", true, false },
};

/* Nothing was made, so there is no yield and no pace. */
static const struct column dry_columns[] = {
	{ "rows", "ROWS", true, false },       { "before", "BEFORE", true, false },
	{ "planned", "PLANNED", true, false }, { "adopted", "ADOPTED", true, false },
	{ "failed", "FAILED", true, false },   { "parked", "PARKED", true, false },
	{ "seconds", "SECONDS", true, false },
};

static const struct column reason_columns[] = {
	{ "cause", "CAUSE", false, false },
	{ "devices", "DEVICES", true, false },
	{ "first", "FIRST", false, false },
	{ "detail", "WHY", false, false },
};

static bool print_event(const struct provision_batch *batch, const char *event, cJSON *new_object,
			struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *object = new_object;

	if (!object || !json_add_text(object, "event", event))
		return muster_fail_memory(err);
	return output_print(stdout, batch->output, object, report_columns,
			    ARRAY_SIZE(report_columns), err);
}

static bool print_report(struct provision_batch *batch, const struct station_figures *figures,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *report = report_of(figures);
	const cJSON *reasons = json_get(report, "reasons");

	if (batch->is_mute)
		return true;
	if (!report)
		return muster_fail_memory(err);
	if (batch->output == OUTPUT_JSONL)
		return print_event(batch, "report", TAKE_PTR(report), err);
	if (batch->output == OUTPUT_TSV)
		return true;
	if (!output_print(
		    stdout, batch->output, report, batch->is_dry ? dry_columns : report_columns,
		    batch->is_dry ? ARRAY_SIZE(dry_columns) : ARRAY_SIZE(report_columns), err))
		return false;
	return batch->output != OUTPUT_TABLE || cJSON_GetArraySize(reasons) == 0 ||
	       output_print(stdout, OUTPUT_TABLE, reasons, reason_columns,
			    ARRAY_SIZE(reason_columns), err);
}

static void tell_keyless(const struct provision_batch *batch)
{
	if (!batch->is_quiet && !batch->has_key_fd && batch->keyless > 0)
		fprintf(stderr,
			"muster: this run wrote the keys of %zu device%s nowhere; --out DIR or --key-fd N "
			"says where to, and muster key derive makes them again\n",
			batch->keyless, batch->keyless == 1 ? "" : "s");
}

static bool take_figures(void *context, const struct station_figures *figures, bool is_end,
			 struct muster_error *err)
{
	struct provision_batch *batch = context;
	cJSON *object;

	if (is_end) {
		end_line(batch);
		tell_keyless(batch);
		return print_report(batch, figures, err);
	}
	print_progress(batch, figures);
	if (batch->output != OUTPUT_JSONL || batch->is_mute)
		return true;
	object = cJSON_CreateObject();
	if (object && !add_counts(object, figures)) {
		cJSON_Delete(object);
		object = NULL;
	}
	return print_event(batch, "progress", object, err);
}

/* -- Devices ------------------------------------------------------------------------------------------------------ */

static void note_failure(struct provision_batch *batch, const struct station_result *result)
{
	batch->differ |= batch->failed > 0 && batch->failure.code != result->failure.code;
	/* One that is only spooled explains nothing. */
	if (batch->failed++ == 0 || batch->failure.cause == CAUSE_DEVICE_SPOOLED)
		batch->failure = result->failure;
	batch->spooled += result->failure.cause == CAUSE_DEVICE_SPOOLED;
	batch->parked += result->is_parked;
	/* Neither is the device's failure, and the report counts them. */
	if (result->failure.cause == CAUSE_INTERRUPTED ||
	    result->failure.cause == CAUSE_DEVICE_SPOOLED)
		return;
	end_line(batch);
	output_failure(result->device, &result->failure);
}

bool provision_batch_add(void *context, struct station_result *result, struct muster_error *err)
{
	struct provision_batch *batch = context;
	CLEANUP(station_result_done) struct station_result own = *result;
	CLEANUP(cJSON_freep) cJSON *object = NULL;

	if (own.failure.code != MUSTER_OK)
		note_failure(batch, &own);
	batch->keyless += provision_lacks_key(&own);
	if (batch->is_mute || (batch->output != OUTPUT_JSONL && batch->output != OUTPUT_TSV))
		return true;
	object = provision_describe(&own);
	if (!object || (batch->output == OUTPUT_JSONL && !json_add_text(object, "event", "device")))
		return muster_fail_memory(err);
	return provision_add_row(batch->output, object, err);
}

void provision_batch_outage(void *context, const struct dps_outage_news *news)
{
	struct provision_batch *batch = context;

	end_line(batch);
	outage_print(news, batch->output, batch->is_quiet);
}

/* -- Beginning and end -------------------------------------------------------------------------------------------- */

static bool read_verify(const char *word, struct provision_batch *batch, struct muster_error *err)
{
	static const char sample[] = "sample:";

	if (!word)
		return true;
	batch->request.verify = &batch->verify;
	batch->verify = strcmp(word, "all") == 0    ? PROFILE_BATCH_VERIFY_ALL
			: strcmp(word, "none") == 0 ? PROFILE_BATCH_VERIFY_NONE
						    : PROFILE_BATCH_VERIFY_SAMPLE;
	return batch->verify != PROFILE_BATCH_VERIFY_SAMPLE ||
	       (text_has_prefix(word, sample) &&
		text_to_int64(word + strlen(sample), 1, INT32_MAX, &batch->request.sample)) ||
	       muster_fail(err, CAUSE_USAGE, "--verify='%s' is not all, none or sample:N",
			   PRINTABLE(word));
}

static void read_lookalikes(const char *word, struct provision_batch *batch)
{
	size_t i = 0;

	if (!word)
		return;
	while (strcmp(provision_lookalikes[i], word) != 0)
		i++;
	batch->lookalikes = (enum profile_lookalikes)i;
	batch->request.lookalikes = &batch->lookalikes;
}

bool provision_batch_begin(const struct provision_batch_options *options,
			   const struct invocation *call, struct provision_batch *batch,
			   struct muster_error *err)
{
	*batch = (struct provision_batch){
		.output = call->output,
		.is_quiet = call->is_quiet,
		.is_terminal = isatty(STDERR_FILENO),
		.shown_ms = clock_now_ms(),
		.path = options->manifest,
		.request = {
			.manifest = options->manifest,
			.name = options->name,
			.begin_anew = options->begin_anew,
			.with_retired = options->with_retired,
			.mistake = print_mistake,
			.figures = take_figures,
			.context = batch,
		},
	};
	read_lookalikes(options->lookalikes, batch);
	return read_verify(options->verify, batch, err);
}

/* "2 devices failed and 1 is parked", by what the report counts. */
static const char *count_failed(char text[100], const struct provision_batch *batch)
{
	size_t parked = batch->parked, failed = batch->failed - batch->spooled - parked;
	const char *is = parked == 1 ? "is" : "are", *failing = failed == 1 ? "" : "s";

	if (parked == 0)
		snprintf(text, 100, "%zu device%s failed", failed, failing);
	else if (failed == 0)
		snprintf(text, 100, "%zu device%s %s parked", parked, parked == 1 ? "" : "s", is);
	else
		snprintf(text, 100, "%zu device%s failed and %zu %s parked", failed, failing,
			 parked, is);
	return text;
}

bool provision_batch_end(const struct provision_batch *batch, struct muster_error *err)
{
	char counts[100];

	if (batch->failed == 0)
		return true;
	if (batch->spooled == batch->failed)
		return provision_fail_spooled(batch->spooled, err);
	*err = batch->failure;
	if (batch->differ)
		muster_fail(err, CAUSE_DEVICES_FAILED, "%s, each with its own line",
			    count_failed(counts, batch));
	else
		muster_error_prefix(err, "%s", count_failed(counts, batch));
	return false;
}
