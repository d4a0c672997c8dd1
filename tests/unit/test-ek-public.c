/* Public areas: read strictly, named, told apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <tss2/tss2_mu.h>

#include "../../src/ek/ek-internal.h"
#include "muster/ek.h"

/* Microsoft's published sample and the registration ID that follows from it. */
static const char sample[] =
	"AToAAQALAAMAsgAgg3GXZ0SEs/gakMyNRqXXJP1S124GUgtk8qHaGzMUaaoABgCAAEMAEAgAAAAAAAEAxsj2gUSc"
	"Tk1UjuioeTlfGYZrrimExB+bScH75adUMRIi2UOMxG1kw4y+9RW/IVoMl4e620VxZad0ARX2gUqVjYO7KPVt3dyK"
	"hZS3dkcvfBisBhP1XH9B33VqHG9SHnbnQXdBUaCgKAfxome8UmBKfe+naTsE5fkvjb/do3/dD6l4sGBwFCnKRdln"
	"4XpM03zLpoHFao8zOwt8l/uP3qUIxmCYv9A7m69Ms+5/pCkTu/rK4mRDsfhZ0QLfbzVI6zQFOKF/rwsfBtFeWlWt"
	"cuJMKlXdD8TXWElTzgh7JS4qhFzreL0c1mI0GCj+Aws0usZh7dLIVPnlgZcBhgy1SSDQMQ==";
static const char sample_id[] = "sizmf6sllrqe4op4wm576nl26la72rssxmf7i7oag2fbuy7uvbaq";

static struct ek_public sample_ek(void)
{
	struct muster_error err;
	struct ek_public ek;
	if (!ek_public_from_base64(sample, strlen(sample), &ek, &err))
		fail_msg("%s", err.message);
	return ek;
}

/* -- Reading ----------------------------------------------------------------------------------------------- */

static void reads_and_writes_the_sample(void **state)
{
	(void)state;
	struct ek_public ek = sample_ek();
	assert_int_equal(ek.size, 316);
	char *text = ek_public_to_base64(&ek);
	assert_string_equal(text, sample);
	free(text);
	char *id = ek_public_registration_id(&ek);
	assert_string_equal(id, sample_id);
	free(id);
}

static void refuses_damaged_base64(void **state)
{
	(void)state;
	struct muster_error err;
	struct ek_public ek;
	static const char *const damaged[] = { "", "AToA", "AToAAQ=", "not base64!" };
	for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
		assert_false(ek_public_from_base64(damaged[i], strlen(damaged[i]), &ek, &err));
		assert_int_equal(err.cause, CAUSE_EK_MALFORMED);
	}
	assert_false(ek_public_from_base64(sample, strlen(sample) - 1, &ek, &err));
	assert_false(ek_public_from_base64(sample, strlen(sample) - 4, &ek, &err));
}

static void refuses_every_cut_and_anything_behind(void **state)
{
	(void)state;
	struct muster_error err;
	struct ek_public ek = sample_ek();
	struct ek_public out;
	uint8_t longer[EK_PUBLIC_MAX + 1] = { 0 };
	memcpy(longer, ek.data, ek.size);
	for (size_t size = 0; size < ek.size; size++)
		assert_false(ek_public_parse(ek.data, size, &out, &err));
	assert_true(ek_public_parse(longer, ek.size, &out, &err));
	assert_false(ek_public_parse(longer, ek.size + 1, &out, &err));
	assert_int_equal(err.cause, CAUSE_EK_MALFORMED);
	assert_false(ek_public_parse(longer, sizeof(longer), &out, &err));
}

static void refuses_a_size_that_is_not_true(void **state)
{
	(void)state;
	struct muster_error err;
	struct ek_public out;
	for (int change = -1; change <= 1; change += 2) {
		struct ek_public ek = sample_ek();
		ek.data[1] = (uint8_t)(ek.data[1] + change);
		assert_false(ek_public_parse(ek.data, ek.size, &out, &err));
		assert_int_equal(err.cause, CAUSE_EK_MALFORMED);
	}
}

/* -- Names and keys ---------------------------------------------------------------------------------------- */

static void names_by_the_digest_of_the_area(void **state)
{
	(void)state;
	struct muster_error err;
	struct ek_public ek = sample_ek();
	uint8_t name[EK_NAME_SIZE];
	uint8_t digest[SHA256_SIZE];
	assert_true(ek_public_name(&ek, name, &err));
	sha256(digest, ek.data + 2, ek.size - 2);
	assert_int_equal(name[0], 0x00);
	assert_int_equal(name[1], 0x0b);
	assert_memory_equal(name + 2, digest, sizeof(digest));
}

static void gives_the_rsa_key(void **state)
{
	(void)state;
	struct muster_error err;
	struct ek_public ek = sample_ek();
	EVP_PKEY *key = NULL;
	struct bytes spki = { 0 };
	assert_true(ek_public_key(&ek, &key, &err));
	assert_int_equal(EVP_PKEY_get_bits(key), 2048);
	EVP_PKEY_free(key);
	assert_true(ek_public_spki(&ek, &spki, &err));
	assert_int_equal(spki.size, 294); /* RSA-2048 with exponent 65537 */
	assert_memory_equal(spki.data + 33, ek.data + ek.size - 256, 256);
	bytes_done(&spki);
}

/* -- What DPS takes ---------------------------------------------------------------------------------------- */

static TPMT_PUBLIC sample_area(void)
{
	struct muster_error err;
	struct ek_public ek = sample_ek();
	TPMT_PUBLIC area;
	assert_true(ek_public_unpack(&ek, &area, &err));
	return area;
}

static void expect_refused(const TPMT_PUBLIC *area, enum muster_cause cause, const char *word)
{
	struct muster_error err;
	struct ek_public ek;
	assert_true(ek_public_pack(area, &ek, &err));
	assert_false(ek_check_dps(&ek, &err));
	assert_int_equal(err.cause, cause);
	if (!strstr(err.message, word))
		fail_msg("'%s' does not say '%s'", err.message, word);
}

static void takes_the_sample(void **state)
{
	(void)state;
	struct muster_error err;
	struct ek_public ek = sample_ek();
	assert_true(ek_check_dps(&ek, &err));
	assert_false(ek_check_srk(&ek, &err));
	TPMT_PUBLIC area = sample_area();
	area.parameters.rsaDetail.exponent = 65537;
	assert_true(ek_public_pack(&area, &ek, &err));
	assert_true(ek_check_dps(&ek, &err));
}

static void refuses_every_other_key_with_its_reason(void **state)
{
	(void)state;
	TPMT_PUBLIC area = sample_area();
	area.parameters.rsaDetail.keyBits = 3072;
	area.unique.rsa.size = 384;
	expect_refused(&area, CAUSE_EK_UNSUPPORTED, "RSA-3072");
	area = sample_area();
	area.parameters.rsaDetail.keyBits = 1024;
	expect_refused(&area, CAUSE_EK_UNSUPPORTED, "RSA-1024");
	area = sample_area();
	area.nameAlg = TPM2_ALG_SHA384;
	expect_refused(&area, CAUSE_EK_UNSUPPORTED, "name algorithm");
	area = sample_area();
	area.parameters.rsaDetail.symmetric.keyBits.aes = 256;
	expect_refused(&area, CAUSE_EK_UNSUPPORTED, "AES-128-CFB");
	area = sample_area();
	area.parameters.rsaDetail.symmetric.mode.aes = TPM2_ALG_CBC;
	expect_refused(&area, CAUSE_EK_UNSUPPORTED, "AES-128-CFB");
	area = sample_area();
	area.parameters.rsaDetail.scheme.scheme = TPM2_ALG_OAEP;
	area.parameters.rsaDetail.scheme.details.oaep.hashAlg = TPM2_ALG_SHA256;
	expect_refused(&area, CAUSE_EK_UNSUPPORTED, "scheme");
	area = sample_area();
	area.parameters.rsaDetail.exponent = 3;
	expect_refused(&area, CAUSE_EK_UNSUPPORTED, "exponent");
	area = sample_area();
	area.objectAttributes |= TPMA_OBJECT_USERWITHAUTH;
	expect_refused(&area, CAUSE_EK_TEMPLATE_OTHER, "0x000300f2");
	area = sample_area();
	area.authPolicy.buffer[31] ^= 1;
	expect_refused(&area, CAUSE_EK_TEMPLATE_OTHER, "policy");
	area = sample_area();
	area.authPolicy.size = 0;
	expect_refused(&area, CAUSE_EK_TEMPLATE_OTHER, "policy");
	area = sample_area();
	area.unique.rsa.buffer[0] = 0x7f;
	expect_refused(&area, CAUSE_EK_UNSUPPORTED, "modulus");
	area = sample_area();
	area.unique.rsa.buffer[255] &= 0xfe;
	expect_refused(&area, CAUSE_EK_UNSUPPORTED, "modulus");
	area = sample_area();
	area.unique.rsa.size = 0; /* a template, not a key */
	expect_refused(&area, CAUSE_EK_UNSUPPORTED, "modulus");
}

static TPMT_PUBLIC elliptic_area(void)
{
	TPMT_PUBLIC area = { .type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA384 };
	TPMS_ECC_PARMS *ecc = &area.parameters.eccDetail;
	ecc->symmetric.algorithm = TPM2_ALG_AES;
	ecc->symmetric.keyBits.aes = 256;
	ecc->symmetric.mode.aes = TPM2_ALG_CFB;
	ecc->scheme.scheme = TPM2_ALG_NULL;
	ecc->curveID = TPM2_ECC_NIST_P384;
	ecc->kdf.scheme = TPM2_ALG_NULL;
	return area;
}

static void explains_why_an_elliptic_key_does_not_do(void **state)
{
	(void)state;
	struct muster_error err;
	struct ek_public ek;
	TPMT_PUBLIC area = elliptic_area();
	EVP_PKEY *key = NULL;
	uint8_t name[EK_NAME_SIZE];
	char text[96];
	expect_refused(&area, CAUSE_EK_ELLIPTIC, "elliptic");
	assert_true(ek_public_pack(&area, &ek, &err));
	assert_string_equal(ek_public_describe(&ek, text), "ECC P-384, SHA-384, AES-256-CFB");
	assert_false(ek_public_key(&ek, &key, &err));
	assert_int_equal(err.cause, CAUSE_EK_UNSUPPORTED);
	assert_false(ek_public_name(&ek, name, &err));
}

static void describes_in_words(void **state)
{
	(void)state;
	struct ek_public ek = sample_ek();
	char text[96];
	assert_string_equal(ek_public_describe(&ek, text), "RSA-2048, SHA-256, AES-128-CFB");
	ek.size = 5;
	assert_string_equal(ek_public_describe(&ek, text), "malformed");
}

/* -- Templates --------------------------------------------------------------------------------------------- */

static void templates_are_those_of_the_tcg_and_of_azure(void **state)
{
	(void)state;
	struct muster_error err;
	struct ek_public ek, srk, sample_public = sample_ek();
	assert_true(ek_template_ek(&ek, &err));
	assert_int_equal(ek.size, 316);
	assert_memory_equal(ek.data, sample_public.data, 316 - 256);
	assert_true(ek_template_srk(&srk, &err));
	assert_int_equal(srk.size, 284);
	char *text = ek_public_to_base64(&srk);
	assert_int_equal(strncmp(text, "ARoAAQALAAMEcgAAAAYAgABDABAIAAAAAAABA", 37), 0);
	free(text);
	for (size_t i = 1; i <= 256; i++) {
		assert_int_equal(ek.data[ek.size - i], 0);
		assert_int_equal(srk.data[srk.size - i], 0);
	}
}

static void takes_an_srk_of_the_template_only(void **state)
{
	(void)state;
	struct muster_error err;
	struct ek_public srk;
	TPMT_PUBLIC area;
	assert_true(ek_template_srk(&srk, &err));
	assert_true(ek_public_unpack(&srk, &area, &err));
	area.unique.rsa = sample_area().unique.rsa;
	assert_true(ek_public_pack(&area, &srk, &err));
	assert_true(ek_check_srk(&srk, &err));
	assert_false(ek_check_dps(&srk, &err));
	TPMT_PUBLIC other = area;
	other.objectAttributes &= ~TPMA_OBJECT_NODA;
	assert_true(ek_public_pack(&other, &srk, &err));
	assert_false(ek_check_srk(&srk, &err));
	other = area;
	other.authPolicy.size = 32;
	assert_true(ek_public_pack(&other, &srk, &err));
	assert_false(ek_check_srk(&srk, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_and_writes_the_sample),
		cmocka_unit_test(refuses_damaged_base64),
		cmocka_unit_test(refuses_every_cut_and_anything_behind),
		cmocka_unit_test(refuses_a_size_that_is_not_true),
		cmocka_unit_test(names_by_the_digest_of_the_area),
		cmocka_unit_test(gives_the_rsa_key),
		cmocka_unit_test(takes_the_sample),
		cmocka_unit_test(refuses_every_other_key_with_its_reason),
		cmocka_unit_test(explains_why_an_elliptic_key_does_not_do),
		cmocka_unit_test(describes_in_words),
		cmocka_unit_test(templates_are_those_of_the_tcg_and_of_azure),
		cmocka_unit_test(takes_an_srk_of_the_template_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
