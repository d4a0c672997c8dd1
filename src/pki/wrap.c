/* Secrets for one recipient: a CMS message (RFC 5652, RFC 5083) that only the holder of a certificate's key can read. */
#include "pki-internal.h"

#include <openssl/cms.h>
#include <openssl/rsa.h>

DEFINE_FREEP(CMS_freep, CMS_ContentInfo *, CMS_ContentInfo_free)

/* RSA wraps with OAEP; for curves CMS agrees on a key by itself. */
static bool add_recipient(CMS_ContentInfo *message, X509 *recipient)
{
	CMS_RecipientInfo *info =
		CMS_add1_recipient_cert(message, recipient, CMS_KEY_PARAM | CMS_USE_KEYID);
	EVP_PKEY_CTX *ctx;

	if (!info)
		return false;
	if (!EVP_PKEY_is_a(X509_get0_pubkey(recipient), "RSA"))
		return true;
	ctx = CMS_RecipientInfo_get0_pkey_ctx(info);
	return ctx && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1;
}

bool pki_wrap(X509 *recipient, const void *data, size_t size, struct bytes *ret_message,
	      struct muster_error *err)
{
	unsigned flags = CMS_BINARY | CMS_PARTIAL;
	CLEANUP(BIO_freep) BIO *bio = BIO_new_mem_buf(data, (int)size);
	CLEANUP(CMS_freep)
	CMS_ContentInfo *message = CMS_encrypt(NULL, NULL, EVP_aes_256_gcm(), flags);
	unsigned char *der = NULL;
	int der_size;
	bool is_copied;

	if (!bio || !message || !add_recipient(message, recipient) ||
	    CMS_final(message, bio, NULL, flags) != 1)
		return pki_fail(err, CAUSE_CRYPTO, "wrapping keys for a recipient");
	der_size = i2d_CMS_ContentInfo(message, &der);
	if (der_size <= 0)
		return pki_fail(err, CAUSE_CRYPTO, "encoding wrapped keys");
	is_copied = bytes_copy(ret_message, der, (size_t)der_size, err);
	OPENSSL_free(der);
	return is_copied;
}
