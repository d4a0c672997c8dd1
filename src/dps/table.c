#include <stdlib.h>
#include <string.h>

#include "muster/json-edit.h"
#include "muster/json.h"

#include "bulk-internal.h"
#include "table-internal.h"

struct dps_table {
	struct table_file file;
	enum dps_bulk_mode mode;
	dps_ek_check *ek_check;
	struct table_report doubts;
	int64_t now_ms; /* that the doubts are about */
	struct table_head head;
	size_t rows;            /* read since the beginning */
	size_t checked_refills; /* of the file's buffer, when it was last seen to be unchanged */
	bool is_at_start;
	bool goes_as_it_stands; /* as was checked: each row is one line, in which nothing has to be changed */
};

/* -- Opening ---------------------------------------------------------------------------------------------- */

bool dps_table_open(const char *path, enum dps_bulk_mode mode, struct dps_table **ret_table,
		    struct muster_error *err)
{
	CLEANUP(dps_table_freep) struct dps_table *table = calloc(1, sizeof(*table));

	if (!table)
		return muster_fail_memory(err);
	table->mode = mode;
	if (!table_file_open(&table->file, path, err))
		return false;
	*ret_table = TAKE_PTR(table);
	return true;
}

void dps_table_close(struct dps_table *table)
{
	if (!table)
		return;
	table_file_close(&table->file);
	free(table);
}

void dps_table_set_ek_check(struct dps_table *table, dps_ek_check *check)
{
	table->ek_check = check;
}

void dps_table_set_doubt(struct dps_table *table, int64_t now_ms, dps_table_mistake *doubt,
			 void *context)
{
	table->now_ms = now_ms;
	table->doubts = (struct table_report){ doubt, context, 0 };
}

static bool begin(struct dps_table *table, struct muster_error *err)
{
	table->head = (struct table_head){ 0 };
	table->rows = 0;
	table->is_at_start = true;
	return table_file_begin(&table->file, err);
}

/* -- Rows as documents ------------------------------------------------------------------------------------ */

/* CSV: the cells; *ret_document NULL at the end, or when the head is wrong. */
static bool read_csv(struct dps_table *table, struct table_report *report, cJSON **ret_document,
		     struct muster_error *err)
{
	static const struct dps_table_place first = { 1, 1 };
	struct csv_row *row = &table->file.csv.row;
	size_t before = report->count;
	bool has;

	if (!table_file_next_cells(&table->file, report, &has, err))
		return false;
	if (!has && table->is_at_start && report->count == before)
		report_mistake(report, &first,
			       "the file is empty; its first row must name the columns");
	if (has && table->is_at_start) {
		table->is_at_start = false;
		if (!head_read(&table->head, row, report))
			return true;
		if (!table_file_next_cells(&table->file, report, &has, err))
			return false;
	}
	if (!has)
		return true;
	*ret_document = columns_document(&table->head, row, report);
	return *ret_document || muster_fail_memory(err);
}

static bool read_document(struct dps_table *table, struct table_report *report,
			  cJSON **ret_document, struct muster_error *err)
{
	*ret_document = NULL;
	if (table->file.format == DPS_TABLE_CSV)
		return read_csv(table, report, ret_document, err);
	return table_file_next_object(&table->file, report, ret_document, err);
}

/* -- What goes to the service ------------------------------------------------------------------------------ */

static const char *const service_members[] = { "etag", "registrationState", "createdDateTimeUtc",
					       "lastUpdatedDateTimeUtc" };

static bool is_of_service(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(service_members); i++)
		if (name[0] == service_members[i][0] && strcmp(name, service_members[i]) == 0)
			return true;
	return false;
}

/* What is the service's own does not go back. */
static void make_sendable(cJSON *document)
{
	cJSON *next;

	for (cJSON *item = document->child; item; item = next) {
		next = item->next;
		if (is_of_service(item->string))
			cJSON_Delete(cJSON_DetachItemViaPointer(document, item));
	}
	dps_document_normalise(document);
}

/* A longer line than a bulk has room for may be shorter without its spaces. */
static bool is_sendable(const struct table_file *file, const cJSON *document)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, document) if (is_of_service(item->string)) return false;
	return file->line.length <= BULK_ROOM;
}

/* -- Checking a row --------------------------------------------------------------------------------------- */

static struct dps_table_place place_of(const struct dps_table *table, const char *path)
{
	struct dps_table_place place = table->file.row_place;

	if (table->file.format == DPS_TABLE_CSV)
		return columns_place(&table->head, &table->file.csv.row, path);
	place.column = json_line_column(table->file.line.data, path);
	return place;
}

static void report_problem(struct dps_table *table, struct table_report *report,
			   const struct dps_problem *problem)
{
	struct dps_table_place place = place_of(table, problem->path);
	bool is_certificate = table->file.format == DPS_TABLE_CSV &&
			      strcmp(problem->path, "attestation.x509") == 0;

	report_mistake(report, &place, "%s%s%s%s", problem->path, *problem->path ? ": " : "",
		       problem->message,
		       is_certificate ? "; put the certificate into the column 'certificate', or "
					"export to JSON Lines, whose rows can be updated without it"
				      : "");
}

static void report_problems(struct dps_table *table, struct table_report *report,
			    const struct dps_problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		report_problem(table, report, &problems->list[i]);
}

static void check_whole(struct dps_table *table, const cJSON *document, struct table_report *report)
{
	struct dps_problems problems, doubts;
	const struct dps_document_rules rules = {
		.ek_check = table->ek_check,
		.certificate_may_be_info = table->mode != DPS_BULK_CREATE,
		.keys_must_be_there = table->mode != DPS_BULK_CREATE,
		.doubts = table->doubts.mistake ? &doubts : NULL,
		.now_ms = table->now_ms,
	};

	/* Clearing all of them would take as long as looking for them. */
	problems.count = doubts.count = 0;
	dps_document_check(document, &rules, &problems);
	report_problems(table, report, &problems);
	report_problems(table, &table->doubts, &doubts);
	table->goes_as_it_stands = table->goes_as_it_stands && problems.is_normal &&
				   is_sendable(&table->file, document);
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

/* What cannot be an If-Match header would otherwise be found when the row is sent. NULL: none, or the check of the whole
 * document has it. */
static const char *etag_mistake(enum dps_bulk_mode mode, const cJSON *etag)
{
	const char *text = cJSON_GetStringValue(etag);

	if (!etag || cJSON_IsNull(etag) || (text && !*text))
		return mode == DPS_BULK_UPDATE_IF_MATCH
			       ? "is missing; the mode updates only what still has it"
			       : NULL;
	if (!text)
		return mode == DPS_BULK_DELETE ? "must be a string" : NULL;
	return strpbrk(text, "\r\n") ? "must be one line" : NULL;
}

/* Of a mode that has it as a condition. */
static void check_etag(struct dps_table *table, const cJSON *document, struct table_report *report)
{
	struct dps_problem problem = { .path = "etag" };
	const char *mistake = etag_mistake(table->mode, json_get(document, "etag"));

	if (!mistake)
		return;
	snprintf(problem.message, sizeof(problem.message), "%s", mistake);
	report_problem(table, report, &problem);
}

static void check_document(struct dps_table *table, const cJSON *document,
			   struct table_report *report)
{
	if (table->mode == DPS_BULK_DELETE)
		check_deletion(table, document, report);
	else
		check_whole(table, document, report);
	if (table->mode == DPS_BULK_UPDATE_IF_MATCH || table->mode == DPS_BULK_DELETE)
		check_etag(table, document, report);
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
	if (!id_set_add(seen, id, table->file.row_place.line, &line, &is_same, err))
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

/* A byte of a row becomes six at most ("\u0001"), and the members have names. */
static bool may_be_too_long(const struct table_file *file)
{
	const struct text *row = file->format == DPS_TABLE_CSV ? &file->csv.row.text : &file->line;

	return row->length > (BULK_ALONE_MAX - 1024) / 6;
}

static bool check_size(struct dps_table *table, cJSON *document, struct table_report *report,
		       struct muster_error *err)
{
	char *line;
	size_t length;

	if (table->mode == DPS_BULK_DELETE || !may_be_too_long(&table->file))
		return true;
	make_sendable(document);
	line = json_print_line(document);
	if (!line)
		return muster_fail_memory(err);
	length = strlen(line);
	secret_wipe(line, length);
	free(line);
	if (length > BULK_ALONE_MAX)
		report_mistake(report, &table->file.row_place,
			       "the enrollment has %zu bytes, at most %d can be sent", length,
			       BULK_ALONE_MAX);
	return true;
}

static bool has_key(const cJSON *document)
{
	const cJSON *keys = json_get(json_get(document, "attestation"), "symmetricKey");
	const char *primary = json_text(keys, "primaryKey");
	const char *secondary = json_text(keys, "secondaryKey");

	return (primary && *primary) || (secondary && *secondary);
}

static bool check_rows(struct dps_table *table, struct table_report *report, bool *has_keys,
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
		*has_keys = *has_keys || has_key(document);
		/* A cell that could not be read is missing; that would be said twice. */
		if (report->count == before)
			check_document(table, document, report);
		if (!check_twice(table, &seen, document, report, err) ||
		    !check_size(table, document, report, err))
			return false;
		if (table->rows >= DPS_TABLE_ROWS_MAX)
			return muster_fail(err, CAUSE_INPUT_TOO_LARGE, "'%s' has more than %d rows",
					   table->file.input.path, DPS_TABLE_ROWS_MAX);
	}
}

bool dps_table_check(struct dps_table *table, dps_table_mistake *mistake, void *context,
		     struct dps_table_facts *ret_facts, struct muster_error *err)
{
	struct table_report report = { mistake, context, 0 };
	struct dps_table_facts facts = { 0 };
	bool has_keys = false;

	table->goes_as_it_stands =
		table->file.format == DPS_TABLE_JSONL && table->mode <= DPS_BULK_UPDATE;
	if (!begin(table, err) || !check_rows(table, &report, &has_keys, err) ||
	    !table_file_check_unchanged(&table->file, err))
		return false;
	facts.rows = table->rows;
	facts.mistakes = report.count;
	facts.shows_keys = has_keys && (table->file.status.st_mode & 066);
	if (report.count == 0 && !table_digest_whole(&table->file.input.digest, facts.digest))
		return muster_fail(err, CAUSE_INTERNAL, "'%s' was not read to its end",
				   table->file.input.path);
	*ret_facts = facts;
	return begin(table, err);
}

/* -- The second time through ------------------------------------------------------------------------------ */

/* The etag goes where the mode has it. */
static bool fill_item(const struct dps_table *table, cJSON *document, struct dps_bulk_item *item)
{
	const char *etag = json_text(document, "etag");
	bool has_etag = etag && *etag && table->mode >= DPS_BULK_UPDATE_IF_MATCH;

	item->id = strdup(json_text(document, "registrationId"));
	item->etag = has_etag ? strdup(etag) : NULL;
	return item->id && (!has_etag || item->etag);
}

static bool next_document(struct dps_table *table, struct dps_bulk_item *item, bool *ret_has,
			  struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	struct table_report report = { 0 };

	if (!read_document(table, &report, &document, err))
		return false;
	if (report.count > 0 || (document && !json_text(document, "registrationId")))
		return table_fail_changed(&table->file.input, err);
	*ret_has = document;
	if (!document)
		return true;
	if (!fill_item(table, document, item))
		return muster_fail_memory(err);
	if (table->mode == DPS_BULK_DELETE)
		return true;
	make_sendable(document);
	item->document = TAKE_PTR(document);
	return true;
}

/* Of a line that is valid JSON. */
static bool take_id(const struct dps_table *table, struct dps_bulk_item *item,
		    struct muster_error *err)
{
	const struct text *line = &table->file.line;
	CLEANUP(cJSON_freep) cJSON *id = NULL;
	const char *value;
	size_t length;

	if (!json_text_find(line->data, line->length, "registrationId", &value, &length) ||
	    *value != '"')
		return table_fail_changed(&table->file.input, err);
	id = cJSON_ParseWithLength(value, length);
	item->id = id ? strdup(id->valuestring) : NULL;
	return item->id || muster_fail_memory(err);
}

static bool next_line(struct dps_table *table, struct dps_bulk_item *item, bool *ret_has,
		      struct muster_error *err)
{
	struct table_report report = { 0 };

	if (!table_file_next_line(&table->file, &report, ret_has, err))
		return false;
	if (report.count > 0)
		return table_fail_changed(&table->file.input, err);
	if (!*ret_has)
		return true;
	item->line = strdup(table->file.line.data);
	return item->line ? take_id(table, item, err) : muster_fail_memory(err);
}

/* Whatever stands in the buffer was read before the last look. */
static bool check_unchanged(struct dps_table *table, struct muster_error *err)
{
	size_t refills = table->file.input.refills;

	if (refills == table->checked_refills)
		return true;
	table->checked_refills = refills;
	return table_file_check_unchanged(&table->file, err);
}

bool dps_table_next(struct dps_table *table, struct dps_bulk_item *ret_item, bool *ret_has,
		    struct muster_error *err)
{
	CLEANUP(dps_bulk_item_done) struct dps_bulk_item item = { 0 };

	*ret_has = false;
	if (!(table->goes_as_it_stands ? next_line(table, &item, ret_has, err)
				       : next_document(table, &item, ret_has, err)) ||
	    !check_unchanged(table, err))
		return false;
	if (!*ret_has)
		return true;
	item.tag = (uint64_t)table->file.row_place.line << 32 | table->rows++;
	*ret_item = item;
	item = (struct dps_bulk_item){ 0 };
	return true;
}
