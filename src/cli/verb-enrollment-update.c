/* muster enrollment update: what is said changes, everything else stays as it is. */
#include "muster/dps-enrollment.h"
#include "muster/json.h"

#include "enrollment-settings.h"

struct update_options {
	const char *id;
	const char *etag;
	bool force;
	enum option_bool remove_certificate, remove_secondary_certificate;
	struct settings_options settings;
	struct login_options login;
};

/* clang-format off */
static const struct option_row rows[] = {
	ENROLLMENT_ID_ROW(struct update_options),
	{ 'e', "etag", NULL, OPTION_TEXT, "ETAG", "Update only what still has this etag; default: the one just read",
	  offsetof(struct update_options, etag), NULL, NULL, 0 },
	{ 0, "force", NULL, OPTION_FLAG, NULL, "Write over what others wrote meanwhile",
	  offsetof(struct update_options, force), NULL, NULL, 0 },
	{ 0, "remove-certificate", "rc", OPTION_BOOL, "true|false", "Remove the first certificate",
	  offsetof(struct update_options, remove_certificate), NULL, NULL, 0 },
	{ 0, "remove-secondary-certificate", "rsc", OPTION_BOOL, "true|false", "Remove the second certificate",
	  offsetof(struct update_options, remove_secondary_certificate), NULL, NULL, 0 },
	SETTINGS_ROWS(struct update_options, settings),
	LOGIN_ROWS(struct update_options, login),
	{ 0 },
};
/* clang-format on */

static bool compose(const struct update_options *options, struct settings *settings,
		    struct muster_error *err)
{
	if (!settings_prepare(&options->settings, settings, err))
		return false;
	settings->values.remove_certificate = options->remove_certificate == OPTION_TRUE;
	settings->values.remove_secondary_certificate =
		options->remove_secondary_certificate == OPTION_TRUE;
	return dps_settings_check_change(&settings->values, err) &&
	       settings_read_material(options->id, false, settings, err);
}

static bool prepare(const struct update_options *options, struct dps_client *client,
		    struct settings *settings, struct dps_update *ret_update,
		    struct muster_error *err)
{
	struct dps_update_terms terms = {
		.id = options->id,
		.settings = &settings->values,
		.etag = options->etag && *options->etag ? options->etag : NULL,
		.force = options->force,
	};

	return dps_update_prepare(client, &terms, ret_update, err) &&
	       settings_check_body(&options->settings, &ret_update->body, err);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct update_options *options = call->options;
	CLEANUP(settings_done) struct settings settings = { 0 };
	CLEANUP(service_done) struct service service = { 0 };
	CLEANUP(dps_update_done) struct dps_update update = { 0 };
	CLEANUP(cJSON_freep) cJSON *enrollment = NULL;

	if (options->etag && options->force)
		return muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
				   "--etag and --force exclude each other");
	if (!enrollment_id_check(call, options->id, err) ||
	    !enrollment_etag_check(options->etag, err) || !compose(options, &settings, err) ||
	    !service_open(&options->login, &service, err) ||
	    !prepare(options, service.client, &settings, &update, err))
		return false;
	if (options->settings.dry_run)
		return enrollment_print_put(call, service.client, options->id, &update.body,
					    update.if_match, err);
	return dps_update_send(service.client, options->id, &update, &enrollment, err) &&
	       enrollment_print(call, enrollment, err);
}

const struct verb verb_enrollment_update = {
	.noun = "enrollment",
	.name = "update",
	.summary = "Change members of an enrollment",
	.description =
		"Reads the enrollment, changes what is said and writes it back; every other member goes back\n"
		"byte for byte. It is written only when nobody else wrote it meanwhile: otherwise the changes\n"
		"are shown and nothing is written. An empty --device-id, --initial-twin-tags,\n"
		"--initial-twin-properties or --device-information clears that member.",
	.options = rows,
	.options_size = sizeof(struct update_options),
	.default_output = OUTPUT_JSON,
	.is_as_az = true,
	COLUMNS(enrollment_columns),
	.run = run,
};
