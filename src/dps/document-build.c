#include <string.h>

#include "muster/encoding.h"
#include "muster/json.h"

#include "document-internal.h"
#include "dps-internal.h"

const char *dps_allocation_name(enum dps_allocation allocation)
{
	return allocation == DPS_ALLOCATION_UNSET ? NULL : dps_allocation_words[allocation - 1];
}

const char *dps_attestation_name(enum dps_attestation attestation)
{
	return dps_attestation_words[attestation + 1];
}

/* -- Small adders: false is "out of memory" ------------------------------------------------------------ */

static cJSON *add_object(cJSON *parent, const char *name)
{
	cJSON *object = cJSON_CreateObject();

	return object && json_add_item(parent, name, object) ? object : NULL;
}

static bool add_base64(cJSON *object, const char *name, const struct bytes *value)
{
	CLEANUP(freep) char *text = NULL;

	if (!value)
		return true;
	text = base64_encode(value->data, value->size);
	return text && json_add_text(object, name, text);
}

static bool add_key(cJSON *object, const char *name, const struct secret *key)
{
	CLEANUP(secret_done) struct secret text = { 0 };
	struct muster_error ignored;

	return !key || (secret_to_base64(&text, key->data, key->size, &ignored) &&
			json_add_text(object, name, (const char *)text.data));
}

static bool add_copy(cJSON *object, const char *name, const cJSON *value)
{
	return !value || json_add_item(object, name, cJSON_Duplicate(value, true));
}

/* -- Parts --------------------------------------------------------------------------------------------- */

static bool add_certificate(cJSON *certificates, const char *name, const struct bytes *der)
{
	cJSON *object;

	if (!der)
		return true;
	object = add_object(certificates, name);
	return object && add_base64(object, "certificate", der);
}

static bool add_x509(cJSON *attestation, const struct dps_enrollment_terms *terms)
{
	cJSON *x509 = add_object(attestation, "x509");
	cJSON *certificates = x509 ? add_object(x509, "clientCertificates") : NULL;

	return certificates && add_certificate(certificates, "primary", terms->certificate) &&
	       add_certificate(certificates, "secondary", terms->secondary_certificate);
}

static bool add_symmetric(cJSON *attestation, const struct dps_enrollment_terms *terms)
{
	cJSON *keys;

	if (!terms->primary_key && !terms->secondary_key)
		return true;
	keys = add_object(attestation, "symmetricKey");
	return keys && add_key(keys, "primaryKey", terms->primary_key) &&
	       add_key(keys, "secondaryKey", terms->secondary_key);
}

static bool add_tpm(cJSON *attestation, const struct dps_enrollment_terms *terms)
{
	cJSON *tpm = add_object(attestation, "tpm");

	return tpm && add_base64(tpm, "endorsementKey", terms->ek);
}

static bool add_attestation(cJSON *enrollment, const struct dps_enrollment_terms *terms)
{
	static bool (*const add_kind[])(cJSON *, const struct dps_enrollment_terms *) = {
		[DPS_ATTESTATION_TPM] = add_tpm,
		[DPS_ATTESTATION_X509] = add_x509,
		[DPS_ATTESTATION_SYMMETRIC] = add_symmetric,
	};
	cJSON *attestation = add_object(enrollment, "attestation");

	return attestation &&
	       json_add_text(attestation, "type", dps_attestation_name(terms->attestation)) &&
	       add_kind[terms->attestation](attestation, terms);
}

static bool add_hubs(cJSON *enrollment, const struct dps_enrollment_terms *terms)
{
	cJSON *hubs = terms->hub_count ? cJSON_CreateArray() : NULL;

	if (terms->hub_count == 0)
		return true;
	if (!hubs || !json_add_item(enrollment, "iotHubs", hubs))
		return false;
	for (size_t i = 0; i < terms->hub_count; i++)
		if (!cJSON_AddItemToArray(hubs, cJSON_CreateString(terms->hubs[i])))
			return false;
	return true;
}

static bool add_webhook(cJSON *enrollment, const struct dps_enrollment_terms *terms)
{
	cJSON *webhook;

	if (terms->allocation != DPS_ALLOCATION_CUSTOM || !terms->webhook_url)
		return true;
	webhook = add_object(enrollment, "customAllocationDefinition");
	return webhook && json_add_text(webhook, "webhookUrl", terms->webhook_url) &&
	       json_add_text(webhook, "apiVersion", terms->webhook_api_version);
}

static bool add_policies(cJSON *enrollment, const struct dps_enrollment_terms *terms)
{
	cJSON *capabilities = add_object(enrollment, "capabilities");
	cJSON *reprovision = add_object(enrollment, "reprovisionPolicy");

	return capabilities && reprovision &&
	       json_add_bool(capabilities, "iotEdge", terms->iot_edge) &&
	       json_add_bool(reprovision, "updateHubAssignment", terms->update_hub_assignment) &&
	       json_add_bool(reprovision, "migrateDeviceData", terms->migrate_device_data) &&
	       json_add_text(enrollment, "provisioningStatus",
			     terms->disabled ? "disabled" : "enabled") &&
	       json_add_text(enrollment, "allocationPolicy",
			     dps_allocation_name(terms->allocation));
}

static bool add_twin(cJSON *enrollment, const struct dps_enrollment_terms *terms)
{
	cJSON *twin, *properties;

	if (!terms->twin_tags && !terms->twin_properties)
		return true;
	twin = add_object(enrollment, "initialTwin");
	if (!twin || !add_copy(twin, "tags", terms->twin_tags))
		return false;
	properties = add_object(twin, "properties");
	return properties && add_copy(properties, "desired", terms->twin_properties);
}

static bool add_information(cJSON *enrollment, const struct dps_enrollment_terms *terms)
{
	cJSON *information;

	if (!terms->device_information && !terms->attempt_id)
		return true;
	information = terms->device_information ? cJSON_Duplicate(terms->device_information, true)
						: cJSON_CreateObject();
	if (!information || !json_add_item(enrollment, "optionalDeviceInformation", information))
		return false;
	if (terms->attempt_id)
		cJSON_DeleteItemFromObjectCaseSensitive(information, DPS_ATTEMPT_MEMBER);
	return json_add_text(information, DPS_ATTEMPT_MEMBER, terms->attempt_id);
}

/* -- The whole ----------------------------------------------------------------------------------------- */

static bool check_own(const cJSON *enrollment, struct muster_error *err)
{
	static const struct dps_document_rules rules = { .kind = DPS_DOCUMENT_ENROLLMENT };
	struct dps_problems problems;
	const struct dps_problem *first = &problems.list[0];

	problems.count = 0;
	dps_document_check(enrollment, &rules, &problems);
	if (problems.count > 0)
		return muster_fail(err, CAUSE_PROFILE_VALUE, "the enrollment's %s: %s", first->path,
				   first->message);
	return true;
}

bool dps_enrollment_build(const struct dps_enrollment_terms *terms, cJSON **ret_enrollment,
			  struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *enrollment = cJSON_CreateObject();

	if (!enrollment || !json_add_text(enrollment, "registrationId", terms->registration_id) ||
	    !json_add_text(enrollment, "deviceId", terms->device_id) ||
	    !add_attestation(enrollment, terms) || !add_policies(enrollment, terms) ||
	    !add_hubs(enrollment, terms) || !add_webhook(enrollment, terms) ||
	    !add_twin(enrollment, terms) || !add_information(enrollment, terms))
		return muster_fail_memory(err);
	if (!check_own(enrollment, err))
		return false;
	*ret_enrollment = TAKE_PTR(enrollment);
	return true;
}

bool dps_text_body(const char *text, size_t size, struct secret *ret_body, struct muster_error *err)
{
	if (size > SECRET_MAX)
		return muster_fail(err, CAUSE_INPUT_TOO_LARGE,
				   "the document has %zu bytes, at most %d can be sent", size,
				   SECRET_MAX);
	return secret_copy(ret_body, text, size, err);
}

bool dps_document_body(const cJSON *document, struct secret *ret_body, struct muster_error *err)
{
	char *line = json_print_line(document);
	bool is_copied;

	if (!line)
		return muster_fail_memory(err);
	is_copied = dps_text_body(line, strlen(line), ret_body, err);
	secret_wipe(line, strlen(line));
	free(line);
	return is_copied;
}
