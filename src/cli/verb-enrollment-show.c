/* muster enrollment show: one enrollment as the service has it. */
#include "muster/dps-enrollment.h"
#include "muster/json.h"
#include "muster/log.h"

#include "enrollment.h"

struct show_options {
	const char *id;
	enum option_bool show_keys;
	struct login_options login;
};

/* clang-format off */
static const struct option_row rows[] = {
	ENROLLMENT_ID_ROW(struct show_options),
	{ 0, "show-keys", "keys", OPTION_BOOL, "true|false", "Show symmetric keys too, which the service keeps apart",
	  offsetof(struct show_options, show_keys), NULL, NULL, 0 },
	LOGIN_ROWS(struct show_options, login),
	{ 0 },
};
/* clang-format on */

static bool add_keys(struct dps_client *client, const char *id, cJSON *enrollment,
		     struct muster_error *err)
{
	bool has_keys;

	if (!dps_enrollment_fetch_keys(client, id, enrollment, &has_keys, err))
		return false;
	if (!has_keys)
		log_warning("--show-keys: only symmetric keys can be shown, and this enrollment's "
			    "attestation is '%s'",
			    PRINTABLE(json_text(json_get(enrollment, "attestation"), "type")));
	return true;
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct show_options *options = call->options;
	CLEANUP(service_done) struct service service = { 0 };
	CLEANUP(cJSON_freep) cJSON *enrollment = NULL;

	return enrollment_id_check(call, options->id, err) &&
	       service_open(&options->login, &service, err) &&
	       dps_enrollment_fetch(service.client, options->id, &enrollment, err) &&
	       (options->show_keys != OPTION_TRUE ||
		add_keys(service.client, options->id, enrollment, err)) &&
	       enrollment_print(call, enrollment, err);
}

const struct verb verb_enrollment_show = {
	.noun = "enrollment",
	.name = "show",
	.summary = "Show an enrollment",
	.description = "Prints the enrollment as the service has it, members sorted by name.",
	.options = rows,
	.options_size = sizeof(struct show_options),
	.default_output = OUTPUT_JSON,
	.is_as_az = true,
	COLUMNS(enrollment_columns),
	.run = run,
};
