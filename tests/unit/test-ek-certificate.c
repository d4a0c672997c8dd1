/* The EK certificate as NV holds it: fill, damage, and whose it is. Made here, with OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "../../src/ek/ek-internal.h"
#include "muster/ek.h"

static EVP_PKEY *ek_private;
static struct ek_public ek;
static struct bytes der;
static struct muster_error err;

static void add_entry(X509_NAME *name, const char *oid, const char *value)
{
	ASN1_OBJECT *object = OBJ_txt2obj(oid, 0);
	assert_int_equal(X509_NAME_add_entry_by_OBJ(name, object, MBSTRING_UTF8,
						    (const unsigned char *)value, -1, -1, 0),
			 1);
	ASN1_OBJECT_free(object);
}

/* A directory name of the TCG's attributes, as vendors put it into the alternative name. */
static void add_tpm_name(X509 *certificate)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *general = GENERAL_NAME_new();
	X509_NAME *name = X509_NAME_new();
	add_entry(name, "2.23.133.2.1", "id:53544D20");
	add_entry(name, "2.23.133.2.2", "ST33\tHTPH");
	add_entry(name, "2.23.133.2.3", "id:0101");
	general->type = GEN_DIRNAME;
	general->d.directoryName = name;
	sk_GENERAL_NAME_push(names, general);
	assert_int_equal(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 1, 0), 1);
	GENERAL_NAMES_free(names);
}

static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 0x1234);
	add_entry(X509_get_issuer_name(certificate), "CN", "Vendor \x1b[31m EK CA");
	ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20240102030405Z");
	ASN1_TIME_set_string(X509_getm_notAfter(certificate), "99991231235959Z");
	X509_set_pubkey(certificate, key);
	add_tpm_name(certificate);
	assert_true(X509_sign(certificate, ek_private, EVP_sha256()) > 0);
	return certificate;
}

static void store(X509 *certificate)
{
	unsigned char *data = NULL;
	int size = i2d_X509(certificate, &data);
	assert_true(bytes_copy(&der, data, (size_t)size, &err));
	OPENSSL_free(data);
}

static int make_ek(void **state)
{
	(void)state;
	struct ek_public template;
	TPMT_PUBLIC area;
	BIGNUM *modulus = NULL;
	ek_private = EVP_RSA_gen(2048);
	assert_true(ek_template_ek(&template, &err) && ek_public_unpack(&template, &area, &err));
	EVP_PKEY_get_bn_param(ek_private, OSSL_PKEY_PARAM_RSA_N, &modulus);
	BN_bn2binpad(modulus, area.unique.rsa.buffer, 256);
	BN_free(modulus);
	assert_true(ek_public_pack(&area, &ek, &err));
	X509 *certificate = make_certificate(ek_private);
	store(certificate);
	X509_free(certificate);
	return 0;
}

static int free_ek(void **state)
{
	(void)state;
	EVP_PKEY_free(ek_private);
	bytes_done(&der);
	return 0;
}

/* The certificate with fill round it. */
static struct bytes padded(size_t front, size_t behind, uint8_t fill)
{
	struct bytes nv = { malloc(front + der.size + behind + 1), front + der.size + behind };
	memset(nv.data, fill, nv.size);
	memcpy(nv.data + front, der.data, der.size);
	return nv;
}

static void expect_parsed(const struct bytes *nv)
{
	X509 *certificate = NULL;
	struct bytes out = { 0 };
	if (!ek_certificate_parse(nv->data, nv->size, &certificate, &out, &err))
		fail_msg("%s", err.message);
	assert_true(bytes_equal(&out, &der));
	X509_free(certificate);
	bytes_done(&out);
}

static void expect_refused(const struct bytes *nv, enum muster_cause cause)
{
	X509 *certificate = NULL;
	assert_false(ek_certificate_parse(nv->data, nv->size, &certificate, NULL, &err));
	assert_int_equal(err.cause, cause);
	assert_null(certificate);
}

static void finds_the_certificate_in_its_fill(void **state)
{
	static const struct {
		size_t front, behind;
		uint8_t fill;
	} cases[] = { { 0, 0, 0 },      { 0, 1, 0x00 },  { 0, 1, 0xff }, { 0, 600, 0xff },
		      { 0, 600, 0x00 }, { 16, 0, 0xff }, { 3, 9, 0x00 } };
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bytes nv = padded(cases[i].front, cases[i].behind, cases[i].fill);
		expect_parsed(&nv);
		bytes_done(&nv);
	}
}

static void knows_an_index_of_fill_only(void **state)
{
	(void)state;
	uint8_t fill[1600];
	memset(fill, 0xff, sizeof(fill));
	expect_refused(&(struct bytes){ fill, sizeof(fill) }, CAUSE_EK_CERTIFICATE_EMPTY);
	expect_refused(&(struct bytes){ fill, 0 }, CAUSE_EK_CERTIFICATE_EMPTY);
	memset(fill, 0, sizeof(fill));
	expect_refused(&(struct bytes){ fill, sizeof(fill) }, CAUSE_EK_CERTIFICATE_EMPTY);
}

static void refuses_what_is_no_certificate(void **state)
{
	(void)state;
	struct bytes nv = padded(0, 4, 0xff);
	nv.data[nv.size - 1] = 1; /* more than fill behind it */
	expect_refused(&nv, CAUSE_EK_CERTIFICATE_CUT);
	bytes_done(&nv);
	nv = padded(0, 0, 0);
	nv.data[4] ^= 0x11; /* another tag within */
	expect_refused(&nv, CAUSE_EK_CERTIFICATE_CUT);
	bytes_done(&nv);
	static uint8_t text[] = "-----BEGIN CERTIFICATE-----";
	expect_refused(&(struct bytes){ text, sizeof(text) }, CAUSE_EK_CERTIFICATE_INVALID);
	static uint8_t indefinite[] = { 0x30, 0x80, 0x00, 0x00 };
	expect_refused(&(struct bytes){ indefinite, 4 }, CAUSE_EK_CERTIFICATE_CUT);
	static uint8_t huge[] = { 0x30, 0x84, 0xff, 0xff, 0xff, 0xff };
	expect_refused(&(struct bytes){ huge, 6 }, CAUSE_EK_CERTIFICATE_CUT);
	static uint8_t little[] = { 0x30, 0x03, 0x02, 0x01, 0x05 };
	expect_refused(&(struct bytes){ little, 5 }, CAUSE_EK_CERTIFICATE_CUT);
}

static void refuses_every_cut(void **state)
{
	(void)state;
	for (size_t size = 1; size < der.size; size++) {
		uint8_t *cut = malloc(size);
		memcpy(cut, der.data, size);
		expect_refused(&(struct bytes){ cut, size }, CAUSE_EK_CERTIFICATE_CUT);
		free(cut);
	}
}

static void knows_whose_it_is(void **state)
{
	(void)state;
	X509 *own = make_certificate(ek_private);
	assert_true(ek_certificate_check_key(own, &ek, &err));
	X509_free(own);

	EVP_PKEY *other_key = EVP_RSA_gen(2048);
	X509 *other = make_certificate(other_key);
	assert_false(ek_certificate_check_key(other, &ek, &err));
	assert_int_equal(err.cause, CAUSE_EK_CERTIFICATE_MISMATCH);
	X509_free(other);
	EVP_PKEY_free(other_key);

	EVP_PKEY *elliptic_key = EVP_EC_gen("P-256");
	X509 *elliptic = make_certificate(elliptic_key);
	assert_false(ek_certificate_check_key(elliptic, &ek, &err));
	assert_int_equal(err.cause, CAUSE_EK_CERTIFICATE_MISMATCH);
	X509_free(elliptic);
	EVP_PKEY_free(elliptic_key);
}

/* Some vendors' certificates: the key is an ordinary one, the algorithm says it is for OAEP. */
static void takes_a_key_marked_for_oaep(void **state)
{
	(void)state;
	X509 *certificate = make_certificate(ek_private);
	unsigned char *key = NULL;
	int size = i2d_PublicKey(ek_private, &key);
	assert_int_equal(X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(certificate),
						OBJ_nid2obj(NID_rsaesOaep), V_ASN1_UNDEF, NULL, key,
						size),
			 1);
	X509_sign(certificate, ek_private, EVP_sha256());
	struct bytes kept = der;
	der = (struct bytes){ 0 };
	store(certificate);
	X509_free(certificate);
	assert_true(ek_certificate_parse(der.data, der.size, &certificate, NULL, &err));
	assert_true(ek_certificate_check_key(certificate, &ek, &err));
	X509_free(certificate);
	bytes_done(&der);
	der = kept;
}

static void tells_what_it_says(void **state)
{
	(void)state;
	X509 *certificate = make_certificate(ek_private);
	struct ek_certificate_info info;
	char digest[SHA256_HEX_SIZE];
	assert_true(ek_certificate_describe(certificate, &info, &err));
	assert_string_equal(info.subject, "");
	assert_string_equal(info.issuer, "CN=Vendor \\1B[31m EK CA");
	assert_string_equal(info.serial, "1234");
	assert_string_equal(info.not_before, "2024-01-02T03:04:05Z");
	assert_string_equal(info.not_after, "9999-12-31T23:59:59Z");
	assert_string_equal(info.manufacturer, "id:53544D20");
	assert_string_equal(info.model, "ST33\\x09HTPH");
	assert_string_equal(info.version, "id:0101");
	assert_string_equal(info.sha256, sha256_hex(digest, der.data, der.size));
	X509_free(certificate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_certificate_in_its_fill),
		cmocka_unit_test(knows_an_index_of_fill_only),
		cmocka_unit_test(refuses_what_is_no_certificate),
		cmocka_unit_test(refuses_every_cut),
		cmocka_unit_test(knows_whose_it_is),
		cmocka_unit_test(takes_a_key_marked_for_oaep),
		cmocka_unit_test(tells_what_it_says),
	};
	return cmocka_run_group_tests(tests, make_ek, free_ek);
}
