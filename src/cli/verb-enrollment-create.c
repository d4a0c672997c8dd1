/* muster enrollment create: one new enrollment. */
#include "muster/dps-enrollment.h"
#include "muster/json.h"
#include "muster/log.h"

#include "enrollment-settings.h"

struct create_options {
	const char *id;
	const char *attestation_type;
	bool if_not_exists;
	struct settings_options settings;
	struct login_options login;
};

/* clang-format off */
static const struct option_row rows[] = {
	ENROLLMENT_ID_ROW(struct create_options),
	{ 0, "attestation-type", "at", OPTION_ONE_OF, "TYPE", "symmetricKey, tpm or x509",
	  offsetof(struct create_options, attestation_type), NULL, dps_settings_attestations, 0 },
	{ 0, "if-not-exists", NULL, OPTION_FLAG, NULL, "One that is there with the same content is a success",
	  offsetof(struct create_options, if_not_exists), NULL, NULL, 0 },
	SETTINGS_ROWS(struct create_options, settings),
	LOGIN_ROWS(struct create_options, login),
	{ 0 },
};
/* clang-format on */

/* The service would make one, and the device has another. */
static bool check_keys(const struct settings_options *settings, struct muster_error *err)
{
	bool is_primary = settings->primary_key && !*settings->primary_key;
	bool is_secondary = settings->secondary_key && !*settings->secondary_key;

	return (!is_primary && !is_secondary) ||
	       muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
			   "%s is empty: leave it out for a key that the service makes",
			   is_primary ? "--primary-key" : "--secondary-key");
}

static bool compose(const struct create_options *options, struct text *ret_body,
		    struct muster_error *err)
{
	CLEANUP(settings_done) struct settings settings = { 0 };

	if (!check_keys(&options->settings, err) ||
	    !settings_prepare(&options->settings, &settings, err))
		return false;
	settings.values.attestation_type = options->attestation_type;
	return dps_settings_check_new(&settings.values, err) &&
	       settings_read_material(options->id, true, &settings, err) &&
	       dps_settings_compose(&settings.values, options->id, ret_body, err) &&
	       settings_check_body(&options->settings, ret_body, err);
}

static bool create(const struct invocation *call, struct dps_client *client,
		   const struct text *body, struct muster_error *err)
{
	const struct create_options *options = call->options;
	CLEANUP(cJSON_freep) cJSON *enrollment = NULL;
	bool was_created;

	if (!dps_enrollment_create(client, options->id, body, options->if_not_exists, &was_created,
				   &enrollment, err))
		return false;
	if (!was_created)
		log_info("enrollment '%s' is there already, as it was asked for",
			 PRINTABLE(options->id));
	return enrollment_print(call, enrollment, err);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct create_options *options = call->options;
	CLEANUP(text_done) struct text body = { 0 };
	CLEANUP(service_done) struct service service = { 0 };

	if (!enrollment_id_check(call, options->id, err))
		return false;
	if (!options->attestation_type)
		return muster_fail(err, CAUSE_USAGE,
				   "'muster enrollment create' needs --attestation-type TYPE (see "
				   "muster enrollment create --help)");
	if (!compose(options, &body, err) || !service_open(&options->login, &service, err))
		return false;
	return options->settings.dry_run
		       ? enrollment_print_put(call, service.client, options->id, &body, NULL, err)
		       : create(call, service.client, &body, err);
}

const struct verb verb_enrollment_create = {
	.noun = "enrollment",
	.name = "create",
	.summary = "Create an enrollment",
	.description =
		"Creates one enrollment; one that exists is never overwritten. Keys and endorsement keys are\n"
		"sent as given, with a warning when the service would refuse them. Of a certificate file\n"
		"exactly the device's certificate is sent. Twins are JSON or Python literals.",
	.options = rows,
	.options_size = sizeof(struct create_options),
	.default_output = OUTPUT_JSON,
	.is_as_az = true,
	COLUMNS(enrollment_columns),
	.run = run,
};
