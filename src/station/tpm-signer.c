#include "tpm-signer.h"

#include <string.h>

#include "muster/ek.h"
#include "muster/pki.h"

static bool sign(struct signer *signer, enum signer_scheme scheme, enum signer_hash hash,
		 const uint8_t *digest, size_t digest_size, uint8_t signature[SIGNER_SIGNATURE_MAX],
		 size_t *ret_size, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	struct tpm_signer *tpm = signer->context;
	const struct bytes *made;

	if (hash != SIGNER_SHA256 || (scheme != SIGNER_ECDSA && scheme != SIGNER_RSA_PKCS1))
		return muster_fail(err, CAUSE_STATION_KEY_UNUSABLE,
				   "a key in a TPM signs SHA-256 digests, by ECDSA or PKCS #1");
	worker_request_init(&request, WORKER_TPM_SIGN);
	worker_add_u64(&request, FIELD_HANDLE, tpm->place.handle);
	worker_add_bytes(&request, FIELD_DIGEST, digest, digest_size);
	if (!chip_ask(&tpm->chip, &request, &reply, err))
		return false;
	made = worker_bytes(&reply, FIELD_SIGNATURE);
	if (made->size == 0 || made->size > SIGNER_SIGNATURE_MAX)
		return muster_fail(err, CAUSE_TPM_ANSWER_INVALID, "a signature of %zu bytes came",
				   made->size);
	memcpy(signature, made->data, made->size);
	*ret_size = made->size;
	return true;
}

static bool read_public(struct tpm_signer *signer, struct bytes *ret_spki, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	const struct bytes *data;
	struct ek_public public;

	worker_request_init(&request, WORKER_TPM_READ_PUBLIC);
	worker_add_u64(&request, FIELD_HANDLE, signer->place.handle);
	if (!chip_ask(&signer->chip, &request, &reply, err))
		return false;
	if (!worker_u64(&reply, FIELD_FOUND))
		return muster_fail(err, CAUSE_KEY_NOT_FOUND, "the TPM has no key at 0x%08x",
				   signer->place.handle);
	data = worker_bytes(&reply, FIELD_PUBLIC);
	return ek_public_parse(data->data, data->size, &public, err) &&
	       ek_public_spki(&public, ret_spki, err);
}

bool tpm_signer_open(const char *place, struct tpm_signer *signer, struct muster_error *err)
{
	if (!tpm_place_parse(place, "handle", &signer->place, err) ||
	    !chip_open(signer->place.tcti, &signer->chip, err) ||
	    !read_public(signer, &signer->signer.spki, err))
		return false;
	signer->signer.sign = sign;
	signer->signer.context = signer;
	return pki_key_from_signer(&signer->signer, &signer->key, err);
}

void tpm_signer_done(struct tpm_signer *signer)
{
	EVP_PKEY_free(signer->key);
	bytes_done(&signer->signer.spki);
	chip_close(&signer->chip);
}
