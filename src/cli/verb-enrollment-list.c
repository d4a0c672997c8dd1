/* muster enrollment list: all enrollments, or those that are asked for, page by page. */
#include <string.h>

#include "muster/dps-enrollment.h"
#include "muster/json.h"

#include "enrollment.h"
#include "fields.h"

struct list_options {
	const char *top;
	const char *fields;
	const char *status;
	const char *attestation;
	const char *hub;
	const char *prefix;
	struct login_options login;
};

static const char *const statuses[] = { "enabled", "disabled", NULL };
static const char *const attestations[] = { "symmetricKey", "tpm", "x509", NULL };

/* clang-format off */
#define ROW(name, aliases, kind, placeholder, help, field, choices) \
	{ 0, name, aliases, kind, placeholder, help, offsetof(struct list_options, field), NULL, choices, 0 }
static const struct option_row list_rows[] = {
	ROW("top", NULL, OPTION_TEXT, "N", "Print at most N; -1 for all", top, NULL),
	ROW("fields", NULL, OPTION_TEXT, "NAMES", "Print only these members, e.g. registrationId,attestation.type",
	    fields, NULL),
	ROW("provisioning-status", "ps", OPTION_ONE_OF, "STATUS", "Only those that are enabled or disabled", status,
	    statuses),
	ROW("attestation-type", "at", OPTION_ONE_OF, "TYPE", "Only symmetricKey, tpm or x509", attestation,
	    attestations),
	ROW("hub", NULL, OPTION_TEXT, "HOST", "Only those that name this hub", hub, NULL),
	ROW("id-prefix", NULL, OPTION_TEXT, "TEXT", "Only registration IDs that begin so, in any letter case", prefix,
	    NULL),
	LOGIN_ROWS(struct list_options, login),
	{ 0 },
};
/* clang-format on */

/* -- Which ------------------------------------------------------------------------------------------------ */

static bool is_hub(const cJSON *item, const char *hub)
{
	const char *name = cJSON_GetStringValue(item);

	return name && text_equal_folded(name, hub);
}

static bool has_hub(const cJSON *enrollment, const char *hub)
{
	const cJSON *item;

	cJSON_ArrayForEach(item,
			   json_get(enrollment, "iotHubs")) if (is_hub(item, hub)) return true;
	return is_hub(json_get(enrollment, "iotHubHostName"), hub);
}

static bool has_text(const cJSON *object, const char *name, const char *fallback,
		     const char *wanted)
{
	const char *text = json_text(object, name);

	return text_equal_folded(text ? text : fallback, wanted);
}

static bool is_wanted(const struct list_options *options, const cJSON *enrollment)
{
	const char *id = json_text(enrollment, "registrationId");

	if (options->status &&
	    !has_text(enrollment, "provisioningStatus", "enabled", options->status))
		return false;
	if (options->attestation &&
	    !has_text(json_get(enrollment, "attestation"), "type", "none", options->attestation))
		return false;
	if (options->hub && !has_hub(enrollment, options->hub))
		return false;
	return !options->prefix ||
	       (id && strncasecmp(id, options->prefix, strlen(options->prefix)) == 0);
}

static bool is_filtered(const struct list_options *options)
{
	return options->status || options->attestation || options->hub || options->prefix;
}

/* -- How many --------------------------------------------------------------------------------------------- */

/* Takes out what is not wanted and what is beyond *left. */
static void reduce(const struct list_options *options, cJSON *page, int64_t *left)
{
	cJSON *next;

	for (cJSON *row = page->child; row; row = next) {
		next = row->next;
		if (*left > 0 && is_wanted(options, row))
			(*left)--;
		else
			cJSON_Delete(cJSON_DetachItemViaPointer(page, row));
	}
}

/* -- The list --------------------------------------------------------------------------------------------- */

static bool print_pages(const struct list_options *options, struct dps_client *client, int64_t left,
			struct fields *fields, struct output_rows *rows, struct muster_error *err)
{
	CLEANUP(dps_pager_done) struct dps_pager pager = { .page_size = DPS_PAGE_SIZE };

	while (left > 0) {
		CLEANUP(cJSON_freep) cJSON *page = NULL;

		if (!is_filtered(options) && left < (int64_t)pager.page_size)
			pager.page_size = (unsigned)left;
		if (!dps_pager_next(&pager, client, &page, err))
			return false;
		if (!page)
			break;
		reduce(options, page, &left);
		json_sort(page);
		if (!fields_select(fields, page, err) || !output_rows_page(rows, page, err))
			return false;
	}
	fields_warn(fields);
	return output_rows_end(rows, err);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct list_options *options = call->options;
	CLEANUP(service_done) struct service service = { 0 };
	CLEANUP(fields_done) struct fields fields = { 0 };
	struct output_rows rows = { .stream = stdout, .format = call->output };
	int64_t top = 0;

	if (!list_top_read(options->top, &top, err) ||
	    !fields_parse(options->fields, &fields, err) ||
	    !service_open(&options->login, &service, err))
		return false;
	rows.columns = fields.count > 0 ? fields.columns : enrollment_columns;
	rows.column_count = fields.count > 0 ? fields.count : ENROLLMENT_COLUMN_COUNT;
	return print_pages(options, service.client, top, &fields, &rows, err);
}

const struct verb verb_enrollment_list = {
	.noun = "enrollment",
	.name = "list",
	.summary = "List enrollments",
	.description =
		"Prints all enrollments as the service has them, members sorted by name, or those that all\n"
		"given conditions hold for. Rows are printed as they come; the service is asked page by page.",
	.options = list_rows,
	.options_size = sizeof(struct list_options),
	.default_output = OUTPUT_JSON,
	.is_as_az = true,
	COLUMNS(enrollment_columns),
	.run = run,
};
