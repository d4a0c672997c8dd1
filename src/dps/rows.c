#include <stdlib.h>
#include <string.h>

#include "muster/dps-rows.h"
#include "muster/json.h"

#include "table-internal.h"

struct dps_rows {
	struct table_file file;
	struct table_report report;
	const char *const *names;
	size_t name_count;
	size_t cell_count;                /* CSV: cells of the first row */
	size_t cells[DPS_ROWS_NAMES_MAX]; /* CSV: of each name, from 1; 0: not there */
	bool is_at_start;
	cJSON *object; /* JSON Lines: the row */
};

bool dps_rows_open(const char *path, const char *const *names, size_t count,
		   struct dps_rows **ret_rows, struct muster_error *err)
{
	CLEANUP(dps_rows_freep) struct dps_rows *rows = calloc(1, sizeof(*rows));

	if (!rows)
		return muster_fail_memory(err);
	rows->names = names;
	rows->name_count = count;
	if (!table_file_open(&rows->file, path, err))
		return false;
	*ret_rows = TAKE_PTR(rows);
	return true;
}

void dps_rows_close(struct dps_rows *rows)
{
	if (!rows)
		return;
	table_file_close(&rows->file);
	cJSON_Delete(rows->object);
	free(rows);
}

bool dps_rows_digest(const struct dps_rows *rows, uint8_t digest[SHA256_SIZE],
		     struct muster_error *err)
{
	return table_digest_whole(&rows->file.input.digest, digest) ||
	       muster_fail(err, CAUSE_INTERNAL, "'%s' was not read to its end",
			   rows->file.input.path);
}

bool dps_rows_check_unchanged(const struct dps_rows *rows, struct muster_error *err)
{
	return table_file_check_unchanged(&rows->file, err);
}

bool dps_rows_begin(struct dps_rows *rows, dps_table_mistake *mistake, void *context,
		    struct muster_error *err)
{
	rows->report = (struct table_report){ mistake, context, 0 };
	rows->is_at_start = true;
	return table_file_begin(&rows->file, err);
}

void dps_rows_mistake(struct dps_rows *rows, const struct dps_table_place *place,
		      const char *message)
{
	report_mistake(&rows->report, place, "%s", message);
}

size_t dps_rows_mistakes(const struct dps_rows *rows)
{
	return rows->report.count;
}

/* -- Names ------------------------------------------------------------------------------------------------------- */

static size_t find_name(const struct dps_rows *rows, const char *name)
{
	size_t i = 0;

	while (i < rows->name_count && !text_equal_folded(rows->names[i], name))
		i++;
	return i;
}

static void report_no_name(struct dps_rows *rows, const struct dps_table_place *place,
			   const char *what, const char *name)
{
	report_unknown(&rows->report, place, what, name,
		       text_nearest(name, rows->names, rows->name_count), rows->names,
		       rows->name_count);
}

static bool take_name(struct dps_rows *rows, const struct csv_row *row, size_t number)
{
	const struct dps_table_place *place = &row->cells[number].place;
	size_t name = find_name(rows, csv_cell(row, number));

	if (name == rows->name_count) {
		report_no_name(rows, place, "column", csv_cell(row, number));
		return false;
	}
	if (rows->cells[name] > 0) {
		report_mistake(&rows->report, place, "column '%s' is there twice",
			       rows->names[name]);
		return false;
	}
	rows->cells[name] = number + 1;
	return true;
}

/* False when there is a mistake: then nothing below can be understood. */
static bool read_head(struct dps_rows *rows)
{
	const struct csv_row *row = &rows->file.csv.row;
	bool is_good = row->dropped == 0;

	memset(rows->cells, 0, sizeof(rows->cells));
	rows->cell_count = row->count;
	if (row->dropped > 0)
		report_mistake(&rows->report, &row->cells[CELLS_MAX - 1].place,
			       "there are more than %d columns", CELLS_MAX);
	for (size_t i = 0; i < row->count && row->dropped == 0; i++)
		is_good &= take_name(rows, row, i);
	return is_good;
}

/* -- Rows -------------------------------------------------------------------------------------------------------- */

static const char *cell_of(struct dps_rows *rows, size_t name)
{
	const struct csv_row *row = &rows->file.csv.row;
	size_t number = rows->cells[name] - 1;
	const char *text;

	if (rows->cells[name] == 0 || number >= row->count || row->cells[number].length == 0)
		return NULL;
	text = csv_cell(row, number);
	if (strlen(text) == row->cells[number].length &&
	    text_is_utf8(text, row->cells[number].length))
		return text;
	report_mistake(&rows->report, &row->cells[number].place, "%s is not UTF-8 text",
		       rows->names[name]);
	return NULL;
}

static bool next_cells(struct dps_rows *rows, const char **ret_values, bool *ret_has,
		       struct muster_error *err)
{
	const struct csv_row *row = &rows->file.csv.row;

	if (!table_file_next_cells(&rows->file, &rows->report, ret_has, err))
		return false;
	if (*ret_has && rows->is_at_start) {
		rows->is_at_start = false;
		*ret_has = read_head(rows);
		if (*ret_has && !table_file_next_cells(&rows->file, &rows->report, ret_has, err))
			return false;
	}
	if (!*ret_has)
		return true;
	if (row->count + row->dropped != rows->cell_count)
		report_mistake(&rows->report, &rows->file.row_place,
			       "the row has %zu cells, the first row %zu",
			       row->count + row->dropped, rows->cell_count);
	for (size_t i = 0; i < rows->name_count; i++)
		ret_values[i] = cell_of(rows, i);
	return true;
}

static struct dps_table_place place_of_member(const struct dps_rows *rows, const char *name)
{
	struct dps_table_place place = rows->file.row_place;

	place.column = json_line_column(rows->file.line.data, name);
	return place;
}

static void take_member(struct dps_rows *rows, const cJSON *member, const char **ret_values)
{
	size_t name = 0;
	struct dps_table_place place = place_of_member(rows, member->string);

	while (name < rows->name_count && strcmp(rows->names[name], member->string) != 0)
		name++;
	if (name == rows->name_count)
		report_no_name(rows, &place, "member", member->string);
	else if (!cJSON_IsString(member) && !cJSON_IsNull(member))
		report_mistake(&rows->report, &place, "%s is not a text", rows->names[name]);
	else if (cJSON_IsString(member) && *member->valuestring)
		ret_values[name] = member->valuestring;
}

static bool next_object(struct dps_rows *rows, const char **ret_values, bool *ret_has,
			struct muster_error *err)
{
	const cJSON *member;

	cJSON_Delete(TAKE_PTR(rows->object));
	if (!table_file_next_object(&rows->file, &rows->report, &rows->object, err))
		return false;
	*ret_has = rows->object != NULL;
	for (size_t i = 0; i < rows->name_count; i++)
		ret_values[i] = NULL;
	cJSON_ArrayForEach(member, rows->object) take_member(rows, member, ret_values);
	return true;
}

bool dps_rows_next(struct dps_rows *rows, const char **ret_values, bool *ret_has,
		   struct muster_error *err)
{
	return rows->file.format == DPS_TABLE_CSV ? next_cells(rows, ret_values, ret_has, err)
						  : next_object(rows, ret_values, ret_has, err);
}

struct dps_table_place dps_rows_place(const struct dps_rows *rows, size_t name)
{
	const struct csv_row *row = &rows->file.csv.row;

	if (rows->file.format == DPS_TABLE_JSONL)
		return place_of_member(rows, rows->names[name]);
	return rows->cells[name] > 0 && rows->cells[name] <= row->count
		       ? row->cells[rows->cells[name] - 1].place
		       : rows->file.row_place;
}
