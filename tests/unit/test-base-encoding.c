/* Encodings and digests: the vectors of their standards, and what is refused. */
#include "unit.h"

#include <stdlib.h>

#include "muster/encoding.h"

static const struct {
	const char *plain, *base64, *base32;
} vectors[] = {
	/* RFC 4648 section 10 */
	{ "", "", "" },
	{ "f", "Zg==", "my" },
	{ "fo", "Zm8=", "mzxq" },
	{ "foo", "Zm9v", "mzxw6" },
	{ "foob", "Zm9vYg==", "mzxw6yq" },
	{ "fooba", "Zm9vYmE=", "mzxw6ytb" },
	{ "foobar", "Zm9vYmFy", "mzxw6ytboi" },
	{ "\xfb\xff\xfe", "+//+", "7p774" },
};

static void encodes_the_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		size_t size = strlen(vectors[i].plain);
		CLEANUP(freep) char *base64 = base64_encode(vectors[i].plain, size);
		CLEANUP(freep) char *base32 = base32_encode_lower(vectors[i].plain, size);

		assert_string_equal(base64, vectors[i].base64);
		assert_string_equal(base32, vectors[i].base32);
	}
}

static void base32_of_a_digest(void **state)
{
	uint8_t digest[SHA256_SIZE];
	CLEANUP(freep) char *text = NULL;

	(void)state;
	sha256(digest, "abc", 3);
	text = base32_encode_lower(digest, sizeof(digest));
	assert_string_equal(text, "xj4bnp4pahh6uqkbidpf3lrceoyagyndsylxvhfucd7wd4qacwwq");
}

static void decodes_base64(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		CLEANUP(bytes_done) struct bytes bytes = { 0 };

		assert_true(base64_decode(vectors[i].base64, strlen(vectors[i].base64), &bytes));
		assert_int_equal(bytes.size, strlen(vectors[i].plain));
		assert_memory_equal(bytes.data, vectors[i].plain, bytes.size + 1);
	}
}

static void refuses_lax_base64(void **state)
{
	static const char *const rows[] = {
		"Z",    "Zg",   "Zg=",      "Zm8",      "=",        "==",     "===",
		"====", "Z===", "Zg==\n",   " Zg==",    "Zg= =",    "Zm9v\n", "Zm9vZg",
		"Zh==", "Zm9=", "Zm8=Zm9v", "Zg==Zg==", "Zm9-",     "Zm9_",   "Z=9v",
		"=m9v", "Zm=v", "Zm9\xff",  "Zm9v====", "Zm9v----", "\tZm9",  "Zm9.",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes bytes = { 0 };

		if (base64_decode(rows[i], strlen(rows[i]), &bytes))
			fail_msg("'%s' is taken", rows[i]);
		assert_null(bytes.data);
	}
	assert_false(base64_decode("Zm\0v", 4, &(struct bytes){ 0 }));
}

static void base64_goes_there_and_back(void **state)
{
	uint8_t data[256];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 167 + 13);
	for (size_t size = 0; size <= sizeof(data); size++) {
		CLEANUP(freep) char *text = base64_encode(data, size);
		CLEANUP(bytes_done) struct bytes bytes = { 0 };

		assert_int_equal(strlen(text), (size + 2) / 3 * 4);
		assert_true(base64_decode(text, strlen(text), &bytes));
		assert_int_equal(bytes.size, size);
		assert_memory_equal(bytes.data, data, size);
	}
}

static void hex_there_and_back(void **state)
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	char out[9];

	(void)state;
	assert_string_equal(hex_encode(out, "\x00\x7f\x80\xff", 4), "007f80ff");
	assert_string_equal(hex_encode(out, "", 0), "");
	assert_true(hex_decode("007F80fF", 8, &bytes));
	assert_int_equal(bytes.size, 4);
	assert_memory_equal(bytes.data, "\x00\x7f\x80\xff", 5);
}

static void refuses_what_is_not_hex(void **state)
{
	static const char *const rows[] = { "0", "0g", "g0", "0x", " 0", "00:", "00\n", "-1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes bytes = { 0 };

		if (hex_decode(rows[i], strlen(rows[i]), &bytes))
			fail_msg("'%s' is taken", rows[i]);
		assert_null(bytes.data);
	}
}

/* The examples of arXiv:0901.4016. */
static void says_bytes_in_words(void **state)
{
	static const struct {
		const char *bytes;
		const char *words;
	} rows[] = { { "\x7f\x00\x00\x01", "lusab-babad" }, { "\x3f\x54\xdc\xc1", "gutih-tugad" } };
	char out[12];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(words_encode(out, rows[i].bytes, 4), rows[i].words);
	assert_string_equal(words_encode(out, "", 0), "");
}

static void digests(void **state)
{
	char hex[SHA256_HEX_SIZE];

	(void)state;
	assert_string_equal(sha256_hex(hex, "abc", 3),
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_string_equal(sha256_hex(hex, NULL, 0),
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, test cases 1, 2 and 6. */
static void macs(void **state)
{
	uint8_t key[131], mac[SHA256_SIZE];
	struct muster_error err;
	char hex[SHA256_HEX_SIZE];

	(void)state;
	memset(key, 0x0b, 20);
	assert_good(hmac_sha256(key, 20, "Hi There", 8, mac, &err), err);
	assert_string_equal(hex_encode(hex, mac, sizeof(mac)),
			    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_good(hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac, &err), err);
	assert_string_equal(hex_encode(hex, mac, sizeof(mac)),
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	assert_good(hmac_sha256(key, sizeof(key),
				"Test Using Larger Than Block-Size Key - Hash Key First", 54, mac,
				&err),
		    err);
	assert_string_equal(hex_encode(hex, mac, sizeof(mac)),
			    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void random_bytes_differ(void **state)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 };
	struct muster_error err;

	(void)state;
	assert_good(random_bytes(a, sizeof(a), &err), err);
	assert_good(random_bytes(b, sizeof(b), &err), err);
	assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodes_the_vectors),
		cmocka_unit_test(base32_of_a_digest),
		cmocka_unit_test(decodes_base64),
		cmocka_unit_test(refuses_lax_base64),
		cmocka_unit_test(base64_goes_there_and_back),
		cmocka_unit_test(hex_there_and_back),
		cmocka_unit_test(refuses_what_is_not_hex),
		cmocka_unit_test(says_bytes_in_words),
		cmocka_unit_test(digests),
		cmocka_unit_test(macs),
		cmocka_unit_test(random_bytes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
