/* What a certificate says, in the forms that DPS uses. */
#include "pki-internal.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "muster/encoding.h"

/* -- Encodings -------------------------------------------------------------------------------------------------- */

bool pki_certificate_der(const X509 *certificate, struct bytes *ret_der, struct muster_error *err)
{
	uint8_t *der = NULL;
	int size = i2d_X509(certificate, &der);
	bool is_copied;

	if (size <= 0)
		return pki_fail(err, CAUSE_CRYPTO, "encoding a certificate");
	is_copied = bytes_copy(ret_der, der, (size_t)size, err);
	OPENSSL_free(der);
	return is_copied;
}

bool pki_certificate_pem(const X509 *certificate, char **ret_pem, struct muster_error *err)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || PEM_write_bio_X509(bio, certificate) != 1)
		return pki_fail(err, CAUSE_CRYPTO, "encoding a certificate");
	return pki_take_text(bio, ret_pem, err);
}

bool pki_certificate_spki(const X509 *certificate, struct bytes *ret_spki, struct muster_error *err)
{
	uint8_t *der = NULL;
	int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
	bool is_copied;

	if (size <= 0)
		return pki_fail(err, CAUSE_CRYPTO, "encoding a public key");
	is_copied = bytes_copy(ret_spki, der, (size_t)size, err);
	OPENSSL_free(der);
	return is_copied;
}

bool pki_certificate_has_key(const X509 *certificate, const struct bytes *spki)
{
	EVP_PKEY *certified = X509_get0_pubkey(certificate);
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	struct muster_error err;
	bool is_equal = certified && pki_public_key_read(spki, &key, &err) &&
			EVP_PKEY_eq(certified, key) == 1;

	ERR_clear_error();
	return is_equal;
}

/* -- The info object ---------------------------------------------------------------------------------------------- */

bool pki_name_print(const X509_NAME *name, char **ret_text, struct muster_error *err)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
	unsigned long style =
		XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ & ~ASN1_STRFLGS_ESC_MSB & ~ASN1_STRFLGS_ESC_QUOTE;

	/* XN_FLAG_ONELINE puts the first element first, separated by ", ". */
	if (!bio || X509_NAME_print_ex(bio, name, 0, style) < 0)
		return pki_fail(err, CAUSE_CRYPTO, "printing a name");
	return pki_take_text(bio, ret_text, err);
}

static void to_upper(char *text)
{
	for (; *text; text++)
		*text = (char)toupper((unsigned char)*text);
}

/* Hex without leading zero bytes, at least one byte. */
static bool print_serial(const X509 *certificate, char **ret_text, struct muster_error *err)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
	CLEANUP(BIGNUM_freep) BIGNUM *number = ASN1_INTEGER_to_BN(serial, NULL);
	char *hex = number ? BN_bn2hex(number) : NULL;

	if (!hex)
		return pki_fail(err, CAUSE_CRYPTO, "printing a serial number");
	*ret_text = strdup(hex);
	OPENSSL_free(hex);
	return *ret_text ? true : muster_fail_memory(err);
}

static bool print_thumbprint(const X509 *certificate, const EVP_MD *digest, char *out,
			     struct muster_error *err)
{
	uint8_t value[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	if (X509_digest(certificate, digest, value, &size) != 1)
		return pki_fail(err, CAUSE_CRYPTO, "hashing a certificate");
	to_upper(hex_encode(out, value, size));
	return true;
}

static bool print_time(const ASN1_TIME *value, int64_t *ret_ms, char out[RFC3339_SIZE],
		       struct muster_error *err)
{
	struct tm tm = { 0 };

	if (ASN1_TIME_to_tm(value, &tm) != 1)
		return pki_fail(err, CAUSE_CERTIFICATE_UNREADABLE,
				"a certificate's validity is not a time");
	*ret_ms = (int64_t)timegm(&tm) * 1000;
	rfc3339_format(out, *ret_ms);
	return true;
}

bool pki_certificate_info(const X509 *certificate, struct pki_certificate_info *ret_info,
			  struct muster_error *err)
{
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };

	if (!pki_name_print(X509_get_subject_name(certificate), &info.subject, err) ||
	    !pki_name_print(X509_get_issuer_name(certificate), &info.issuer, err) ||
	    !print_serial(certificate, &info.serial, err) ||
	    !print_thumbprint(certificate, EVP_sha1(), info.sha1, err) ||
	    !print_thumbprint(certificate, EVP_sha256(), info.sha256, err) ||
	    !print_time(X509_get0_notBefore(certificate), &info.not_before_ms, info.not_before,
			err) ||
	    !print_time(X509_get0_notAfter(certificate), &info.not_after_ms, info.not_after, err))
		return false;
	info.version = (int)X509_get_version(certificate) + 1;
	if (!pki_name_common_name(X509_get_subject_name(certificate), info.common_name))
		info.common_name[0] = 0;
	*ret_info = info;
	info = (struct pki_certificate_info){ 0 };
	return true;
}

void pki_certificate_info_done(struct pki_certificate_info *info)
{
	free(info->subject);
	free(info->issuer);
	free(info->serial);
	*info = (struct pki_certificate_info){ 0 };
}
