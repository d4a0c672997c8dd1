/* The EK certificate: out of its fill, held against the EK, in words. Chains and trust are pki's. */
#include "muster/ek.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "ek-internal.h"

DEFINE_FREEP(ASN1_OBJECT_freep, ASN1_OBJECT *, ASN1_OBJECT_free)
DEFINE_FREEP(BIO_freep, BIO *, BIO_free)
DEFINE_FREEP(BN_freep, BIGNUM *, BN_free)
DEFINE_FREEP(EVP_PKEY_freep, EVP_PKEY *, EVP_PKEY_free)
DEFINE_FREEP(GENERAL_NAMES_freep, GENERAL_NAMES *, GENERAL_NAMES_free)
DEFINE_FREEP(X509_freep, X509 *, X509_free)

#define DER_SEQUENCE 0x30 /* what every certificate begins with */

/* -- Out of the fill --------------------------------------------------------------------------------------- */

static bool is_fill(uint8_t byte)
{
	return byte == 0x00 || byte == 0xff;
}

bool ek_certificate_parse(const void *nv, size_t size, X509 **ret_certificate,
			  struct bytes *ret_der, struct muster_error *err)
{
	const unsigned char *start = nv, *end = start + size;
	while (start < end && is_fill(*start))
		start++;
	if (start == end)
		return muster_fail(err, CAUSE_EK_CERTIFICATE_EMPTY,
				   "the index holds %zu bytes of fill and no certificate", size);
	/* The parser finds the end: vendors have written lengths that are not DER's shortest, or indefinite. */
	const unsigned char *next = start;
	ERR_set_mark();
	CLEANUP(X509_freep) X509 *certificate = d2i_X509(NULL, &next, (long)(end - start));
	ERR_pop_to_mark();
	if (!certificate)
		return muster_fail(err,
				   *start == DER_SEQUENCE ? CAUSE_EK_CERTIFICATE_CUT
							  : CAUSE_EK_CERTIFICATE_INVALID,
				   "%zu bytes hold no complete X.509 certificate", size);
	size_t length = (size_t)(next - start);
	while (next < end && is_fill(*next))
		next++;
	if (next < end)
		return muster_fail(err, CAUSE_EK_CERTIFICATE_CUT,
				   "a certificate of %zu bytes has more than fill behind it",
				   length);
	if (ret_der && !bytes_copy(ret_der, start, length, err))
		return false;
	*ret_certificate = TAKE_PTR(certificate);
	return true;
}

bool ek_certificate_is_rsa(const X509 *certificate)
{
	ASN1_OBJECT *algorithm = NULL;
	if (X509_PUBKEY_get0_param(&algorithm, NULL, NULL, NULL,
				   X509_get_X509_PUBKEY(certificate)) != 1)
		return false;
	int kind = OBJ_obj2nid(algorithm);
	return kind == NID_rsaEncryption || kind == NID_rsaesOaep;
}

/* -- Its key ----------------------------------------------------------------------------------------------- */

/* A vendor may mark an RSA key with id-RSAES-OAEP, which OpenSSL does not turn into a key by itself. */
EVP_PKEY *ek_certificate_key(const X509 *certificate)
{
	ASN1_OBJECT *algorithm = NULL;
	const unsigned char *data = NULL;
	int size = 0;
	EVP_PKEY *key = X509_get_pubkey((X509 *)(uintptr_t)certificate);
	if (!key &&
	    X509_PUBKEY_get0_param(&algorithm, &data, &size, NULL,
				   X509_get_X509_PUBKEY(certificate)) == 1 &&
	    OBJ_obj2nid(algorithm) == NID_rsaesOaep)
		key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &data, size);
	return key;
}

bool ek_certificate_public(const X509 *certificate, struct ek_public *ret_public,
			   struct muster_error *err)
{
	ERR_set_mark();
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = ek_certificate_key(certificate);
	CLEANUP(BN_freep) BIGNUM *modulus = NULL;
	ERR_pop_to_mark();
	struct ek_public template;
	TPMT_PUBLIC area;
	if (!ek_template_ek(&template, err) || !ek_public_unpack(&template, &area, err))
		return false;
	TPM2B_PUBLIC_KEY_RSA *unique = &area.unique.rsa;
	if (!key || EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &modulus) != 1 ||
	    BN_num_bytes(modulus) != unique->size)
		return muster_fail(err, CAUSE_EK_UNSUPPORTED,
				   "the certificate is not for an RSA-2048 key");
	BN_bn2bin(modulus, unique->buffer);
	return ek_public_pack(&area, ret_public, err);
}

/* -- Against the EK ---------------------------------------------------------------------------------------- */

/* TCG lets a vendor mark the key with id-RSAES-OAEP, which OpenSSL does not turn into a key; so the two
 * RSAPublicKey, or the two points, are compared as bytes. */
bool ek_certificate_check_key(const X509 *certificate, const struct ek_public *ek,
			      struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	if (!ek_public_key(ek, &key, err))
		return false;
	ASN1_OBJECT *algorithm = NULL;
	const unsigned char *certified = NULL;
	int certified_size = 0;
	if (X509_PUBKEY_get0_param(&algorithm, &certified, &certified_size, NULL,
				   X509_get_X509_PUBKEY(certificate)) != 1)
		return muster_fail(err, CAUSE_EK_CERTIFICATE_INVALID,
				   "the certificate's key cannot be read");
	bool is_rsa = EVP_PKEY_is_a(key, "RSA");
	if (is_rsa != ek_certificate_is_rsa(certificate))
		return muster_fail(err, CAUSE_EK_CERTIFICATE_MISMATCH,
				   "the certificate is not for an %s key", is_rsa ? "RSA" : "ECC");

	unsigned char *own = NULL;
	int own_size = i2d_PublicKey(key, &own);
	bool equal = own_size > 0 && own_size == certified_size &&
		     memcmp(own, certified, (size_t)own_size) == 0;
	OPENSSL_free(own);
	if (!equal)
		return muster_fail(err, CAUSE_EK_CERTIFICATE_MISMATCH,
				   "the certificate certifies another %s key",
				   is_rsa ? "RSA" : "ECC");
	return true;
}

/* -- In words ---------------------------------------------------------------------------------------------- */

static bool describe_name(const X509_NAME *name, char *out, size_t out_size)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0)
		return false;
	long length = BIO_get_mem_data(bio, &text);
	snprintf(out, out_size, "%.*s", (int)length, length > 0 ? text : "");
	return true;
}

static bool describe_serial(const X509 *certificate, char *out, size_t out_size)
{
	CLEANUP(BN_freep)
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
	char *hex = number ? BN_bn2hex(number) : NULL;
	if (!hex)
		return false;
	snprintf(out, out_size, "%s", hex);
	OPENSSL_free(hex);
	return true;
}

static bool describe_time(const ASN1_TIME *time, char out[32])
{
	struct tm broken;
	return ASN1_TIME_to_tm(time, &broken) == 1 &&
	       strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &broken) > 0;
}

static bool describe_digest(const X509 *certificate, char out[SHA256_HEX_SIZE])
{
	unsigned char *der = NULL;
	int size = i2d_X509(certificate, &der);
	if (size <= 0)
		return false;
	sha256_hex(out, der, (size_t)size);
	OPENSSL_free(der);
	return true;
}

/* TCG EK Credential Profile 3.2.9: the attributes of the directory name in the alternative name. */
static void describe_attribute(const X509_NAME *name, const char *oid, char *out, size_t out_size)
{
	CLEANUP(ASN1_OBJECT_freep) ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
	int index = object ? X509_NAME_get_index_by_OBJ(name, object, -1) : -1;
	if (index < 0)
		return;
	unsigned char *text = NULL;
	int length = ASN1_STRING_to_UTF8(
		&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
	/* An embedded NUL would cut the text: then there is no saying what it means. */
	if (length >= 0 && strlen((const char *)text) == (size_t)length)
		text_printable(out, out_size, (const char *)text);
	OPENSSL_free(text);
}

static void describe_tpm(const X509 *certificate, struct ek_certificate_info *info)
{
	CLEANUP(GENERAL_NAMES_freep)
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_DIRNAME)
			continue;
		const X509_NAME *directory = name->d.directoryName;
		describe_attribute(directory, "2.23.133.2.1", info->manufacturer,
				   sizeof(info->manufacturer));
		describe_attribute(directory, "2.23.133.2.2", info->model, sizeof(info->model));
		describe_attribute(directory, "2.23.133.2.3", info->version, sizeof(info->version));
	}
}

bool ek_certificate_describe(const X509 *certificate, struct ek_certificate_info *ret_info,
			     struct muster_error *err)
{
	struct ek_certificate_info info = { 0 };
	if (!describe_name(X509_get_subject_name(certificate), info.subject,
			   sizeof(info.subject)) ||
	    !describe_name(X509_get_issuer_name(certificate), info.issuer, sizeof(info.issuer)) ||
	    !describe_serial(certificate, info.serial, sizeof(info.serial)) ||
	    !describe_digest(certificate, info.sha256) ||
	    !describe_time(X509_get0_notBefore(certificate), info.not_before) ||
	    !describe_time(X509_get0_notAfter(certificate), info.not_after))
		return muster_fail(err, CAUSE_EK_CERTIFICATE_INVALID,
				   "the certificate's names, number or dates cannot be read");
	ERR_set_mark();
	describe_tpm(certificate, &info);
	ERR_pop_to_mark();
	*ret_info = info;
	return true;
}
