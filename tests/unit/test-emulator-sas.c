/* Shared access signatures: the vectors of the vendors' SDKs, and what is no token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/emulator/sas.h"
#include "../../src/emulator/stamp.h"

static const struct vector {
	uint8_t key_byte;
	size_t key_size;
	const char *token;
	const char *resource;
} vectors[] = {
	{ 1, 32,
	  "SharedAccessSignature sr=localhost&sig=Cvi1yytdDuyARvNqlfJDbF4R85T0ss6nIUJ%2F8DboPLE%3D"
	  "&skn=provisioningserviceowner&se=1795421104",
	  "localhost" },
	{ 2, 64,
	  "SharedAccessSignature sr=0ne00000000/registrations/dev-1&sig="
	  "HTAMHO3jtzlKPx08OqSFZ4DW20uraTJBIz6hDckDwu0%3d&se=1795421125",
	  "0ne00000000/registrations/dev-1" },
	{ 2, 64,
	  "SharedAccessSignature se=1795421125&sr=0ne00000000%2Fregistrations%2Fdev-1&sig="
	  "uOne2mVpQ5IT+h5ST3VT0IzvkH38oGifQdduzTaFIM8=",
	  "0ne00000000/registrations/dev-1" },
	{ 2, 64,
	  "sharedaccesssignature sr=0ne00000000%2fregistrations%2fdev-1&sig="
	  "950bGF7t3cv72PgRKIIsbDpVeCWUmdK8DuZbkcXJhdE=&se=1795421125",
	  "0ne00000000/registrations/dev-1" },
};

static void verifies_the_vectors_over_the_raw_resource(void **state)
{
	uint8_t key[64];
	struct sas sas;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		memset(key, vectors[i].key_byte, sizeof(key));
		assert_true(sas_parse(vectors[i].token, &sas));
		assert_string_equal(sas.resource, vectors[i].resource);
		assert_true(sas_is_signed_by(&sas, key, vectors[i].key_size));
		key[0] ^= 1;
		assert_false(sas_is_signed_by(&sas, key, vectors[i].key_size));
	}
}

static void refuses_what_is_no_token(void **state)
{
	static const char *const bad[] = {
		"",
		"Bearer x",
		"SharedAccessSignature ",
		"SharedAccessSignature sr=a&se=1",
		"SharedAccessSignature sr=a&sig=AAAA&se=1",
		"SharedAccessSignature sr=a%2&sig=Cvi1yytdDuyARvNqlfJDbF4R85T0ss6nIUJ%2F8DboPLE%3D&se=1",
		"SharedAccessSignature sr=a%00&sig=Cvi1yytdDuyARvNqlfJDbF4R85T0ss6nIUJ%2F8DboPLE%3D&se=1",
		"SharedAccessSignature sr=a&sig=Cvi1yytdDuyARvNqlfJDbF4R85T0ss6nIUJ%2F8DboPLE%3D&se=-1",
		"SharedAccessSignature sr=a&sig=Cvi1yytdDuyARvNqlfJDbF4R85T0ss6nIUJ%2F8DboPLE%3D&se=soon",
		"SharedAccessSignature sr=a&sr=a&sig=Cvi1yytdDuyARvNqlfJDbF4R85T0ss6nIUJ%2F8DboPLE%3D&se=1",
		"SharedAccessSignature sr=a&sig=Cvi1yytdDuyARvNqlfJDbF4R85T0ss6nIUJ%2F8DboPLE%3D&se=1&x=1",
	};
	struct sas sas;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(sas_parse(bad[i], &sas));
}

static void tolerates_five_minutes(void **state)
{
	struct sas sas = { .expiry_s = 1000000 };

	(void)state;
	assert_false(sas_has_expired(&sas, (1000000 + 299) * INT64_C(1000)));
	assert_true(sas_has_expired(&sas, (1000000 + 301) * INT64_C(1000)));
}

static void covers_prefixes_on_a_slash(void **state)
{
	static const char *const names[] = { "localhost", "::1" };

	(void)state;
	assert_true(sas_covers_path("", "/enrollments/a"));
	assert_true(sas_covers_path("/enrollments", "/enrollments/a"));
	assert_true(sas_covers_path("/enrollments/", "/enrollments/a"));
	assert_false(sas_covers_path("/enroll", "/enrollments/a"));
	assert_false(sas_covers_path("/enrollments/a/b", "/enrollments/a"));
	assert_true(sas_covers_host("localhost", names, 2, "/x"));
	assert_true(sas_covers_host("localhost:8443/x", names, 2, "/x/y"));
	assert_false(sas_covers_host("localhost.example", names, 2, "/x"));
	assert_false(sas_covers_host("local", names, 2, "/x"));
}

static void knows_ids(void **state)
{
	char longest[130];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[128] = '\0';
	assert_true(id_is_valid("dev-1"));
	assert_true(id_is_valid("a:b.c_d-"));
	assert_true(id_is_valid(longest));
	longest[128] = 'a';
	longest[129] = '\0';
	assert_false(id_is_valid(longest));
	assert_false(id_is_valid(""));
	assert_false(id_is_valid("dev 1"));
	assert_false(id_is_valid("dev."));
	assert_false(id_is_valid("d\xc3\xa9v"));
	assert_true(device_id_is_valid("a!b(c)$'"));
	assert_false(device_id_is_valid("a/b"));
}

static void compares_etags_in_all_their_forms(void **state)
{
	char etag[ETAG_SIZE], quoted[ETAG_SIZE + 2], inner[ETAG_SIZE];

	(void)state;
	etag_new(etag);
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
	assert_true(etag_matches("*", etag));
	assert_true(etag_matches(etag, etag));
	assert_true(etag_matches(quoted, etag));
	assert_false(etag_matches("", etag));
	assert_false(etag_matches("\"", etag));
	assert_false(etag_matches(etag + 1, etag));
	etag_inner(inner, etag);
	assert_int_equal(inner[0], '"');
	assert_int_equal(strlen(inner), 38);
}

static void writes_seven_digits(void **state)
{
	char stamp[STAMP_SIZE];

	(void)state;
	assert_string_equal(stamp_format(stamp, INT64_C(1795421104123)),
			    "2026-11-23T08:05:04.1230000Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verifies_the_vectors_over_the_raw_resource),
		cmocka_unit_test(refuses_what_is_no_token),
		cmocka_unit_test(tolerates_five_minutes),
		cmocka_unit_test(covers_prefixes_on_a_slash),
		cmocka_unit_test(knows_ids),
		cmocka_unit_test(compares_etags_in_all_their_forms),
		cmocka_unit_test(writes_seven_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
