#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SOURCE_LINE_MAX 160

bool source_open(struct source *source, const char *path, const char *data, size_t size,
		 struct profile_report *report, struct muster_error *err)
{
	*source = (struct source){ .path = path, .data = data, .size = size, .report = report };
	profile_report_done(report);
	report->path = strdup(path);
	return report->path ? true : muster_fail_memory(err);
}

void profile_report_done(struct profile_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		free(report->rows[i].message);
		free(report->rows[i].source);
	}
	free(report->rows);
	free(report->path);
	*report = (struct profile_report){ 0 };
}

/* -- Places ------------------------------------------------------------------------------------------------- */

static unsigned count_characters(const char *data, size_t size)
{
	unsigned count = 0;

	for (size_t i = 0; i < size; i++)
		count += ((unsigned char)data[i] & 0xc0) != 0x80;
	return count;
}

static size_t find_line_start(const struct source *source, size_t at)
{
	while (at > 0 && source->data[at - 1] != '\n')
		at--;
	return at;
}

static size_t find_line_end(const struct source *source, size_t at)
{
	while (at < source->size && source->data[at] != '\n' && source->data[at] != '\r')
		at++;
	return at;
}

/* The line, cut when it is long, its control characters as blanks so that the caret stays where it belongs. */
static char *copy_line(const struct source *source, size_t start, size_t end)
{
	char *line;

	if (end - start > SOURCE_LINE_MAX) {
		end = start + SOURCE_LINE_MAX;
		while (end > start && ((unsigned char)source->data[end] & 0xc0) == 0x80)
			end--;
	}
	line = strndup(source->data + start, end - start);
	if (!line || !text_is_utf8(line, strlen(line)) || text_may_be_secret(line)) {
		free(line);
		return strdup("");
	}
	for (char *c = line; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	}
	return line;
}

static void locate(const struct source *source, struct span span, struct profile_mistake *row)
{
	size_t at = span.at < source->size ? span.at : source->size;
	size_t start = find_line_start(source, at);
	size_t end = find_line_end(source, start);
	size_t stop = at + span.length < end ? at + span.length : end;

	row->line = 1;
	for (size_t i = 0; i < start; i++)
		row->line += source->data[i] == '\n';
	row->column = count_characters(source->data + start, at - start) + 1;
	row->width = stop > at ? count_characters(source->data + at, stop - at) : 1;
	if (!row->source)
		row->source = copy_line(source, start, end);
}

/* -- Rows --------------------------------------------------------------------------------------------------- */

static bool append(struct profile_report *report, const struct profile_mistake *row)
{
	struct profile_mistake *rows = reallocarray(report->rows, report->count + 1, sizeof(*rows));

	if (!rows)
		return false;
	report->rows = rows;
	rows[report->count++] = *row;
	report->mistakes += !row->is_warning;
	return true;
}

static PRINTF_LIKE(4, 0) void add_row(struct source *source, struct profile_mistake row,
				      struct span span, const char *format, va_list arguments)
{
	if (source->report->count >= MISTAKES_MAX) {
		free(row.source);
		return;
	}
	if (vasprintf(&row.message, format, arguments) < 0)
		row.message = NULL;
	locate(source, span, &row);
	if (row.message && row.source && append(source->report, &row))
		return;
	free(row.message);
	free(row.source);
	source->is_out_of_memory = true;
}

void mistake_add(struct source *source, enum muster_cause cause, struct span span,
		 const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_row(source, (struct profile_mistake){ .cause = cause }, span, format, arguments);
	va_end(arguments);
}

void mistake_add_unseen(struct source *source, enum muster_cause cause, struct span span,
			const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_row(source, (struct profile_mistake){ .cause = cause, .source = strdup("") }, span,
		format, arguments);
	va_end(arguments);
}

void warning_add(struct source *source, enum muster_cause cause, struct span span,
		 const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_row(source, (struct profile_mistake){ .cause = cause, .is_warning = true }, span,
		format, arguments);
	va_end(arguments);
}

static int compare_places(const void *a, const void *b)
{
	const struct profile_mistake *left = a, *right = b;

	if (left->line != right->line)
		return left->line < right->line ? -1 : 1;
	if (left->column != right->column)
		return left->column < right->column ? -1 : 1;
	return left->cause < right->cause ? -1 : left->cause > right->cause;
}

bool source_close(struct source *source, struct muster_error *err)
{
	struct profile_report *report = source->report;

	if (source->is_out_of_memory)
		return muster_fail_memory(err);
	if (report->count > 0)
		qsort(report->rows, report->count, sizeof(*report->rows), compare_places);
	if (report->mistakes == 0)
		return true;
	return muster_fail(err, CAUSE_PROFILE_INVALID, "'%s' has %zu mistake%s",
			   PRINTABLE(source->path), report->mistakes,
			   report->mistakes == 1 ? "" : "s");
}

void profile_mistake_print(const struct profile_report *report, size_t row, struct text *out)
{
	const struct profile_mistake *mistake = &report->rows[row];
	unsigned width = count_characters(mistake->source, strlen(mistake->source));

	text_addf(out, "%s:%u:%u: %s E%04d: %s\n", report->path, mistake->line, mistake->column,
		  mistake->is_warning ? "warning" : "error", (int)mistake->cause, mistake->message);
	if (width == 0 || mistake->column > width + 1)
		return; /* beyond what is shown of a long line, or the end of the file */
	text_addf(out, "%s\n%*s^", mistake->source, (int)mistake->column - 1, "");
	for (unsigned i = 1; i < mistake->width && mistake->column + i <= width; i++)
		text_add_char(out, '~');
	text_add_char(out, '\n');
}
