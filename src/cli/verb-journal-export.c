/* muster journal export: devices and entries for others, a page at a time, and evidence files. */
#include <errno.h>
#include <string.h>

#include "muster/file.h"
#include "muster/json.h"
#include "muster/station-journal.h"
#include "muster/text.h"

#include "journal.h"

struct export_options {
	const char *journal;
	struct journal_which which;
	bool csv;
	bool entries;
	int64_t after;
	const char *out;
	int by;
	bool all;
};

/* clang-format off */
static const struct option_row rows[] = {
	JOURNAL_ROW(struct export_options),
	JOURNAL_WHICH_ROWS(struct export_options),
	{ 0, "csv", NULL, OPTION_FLAG, NULL, "Devices as CSV (RFC 4180) with a header row",
	  offsetof(struct export_options, csv), NULL, NULL, 0 },
	{ 0, "entries", NULL, OPTION_FLAG, NULL, "The chain of entries, for verifiers, instead of devices",
	  offsetof(struct export_options, entries), NULL, NULL, 0 },
	{ 0, "after", NULL, OPTION_NUMBER_0, "N", "With --entries: only those behind entry N",
	  offsetof(struct export_options, after), NULL, NULL, 0 },
	{ 0, "out", NULL, OPTION_TEXT, "DIR", "With DEVICE: write evidence files there; default: to standard output",
	  offsetof(struct export_options, out), NULL, NULL, 0 },
	{ 0, "all", NULL, OPTION_FLAG, NULL, "With DEVICE: the evidence of its earlier releases, too, the oldest first",
	  offsetof(struct export_options, all), NULL, NULL, 0 },
	BY_ROW(struct export_options, by),
	{ 0 },
};

static const struct column columns[] = {
	{ "registrationId", "registrationId", false, false },
	{ "serial", "serial", false, false },
	{ "deviceId", "deviceId", false, false },
	{ "service", "service", false, false },
	{ "attestation", "attestation", false, false },
	{ "keyKind", "keyKind", false, false },
	{ "keySha256", "keySha256", false, false },
	{ "profile", "profile", false, false },
	{ "profileSha256", "profileSha256", false, false },
	{ "batch", "batch", false, false },
	{ "state", "state", false, false },
	{ "cause", "cause", false, false },
	{ "hub", "hub", false, false },
	{ "verification", "verification", false, false },
	{ "operator", "operator", false, false },
	{ "station", "station", false, false },
	{ "socket", "socket", false, false },
	{ "attempt", "attempt", false, false },
	{ "evidenceSha256", "evidenceSha256", false, false },
	{ "created", "created", false, false },
	{ "updated", "updated", false, false },
	{ "entry", "entry", false, false },
};
/* clang-format on */

/* -- Devices ------------------------------------------------------------------------------------------------ */

/* A page is printed only after it was read: who reads our output slowly must not hold the journal. */
struct page {
	struct journal_filter filter;
	int64_t after; /* the last entry given, where that is the order */
	cJSON *rows;
};

static bool collect(void *context, const struct journal_device *device, struct muster_error *err)
{
	struct page *page = context;

	if (!journal_filter_takes(&page->filter, device))
		return true;
	return cJSON_AddItemToArray(page->rows, journal_device_json(device)) ||
	       muster_fail_memory(err);
}

/* What spreadsheets would take for a formula gets an apostrophe. */
static void print_csv_cell(FILE *stream, const char *text)
{
	bool is_formula = text[0] && strchr("=+-@", text[0]);

	if (!is_formula && !strpbrk(text, ",\"\r\n")) {
		fputs(text, stream);
		return;
	}
	fputs(is_formula ? "\"'" : "\"", stream);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', stream);
		fputc(*text, stream);
	}
	fputc('"', stream);
}

static void print_csv_header(FILE *stream)
{
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		fprintf(stream, "%s%s", i > 0 ? "," : "", columns[i].title);
	fputs("\r\n", stream);
}

static bool print_csv(FILE *stream, const cJSON *array, struct muster_error *err)
{
	const cJSON *row;

	cJSON_ArrayForEach(row, array)
	{
		for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
			const cJSON *item = json_get(row, columns[i].key);
			CLEANUP(freep)
			char *number = item && !cJSON_IsString(item) ? json_print_line(item) : NULL;
			const char *text = item && cJSON_IsString(item) ? item->valuestring
					   : number                     ? number
									: "";

			if (i > 0)
				fputc(',', stream);
			print_csv_cell(stream, text);
		}
		fputs("\r\n", stream);
	}
	if (fflush(stream) != 0 || ferror(stream))
		return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "printing the result");
	return true;
}

struct place {
	int64_t seq;
	struct journal_head head;
};

static bool take_place(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct place *place = context;

	(void)err;
	if (entry->seq != place->seq)
		return true;
	place->head.seq = entry->seq;
	memcpy(place->head.digest, entry->digest, JOURNAL_DIGEST_SIZE);
	return true;
}

/* A journal that was put back ends before it. */
static bool find_place(struct journal *journal, int64_t seq, const char *option,
		       struct journal_head *ret_head, struct muster_error *err)
{
	struct place place = { .seq = seq };
	size_t count;

	if (seq > 0 && !journal_entries(journal, NULL, seq - 1, take_place, &place, &count, err))
		return false;
	if (place.head.seq != seq)
		return muster_fail(err, CAUSE_USAGE, "%s%lld: there is no such entry", option,
				   (long long)seq);
	*ret_head = place.head;
	return true;
}

static bool read_page(struct journal *journal, struct journal_cursor *cursor, struct page *page,
		      size_t *ret_count, struct muster_error *err)
{
	return page->filter.after >= 0
		       ? journal_devices_noted(journal, &page->after, collect, page, ret_count, err)
		       : journal_devices_changed(journal, cursor, collect, page, ret_count, err);
}

static bool begin_walk(const struct export_options *options, struct journal *journal,
		       struct journal_cursor *cursor, struct page *page, struct muster_error *err)
{
	struct journal_head head;

	if (!journal_filter_read(&options->which, &page->filter, err))
		return false;
	cursor->updated_ms = page->filter.since_ms;
	page->after = page->filter.after;
	return page->after < 0 || find_place(journal, page->after, "--since=entry:", &head, err);
}

static bool export_devices(const struct invocation *call, struct journal *journal,
			   struct muster_error *err)
{
	const struct export_options *options = call->options;
	struct journal_cursor cursor = { 0 };
	struct page page = { 0 };
	size_t count = 0;

	if (!begin_walk(options, journal, &cursor, &page, err))
		return false;
	if (options->csv)
		print_csv_header(stdout);
	do {
		CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();

		if (!array)
			return muster_fail_memory(err);
		page.rows = array;
		if (!read_page(journal, &cursor, &page, &count, err))
			return false;
		if (options->csv ? !print_csv(stdout, array, err) : !result_print(call, array, err))
			return false;
	} while (count > 0);
	return true;
}

/* -- Entries ------------------------------------------------------------------------------------------------ */

#define PAGE_TEXT_MAX (16 * 1024 * 1024)

struct entry_page {
	struct text text;
	struct journal_head head;
};

static void entry_page_done(struct entry_page *page)
{
	text_done(&page->text);
}

static bool collect_entry(void *context, const struct journal_entry *entry,
			  struct muster_error *err)
{
	struct entry_page *page = context;

	journal_text_entry(&page->text, entry);
	page->head.seq = entry->seq;
	memcpy(page->head.digest, entry->digest, JOURNAL_DIGEST_SIZE);
	return text_ok(&page->text, err);
}

static bool flush_page(struct entry_page *page, struct muster_error *err)
{
	if (!text_ok(&page->text, err))
		return false;
	if (page->text.length > 0)
		fwrite(page->text.data, 1, page->text.length, stdout);
	page->text.length = 0;
	return (fflush(stdout) == 0 && !ferror(stdout)) ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "printing the result");
}

static bool export_entries(const struct export_options *options, struct journal *journal,
			   struct muster_error *err)
{
	CLEANUP(entry_page_done) struct entry_page page = { .text = TEXT_MAX(PAGE_TEXT_MAX) };
	size_t count = 0;

	if (!find_place(journal, options->after, "--after=", &page.head, err))
		return false;
	journal_text_begin(&page.text, &page.head);
	do {
		if (!flush_page(&page, err) || !journal_entries(journal, NULL, page.head.seq,
								collect_entry, &page, &count, err))
			return false;
	} while (count > 0);
	journal_text_end(&page.text, &page.head);
	return flush_page(&page, err);
}

/* -- Evidence ----------------------------------------------------------------------------------------------- */

/* Of each release of a device, the oldest first. */
struct evidence {
	char **texts;
	size_t count;
};

static void evidence_done(struct evidence *evidence)
{
	for (size_t i = 0; i < evidence->count; i++)
		free(evidence->texts[i]);
	free(evidence->texts);
}

static bool take_evidence(void *context, const struct journal_entry *entry,
			  struct muster_error *err)
{
	struct evidence *evidence = context;
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	const char *text;
	char **texts;

	if (entry->kind != JOURNAL_OUTCOME || strcmp(entry->stage, "release") != 0)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return muster_error_prefix(err, "reading entry %lld", (long long)entry->seq);
	text = json_text(body, "evidence");
	if (!text)
		return true;
	texts = reallocarray(evidence->texts, evidence->count + 1, sizeof(*texts));
	if (!texts)
		return muster_fail_memory(err);
	evidence->texts = texts;
	texts[evidence->count] = strdup(text);
	return texts[evidence->count++] || muster_fail_memory(err);
}

/* Whether the device had this key, or key ID, when it was written. */
static bool has_key(const char *text, const char *key, bool *ret_has, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *evidence = NULL;
	const cJSON *member;

	*ret_has = !key[0];
	if (*ret_has)
		return true;
	if (!json_parse(text, strlen(text), "the evidence", &evidence, err))
		return false;
	cJSON_ArrayForEach(member, json_get(evidence, "attestation")) *ret_has =
		*ret_has || (cJSON_IsString(member) && strcmp(member->valuestring, key) == 0);
	return true;
}

/* The name of the last one is that of provisioning; earlier ones have numbers. */
static bool write_evidence(const char *directory, const char *registration_id,
			   const struct evidence *evidence, size_t which, struct muster_error *err)
{
	bool is_last = which + 1 == evidence->count;
	CLEANUP(freep)
	char *suffix =
		is_last ? strdup("evidence.json") : text_format("evidence.%zu.json", which + 1);
	CLEANUP(freep)
	char *path = suffix ? station_evidence_path(directory, registration_id, suffix) : NULL;

	if (!path)
		return muster_fail_memory(err);
	return directory_make(directory, err) &&
	       file_write(path, evidence->texts[which], strlen(evidence->texts[which]), 0600, false,
			  err);
}

static bool give_evidence(const struct export_options *options, const char *registration_id,
			  const struct evidence *evidence, size_t which, struct muster_error *err)
{
	if (options->out)
		return write_evidence(options->out, registration_id, evidence, which, err);
	fputs(evidence->texts[which], stdout);
	return true;
}

/* The very bytes of the files that releases wrote: of the last one, of the last with the key that was asked for, or of all. */
static bool export_evidence(const struct export_options *options, struct journal *journal,
			    const char *name, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	CLEANUP(evidence_done) struct evidence evidence = { 0 };
	char former[JOURNAL_NAME_SIZE];
	bool is_wanted = false;

	if (!journal_verb_find_ever(journal, options->by, name, &device, former, err) ||
	    !journal_entries_all(journal, device.registration_id, take_evidence, &evidence, err))
		return false;
	for (size_t i = 0; options->all && i + 1 < evidence.count; i++)
		if (!give_evidence(options, device.registration_id, &evidence, i, err))
			return false;
	for (size_t i = evidence.count; i > 0; i--) {
		if (!has_key(evidence.texts[i - 1], options->all ? "" : former, &is_wanted, err))
			return false;
		if (is_wanted)
			return give_evidence(options, device.registration_id, &evidence, i - 1,
					     err);
	}
	return muster_fail(err, CAUSE_EVIDENCE_MISSING, "device '%s' was never released%s",
			   PRINTABLE(device.registration_id), former[0] ? " with that key" : "");
}

static bool check_options(const struct invocation *call, struct muster_error *err)
{
	const struct export_options *options = call->options;
	bool has_filter = options->which.since || options->which.states.count > 0 ||
			  options->which.verification;

	if (call->operand_count > 0 && (options->csv || options->entries || has_filter))
		return muster_fail(
			err, CAUSE_USAGE,
			"--csv, --entries, --since, --state and --verification are for the whole; a DEVICE is "
			"exported as evidence");
	if (call->operand_count == 0 && (options->out || options->all))
		return muster_fail(err, CAUSE_USAGE,
				   "%s needs a DEVICE; the whole goes to standard output",
				   options->out ? "--out" : "--all");
	if (options->entries && (options->csv || has_filter || call->output != OUTPUT_JSONL))
		return muster_fail(err, CAUSE_USAGE,
				   "--entries gives JSON Lines, and every entry: a chain with gaps "
				   "proves nothing");
	if (options->after && !options->entries)
		return muster_fail(err, CAUSE_USAGE, "--after needs --entries");
	if (call->output != OUTPUT_JSONL && call->output != OUTPUT_TSV)
		return muster_fail(err, CAUSE_USAGE,
				   "the export is a stream: -o jsonl or tsv, or --csv");
	return true;
}

/* What holds for all commands names no format for a stream, and none for what is no result. */
static struct invocation as_asked(const struct invocation *call)
{
	const struct export_options *options = call->options;
	struct invocation own = *call;

	if (!call->is_output_asked && (call->output != OUTPUT_TSV || options->entries))
		own.output = OUTPUT_JSONL;
	return own;
}

static bool run(const struct invocation *asked, struct muster_error *err)
{
	const struct invocation own = as_asked(asked), *call = &own;
	const struct export_options *options = call->options;
	CLEANUP(journal_freep) struct journal *journal = NULL;

	if (!check_options(call, err) || !journal_verb_open(options->journal, &journal, err))
		return false;
	if (options->entries)
		return export_entries(options, journal, err);
	if (call->operand_count == 0)
		return export_devices(call, journal, err);
	for (size_t i = 0; i < call->operand_count; i++) {
		if (!export_evidence(options, journal, call->operands[i], err))
			return false;
	}
	return true;
}

const struct verb verb_journal_export = {
	.noun = "journal",
	.name = "export",
	.operands = "[DEVICE...]",
	.operands_max = 10000,
	.summary = "Export devices as JSON Lines or CSV, or their evidence",
	.description =
		"Without DEVICE: all devices in the order of their last change, as JSON Lines, TSV or CSV,\n"
		"read and printed a page at a time; --since entry:N is for who follows. With --entries: the chain, for muster journal verify and\n"
		"other verifiers. With DEVICE: the evidence of each, byte for byte as it\n"
		"was written when the device was last released, or, by the key of an earlier life, in that one.",
	.options = rows,
	.options_size = sizeof(struct export_options),
	.default_output = OUTPUT_JSONL,
	COLUMNS(columns),
	.run = run,
};
