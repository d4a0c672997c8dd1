#include <errno.h>
#include <string.h>

#include "muster/json.h"

#include "table-internal.h"

enum column_kind {
	COLUMN_TEXT,
	COLUMN_BOOL,
	COLUMN_WORDS, /* an array of strings; with spaces between */
	COLUMN_JSON,  /* an object */
	COLUMN_SHOWN, /* only written; not read back */
};

#define CERTIFICATES "attestation.x509.clientCertificates"

/* One row per column, in the order of export. The manual has this table, too. */
static const struct {
	const char *name;
	const char *path;
	enum column_kind kind;
} columns[] = {
	{ "registrationId", "registrationId", COLUMN_TEXT },
	{ "deviceId", "deviceId", COLUMN_TEXT },
	{ "attestation", "attestation.type", COLUMN_TEXT },
	{ "endorsementKey", "attestation.tpm.endorsementKey", COLUMN_TEXT },
	{ "primaryKey", "attestation.symmetricKey.primaryKey", COLUMN_TEXT },
	{ "secondaryKey", "attestation.symmetricKey.secondaryKey", COLUMN_TEXT },
	{ "certificate", CERTIFICATES ".primary.certificate", COLUMN_TEXT },
	{ "secondaryCertificate", CERTIFICATES ".secondary.certificate", COLUMN_TEXT },
	{ "thumbprint", CERTIFICATES ".primary.info.sha256Thumbprint", COLUMN_SHOWN },
	{ "provisioningStatus", "provisioningStatus", COLUMN_TEXT },
	{ "allocationPolicy", "allocationPolicy", COLUMN_TEXT },
	{ "iotHubs", "iotHubs", COLUMN_WORDS },
	{ "iotHubHostName", "iotHubHostName", COLUMN_TEXT },
	{ "webhookUrl", "customAllocationDefinition.webhookUrl", COLUMN_TEXT },
	{ "apiVersion", "customAllocationDefinition.apiVersion", COLUMN_TEXT },
	{ "updateHubAssignment", "reprovisionPolicy.updateHubAssignment", COLUMN_BOOL },
	{ "migrateDeviceData", "reprovisionPolicy.migrateDeviceData", COLUMN_BOOL },
	{ "iotEdge", "capabilities.iotEdge", COLUMN_BOOL },
	{ "tags", "initialTwin.tags", COLUMN_JSON },
	{ "properties", "initialTwin.properties.desired", COLUMN_JSON },
	{ "deviceInformation", "optionalDeviceInformation", COLUMN_JSON },
	{ "etag", "etag", COLUMN_TEXT },
};

/* -- The head --------------------------------------------------------------------------------------------- */

static size_t find_column(const char *name)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(columns) && !text_equal_folded(columns[i].name, name))
		i++;
	return i;
}

/* Near is also the one of the member that has this name in JSON. */
static void report_no_column(struct table_report *report, const struct dps_table_place *place,
			     const char *name)
{
	const char *names[ARRAY_SIZE(columns)], *nearest = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		if (text_equal_folded(columns[i].path, name))
			nearest = columns[i].name;
		names[i] = columns[i].name;
	}
	if (!nearest)
		nearest = text_nearest(name, names, ARRAY_SIZE(columns));
	report_unknown(report, place, "column", name, nearest, names, ARRAY_SIZE(columns));
}

static size_t cell_of_column(const struct table_head *head, size_t column)
{
	size_t i = 0;

	while (i < head->count && head->columns[i] != column)
		i++;
	return i;
}

static bool take_name(struct table_head *head, const struct csv_row *row, size_t number,
		      struct table_report *report)
{
	const char *name = csv_cell(row, number);
	size_t column = find_column(name);

	if (column == ARRAY_SIZE(columns)) {
		report_no_column(report, &row->cells[number].place, name);
		return false;
	}
	if (cell_of_column(head, column) < head->count) {
		report_mistake(report, &row->cells[number].place, "column '%s' is there twice",
			       columns[column].name);
		return false;
	}
	head->columns[head->count++] = column;
	return true;
}

bool head_read(struct table_head *head, const struct csv_row *row, struct table_report *report)
{
	bool is_good = row->dropped == 0;

	if (row->dropped > 0)
		report_mistake(report, &row->cells[CELLS_MAX - 1].place,
			       "there are more than %d columns", CELLS_MAX);
	for (size_t i = 0; i < row->count && row->dropped == 0; i++)
		is_good &= take_name(head, row, i, report);
	if (is_good && cell_of_column(head, find_column("registrationId")) == head->count) {
		report_mistake(report, &row->cells[0].place,
			       "the first row must name the columns, and has no registrationId");
		is_good = false;
	}
	return is_good;
}

/* -- A row into a document -------------------------------------------------------------------------------- */

/* Takes item over. The objects on the way are made. */
static bool put_at(cJSON *object, const char *path, cJSON *item)
{
	const char *dot = strchr(path, '.');
	CLEANUP(freep) char *name = NULL;
	cJSON *inner;

	if (!dot)
		return json_add_item(object, path, item);
	name = strndup(path, (size_t)(dot - path));
	inner = name ? json_get(object, name) : NULL;
	if (name && !inner) {
		inner = cJSON_CreateObject();
		if (!json_add_item(object, name, inner))
			inner = NULL;
	}
	if (inner)
		return put_at(inner, dot + 1, item);
	cJSON_Delete(item);
	return false;
}

static cJSON *words_of(const char *text)
{
	CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();

	while (array && *(text += strspn(text, " \t\n")) != 0) {
		size_t length = strcspn(text, " \t\n");
		CLEANUP(freep) char *word = strndup(text, length);

		if (!word || !cJSON_AddItemToArray(array, cJSON_CreateString(word)))
			return NULL;
		text += length;
	}
	return TAKE_PTR(array);
}

/* Without the name of the input in front: the place says it. */
static void report_json(struct table_report *report, const struct dps_table_place *place,
			const char *name, const struct muster_error *error)
{
	report_mistake(report, place, "%s", *error->message ? error->message : name);
}

/* *ret_item NULL when it is wrong, which is in the report. */
static bool value_of(size_t column, const char *text, const struct dps_table_place *place,
		     struct table_report *report, cJSON **ret_item)
{
	struct muster_error error;

	*ret_item = NULL;
	switch (columns[column].kind) {
	case COLUMN_TEXT:
		return (*ret_item = cJSON_CreateString(text)) != NULL;
	case COLUMN_WORDS:
		return (*ret_item = words_of(text)) != NULL;
	case COLUMN_BOOL:
		if (text_equal_folded(text, "true") || text_equal_folded(text, "false"))
			return (*ret_item = cJSON_CreateBool(text_equal_folded(text, "true"))) !=
			       NULL;
		report_mistake(report, place, "%s: '%s' is neither true nor false",
			       columns[column].name, PRINTABLE(text));
		return true;
	case COLUMN_JSON:
		if (!json_parse(text, strlen(text), columns[column].name, ret_item, &error))
			report_json(report, place, columns[column].name, &error);
		return true;
	case COLUMN_SHOWN:
		return true;
	}
	return true;
}

static bool check_text(size_t column, const struct csv_row *row, size_t number,
		       struct table_report *report)
{
	const struct cell *cell = &row->cells[number];
	const char *text = csv_cell(row, number);
	bool is_good = strlen(text) == cell->length && text_is_utf8(text, cell->length);

	if (!is_good)
		report_mistake(report, &cell->place, "%s is not UTF-8 text", columns[column].name);
	return is_good;
}

/* Both halves are needed inside; the service's default for the one that was left out. */
static bool complete_policy(cJSON *document)
{
	static const char *const halves[] = { "updateHubAssignment", "migrateDeviceData" };
	cJSON *policy = json_get(document, "reprovisionPolicy");

	for (size_t i = 0; policy && i < ARRAY_SIZE(halves); i++)
		if (!json_get(policy, halves[i]) && !json_add_bool(policy, halves[i], true))
			return false;
	return true;
}

cJSON *columns_document(const struct table_head *head, const struct csv_row *row,
			struct table_report *report)
{
	CLEANUP(cJSON_freep) cJSON *document = cJSON_CreateObject();

	if (row->count + row->dropped != head->count)
		report_mistake(report, &row->cells[0].place,
			       "the row has %zu cells, the first row %zu",
			       row->count + row->dropped, head->count);
	for (size_t i = 0; i < row->count && i < head->count; i++) {
		size_t column = head->columns[i];
		cJSON *item;

		if (row->cells[i].length == 0 || !check_text(column, row, i, report))
			continue;
		if (!document ||
		    !value_of(column, csv_cell(row, i), &row->cells[i].place, report, &item) ||
		    (item && !put_at(document, columns[column].path, item)))
			return NULL;
	}
	return document && complete_policy(document) ? TAKE_PTR(document) : NULL;
}

/* How much of the column's path and the problem's is the same, in whole names. */
static size_t common_length(const char *a, const char *b)
{
	size_t common = 0;

	for (size_t i = 0;; i++) {
		bool a_ends = a[i] == 0 || a[i] == '.', b_ends = b[i] == 0 || b[i] == '.';

		if (a_ends && b_ends)
			common = i;
		if (a[i] != b[i] || a[i] == 0)
			return common;
	}
}

struct dps_table_place columns_place(const struct table_head *head, const struct csv_row *row,
				     const char *path)
{
	size_t best = 0, best_length = 0;

	for (size_t i = 0; i < head->count && i < row->count; i++) {
		size_t length = common_length(columns[head->columns[i]].path, path);

		if (length > best_length) {
			best = i;
			best_length = length;
		}
	}
	return row->cells[best].place;
}

/* -- What a row cannot hold ------------------------------------------------------------------------------- */

/* The service's own, which nothing sends back. */
static const char *const unsent[] = { "registrationState", "createdDateTimeUtc",
				      "lastUpdatedDateTimeUtc", CERTIFICATES ".primary.info",
				      CERTIFICATES ".secondary.info" };

static bool is_unsent(const char *path)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(unsent) && strcmp(unsent[i], path) != 0)
		i++;
	return i < ARRAY_SIZE(unsent);
}

static bool find_lost(const cJSON *object, const char *above, char ret_lost[DPS_TABLE_PATH_MAX]);

static bool is_lost(const cJSON *item, const char *path, char ret_lost[DPS_TABLE_PATH_MAX])
{
	size_t length = strlen(path);

	if (cJSON_IsNull(item) || is_unsent(path))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		if (strcmp(columns[i].path, path) == 0)
			return false;
		if (text_has_prefix(columns[i].path, path) && columns[i].path[length] == '.' &&
		    cJSON_IsObject(item))
			return find_lost(item, path, ret_lost);
	}
	text_printable(ret_lost, DPS_TABLE_PATH_MAX, path);
	return true;
}

/* A path that is cut off is that of no column either. */
static bool find_lost(const cJSON *object, const char *above, char ret_lost[DPS_TABLE_PATH_MAX])
{
	const cJSON *item;
	char path[DPS_TABLE_PATH_MAX];

	cJSON_ArrayForEach(item, object)
	{
		snprintf(path, sizeof(path), "%s%s%s", above, *above ? "." : "", item->string);
		if (is_lost(item, path, ret_lost))
			return true;
	}
	return false;
}

bool dps_table_holds(enum dps_table_format format, const cJSON *enrollment,
		     char ret_lost[DPS_TABLE_PATH_MAX])
{
	return format == DPS_TABLE_JSONL || !find_lost(enrollment, "", ret_lost);
}

/* -- A document into a row -------------------------------------------------------------------------------- */

static const cJSON *get_at(const cJSON *object, const char *path)
{
	const char *dot = strchr(path, '.');
	CLEANUP(freep) char *name = NULL;

	if (!dot)
		return json_get(object, path);
	name = strndup(path, (size_t)(dot - path));
	return name ? get_at(json_get(object, name), dot + 1) : NULL;
}

static char *join_words(const cJSON *array)
{
	CLEANUP(text_done) struct text words = { 0 };
	struct muster_error ignored;
	const cJSON *word;

	cJSON_ArrayForEach(word, array) text_addf(&words, "%s%s", words.length ? " " : "",
						  cJSON_IsString(word) ? word->valuestring : "");
	return text_take(&words, &ignored);
}

static char *cell_text(const cJSON *item, enum column_kind kind)
{
	if (!item || cJSON_IsNull(item))
		return strdup("");
	if (kind == COLUMN_WORDS)
		return join_words(item);
	return cJSON_IsString(item) ? strdup(item->valuestring) : json_print_line(item);
}

void dps_table_write_head(enum dps_table_format format, FILE *stream)
{
	for (size_t i = 0; format == DPS_TABLE_CSV && i < ARRAY_SIZE(columns); i++)
		fprintf(stream, "%s%s", columns[i].name,
			i + 1 < ARRAY_SIZE(columns) ? "," : "\r\n");
}

static bool write_cell(const cJSON *item, enum column_kind kind, FILE *stream,
		       struct muster_error *err)
{
	char *text = cell_text(item, kind);

	if (!text)
		return muster_fail_memory(err);
	if (strpbrk(text, ",\"\r\n \t"))
		csv_fwrite(stream, text, strlen(text));
	else
		fputs(text, stream);
	secret_wipe(text, strlen(text));
	free(text);
	return true;
}

static bool write_line(const cJSON *enrollment, FILE *stream, struct muster_error *err)
{
	char *text = json_print_line(enrollment);

	if (!text)
		return muster_fail_memory(err);
	fprintf(stream, "%s\n", text);
	secret_wipe(text, strlen(text));
	free(text);
	return true;
}

static bool write_cells(const cJSON *enrollment, FILE *stream, struct muster_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		if (i > 0)
			fputc(',', stream);
		if (!write_cell(get_at(enrollment, columns[i].path), columns[i].kind, stream, err))
			return false;
	}
	fputs("\r\n", stream);
	return true;
}

/* What was lost does not come again, though the next rows may go through. */
bool dps_table_write(enum dps_table_format format, const cJSON *enrollment, FILE *stream,
		     struct muster_error *err)
{
	if (!(format == DPS_TABLE_JSONL ? write_line(enrollment, stream, err)
					: write_cells(enrollment, stream, err)))
		return false;
	return !ferror(stream) ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "writing an enrollment");
}
