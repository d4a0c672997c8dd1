#include "signature.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "muster/file.h"
#include "muster/pki.h"

DEFINE_FREEP(BIO_freep, BIO *, BIO_free_all)
DEFINE_FREEP(EVP_MD_CTX_freep, EVP_MD_CTX *, EVP_MD_CTX_free)

enum { SIGNATURE_MAX = 1024, PUBLIC_KEY_FILE_MAX = 16 * 1024 };

/* -- The form of a public key ----------------------------------------------------------------------------------- */

static bool make_plain(EVP_PKEY *key)
{
	return EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING,
					      OSSL_PKEY_EC_ENCODING_GROUP) == 1 &&
	       EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
					      OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) ==
		       1;
}

bool signature_key_normalise(const struct bytes *spki, struct bytes *ret_spki,
			     struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;

	if (!pki_public_key_read(spki, &key, err))
		return false;
	if (EVP_PKEY_is_a(key, "EC") && !make_plain(key)) {
		ERR_clear_error();
		return muster_fail(err, CAUSE_STATION_KEY_UNUSABLE,
				   "the public key is on a curve without a name");
	}
	return pki_public_key_der(key, ret_spki, err);
}

bool signature_public_key(const EVP_PKEY *key, struct bytes *ret_spki, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes spki = { 0 };

	return pki_public_key_der(key, &spki, err) && signature_key_normalise(&spki, ret_spki, err);
}

/* -- Signing ---------------------------------------------------------------------------------------------------- */

bool signature_make(EVP_PKEY *key, const char *message, struct bytes *ret_spki,
		    struct bytes *ret_signature, struct muster_error *err)
{
	CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t signature[SIGNATURE_MAX];
	size_t size = sizeof(signature);

	if (!signature_public_key(key, ret_spki, err))
		return false;
	if (!context || EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSign(context, signature, &size, (const uint8_t *)message, strlen(message)) !=
		    1) {
		ERR_clear_error();
		return pki_key_last_error(key, err)
			       ? muster_error_prefix(err, "signing with the station's key")
			       : muster_fail(err, CAUSE_STATION_KEY_UNUSABLE,
					     "the station's key cannot sign with SHA-256");
	}
	return bytes_copy(ret_signature, signature, size, err);
}

bool signature_is_good(const struct bytes *spki, const struct bytes *signature, const char *message)
{
	CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	struct muster_error unread;
	bool is_good = context && pki_public_key_read(spki, &key, &unread) &&
		       EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		       EVP_DigestVerify(context, signature->data, signature->size,
					(const uint8_t *)message, strlen(message)) == 1;

	ERR_clear_error();
	return is_good;
}

/* -- Public keys ------------------------------------------------------------------------------------------------ */

void key_list_done(struct key_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		bytes_done(&list->keys[i]);
	free(list->keys);
	*list = (struct key_list){ 0 };
}

bool key_list_has(const struct key_list *list, const struct bytes *spki)
{
	for (size_t i = 0; i < list->count; i++)
		if (bytes_equal(&list->keys[i], spki))
			return true;
	return false;
}

/* The next block of a PEM file, whatever it holds; false behind the last one. A damaged one is no key. */
static bool next_block(BIO *bio, struct bytes *ret_der, bool *ret_is_key)
{
	char *name = NULL, *header = NULL;
	unsigned char *data = NULL;
	long size = 0;
	bool has = PEM_read_bio(bio, &name, &header, &data, &size) == 1;
	bool is_end = !has && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	struct muster_error unread;

	ERR_clear_error();
	*ret_is_key = has && strcmp(name, PEM_STRING_PUBLIC) == 0 &&
		      bytes_copy(ret_der, data, (size_t)size, &unread);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(data);
	return !is_end;
}

static bool append(struct key_list *list, const struct bytes *der, struct muster_error *err)
{
	struct bytes *keys = reallocarray(list->keys, list->count + 1, sizeof(*keys));

	if (!keys)
		return muster_fail_memory(err);
	list->keys = keys;
	keys[list->count] = (struct bytes){ 0 };
	return signature_key_normalise(der, &keys[list->count++], err);
}

static bool read_keys(BIO *bio, struct key_list *list)
{
	for (;;) {
		CLEANUP(bytes_done) struct bytes der = { 0 };
		struct muster_error unread;
		bool is_key;

		if (!next_block(bio, &der, &is_key))
			return list->count > 0;
		if (!is_key || !append(list, &der, &unread))
			return false;
	}
}

bool key_list_read(const char *path, struct key_list *ret_list, struct muster_error *err)
{
	CLEANUP(key_list_done) struct key_list list = { 0 };
	CLEANUP(bytes_done) struct bytes pem = { 0 };
	CLEANUP(BIO_freep) BIO *bio = NULL;

	if (!file_read(path, PUBLIC_KEY_FILE_MAX, &pem, err))
		return false;
	bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	if (!bio)
		return muster_fail_memory(err);
	if (!read_keys(bio, &list))
		return muster_fail(err, CAUSE_STATION_KEY_UNUSABLE,
				   list.count == 0
					   ? "'%s' holds no public key (PEM)"
					   : "'%s' holds something that is no public key (PEM)",
				   PRINTABLE(path));
	*ret_list = list;
	list = (struct key_list){ 0 };
	return true;
}

bool signature_key_read(const char *path, struct bytes *ret_spki, struct muster_error *err)
{
	CLEANUP(key_list_done) struct key_list list = { 0 };

	if (!key_list_read(path, &list, err))
		return false;
	*ret_spki = list.keys[0];
	list.keys[0] = (struct bytes){ 0 };
	return true;
}
