/* A new enrollment, in the order and with the members that az writes. */
#include <string.h>

#include "muster/json.h"

#include "settings-internal.h"

#define CERTIFICATES "attestation.x509.clientCertificates"

static void add_attestation(struct settings_edit *edit, const struct dps_settings *settings)
{
	const char *type = settings->attestation_type;

	edit_text(edit, "attestation.type", type);
	edit_text(edit, "attestation.tpm.endorsementKey", settings->endorsement_key);
	edit_text(edit, CERTIFICATES ".primary.certificate", settings->certificate);
	edit_text(edit, CERTIFICATES ".secondary.certificate", settings->secondary_certificate);
	if (strcmp(type, "symmetricKey") == 0)
		edit_json(edit, "attestation.symmetricKey", "{}");
	edit_text(edit, "attestation.symmetricKey.primaryKey", settings->primary_key);
	edit_text(edit, "attestation.symmetricKey.secondaryKey", settings->secondary_key);
}

static void add_object(struct settings_edit *edit, const char *path, const cJSON *object)
{
	if (object)
		edit_tree(edit, path, object);
	else
		edit_json(edit, path, "{}");
}

static void add_allocation(struct settings_edit *edit, const struct dps_settings *settings)
{
	edit_text(edit, "allocationPolicy", settings_policy(settings));
	if (settings->hub_count > 0)
		edit_hubs(edit, settings);
	edit_text(edit, "customAllocationDefinition.webhookUrl", settings->webhook_url);
	edit_text(edit, "customAllocationDefinition.apiVersion", settings->webhook_api_version);
}

bool dps_settings_compose(const struct dps_settings *settings, const char *registration_id,
			  struct text *ret_body, struct muster_error *err)
{
	CLEANUP(text_done) struct text body = TEXT_MAX(JSON_SIZE_MAX);
	struct settings_edit edit = { .body = &body, .err = err };
	const char *reprovision = settings->reprovision_policy;

	text_add(&body, "{}");
	if (!text_ok(&body, err))
		return false;
	edit_text(&edit, "registrationId", registration_id);
	edit_text(&edit, "deviceId", settings->device_id);
	add_object(&edit, "optionalDeviceInformation", settings->device_information);
	add_attestation(&edit, settings);
	edit_json(&edit, "capabilities.iotEdge", settings->is_edge ? "true" : "false");
	add_object(&edit, "initialTwin.tags", settings->tags);
	add_object(&edit, "initialTwin.properties.desired", settings->properties);
	edit_text(&edit, "provisioningStatus", settings->provisioning_status);
	edit_reprovision(&edit, reprovision ? reprovision : dps_settings_reprovisions[0]);
	add_allocation(&edit, settings);
	if (edit.has_failed)
		return false;
	*ret_body = body;
	body = (struct text){ 0 };
	return true;
}
