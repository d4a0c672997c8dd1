#include "attestation.h"

#include <string.h>

#include "muster/ek.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/pki.h"
#include "muster/text.h"

#define GENERATED_KEY_SIZE 64
#define KEY_MIN 16
#define KEY_MAX 64

static cJSON *member(const cJSON *object, const char *name)
{
	cJSON *item = json_get(object, name);

	return cJSON_IsNull(item) ? NULL : item;
}

static bool no_memory(struct refusal *refusal)
{
	return refuse(refusal, SERVER_FAILED, "The emulator is out of memory");
}

/* -- Symmetric keys ---------------------------------------------------------------------------------------- */

static bool check_key(const char *text, const char *name, struct refusal *refusal)
{
	CLEANUP(bytes_done) struct bytes key = { 0 };

	if (!base64_decode(text, strlen(text), &key))
		return refuse(refusal, BAD_ARGUMENT, "%s is not base64", name);
	if (key.size < KEY_MIN || key.size > KEY_MAX)
		return refuse(refusal, BAD_ARGUMENT,
			      "%s has %zu bytes; symmetric keys have 16 to 64 bytes", name,
			      key.size);
	return true;
}

static bool add_key(cJSON *out, const cJSON *in, const char *name, struct refusal *refusal)
{
	const cJSON *given = member(in, name);

	if (given && !cJSON_IsString(given))
		return refuse(refusal, BAD_ARGUMENT, "%s is not a string", name);
	if (given && given->valuestring[0] != '\0') {
		if (!check_key(given->valuestring, name, refusal))
			return false;
		return json_add_text(out, name, given->valuestring) || no_memory(refusal);
	}

	uint8_t key[GENERATED_KEY_SIZE];
	struct muster_error err;
	if (!random_bytes(key, sizeof(key), &err))
		return refuse_internal(refusal, &err);
	CLEANUP(freep) char *text = base64_encode(key, sizeof(key));
	return (text && json_add_text(out, name, text)) || no_memory(refusal);
}

static bool build_symmetric(const struct document_terms *terms, const cJSON *in, cJSON *out,
			    struct refusal *refusal)
{
	(void)terms;
	return add_key(out, in, "primaryKey", refusal) && add_key(out, in, "secondaryKey", refusal);
}

/* -- TPM --------------------------------------------------------------------------------------------------- */

static bool check_endorsement_key(const char *text, struct refusal *refusal)
{
	struct ek_public ek;
	struct muster_error err;

	if (!ek_public_from_base64(text, strlen(text), &ek, &err) || !ek_check_dps(&ek, &err))
		return refuse(
			refusal, BAD_ARGUMENT,
			"Endorsement key is invalid, or does not match the Enrollment. (%.200s)",
			err.message);
	return true;
}

static bool check_storage_root_key(const char *text, struct refusal *refusal)
{
	struct ek_public srk;
	struct muster_error err;

	if (!ek_public_from_base64(text, strlen(text), &srk, &err) || !ek_check_srk(&srk, &err))
		return refuse(refusal, BAD_ARGUMENT, "Storage root key is invalid. (%.200s)",
			      err.message);
	return true;
}

static bool build_tpm(const struct document_terms *terms, const cJSON *in, cJSON *out,
		      struct refusal *refusal)
{
	const char *ek = json_text(in, "endorsementKey");
	const char *srk = json_text(in, "storageRootKey");

	if (terms->kind == KIND_GROUP)
		return refuse(refusal, BAD_ARGUMENT,
			      "TPM attestation is for individual enrollments only");
	if (!ek)
		return refuse(refusal, BAD_ARGUMENT, "endorsementKey is missing");
	if (!check_endorsement_key(ek, refusal))
		return false;
	if (srk && srk[0] != '\0' && !check_storage_root_key(srk, refusal))
		return false;
	if (!json_add_text(out, "endorsementKey", ek))
		return no_memory(refusal);
	if (srk && srk[0] != '\0' && !json_add_text(out, "storageRootKey", srk))
		return no_memory(refusal);
	return true;
}

/* -- X.509 ------------------------------------------------------------------------------------------------- */

static bool add_info(cJSON *out, const X509 *certificate, struct muster_error *err)
{
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };
	cJSON *object = cJSON_AddObjectToObject(out, "info");

	if (!pki_certificate_info(certificate, &info, err))
		return false;
	bool is_good = object && json_add_text(object, "subjectName", info.subject) &&
		       json_add_text(object, "sha1Thumbprint", info.sha1) &&
		       json_add_text(object, "sha256Thumbprint", info.sha256) &&
		       json_add_text(object, "issuerName", info.issuer) &&
		       json_add_text(object, "notBeforeUtc", info.not_before) &&
		       json_add_text(object, "notAfterUtc", info.not_after) &&
		       json_add_text(object, "serialNumber", info.serial) &&
		       json_add_int64(object, "version", info.version);
	return is_good || muster_fail_memory(err);
}

static bool add_certificate(cJSON *out, const char *text, const char *slot, struct refusal *refusal)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(bytes_done) struct bytes der = { 0 };
	struct muster_error err;

	if (!pki_certificate_read(text, strlen(text), slot, &certificate, &err))
		return refuse(refusal, BAD_ARGUMENT, "The %s certificate is invalid. (%.200s)",
			      slot, err.message);
	if (!pki_certificate_der(certificate, &der, &err) || !add_info(out, certificate, &err))
		return refuse_internal(refusal, &err);
	CLEANUP(freep) char *encoded = base64_encode(der.data, der.size);
	return (encoded && json_add_text(out, "certificate", encoded)) || no_memory(refusal);
}

/* A client that edits what it read sends back the info alone: that names the certificate stored already. */
static const char *certificate_of_info(const struct document_terms *terms, const cJSON *in,
				       const char *member_name)
{
	static const char *const slots[] = { "primary", "secondary" };
	const char *thumbprint = json_text(json_get(in, "info"), "sha256Thumbprint");

	for (size_t i = 0; thumbprint && i < ARRAY_SIZE(slots); i++) {
		const cJSON *stored = json_at(terms->existing, "attestation", "x509", member_name,
					      slots[i], NULL);
		const char *known = json_text(json_get(stored, "info"), "sha256Thumbprint");
		if (known && text_equal_folded(known, thumbprint))
			return json_text(stored, "certificate");
	}
	return NULL;
}

static bool add_slot(const struct document_terms *terms, const cJSON *in, cJSON *out,
		     const char *member_name, const char *slot, struct refusal *refusal)
{
	const cJSON *given = member(in, slot);
	const char *text = json_text(given, "certificate");

	if (!given)
		return true;
	if (!text || text[0] == '\0')
		text = certificate_of_info(terms, given, member_name);
	if (!text)
		return refuse(refusal, BAD_ARGUMENT, "The %s certificate is missing", slot);
	cJSON *object = cJSON_AddObjectToObject(out, slot);
	return object ? add_certificate(object, text, slot, refusal) : no_memory(refusal);
}

static bool build_x509(const struct document_terms *terms, const cJSON *in, cJSON *out,
		       struct refusal *refusal)
{
	const char *wanted =
		terms->kind == KIND_GROUP ? "signingCertificates" : "clientCertificates";
	const cJSON *certificates = member(in, wanted);

	if (member(in, "caReferences"))
		return refuse(refusal, BAD_ARGUMENT, "CA certificate not found.");
	if (!certificates ||
	    !(member(certificates, "primary") || member(certificates, "secondary")))
		return refuse(refusal, BAD_ARGUMENT, "x509.%s has no certificate", wanted);
	cJSON *object = cJSON_AddObjectToObject(out, wanted);
	if (!object)
		return no_memory(refusal);
	return add_slot(terms, certificates, object, wanted, "primary", refusal) &&
	       add_slot(terms, certificates, object, wanted, "secondary", refusal);
}

/* -- All kinds --------------------------------------------------------------------------------------------- */

static const struct attestation_row {
	const char *type;
	bool needs_member;
	bool (*build)(const struct document_terms *terms, const cJSON *in, cJSON *out,
		      struct refusal *refusal);
} rows[] = {
	{ "symmetricKey", false, build_symmetric },
	{ "tpm", true, build_tpm },
	{ "x509", true, build_x509 },
};

static const struct attestation_row *find_row(const char *type)
{
	for (size_t i = 0; type && i < ARRAY_SIZE(rows); i++)
		if (text_equal_folded(rows[i].type, type))
			return &rows[i];
	return NULL;
}

bool attestation_build(const struct document_terms *terms, const cJSON *input,
		       cJSON **ret_attestation, struct refusal *refusal)
{
	const struct attestation_row *row = find_row(json_text(input, "type"));

	if (!row)
		return refuse(refusal, BAD_ARGUMENT,
			      "attestation.type is not one of tpm, x509, symmetricKey");
	const cJSON *in = member(input, row->type);
	if ((in && !cJSON_IsObject(in)) || (!in && row->needs_member))
		return refuse(refusal, BAD_ARGUMENT, "attestation.%s is missing or not an object",
			      row->type);

	CLEANUP(cJSON_freep) cJSON *attestation = cJSON_CreateObject();
	if (!attestation || !json_add_text(attestation, "type", row->type))
		return no_memory(refusal);
	cJSON *out = cJSON_AddObjectToObject(attestation, row->type);
	if (!out)
		return no_memory(refusal);
	if (!row->build(terms, in, out, refusal))
		return false;
	*ret_attestation = TAKE_PTR(attestation);
	return true;
}

static void strip_certificates(cJSON *slots)
{
	cJSON_DeleteItemFromObjectCaseSensitive(json_get(slots, "primary"), "certificate");
	cJSON_DeleteItemFromObjectCaseSensitive(json_get(slots, "secondary"), "certificate");
}

void attestation_strip(cJSON *attestation, bool with_keys)
{
	if (!with_keys)
		cJSON_DeleteItemFromObjectCaseSensitive(attestation, "symmetricKey");
	strip_certificates(json_at(attestation, "x509", "clientCertificates", NULL));
	strip_certificates(json_at(attestation, "x509", "signingCertificates", NULL));
}
