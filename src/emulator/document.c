#include "document.h"

#include <string.h>

#include "muster/json.h"
#include "muster/text.h"

#include "attestation.h"
#include "stamp.h"

/* One member: what is given (NULL when missing or null) becomes what is stored. */
typedef bool (*take_member)(const struct document_terms *terms, const cJSON *given, cJSON *document,
			    struct refusal *refusal);

static bool added(bool is_good, struct refusal *refusal)
{
	return is_good || refuse(refusal, SERVER_FAILED, "The emulator is out of memory");
}

static bool must_be(bool is_so, const char *name, const char *what, struct refusal *refusal)
{
	return is_so || refuse(refusal, BAD_ARGUMENT, "%s is not %s", name, what);
}

/* -- Members ----------------------------------------------------------------------------------------------- */

static bool take_id(const struct document_terms *terms, const cJSON *given, cJSON *document,
		    struct refusal *refusal)
{
	const char *name = document_id_name(terms->kind);

	if (!cJSON_IsString(given) || !id_is_valid(given->valuestring))
		return refuse(refusal, BAD_ARGUMENT,
			      terms->kind == KIND_GROUP ? "Invalid EnrollmentGroupId"
							: "Invalid RegistrationId");
	return added(json_add_text(document, name, given->valuestring), refusal);
}

static bool take_device_id(const struct document_terms *terms, const cJSON *given, cJSON *document,
			   struct refusal *refusal)
{
	(void)terms;
	if (!given)
		return true;
	if (!cJSON_IsString(given) || !device_id_is_valid(given->valuestring))
		return refuse(refusal, BAD_ARGUMENT, "Invalid DeviceId");
	return added(json_add_text(document, "deviceId", given->valuestring), refusal);
}

static bool take_attestation(const struct document_terms *terms, const cJSON *given,
			     cJSON *document, struct refusal *refusal)
{
	cJSON *attestation = NULL;

	if (!cJSON_IsObject(given))
		return refuse(refusal, BAD_ARGUMENT, "attestation is missing or not an object");
	if (!attestation_build(terms, given, &attestation, refusal))
		return false;
	return added(json_add_item(document, "attestation", attestation), refusal);
}

static bool take_capabilities(const struct document_terms *terms, const cJSON *given,
			      cJSON *document, struct refusal *refusal)
{
	const cJSON *edge = json_get(given, "iotEdge");

	(void)terms;
	if (given && !must_be(cJSON_IsObject(given) && cJSON_IsBool(edge), "capabilities.iotEdge",
			      "true or false", refusal))
		return false;
	cJSON *object = cJSON_AddObjectToObject(document, "capabilities");
	return added(object && json_add_bool(object, "iotEdge", cJSON_IsTrue(edge)), refusal);
}

static const struct hub *linked_hub(const struct document_terms *terms, const cJSON *host)
{
	return cJSON_IsString(host) ? hub_find(terms->hubs, terms->hub_count, host->valuestring)
				    : NULL;
}

static bool refuse_hub(const cJSON *host, struct refusal *refusal)
{
	return refuse(refusal, BAD_ARGUMENT, "'%s' is not a hub linked to this service",
		      cJSON_IsString(host) ? PRINTABLE(host->valuestring) : "");
}

static bool take_hub_host(const struct document_terms *terms, const cJSON *given, cJSON *document,
			  struct refusal *refusal)
{
	if (!given)
		return true;
	if (!linked_hub(terms, given))
		return refuse_hub(given, refusal);
	return added(json_add_text(document, "iotHubHostName", given->valuestring), refusal);
}

static bool take_hubs(const struct document_terms *terms, const cJSON *given, cJSON *document,
		      struct refusal *refusal)
{
	const cJSON *host;

	if (!given)
		return true;
	if (!must_be(cJSON_IsArray(given), "iotHubs", "an array", refusal))
		return false;
	cJSON_ArrayForEach(host, given) if (!linked_hub(terms, host)) return refuse_hub(host,
											refusal);
	return added(json_add_item(document, "iotHubs", cJSON_Duplicate(given, true)), refusal);
}

static bool take_object(const cJSON *given, const char *name, cJSON *document,
			struct refusal *refusal)
{
	if (!given)
		return true;
	if (!must_be(cJSON_IsObject(given), name, "an object", refusal))
		return false;
	return added(json_add_item(document, name, cJSON_Duplicate(given, true)), refusal);
}

static bool is_object_or_missing(const cJSON *item)
{
	return !item || cJSON_IsNull(item) || cJSON_IsObject(item);
}

static bool take_twin(const struct document_terms *terms, const cJSON *given, cJSON *document,
		      struct refusal *refusal)
{
	const cJSON *properties = json_get(given, "properties");

	(void)terms;
	if (!must_be(is_object_or_missing(json_get(given, "tags")), "initialTwin.tags", "an object",
		     refusal) ||
	    !must_be(is_object_or_missing(properties) &&
			     is_object_or_missing(json_get(properties, "desired")),
		     "initialTwin.properties.desired", "an object", refusal))
		return false;
	return take_object(given, "initialTwin", document, refusal);
}

static bool take_information(const struct document_terms *terms, const cJSON *given,
			     cJSON *document, struct refusal *refusal)
{
	(void)terms;
	return take_object(given, "optionalDeviceInformation", document, refusal);
}

/* The index of the word that is meant, any case; false when it is none of them. */
static bool word_of(const cJSON *given, const char *const *words, size_t count, size_t *ret_index)
{
	for (size_t i = 0; cJSON_IsString(given) && i < count; i++) {
		if (text_equal_folded(words[i], given->valuestring)) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}

static bool take_status(const struct document_terms *terms, const cJSON *given, cJSON *document,
			struct refusal *refusal)
{
	static const char *const words[] = { "enabled", "disabled" };
	size_t index = 0;

	(void)terms;
	if (given && !must_be(word_of(given, words, ARRAY_SIZE(words), &index),
			      "provisioningStatus", "enabled or disabled", refusal))
		return false;
	return added(json_add_text(document, "provisioningStatus", words[index]), refusal);
}

static bool take_reprovision(const struct document_terms *terms, const cJSON *given,
			     cJSON *document, struct refusal *refusal)
{
	const cJSON *update = json_get(given, "updateHubAssignment");
	const cJSON *migrate = json_get(given, "migrateDeviceData");

	(void)terms;
	if (given &&
	    !must_be(cJSON_IsObject(given) && cJSON_IsBool(update) && cJSON_IsBool(migrate),
		     "reprovisionPolicy",
		     "an object with updateHubAssignment and migrateDeviceData", refusal))
		return false;
	cJSON *object = cJSON_AddObjectToObject(document, "reprovisionPolicy");
	return added(
		object &&
			json_add_bool(object, "updateHubAssignment",
				      !given || cJSON_IsTrue(update)) &&
			json_add_bool(object, "migrateDeviceData", !given || cJSON_IsTrue(migrate)),
		refusal);
}

static bool take_allocation(const struct document_terms *terms, const cJSON *given, cJSON *document,
			    struct refusal *refusal)
{
	size_t index = terms->default_policy;

	if (given &&
	    !must_be(word_of(given, allocation_names, ALLOCATION_COUNT, &index), "allocationPolicy",
		     "one of hashed, geoLatency, static, custom", refusal))
		return false;
	if (!given)
		return true; /* follows the instance, also when that changes */
	return added(json_add_text(document, "allocationPolicy", allocation_names[index]), refusal);
}

static bool take_webhook(const struct document_terms *terms, const cJSON *given, cJSON *document,
			 struct refusal *refusal)
{
	const char *url = json_text(given, "webhookUrl");
	const char *version = json_text(given, "apiVersion");

	(void)terms;
	if (!given)
		return true;
	if (!url || !(text_has_prefix(url, "https://") || text_has_prefix(url, "http://")))
		return refuse(refusal, BAD_ARGUMENT,
			      "customAllocationDefinition.webhookUrl is not an HTTP URL");
	if (!version || strncmp(version, "2018-09-01", 10) < 0)
		return refuse(
			refusal, BAD_ARGUMENT,
			"customAllocationDefinition.apiVersion is older than 2018-09-01-preview");
	cJSON *object = cJSON_AddObjectToObject(document, "customAllocationDefinition");
	return added(object && json_add_text(object, "webhookUrl", url) &&
			     json_add_text(object, "apiVersion", version),
		     refusal);
}

/* -- The whole --------------------------------------------------------------------------------------------- */

#define INDIVIDUAL (1u << KIND_INDIVIDUAL)
#define GROUP (1u << KIND_GROUP)

static const struct member_row {
	const char *name;
	unsigned kinds;
	take_member take;
} members[] = {
	{ "registrationId", INDIVIDUAL, take_id },
	{ "enrollmentGroupId", GROUP, take_id },
	{ "deviceId", INDIVIDUAL, take_device_id },
	{ "optionalDeviceInformation", INDIVIDUAL, take_information },
	{ "attestation", INDIVIDUAL | GROUP, take_attestation },
	{ "capabilities", INDIVIDUAL | GROUP, take_capabilities },
	{ "iotHubHostName", INDIVIDUAL | GROUP, take_hub_host },
	{ "initialTwin", INDIVIDUAL | GROUP, take_twin },
	{ "provisioningStatus", INDIVIDUAL | GROUP, take_status },
	{ "reprovisionPolicy", INDIVIDUAL | GROUP, take_reprovision },
	{ "allocationPolicy", INDIVIDUAL | GROUP, take_allocation },
	{ "iotHubs", INDIVIDUAL | GROUP, take_hubs },
	{ "customAllocationDefinition", INDIVIDUAL | GROUP, take_webhook },
};

const char *document_id_name(enum enrollment_kind kind)
{
	return kind == KIND_GROUP ? "enrollmentGroupId" : "registrationId";
}

static bool check_together(const struct document_terms *terms, const cJSON *document,
			   struct refusal *refusal)
{
	const char *policy = json_text(document, "allocationPolicy");

	if (!policy)
		policy = allocation_names[terms->default_policy];
	if (strcmp(policy, "custom") == 0 && !json_get(document, "customAllocationDefinition"))
		return refuse(refusal, BAD_ARGUMENT,
			      "A CustomAllocationDefinition is required when the allocation policy "
			      "is set to 'Custom'");
	if (strcmp(policy, "static") == 0 && !json_get(document, "iotHubHostName") &&
	    cJSON_GetArraySize(json_get(document, "iotHubs")) != 1)
		return refuse(
			refusal, BAD_ARGUMENT,
			"Exactly one IoT hub is required when the allocation policy is 'Static'");
	return true;
}

static bool add_stamps(const struct document_terms *terms, cJSON *document, struct refusal *refusal)
{
	const char *created = json_text(terms->existing, "createdDateTimeUtc");
	char stamp[STAMP_SIZE], etag[ETAG_SIZE];

	stamp_format(stamp, terms->now_ms);
	return added(
		json_add_text(document, "etag", etag_new(etag)) &&
			json_add_text(document, "createdDateTimeUtc", created ? created : stamp) &&
			json_add_text(document, "lastUpdatedDateTimeUtc", stamp),
		refusal);
}

bool document_build(const struct document_terms *terms, const cJSON *input, cJSON **ret_document,
		    struct refusal *refusal)
{
	CLEANUP(cJSON_freep) cJSON *document = cJSON_CreateObject();

	if (!cJSON_IsObject(input))
		return refuse(refusal, BAD_ARGUMENT, "The enrollment is not a JSON object");
	if (!document)
		return added(false, refusal);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		if (!(members[i].kinds & 1u << terms->kind))
			continue;
		const cJSON *given = json_get(input, members[i].name);
		if (cJSON_IsNull(given))
			given = NULL;
		if (!members[i].take(terms, given, document, refusal))
			return false;
	}
	if (!check_together(terms, document, refusal) || !add_stamps(terms, document, refusal))
		return false;
	*ret_document = TAKE_PTR(document);
	return true;
}

/* -- Views ------------------------------------------------------------------------------------------------- */

static bool replace_text(cJSON *object, const char *name, const char *value)
{
	cJSON *item = cJSON_CreateString(value);

	if (item && cJSON_ReplaceItemInObjectCaseSensitive(object, name, item))
		return true;
	cJSON_Delete(item);
	return false;
}

static bool mask_for_webhook(cJSON *document)
{
	cJSON *definition = json_get(document, "customAllocationDefinition");
	const char *url = json_text(definition, "webhookUrl");
	const char *etag = json_text(document, "etag");
	char inner[ETAG_SIZE];

	if (etag && !replace_text(document, "etag", etag_inner(inner, etag)))
		return false;
	if (!url)
		return true;
	CLEANUP(freep) char *masked = text_format("%.*s?****", (int)strcspn(url, "?"), url);
	return masked && replace_text(definition, "webhookUrl", masked);
}

bool document_view(cJSON *document, enum document_view view)
{
	attestation_strip(json_get(document, "attestation"), view == VIEW_WRITTEN);
	return view != VIEW_WEBHOOK || mask_for_webhook(document);
}

cJSON *document_mechanism(cJSON *document)
{
	cJSON *attestation = json_get(document, "attestation");

	attestation_strip(attestation, true);
	return attestation;
}
