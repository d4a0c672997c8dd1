#include <stdio.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "hsm-internal.h"

#define CERTIFICATE_MAX 8192

DEFINE_FREEP(X509_freep, X509 *, X509_free)

static X509 *certificate_read(const struct bytes *der, struct muster_error *err)
{
	const unsigned char *at = der->data;
	CLEANUP(X509_freep) X509 *certificate = d2i_X509(NULL, &at, (long)der->size);

	if (!certificate || at != der->data + der->size) {
		hsm_fail_openssl(err, CAUSE_CERTIFICATE_INVALID,
				 "reading the certificate to store");
		return NULL;
	}
	return TAKE_PTR(certificate);
}

/* A certificate of another key under this ID would make the pair useless to everybody who looks by ID. */
static bool check_key(struct hsm *hsm, const struct hsm_id *id, X509 *certificate,
		      struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *public_half = NULL;
	const struct hsm_key_type *type;
	CK_OBJECT_HANDLE key;

	if (!hsm_private_key(hsm, id, &key, err) ||
	    !hsm_public_of(hsm, key, id, &public_half, &type, err))
		return false;
	if (!public_half || EVP_PKEY_eq(X509_get0_pubkey(certificate), public_half) != 1)
		return hsm_fail_openssl(
			err, CAUSE_CERTIFICATE_INVALID,
			"comparing the certificate's key with the key on token '%s'",
			HSM_LABEL(&hsm->token));
	return true;
}

/* *ret_present: this very certificate is there. Another one of the ID is an error. */
static bool check_present(struct hsm *hsm, const struct hsm_id *id, const struct bytes *der,
			  bool *ret_present, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes value = { 0 };
	CK_OBJECT_HANDLE handle;
	size_t count;

	if (!hsm_objects_of_id(hsm, CKO_CERTIFICATE, id, &handle, 1, &count, err))
		return false;
	*ret_present = count > 0;
	if (count == 0)
		return true;
	if (!hsm_attribute_bytes(hsm, handle, CKA_VALUE, CERTIFICATE_MAX, &value, err))
		return false;
	return bytes_equal(&value, der) ||
	       muster_fail(err, CAUSE_KEY_EXISTS,
			   "token '%s' has another certificate beside the key",
			   HSM_LABEL(&hsm->token));
}

bool hsm_certificate_store(struct hsm *hsm, const struct hsm_id *id, const char *label,
			   const struct bytes *der, struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct hsm_id key_id = *id;
	char name[256];
	bool present;

	if (!hsm_require_login(hsm, err))
		return false;
	if (snprintf(name, sizeof(name), "%s", label) >= (int)sizeof(name))
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "a label has at most 255 bytes");
	ERR_clear_error();
	certificate = certificate_read(der, err);
	if (!certificate || !check_key(hsm, id, certificate, err) ||
	    !check_present(hsm, id, der, &present, err))
		return false;
	if (present)
		return true;
	if (PKCS11_store_certificate(hsm->slot->token, certificate, name, key_id.data, key_id.size,
				     NULL) != 0)
		return hsm_fail_openssl(err, CAUSE_HSM_COMMAND_FAILED,
					"storing a certificate on token '%s'",
					HSM_LABEL(&hsm->token));
	return true;
}
