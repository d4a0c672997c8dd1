#include <string.h>

#include "table-internal.h"

/* -- What libcsv calls back ------------------------------------------------------------------------------- */

static void take_cell(void *data, size_t length, void *context)
{
	struct csv_reader *reader = context;
	struct csv_row *row = &reader->row;

	reader->is_in_cell = false;
	if (row->count == CELLS_MAX) {
		row->dropped++;
		return;
	}
	row->cells[row->count++] = (struct cell){ reader->cell_place, row->text.length, length };
	if (length > 0)
		text_add_bytes(&row->text, data, length);
	text_add_bytes(&row->text, "", 1);
}

static void take_row(int terminator, void *context)
{
	struct csv_reader *reader = context;

	(void)terminator;
	reader->is_in_cell = false;
	reader->is_complete = true;
}

/* -- Rows ------------------------------------------------------------------------------------------------- */

bool csv_reader_begin(struct csv_reader *reader, struct muster_error *err)
{
	*reader = (struct csv_reader){ .row.text = TEXT_MAX(DPS_TABLE_ROW_MAX) };
	if (csv_init(&reader->parser, CSV_STRICT | CSV_STRICT_FINI) != 0)
		return muster_fail_memory(err);
	reader->is_begun = true;
	return true;
}

void csv_reader_done(struct csv_reader *reader)
{
	if (reader->is_begun)
		csv_free(&reader->parser);
	text_done(&reader->row.text);
	*reader = (struct csv_reader){ 0 };
}

static void row_clear(struct csv_row *row)
{
	if (row->text.data)
		secret_wipe(row->text.data, row->text.length);
	row->text.length = 0;
	row->text.failed = false;
	row->count = 0;
	row->dropped = 0;
}

const char *csv_cell(const struct csv_row *row, size_t number)
{
	return row->text.data + row->cells[number].offset;
}

/* The parser keeps the cell that it is in; its size is not ours to bound but by what we feed. */
static bool is_too_long(const struct csv_reader *reader)
{
	return reader->row.text.failed || reader->parser.entry_pos > DPS_TABLE_ROW_MAX;
}

static bool fail_format(struct csv_reader *reader, struct table_report *report,
			const struct dps_table_place *place, const char *message, bool *ret_has)
{
	report_mistake(report, place, "%s; what follows cannot be read", message);
	reader->has_ended = true;
	*ret_has = false;
	return true;
}

static bool finish(struct csv_reader *reader, struct table_report *report, bool *ret_has)
{
	reader->has_ended = true;
	if (csv_fini(&reader->parser, take_cell, take_row, reader) != 0)
		return fail_format(reader, report, &reader->cell_place,
				   "the quoted cell that begins here has no end", ret_has);
	*ret_has = reader->is_complete;
	return true;
}

bool csv_reader_next(struct csv_reader *reader, struct table_input *input,
		     struct table_report *report, bool *ret_has, struct muster_error *err)
{
	*ret_has = false;
	row_clear(&reader->row);
	reader->is_complete = false;
	if (reader->has_ended)
		return true;
	while (!reader->is_complete) {
		struct dps_table_place place = input->place;
		int next = input_next(input, err);
		unsigned char byte = (unsigned char)next;

		if (next < 0)
			return next == -1 && finish(reader, report, ret_has);
		if (!reader->is_in_cell &&
		    (reader->row.count > 0 || (byte != '\n' && byte != '\r'))) {
			reader->is_in_cell = true;
			reader->cell_place = place;
		}
		/* Byte by byte: only so it is known where each cell begins. */
		if (csv_parse(&reader->parser, &byte, 1, take_cell, take_row, reader) != 1)
			return fail_format(
				reader, report, &place,
				"a quotation mark stands inside a cell without being doubled, or a "
				"quoted cell goes on behind its end",
				ret_has);
		if (is_too_long(reader))
			return fail_format(reader, report, &reader->cell_place,
					   "the row is too long", ret_has);
	}
	*ret_has = true;
	return true;
}
