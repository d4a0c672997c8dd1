#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "muster/encoding.h"

#include "hsm-internal.h"

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
	if (!hsm_attribute_bytes(hsm, handle, CKA_VALUE, HSM_CERTIFICATE_MAX, &value, err))
		return false;
	return bytes_equal(&value, der) ||
	       muster_fail(err, CAUSE_KEY_EXISTS,
			   "token '%s' has another certificate beside the key",
			   HSM_LABEL(&hsm->token));
}

static bool is_among(const struct bytes *digests, const struct bytes *der)
{
	uint8_t digest[SHA256_SIZE];

	sha256(digest, der->data, der->size);
	for (size_t at = 0; at + sizeof(digest) <= digests->size; at += sizeof(digest))
		if (memcmp(digests->data + at, digest, sizeof(digest)) == 0)
			return true;
	return false;
}

/* Leaves of the handles those whose certificates are meant, if there are any. */
static bool keep_meant(struct hsm *hsm, const struct bytes *digests, CK_OBJECT_HANDLE *handles,
		       size_t *count, struct muster_error *err)
{
	CK_OBJECT_HANDLE meant[HSM_OBJECTS_MAX];
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++) {
		CLEANUP(bytes_done) struct bytes der = { 0 };

		if (!hsm_attribute_bytes(hsm, handles[i], CKA_VALUE, HSM_CERTIFICATE_MAX, &der,
					 err))
			return false;
		if (der.size > 0 && is_among(digests, &der))
			meant[kept++] = handles[i];
	}
	if (kept == 0)
		return true;
	memcpy(handles, meant, kept * sizeof(*meant));
	*count = kept;
	return true;
}

bool hsm_certificate_find(struct hsm *hsm, const char *uri, const struct bytes *digests,
			  bool *ret_found, struct hsm_id *ret_id, struct bytes *ret_der,
			  struct muster_error *err)
{
	CK_OBJECT_HANDLE handles[HSM_OBJECTS_MAX] = { 0 };
	size_t count = 0;

	if (!hsm_require_token(hsm, err) ||
	    !hsm_objects_of_uri(hsm, CKO_CERTIFICATE, uri, handles, ARRAY_SIZE(handles), &count,
				err) ||
	    (count > 1 && digests && digests->data &&
	     !keep_meant(hsm, digests, handles, &count, err)))
		return false;
	if (count > 1)
		return hsm_fail_several(hsm, "certificates", handles, 2, err);
	*ret_found = count == 1;
	return count == 0 ||
	       (hsm_id_read(hsm, handles[0], ret_id, err) &&
		hsm_attribute_bytes(hsm, handles[0], CKA_VALUE, HSM_CERTIFICATE_MAX, ret_der, err));
}

/* One without a value was cut when it was written. */
static bool check_foreseen(struct hsm *hsm, CK_OBJECT_HANDLE handle, const struct hsm_id *id,
			   const struct bytes *digests, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };
	char hex[2 * HSM_ID_MAX + 1];

	if (!hsm_attribute_bytes(hsm, handle, CKA_VALUE, HSM_CERTIFICATE_MAX, &der, err))
		return false;
	return der.size == 0 || (digests && is_among(digests, &der)) ||
	       muster_fail(
		       err, CAUSE_JOURNAL_BEHIND,
		       "token '%s' has a certificate of the key of ID %s, which this journal has only as begun; "
		       "the journal seems to be older than the token, and nothing of the key was destroyed",
		       HSM_LABEL(&hsm->token), hex_encode(hex, id->data, id->size));
}

bool hsm_key_check_unfinished(struct hsm *hsm, const struct hsm_id *id, const struct bytes *digests,
			      struct muster_error *err)
{
	CK_OBJECT_HANDLE handles[HSM_OBJECTS_MAX];
	size_t count;

	if (!hsm_require_login(hsm, err) ||
	    !hsm_objects_of_id(hsm, CKO_CERTIFICATE, id, handles, ARRAY_SIZE(handles), &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!check_foreseen(hsm, handles[i], id, digests, err))
			return false;
	return true;
}

/* The DER of a part of the certificate, as the object's attribute wants it. */
struct der_part {
	unsigned char *data;
	int size;
};

static void der_part_done(struct der_part *part)
{
	OPENSSL_free(part->data);
}

static bool create(struct hsm *hsm, const struct hsm_id *id, const char *label,
		   const X509 *certificate, const struct bytes *der, struct muster_error *err)
{
	CLEANUP(der_part_done) struct der_part subject = { 0 }, issuer = { 0 }, serial = { 0 };
	CK_OBJECT_CLASS class = CKO_CERTIFICATE;
	CK_CERTIFICATE_TYPE type = CKC_X_509;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	struct hsm_id key_id = *id;
	char name[256];
	CK_OBJECT_HANDLE object;
	CK_RV rv;

	subject.size = i2d_X509_NAME(X509_get_subject_name(certificate), &subject.data);
	issuer.size = i2d_X509_NAME(X509_get_issuer_name(certificate), &issuer.data);
	serial.size = i2d_ASN1_INTEGER(X509_get0_serialNumber(certificate), &serial.data);
	if (subject.size <= 0 || issuer.size <= 0 || serial.size <= 0)
		return hsm_fail_openssl(err, CAUSE_CERTIFICATE_INVALID, "encoding a certificate");
	snprintf(name, sizeof(name), "%s", label);
	hsm_objects_lock(hsm);
	rv = hsm->calls->C_CreateObject(
		hsm->session,
		(CK_ATTRIBUTE[]){
			{ CKA_CLASS, &class, sizeof(class) },
			{ CKA_CERTIFICATE_TYPE, &type, sizeof(type) },
			{ CKA_TOKEN, &yes, sizeof(yes) },
			{ CKA_PRIVATE, &no, sizeof(no) },
			{ CKA_ID, key_id.data, key_id.size },
			{ CKA_LABEL, name, strlen(name) },
			{ CKA_SUBJECT, subject.data, (CK_ULONG)subject.size },
			{ CKA_ISSUER, issuer.data, (CK_ULONG)issuer.size },
			{ CKA_SERIAL_NUMBER, serial.data, (CK_ULONG)serial.size },
			{ CKA_VALUE, der->data, der->size },
		},
		10, &object);
	hsm_objects_unlock(hsm);
	return rv == CKR_OK ||
	       hsm_fail(err, rv, "storing a certificate on token '%s'", HSM_LABEL(&hsm->token));
}

bool hsm_certificate_store(struct hsm *hsm, const struct hsm_id *id, const char *label,
			   const struct bytes *der, struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	bool present;

	if (!hsm_require_login(hsm, err))
		return false;
	if (strlen(label) > 255)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "a label has at most 255 bytes");
	ERR_clear_error();
	certificate = certificate_read(der, err);
	if (!certificate || !check_key(hsm, id, certificate, err) ||
	    !check_present(hsm, id, der, &present, err))
		return false;
	if (present)
		return true;
	return create(hsm, id, label, certificate, der, err);
}
