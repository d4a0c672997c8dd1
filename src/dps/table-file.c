#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "muster/json.h"

#include "table-internal.h"

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

void report_unknown(struct table_report *report, const struct dps_table_place *place,
		    const char *what, const char *name, const char *nearest,
		    const char *const *names, size_t count)
{
	CLEANUP(text_done) struct text list = TEXT_MAX(400);

	for (size_t i = 0; i < count; i++)
		text_addf(&list, "%s%s", i > 0 ? ", " : "", names[i]);
	if (strpbrk(name, ";\t"))
		report_mistake(report, place, "there is no %s '%s'; cells are separated by commas",
			       what, PRINTABLE(name));
	else if (nearest)
		report_mistake(report, place, "there is no %s '%s'; did you mean '%s'?", what,
			       PRINTABLE(name), nearest);
	else
		report_mistake(report, place, "there is no %s '%s', but %s", what, PRINTABLE(name),
			       list.data);
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

static bool open_input(struct table_file *file, const char *path, struct muster_error *err)
{
	text_printable(file->input.path, sizeof(file->input.path), path);
	file->input.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (file->input.fd < 0 || fstat(file->input.fd, &file->status) < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading '%s'",
					 file->input.path);
	if (!S_ISREG(file->status.st_mode))
		return muster_fail(
			err, CAUSE_USAGE,
			"'%s' is not a regular file; it is read twice, so a pipe will not do",
			file->input.path);
	return true;
}

bool table_file_open(struct table_file *file, const char *path, struct muster_error *err)
{
	file->input.fd = -1;
	file->format = dps_table_format_of(path);
	file->line = (struct text)TEXT_MAX(DPS_TABLE_ROW_MAX);
	return open_input(file, path, err);
}

void table_file_close(struct table_file *file)
{
	closep(&file->input.fd);
	csv_reader_done(&file->csv);
	text_done(&file->line);
	table_digest_done(&file->input.digest);
	secret_wipe(file->input.buffer, sizeof(file->input.buffer));
}

bool table_file_begin(struct table_file *file, struct muster_error *err)
{
	csv_reader_done(&file->csv);
	file->has_lines = false;
	return input_rewind(&file->input, err) &&
	       (file->format != DPS_TABLE_CSV || csv_reader_begin(&file->csv, err));
}

/* -- Which file it is --------------------------------------------------------------------------------------- */

bool table_fail_changed(const struct table_input *input, struct muster_error *err)
{
	return muster_fail(err, CAUSE_TABLE_CHANGED, "'%s' was changed while it was read",
			   input->path);
}

bool table_file_check_unchanged(const struct table_file *file, struct muster_error *err)
{
	struct stat now;

	if (fstat(file->input.fd, &now) == 0 && now.st_size == file->status.st_size &&
	    now.st_mtim.tv_sec == file->status.st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == file->status.st_mtim.tv_nsec)
		return true;
	return table_fail_changed(&file->input, err);
}

/* -- Rows ----------------------------------------------------------------------------------------------------- */

bool table_file_next_cells(struct table_file *file, struct table_report *report, bool *ret_has,
			   struct muster_error *err)
{
	if (!csv_reader_next(&file->csv, &file->input, report, ret_has, err))
		return false;
	if (*ret_has)
		file->row_place = file->csv.row.cells[0].place;
	return true;
}

static bool read_line(struct table_file *file, bool *ret_has, struct muster_error *err)
{
	if (file->line.data)
		secret_wipe(file->line.data, file->line.length);
	file->line.length = 0;
	file->row_place = file->input.place;
	return input_line(&file->input, &file->line, ret_has, err);
}

static bool is_blank(const struct text *line)
{
	return strspn(line->data ? line->data : "", " \t\r") == line->length;
}

/* "the row: line 1, column 7: ...": the row is one line of the file. */
static void report_line(struct table_file *file, struct table_report *report,
			const struct muster_error *error)
{
	static const char mark[] = ", column ";
	struct dps_table_place place = file->row_place;
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

/* The next line that is a row. One that is too long is a mistake, and the end. */
bool table_file_next_line(struct table_file *file, struct table_report *report, bool *ret_has,
			  struct muster_error *err)
{
	do {
		if (!read_line(file, ret_has, err))
			return false;
		if (file->line.failed) {
			report_mistake(report, &file->row_place, "the row is longer than %d bytes",
				       DPS_TABLE_ROW_MAX);
			*ret_has = false;
		}
	} while (*ret_has && is_blank(&file->line));
	return true;
}

/* What jq and "-o json" write: each line of it would be a mistake. */
static bool is_another_form(const struct text *line)
{
	const char *begin = line->data + strspn(line->data, " \t\r");

	return *begin == '[' || (*begin == '{' && begin[1 + strspn(begin + 1, " \t\r")] == 0);
}

bool table_file_next_object(struct table_file *file, struct table_report *report,
			    cJSON **ret_object, struct muster_error *err)
{
	struct muster_error error;
	bool has;

	if (!table_file_next_line(file, report, &has, err))
		return false;
	if (!has)
		return true;
	if (!file->has_lines && is_another_form(&file->line)) {
		report_mistake(
			report, &file->row_place,
			"this is JSON in another form: each row must be an object in a line "
			"of its own, with nothing around or between them; -o jsonl writes it "
			"so, and jq -c '.[]' makes it of an array");
		return true;
	}
	file->has_lines = true;
	if (!json_parse(file->line.data, file->line.length, "the row", ret_object, &error))
		report_line(file, report, &error);
	else if (!cJSON_IsObject(*ret_object))
		report_mistake(report, &file->row_place, "the row is not a JSON object");
	else
		return true;
	cJSON_Delete(*ret_object);
	*ret_object = cJSON_CreateObject();
	return *ret_object || muster_fail_memory(err);
}
