/* muster registration: the service's records of devices that have registered. */
#include "muster/dps-enrollment.h"
#include "muster/json.h"

#include "enrollment.h"

struct registration_options {
	const char *id;
	const char *etag;
	const char *group;
	const char *top;
	struct login_options login;
};

/* clang-format off */
#define RECORD_ID_ROW \
	{ 0, "enrollment-id", "eid,registration-id,rid", OPTION_TEXT, "ID", "Registration ID of the device", \
	  offsetof(struct registration_options, id), NULL, NULL, 0 }

static const struct option_row show_rows[] = {
	RECORD_ID_ROW,
	LOGIN_ROWS(struct registration_options, login),
	{ 0 },
};

static const struct option_row delete_rows[] = {
	RECORD_ID_ROW,
	{ 'e', "etag", NULL, OPTION_TEXT, "ETAG", "Delete only what still has this etag; default: whatever is there",
	  offsetof(struct registration_options, etag), NULL, NULL, 0 },
	LOGIN_ROWS(struct registration_options, login),
	{ 0 },
};

static const struct option_row list_rows[] = {
	{ 0, "group-id", "gid", OPTION_TEXT, "ID", "Those of this enrollment group, not of individual enrollments",
	  offsetof(struct registration_options, group), NULL, NULL, 0 },
	{ 0, "top", NULL, OPTION_TEXT, "N", "Print at most N; -1 for all",
	  offsetof(struct registration_options, top), NULL, NULL, 0 },
	LOGIN_ROWS(struct registration_options, login),
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "registrationId", "REGISTRATION ID", false, false },
	{ "status", "STATUS", false, false },
	{ "substatus", "SUBSTATUS", false, false },
	{ "assignedHub", "HUB", false, false },
	{ "deviceId", "DEVICE ID", false, false },
	{ "lastUpdatedDateTimeUtc", "UPDATED", false, false },
};

/* -- One ------------------------------------------------------------------------------------------------- */

static bool run_show(const struct invocation *call, struct muster_error *err)
{
	const struct registration_options *options = call->options;
	CLEANUP(service_done) struct service service = { 0 };
	CLEANUP(cJSON_freep) cJSON *record = NULL;

	if (!enrollment_id_check(call, options->id, err) ||
	    !service_open(&options->login, &service, err) ||
	    !dps_record_fetch(service.client, options->id, &record, err))
		return false;
	json_sort(record);
	return result_print(call, record, err);
}

static bool run_delete(const struct invocation *call, struct muster_error *err)
{
	const struct registration_options *options = call->options;
	CLEANUP(service_done) struct service service = { 0 };

	return enrollment_id_check(call, options->id, err) &&
	       enrollment_etag_check(options->etag, err) &&
	       service_open(&options->login, &service, err) &&
	       dps_record_remove(service.client, options->id,
				 options->etag && *options->etag ? options->etag : "*", err);
}

/* -- Many ------------------------------------------------------------------------------------------------ */

/* The service lists records of groups only: those of individual enrollments are asked for one by one. */
static bool replace_by_records(struct dps_client *client, cJSON *page, int64_t left,
			       struct muster_error *err)
{
	cJSON *next;

	for (cJSON *row = page->child; row; row = next) {
		const char *id = json_text(row, "registrationId");
		cJSON *record = NULL;

		next = row->next;
		if (left > 0 && id && !dps_record_fetch(client, id, &record, err) &&
		    err->cause != CAUSE_REGISTRATION_NOT_FOUND)
			return false;
		left -= record != NULL;
		if (record)
			cJSON_ReplaceItemViaPointer(page, row, record);
		else
			cJSON_Delete(cJSON_DetachItemViaPointer(page, row));
	}
	return true;
}

static void cut(cJSON *page, int64_t left)
{
	while (cJSON_GetArraySize(page) > left)
		cJSON_DeleteItemFromArray(page, cJSON_GetArraySize(page) - 1);
}

static bool print_pages(const char *group, struct dps_client *client, int64_t left,
			struct output_rows *rows, struct muster_error *err)
{
	CLEANUP(dps_pager_done) struct dps_pager pager = { .group = group };

	while (left > 0) {
		CLEANUP(cJSON_freep) cJSON *page = NULL;

		if (!dps_pager_next(&pager, client, &page, err))
			return false;
		if (!page)
			break;
		if (group)
			cut(page, left);
		else if (!replace_by_records(client, page, left, err))
			return false;
		left -= cJSON_GetArraySize(page);
		json_sort(page);
		if (!output_rows_page(rows, page, err))
			return false;
	}
	return output_rows_end(rows, err);
}

static bool run_list(const struct invocation *call, struct muster_error *err)
{
	const struct registration_options *options = call->options;
	CLEANUP(service_done) struct service service = { 0 };
	struct output_rows rows = { .stream = stdout,
				    .format = call->output,
				    .columns = columns,
				    .column_count = ARRAY_SIZE(columns) };
	int64_t top = 0;

	return (!options->group || dps_path_id_check(options->group, err)) &&
	       list_top_read(options->top, &top, err) &&
	       service_open(&options->login, &service, err) &&
	       print_pages(options->group, service.client, top, &rows, err);
}

#define REGISTRATION_VERB                                                            \
	.noun = "registration", .options_size = sizeof(struct registration_options), \
	.default_output = OUTPUT_JSON, .is_as_az = true

const struct verb verb_registration_show = {
	REGISTRATION_VERB,
	.name = "show",
	.summary = "Show the record of a device that has registered",
	.description =
		"Prints the registration record as the service has it, members sorted by name.",
	.options = show_rows,
	COLUMNS(columns),
	.run = run_show,
};

const struct verb verb_registration_delete = {
	REGISTRATION_VERB,
	.name = "delete",
	.summary = "Delete the record of a device that has registered",
	.description =
		"Deletes the registration record and asks nothing. The enrollment stays, and so does the\n"
		"device at its hub; at its next registration it is assigned anew.",
	.options = delete_rows,
	.run = run_delete,
};

const struct verb verb_registration_list = {
	REGISTRATION_VERB,
	.name = "list",
	.summary = "List the records of devices that have registered",
	.description =
		"Prints the records of all individual enrollments, which takes one request for each of them,\n"
		"or those of an enrollment group. Rows are printed as they come.",
	.options = list_rows,
	COLUMNS(columns),
	.run = run_list,
};
