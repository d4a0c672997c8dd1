/* A document that comes in pages. */
#include <errno.h>
#include <string.h>

#include "muster/json.h"

#include "output.h"

/* As it stands in an indented array: every line two further to the right. */
static bool print_item(FILE *stream, const cJSON *row, struct muster_error *err)
{
	CLEANUP(freep) char *text = json_print_pretty(row);

	if (!text)
		return muster_fail_memory(err);
	for (const char *at = text; *at;) {
		size_t length = strcspn(at, "\n");

		fprintf(stream, "%s  %.*s", at == text ? "" : "\n", (int)length, at);
		at += length + (at[length] == '\n');
	}
	return true;
}

static bool print_items(struct output_rows *rows, const cJSON *page, struct muster_error *err)
{
	const cJSON *row;

	cJSON_ArrayForEach(row, page)
	{
		fputs(rows->printed++ == 0 ? "[\n" : ",\n", rows->stream);
		if (!print_item(rows->stream, row, err))
			return false;
	}
	return true;
}

static bool print_page(struct output_rows *rows, const cJSON *page, struct muster_error *err)
{
	bool is_first = rows->printed == 0;

	switch (rows->format) {
	case OUTPUT_JSON:
		return print_items(rows, page, err);
	case OUTPUT_TABLE:
		rows->printed += (size_t)cJSON_GetArraySize(page);
		return output_table(rows->stream, page, rows->columns, rows->column_count, is_first,
				    rows->widths, err);
	default:
		rows->printed += (size_t)cJSON_GetArraySize(page);
		return output_print(rows->stream, rows->format, page, rows->columns,
				    rows->column_count, err);
	}
}

bool output_rows_page(struct output_rows *rows, const cJSON *page, struct muster_error *err)
{
	return !page->child || (print_page(rows, page, err) && output_flush(rows->stream, err));
}

bool output_rows_end(struct output_rows *rows, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *nothing = NULL;

	if (rows->format == OUTPUT_JSON && rows->printed > 0) {
		fputs("\n]\n", rows->stream);
		return output_flush(rows->stream, err);
	}
	if (rows->printed > 0)
		return true;
	nothing = cJSON_CreateArray();
	if (!nothing)
		return muster_fail_memory(err);
	return output_print(rows->stream, rows->format, nothing, rows->columns, rows->column_count,
			    err);
}
