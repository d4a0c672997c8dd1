/* The service's own text with only what the settings say changed in it. */
#include <string.h>

#include "muster/json-edit.h"
#include "muster/json.h"

#include "document-internal.h"
#include "settings-internal.h"

#define CERTIFICATES "attestation.x509.clientCertificates"

/* -- What will be there -------------------------------------------------------------------------------- */

static bool touches_allocation(const struct dps_settings *settings)
{
	return settings->allocation_policy || settings->sets_hubs || settings->webhook_url ||
	       settings->webhook_api_version;
}

static size_t count_hubs(const cJSON *found)
{
	const cJSON *hubs = document_get(found, "iotHubs");

	if (hubs)
		return (size_t)cJSON_GetArraySize(hubs);
	return document_text(found, "iotHubHostName") ? 1 : 0;
}

static bool check_allocation(const struct dps_settings *settings, const cJSON *found,
			     struct muster_error *err)
{
	const cJSON *definition = document_get(found, "customAllocationDefinition");
	const char *wanted = settings_policy(settings);
	const struct settings_allocation allocation = {
		.policy = wanted ? wanted : document_text(found, "allocationPolicy"),
		.hub_count = settings->sets_hubs ? settings->hub_count : count_hubs(found),
		.has_webhook_url = settings->webhook_url || document_text(definition, "webhookUrl"),
		.has_api_version =
			settings->webhook_api_version || document_text(definition, "apiVersion"),
	};

	return !touches_allocation(settings) ||
	       (settings_check_hubs(settings, err) &&
		settings_check_webhook(settings, allocation.policy, err) &&
		settings_check_allocation(&allocation, err));
}

static bool keeps_certificate(const cJSON *certificates, const char *rank, const char *new_one,
			      bool is_removed)
{
	return new_one || (!is_removed && document_get(certificates, rank));
}

static bool check_certificates(const struct dps_settings *settings, const cJSON *found,
			       struct muster_error *err)
{
	const cJSON *x509 = document_get(document_get(found, "attestation"), "x509");
	const cJSON *certificates = document_get(x509, "clientCertificates");
	bool is_touched = settings->certificate || settings->secondary_certificate ||
			  settings->remove_certificate || settings->remove_secondary_certificate;

	if (is_touched && x509 && !certificates)
		return muster_fail(
			err, CAUSE_OPTIONS_CONTRADICT,
			"this enrollment trusts authorities, it has no certificates of its own "
			"to change");
	if (is_touched &&
	    !keeps_certificate(certificates, "primary", settings->certificate,
			       settings->remove_certificate) &&
	    !keeps_certificate(certificates, "secondary", settings->secondary_certificate,
			       settings->remove_secondary_certificate))
		return muster_fail(
			err, CAUSE_OPTIONS_CONTRADICT,
			"this would remove the only certificate: give another, or delete the "
			"enrollment");
	return true;
}

static bool check(const struct dps_settings *settings, const cJSON *found, struct muster_error *err)
{
	const char *type = document_text(document_get(found, "attestation"), "type");

	if (!type)
		return muster_fail(err, CAUSE_CLOUD_ANSWER_INVALID,
				   "the enrollment that was read has no attestation type");
	return settings_check_attestation(settings, type, err) &&
	       check_certificates(settings, found, err) && check_allocation(settings, found, err);
}

/* -- Edits --------------------------------------------------------------------------------------------- */

static void drop_read_only(struct settings_edit *edit)
{
	for (const struct field *field = dps_enrollment_fields; field->name; field++)
		if (field->flags & FIELD_READ_ONLY)
			edit_remove(edit, field->name);
}

/* A new one takes the whole place of the old, what the service said of that included. */
static void edit_certificate(struct settings_edit *edit, const char *path, const char *certificate,
			     bool is_removed)
{
	CLEANUP(cJSON_freep) cJSON *object = certificate ? cJSON_CreateObject() : NULL;

	if (is_removed && !certificate)
		edit_remove(edit, path);
	if (!certificate)
		return;
	if (object && !json_add_text(object, "certificate", certificate))
		cJSON_Delete(TAKE_PTR(object));
	edit_tree(edit, path, object);
}

/* GET leaves the keys out, and an enrollment without keys might get new ones: they always go back. */
static void edit_keys(struct settings_edit *edit, const struct dps_settings *settings,
		      const struct text *mechanism)
{
	const char *keys = NULL;
	size_t length = 0;

	if (mechanism && !edit->has_failed &&
	    json_text_find(mechanism->data, mechanism->length, "symmetricKey", &keys, &length))
		edit->has_failed = !json_text_set(edit->body, "attestation.symmetricKey", keys,
						  length, edit->err);
	edit_text(edit, "attestation.symmetricKey.primaryKey", settings->primary_key);
	edit_text(edit, "attestation.symmetricKey.secondaryKey", settings->secondary_key);
}

static void edit_attestation(struct settings_edit *edit, const struct dps_settings *settings,
			     const struct text *mechanism)
{
	edit_text(edit, "attestation.tpm.endorsementKey", settings->endorsement_key);
	edit_certificate(edit, CERTIFICATES ".primary", settings->certificate,
			 settings->remove_certificate);
	edit_certificate(edit, CERTIFICATES ".secondary", settings->secondary_certificate,
			 settings->remove_secondary_certificate);
	edit_keys(edit, settings, mechanism);
}

/* Neither half of a twin without the other. */
static void edit_twin(struct settings_edit *edit, const struct dps_settings *settings,
		      const cJSON *found)
{
	const cJSON *twin = document_get(found, "initialTwin");
	const cJSON *properties = document_get(twin, "properties");

	if (!settings->tags && !settings->properties)
		return;
	if (settings->tags)
		edit_tree(edit, "initialTwin.tags", settings->tags);
	else if (!document_get(twin, "tags"))
		edit_json(edit, "initialTwin.tags", "{}");
	if (settings->properties)
		edit_tree(edit, "initialTwin.properties.desired", settings->properties);
	else if (!document_get(properties, "desired"))
		edit_json(edit, "initialTwin.properties.desired", "{}");
}

static void edit_allocation(struct settings_edit *edit, const struct dps_settings *settings)
{
	const char *policy = settings_policy(settings);

	edit_text(edit, "allocationPolicy", policy);
	if (settings->sets_hubs) {
		edit_hubs(edit, settings);
		edit_remove(edit, "iotHubHostName");
	}
	if (policy && strcmp(policy, "custom") != 0)
		edit_remove(edit, "customAllocationDefinition");
	edit_text(edit, "customAllocationDefinition.webhookUrl", settings->webhook_url);
	edit_text(edit, "customAllocationDefinition.apiVersion", settings->webhook_api_version);
}

static void edit_members(struct settings_edit *edit, const struct dps_settings *settings,
			 const cJSON *found)
{
	if (settings->device_id && !*settings->device_id)
		edit_remove(edit, "deviceId");
	else
		edit_text(edit, "deviceId", settings->device_id);
	if (settings->device_information)
		edit_tree(edit, "optionalDeviceInformation", settings->device_information);
	if (settings->sets_edge)
		edit_json(edit, "capabilities.iotEdge", settings->is_edge ? "true" : "false");
	edit_twin(edit, settings, found);
	edit_text(edit, "provisioningStatus", settings->provisioning_status);
	if (settings->reprovision_policy)
		edit_reprovision(edit, settings->reprovision_policy);
	edit_allocation(edit, settings);
}

bool dps_settings_apply(const struct dps_settings *settings, const struct text *found,
			const struct text *mechanism, struct text *ret_body,
			struct muster_error *err)
{
	CLEANUP(text_done) struct text body = TEXT_MAX(2 * JSON_SIZE_MAX);
	CLEANUP(cJSON_freep) cJSON *tree = NULL;
	struct settings_edit edit = { .body = &body, .err = err };

	text_add_bytes(&body, found->data, found->length);
	if (!text_ok(&body, err) ||
	    !json_parse(body.data, body.length, "the enrollment that was read", &tree, err) ||
	    !check(settings, tree, err))
		return false;
	drop_read_only(&edit);
	edit_attestation(&edit, settings, mechanism);
	edit_members(&edit, settings, tree);
	if (edit.has_failed)
		return false;
	*ret_body = body;
	body = (struct text){ 0 };
	return true;
}
