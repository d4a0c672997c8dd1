/* Putting certificates together and signing them. */
#include "pki-internal.h"

#include <string.h>

#include "muster/encoding.h"

#define SERIAL_SIZE 16
#define SKEW_S (10 * 60)
#define DAY_S (24 * 60 * 60)

/* Positive and 16 bytes long whatever comes out: the first byte is 0x40..0x7f. */
static bool set_random_serial(X509 *certificate, struct muster_error *err)
{
	CLEANUP(ASN1_INTEGER_freep) ASN1_INTEGER *serial = NULL;
	CLEANUP(BIGNUM_freep) BIGNUM *number = NULL;
	uint8_t data[SERIAL_SIZE];

	if (!random_bytes(data, sizeof(data), err))
		return false;
	data[0] = (data[0] & 0x3f) | 0x40;
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

	if (!X509_time_adj_ex(X509_getm_notBefore(certificate), 0, -SKEW_S, &now) ||
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

bool pki_certificate_begin(const struct pki_certificate_base *base, X509 **ret_certificate,
			   struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *certificate = X509_new();
	const X509_NAME *issuer =
		base->issuer ? X509_get_subject_name(base->issuer) : base->subject;

	if (!certificate || X509_set_version(certificate, X509_VERSION_3) != 1 ||
	    X509_set_subject_name(certificate, base->subject) != 1 ||
	    X509_set_issuer_name(certificate, issuer) != 1 ||
	    X509_set_pubkey(certificate, base->key) != 1)
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

bool pki_certificate_sign(X509 *certificate, EVP_PKEY *issuer_key, struct muster_error *err)
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

/* -- Device certificates ------------------------------------------------------------------------------------- */

/* What DPS and TLS will ask of it, looked at in the encoded form before the hardware key signs. */
static bool lint(const X509 *certificate, const struct pki_device_certificate *request,
		 struct muster_error *err)
{
	char common_name[PKI_COMMON_NAME_SIZE];

	if (!pki_name_common_name(X509_get_subject_name(certificate), common_name))
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
				   "the subject needs one common name of at most 64 bytes");
	if (strcmp(common_name, request->registration_id) != 0)
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
				   "the common name '%s' is not the registration ID '%s'",
				   PRINTABLE(common_name), PRINTABLE(request->registration_id));
	if (ASN1_TIME_compare(X509_get0_notBefore(certificate), X509_get0_notAfter(certificate)) >=
	    0)
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID, "the validity ends at once");
	if (request->issuer_certificate &&
	    ASN1_TIME_compare(X509_get0_notAfter(certificate),
			      X509_get0_notAfter(request->issuer_certificate)) > 0)
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
				   "the certificate would be valid longer than its issuer's");
	return true;
}

static bool check_issuer(const struct pki_device_certificate *request, struct muster_error *err)
{
	X509 *issuer = request->issuer_certificate;

	if (!issuer != !request->issuer_key)
		return muster_fail(err, CAUSE_INTERNAL, "an issuer needs key and certificate");
	if (!issuer)
		return true;
	if (X509_check_ca(issuer) != 1)
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
				   "the issuer's certificate is not an authority's (CA:TRUE)");
	if (X509_check_private_key(issuer, request->issuer_key) != 1)
		return pki_fail(err, CAUSE_CERTIFICATE_INVALID,
				"the issuer's key does not belong to its certificate");
	return true;
}

/* From bytes to certificate once more: what was signed is what is read. */
static bool check_signed(X509 *certificate, const struct pki_device_certificate *request,
			 struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *copy = X509_dup(certificate);
	EVP_PKEY *signer = request->issuer_key ? request->issuer_key : request->key;
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *public_key = NULL;

	if (!pki_public_key_der(signer, &spki, err) ||
	    !pki_public_key_read(&spki, &public_key, err))
		return false;
	if (!copy || X509_verify(copy, public_key) != 1)
		return pki_fail(err, CAUSE_SIGNATURE_INVALID, "verifying the certificate");
	return lint(copy, request, err);
}

static bool add_device_extensions(X509 *certificate, X509 *issuer, struct muster_error *err)
{
	return pki_extension_add(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE",
				 err) &&
	       pki_extension_add(certificate, issuer, NID_key_usage, "critical,digitalSignature",
				 err) &&
	       pki_extension_add(certificate, issuer, NID_ext_key_usage, "clientAuth", err);
}

bool pki_device_certificate_make(const struct pki_device_certificate *request,
				 X509 **ret_certificate, struct muster_error *err)
{
	CLEANUP(X509_NAME_freep) X509_NAME *subject = NULL;
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct pki_certificate_base base = {
		.key = request->key,
		.issuer = request->issuer_certificate,
		.valid_days = request->valid_days,
		.now_ms = request->now_ms,
	};

	if (!check_issuer(request, err) || !pki_name_parse(request->subject, &subject, err))
		return false;
	base.subject = subject;
	if (!pki_certificate_begin(&base, &certificate, err) ||
	    !add_device_extensions(certificate, request->issuer_certificate, err) ||
	    !lint(certificate, request, err))
		return false;
	if (!pki_certificate_sign(certificate,
				  request->issuer_key ? request->issuer_key : request->key, err))
		return false;
	if (!check_signed(certificate, request, err))
		return false;
	*ret_certificate = TAKE_PTR(certificate);
	return true;
}
