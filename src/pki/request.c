/* Certificate requests (PKCS#10): made with a key that lives elsewhere, and read from outside. */
#include "pki-internal.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "muster/encoding.h"

#define REQUEST_SIZE_MAX (64 * 1024)

/* -- Making -------------------------------------------------------------------------------------------------- */

static bool sign(X509_REQ *request, EVP_PKEY *key, struct muster_error *err)
{
	struct muster_error why;

	if (X509_REQ_sign(request, key, pki_digest_of_key(key)) > 0)
		return true;
	pki_fail(err, CAUSE_CERTIFICATE_INVALID, "signing the certificate request");
	if (!pki_key_last_error(key, &why))
		return false;
	*err = why;
	return muster_error_prefix(err, "signing the certificate request");
}

bool pki_request_make(EVP_PKEY *key, const char *subject, X509_REQ **ret_request,
		      struct muster_error *err)
{
	CLEANUP(X509_NAME_freep) X509_NAME *name = NULL;
	CLEANUP(X509_REQ_freep) X509_REQ *request = X509_REQ_new();

	if (!pki_name_parse(subject, &name, err))
		return false;
	if (!request || X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
	    X509_REQ_set_subject_name(request, name) != 1 || X509_REQ_set_pubkey(request, key) != 1)
		return pki_fail(err, CAUSE_CRYPTO, "putting a certificate request together");
	if (!sign(request, key, err))
		return false;
	*ret_request = TAKE_PTR(request);
	return true;
}

bool pki_request_der(const X509_REQ *request, struct bytes *ret_der, struct muster_error *err)
{
	uint8_t *der = NULL;
	int size = i2d_X509_REQ(request, &der);
	bool is_copied;

	if (size <= 0)
		return pki_fail(err, CAUSE_CRYPTO, "encoding a certificate request");
	is_copied = bytes_copy(ret_der, der, (size_t)size, err);
	OPENSSL_free(der);
	return is_copied;
}

bool pki_request_pem(const X509_REQ *request, char **ret_pem, struct muster_error *err)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || PEM_write_bio_X509_REQ(bio, request) != 1)
		return pki_fail(err, CAUSE_CRYPTO, "encoding a certificate request");
	return pki_take_text(bio, ret_pem, err);
}

/* -- Reading ------------------------------------------------------------------------------------------------- */

static X509_REQ *parse(const void *data, size_t size)
{
	const uint8_t *cursor = data;
	CLEANUP(X509_REQ_freep) X509_REQ *request = NULL;
	CLEANUP(BIO_freep) BIO *bio = NULL;

	if (size > 0 && cursor[0] == 0x30) {
		request = d2i_X509_REQ(NULL, &cursor, (long)size);
		return request && cursor == (const uint8_t *)data + size ? TAKE_PTR(request) : NULL;
	}
	bio = BIO_new_mem_buf(data, (int)size);
	return bio ? PEM_read_bio_X509_REQ(bio, NULL, pem_no_password, NULL) : NULL;
}

/* Whoever asks has to show that the private half is theirs. */
static bool check(X509_REQ *request, const char *what, struct muster_error *err)
{
	EVP_PKEY *key = X509_REQ_get0_pubkey(request);

	if (!key)
		return pki_fail(err, CAUSE_REQUEST_INVALID, "%s has no readable key", what);
	if (X509_REQ_verify(request, key) != 1)
		return pki_fail(err, CAUSE_REQUEST_INVALID, "the signature of %s", what);
	return pki_key_check(key, err) || muster_error_prefix(err, "%s", what);
}

bool pki_request_read(const void *data, size_t size, const char *what, X509_REQ **ret_request,
		      struct muster_error *err)
{
	CLEANUP(X509_REQ_freep) X509_REQ *request = NULL;

	if (size > REQUEST_SIZE_MAX)
		return muster_fail(err, CAUSE_INPUT_TOO_LARGE, "%s has %zu bytes", what, size);
	request = parse(data, size);
	if (!request)
		return pki_fail(err, CAUSE_REQUEST_INVALID, "%s holds no certificate request",
				what);
	if (!check(request, what, err))
		return false;
	ERR_clear_error();
	*ret_request = TAKE_PTR(request);
	return true;
}
