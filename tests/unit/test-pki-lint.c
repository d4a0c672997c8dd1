/* Lint: each rule refuses the certificate that breaks it, and takes the one that does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/pki/pki-internal.h"

#define NOW_MS INT64_C(1767225600000) /* 2026-01-01 */
#define URL "http://crl.example/ca.crl"

static EVP_PKEY *device_key, *authority_key;
static X509 *authority;
static struct muster_error error;

static int make_keys(void **state)
{
	(void)state;
	device_key = EVP_EC_gen("P-256");
	return pki_authority_make("line CA", 60, NOW_MS, &authority_key, &authority, &error) ? 0
											     : -1;
}

static int free_keys(void **state)
{
	(void)state;
	EVP_PKEY_free(device_key);
	EVP_PKEY_free(authority_key);
	X509_free(authority);
	return 0;
}

static struct pki_plan make_plan(void)
{
	return (struct pki_plan){
		.key = device_key,
		.subject = "CN=dev-1",
		.registration_id = "dev-1",
		.valid_days = 30,
		.skew_minutes = 5,
		.now_ms = NOW_MS,
		.crl_url = URL,
		.issuer_key = authority_key,
		.issuer_certificate = authority,
	};
}

/* -- What breaks a rule ------------------------------------------------------------------------------------------ */

static void drop(X509 *certificate, int nid)
{
	X509_EXTENSION_free(
		X509_delete_ext(certificate, X509_get_ext_by_NID(certificate, nid, -1)));
}

static void replace(X509 *certificate, int nid, const char *value)
{
	drop(certificate, nid);
	assert_true(pki_extension_add(certificate, authority, nid, value, &error));
}

#define BREAKS(name) static void name(X509 *certificate)

BREAKS(version)
{
	X509_set_version(certificate, X509_VERSION_1);
}

BREAKS(small_serial)
{
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
}

BREAKS(negative_serial)
{
	X509_get_serialNumber(certificate)->type |= V_ASN1_NEG;
}

BREAKS(empty_subject)
{
	X509_NAME *name = X509_NAME_new();

	X509_set_subject_name(certificate, name);
	X509_NAME_free(name);
}

BREAKS(other_issuer)
{
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
}

BREAKS(other_common_name)
{
	X509_NAME *name = NULL;

	assert_true(pki_name_parse("CN=dev-2", &name, &error));
	X509_set_subject_name(certificate, name);
	X509_NAME_free(name);
}

BREAKS(other_key)
{
	X509_set_pubkey(certificate, authority_key);
}

BREAKS(weak_key)
{
	EVP_PKEY *key = EVP_EC_gen("secp256k1");

	X509_set_pubkey(certificate, key);
	EVP_PKEY_free(key);
}

BREAKS(reversed_validity)
{
	ASN1_TIME_set_string(X509_getm_notBefore(certificate), "290101000000Z");
}

BREAKS(wrong_form_of_time)
{
	ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20260101000000Z");
}

BREAKS(past_the_issuer)
{
	ASN1_TIME_set_string(X509_getm_notAfter(certificate), "270101000000Z");
}

BREAKS(unknown_extension)
{
	assert_true(
		pki_extension_add(certificate, authority, NID_netscape_comment, "hello", &error));
}

BREAKS(extension_twice)
{
	X509_add_ext(
		certificate,
		X509_get_ext(certificate, X509_get_ext_by_NID(certificate, NID_ext_key_usage, -1)),
		-1);
}

BREAKS(uncritical_usage)
{
	replace(certificate, NID_key_usage, "digitalSignature");
}

BREAKS(no_constraints)
{
	drop(certificate, NID_basic_constraints);
}

BREAKS(authority_role)
{
	replace(certificate, NID_basic_constraints, "critical,CA:TRUE");
}

BREAKS(more_usage)
{
	replace(certificate, NID_key_usage, "critical,digitalSignature,keyEncipherment");
}

BREAKS(no_usage)
{
	drop(certificate, NID_key_usage);
}

BREAKS(server_usage)
{
	replace(certificate, NID_ext_key_usage, "clientAuth,serverAuth");
}

BREAKS(wrong_subject_identifier)
{
	replace(certificate, NID_subject_key_identifier,
		"0102030405060708091011121314151617181920");
}

BREAKS(no_authority_identifier)
{
	drop(certificate, NID_authority_key_identifier);
}

BREAKS(no_crl)
{
	drop(certificate, NID_crl_distribution_points);
}

BREAKS(other_crl)
{
	replace(certificate, NID_crl_distribution_points, "URI:http://other.example/");
}

BREAKS(nothing)
{
	(void)certificate;
}

static const struct {
	const char *name;
	void (*breaks)(X509 *certificate);
} cases[] = {
#define CASE(name)          \
	{                   \
#name, name \
	}
	CASE(version),
	CASE(small_serial),
	CASE(negative_serial),
	CASE(empty_subject),
	CASE(other_issuer),
	CASE(other_common_name),
	CASE(other_key),
	CASE(weak_key),
	CASE(reversed_validity),
	CASE(wrong_form_of_time),
	CASE(past_the_issuer),
	CASE(unknown_extension),
	CASE(extension_twice),
	CASE(uncritical_usage),
	CASE(no_constraints),
	CASE(authority_role),
	CASE(more_usage),
	CASE(no_usage),
	CASE(server_usage),
	CASE(wrong_subject_identifier),
	CASE(no_authority_identifier),
	CASE(no_crl),
	CASE(other_crl),
};

/* -- The rules ---------------------------------------------------------------------------------------------------- */

/* Signed and read back, as lint sees it. */
static bool passes(const struct pki_plan *plan, void (*breaks)(X509 *certificate),
		   const EVP_MD *digest)
{
	X509 *made = NULL, *read;
	unsigned char *der = NULL;
	const unsigned char *cursor;
	int size;
	bool good;

	assert_true(pki_plan_compose(plan, &made, &error));
	breaks(made);
	assert_true(X509_sign(made, authority_key, digest) > 0);
	size = i2d_X509(made, &der);
	cursor = der;
	read = d2i_X509(NULL, &cursor, size);
	assert_non_null(read);
	good = pki_lint_rules(read, plan, &error);
	X509_free(read);
	X509_free(made);
	OPENSSL_free(der);
	return good;
}

static void each_rule_refuses_what_breaks_it(void **state)
{
	struct pki_plan plan = make_plan();

	(void)state;
	if (!passes(&plan, nothing, EVP_sha256()))
		fail_msg("%s", error.message);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (passes(&plan, cases[i].breaks, EVP_sha256()))
			fail_msg("%s passed", cases[i].name);
	assert_false(passes(&plan, nothing, EVP_sha1()));
}

static void a_path_ends_where_the_issuer_says(void **state)
{
	struct pki_plan root = { .role = PKI_AUTHORITY,
				 .key = authority_key,
				 .subject = "CN=root",
				 .path_length = 1,
				 .valid_days = 60,
				 .now_ms = NOW_MS };
	struct pki_plan below = root;
	X509 *certificate = NULL, *made = NULL;

	(void)state;
	if (!pki_certificate_make(&root, &certificate, &error))
		fail_msg("%s", error.message);
	below.key = device_key;
	below.subject = "CN=below";
	below.valid_days = 30;
	below.issuer_key = authority_key;
	below.issuer_certificate = certificate;
	assert_false(pki_certificate_make(&below, &made, &error)); /* 1 is not below 1 */
	below.path_length = PKI_ANY_PATH_LENGTH;
	assert_false(pki_certificate_make(&below, &made, &error));
	below.path_length = 0;
	if (!pki_certificate_make(&below, &made, &error))
		fail_msg("%s", error.message);
	X509_free(made);
	X509_free(certificate);
}

static void addresses_of_crls_cannot_smuggle(void **state)
{
	static const char *const bad[] = { "ftp://a", "http://a,URI:http://b", "http://a b", "",
					   "http://a;b" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct pki_plan plan = make_plan();
		X509 *made = NULL;

		plan.crl_url = bad[i];
		assert_false(pki_certificate_make(&plan, &made, &error));
		assert_int_equal(error.cause, CAUSE_CERTIFICATE_INVALID);
	}
}

static void every_kind_of_issuer_is_rehearsed(void **state)
{
	EVP_PKEY *keys[] = { EVP_EC_gen("P-384"), EVP_EC_gen("P-521"), EVP_RSA_gen(2048),
			     EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct pki_plan plan = make_plan();
		struct pki_linted *linted = NULL;
		struct bytes tbs = { 0 };
		X509 *made = NULL;

		plan.key = keys[i];
		plan.issuer_key = NULL;
		plan.issuer_certificate = NULL;
		if (!pki_certificate_lint(&plan, &linted, &error) ||
		    !pki_certificate_sign(linted, &made, &error))
			fail_msg("%s", error.message);
		assert_true(pki_x509_tbs(made, &tbs, &error));
		assert_true(bytes_equal(&tbs, pki_linted_tbs(linted)));
		assert_int_equal(X509_verify(made, keys[i]), 1);
		bytes_done(&tbs);
		pki_linted_free(linted);
		X509_free(made);
		EVP_PKEY_free(keys[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_refuses_what_breaks_it),
		cmocka_unit_test(a_path_ends_where_the_issuer_says),
		cmocka_unit_test(addresses_of_crls_cannot_smuggle),
		cmocka_unit_test(every_kind_of_issuer_is_rehearsed),
	};

	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
