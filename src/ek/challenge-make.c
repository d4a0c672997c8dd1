/* The service's side: an HMAC key wrapped so that only the TPM with this EK and this SRK can use it. */
#include "muster/ek.h"

#include <string.h>

#include <openssl/evp.h>

#include "ek-internal.h"

#define CREDENTIAL_MAX 32
#define INNER_KEY_SIZE 16
#define SEED_VALUE_SIZE SHA256_SIZE
#define HMAC_KEY_MIN 16
#define HMAC_KEY_MAX 64
#define HMAC_KEY_ATTRIBUTES (TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_USERWITHAUTH)

DEFINE_FREEP(EVP_MD_CTX_freep, EVP_MD_CTX *, EVP_MD_CTX_free)

bool ek_credential_make(const struct ek_public *ek, const uint8_t name[EK_NAME_SIZE],
			const struct secret *credential, struct bytes *ret_id_object,
			struct bytes *ret_secret, struct muster_error *err)
{
	if (credential->size < 1 || credential->size > CREDENTIAL_MAX)
		return muster_fail(err, CAUSE_SECRET_INVALID,
				   "a credential of %zu bytes cannot be made; 1 to %d can",
				   credential->size, CREDENTIAL_MAX);
	CLEANUP(secret_done) struct secret sized = { 0 };
	if (!secret_new(&sized, 2 + credential->size, err))
		return false;
	ek_write_sized(&(struct ek_writer){ sized.data }, credential->data, credential->size);
	return ek_seal(ek, "IDENTITY", name, &sized, ret_id_object, ret_secret, err) ||
	       muster_error_prefix(err, "making a credential");
}

/* SHA-256 of two secrets, one behind the other. */
static bool digest_both(const void *a, size_t a_size, const void *b, size_t b_size,
			uint8_t digest[SHA256_SIZE], struct muster_error *err)
{
	CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
	if (!context || EVP_DigestInit_ex2(context, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(context, a, a_size) != 1 ||
	    EVP_DigestUpdate(context, b, b_size) != 1 ||
	    EVP_DigestFinal_ex(context, digest, NULL) != 1)
		return muster_fail(err, CAUSE_CRYPTO, "computing a SHA-256 failed");
	return true;
}

/* Public area of a keyed hash object that binds seed value and key (Part 1, 27.5.3.2). */
static bool make_key_public(const struct secret *seed_value, const struct secret *hmac_key,
			    struct ek_public *ret_public, struct muster_error *err)
{
	TPMT_PUBLIC area = {
		.type = TPM2_ALG_KEYEDHASH,
		.nameAlg = TPM2_ALG_SHA256,
		.objectAttributes = HMAC_KEY_ATTRIBUTES,
		.unique.keyedHash.size = SHA256_SIZE,
	};
	area.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_HMAC;
	area.parameters.keyedHashDetail.scheme.details.hmac.hashAlg = TPM2_ALG_SHA256;
	return digest_both(seed_value->data, seed_value->size, hmac_key->data, hmac_key->size,
			   area.unique.keyedHash.buffer, err) &&
	       ek_public_pack(&area, ret_public, err);
}

/* TPM2B_SENSITIVE: type, empty auth, seed value, key. */
static bool make_sensitive(const struct secret *seed_value, const struct secret *hmac_key,
			   struct secret *ret_sensitive, struct muster_error *err)
{
	size_t content = 2 + 2 + 2 + seed_value->size + 2 + hmac_key->size;
	if (!secret_new(ret_sensitive, 2 + content, err))
		return false;
	struct ek_writer writer = { ret_sensitive->data };
	ek_write_u16(&writer, content);
	ek_write_u16(&writer, TPM2_ALG_KEYEDHASH);
	ek_write_u16(&writer, 0);
	ek_write_sized(&writer, seed_value->data, seed_value->size);
	ek_write_sized(&writer, hmac_key->data, hmac_key->size);
	return true;
}

/* The inner wrap (Part 1, 23.3.2.2): integrity and sensitive area, encrypted with the inner key. */
static bool wrap_inner(const struct secret *sensitive, const uint8_t name[EK_NAME_SIZE],
		       const struct secret *inner_key, struct secret *ret_inner,
		       struct muster_error *err)
{
	uint8_t integrity[SHA256_SIZE];
	if (!digest_both(sensitive->data, sensitive->size, name, EK_NAME_SIZE, integrity, err) ||
	    !secret_new(ret_inner, 2 + sizeof(integrity) + sensitive->size, err))
		return false;
	struct ek_writer writer = { ret_inner->data };
	ek_write_sized(&writer, integrity, sizeof(integrity));
	ek_write_bytes(&writer, sensitive->data, sensitive->size);
	return ek_encrypt(inner_key, ret_inner->data, ret_inner->size, err);
}

/* Parts 3, 4 and 5: the key as a duplicate for the SRK. */
static bool make_duplicate(const struct ek_public *srk, const struct secret *hmac_key,
			   const struct secret *inner_key, struct ek_challenge *parts,
			   struct muster_error *err)
{
	CLEANUP(secret_done) struct secret seed_value = { 0 };
	CLEANUP(secret_done) struct secret sensitive = { 0 };
	CLEANUP(secret_done) struct secret inner = { 0 };
	struct ek_public key_public;
	uint8_t name[EK_NAME_SIZE];
	return secret_new(&seed_value, SEED_VALUE_SIZE, err) &&
	       random_bytes(seed_value.data, seed_value.size, err) &&
	       make_key_public(&seed_value, hmac_key, &key_public, err) &&
	       ek_public_name(&key_public, name, err) &&
	       make_sensitive(&seed_value, hmac_key, &sensitive, err) &&
	       wrap_inner(&sensitive, name, inner_key, &inner, err) &&
	       ek_seal(srk, "DUPLICATE", name, &inner, &parts->duplicate, &parts->duplicate_seed,
		       err) &&
	       bytes_copy(&parts->key_public, key_public.data, key_public.size, err);
}

static bool join(const struct ek_challenge *parts, const struct bytes *trailing,
		 struct bytes *ret_blob, struct muster_error *err)
{
	const struct bytes *const whole[] = { &parts->id_object, &parts->credential_secret,
					      &parts->duplicate, &parts->duplicate_seed,
					      &parts->key_public };
	size_t trailing_size = trailing ? trailing->size : 0;
	size_t size = 2 + trailing_size;
	for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
		size += whole[i]->size;
	if (trailing_size > UINT16_MAX || size > EK_CHALLENGE_MAX)
		return muster_fail(err, CAUSE_INTERNAL, "a challenge of %zu bytes is too large",
				   size);

	struct bytes blob = { .data = malloc(size), .size = size };
	if (!blob.data)
		return muster_fail_memory(err);
	struct ek_writer writer = { blob.data };
	for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
		ek_write_bytes(&writer, whole[i]->data, whole[i]->size);
	ek_write_sized(&writer, trailing ? trailing->data : NULL, trailing_size);
	*ret_blob = blob;
	return true;
}

bool ek_challenge_make(const struct ek_public *ek, const struct ek_public *srk,
		       const struct secret *hmac_key, const struct bytes *trailing,
		       struct bytes *ret_blob, struct muster_error *err)
{
	if (hmac_key->size < HMAC_KEY_MIN || hmac_key->size > HMAC_KEY_MAX)
		return muster_fail(
			err, CAUSE_SECRET_INVALID,
			"an HMAC key of %zu bytes cannot be handed to a TPM; %d to %d can",
			hmac_key->size, HMAC_KEY_MIN, HMAC_KEY_MAX);
	CLEANUP(secret_done) struct secret inner_key = { 0 };
	CLEANUP(ek_challenge_done) struct ek_challenge parts = { 0 };
	uint8_t srk_name[EK_NAME_SIZE];
	return (secret_new(&inner_key, INNER_KEY_SIZE, err) &&
		random_bytes(inner_key.data, inner_key.size, err) &&
		ek_public_name(srk, srk_name, err) &&
		ek_credential_make(ek, srk_name, &inner_key, &parts.id_object,
				   &parts.credential_secret, err) &&
		make_duplicate(srk, hmac_key, &inner_key, &parts, err) &&
		join(&parts, trailing, ret_blob, err)) ||
	       muster_error_prefix(err, "making the TPM's challenge");
}
