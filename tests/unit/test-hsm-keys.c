/* Keys on a real soft token through the real worker program: made, found, used, destroyed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "../lib/hsm-bench.h"
#include "muster/encoding.h"
#include "muster/signer.h"

/* -- Asking ------------------------------------------------------------------------------------------------------ */

/* A key ID that no other test uses. */
static void id_of(uint8_t id[16], const char *name)
{
	memset(id, 0, 16);
	memcpy(id, name, strlen(name));
}

static bool generate(const char *name, const char *type, struct worker_message *reply)
{
	struct worker_message request = { 0 };
	uint8_t id[16];

	id_of(id, name);
	worker_request_init(&request, WORKER_HSM_KEY_GENERATE);
	worker_add_bytes(&request, FIELD_KEY_ID, id, sizeof(id));
	worker_add_text(&request, FIELD_LABEL, name);
	worker_add_text(&request, FIELD_KEY_TYPE, type);
	return ask(&request, reply);
}

static bool find(const char *name, struct worker_message *reply)
{
	struct worker_message request = { 0 };
	uint8_t id[16];

	id_of(id, name);
	worker_request_init(&request, WORKER_HSM_KEY_FIND);
	worker_add_bytes(&request, FIELD_KEY_ID, id, sizeof(id));
	return ask(&request, reply);
}

static bool find_uri(const char *uri, struct worker_message *reply)
{
	struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_KEY_FIND);
	worker_add_text(&request, FIELD_KEY_URI, uri);
	return ask(&request, reply);
}

static bool destroy(const char *name, struct worker_message *reply)
{
	struct worker_message request = { 0 };
	uint8_t id[16];

	id_of(id, name);
	worker_request_init(&request, WORKER_HSM_KEY_DESTROY);
	worker_add_bytes(&request, FIELD_KEY_ID, id, sizeof(id));
	return ask(&request, reply);
}

static bool sign(const char *name, enum signer_scheme scheme, enum signer_hash hash,
		 const uint8_t *digest, size_t size, struct worker_message *reply)
{
	struct worker_message request = { 0 };
	uint8_t id[16];

	id_of(id, name);
	worker_request_init(&request, WORKER_HSM_SIGN);
	worker_add_bytes(&request, FIELD_KEY_ID, id, sizeof(id));
	worker_add_u64(&request, FIELD_SCHEME, scheme);
	worker_add_u64(&request, FIELD_HASH, hash);
	worker_add_bytes(&request, FIELD_DIGEST, digest, size);
	return ask(&request, reply);
}

static EVP_PKEY *public_key_of(const struct worker_message *reply)
{
	const struct bytes *spki = worker_bytes(reply, FIELD_PUBLIC);
	const unsigned char *at = spki->data;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki->size);

	assert_non_null(key);
	assert_ptr_equal(at, spki->data + spki->size);
	return key;
}

/* -- Keys ------------------------------------------------------------------------------------------------------ */

static void verify(EVP_PKEY *key, int padding, const EVP_MD *hash, const uint8_t *digest,
		   size_t size, const struct bytes *signature)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);

	assert_int_equal(EVP_PKEY_verify_init(context), 1);
	if (padding)
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(context, padding), 1);
	assert_int_equal(EVP_PKEY_CTX_set_signature_md(context, hash), 1);
	if (padding == RSA_PKCS1_PSS_PADDING)
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, (int)size), 1);
	assert_int_equal(EVP_PKEY_verify(context, signature->data, signature->size, digest, size),
			 1);
	EVP_PKEY_CTX_free(context);
}

static void a_curve_key_lives_its_whole_life(void **state)
{
	CLEANUP(worker_message_done)
	struct worker_message made = { 0 }, found = { 0 }, by_uri = { 0 }, signed_ = { 0 },
			      gone = { 0 };
	uint8_t digest[32];
	EVP_PKEY *key;

	(void)state;
	open_and_login();
	must(generate("life", "ec-p256", &made));
	assert_string_equal(worker_text(&made, FIELD_ATTRIBUTES),
			    "token=true private=true local=true sensitive=true "
			    "always-sensitive=true extractable=false never-extractable=true "
			    "sign=true sign-recover=true verify=unknown encrypt=unknown "
			    "decrypt=false wrap=unknown unwrap=false derive=false "
			    "always-authenticate=false modifiable=true");
	must(find("life", &found));
	assert_int_equal(worker_u64(&found, FIELD_FOUND), 1);
	assert_string_equal(worker_text(&found, FIELD_KEY_TYPE), "ec-p256");
	assert_true(
		bytes_equal(worker_bytes(&found, FIELD_PUBLIC), worker_bytes(&made, FIELD_PUBLIC)));
	must(find_uri("pkcs11:token=lone;object=life;type=private", &by_uri));
	assert_true(bytes_equal(worker_bytes(&by_uri, FIELD_KEY_ID),
				worker_bytes(&found, FIELD_KEY_ID)));
	sha256(digest, "text", 4);
	must(sign("life", SIGNER_ECDSA, SIGNER_SHA256, digest, sizeof(digest), &signed_));
	key = public_key_of(&made);
	verify(key, 0, EVP_sha256(), digest, sizeof(digest),
	       worker_bytes(&signed_, FIELD_SIGNATURE));
	EVP_PKEY_free(key);
	must(destroy("life", &gone));
	assert_int_equal(worker_u64(&gone, FIELD_FOUND), 1);
	worker_message_done(&gone);
	must(destroy("life", &gone));
	assert_int_equal(worker_u64(&gone, FIELD_FOUND), 0);
	worker_message_done(&found);
	must(find("life", &found));
	assert_int_equal(worker_u64(&found, FIELD_FOUND), 0);
	worker_message_done(&signed_);
	must_fail(sign("life", SIGNER_ECDSA, SIGNER_SHA256, digest, sizeof(digest), &signed_),
		  CAUSE_KEY_NOT_FOUND);
}

static void every_key_type_signs(void **state)
{
	static const struct {
		const char *type;
		enum signer_scheme scheme;
		enum signer_hash hash;
		size_t size;
		int padding;
	} cases[] = {
		{ "ec-p384", SIGNER_ECDSA, SIGNER_SHA384, 48, 0 },
		{ "ec-p521", SIGNER_ECDSA, SIGNER_SHA512, 64, 0 },
		{ "rsa-2048", SIGNER_RSA_PKCS1, SIGNER_SHA256, 32, RSA_PKCS1_PADDING },
		{ "rsa-2048", SIGNER_RSA_PSS, SIGNER_SHA256, 32, RSA_PKCS1_PSS_PADDING },
	};
	uint8_t digest[64];

	(void)state;
	memset(digest, 0x5a, sizeof(digest));
	open_and_login();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(worker_message_done)
		struct worker_message made = { 0 }, signed_ = { 0 }, gone = { 0 };
		const EVP_MD *hash = cases[i].size == 32   ? EVP_sha256()
				     : cases[i].size == 48 ? EVP_sha384()
							   : EVP_sha512();
		EVP_PKEY *key;

		must(generate("kind", cases[i].type, &made));
		must(sign("kind", cases[i].scheme, cases[i].hash, digest, cases[i].size, &signed_));
		key = public_key_of(&made);
		verify(key, cases[i].padding, hash, digest, cases[i].size,
		       worker_bytes(&signed_, FIELD_SIGNATURE));
		EVP_PKEY_free(key);
		must(destroy("kind", &gone));
	}
}

static void an_edwards_key_signs_messages(void **state)
{
	CLEANUP(worker_message_done)
	struct worker_message made = { 0 }, signed_ = { 0 }, found = { 0 }, gone = { 0 };
	static const uint8_t message[] = "the whole message, which is longer than a digest";
	const struct bytes *signature;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY *key;

	(void)state;
	open_and_login();
	must(generate("edwards", "ed25519", &made));
	must(find("edwards", &found));
	assert_string_equal(worker_text(&found, FIELD_KEY_TYPE), "ed25519");
	must(sign("edwards", SIGNER_ED25519, SIGNER_HASH_NONE, message, sizeof(message), &signed_));
	signature = worker_bytes(&signed_, FIELD_SIGNATURE);
	key = public_key_of(&made);
	assert_int_equal(EVP_DigestVerifyInit(context, NULL, NULL, NULL, key), 1);
	assert_int_equal(EVP_DigestVerify(context, signature->data, signature->size, message,
					  sizeof(message)),
			 1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	worker_message_done(&signed_);
	must_fail(sign("edwards", SIGNER_ED25519, SIGNER_SHA256, message, 32, &signed_),
		  CAUSE_HSM_UNSUPPORTED);
	must(destroy("edwards", &gone));
}

static void an_id_is_used_once(void **state)
{
	CLEANUP(worker_message_done)
	struct worker_message made = { 0 }, again = { 0 }, found = { 0 }, gone = { 0 };

	(void)state;
	open_and_login();
	must(generate("once", "ec-p256", &made));
	must_fail(generate("once", "ec-p256", &again), CAUSE_KEY_EXISTS);
	must(find("once", &found));
	assert_true(
		bytes_equal(worker_bytes(&found, FIELD_PUBLIC), worker_bytes(&made, FIELD_PUBLIC)));
	must(destroy("once", &gone));
	worker_message_done(&again);
	must(generate("once", "ec-p256", &again));
	assert_false(
		bytes_equal(worker_bytes(&again, FIELD_PUBLIC), worker_bytes(&made, FIELD_PUBLIC)));
	worker_message_done(&gone);
	must(destroy("once", &gone));
}

/* Modules and libraries remember objects that are gone: the second key of an ID has to sign with itself. */
static void a_key_made_again_signs_with_itself(void **state)
{
	uint8_t digest[32] = { 7 };

	(void)state;
	open_and_login();
	for (int i = 0; i < 3; i++) {
		CLEANUP(worker_message_done)
		struct worker_message made = { 0 }, signed_ = { 0 }, gone = { 0 };
		EVP_PKEY *key;

		must(generate("again", "ec-p256", &made));
		must(sign("again", SIGNER_ECDSA, SIGNER_SHA256, digest, sizeof(digest), &signed_));
		key = public_key_of(&made);
		verify(key, 0, EVP_sha256(), digest, sizeof(digest),
		       worker_bytes(&signed_, FIELD_SIGNATURE));
		EVP_PKEY_free(key);
		must(destroy("again", &gone));
	}
}

static void a_token_opened_again_signs_with_the_same_key(void **state)
{
	CLEANUP(worker_message_done) struct worker_message gone = { 0 };
	uint8_t digest[32] = { 9 };

	(void)state;
	open_and_login();
	for (int i = 0; i < 3; i++) {
		CLEANUP(worker_message_done) struct worker_message made = { 0 }, signed_ = { 0 };

		if (i == 0)
			must(generate("reopen", "ec-p256", &made));
		must(sign("reopen", SIGNER_ECDSA, SIGNER_SHA256, digest, sizeof(digest), &signed_));
		open_and_login();
	}
	must(destroy("reopen", &gone));
}

static void refuses_what_a_key_cannot_sign(void **state)
{
	CLEANUP(worker_message_done)
	struct worker_message made = { 0 }, signed_ = { 0 }, gone = { 0 }, other = { 0 };
	uint8_t digest[64] = { 0 };

	(void)state;
	open_and_login();
	must(generate("scheme", "ec-p256", &made));
	must_fail(sign("scheme", SIGNER_RSA_PSS, SIGNER_SHA256, digest, 32, &signed_),
		  CAUSE_HSM_UNSUPPORTED);
	must_fail(sign("scheme", SIGNER_ECDSA, SIGNER_SHA256, digest, 31, &signed_),
		  CAUSE_HSM_UNSUPPORTED);
	must_fail(sign("scheme", (enum signer_scheme)99, SIGNER_SHA256, digest, 32, &signed_),
		  CAUSE_HSM_UNSUPPORTED);
	must_fail(generate("scheme2", "ec-p255", &other), CAUSE_HSM_UNSUPPORTED);
	must(destroy("scheme", &gone));
}

/* Both have an ID of 16 bytes and a label of 3. */
static void assert_is_named(const struct bytes *names, const char *name)
{
	uint8_t wanted[2 + 16 + 3] = { 16, 3 };

	id_of(wanted + 2, name);
	memcpy(wanted + 18, name, 3);
	assert_int_equal(names->size, 2 * sizeof(wanted));
	assert_true(memcmp(names->data, wanted, sizeof(wanted)) == 0 ||
		    memcmp(names->data + sizeof(wanted), wanted, sizeof(wanted)) == 0);
}

static void a_uri_finds_one_key_or_says_several(void **state)
{
	CLEANUP(worker_message_done)
	struct worker_message a = { 0 }, b = { 0 }, found = { 0 }, keys = { 0 }, gone = { 0 };
	struct worker_message request = { 0 };

	(void)state;
	open_and_login();
	must(generate("one", "ec-p256", &a));
	must(generate("two", "ec-p256", &b));
	must_fail(find_uri("pkcs11:token=lone;type=private", &found), CAUSE_KEY_AMBIGUOUS);
	must(find_uri("pkcs11:object=three", &found));
	assert_int_equal(worker_u64(&found, FIELD_FOUND), 0);
	worker_message_done(&found);
	must(find_uri("pkcs11:object=one;token=twin", &found));
	assert_int_equal(worker_u64(&found, FIELD_FOUND), 0);
	worker_message_done(&found);
	must(find_uri("pkcs11:object=one;type=cert", &found));
	assert_int_equal(worker_u64(&found, FIELD_FOUND), 0);
	worker_message_done(&found);
	must(find_uri("pkcs11:object=one;id=one%00%00%00%00%00%00%00%00%00%00%00%00%00", &found));
	assert_int_equal(worker_u64(&found, FIELD_FOUND), 1);
	worker_request_init(&request, WORKER_HSM_KEYS);
	must(ask(&request, &keys));
	assert_int_equal(worker_u64(&keys, FIELD_COUNT), 2);
	assert_int_equal(keys.count, 3);
	worker_message_done(&keys);
	worker_request_init(&request, WORKER_HSM_KEYS);
	worker_add_text(&request, FIELD_LABEL, "one");
	must(ask(&request, &keys));
	assert_int_equal(worker_u64(&keys, FIELD_COUNT), 1);
	assert_memory_equal(worker_bytes(&keys, FIELD_KEY_ID)->data, "one", 3);
	worker_message_done(&keys);
	worker_request_init(&request, WORKER_HSM_KEY_NAMES);
	worker_add_u64(&request, FIELD_INDEX, 0);
	must(ask(&request, &keys));
	assert_int_equal(worker_u64(&keys, FIELD_COUNT), 2);
	assert_int_equal(worker_u64(&keys, FIELD_INDEX), 2);
	assert_is_named(worker_bytes(&keys, FIELD_KEY_NAMES), "one");
	assert_is_named(worker_bytes(&keys, FIELD_KEY_NAMES), "two");
	worker_message_done(&keys);
	worker_request_init(&request, WORKER_HSM_KEY_NAMES);
	worker_add_u64(&request, FIELD_INDEX, 3);
	must_fail(ask(&request, &keys), CAUSE_WORKER_PROTOCOL);
	must(destroy("one", &gone));
	worker_message_done(&gone);
	must(destroy("two", &gone));
}

/* -- Certificates ---------------------------------------------------------------------------------------------- */

/* A certificate of the key in `made`, signed by a throw-away key: the token does not look at signatures. */
static struct bytes certificate_of(const struct worker_message *made, int serial)
{
	EVP_PKEY *issuer = EVP_EC_gen("P-256");
	EVP_PKEY *key = public_key_of(made);
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	struct bytes der = { 0 };
	int size;

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"dev", -1, -1,
				   0);
	X509_set_issuer_name(certificate, name);
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, issuer, EVP_sha256()) > 0);
	size = i2d_X509(certificate, &der.data);
	assert_true(size > 0);
	der.size = (size_t)size;
	X509_free(certificate);
	EVP_PKEY_free(key);
	EVP_PKEY_free(issuer);
	return der;
}

static bool store(const char *name, const struct bytes *der)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct worker_message request = { 0 };
	uint8_t id[16];

	id_of(id, name);
	worker_request_init(&request, WORKER_HSM_CERTIFICATE_STORE);
	worker_add_bytes(&request, FIELD_KEY_ID, id, sizeof(id));
	worker_add_text(&request, FIELD_LABEL, name);
	worker_add_bytes(&request, FIELD_CERTIFICATE, der->data, der->size);
	return ask(&request, &reply);
}

static void a_certificate_lies_beside_its_key(void **state)
{
	CLEANUP(worker_message_done)
	struct worker_message made = { 0 }, other = { 0 }, gone = { 0 };
	CLEANUP(bytes_done) struct bytes first = { 0 }, second = { 0 }, foreign = { 0 };
	struct bytes cut;

	(void)state;
	open_and_login();
	must(generate("cert", "ec-p256", &made));
	must(generate("other", "ec-p256", &other));
	first = certificate_of(&made, 1);
	second = certificate_of(&made, 2);
	foreign = certificate_of(&other, 3);
	cut = (struct bytes){ first.data, first.size - 1 };
	must_fail(store("cert", &cut), CAUSE_CERTIFICATE_INVALID);
	must_fail(store("cert", &foreign), CAUSE_CERTIFICATE_INVALID);
	must_fail(store("nokey", &first), CAUSE_KEY_NOT_FOUND);
	must(store("cert", &first));
	must(store("cert", &first));
	must_fail(store("cert", &second), CAUSE_KEY_EXISTS);
	must(destroy("cert", &gone));
	worker_message_done(&gone);
	worker_message_done(&made);
	must(generate("cert", "ec-p256", &made)); /* so the certificate went too */
	must(destroy("cert", &gone));
	worker_message_done(&gone);
	must(destroy("other", &gone));
}

static bool sweep(const char *name, const uint8_t *digests, size_t size)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct worker_message request = { 0 };
	uint8_t id[16];

	id_of(id, name);
	worker_request_init(&request, WORKER_HSM_KEY_DESTROY);
	worker_add_bytes(&request, FIELD_KEY_ID, id, sizeof(id));
	worker_add_u64(&request, FIELD_UNFINISHED, 1);
	if (size > 0)
		worker_add_bytes(&request, FIELD_DIGEST, digests, size);
	return ask(&request, &reply);
}

static void what_has_an_unknown_certificate_is_not_unfinished(void **state)
{
	CLEANUP(worker_message_done) struct worker_message made = { 0 }, found = { 0 };
	CLEANUP(bytes_done) struct bytes certificate = { 0 };
	uint8_t digests[2 * SHA256_SIZE] = { 0 };

	(void)state;
	open_and_login();
	must(generate("begun", "ec-p256", &made));
	certificate = certificate_of(&made, 1);
	must(store("begun", &certificate));
	must_fail(sweep("begun", NULL, 0), CAUSE_JOURNAL_BEHIND);
	must_fail(sweep("begun", digests, sizeof(digests)), CAUSE_JOURNAL_BEHIND);
	must(find("begun", &found));
	assert_int_equal(worker_u64(&found, FIELD_FOUND), 1);
	must(store("begun", &certificate)); /* it is there yet */
	sha256(digests + SHA256_SIZE, certificate.data, certificate.size);
	must(sweep("begun", digests, sizeof(digests)));
	worker_message_done(&made);
	must(generate("begun", "ec-p256", &made)); /* so the certificate went too */
	must(sweep("begun", NULL, 0));
}

/* -- Master keys ------------------------------------------------------------------------------------------------ */

static bool make_master(const char *name, unsigned bits, struct worker_message *reply)
{
	struct worker_message request = { 0 };
	uint8_t id[16];

	id_of(id, name);
	worker_request_init(&request, WORKER_HSM_MASTER_GENERATE);
	worker_add_bytes(&request, FIELD_KEY_ID, id, sizeof(id));
	worker_add_text(&request, FIELD_LABEL, name);
	worker_add_u64(&request, FIELD_BITS, bits);
	return ask(&request, reply);
}

static bool hmac(const char *uri, const char *data, struct worker_message *reply)
{
	struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_HMAC);
	worker_add_text(&request, FIELD_KEY_URI, uri);
	worker_add_bytes(&request, FIELD_DATA, data, strlen(data));
	return ask(&request, reply);
}

static void a_master_key_computes_inside(void **state)
{
	CLEANUP(worker_message_done)
	struct worker_message made = { 0 }, first = { 0 }, second = { 0 }, again = { 0 };

	(void)state;
	open_and_login();
	must_fail(make_master("master", 128, &made), CAUSE_WORKER_PROTOCOL);
	must(make_master("master", 512, &made));
	assert_non_null(strstr(worker_text(&made, FIELD_ATTRIBUTES), "extractable=false"));
	assert_non_null(strstr(worker_text(&made, FIELD_ATTRIBUTES), "local=true"));
	must_fail(make_master("master", 256, &again), CAUSE_KEY_EXISTS);
	must(hmac("pkcs11:object=master", "device-1", &first));
	worker_message_done(&again);
	must(hmac("pkcs11:object=master;type=secret-key", "device-1", &again));
	must(hmac("pkcs11:object=master", "device-2", &second));
	assert_int_equal(worker_bytes(&first, FIELD_MAC)->size, 32);
	assert_true(bytes_equal(worker_bytes(&first, FIELD_MAC), worker_bytes(&again, FIELD_MAC)));
	assert_false(
		bytes_equal(worker_bytes(&first, FIELD_MAC), worker_bytes(&second, FIELD_MAC)));
	worker_message_done(&second);
	must_fail(hmac("pkcs11:object=nobody", "x", &second), CAUSE_KEY_NOT_FOUND);
}

/* A master key that came from outside: same value as in software, and the attributes say where it came from. */
static void an_imported_master_key_computes_as_software_does(void **state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 }, several = { 0 };
	static const char key[] = "0123456789abcdef0123456789abcdef";
	uint8_t expected[32];

	(void)state;
	import_secret("imported", key);
	open_and_login();
	must(hmac("pkcs11:object=imported", "device-1", &reply));
	must(hmac_sha256(key, strlen(key), "device-1", 8, expected, &error));
	assert_memory_equal(worker_bytes(&reply, FIELD_MAC)->data, expected, 32);
	assert_non_null(strstr(worker_text(&reply, FIELD_ATTRIBUTES), "local=false"));
	assert_non_null(strstr(worker_text(&reply, FIELD_ATTRIBUTES), "never-extractable=false"));
	stop_worker(NULL);
	import_secret("imported", key);
	assert_int_equal(start_worker(NULL), 0);
	open_and_login();
	must_fail(hmac("pkcs11:object=imported", "device-1", &several), CAUSE_KEY_AMBIGUOUS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORKER(a_curve_key_lives_its_whole_life),
		WITH_WORKER(every_key_type_signs),
		WITH_WORKER(an_edwards_key_signs_messages),
		WITH_WORKER(an_id_is_used_once),
		WITH_WORKER(a_key_made_again_signs_with_itself),
		WITH_WORKER(a_token_opened_again_signs_with_the_same_key),
		WITH_WORKER(refuses_what_a_key_cannot_sign),
		WITH_WORKER(a_uri_finds_one_key_or_says_several),
		WITH_WORKER(a_certificate_lies_beside_its_key),
		WITH_WORKER(what_has_an_unknown_certificate_is_not_unfinished),
		WITH_WORKER(a_master_key_computes_inside),
		WITH_WORKER(an_imported_master_key_computes_as_software_does),
	};

	return cmocka_run_group_tests(tests, make_tokens, remove_tokens);
}
