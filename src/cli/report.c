/* Mistakes in profiles and configuration files. */
#include "muster/json.h"
#include "muster/log.h"
#include "muster/text.h"

#include "report.h"

void report_print(const struct profile_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		CLEANUP(text_done) struct text text = TEXT_MAX(64 * 1024);

		profile_mistake_print(report, i, &text);
		fprintf(stderr, "%s%s",
			log_priority(report->rows[i].is_warning ? LOG_WARNING : LOG_ERROR),
			text.data ? text.data : "");
	}
}

static bool add_row(const struct profile_report *report, const struct profile_mistake *row,
		    cJSON *array)
{
	cJSON *object = cJSON_CreateObject();
	char code[8];

	snprintf(code, sizeof(code), "E%04u", (unsigned)row->cause);
	return object && cJSON_AddItemToArray(array, object) &&
	       json_add_text(object, "path", report->path) &&
	       json_add_int64(object, "line", row->line) &&
	       json_add_int64(object, "column", row->column) &&
	       json_add_text(object, "code", code) &&
	       json_add_text(object, "severity", row->is_warning ? "warning" : "error") &&
	       json_add_text(object, "message", row->message);
}

bool report_add_json(const struct profile_report *report, cJSON *array, struct muster_error *err)
{
	for (size_t i = 0; i < report->count; i++) {
		if (!add_row(report, &report->rows[i], array))
			return muster_fail_memory(err);
	}
	return true;
}

bool report_config_load(struct config *ret_config, struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	bool is_loaded = config_load(ret_config, &report, err);

	report_print(&report);
	return is_loaded;
}
