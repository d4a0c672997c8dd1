#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "muster/json.h"

#include "table-internal.h"

struct dps_table {
	enum dps_table_format format;
	enum dps_bulk_mode mode;
	struct table_input input;
	struct stat status; /* of the file as it was checked */
	struct csv_reader csv;
	struct table_head head;
	struct text line; /* JSON Lines: the row */
	struct dps_table_place row_place;
	size_t rows; /* read since the beginning */
	bool is_at_start;
};

/* -- Mistakes --------------------------------------------------------------------------------------------- */

void report_mistake(struct table_report *report, const struct dps_table_place *place,
		    const char *format, ...)
{
	char message[512];
	va_list args;

	report->count++;
	if (!report->mistake)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	report->mistake(report->context, place, message);
}

/* -- Opening ---------------------------------------------------------------------------------------------- */

enum dps_table_format dps_table_format_of(const char *path)
{
	static const char *const ends[] = { ".jsonl", ".ndjson", ".json" };
	const char *end = strrchr(path, '.');

	for (size_t i = 0; end && i < ARRAY_SIZE(ends); i++)
		if (text_equal_folded(end, ends[i]))
			return DPS_TABLE_JSONL;
	return DPS_TABLE_CSV;
}

static bool open_input(struct dps_table *table, const char *path, struct muster_error *err)
{
	text_printable(table->input.path, sizeof(table->input.path), path);
	table->input.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (table->input.fd < 0 || fstat(table->input.fd, &table->status) < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading '%s'",
					 table->input.path);
	if (!S_ISREG(table->status.st_mode))
		return muster_fail(
			err, CAUSE_USAGE,
			"'%s' is not a regular file; it is read twice, so a pipe will not do",
			table->input.path);
	return true;
}

bool dps_table_open(const char *path, enum dps_bulk_mode mode, struct dps_table **ret_table,
		    struct muster_error *err)
{
	CLEANUP(dps_table_freep) struct dps_table *table = calloc(1, sizeof(*table));

	if (!table)
		return muster_fail_memory(err);
	table->input.fd = -1;
	table->format = dps_table_format_of(path);
	table->mode = mode;
	table->line = (struct text)TEXT_MAX(DPS_TABLE_ROW_MAX);
	if (!open_input(table, path, err))
		return false;
	*ret_table = TAKE_PTR(table);
	return true;
}

void dps_table_close(struct dps_table *table)
{
	if (!table)
		return;
	closep(&table->input.fd);
	csv_reader_done(&table->csv);
	text_done(&table->line);
	secret_wipe(table->input.buffer, sizeof(table->input.buffer));
	free(table);
}

static bool begin(struct dps_table *table, struct muster_error *err)
{
	csv_reader_done(&table->csv);
	table->head = (struct table_head){ 0 };
	table->rows = 0;
	table->is_at_start = true;
	return input_rewind(&table->input, err) &&
	       (table->format != DPS_TABLE_CSV || csv_reader_begin(&table->csv, err));
}

/* -- Rows as documents ------------------------------------------------------------------------------------ */

/* CSV: the cells; *ret_document NULL at the end, or when the head is wrong. */
static bool read_csv(struct dps_table *table, struct table_report *report, cJSON **ret_document,
		     struct muster_error *err)
{
	struct csv_row *row = &table->csv.row;
	bool has;

	if (!csv_reader_next(&table->csv, &table->input, report, &has, err))
		return false;
	if (has && table->is_at_start) {
		table->is_at_start = false;
		if (!head_read(&table->head, row, report))
			return true;
		if (!csv_reader_next(&table->csv, &table->input, report, &has, err))
			return false;
	}
	if (!has)
		return true;
	table->row_place = row->cells[0].place;
	*ret_document = columns_document(&table->head, row, report);
	return *ret_document || muster_fail_memory(err);
}

static bool read_line(struct dps_table *table, bool *ret_has, struct muster_error *err)
{
	if (table->line.data)
		secret_wipe(table->line.data, table->line.length);
	table->line.length = 0;
	table->row_place = table->input.place;
	return input_line(&table->input, &table->line, ret_has, err);
}

static bool is_blank(const struct text *line)
{
	return strspn(line->data ? line->data : "", " \t\r") == line->length;
}

/* "the row: line 1, column 7: ...": the row is one line of the file. */
static void report_line(struct dps_table *table, struct table_report *report,
			const struct muster_error *error)
{
	static const char mark[] = ", column ";
	struct dps_table_place place = table->row_place;
	const char *words = error->message, *found = strstr(words, mark);
	char digits[16] = "";
	int64_t column;

	if (found)
		snprintf(digits, sizeof(digits), "%.*s", (int)strcspn(found + strlen(mark), ":"),
			 found + strlen(mark));
	if (text_to_int64(digits, 1, INT32_MAX, &column)) {
		place.column = (size_t)column;
		words = found + strlen(mark) + strlen(digits) + strlen(": ");
	}
	report_mistake(report, &place, "%s", words);
}

/* Empty lines are no rows. A row that is no JSON object is a mistake and an empty object. */
static bool read_jsonl(struct dps_table *table, struct table_report *report, cJSON **ret_document,
		       struct muster_error *err)
{
	struct muster_error error;
	bool has;

	do {
		if (!read_line(table, &has, err))
			return false;
		if (table->line.failed) {
			report_mistake(report, &table->row_place, "the row is longer than %d bytes",
				       DPS_TABLE_ROW_MAX);
			return true;
		}
	} while (has && is_blank(&table->line));
	if (!has)
		return true;
	if (!json_parse(table->line.data, table->line.length, "the row", ret_document, &error))
		report_line(table, report, &error);
	else if (!cJSON_IsObject(*ret_document))
		report_mistake(report, &table->row_place, "the row is not a JSON object");
	else
		return true;
	cJSON_Delete(*ret_document);
	*ret_document = cJSON_CreateObject();
	return *ret_document || muster_fail_memory(err);
}

static bool read_document(struct dps_table *table, struct table_report *report,
			  cJSON **ret_document, struct muster_error *err)
{
	*ret_document = NULL;
	if (table->format == DPS_TABLE_CSV)
		return read_csv(table, report, ret_document, err);
	return read_jsonl(table, report, ret_document, err);
}

/* -- Checking a row --------------------------------------------------------------------------------------- */

static struct dps_table_place place_of(const struct dps_table *table, const char *path)
{
	struct dps_table_place place = table->row_place;

	if (table->format == DPS_TABLE_CSV)
		return columns_place(&table->head, &table->csv.row, path);
	place.column = json_line_column(table->line.data, path);
	return place;
}

static void report_problem(struct dps_table *table, struct table_report *report,
			   const struct dps_problem *problem)
{
	struct dps_table_place place = place_of(table, problem->path);

	report_mistake(report, &place, "%s%s%s", problem->path, *problem->path ? ": " : "",
		       problem->message);
}

static void check_whole(struct dps_table *table, const cJSON *document, struct table_report *report)
{
	const struct dps_document_rules rules = {
		.certificate_may_be_info = table->mode != DPS_BULK_CREATE,
	};
	struct dps_problems problems = { 0 };

	dps_document_check(document, &rules, &problems);
	for (size_t i = 0; i < problems.count; i++)
		report_problem(table, report, &problems.list[i]);
}

/* Only the ID matters. */
static void check_deletion(struct dps_table *table, const cJSON *document,
			   struct table_report *report)
{
	struct dps_problem problem = { .path = "registrationId", .message = "is missing" };
	const char *id = json_text(document, "registrationId");
	struct muster_error error;

	if (id && dps_registration_id_check(id, &error))
		return;
	if (id)
		snprintf(problem.message, sizeof(problem.message), "%.199s", error.message);
	report_problem(table, report, &problem);
}

static void check_document(struct dps_table *table, const cJSON *document,
			   struct table_report *report)
{
	const char *etag = json_text(document, "etag");
	struct dps_table_place place;

	if (table->mode == DPS_BULK_DELETE)
		check_deletion(table, document, report);
	else
		check_whole(table, document, report);
	if (table->mode != DPS_BULK_UPDATE_IF_MATCH || (etag && *etag))
		return;
	place = place_of(table, "etag");
	report_mistake(report, &place, "etag: is missing; the mode updates only what still has it");
}

/* -- The first time through ------------------------------------------------------------------------------- */

static bool check_twice(struct dps_table *table, struct id_set *seen, const cJSON *document,
			struct table_report *report, struct muster_error *err)
{
	const char *id = json_text(document, "registrationId");
	struct dps_table_place place;
	size_t line;
	bool is_same;

	if (!id || strlen(id) > DPS_REGISTRATION_ID_MAX)
		return true;
	if (!id_set_add(seen, id, table->row_place.line, &line, &is_same, err))
		return false;
	if (line == 0)
		return true;
	place = place_of(table, "registrationId");
	report_mistake(
		report, &place,
		is_same ? "registration ID '%s' is in line %zu already"
			: "registration ID '%s' differs only by letter case from the one in line "
			  "%zu; to the service both are the same",
		PRINTABLE(id), line);
	return true;
}

static bool check_rows(struct dps_table *table, struct table_report *report,
		       struct muster_error *err)
{
	CLEANUP(id_set_done) struct id_set seen = { 0 };

	for (;; table->rows++) {
		CLEANUP(cJSON_freep) cJSON *document = NULL;
		size_t before = report->count;

		if (!read_document(table, report, &document, err))
			return false;
		if (!document)
			return true;
		/* A cell that could not be read is missing; that would be said twice. */
		if (report->count == before)
			check_document(table, document, report);
		if (!check_twice(table, &seen, document, report, err))
			return false;
		if (table->rows >= DPS_TABLE_ROWS_MAX)
			return muster_fail(err, CAUSE_INPUT_TOO_LARGE, "'%s' has more than %d rows",
					   table->input.path, DPS_TABLE_ROWS_MAX);
	}
}

DEFINE_FREEP(EVP_MD_CTX_freep, EVP_MD_CTX *, EVP_MD_CTX_free)

static bool digest_file(struct dps_table *table, uint8_t digest[SHA256_SIZE],
			struct muster_error *err)
{
	CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
	char *buffer = table->input.buffer;
	ssize_t count;
	off_t offset = 0;

	if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
		return muster_fail(err, CAUSE_CRYPTO, "computing a digest");
	while ((count = pread(table->input.fd, buffer, sizeof(table->input.buffer), offset)) > 0) {
		offset += count;
		if (EVP_DigestUpdate(context, buffer, (size_t)count) != 1)
			return muster_fail(err, CAUSE_CRYPTO, "computing a digest");
	}
	if (count < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading '%s'",
					 table->input.path);
	return EVP_DigestFinal_ex(context, digest, NULL) == 1 ||
	       muster_fail(err, CAUSE_CRYPTO, "computing a digest");
}

static bool check_unchanged(const struct dps_table *table, struct muster_error *err)
{
	struct stat now;

	if (fstat(table->input.fd, &now) == 0 && now.st_size == table->status.st_size &&
	    now.st_mtim.tv_sec == table->status.st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == table->status.st_mtim.tv_nsec)
		return true;
	return muster_fail(err, CAUSE_TABLE_CHANGED, "'%s' was changed while it was read",
			   table->input.path);
}

bool dps_table_check(struct dps_table *table, dps_table_mistake *mistake, void *context,
		     struct dps_table_facts *ret_facts, struct muster_error *err)
{
	struct table_report report = { mistake, context, 0 };
	struct dps_table_facts facts = { 0 };

	if (!digest_file(table, facts.digest, err) || !begin(table, err) ||
	    !check_rows(table, &report, err) || !check_unchanged(table, err))
		return false;
	facts.rows = table->rows;
	facts.mistakes = report.count;
	*ret_facts = facts;
	return begin(table, err);
}

/* -- The second time through ------------------------------------------------------------------------------ */

static const char *const service_members[] = { "etag", "registrationState", "createdDateTimeUtc",
					       "lastUpdatedDateTimeUtc" };

/* What is the service's own does not go back; the etag goes where the mode has it. */
static bool fill_item(struct dps_table *table, cJSON *document, struct dps_bulk_item *item)
{
	const char *etag = json_text(document, "etag");
	bool has_etag = etag && *etag && table->mode >= DPS_BULK_UPDATE_IF_MATCH;

	item->id = strdup(json_text(document, "registrationId"));
	item->etag = has_etag ? strdup(etag) : NULL;
	item->tag = (uint64_t)table->row_place.line << 32 | table->rows;
	if (!item->id || (has_etag && !item->etag))
		return false;
	if (table->mode == DPS_BULK_DELETE)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(service_members); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(document, service_members[i]);
	dps_document_normalise(document);
	return true;
}

bool dps_table_next(struct dps_table *table, struct dps_bulk_item *ret_item, bool *ret_has,
		    struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	CLEANUP(dps_bulk_item_done) struct dps_bulk_item item = { 0 };
	struct table_report report = { 0 };

	*ret_has = false;
	if (!check_unchanged(table, err) || !read_document(table, &report, &document, err))
		return false;
	if (report.count > 0 || (document && !json_text(document, "registrationId")))
		return muster_fail(err, CAUSE_TABLE_CHANGED, "'%s' was changed while it was read",
				   table->input.path);
	if (!document)
		return true;
	if (!fill_item(table, document, &item))
		return muster_fail_memory(err);
	if (table->mode != DPS_BULK_DELETE)
		item.document = TAKE_PTR(document);
	table->rows++;
	*ret_item = item;
	item = (struct dps_bulk_item){ 0 };
	*ret_has = true;
	return true;
}
