/* Is this the device that an enrollment is for? */
#include <string.h>

#include "muster/encoding.h"

#include "document-internal.h"

static bool fail_other(const char *what, const char *own, const char *enrolled,
		       struct muster_error *err)
{
	return muster_fail(err, CAUSE_ENROLLED_FOR_ANOTHER,
			   "the device's %s has SHA-256 %s, and the enrollment trusts %s", what,
			   own, enrolled);
}

static bool trusts_tpm(const cJSON *attestation, const struct dps_identity *identity,
		       struct muster_error *err)
{
	const char *text = document_text(document_get(attestation, "tpm"), "endorsementKey");
	CLEANUP(bytes_done) struct bytes enrolled = { 0 };
	char own[SHA256_HEX_SIZE], other[SHA256_HEX_SIZE] = "none";

	if (text && base64_decode(text, strlen(text), &enrolled)) {
		if (bytes_equal(&enrolled, identity->ek))
			return true;
		sha256_hex(other, enrolled.data, enrolled.size);
	}
	return fail_other("endorsement key",
			  sha256_hex(own, identity->ek->data, identity->ek->size), other, err);
}

static bool trusts_certificate(const cJSON *attestation, const struct dps_identity *identity,
			       struct muster_error *err)
{
	static const char *const ranks[] = { "primary", "secondary" };
	const cJSON *certificates =
		document_get(document_get(attestation, "x509"), "clientCertificates");
	char own[SHA256_HEX_SIZE], enrolled[SHA256_HEX_SIZE], last[SHA256_HEX_SIZE] = "none";
	uint8_t digest[SHA256_SIZE];

	if (!certificates)
		return true;
	if (X509_digest(identity->certificate, EVP_sha256(), digest, NULL) != 1)
		return muster_fail(err, CAUSE_CRYPTO, "making the digest of a certificate");
	hex_encode(own, digest, sizeof(digest));
	for (size_t i = 0; i < ARRAY_SIZE(ranks); i++) {
		if (!document_thumbprint(document_get(certificates, ranks[i]), enrolled))
			continue;
		if (strcmp(enrolled, own) == 0)
			return true;
		memcpy(last, enrolled, sizeof(last));
	}
	return fail_other("certificate", own, last, err);
}

static bool trusts_key(const cJSON *attestation, const struct dps_identity *identity,
		       struct muster_error *err)
{
	static const char *const ranks[] = { "primaryKey", "secondaryKey" };
	const cJSON *keys = document_get(attestation, "symmetricKey");

	for (size_t i = 0; i < ARRAY_SIZE(ranks); i++) {
		CLEANUP(secret_done) struct secret enrolled = { 0 };

		if (document_key(keys, ranks[i], &enrolled) &&
		    secret_equal(&enrolled, identity->key))
			return true;
	}
	return muster_fail(err, CAUSE_ENROLLED_FOR_ANOTHER,
			   "the device's symmetric key is neither of the enrollment's");
}

bool dps_enrollment_trusts(const cJSON *enrollment, const struct dps_identity *identity,
			   struct muster_error *err)
{
	const cJSON *attestation = document_get(enrollment, "attestation");

	if (identity->ek)
		return trusts_tpm(attestation, identity, err);
	return identity->certificate ? trusts_certificate(attestation, identity, err)
				     : trusts_key(attestation, identity, err);
}
