#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "muster/encoding.h"
#include "muster/pki.h"

#include "pki-soft-signer.h"

#define DAY_MS (24 * 60 * 60 * INT64_C(1000))
#define NOW_MS INT64_C(1767225600000) /* 2026-01-01 */

static struct soft_signer soft;
static EVP_PKEY *device_key;

static int make_key(void **state)
{
	struct muster_error err;

	(void)state;
	return soft_signer_init(&soft, "ec-p256") &&
			       pki_key_from_signer(&soft.signer, &device_key, &err)
		       ? 0
		       : -1;
}

static int free_key(void **state)
{
	(void)state;
	EVP_PKEY_free(device_key);
	soft_signer_done(&soft);
	return 0;
}

static struct pki_plan make_request(void)
{
	return (struct pki_plan){
		.key = device_key,
		.subject = "CN=dev-1,O=B\xc3\xa4r\\, Inc,serialNumber=A 17",
		.registration_id = "dev-1",
		.valid_days = 30,
		.skew_minutes = PKI_SKEW_MINUTES,
		.now_ms = NOW_MS,
	};
}

static void a_device_certificate_says_what_it_must(void **state)
{
	struct pki_plan request = make_request();
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };
	struct muster_error err = { 0 };

	(void)state;
	if (!pki_certificate_make(&request, &certificate, &err))
		fail_msg("%s", err.message);
	assert_true(pki_certificate_info(certificate, &info, &err));
	assert_string_equal(info.subject, "CN=dev-1, O=B\xc3\xa4r\\, Inc, serialNumber=A 17");
	assert_string_equal(info.issuer, info.subject);
	assert_string_equal(info.common_name, "dev-1");
	assert_int_equal(info.version, 3);
	assert_int_equal(strlen(info.serial), 34);
	assert_int_equal(info.not_before_ms, NOW_MS - 10 * 60 * 1000);
	assert_int_equal(info.not_after_ms, NOW_MS + 30 * DAY_MS);
	assert_string_equal(info.not_before, "2025-12-31T23:50:00.000Z");
	assert_int_equal(X509_check_ca(certificate), 0);
	assert_int_equal(X509_get_key_usage(certificate), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_CLIENT);
	assert_non_null(X509_get0_subject_key_id(certificate));
	assert_non_null(X509_get0_authority_key_id(certificate));
	assert_int_equal(ERR_peek_error(), 0);
}

static void serials_differ(void **state)
{
	struct pki_plan request = make_request();
	CLEANUP(X509_freep) X509 *one = NULL;
	CLEANUP(X509_freep) X509 *other = NULL;
	struct muster_error err;

	(void)state;
	assert_true(pki_certificate_make(&request, &one, &err));
	assert_true(pki_certificate_make(&request, &other, &err));
	assert_int_not_equal(
		ASN1_INTEGER_cmp(X509_get0_serialNumber(one), X509_get0_serialNumber(other)), 0);
}

static void what_would_not_do_is_not_signed(void **state)
{
	static const char *const subjects[] = {
		"CN=other", "O=dev-1",      "CN=dev-1,CN=dev-1",  "CN=dev-1,O=",
		"",         "CN=dev-1,X=1", "CN=dev-1,C=Germany", "dev-1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++) {
		struct pki_plan request = make_request();
		X509 *certificate = NULL;
		struct muster_error err = { 0 };
		unsigned calls = soft.calls;

		request.subject = subjects[i];
		if (pki_certificate_make(&request, &certificate, &err))
			fail_msg("'%s' was signed", subjects[i]);
		assert_int_equal(err.cause, CAUSE_CERTIFICATE_INVALID);
		assert_int_equal(soft.calls, calls);
		assert_int_equal(ERR_peek_error(), 0);
	}
}

static void a_refusing_token_is_named(void **state)
{
	struct pki_plan request = make_request();
	X509 *certificate = NULL;
	struct muster_error err = { 0 };

	(void)state;
	soft.is_broken = true;
	assert_false(pki_certificate_make(&request, &certificate, &err));
	soft.is_broken = false;
	assert_int_equal(err.cause, CAUSE_PIN_LOCKED);
	assert_string_equal(err.message, "signing the certificate: the PIN is locked");
	assert_int_equal(ERR_peek_error(), 0);
}

/* -- Issued ------------------------------------------------------------------------------------------------------ */

static void an_issuer_signs_for_the_device(void **state)
{
	struct pki_plan request = make_request();
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(X509_freep) X509 *authority = NULL;
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(X509_freep) X509 *too_long = NULL;
	struct muster_error err = { 0 };

	(void)state;
	assert_true(pki_authority_make("line CA", 60, NOW_MS, &key, &authority, &err));
	request.issuer_key = key;
	request.issuer_certificate = authority;
	if (!pki_certificate_make(&request, &certificate, &err))
		fail_msg("%s", err.message);
	assert_int_equal(X509_verify(certificate, key), 1);
	assert_int_equal(X509_check_issued(authority, certificate), X509_V_OK);
	assert_true(pki_certificate_has_key(certificate, &soft.signer.spki));
	request.valid_days = 61;
	assert_false(pki_certificate_make(&request, &too_long, &err));
	assert_int_equal(err.cause, CAUSE_CERTIFICATE_INVALID);
}

static void an_issuer_has_to_be_one(void **state)
{
	struct pki_plan request = make_request();
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(X509_freep) X509 *authority = NULL;
	CLEANUP(X509_freep) X509 *leaf = NULL;
	X509 *certificate = NULL;
	struct muster_error err = { 0 };

	(void)state;
	assert_true(pki_authority_make("line CA", 60, NOW_MS, &key, &authority, &err));
	assert_true(pki_certificate_make(&request, &leaf, &err));
	request.issuer_key = device_key;
	request.issuer_certificate = leaf; /* not CA:TRUE */
	assert_false(pki_certificate_make(&request, &certificate, &err));
	request.issuer_certificate = authority; /* another's key */
	assert_false(pki_certificate_make(&request, &certificate, &err));
	assert_int_equal(err.cause, CAUSE_CERTIFICATE_INVALID);
	assert_int_equal(ERR_peek_error(), 0);
}

static void servers_have_names(void **state)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "::1" };
	static const char *const bad[] = { "a,DNS:b" };
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *authority_key = NULL;
	CLEANUP(X509_freep) X509 *authority = NULL;
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct muster_error err = { 0 };

	(void)state;
	assert_true(pki_authority_make("CA", 60, NOW_MS, &authority_key, &authority, &err));
	assert_false(pki_server_certificate_make(authority_key, authority, bad, 1, 30, NOW_MS, &key,
						 &certificate, &err));
	assert_false(pki_server_certificate_make(authority_key, authority, names, 0, 30, NOW_MS,
						 &key, &certificate, &err));
	if (!pki_server_certificate_make(authority_key, authority, names, 3, 30, NOW_MS, &key,
					 &certificate, &err))
		fail_msg("%s", err.message);
	assert_int_equal(X509_check_host(certificate, "localhost", 0, 0, NULL), 1);
	assert_int_equal(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(certificate, "::1", 0), 1);
	assert_int_equal(X509_check_host(certificate, "example.com", 0, 0, NULL), 0);
	assert_int_equal(X509_verify(certificate, authority_key), 1);
}

/* -- Reading ------------------------------------------------------------------------------------------------------- */

static void expect_read(const void *data, size_t size, const X509 *expected)
{
	CLEANUP(X509_freep) X509 *read = NULL;
	struct muster_error err = { 0 };

	if (!pki_certificate_read(data, size, "the file", &read, &err))
		fail_msg("%s", err.message);
	assert_int_equal(X509_cmp(read, expected), 0);
	assert_int_equal(ERR_peek_error(), 0);
}

static void add_crlf(const char *pem, struct text *out)
{
	for (; *pem; pem++) {
		if (*pem == '\n')
			text_add_char(out, '\r');
		text_add_char(out, *pem);
	}
}

static void any_form_is_read(void **state)
{
	struct pki_plan request = make_request();
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(bytes_done) struct bytes der = { 0 };
	CLEANUP(freep) char *pem = NULL;
	CLEANUP(freep) char *der_text = NULL;
	CLEANUP(freep) char *pem_text = NULL;
	CLEANUP(text_done) struct text crlf = TEXT_MAX(8192);
	struct muster_error err;

	(void)state;
	assert_true(pki_certificate_make(&request, &certificate, &err));
	assert_true(pki_certificate_der(certificate, &der, &err));
	assert_true(pki_certificate_pem(certificate, &pem, &err));
	der_text = base64_encode(der.data, der.size);
	pem_text = base64_encode(pem, strlen(pem));
	add_crlf(pem, &crlf);
	expect_read(der.data, der.size, certificate);
	expect_read(pem, strlen(pem), certificate);
	expect_read(crlf.data, crlf.length, certificate);
	expect_read(der_text, strlen(der_text), certificate);
	expect_read(pem_text, strlen(pem_text), certificate);
}

static void the_leaf_is_taken_from_a_chain_with_a_key(void **state)
{
	struct pki_plan request = make_request();
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(X509_freep) X509 *authority = NULL;
	CLEANUP(X509_freep) X509 *leaf = NULL;
	CLEANUP(secret_done) struct secret key_pem = { 0 };
	CLEANUP(freep) char *authority_pem = NULL;
	CLEANUP(freep) char *leaf_pem = NULL;
	CLEANUP(text_done) struct text file = TEXT_MAX(16384);
	struct muster_error err;

	(void)state;
	assert_true(pki_authority_make("CA", 60, NOW_MS, &key, &authority, &err));
	request.issuer_key = key;
	request.issuer_certificate = authority;
	assert_true(pki_certificate_make(&request, &leaf, &err));
	assert_true(pki_private_key_pem(key, &key_pem, &err));
	assert_true(pki_certificate_pem(authority, &authority_pem, &err));
	assert_true(pki_certificate_pem(leaf, &leaf_pem, &err));
	text_add(&file, "some words\n");
	text_add_bytes(&file, key_pem.data, key_pem.size);
	text_add(&file, authority_pem);
	text_add(&file, leaf_pem);
	expect_read(file.data, file.length, leaf);
}

static void what_is_no_certificate(void **state)
{
	struct pki_plan request = make_request();
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(bytes_done) struct bytes der = { 0 };
	struct muster_error err;
	X509 *read = NULL;

	(void)state;
	assert_true(pki_certificate_make(&request, &certificate, &err));
	assert_true(pki_certificate_der(certificate, &der, &err));
	assert_false(pki_certificate_read(der.data, der.size - 1, "the file", &read, &err));
	assert_int_equal(err.cause, CAUSE_CERTIFICATE_UNREADABLE);
	assert_false(pki_certificate_read("", 0, "the file", &read, &err));
	assert_false(pki_certificate_read("garbage", 7, "the file", &read, &err));
	assert_false(pki_certificate_read("-----BEGIN CERTIFICATE-----\nAAAA\n", 33, "the file",
					  &read, &err));
	assert_null(read);
	assert_int_equal(ERR_peek_error(), 0);
}

static void thumbprints_are_of_the_der(void **state)
{
	struct pki_plan request = make_request();
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(bytes_done) struct bytes der = { 0 };
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };
	char digest[SHA256_HEX_SIZE];
	struct muster_error err;

	(void)state;
	assert_true(pki_certificate_make(&request, &certificate, &err));
	assert_true(pki_certificate_der(certificate, &der, &err));
	assert_true(pki_certificate_info(certificate, &info, &err));
	sha256_hex(digest, der.data, der.size);
	for (char *c = digest; *c; c++)
		*c = (char)(*c >= 'a' ? *c - 'a' + 'A' : *c);
	assert_string_equal(info.sha256, digest);
	assert_int_equal(strlen(info.sha1), 40);
	assert_true(pki_certificate_spki(certificate, &spki, &err));
	assert_true(bytes_equal(&spki, &soft.signer.spki));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_certificate_says_what_it_must),
		cmocka_unit_test(serials_differ),
		cmocka_unit_test(what_would_not_do_is_not_signed),
		cmocka_unit_test(a_refusing_token_is_named),
		cmocka_unit_test(an_issuer_signs_for_the_device),
		cmocka_unit_test(an_issuer_has_to_be_one),
		cmocka_unit_test(servers_have_names),
		cmocka_unit_test(any_form_is_read),
		cmocka_unit_test(the_leaf_is_taken_from_a_chain_with_a_key),
		cmocka_unit_test(what_is_no_certificate),
		cmocka_unit_test(thumbprints_are_of_the_der),
	};

	return cmocka_run_group_tests(tests, make_key, free_key);
}
