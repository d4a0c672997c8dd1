/* The parts that all certificates have. */
#include "pki-internal.h"

#include <string.h>

#include "muster/encoding.h"
#include "muster/x509-bare.h"

#define SERIAL_SIZE 17
#define DAY_S (24 * 60 * 60)

/* 128 random bits behind a byte that keeps the number positive and its length the same. */
static bool set_random_serial(X509 *certificate, struct muster_error *err)
{
	CLEANUP(ASN1_INTEGER_freep) ASN1_INTEGER *serial = NULL;
	CLEANUP(BIGNUM_freep) BIGNUM *number = NULL;
	uint8_t data[SERIAL_SIZE];

	data[0] = 1;
	if (!random_bytes(data + 1, sizeof(data) - 1, err))
		return false;
	number = BN_bin2bn(data, sizeof(data), NULL);
	serial = number ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
	if (!serial || X509_set_serialNumber(certificate, serial) != 1)
		return pki_fail(err, CAUSE_CRYPTO, "setting the serial number");
	return true;
}

static bool set_validity(X509 *certificate, const struct pki_certificate_base *base,
			 struct muster_error *err)
{
	time_t now = (time_t)(base->now_ms / 1000);
	long valid_s = (long)base->valid_days * DAY_S;

	if (!X509_time_adj_ex(X509_getm_notBefore(certificate), 0, -60L * (long)base->skew_minutes,
			      &now) ||
	    !X509_time_adj_ex(X509_getm_notAfter(certificate), 0, valid_s, &now))
		return pki_fail(err, CAUSE_CRYPTO, "setting the validity");
	return true;
}

bool pki_extension_add(X509 *certificate, X509 *issuer, int nid, const char *value,
		       struct muster_error *err)
{
	CLEANUP(X509_EXTENSION_freep) X509_EXTENSION *extension = NULL;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer ? issuer : certificate, certificate, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&ctx);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!extension || X509_add_ext(certificate, extension, -1) != 1)
		return pki_fail(err, CAUSE_CRYPTO, "adding %s", OBJ_nid2ln(nid));
	return true;
}

/* X509_set_pubkey would decode what it has just encoded. */
static bool set_key(X509 *certificate, const struct bytes *spki)
{
	X509_PUBKEY *key = X509_get_X509_PUBKEY(certificate);
	CLEANUP(X509_PUBKEY_freep)
	X509_PUBKEY *read = X509_PUBKEY_new_ex(x509_bare_context(), NULL);
	const uint8_t *cursor = spki->data, *bits;
	X509_ALGOR *from, *to;
	uint8_t *copy;
	int size;

	if (!read || !d2i_X509_PUBKEY(&read, &cursor, (long)spki->size) ||
	    X509_PUBKEY_get0_param(NULL, &bits, &size, &from, read) != 1)
		return false;
	copy = OPENSSL_memdup(bits, (size_t)size);
	if (!copy || X509_PUBKEY_set0_param(key, OBJ_nid2obj(NID_undef), V_ASN1_UNDEF, NULL, copy,
					    size) != 1) {
		OPENSSL_free(copy);
		return false;
	}
	return X509_PUBKEY_get0_param(NULL, NULL, NULL, &to, key) == 1 &&
	       X509_ALGOR_copy(to, from) == 1;
}

bool pki_certificate_begin(const struct pki_certificate_base *base, X509 **ret_certificate,
			   struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *certificate = X509_new();
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	const X509_NAME *issuer =
		base->issuer ? X509_get_subject_name(base->issuer) : base->subject;

	if (!pki_public_key_der(base->key, &spki, err))
		return false;
	if (!certificate || X509_set_version(certificate, X509_VERSION_3) != 1 ||
	    X509_set_subject_name(certificate, base->subject) != 1 ||
	    X509_set_issuer_name(certificate, issuer) != 1 || !set_key(certificate, &spki))
		return pki_fail(err, CAUSE_CRYPTO, "putting a certificate together");
	if (!set_random_serial(certificate, err) || !set_validity(certificate, base, err))
		return false;
	if (!pki_extension_add(certificate, base->issuer, NID_subject_key_identifier, "hash",
			       err) ||
	    !pki_extension_add(certificate, base->issuer, NID_authority_key_identifier,
			       "keyid:always", err))
		return false;
	*ret_certificate = TAKE_PTR(certificate);
	return true;
}

const EVP_MD *pki_digest_of_key(const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "ED25519"))
		return NULL;
	if (!EVP_PKEY_is_a(key, "EC"))
		return EVP_sha256();
	return EVP_PKEY_get_bits(key) > 384   ? EVP_sha512()
	       : EVP_PKEY_get_bits(key) > 256 ? EVP_sha384()
					      : EVP_sha256();
}

bool pki_x509_sign(X509 *certificate, EVP_PKEY *issuer_key, struct muster_error *err)
{
	struct muster_error why;

	if (X509_sign(certificate, issuer_key, pki_digest_of_key(issuer_key)) > 0)
		return true;
	if (!pki_key_last_error(issuer_key, &why))
		return pki_fail(err, CAUSE_CERTIFICATE_INVALID, "signing the certificate");
	pki_fail(err, CAUSE_CERTIFICATE_INVALID, "signing the certificate");
	*err = why;
	return muster_error_prefix(err, "signing the certificate");
}

bool pki_x509_sign_and_read(X509 *certificate, EVP_PKEY *issuer_key, X509 **ret_read,
			    struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };
	const uint8_t *cursor;

	if (!pki_x509_sign(certificate, issuer_key, err) ||
	    !pki_certificate_der(certificate, &der, err))
		return false;
	cursor = der.data;
	*ret_read = d2i_X509(NULL, &cursor, (long)der.size);
	return *ret_read || pki_fail(err, CAUSE_CERTIFICATE_INVALID, "reading it back");
}

bool pki_x509_tbs(const X509 *certificate, struct bytes *ret_tbs, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };
	const unsigned char *cursor, *tbs;
	long size;
	int tag, class;

	if (!pki_certificate_der(certificate, &der, err))
		return false;
	cursor = der.data;
	if (ASN1_get_object(&cursor, &size, &tag, &class, (long)der.size) & 0x80)
		return pki_fail(err, CAUSE_CRYPTO, "reading a certificate's outer sequence");
	tbs = cursor;
	if (ASN1_get_object(&cursor, &size, &tag, &class, size) & 0x80)
		return pki_fail(err, CAUSE_CRYPTO, "reading a certificate's inner sequence");
	return bytes_copy(ret_tbs, tbs, (size_t)(cursor + size - tbs), err);
}
