/* The outer wrap: a seed for the parent's private half, and what is encrypted and authenticated under it. */
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "ek-internal.h"

#define SEED_SIZE SHA256_SIZE
#define AES_KEY_SIZE 16

DEFINE_FREEP(EVP_PKEY_freep, EVP_PKEY *, EVP_PKEY_free)
DEFINE_FREEP(EVP_PKEY_CTX_freep, EVP_PKEY_CTX *, EVP_PKEY_CTX_free)
DEFINE_FREEP(EVP_CIPHER_CTX_freep, EVP_CIPHER_CTX *, EVP_CIPHER_CTX_free)
DEFINE_FREEP(EVP_KDF_freep, EVP_KDF *, EVP_KDF_free)
DEFINE_FREEP(EVP_KDF_CTX_freep, EVP_KDF_CTX *, EVP_KDF_CTX_free)

/* -- Writing ----------------------------------------------------------------------------------------------- */

void ek_write_u16(struct ek_writer *writer, size_t value)
{
	*writer->at++ = (uint8_t)(value >> 8);
	*writer->at++ = (uint8_t)value;
}

void ek_write_bytes(struct ek_writer *writer, const void *data, size_t size)
{
	if (size > 0)
		memcpy(writer->at, data, size);
	writer->at += size;
}

void ek_write_sized(struct ek_writer *writer, const void *data, size_t size)
{
	ek_write_u16(writer, size);
	ek_write_bytes(writer, data, size);
}

/* -- Primitives -------------------------------------------------------------------------------------------- */

/* KDFa with SHA-256 (Part 1, 11.4.10.2) is OpenSSL's KBKDF: the label without its NUL, which is the separator,
 * then the contexts. */
static bool derive(const struct secret *seed, const char *label, const uint8_t *context,
		   size_t context_size, struct secret *ret_key, size_t key_size,
		   struct muster_error *err)
{
	OSSL_PARAM parameters[7];
	OSSL_PARAM *next = parameters;
	*next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, (char[]){ "counter" }, 0);
	*next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MAC, (char[]){ "HMAC" }, 0);
	*next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){ "SHA256" }, 0);
	*next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, seed->data, seed->size);
	*next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)label,
						    strlen(label));
	if (context_size > 0)
		*next++ = OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)context, context_size);
	*next = OSSL_PARAM_construct_end();

	if (!secret_new(ret_key, key_size, err))
		return false;
	CLEANUP(EVP_KDF_freep) EVP_KDF *kdf = EVP_KDF_fetch(NULL, "KBKDF", NULL);
	CLEANUP(EVP_KDF_CTX_freep) EVP_KDF_CTX *kdf_context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	if (!kdf_context || EVP_KDF_derive(kdf_context, ret_key->data, key_size, parameters) != 1)
		return muster_fail(err, CAUSE_CRYPTO, "deriving the key '%s' failed", label);
	return true;
}

bool ek_encrypt(const struct secret *key, uint8_t *data, size_t size, struct muster_error *err)
{
	static const uint8_t zero_iv[16];
	int out_size = 0;
	CLEANUP(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	if (!context || key->size != AES_KEY_SIZE || size > SECRET_MAX ||
	    EVP_EncryptInit_ex2(context, EVP_aes_128_cfb128(), key->data, zero_iv, NULL) != 1 ||
	    EVP_EncryptUpdate(context, data, &out_size, data, (int)size) != 1 ||
	    (size_t)out_size != size)
		return muster_fail(err, CAUSE_CRYPTO,
				   "encrypting %zu bytes with AES-128-CFB failed", size);
	return true;
}

static bool set_oaep(EVP_PKEY_CTX *context, const char *label)
{
	size_t label_size = strlen(label) + 1; /* the NUL is part of it (Part 1, B.4) */
	if (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) != 1 ||
	    EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) != 1)
		return false;
	void *copy = OPENSSL_memdup(label, label_size);
	if (copy && EVP_PKEY_CTX_set0_rsa_oaep_label(context, copy, (int)label_size) == 1)
		return true;
	OPENSSL_free(copy);
	return false;
}

/* The seed as a TPM2B_ENCRYPTED_SECRET. */
static bool encrypt_seed(const struct ek_public *parent, const char *label,
			 const struct secret *seed, struct bytes *ret_sized,
			 struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	if (!ek_public_key(parent, &key, err))
		return false;
	uint8_t sized[2 + sizeof(TPM2B_PUBLIC_KEY_RSA)];
	size_t size = sizeof(sized) - 2;
	CLEANUP(EVP_PKEY_CTX_freep)
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	if (!context || EVP_PKEY_encrypt_init(context) != 1 || !set_oaep(context, label) ||
	    EVP_PKEY_encrypt(context, sized + 2, &size, seed->data, seed->size) != 1)
		return muster_fail(err, CAUSE_CRYPTO, "encrypting a seed under '%s' failed", label);
	ek_write_u16(&(struct ek_writer){ sized }, size);
	return bytes_copy(ret_sized, sized, 2 + size, err);
}

/* -- The wrap ---------------------------------------------------------------------------------------------- */

/* ciphertext || name is what the integrity covers; it fills `covered`, of plain->size + EK_NAME_SIZE bytes. */
static bool encrypt_and_authenticate(const struct secret *seed, const uint8_t name[EK_NAME_SIZE],
				     const struct secret *plain, uint8_t *covered,
				     uint8_t mac[SHA256_SIZE], struct muster_error *err)
{
	CLEANUP(secret_done) struct secret cipher_key = { 0 };
	CLEANUP(secret_done) struct secret mac_key = { 0 };
	if (!derive(seed, "STORAGE", name, EK_NAME_SIZE, &cipher_key, AES_KEY_SIZE, err) ||
	    !derive(seed, "INTEGRITY", NULL, 0, &mac_key, SHA256_SIZE, err))
		return false;
	memcpy(covered, plain->data, plain->size);
	if (!ek_encrypt(&cipher_key, covered, plain->size, err))
		return false;
	memcpy(covered + plain->size, name, EK_NAME_SIZE);
	return hmac_sha256(mac_key.data, mac_key.size, covered, plain->size + EK_NAME_SIZE, mac,
			   err);
}

static bool check_parent(const struct ek_public *parent, struct muster_error *err)
{
	TPMT_PUBLIC area;
	return ek_public_unpack(parent, &area, err) && ek_check_storage(&area, "parent key", err);
}

bool ek_seal(const struct ek_public *parent, const char *label, const uint8_t name[EK_NAME_SIZE],
	     const struct secret *plain, struct bytes *ret_sealed, struct bytes *ret_seed,
	     struct muster_error *err)
{
	CLEANUP(secret_done) struct secret seed = { 0 };
	CLEANUP(secret_done) struct secret covered = { 0 }; /* holds plain text for a moment */
	uint8_t mac[SHA256_SIZE];
	if (!check_parent(parent, err) || !secret_new(&seed, SEED_SIZE, err) ||
	    !random_bytes(seed.data, seed.size, err) ||
	    !secret_new(&covered, plain->size + EK_NAME_SIZE, err) ||
	    !encrypt_and_authenticate(&seed, name, plain, covered.data, mac, err))
		return false;

	CLEANUP(bytes_done) struct bytes seed_sized = { 0 };
	if (!encrypt_seed(parent, label, &seed, &seed_sized, err))
		return false;

	size_t content = 2 + sizeof(mac) + plain->size;
	struct bytes sealed = { .data = malloc(2 + content), .size = 2 + content };
	if (!sealed.data)
		return muster_fail_memory(err);
	struct ek_writer writer = { sealed.data };
	ek_write_u16(&writer, content);
	ek_write_sized(&writer, mac, sizeof(mac));
	ek_write_bytes(&writer, covered.data, plain->size);
	*ret_sealed = sealed;
	*ret_seed = seed_sized;
	seed_sized = (struct bytes){ 0 };
	return true;
}
