/* Is this the device that an enrollment is for? */
#include <string.h>

#include "muster/encoding.h"

#include "document-internal.h"

size_t dps_enrollment_digests(const cJSON *enrollment,
			      char ret_digests[DPS_TRUSTED_MAX][SHA256_HEX_SIZE])
{
	static const char *const ranks[DPS_TRUSTED_MAX] = { "primary", "secondary" };
	const cJSON *attestation = document_get(enrollment, "attestation");
	const cJSON *certificates =
		document_get(document_get(attestation, "x509"), "clientCertificates");
	const char *ek = document_text(document_get(attestation, "tpm"), "endorsementKey");
	CLEANUP(bytes_done) struct bytes key = { 0 };
	size_t count = 0;

	if (ek && base64_decode(ek, strlen(ek), &key))
		sha256_hex(ret_digests[count++], key.data, key.size);
	for (size_t i = 0; i < ARRAY_SIZE(ranks) && count < DPS_TRUSTED_MAX; i++)
		count += document_thumbprint(document_get(certificates, ranks[i]),
					     ret_digests[count]);
	return count;
}

void dps_enrollment_thumbprints(const cJSON *enrollment, struct bytes *ret_digests)
{
	char trusted[DPS_TRUSTED_MAX][SHA256_HEX_SIZE];
	char all[DPS_TRUSTED_MAX * SHA256_HEX_SIZE];
	size_t count = dps_enrollment_digests(enrollment, trusted), length = 0;

	for (size_t i = 0; i < count; i++, length += SHA256_HEX_SIZE - 1)
		memcpy(all + length, trusted[i], SHA256_HEX_SIZE);
	if (!hex_decode(all, length, ret_digests))
		*ret_digests = (struct bytes){ 0 };
}

static bool trusts_digest(const cJSON *enrollment, const char *what,
			  const char own[SHA256_HEX_SIZE], struct muster_error *err)
{
	char trusted[DPS_TRUSTED_MAX][SHA256_HEX_SIZE];
	size_t count = dps_enrollment_digests(enrollment, trusted);

	for (size_t i = 0; i < count; i++)
		if (strcmp(trusted[i], own) == 0)
			return true;
	return muster_fail(err, CAUSE_ENROLLED_FOR_ANOTHER,
			   "the device's %s has SHA-256 %s, and the enrollment trusts %s", what,
			   own, count > 0 ? trusted[count - 1] : "none");
}

static bool trusts_certificate(const cJSON *enrollment, const X509 *certificate,
			       struct muster_error *err)
{
	const cJSON *x509 = document_get(document_get(enrollment, "attestation"), "x509");
	char own[SHA256_HEX_SIZE];
	uint8_t digest[SHA256_SIZE];

	if (!document_get(x509, "clientCertificates"))
		return true;
	if (X509_digest(certificate, EVP_sha256(), digest, NULL) != 1)
		return muster_fail(err, CAUSE_CRYPTO, "making the digest of a certificate");
	hex_encode(own, digest, sizeof(digest));
	return trusts_digest(enrollment, "certificate", own, err);
}

static bool trusts_key(const cJSON *attestation, const struct dps_identity *identity,
		       struct muster_error *err)
{
	static const char *const names[] = { "primaryKey", "secondaryKey" };
	const cJSON *keys = document_get(attestation, "symmetricKey");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CLEANUP(secret_done) struct secret enrolled = { 0 };

		if (document_key(keys, names[i], &enrolled) &&
		    secret_equal(&enrolled, identity->key))
			return true;
	}
	return muster_fail(err, CAUSE_ENROLLED_FOR_ANOTHER,
			   "the device's symmetric key is neither of the enrollment's");
}

bool dps_enrollment_trusts(const cJSON *enrollment, const struct dps_identity *identity,
			   struct muster_error *err)
{
	const struct bytes *ek = identity->ek;
	char own[SHA256_HEX_SIZE];

	if (ek)
		return trusts_digest(enrollment, "endorsement key",
				     sha256_hex(own, ek->data, ek->size), err);
	return identity->certificate
		       ? trusts_certificate(enrollment, identity->certificate, err)
		       : trusts_key(document_get(enrollment, "attestation"), identity, err);
}
