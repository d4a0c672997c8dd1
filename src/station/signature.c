#include "signature.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "muster/file.h"
#include "muster/pki.h"

DEFINE_FREEP(BIO_freep, BIO *, BIO_free_all)
DEFINE_FREEP(EVP_MD_CTX_freep, EVP_MD_CTX *, EVP_MD_CTX_free)

enum { SIGNATURE_MAX = 1024, PUBLIC_KEY_FILE_MAX = 16 * 1024 };

bool signature_make(EVP_PKEY *key, const char *message, struct bytes *ret_spki,
		    struct bytes *ret_signature, struct muster_error *err)
{
	CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t signature[SIGNATURE_MAX];
	size_t size = sizeof(signature);

	if (!pki_public_key_der(key, ret_spki, err))
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

bool signature_key_read(const char *path, struct bytes *ret_spki, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes pem = { 0 };
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(BIO_freep) BIO *bio = NULL;

	if (!file_read(path, PUBLIC_KEY_FILE_MAX, &pem, err))
		return false;
	bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	ERR_clear_error();
	if (!key)
		return muster_fail(err, CAUSE_STATION_KEY_UNUSABLE,
				   "'%s' holds no public key (PEM)", PRINTABLE(path));
	return pki_public_key_der(key, ret_spki, err);
}
