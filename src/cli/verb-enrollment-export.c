/* muster enrollment export: all enrollments into a file that import takes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "muster/dps-enrollment.h"
#include "muster/dps-table.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"

#include "enrollment.h"

struct export_options {
	const char *format;
	bool include_keys;
	struct login_options login;
};

static const char *const formats[] = {
	[DPS_TABLE_CSV] = "csv",
	[DPS_TABLE_JSONL] = "jsonl",
	NULL,
};

/* clang-format off */
#define ROW(name, kind, placeholder, help, field, choices) \
	{ 0, name, NULL, kind, placeholder, help, offsetof(struct export_options, field), NULL, choices, 0 }
static const struct option_row export_rows[] = {
	ROW("format", OPTION_ONE_OF, "FORMAT", "csv or jsonl; default: by the name of the file", format, formats),
	ROW("include-keys", OPTION_FLAG, NULL, "Symmetric keys too, with a request for each: an update needs them", include_keys, NULL),
	LOGIN_ROWS(struct export_options, login),
	{ 0 },
};
/* clang-format on */

/* One run. */
struct export
{
	const struct export_options *options;
	struct dps_client *client;
	enum dps_table_format format;
	FILE *stream;
	size_t lossy; /* enrollments that hold more than a row of the format */
	char lost[DPS_TABLE_PATH_MAX];
};

static bool write_one(struct export *export, cJSON *enrollment, struct muster_error *err)
{
	const char *id = json_text(enrollment, "registrationId");
	bool has_keys;

	if (!id)
		return muster_fail(err, CAUSE_CLOUD_READ_INVALID,
				   "listing enrollments: one has no registration ID");
	if (export->options->include_keys &&
	    !dps_enrollment_fetch_keys(export->client, id, enrollment, &has_keys, err))
		return false;
	json_sort(enrollment);
	export->lossy += !dps_table_holds(export->format, enrollment, export->lost);
	return dps_table_write(export->format, enrollment, export->stream, err);
}

static bool write_all(struct export *export, struct muster_error *err)
{
	CLEANUP(dps_pager_done) struct dps_pager pager = { 0 };

	dps_table_write_head(export->format, export->stream);
	for (;;) {
		CLEANUP(cJSON_freep) cJSON *page = NULL;
		cJSON *row;

		if (!dps_pager_next(&pager, export->client, &page, err))
			return false;
		if (!page)
			return true;
		cJSON_ArrayForEach(row, page)
		{
			if (!write_one(export, row, err))
				return false;
		}
	}
}

static enum dps_table_format format_of(const struct export_options *options, const char *path)
{
	if (options->format)
		return strcmp(options->format, formats[DPS_TABLE_CSV]) == 0 ? DPS_TABLE_CSV
									    : DPS_TABLE_JSONL;
	return strcmp(path, "-") == 0 ? DPS_TABLE_JSONL : dps_table_format_of(path);
}

static bool write_file(struct export *export, const char *path, struct muster_error *err)
{
	CLEANUP(file_sink_done) struct file_sink sink = FILE_SINK_NONE;
	CLEANUP(fclosep) FILE *stream = NULL;

	if (!file_check_absent(path, err) || !file_sink_open(&sink, path, 0600, err))
		return false;
	stream = fdopen(fcntl(sink.fd, F_DUPFD_CLOEXEC, 0), "w");
	if (!stream)
		return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "creating '%s'",
					 PRINTABLE(path));
	export->stream = stream;
	if (!write_all(export, err))
		return false;
	if (fflush(stream) != 0 || ferror(stream))
		return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "writing '%s'",
					 PRINTABLE(path));
	return file_sink_commit(&sink, err);
}

static void warn_of_loss(const struct export *export)
{
	if (export->lossy > 0)
		log_warning(
			"%zu of the enrollments hold what CSV has no column for, as '%s': an update "
			"from this table would take it away; export to JSON Lines keeps it",
			export->lossy, export->lost);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct export_options *options = call->options;
	const char *path = call->operands[0];
	struct export export = { .options = options,
				 .format = format_of(options, path),
				 .stream = stdout };
	CLEANUP(service_done) struct service service = { 0 };

	if (!service_open(&options->login, &service, err))
		return false;
	export.client = service.client;
	if (!(strcmp(path, "-") == 0 ? write_all(&export, err) : write_file(&export, path, err)))
		return false;
	warn_of_loss(&export);
	return true;
}

const struct verb verb_enrollment_export = {
	.noun = "enrollment",
	.name = "export",
	.operands = "FILE|-",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Write all enrollments to a file",
	.description =
		"Writes CSV, or JSON Lines (.jsonl), as muster enrollment import takes them; - is standard\n"
		"output. The file is new, of mode 0600, and there only when it is whole. The service keeps\n"
		"symmetric keys apart, and without them import creates but does not update; it gives\n"
		"certificates away to nobody: CSV has their thumbprint, with which nothing can be written,\n"
		"and JSON Lines have what an update takes.",
	.options = export_rows,
	.options_size = sizeof(struct export_options),
	.default_output = OUTPUT_JSON,
	.is_as_az = true,
	.run = run,
};
