/* The challenge: opened here by hand with the private keys, as a TPM would, and taken apart strictly. */
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
#include <tss2/tss2_mu.h>

#include "../../src/ek/ek-internal.h"
#include "muster/ek.h"

static EVP_PKEY *ek_private;
static EVP_PKEY *srk_private;
static struct ek_public ek;
static struct ek_public srk;
static struct muster_error err;

#define EXPECT(call)                                 \
	do {                                         \
		if (!(call))                         \
			fail_msg("%s", err.message); \
	} while (0)

static struct ek_public public_of(EVP_PKEY *key, const struct ek_public *template)
{
	TPMT_PUBLIC area;
	BIGNUM *modulus = NULL;
	struct ek_public public;
	EXPECT(ek_public_unpack(template, &area, &err));
	assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &modulus), 1);
	assert_int_equal(BN_bn2binpad(modulus, area.unique.rsa.buffer, 256), 256);
	BN_free(modulus);
	EXPECT(ek_public_pack(&area, &public, &err));
	return public;
}

static int make_keys(void **state)
{
	(void)state;
	struct ek_public template;
	ek_private = EVP_RSA_gen(2048);
	srk_private = EVP_RSA_gen(2048);
	EXPECT(ek_template_ek(&template, &err));
	ek = public_of(ek_private, &template);
	EXPECT(ek_template_srk(&template, &err));
	srk = public_of(srk_private, &template);
	return 0;
}

static int free_keys(void **state)
{
	(void)state;
	EVP_PKEY_free(ek_private);
	EVP_PKEY_free(srk_private);
	return 0;
}

/* -- Opening by hand, apart from the code under test --------------------------------------------------------- */

static void open_seed(EVP_PKEY *key, const char *label, const struct bytes *sized, uint8_t seed[32])
{
	size_t size = 256;
	uint8_t out[256];
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
	assert_int_equal(sized->size, 258);
	assert_int_equal(EVP_PKEY_decrypt_init(context), 1);
	EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING);
	EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256());
	size_t label_size = strlen(label) + 1;
	EVP_PKEY_CTX_set0_rsa_oaep_label(context, OPENSSL_memdup(label, label_size),
					 (int)label_size);
	assert_int_equal(EVP_PKEY_decrypt(context, out, &size, sized->data + 2, 256), 1);
	EVP_PKEY_CTX_free(context);
	assert_int_equal(size, 32);
	memcpy(seed, out, 32);
}

/* KDFa, one block: HMAC(seed, 1 || label || 0 || context || bits). */
static void kdfa(const uint8_t seed[32], const char *label, const uint8_t *context,
		 size_t context_size, unsigned bits, uint8_t out[32])
{
	uint8_t data[128] = { 0, 0, 0, 1 };
	size_t size = 4;
	memcpy(data + size, label, strlen(label) + 1);
	size += strlen(label) + 1;
	if (context_size > 0)
		memcpy(data + size, context, context_size);
	size += context_size;
	data[size++] = 0;
	data[size++] = 0;
	data[size++] = (uint8_t)(bits >> 8);
	data[size++] = (uint8_t)bits;
	EXPECT(hmac_sha256(seed, 32, data, size, out, &err));
}

static void decrypt(const uint8_t *key, const uint8_t *in, size_t size, uint8_t *out)
{
	static const uint8_t zero[16];
	int done = 0;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	assert_int_equal(EVP_DecryptInit(context, EVP_aes_128_cfb128(), key, zero), 1);
	assert_int_equal(EVP_DecryptUpdate(context, out, &done, in, (int)size), 1);
	assert_int_equal(done, size);
	EVP_CIPHER_CTX_free(context);
}

/* Undoes the outer wrap; returns the size of the plain text. */
static size_t unseal(const struct bytes *sealed, const uint8_t seed[32],
		     const uint8_t name[EK_NAME_SIZE], uint8_t *out)
{
	uint8_t key[32], mac_key[32], mac[32], covered[1024];
	const uint8_t *cipher = sealed->data + 2 + 2 + 32;
	size_t size = sealed->size - 36;
	assert_int_equal(sealed->data[0] << 8 | sealed->data[1], sealed->size - 2);
	assert_int_equal(sealed->data[2] << 8 | sealed->data[3], 32);
	memcpy(covered, cipher, size);
	memcpy(covered + size, name, EK_NAME_SIZE);
	kdfa(seed, "INTEGRITY", NULL, 0, 256, mac_key);
	EXPECT(hmac_sha256(mac_key, 32, covered, size + EK_NAME_SIZE, mac, &err));
	assert_memory_equal(mac, sealed->data + 4, 32);
	kdfa(seed, "STORAGE", name, EK_NAME_SIZE, 128, key);
	decrypt(key, cipher, size, out);
	return size;
}

static void name_of(const struct bytes *sized, uint8_t name[EK_NAME_SIZE])
{
	name[0] = 0;
	name[1] = 0x0b;
	sha256(name + 2, sized->data + 2, sized->size - 2);
}

static void make(const struct secret *key, const struct bytes *trailing, struct bytes *blob,
		 struct ek_challenge *parts)
{
	EXPECT(ek_challenge_make(&ek, &srk, key, trailing, blob, &err));
	EXPECT(ek_challenge_split(blob->data, blob->size, parts, &err));
}

static void check_opens_to(const struct ek_challenge *parts, const struct secret *key)
{
	uint8_t seed[32], name[EK_NAME_SIZE], inner_key[32], plain[1024], sensitive[1024];
	EXPECT(ek_public_name(&srk, name, &err));
	open_seed(ek_private, "IDENTITY", &parts->credential_secret, seed);
	assert_int_equal(unseal(&parts->id_object, seed, name, inner_key), 18);
	assert_int_equal(inner_key[1], 16);

	name_of(&parts->key_public, name);
	open_seed(srk_private, "DUPLICATE", &parts->duplicate_seed, seed);
	size_t size = unseal(&parts->duplicate, seed, name, plain);
	decrypt(inner_key + 2, plain, size, sensitive);

	/* TPM2B(integrity), then TPM2B(type, auth, seed value, key). */
	size_t sensitive_size = 2 + 2 + 2 + 34 + 2 + key->size;
	assert_int_equal(size, 34 + sensitive_size);
	uint8_t covered[1024], digest[32];
	memcpy(covered, sensitive + 34, sensitive_size);
	memcpy(covered + sensitive_size, name, EK_NAME_SIZE);
	sha256(digest, covered, sensitive_size + EK_NAME_SIZE);
	assert_memory_equal(sensitive + 2, digest, 32);
	const uint8_t *tail = sensitive + size - key->size;
	assert_memory_equal(tail, key->data, key->size);

	/* unique binds seed value and key. */
	memcpy(covered, tail - 34, 32);
	memcpy(covered + 32, key->data, key->size);
	sha256(digest, covered, 32 + key->size);
	assert_memory_equal(parts->key_public.data + parts->key_public.size - 32, digest, 32);
}

static void only_the_private_keys_open_it(void **state)
{
	static const size_t sizes[] = { 16, 32, 64 };
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct secret key = { 0 };
		struct bytes blob = { 0 };
		struct ek_challenge parts = { 0 };
		EXPECT(secret_new(&key, sizes[i], &err));
		EXPECT(random_bytes(key.data, key.size, &err));
		make(&key, NULL, &blob, &parts);
		assert_int_equal(blob.size, 734 + sizes[i]); /* 766 with a key of 32 bytes */
		check_opens_to(&parts, &key);
		ek_challenge_done(&parts);
		bytes_done(&blob);
		secret_done(&key);
	}
}

static void carries_trailing_data(void **state)
{
	(void)state;
	struct bytes trailing = { (uint8_t[180]){ 7 }, 180 };
	struct bytes blob = { 0 };
	struct ek_challenge parts = { 0 };
	struct secret key = { 0 };
	EXPECT(secret_new(&key, 32, &err));
	make(&key, &trailing, &blob, &parts);
	assert_int_equal(blob.size, 766 + 180);
	assert_true(bytes_equal(&parts.trailing, &trailing));
	ek_challenge_done(&parts);
	bytes_done(&blob);
	secret_done(&key);
}

static void no_two_are_alike(void **state)
{
	(void)state;
	struct bytes one = { 0 }, two = { 0 };
	struct secret key = { 0 };
	EXPECT(secret_new(&key, 32, &err));
	EXPECT(ek_challenge_make(&ek, &srk, &key, NULL, &one, &err));
	EXPECT(ek_challenge_make(&ek, &srk, &key, NULL, &two, &err));
	assert_int_equal(one.size, two.size);
	assert_memory_not_equal(one.data + 36, two.data + 36, 18);
	bytes_done(&one);
	bytes_done(&two);
	secret_done(&key);
}

static void makes_none_for_what_it_cannot_wrap_for(void **state)
{
	(void)state;
	struct bytes blob = { 0 };
	struct secret key = { 0 };
	struct ek_public other;
	TPMT_PUBLIC area;
	EXPECT(secret_new(&key, 15, &err));
	assert_false(ek_challenge_make(&ek, &srk, &key, NULL, &blob, &err));
	assert_int_equal(err.cause, CAUSE_SECRET_INVALID);
	EXPECT(secret_new(&key, 65, &err));
	assert_false(ek_challenge_make(&ek, &srk, &key, NULL, &blob, &err));
	EXPECT(secret_new(&key, 32, &err));
	EXPECT(ek_public_unpack(&ek, &area, &err));
	area.parameters.rsaDetail.symmetric.keyBits.aes = 256;
	EXPECT(ek_public_pack(&area, &other, &err));
	assert_false(ek_challenge_make(&other, &srk, &key, NULL, &blob, &err));
	assert_int_equal(err.cause, CAUSE_EK_UNSUPPORTED);
	assert_null(blob.data);
	secret_done(&key);
}

/* -- Taking apart ------------------------------------------------------------------------------------------ */

static void expect_refused(const void *blob, size_t size, const char *word)
{
	struct ek_challenge parts = { 0 };
	assert_false(ek_challenge_split(blob, size, &parts, &err));
	assert_int_equal(err.cause, CAUSE_TPM_ACTIVATION_FAILED);
	assert_null(parts.id_object.data);
	if (!strstr(err.message, word))
		fail_msg("'%s' does not say '%s'", err.message, word);
}

static void refuses_every_cut_and_anything_behind(void **state)
{
	(void)state;
	struct bytes blob = { 0 };
	struct secret key = { 0 };
	EXPECT(secret_new(&key, 32, &err));
	EXPECT(ek_challenge_make(&ek, &srk, &key, NULL, &blob, &err));
	for (size_t size = 0; size < blob.size; size++) {
		uint8_t *cut = malloc(size + 1); /* the sanitizer sees a read behind it */
		memcpy(cut + 1, blob.data, size);
		expect_refused(cut + 1, size, "it ends");
		free(cut);
	}
	uint8_t *longer = malloc(blob.size + 1);
	memcpy(longer, blob.data, blob.size);
	longer[blob.size] = 0;
	expect_refused(longer, blob.size + 1, "left over");
	free(longer);
	bytes_done(&blob);
	secret_done(&key);
}

static void refuses_parts_that_cannot_be(void **state)
{
	(void)state;
	static const uint8_t empty[12];
	static uint8_t large[EK_CHALLENGE_MAX + 1];
	expect_refused(empty, sizeof(empty), "is empty");
	expect_refused(large, sizeof(large), "too many");
	large[0] = 0x10; /* a credential of 4096 bytes */
	expect_refused(large, EK_CHALLENGE_MAX, "more than");
	large[0] = 0;
}

static void refuses_a_key_that_is_not_for_hmac(void **state)
{
	(void)state;
	uint8_t blob[1024];
	/* Four parts of one byte, then the SRK where the HMAC key should be. */
	static const uint8_t head[] = { 0, 1, 9, 0, 1, 9, 0, 1, 9, 0, 1, 9 };
	memcpy(blob, head, sizeof(head));
	memcpy(blob + sizeof(head), srk.data, srk.size);
	memset(blob + sizeof(head) + srk.size, 0, 2);
	expect_refused(blob, sizeof(head) + srk.size + 2, "HMAC-SHA256");
	blob[sizeof(head) + 3] ^= 0x40; /* of no known type */
	expect_refused(blob, sizeof(head) + srk.size + 2, "public area");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_private_keys_open_it),
		cmocka_unit_test(carries_trailing_data),
		cmocka_unit_test(no_two_are_alike),
		cmocka_unit_test(makes_none_for_what_it_cannot_wrap_for),
		cmocka_unit_test(refuses_every_cut_and_anything_behind),
		cmocka_unit_test(refuses_parts_that_cannot_be),
		cmocka_unit_test(refuses_a_key_that_is_not_for_hmac),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
