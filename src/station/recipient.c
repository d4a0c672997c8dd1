#include "recipient.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/pki.h"
#include "muster/secret.h"

enum { FILE_MAX = 64 * 1024, BITS_MIN = 2048 };

DEFINE_FREEP(BIO_freep, BIO *, BIO_free_all)

static bool read_public_key(const struct bytes *file, EVP_PKEY **ret_key)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new_mem_buf(file->data, (int)file->size);
	struct muster_error ignored;

	*ret_key = bio ? PEM_read_bio_PUBKEY(bio, NULL, pem_no_password, NULL) : NULL;
	ERR_clear_error();
	return *ret_key || pki_public_key_read(file, ret_key, &ignored);
}

static bool read_certificate(const struct bytes *file, const char *path, EVP_PKEY **ret_key)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct muster_error ignored;

	if (!pki_certificate_read(file->data, file->size, path, &certificate, &ignored))
		return false;
	*ret_key = X509_get_pubkey(certificate);
	return *ret_key != NULL;
}

static bool read_key(const char *path, EVP_PKEY **ret_key, char ret_digest[SHA256_HEX_SIZE],
		     struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes file = { 0 };
	bool is_read;

	if (!file_read(path, FILE_MAX, &file, err))
		return muster_error_prefix(err, "reading the device's public key");
	is_read = read_public_key(&file, ret_key) || read_certificate(&file, path, ret_key);
	sha256_hex(ret_digest, file.data, file.size);
	/* A private key may lie beside the certificate. */
	secret_wipe(file.data, file.size);
	return is_read ||
	       muster_fail(err, CAUSE_DEVICE_KEY_INVALID,
			   "'%s' holds neither a public key nor a certificate", PRINTABLE(path));
}

bool recipient_read_known(const char *path, struct bytes *ret_spki, struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	char unused[SHA256_HEX_SIZE];

	return read_key(path, &key, unused, err) && pki_public_key_der(key, ret_spki, err);
}

bool recipient_read(const char *path, struct bytes *ret_spki, char ret_digest[SHA256_HEX_SIZE],
		    struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;

	if (!read_key(path, &key, ret_digest, err))
		return false;
	if (!EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) < BITS_MIN)
		return muster_fail(err, CAUSE_DEVICE_KEY_INVALID,
				   "the key in '%s' is not RSA of %d bits or more", PRINTABLE(path),
				   BITS_MIN);
	if (!pki_key_check(key, err))
		return muster_error_prefix(err, "looking at the key in '%s'", PRINTABLE(path));
	return pki_public_key_der(key, ret_spki, err);
}
