#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "muster/dps.h"
#include "muster/encoding.h"

/* Vectors made by Microsoft's Node SDK and recomputed by hand. */
static void signs_as_the_vendors_do(void **state)
{
	CLEANUP(secret_done) struct secret key = { 0 };
	CLEANUP(secret_done) struct secret token = { 0 };
	struct dps_sas_terms terms = { "localhost", "provisioningserviceowner", 1795421104 };
	uint8_t ones[32];
	struct muster_error err;

	(void)state;
	memset(ones, 1, sizeof(ones));
	assert_true(secret_copy(&key, ones, sizeof(ones), &err));
	assert_true(dps_sas_make(&terms, &key, &token, &err));
	assert_string_equal((char *)token.data,
			    "SharedAccessSignature sr=localhost"
			    "&sig=Cvi1yytdDuyARvNqlfJDbF4R85T0ss6nIUJ%2F8DboPLE%3D"
			    "&se=1795421104&skn=provisioningserviceowner");
	assert_int_equal(token.size, strlen((char *)token.data));
}

static void signs_the_encoded_resource_of_a_device(void **state)
{
	CLEANUP(secret_done) struct secret key = { 0 };
	CLEANUP(secret_done) struct secret token = { 0 };
	struct dps_sas_terms terms = { "0ne00000000/registrations/dev-1", "registration",
				       1795421125 };
	uint8_t twos[64];
	struct muster_error err;

	(void)state;
	memset(twos, 2, sizeof(twos));
	assert_true(secret_copy(&key, twos, sizeof(twos), &err));
	assert_true(dps_sas_make(&terms, &key, &token, &err));
	assert_string_equal((char *)token.data,
			    "SharedAccessSignature sr=0ne00000000%2Fregistrations%2Fdev-1"
			    "&sig=uOne2mVpQ5IT%2Bh5ST3VT0IzvkH38oGifQdduzTaFIM8%3D"
			    "&se=1795421125&skn=registration");
}

static void a_key_that_answers_later_gives_the_same_token(void **state)
{
	CLEANUP(secret_done) struct secret token = { 0 };
	CLEANUP(text_done) struct text to_sign = { 0 };
	struct dps_sas_terms terms = { "0ne00000000/registrations/dev-1", "registration",
				       1795421125 };
	uint8_t twos[64], mac[32];
	struct muster_error err;

	(void)state;
	memset(twos, 2, sizeof(twos));
	assert_true(dps_sas_string_to_sign(&terms, &to_sign, &err));
	assert_string_equal(to_sign.data, "0ne00000000%2Fregistrations%2Fdev-1\n1795421125");
	assert_true(hmac_sha256(twos, sizeof(twos), to_sign.data, to_sign.length, mac, &err));
	assert_true(dps_sas_assemble(&terms, mac, &token, &err));
	assert_non_null(strstr((char *)token.data, "sig=uOne2mVpQ5IT%2Bh5ST3VT0IzvkH38oGif"));
}

/* Derived device keys are the same HMAC; both published pairs differ in the case of the ID only. */
static void derived_keys_depend_on_the_case_of_the_id(void **state)
{
	static const char master[] = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJ"
				     "FFXJrqYKi9yegxkqIChbqOS9Egw==";
	static const struct {
		const char *id, *key;
	} pairs[] = {
		{ "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6",
		  "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=" },
		{ "SN-007-888-ABC-MAC-A1-B2-C3-D4-E5-F6",
		  "9GWVnYuoOLXlHc346XjhLRb9pKgIOrKSwxDRSOgnvXo=" },
	};
	CLEANUP(secret_done) struct secret key = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(secret_from_base64(&key, master, strlen(master), "the master key", &err));
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		CLEANUP(secret_done) struct secret text = { 0 };
		uint8_t mac[32];

		assert_true(hmac_sha256(key.data, key.size, pairs[i].id, strlen(pairs[i].id), mac,
					&err));
		assert_true(secret_to_base64(&text, mac, sizeof(mac), &err));
		assert_string_equal((char *)text.data, pairs[i].key);
	}
}

static bool refuse_to_sign(struct hmac_key *key, const void *data, size_t size, uint8_t mac[32],
			   struct muster_error *err)
{
	(void)key;
	(void)data;
	(void)size;
	(void)mac;
	return muster_fail(err, CAUSE_TOKEN_GONE, "the token is gone");
}

static void passes_the_failure_of_a_key_on(void **state)
{
	struct hmac_key key = { .hmac = refuse_to_sign };
	struct dps_sas_terms terms = { "localhost", "owner", 1 };
	struct secret token = { 0 };
	struct muster_error err;

	(void)state;
	assert_false(dps_sas_make_with(&terms, &key, &token, &err));
	assert_int_equal(err.cause, CAUSE_TOKEN_GONE);
	assert_null(token.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signs_as_the_vendors_do),
		cmocka_unit_test(signs_the_encoded_resource_of_a_device),
		cmocka_unit_test(a_key_that_answers_later_gives_the_same_token),
		cmocka_unit_test(derived_keys_depend_on_the_case_of_the_id),
		cmocka_unit_test(passes_the_failure_of_a_key_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
