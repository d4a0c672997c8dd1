#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/json.h"

#include "document-internal.h"

DEFINE_FREEP(X509_freep, X509 *, X509_free)

/* Two documents side by side and the lines that come of it. An error is memory, kept until the end. */
struct comparison {
	const cJSON *wanted;
	const cJSON *found;
	const cJSON *mechanism;
	const char *wanted_word, *found_word;
	struct text *lines;
	bool has_failed;
};

/* -- Lines --------------------------------------------------------------------------------------------- */

#define SHOWN_MAX 120

/* The JSON of a value, printable and cut. */
static char *shown(struct comparison *comparison, const cJSON *item)
{
	char *json = item ? json_print_line(item) : strdup("nothing");
	char *printable = malloc(SHOWN_MAX);

	if (json && printable)
		text_printable(printable, SHOWN_MAX, json);
	else
		comparison->has_failed = true;
	if (json)
		secret_wipe(json, strlen(json));
	free(json);
	return printable;
}

static void add_line(struct comparison *comparison, const char *path, const char *difference)
{
	text_addf(comparison->lines, "%s%s: %s", comparison->lines->length ? "\n" : "", path,
		  difference);
}

static void add_values(struct comparison *comparison, const char *path, const cJSON *wanted,
		       const cJSON *found)
{
	CLEANUP(freep) char *wanted_text = shown(comparison, wanted);
	CLEANUP(freep) char *found_text = shown(comparison, found);
	CLEANUP(freep) char *line = NULL;

	if (comparison->has_failed)
		return;
	line = text_format("%s %s, %s %s", comparison->wanted_word, wanted_text,
			   comparison->found_word, found_text);
	if (line)
		add_line(comparison, path, line);
	comparison->has_failed = !line;
}

/* -- Plain members ------------------------------------------------------------------------------------- */

static const cJSON *at(const cJSON *document, const char *outer, const char *inner)
{
	const cJSON *item = document_get(document, outer);

	return inner ? document_get(item, inner) : item;
}

static void compare_text(struct comparison *comparison, const char *name, const char *fallback,
			 bool (*is_equal)(const char *, const char *))
{
	const cJSON *wanted = document_get(comparison->wanted, name);
	const cJSON *found = document_get(comparison->found, name);
	const char *wanted_text = cJSON_GetStringValue(wanted);
	const char *found_text = cJSON_GetStringValue(found);

	wanted_text = wanted_text && *wanted_text ? wanted_text : fallback;
	found_text = found_text && *found_text ? found_text : fallback;
	if (!is_equal(wanted_text, found_text))
		add_values(comparison, name, wanted, found);
}

static bool is_same_text(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static void compare_bool(struct comparison *comparison, const char *outer, const char *inner,
			 bool fallback)
{
	const cJSON *wanted = at(comparison->wanted, outer, inner);
	const cJSON *found = at(comparison->found, outer, inner);
	CLEANUP(freep) char *path = text_format("%s.%s", outer, inner);
	bool wanted_value = wanted ? cJSON_IsTrue(wanted) : fallback;
	bool found_value = found ? cJSON_IsTrue(found) : fallback;

	if (!path)
		comparison->has_failed = true;
	else if (wanted_value != found_value)
		add_values(comparison, path, wanted, found);
}

/* Members that the service may add to a free collection by itself. */
static const char *const service_members[] = { "$metadata", "$version", "metadata",
					       "version",   "count",    DPS_ATTEMPT_MEMBER };

/* A copy without what does not count: our attempt always, the service's own unless the other side has them. */
static cJSON *copy_free(const cJSON *item, const cJSON *other)
{
	cJSON *copy = item ? cJSON_Duplicate(item, true) : cJSON_CreateObject();

	for (size_t i = 0; copy && i < ARRAY_SIZE(service_members); i++)
		if (strcmp(service_members[i], DPS_ATTEMPT_MEMBER) == 0 ||
		    !json_get(other, service_members[i]))
			cJSON_DeleteItemFromObjectCaseSensitive(copy, service_members[i]);
	return copy;
}

static void compare_free(struct comparison *comparison, const char *path, const cJSON *wanted,
			 const cJSON *found)
{
	CLEANUP(cJSON_freep) cJSON *wanted_copy = copy_free(wanted, wanted);
	CLEANUP(cJSON_freep) cJSON *found_copy = copy_free(found, wanted);

	if (!wanted_copy || !found_copy)
		comparison->has_failed = true;
	else if (!json_equal(wanted_copy, found_copy))
		add_values(comparison, path, wanted_copy, found_copy);
}

static void compare_twins(struct comparison *comparison)
{
	const cJSON *wanted = document_get(comparison->wanted, "initialTwin");
	const cJSON *found = document_get(comparison->found, "initialTwin");

	compare_free(comparison, "initialTwin.tags", document_get(wanted, "tags"),
		     document_get(found, "tags"));
	compare_free(comparison, "initialTwin.properties.desired",
		     at(wanted, "properties", "desired"), at(found, "properties", "desired"));
	compare_free(comparison, "optionalDeviceInformation",
		     document_get(comparison->wanted, "optionalDeviceInformation"),
		     document_get(comparison->found, "optionalDeviceInformation"));
}

/* -- Allocation ---------------------------------------------------------------------------------------- */

static void compare_policy(struct comparison *comparison)
{
	const cJSON *wanted = document_get(comparison->wanted, "allocationPolicy");
	const cJSON *found = document_get(comparison->found, "allocationPolicy");
	const char *wanted_text = cJSON_GetStringValue(wanted);
	const char *found_text = cJSON_GetStringValue(found);

	/* Left to the instance: the service may fill in its default, which is never "custom". */
	if (!wanted_text && (!found_text || !text_equal_folded(found_text, "custom")))
		return;
	if (!wanted_text || !found_text || !text_equal_folded(wanted_text, found_text))
		add_values(comparison, "allocationPolicy", wanted, found);
}

static bool list_has(const cJSON *list, const char *hub)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list) if (cJSON_IsString(item) &&
					   text_equal_folded(item->valuestring, hub)) return true;
	return false;
}

static bool is_subset(const cJSON *list, const cJSON *of)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list) if (!cJSON_IsString(item) ||
					   !list_has(of, item->valuestring)) return false;
	return true;
}

/* The service may repeat a single candidate as iotHubHostName. */
static void compare_hubs(struct comparison *comparison)
{
	const cJSON *wanted = document_get(comparison->wanted, "iotHubs");
	const cJSON *found = document_get(comparison->found, "iotHubs");
	const cJSON *wanted_pin = document_get(comparison->wanted, "iotHubHostName");
	const char *pin = document_text(comparison->found, "iotHubHostName");

	if (!is_subset(wanted, found) || !is_subset(found, wanted))
		add_values(comparison, "iotHubs", wanted, found);
	if (!wanted_pin && pin && list_has(found, pin))
		return;
	compare_text(comparison, "iotHubHostName", "", text_equal_folded);
}

/* The query of a webhook's URL is its key, so no value is shown. */
static void compare_webhook(struct comparison *comparison)
{
	static const char *const members[] = { "webhookUrl", "apiVersion" };

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const char *wanted = cJSON_GetStringValue(
			at(comparison->wanted, "customAllocationDefinition", members[i]));
		const char *found = cJSON_GetStringValue(
			at(comparison->found, "customAllocationDefinition", members[i]));
		CLEANUP(freep) char *path = NULL;

		if (strcmp(wanted ? wanted : "", found ? found : "") == 0)
			continue;
		path = text_format("customAllocationDefinition.%s", members[i]);
		if (path)
			add_line(comparison, path, "differs");
		comparison->has_failed = comparison->has_failed || !path;
	}
}

/* -- Attestation --------------------------------------------------------------------------------------- */

static void compare_base64(struct comparison *comparison, const char *path, const char *wanted,
			   const char *found)
{
	CLEANUP(bytes_done) struct bytes wanted_bytes = { 0 };
	CLEANUP(bytes_done) struct bytes found_bytes = { 0 };
	char digest[2][SHA256_HEX_SIZE] = { "nothing", "nothing" };
	CLEANUP(freep) char *line = NULL;

	if (wanted && base64_decode(wanted, strlen(wanted), &wanted_bytes))
		sha256_hex(digest[0], wanted_bytes.data, wanted_bytes.size);
	if (found && base64_decode(found, strlen(found), &found_bytes))
		sha256_hex(digest[1], found_bytes.data, found_bytes.size);
	if (wanted_bytes.size > 0 && bytes_equal(&wanted_bytes, &found_bytes))
		return;
	line = text_format("%s the key with SHA-256 %s, %s %s", comparison->wanted_word, digest[0],
			   comparison->found_word, digest[1]);
	if (line)
		add_line(comparison, path, line);
	comparison->has_failed = comparison->has_failed || !line;
}

static void compare_tpm(struct comparison *comparison, const cJSON *wanted, const cJSON *found)
{
	compare_base64(comparison, "attestation.tpm.endorsementKey",
		       cJSON_GetStringValue(at(wanted, "tpm", "endorsementKey")),
		       cJSON_GetStringValue(at(found, "tpm", "endorsementKey")));
}

bool document_thumbprint(const cJSON *certificate, char out[SHA256_HEX_SIZE])
{
	const char *text = document_text(certificate, "certificate");
	const char *info = document_text(document_get(certificate, "info"), "sha256Thumbprint");
	CLEANUP(X509_freep) X509 *decoded = NULL;
	uint8_t digest[SHA256_SIZE];
	struct muster_error ignored;

	if (text && dps_certificate_decode(text, &decoded, &ignored) &&
	    X509_digest(decoded, EVP_sha256(), digest, NULL) == 1) {
		hex_encode(out, digest, sizeof(digest));
		return true;
	}
	if (!info || strlen(info) != SHA256_HEX_SIZE - 1)
		return false;
	memcpy(out, info, SHA256_HEX_SIZE);
	text_fold(out);
	return hex_is_lower(out, SHA256_HEX_SIZE - 1, SHA256_HEX_SIZE - 1);
}

static void compare_certificate(struct comparison *comparison, const char *path,
				const cJSON *wanted, const cJSON *found)
{
	char wanted_print[SHA256_HEX_SIZE] = "nothing", found_print[SHA256_HEX_SIZE] = "nothing";
	bool has_wanted = document_thumbprint(wanted, wanted_print);
	bool has_found = document_thumbprint(found, found_print);
	CLEANUP(freep) char *line = NULL;

	if (has_wanted == has_found && strcmp(wanted_print, found_print) == 0)
		return;
	line = text_format("%s the certificate with SHA-256 %s, %s %s", comparison->wanted_word,
			   wanted_print, comparison->found_word, found_print);
	if (line)
		add_line(comparison, path, line);
	comparison->has_failed = comparison->has_failed || !line;
}

static void compare_certificates(struct comparison *comparison, const cJSON *wanted,
				 const cJSON *found)
{
	static const char *const kinds[] = { "clientCertificates", "signingCertificates" };
	static const char *const ranks[] = { "primary", "secondary" };

	wanted = document_get(wanted, "x509");
	found = document_get(found, "x509");
	for (size_t i = 0; i < ARRAY_SIZE(kinds) * ARRAY_SIZE(ranks); i++) {
		const char *kind = kinds[i / 2], *rank = ranks[i % 2];
		CLEANUP(freep) char *path = text_format("attestation.x509.%s.%s", kind, rank);

		comparison->has_failed = comparison->has_failed || !path;
		if (path)
			compare_certificate(comparison, path, at(wanted, kind, rank),
					    at(found, kind, rank));
	}
	compare_free(comparison, "attestation.x509.caReferences",
		     document_get(wanted, "caReferences"), document_get(found, "caReferences"));
}

/* PUT answers repeat the keys, GET leaves them out. */
static const cJSON *keys_of(const cJSON *found, const cJSON *mechanism)
{
	const cJSON *keys = at(found, "attestation", "symmetricKey");

	if (document_get(keys, "primaryKey") || document_get(keys, "secondaryKey"))
		return keys;
	return document_get(mechanism, "symmetricKey");
}

bool document_key(const cJSON *keys, const char *name, struct secret *ret_key)
{
	const char *text = document_text(keys, name);
	struct muster_error ignored;

	return text && secret_from_base64(ret_key, text, strlen(text), name, &ignored);
}

static void compare_key(struct comparison *comparison, const char *name, const cJSON *wanted,
			const cJSON *found)
{
	CLEANUP(secret_done) struct secret wanted_key = { 0 };
	CLEANUP(secret_done) struct secret found_key = { 0 };
	CLEANUP(freep) char *path = text_format("attestation.symmetricKey.%s", name);

	comparison->has_failed = comparison->has_failed || !path;
	/* A key that was left out is the service's to make. */
	if (!path || !document_get(wanted, name))
		return;
	if (!document_key(wanted, name, &wanted_key))
		add_line(comparison, path, "the wanted key is not base64");
	else if (!document_key(found, name, &found_key))
		add_line(comparison, path, "not told by the service");
	else if (!secret_equal(&wanted_key, &found_key))
		add_line(comparison, path, "the keys differ");
}

static void compare_keys(struct comparison *comparison, const cJSON *wanted, const cJSON *found)
{
	const cJSON *wanted_keys = document_get(wanted, "symmetricKey");
	const cJSON *found_keys = keys_of(comparison->found, comparison->mechanism);

	(void)found;
	compare_key(comparison, "primaryKey", wanted_keys, found_keys);
	compare_key(comparison, "secondaryKey", wanted_keys, found_keys);
}

static const struct {
	const char *type;
	void (*compare)(struct comparison *comparison, const cJSON *wanted, const cJSON *found);
} attestations[] = {
	{ "tpm", compare_tpm },
	{ "x509", compare_certificates },
	{ "symmetricKey", compare_keys },
};

static void compare_attestation(struct comparison *comparison)
{
	const cJSON *wanted = document_get(comparison->wanted, "attestation");
	const cJSON *found = document_get(comparison->found, "attestation");
	const cJSON *wanted_type = document_get(wanted, "type");
	const cJSON *found_type = document_get(found, "type");
	const char *type = cJSON_GetStringValue(wanted_type);
	const char *other = cJSON_GetStringValue(found_type);

	if (!type || !other || !text_equal_folded(type, other)) {
		add_values(comparison, "attestation.type", wanted_type, found_type);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(attestations); i++)
		if (text_equal_folded(attestations[i].type, type))
			attestations[i].compare(comparison, wanted, found);
}

/* -- The whole ----------------------------------------------------------------------------------------- */

/* Absent, the device has its registration ID in the hub. */
static void compare_ids(struct comparison *comparison)
{
	const char *id = document_text(comparison->wanted, "registrationId");

	compare_text(comparison, "registrationId", "", text_equal_folded);
	compare_text(comparison, "deviceId", id ? id : "", is_same_text);
}

static bool compare_all(struct comparison *comparison, struct text *ret_lines,
			struct muster_error *err)
{
	CLEANUP(text_done) struct text lines = TEXT_MAX(16 * 1024);

	comparison->lines = &lines;
	compare_ids(comparison);
	compare_attestation(comparison);
	compare_text(comparison, "provisioningStatus", "enabled", text_equal_folded);
	compare_policy(comparison);
	compare_hubs(comparison);
	compare_webhook(comparison);
	compare_bool(comparison, "reprovisionPolicy", "updateHubAssignment", true);
	compare_bool(comparison, "reprovisionPolicy", "migrateDeviceData", true);
	compare_bool(comparison, "capabilities", "iotEdge", false);
	compare_twins(comparison);
	if (comparison->has_failed)
		return muster_fail_memory(err);
	if (!text_ok(&lines, err))
		return false;
	text_done(ret_lines);
	*ret_lines = lines;
	lines = (struct text){ 0 };
	return true;
}

bool dps_enrollment_compare(const cJSON *wanted, const cJSON *found, const cJSON *mechanism,
			    struct text *ret_differences, struct muster_error *err)
{
	struct comparison comparison = { .wanted = wanted,
					 .found = found,
					 .mechanism = mechanism,
					 .wanted_word = "wanted",
					 .found_word = "found" };

	return compare_all(&comparison, ret_differences, err);
}

bool dps_enrollment_changes(const cJSON *before, const cJSON *now, struct text *ret_changes,
			    struct muster_error *err)
{
	struct comparison comparison = {
		.wanted = before, .found = now, .wanted_word = "was", .found_word = "is now"
	};

	return compare_all(&comparison, ret_changes, err);
}

bool dps_enrollment_needs_mechanism(const cJSON *wanted, const cJSON *found)
{
	const cJSON *keys = at(wanted, "attestation", "symmetricKey");
	const char *found_type = document_text(document_get(found, "attestation"), "type");

	return (document_get(keys, "primaryKey") || document_get(keys, "secondaryKey")) &&
	       found_type && text_equal_folded(found_type, "symmetricKey") && !keys_of(found, NULL);
}

const char *dps_enrollment_attempt(const cJSON *found)
{
	return document_text(document_get(found, "optionalDeviceInformation"), DPS_ATTEMPT_MEMBER);
}

/* A service may set the two one after the other. Nobody reads an enrollment and writes it in that time. */
enum { CREATION_MS = 20 };

bool dps_enrollment_is_unwritten(const cJSON *found)
{
	const char *created = document_text(found, "createdDateTimeUtc");
	const char *updated = document_text(found, "lastUpdatedDateTimeUtc");
	int64_t created_ms, updated_ms;

	return created && updated && rfc3339_parse(created, &created_ms) &&
	       rfc3339_parse(updated, &updated_ms) && llabs(updated_ms - created_ms) <= CREATION_MS;
}
