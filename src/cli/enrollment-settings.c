#include "enrollment-settings.h"

#include <stdarg.h>
#include <string.h>

#include "muster/dps-enrollment.h"
#include "muster/json.h"
#include "muster/log.h"

enum { KEY_FILE_MAX = 1024, HUB_WORDS_MAX = 32 * 1024 };

void settings_done(struct settings *settings)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings->certificates); i++)
		station_certificate_done(&settings->certificates[i]);
	for (size_t i = 0; i < ARRAY_SIZE(settings->keys); i++)
		secret_done(&settings->keys[i]);
	free(settings->endorsement_key);
	cJSON_Delete(settings->tags);
	cJSON_Delete(settings->properties);
	cJSON_Delete(settings->device_information);
	free(settings->hub_words);
	*settings = (struct settings){ 0 };
}

/* -- Doubts -------------------------------------------------------------------------------------------- */

static bool doubt(const struct settings_options *options, struct muster_error *err,
		  const char *format, ...) PRINTF_LIKE(3, 4);

static bool doubt(const struct settings_options *options, struct muster_error *err,
		  const char *format, ...)
{
	char sentence[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	if (options->strict)
		return muster_fail(err, CAUSE_MATERIAL_DOUBTFUL, "%s", sentence);
	log_warning("%s, going on", sentence);
	return true;
}

bool settings_check_body(const struct settings_options *options, const struct text *body,
			 struct muster_error *err)
{
	static const struct dps_document_rules rules = {
		.ek_check = station_ek_check,
		.unknown_members_pass = true,
		.certificate_may_be_info = true,
	};
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	struct dps_problems problems = { 0 };

	if (!json_parse(body->data, body->length, "the enrollment", &document, err))
		return false;
	dps_document_check(document, &rules, &problems);
	for (size_t i = 0; i < problems.count; i++)
		if (!doubt(options, err, "the service would refuse %s: %s", problems.list[i].path,
			   problems.list[i].message))
			return false;
	return true;
}

/* -- Material ------------------------------------------------------------------------------------------ */

/* What the service would take and the device then fail with. */
static bool check_certificate(const struct settings_options *options, const char *path,
			      const struct station_certificate *certificate,
			      struct muster_error *err)
{
	int64_t now_ms = clock_wall_ms();

	if (certificate->not_after_ms < now_ms)
		return doubt(options, err, "the certificate in '%s' expired at %s", PRINTABLE(path),
			     certificate->not_after);
	if (certificate->not_before_ms > now_ms)
		return doubt(options, err, "the certificate in '%s' is valid from %s only",
			     PRINTABLE(path), certificate->not_before);
	return true;
}

static bool read_certificate(const struct settings_options *options, const char *registration_id,
			     const char *path, struct station_certificate *certificate,
			     const char **value, struct muster_error *err)
{
	if (!path)
		return true;
	if (!station_certificate_read(path, &options->token, certificate, err))
		return muster_error_prefix(err, "reading the device's certificate");
	*value = certificate->text;
	if (!text_equal_folded(certificate->common_name, registration_id) &&
	    !doubt(options, err,
		   "the certificate in '%s' has the common name '%s', and the device's registration "
		   "ID is '%s'",
		   PRINTABLE(path), PRINTABLE(certificate->common_name),
		   PRINTABLE(registration_id)))
		return false;
	return check_certificate(options, path, certificate, err);
}

static bool read_key(const char *source, const char *option, struct secret *key, const char **value,
		     struct muster_error *err)
{
	if (!source)
		return true;
	if (!secret_read_source(key, source, KEY_FILE_MAX, option, err))
		return muster_error_prefix(err, "reading %s", option);
	/* Its page is longer than the most that is read, and zero behind it. */
	*value = (const char *)key->data;
	return true;
}

static bool read_twin(const char *text, const char *option, cJSON **tree, const cJSON **value,
		      struct muster_error *err)
{
	if (text && !dps_twin_parse(text, option, tree, err))
		return false;
	*value = *tree;
	return true;
}

/* -- Hubs ---------------------------------------------------------------------------------------------- */

/* Each word may hold several, as "h1 h2". */
static bool split_hubs(struct settings *settings, struct muster_error *err)
{
	struct dps_settings *values = &settings->values;
	char *state = NULL;

	for (char *hub = strtok_r(settings->hub_words, " \t\r\n", &state); hub;
	     hub = strtok_r(NULL, " \t\r\n", &state)) {
		if (values->hub_count == SETTINGS_HUBS_MAX)
			return muster_fail(err, CAUSE_USAGE, "more than %d hubs are named",
					   SETTINGS_HUBS_MAX);
		settings->hubs[values->hub_count++] = hub;
	}
	values->hubs = settings->hubs;
	return true;
}

static bool read_hubs(const struct settings_options *options, struct settings *settings,
		      struct muster_error *err)
{
	CLEANUP(text_done) struct text words = TEXT_MAX(HUB_WORDS_MAX);

	settings->values.pins_hub = options->hub_host_name;
	settings->values.sets_hubs = options->hub_host_name || options->hubs.count > 0;
	if (options->hub_host_name && options->hubs.count > 0)
		return muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
				   "--iot-hubs and --iot-hub-host-name exclude each other");
	if (options->hub_host_name)
		log_warning("--iot-hub-host-name is out of use: write --allocation-policy static "
			    "--iot-hubs HOST");
	for (size_t i = 0; i < options->hubs.count; i++)
		text_addf(&words, "%s ", options->hubs.words[i]);
	text_add(&words, options->hub_host_name ? options->hub_host_name : "");
	settings->hub_words = text_take(&words, err);
	return settings->hub_words && split_hubs(settings, err);
}

/* -- The whole ----------------------------------------------------------------------------------------- */

static void drop_empty(struct settings_options *given)
{
	const struct {
		const char **value, *option;
	} list[] = {
		{ &given->endorsement_key, "--endorsement-key" },
		{ &given->certificate_path, "--certificate-path" },
		{ &given->secondary_certificate_path, "--secondary-certificate-path" },
		{ &given->primary_key, "--primary-key" },
		{ &given->secondary_key, "--secondary-key" },
		{ &given->hub_host_name, "--iot-hub-host-name" },
		{ &given->webhook_url, "--webhook-url" },
		{ &given->api_version, "--api-version" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		if (!*list[i].value || **list[i].value)
			continue;
		log_warning("%s is empty, going on without it", list[i].option);
		*list[i].value = NULL;
	}
}

static bool read_twins(const struct settings_options *options, struct settings *settings,
		       struct muster_error *err)
{
	struct dps_settings *values = &settings->values;

	return read_twin(options->tags, "--initial-twin-tags", &settings->tags, &values->tags,
			 err) &&
	       read_twin(options->properties, "--initial-twin-properties", &settings->properties,
			 &values->properties, err) &&
	       read_twin(options->device_information, "--device-information",
			 &settings->device_information, &values->device_information, err);
}

static bool check_sources(const struct settings_options *options, struct muster_error *err)
{
	const struct {
		const char *value, *option, *other_value, *other_option;
	} pairs[] = {
		{ options->tpm, "--tpm", options->endorsement_key, "--endorsement-key" },
		{ options->derive_from, "--derive-from", options->primary_key, "--primary-key" },
		{ options->derive_from, "--derive-from", options->primary_key_file,
		  "--primary-key-file" },
		{ options->primary_key, "--primary-key", options->primary_key_file,
		  "--primary-key-file" },
		{ options->secondary_key, "--secondary-key", options->secondary_key_file,
		  "--secondary-key-file" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		if (pairs[i].value && pairs[i].other_value)
			return muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
					   "%s and %s exclude each other", pairs[i].option,
					   pairs[i].other_option);
	return true;
}

static const char *first_of(const char *a, const char *b, const char *c)
{
	return a ? a : b ? b : c;
}

static struct dps_settings values_of(const struct settings_options *given)
{
	return (struct dps_settings){
		.device_id = given->device_id,
		.endorsement_key = first_of(given->tpm, given->endorsement_key, NULL),
		.certificate = given->certificate_path,
		.secondary_certificate = given->secondary_certificate_path,
		.primary_key =
			first_of(given->derive_from, given->primary_key_file, given->primary_key),
		.secondary_key = first_of(given->secondary_key_file, given->secondary_key, NULL),
		.endorsement_key_option = given->tpm ? "--tpm" : NULL,
		.primary_key_option = given->derive_from        ? "--derive-from"
				      : given->primary_key_file ? "--primary-key-file"
								: NULL,
		.secondary_key_option = given->secondary_key_file ? "--secondary-key-file" : NULL,
		.provisioning_status = given->provisioning_status,
		.reprovision_policy = given->reprovision_policy,
		.sets_edge = given->edge_enabled != OPTION_UNSET,
		.is_edge = given->edge_enabled == OPTION_TRUE,
		.allocation_policy = given->allocation_policy,
		.webhook_url = given->webhook_url,
		.webhook_api_version = given->api_version,
	};
}

bool settings_prepare(const struct settings_options *options, struct settings *ret_settings,
		      struct muster_error *err)
{
	struct settings_options given = *options;

	drop_empty(&given);
	*ret_settings = (struct settings){ .given = given, .values = values_of(&given) };
	return check_sources(&given, err) && read_twins(&given, ret_settings, err) &&
	       read_hubs(&given, ret_settings, err);
}

static bool read_tpm(const struct settings_options *options, struct settings *settings,
		     struct muster_error *err)
{
	if (!options->tpm)
		return true;
	if (!station_ek_read(options->tpm, &settings->endorsement_key, err))
		return false;
	settings->values.endorsement_key = settings->endorsement_key;
	return true;
}

static bool derive_key(const struct settings_options *options, const char *registration_id,
		       bool is_new, struct settings *settings, struct muster_error *err)
{
	if (!options->derive_from)
		return true;
	if (!station_key_derive(options->derive_from, &options->token, registration_id, is_new,
				&settings->keys[0], err))
		return false;
	settings->values.primary_key = (const char *)settings->keys[0].data;
	return true;
}

bool settings_read_material(const char *registration_id, bool is_new, struct settings *settings,
			    struct muster_error *err)
{
	const struct settings_options *options = &settings->given;
	struct dps_settings *values = &settings->values;

	return read_certificate(options, registration_id, options->certificate_path,
				&settings->certificates[0], &values->certificate, err) &&
	       read_certificate(options, registration_id, options->secondary_certificate_path,
				&settings->certificates[1], &values->secondary_certificate, err) &&
	       read_key(options->primary_key_file, "--primary-key-file", &settings->keys[0],
			&values->primary_key, err) &&
	       read_key(options->secondary_key_file, "--secondary-key-file", &settings->keys[1],
			&values->secondary_key, err) &&
	       read_tpm(options, settings, err) &&
	       derive_key(options, registration_id, is_new, settings, err);
}
