/* One document, six formats; and errors. */
#include <errno.h>
#include <locale.h>
#include <string.h>

#include <libsmartcols.h>

#include "muster/json.h"
#include "muster/log.h"
#include "muster/text.h"

#include "output.h"

const char *const output_formats[] = {
	[OUTPUT_JSON] = "json",
	[OUTPUT_JSONL] = "jsonl",
	[OUTPUT_YAML] = "yaml",
	[OUTPUT_TABLE] = "table",
	[OUTPUT_TSV] = "tsv",
	[OUTPUT_NONE] = "none",
	NULL,
};

DEFINE_FREEP(table_freep, struct libscols_table *, scols_unref_table)

/* "a b c" */
static bool join_words(const cJSON *array, char **ret_text, struct muster_error *err)
{
	CLEANUP(text_done) struct text words = TEXT_MAX(64 * 1024);
	const cJSON *item;

	cJSON_ArrayForEach(item, array) text_addf(&words, "%s%s", words.length > 0 ? " " : "",
						  cJSON_IsString(item) ? item->valuestring : "");
	*ret_text = text_take(&words, err);
	return *ret_text;
}

/* A cell: texts as they are, words one after the other, everything else as JSON; NULL when there is nothing. */
static bool cell(const cJSON *row, const struct column *column, char **ret_text,
		 struct muster_error *err)
{
	const cJSON *item = json_get(row, column->key);

	*ret_text = NULL;
	if (!item || cJSON_IsNull(item))
		return true;
	if (cJSON_IsArray(item) && !item->child)
		return true;
	if (cJSON_IsArray(item) && cJSON_IsString(item->child))
		return join_words(item, ret_text, err);
	*ret_text = cJSON_IsString(item) ? strdup(item->valuestring) : json_print_line(item);
	return *ret_text ? true : muster_fail_memory(err);
}

/* The rows of a document: its items, or the one object that it is. */
static const cJSON *first_row(const cJSON *document)
{
	return cJSON_IsArray(document) ? document->child : document;
}

static const cJSON *next_row(const cJSON *document, const cJSON *row)
{
	return cJSON_IsArray(document) ? row->next : NULL;
}

/* -- JSON ------------------------------------------------------------------------------------------------- */

static bool print_text(FILE *stream, char *text, struct muster_error *err)
{
	CLEANUP(freep) char *owned = text;

	if (!owned)
		return muster_fail_memory(err);
	fprintf(stream, "%s\n", owned);
	return true;
}

static bool print_lines(FILE *stream, const cJSON *document, struct muster_error *err)
{
	for (const cJSON *row = first_row(document); row; row = next_row(document, row)) {
		if (!print_text(stream, json_print_line(row), err))
			return false;
	}
	return true;
}

static bool print_yaml(FILE *stream, const cJSON *document, struct muster_error *err)
{
	CLEANUP(text_done) struct text yaml = TEXT_MAX(64 * 1024 * 1024);

	if (!yaml_write(document, &yaml))
		return muster_fail_memory(err);
	if (!text_ok(&yaml, err))
		return false;
	fputs(yaml.data ? yaml.data : "", stream);
	return true;
}

/* -- Rows ------------------------------------------------------------------------------------------------- */

/* Without what would drive a terminal. */
static void print_escaped(FILE *stream, const char *text)
{
	for (; text && *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool is_c1 = c == 0xc2 && (unsigned char)text[1] >= 0x80 &&
			     (unsigned char)text[1] < 0xa0;

		switch (*text) {
		case '\t':
			fputs("\\t", stream);
			break;
		case '\n':
			fputs("\\n", stream);
			break;
		case '\\':
			fputs("\\\\", stream);
			break;
		default:
			if (is_c1)
				c = (unsigned char)*++text;
			if (is_c1 || c < 0x20 || c == 0x7f)
				fprintf(stream, "\\x%02x", c);
			else
				fputc(c, stream);
		}
	}
}

static bool print_tsv(FILE *stream, const cJSON *document, const struct column *columns,
		      size_t count, struct muster_error *err)
{
	for (const cJSON *row = first_row(document); row; row = next_row(document, row)) {
		for (size_t i = 0; i < count; i++) {
			CLEANUP(freep) char *text = NULL;

			if (!cell(row, &columns[i], &text, err))
				return false;
			if (i > 0)
				fputc('\t', stream);
			print_escaped(stream, text);
		}
		fputc('\n', stream);
	}
	return true;
}

static bool fill_line(struct libscols_table *table, const cJSON *row, const struct column *columns,
		      size_t count, struct muster_error *err)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	if (!line)
		return muster_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		CLEANUP(freep) char *text = NULL;

		if (!cell(row, &columns[i], &text, err))
			return false;
		if (scols_line_set_data(line, i, text ? text : "-") != 0)
			return muster_fail_memory(err);
	}
	return true;
}

/* How wide a character is only the user's locale knows. The program is not in it: there, letters may have other cases than
 * those of IDs, words and hosts have (Turkish). */
static int print_in_locale(struct libscols_table *table)
{
	static locale_t users;
	locale_t before;
	int result;

	if (!users)
		users = newlocale(LC_CTYPE_MASK, "", NULL);
	before = users ? uselocale(users) : NULL;
	result = scols_print_table(table);
	if (before)
		uselocale(before);
	return result;
}

bool output_table(FILE *stream, const cJSON *document, const struct column *columns, size_t count,
		  bool has_heading, size_t *widths, struct muster_error *err)
{
	CLEANUP(table_freep) struct libscols_table *table = scols_new_table();

	if (!table)
		return muster_fail_memory(err);
	scols_table_set_stream(table, stream);
	scols_table_enable_noheadings(table, !has_heading);
	for (size_t i = 0; i < count; i++) {
		int flags = (columns[i].is_right ? SCOLS_FL_RIGHT : 0) |
			    (columns[i].is_wrapped ? SCOLS_FL_WRAP : 0);

		if (!scols_table_new_column(table, columns[i].title, widths ? (double)widths[i] : 0,
					    flags))
			return muster_fail_memory(err);
	}
	for (const cJSON *row = first_row(document); row; row = next_row(document, row)) {
		if (!fill_line(table, row, columns, count, err))
			return false;
	}
	if (scols_table_get_nlines(table) > 0 && print_in_locale(table) != 0)
		return muster_fail_memory(err);
	for (size_t i = 0; widths && i < count; i++)
		widths[i] = scols_column_get_width(scols_table_get_column(table, i));
	return true;
}

bool output_add(FILE *stream, enum output_format format, const cJSON *document,
		const struct column *columns, size_t count, struct muster_error *err)
{
	switch (format) {
	case OUTPUT_JSON:
		return print_text(stream, json_print_pretty(document), err);
	case OUTPUT_JSONL:
		return print_lines(stream, document, err);
	case OUTPUT_YAML:
		return print_yaml(stream, document, err);
	case OUTPUT_TABLE:
		return output_table(stream, document, columns, count, true, NULL, err);
	case OUTPUT_TSV:
		return print_tsv(stream, document, columns, count, err);
	case OUTPUT_NONE:
		return true;
	}
	return true;
}

bool output_flush(FILE *stream, struct muster_error *err)
{
	return (fflush(stream) == 0 && !ferror(stream)) ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "printing the result");
}

bool output_print(FILE *stream, enum output_format format, const cJSON *document,
		  const struct column *columns, size_t column_count, struct muster_error *err)
{
	return output_add(stream, format, document, columns, column_count, err) &&
	       output_flush(stream, err);
}

bool result_print(const struct invocation *call, const cJSON *result, struct muster_error *err)
{
	const struct verb *verb = call->verb;

	if (call->output == OUTPUT_TSV && verb->rows)
		result = json_get(result, verb->rows);
	return output_print(stdout, call->output, result, verb->columns, verb->column_count, err);
}

/* -- Errors ----------------------------------------------------------------------------------------------- */

/* To be spooled is what was asked for. */
static const char *priority_of(const struct muster_error *failure)
{
	return log_priority(failure->cause == CAUSE_DEVICE_SPOOLED ? LOG_INFO : LOG_ERROR);
}

static bool error_as_json(const struct muster_error *err, const struct muster_cause_info *info,
			  int status, struct muster_error *second)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	char code[8];

	snprintf(code, sizeof(code), "E%04u", (unsigned)err->cause);
	if (!object || !json_add_text(object, "code", code) ||
	    !json_add_int64(object, "exit", status) ||
	    !json_add_text(object, "title", info ? info->title : NULL) ||
	    !json_add_text(object, "detail", err->message) ||
	    !json_add_text(object, "remedy", info ? info->remedy : NULL))
		return muster_fail_memory(second);
	fputs(priority_of(err), stderr);
	return print_text(stderr, json_print_line(object), second);
}

void output_failure(const char *name, const struct muster_error *failure)
{
	fprintf(stderr, "%smuster: %s%s[E%04u] %s\n", priority_of(failure),
		PRINTABLE(name ? name : ""), name ? ": " : "", (unsigned)failure->cause,
		failure->message);
}

void output_error(const struct muster_error *err, enum output_format format, int status)
{
	const struct muster_cause_info *info = muster_cause_find(err->cause);
	struct muster_error second;

	if ((format == OUTPUT_JSON || format == OUTPUT_JSONL) &&
	    error_as_json(err, info, status, &second))
		return;
	output_failure(NULL, err);
	/* A wrong line's sentence says where to look itself. */
	if (info && err->cause != CAUSE_USAGE)
		fprintf(stderr, "%s  try   %s\n", priority_of(err), info->remedy);
}
