/* muster enrollment import: enrollments from a file, ten at a time. */
#include <stdlib.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/dps-bulk.h"
#include "muster/dps-progress.h"
#include "muster/dps-table.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/station.h"

#include "enrollment.h"
#include "interrupt.h"
#include "outage.h"

struct import_options {
	int mode; /* enum dps_bulk_mode */
	bool dry_run;
	bool restart;
	bool single, bulk;
	const char *parallel; /* NULL: not said */
	struct login_options login;
};

static const char *const modes[] = {
	[DPS_BULK_CREATE] = "create",
	[DPS_BULK_UPDATE] = "update",
	[DPS_BULK_UPDATE_IF_MATCH] = "update-if-match",
	[DPS_BULK_DELETE] = "delete",
	NULL,
};

/* clang-format off */
#define ROW(name, kind, placeholder, help, field, choices) \
	{ 0, name, NULL, kind, placeholder, help, offsetof(struct import_options, field), NULL, choices, 0 }
static const struct option_row import_rows[] = {
	ROW("mode", OPTION_CHOICE, "MODE", "create (the default), update, update-if-match or delete", mode, modes),
	ROW("dry-run", OPTION_FLAG, NULL, "Check the file and say what would be done; send nothing", dry_run, NULL),
	ROW("restart", OPTION_FLAG, NULL, "Forget what a run that was cut off has done", restart, NULL),
	ROW("single", OPTION_FLAG, NULL, "One enrollment a request", single, NULL),
	ROW("bulk", OPTION_FLAG, NULL, "Ten enrollments a request; default: as the service counts them", bulk, NULL),
	ROW("parallel", OPTION_TEXT, "N", "Requests at the same time, 1 to 16 (4)", parallel, NULL),
	PATIENCE_ROW(struct import_options, login),
	LOGIN_ROWS(struct import_options, login),
	{ 0 },
};
/* clang-format on */

static const struct column summary_columns[] = {
	{ "file", "FILE", false, false },      { "mode", "MODE", false, false },
	{ "rows", "ROWS", true, false },       { "before", "BEFORE", true, false },
	{ "written", "WRITTEN", true, false }, { "already", "ALREADY", true, false },
	{ "refused", "REFUSED", true, false }, { "differs", "DIFFERS", true, false },
	{ "open", "OPEN", true, false },       { "seconds", "SECONDS", true, false },
};

#define FATE_COUNT (DPS_BULK_OPEN + 1)

/* One run over one file. */
struct import {
	const struct invocation *call;
	const char *path;
	enum dps_bulk_mode mode;
	struct dps_table *table;
	struct dps_table_facts facts;
	struct dps_progress *progress; /* NULL: dry run */
	size_t before;                 /* rows that the run that is gone on with has done */
	size_t fates[FATE_COUNT];
	int64_t started_ms, shown_ms;
	bool shows_progress;
	int64_t lanes;
	struct dps_outage outage;
};

/* -- The file --------------------------------------------------------------------------------------------- */

static void print_mistake(void *context, const struct dps_table_place *place, const char *message)
{
	const struct import *import = context;

	fprintf(stderr, "%s%s:%zu:%zu: %s\n", log_priority(LOG_ERROR), PRINTABLE(import->path),
		place->line, place->column, message);
}

static void warn_of_doubt(void *context, const struct dps_table_place *place, const char *message)
{
	const struct import *import = context;

	log_warning("%s:%zu:%zu: %s, going on", PRINTABLE(import->path), place->line, place->column,
		    message);
}

static bool check_file(struct import *import, struct muster_error *err)
{
	if (!dps_table_open(import->path, import->mode, &import->table, err))
		return false;
	dps_table_set_ek_check(import->table, station_ek_check);
	dps_table_set_doubt(import->table, clock_wall_ms(), warn_of_doubt, import);
	if (!dps_table_check(import->table, print_mistake, import, &import->facts, err))
		return false;
	if (import->facts.shows_keys)
		log_warning(
			"'%s' holds keys and is open to others than its owner; chmod go= closes it, going on",
			PRINTABLE(import->path));
	if (import->facts.mistakes == 0 && import->facts.rows == 0)
		log_warning("'%s' has no rows, nothing to do", PRINTABLE(import->path));
	if (import->facts.mistakes == 0)
		return true;
	return muster_fail(err, CAUSE_TABLE_INVALID, "'%s' has %zu mistake%s; nothing was sent",
			   PRINTABLE(import->path), import->facts.mistakes,
			   import->facts.mistakes == 1 ? "" : "s");
}

/* `mode` is "" for the place alone. */
static bool work_digest(const struct import *import, const char *host, const char *mode,
			uint8_t ret_digest[SHA256_SIZE], struct muster_error *err)
{
	CLEANUP(text_done) struct text work = { 0 };

	text_addf(&work, "%s\n%s\n", host, mode);
	text_add_bytes(&work, import->facts.digest, sizeof(import->facts.digest));
	if (!text_ok(&work, err))
		return false;
	sha256(ret_digest, work.data, work.length);
	return true;
}

/* The same file for another service is at another place; in another way it is other work, which undoes what was done. */
static bool open_progress(struct import *import, const char *host, bool restart,
			  struct muster_error *err)
{
	uint8_t place[SHA256_SIZE], work[SHA256_SIZE];

	if (!work_digest(import, host, "", place, err) ||
	    !work_digest(import, host, dps_bulk_mode_name(import->mode), work, err) ||
	    !dps_progress_open(place, work, import->facts.rows, restart, &import->progress, err))
		return false;
	import->before = dps_progress_count(import->progress);
	if (import->before > 0 && !import->call->is_quiet)
		fprintf(stderr,
			"muster: going on with an earlier run: %zu of %zu rows are not sent again; "
			"--restart sends all\n",
			import->before, import->facts.rows);
	return true;
}

/* -- Rows and what became of them ------------------------------------------------------------------------- */

static bool give_row(void *context, struct dps_bulk_item *ret_item, bool *ret_has,
		     struct muster_error *err)
{
	struct import *import = context;

	for (;;) {
		if (!dps_table_next(import->table, ret_item, ret_has, err))
			return false;
		if (!*ret_has ||
		    !dps_progress_is_done(import->progress, dps_table_row_of(ret_item->tag)))
			return true;
		dps_bulk_item_done(ret_item);
	}
}

static void show_progress(struct import *import)
{
	int64_t now = clock_now_ms();
	size_t done = 0;
	double seconds = (double)(now - import->started_ms) / 1000, rate;

	if (!import->shows_progress || now - import->shown_ms < 1000)
		return;
	import->shown_ms = now;
	for (size_t i = 0; i < FATE_COUNT; i++)
		done += import->fates[i];
	rate = (double)done / seconds;
	fprintf(stderr, "\rmuster: %zu of %zu, %.0f a second, %.0f s to go   ",
		import->before + done, import->facts.rows, rate,
		rate > 0 ? (double)(import->facts.rows - import->before - done) / rate : 0);
}

static bool take_fate(void *context, const struct dps_bulk_item *item, enum dps_bulk_fate fate,
		      const struct muster_error *why, struct muster_error *err)
{
	struct import *import = context;

	import->fates[fate]++;
	if (fate == DPS_BULK_REFUSED || fate == DPS_BULK_DIFFERS)
		fprintf(stderr, "%s%s%s:%zu: [E%04u] %s\n", import->shows_progress ? "\n" : "",
			log_priority(LOG_ERROR), PRINTABLE(import->path),
			dps_table_line_of(item->tag), (unsigned)why->cause, why->message);
	show_progress(import);
	return fate > DPS_BULK_ALREADY ||
	       dps_progress_mark(import->progress, dps_table_row_of(item->tag), err);
}

static void tell_outage(void *context, const struct dps_outage_news *news)
{
	const struct import *import = context;

	if (import->shows_progress)
		fputc('\n', stderr);
	outage_print(news, import->call->output, import->call->is_quiet);
}

/* -- The end ---------------------------------------------------------------------------------------------- */

static bool add_numbers(const struct import *import, cJSON *object)
{
	static const char *const names[FATE_COUNT] = { "written", "already", "refused", "differs",
						       "open" };
	char seconds[32];

	for (size_t i = 0; i < FATE_COUNT; i++)
		if (!json_add_int64(object, names[i], (int64_t)import->fates[i]))
			return false;
	snprintf(seconds, sizeof(seconds), "%.2f",
		 (double)(clock_now_ms() - import->started_ms) / 1000);
	return cJSON_AddRawToObject(object, "seconds", seconds) != NULL;
}

/* Of a run that stopped: rows that were not even read are as open as those that were. */
static void count_unread(struct import *import)
{
	size_t done = import->before;

	for (size_t i = 0; i < FATE_COUNT; i++)
		done += import->fates[i];
	import->fates[DPS_BULK_OPEN] += import->facts.rows - done;
}

static bool print_summary(const struct import *import, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();

	if (import->shows_progress && import->shown_ms > 0)
		fputc('\n', stderr);
	if (!object || !json_add_text(object, "file", import->path) ||
	    !json_add_text(object, "mode", modes[import->mode]) ||
	    !json_add_int64(object, "rows", (int64_t)import->facts.rows) ||
	    !json_add_int64(object, "before", (int64_t)import->before) ||
	    !add_numbers(import, object))
		return muster_fail_memory(err);
	return result_print(import->call, object, err);
}

/* The worst of what happened to rows is what the status tells. */
static bool judge(const struct import *import, struct muster_error *err)
{
	bool has_etags = import->mode >= DPS_BULK_UPDATE_IF_MATCH;
	const struct {
		enum dps_bulk_fate fate;
		enum muster_cause cause;
		const char *words;
	} verdicts[] = {
		{ DPS_BULK_REFUSED, CAUSE_IMPORT_REFUSED, "were refused" },
		{ DPS_BULK_DIFFERS, CAUSE_IMPORT_DIFFERS,
		  has_etags ? "were written meanwhile" : "are there with other content" },
		{ DPS_BULK_OPEN, CAUSE_IMPORT_OPEN, "could not be finished" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
		size_t count = import->fates[verdicts[i].fate];

		if (count > 0)
			return muster_fail(err, verdicts[i].cause,
					   "%zu of the %zu enrollments of '%s' %s", count,
					   import->facts.rows, PRINTABLE(import->path),
					   verdicts[i].words);
	}
	return true;
}

static bool has_to_stop(void *context)
{
	(void)context;
	return interrupt_came();
}

static bool send_rows(struct import *import, const struct import_options *options,
		      struct dps_client *client, struct muster_error *err)
{
	const struct dps_bulk_owner owner = { give_row, take_fate, import };
	CLEANUP(dps_bulk_freep) struct dps_bulk *bulk = NULL;
	struct muster_error why = { 0 };
	bool is_done;

	dps_client_set_outage(client, &import->outage);
	bulk = dps_bulk_new(client, import->mode, &owner, err);
	if (!bulk)
		return false;
	dps_bulk_set_form(bulk, options->single ? DPS_BULK_SINGLES
				: options->bulk ? DPS_BULK_TENS
						: DPS_BULK_BY_BUDGET);
	dps_bulk_set_lanes(bulk, (size_t)import->lanes);
	interrupt_watch();
	http_set_interrupt(dps_client_http(client), has_to_stop, NULL);
	is_done = dps_bulk_run(bulk, interrupt_came, &why);
	/* What was done until it stopped is said, too; why it stopped is the result. */
	if (dps_bulk_stopped(bulk))
		count_unread(import);
	if ((is_done || dps_bulk_stopped(bulk)) && !print_summary(import, err))
		return false;
	if (!is_done)
		*err = why;
	return is_done && judge(import, err);
}

static bool import_file(struct import *import, const struct import_options *options,
			struct muster_error *err)
{
	CLEANUP(service_done) struct service service = { 0 };

	if (!check_file(import, err))
		return false;
	if (options->dry_run)
		return print_summary(import, err);
	if (!service_open(&options->login, &service, err))
		return false;
	import->outage.patience_ms = service.patience_ms;
	return open_progress(import, dps_client_host(service.client), options->restart, err) &&
	       send_rows(import, options, service.client, err);
}

static bool read_options(const struct import_options *options, struct import *import,
			 struct muster_error *err)
{
	int64_t unused;

	import->lanes = DPS_BULK_LANES;
	/* A wrong word of the command line does not wait for a million rows. */
	if (options->login.patience && !outage_patience(options->login.patience, &unused, err))
		return false;
	if (options->single && options->bulk)
		return muster_fail(err, CAUSE_USAGE, "--single and --bulk contradict each other");
	return !options->parallel ||
	       text_to_int64(options->parallel, 1, DPS_BULK_LANES_MAX, &import->lanes) ||
	       muster_fail(err, CAUSE_USAGE, "--parallel=%s is not a number from 1 to %d",
			   PRINTABLE(options->parallel), DPS_BULK_LANES_MAX);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct import_options *options = call->options;
	struct import import = {
		.call = call,
		.path = call->operands[0],
		.mode = (enum dps_bulk_mode)options->mode,
		.started_ms = clock_now_ms(),
		.shows_progress = !call->is_quiet && isatty(STDERR_FILENO),
		.outage = { .what = "the provisioning service",
			    .tell = tell_outage,
			    .context = &import },
	};
	bool is_done = read_options(options, &import, err) && import_file(&import, options, err);

	dps_progress_close(import.progress);
	dps_table_close(import.table);
	return is_done;
}

const struct verb verb_enrollment_import = {
	.noun = "enrollment",
	.name = "import",
	.operands = "FILE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Create, update or delete enrollments from a file",
	.description =
		"Reads CSV or JSON Lines (.jsonl), checks the whole file before the first request, and writes\n"
		"in bulks or singly, as fast as the service allows. Every mistake is listed with line\n"
		"and column. Run again with the same file it goes on where it was cut off, and sends nothing\n"
		"for what is done.",
	.options = import_rows,
	.options_size = sizeof(struct import_options),
	.default_output = OUTPUT_JSON,
	.is_as_az = true,
	COLUMNS(summary_columns),
	.run = run,
};
