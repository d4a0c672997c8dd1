/* What a token can do, tried with objects of the session alone: nothing is left behind, whatever happens. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "muster/encoding.h"
#include "muster/spki.h"

#include "hsm-internal.h"

#define LABEL "muster check"

enum { THROWN_ID_SIZE = 16, WRAPPED_MAX = 16384 };

/* A key of the session on its way; it goes when we are done. */
struct thrown_away {
	struct hsm *hsm;
	struct hsm_id id;
	struct hsm_key key;
};

static void throw_away(struct thrown_away *thrown)
{
	struct muster_error ignored;
	bool found;

	hsm_key_done(&thrown->key);
	if (thrown->id.size > 0 && !hsm_key_destroy(thrown->hsm, &thrown->id, &found, &ignored))
		return; /* it ends with the session */
}

static bool new_id(struct hsm *hsm, struct thrown_away *thrown, struct muster_error *err)
{
	if (!hsm_require_login(hsm, err) || !random_bytes(thrown->id.data, THROWN_ID_SIZE, err))
		return false;
	thrown->hsm = hsm;
	thrown->id.size = THROWN_ID_SIZE;
	return true;
}

struct watch {
	struct timespec started;
	struct hsm_trial *trial;
	uint64_t limit_ns;
};

static void begin(struct watch *watch)
{
	clock_gettime(CLOCK_MONOTONIC, &watch->started);
}

/* Adds what was done since; whether there is time for more. */
static bool has_time_after(struct watch *watch, uint64_t count)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	watch->trial->count += count;
	watch->trial->nanoseconds +=
		(uint64_t)((now.tv_sec - watch->started.tv_sec) * 1000000000LL + now.tv_nsec -
			   watch->started.tv_nsec);
	return watch->trial->nanoseconds < watch->limit_ns;
}

/* A TPM has keys that stay only; those of a trial are destroyed at once. It also has room for few, and its module lets go of
 * none before it ends: one a trial has to do. */
static unsigned traits_of_trial(const struct hsm *hsm)
{
	return hsm->is_of_a_tpm ? 0 : HSM_SESSION;
}

/* -- Keys and signatures ------------------------------------------------------------------------------------------------ */

static bool make_key(struct hsm *hsm, const char *type, unsigned traits, struct thrown_away *thrown,
		     struct muster_error *err)
{
	return new_id(hsm, thrown, err) &&
	       hsm_key_generate(hsm, &thrown->id, LABEL, type, traits, &thrown->key, err);
}

static bool try_key(struct hsm *hsm, const char *type, struct watch *watch,
		    struct muster_error *err)
{
	bool more = true;

	while (more) {
		CLEANUP(throw_away) struct thrown_away thrown = { 0 };

		begin(watch);
		if (!make_key(hsm, type, traits_of_trial(hsm), &thrown, err))
			return false;
		more = has_time_after(watch, 1) && !hsm->is_of_a_tpm;
		snprintf(watch->trial->attributes, sizeof(watch->trial->attributes), "%s",
			 thrown.key.attributes);
	}
	return true;
}

/* The schemes that requests, certificates and TLS want of a key. */
static const struct {
	const char *type; /* how it begins */
	enum signer_scheme scheme;
	enum signer_hash hash;
} schemes[] = {
	{ "rsa-", SIGNER_RSA_PSS, SIGNER_SHA256 },
	{ "rsa-", SIGNER_RSA_PKCS1, SIGNER_SHA256 },
	{ "ec-", SIGNER_ECDSA, SIGNER_SHA256 },
	{ "ed25519", SIGNER_ED25519, SIGNER_HASH_NONE },
};

static bool try_scheme(struct hsm *hsm, const struct hsm_id *id, size_t row, struct watch *watch,
		       struct muster_error *err)
{
	uint8_t digest[32], signature[SIGNER_SIGNATURE_MAX];
	const struct bytes data = { digest, sizeof(digest) };
	bool more = true;
	size_t size;

	*watch->trial = (struct hsm_trial){ 0 };
	while (more) {
		if (!random_bytes(digest, sizeof(digest), err))
			return false;
		begin(watch);
		if (!hsm_sign(hsm, id, schemes[row].scheme, schemes[row].hash, &data, signature,
			      &size, err))
			return false;
		more = has_time_after(watch, 1);
	}
	return true;
}

static bool try_sign(struct hsm *hsm, const char *type, struct watch *watch,
		     struct muster_error *err)
{
	CLEANUP(throw_away) struct thrown_away thrown = { 0 };

	if (!make_key(hsm, type, traits_of_trial(hsm), &thrown, err))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (text_has_prefix(type, schemes[i].type) &&
		    !try_scheme(hsm, &thrown.id, i, watch, err))
			return false;
	return true;
}

/* -- Deriving ------------------------------------------------------------------------------------------------------------ */

static void uri_of(const struct hsm_id *id, char out[256])
{
	size_t length = (size_t)snprintf(out, 256, "pkcs11:type=secret-key;id=");

	for (size_t i = 0; i < id->size; i++)
		length += (size_t)snprintf(out + length, 256 - length, "%%%02X", id->data[i]);
}

static bool derive_all(struct hsm *hsm, const char *uri, struct watch *watch,
		       struct muster_error *err)
{
	CLEANUP(secret_done) struct secret macs = { 0 };
	CLEANUP(text_done) struct text ids = TEXT_MAX(32 * WORKER_IDS_MAX);
	bool more = true;
	size_t count;

	for (size_t i = 0; i < WORKER_IDS_MAX; i++)
		text_addf(&ids, "muster-check-%zu\n", i);
	if (!text_ok(&ids, err) || !secret_new(&macs, WORKER_IDS_MAX * 32, err))
		return false;
	while (more) {
		const struct bytes lines = { (uint8_t *)ids.data, ids.length };

		begin(watch);
		if (!hsm_derive(hsm, uri, &lines, macs.data, &count, watch->trial->attributes, err))
			return false;
		more = has_time_after(watch, count);
	}
	return true;
}

/* The same HMAC as everybody's? Where the token takes no secret of ours, its own word has to do. */
static bool check_hmac(struct hsm *hsm, struct muster_error *err)
{
	static const struct bytes line = { (uint8_t *)(uintptr_t) "muster-check\n", 13 };
	CLEANUP(throw_away) struct thrown_away thrown = { 0 };
	CLEANUP(secret_done) struct secret value = { 0 };
	char attributes[HSM_ATTRIBUTES_SIZE], uri[256];
	uint8_t macs[WORKER_IDS_MAX * 32], expected[32];
	struct muster_error refused;
	size_t count;

	if (!secret_new(&value, 32, err) || !random_bytes(value.data, value.size, err) ||
	    !new_id(hsm, &thrown, err))
		return false;
	if (!hsm_master_import(hsm, &thrown.id, LABEL, &value, HSM_SESSION, attributes, &refused))
		return true;
	uri_of(&thrown.id, uri);
	return hsm_derive(hsm, uri, &line, macs, &count, attributes, err) &&
	       hmac_sha256(value.data, value.size, line.data, line.size - 1, expected, err) &&
	       (memcmp(macs, expected, sizeof(expected)) == 0 ||
		muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
			    "token '%s' computes another HMAC-SHA256 than OpenSSL",
			    HSM_LABEL(&hsm->token)));
}

static bool try_derive(struct hsm *hsm, const char *argument, struct watch *watch,
		       struct muster_error *err)
{
	CLEANUP(throw_away) struct thrown_away thrown = { 0 };
	char uri[256];

	(void)argument;
	if (!new_id(hsm, &thrown, err) ||
	    !hsm_master_generate(hsm, &thrown.id, LABEL, 256, HSM_SESSION, watch->trial->attributes,
				 err))
		return false;
	uri_of(&thrown.id, uri);
	return check_hmac(hsm, err) && derive_all(hsm, uri, watch, err);
}

/* -- Wrapping out ---------------------------------------------------------------------------------------------------------- */

/* What the device does with the file. */
static bool open_wrapped(EVP_PKEY *recipient, const uint8_t *wrapped, size_t size, bool is_sha256,
			 EVP_PKEY **ret_key)
{
	CLEANUP(EVP_PKEY_CTX_freep)
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(recipient, NULL);
	size_t first = (size_t)EVP_PKEY_get_size(recipient), aes_size, der_size;
	uint8_t aes[512], der[WRAPPED_MAX];
	const unsigned char *at = der;
	bool good =
		size > first && context && EVP_PKEY_decrypt_init(context) == 1 &&
		EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
		EVP_PKEY_CTX_set_rsa_oaep_md(context, is_sha256 ? EVP_sha256() : EVP_sha1()) == 1;

	aes_size = sizeof(aes);
	good = good && EVP_PKEY_decrypt(context, aes, &aes_size, wrapped, first) == 1 &&
	       aes_size == 32 &&
	       hsm_unwrap_in_software(aes, wrapped + first, size - first, der, &der_size);
	*ret_key = good ? d2i_AutoPrivateKey(NULL, &at, (long)der_size) : NULL;
	secret_wipe(aes, sizeof(aes));
	secret_wipe(der, sizeof(der));
	ERR_clear_error();
	return *ret_key != NULL;
}

static bool is_same(EVP_PKEY *opened, const struct bytes *spki)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *made = spki_read(spki);

	return made && EVP_PKEY_eq(opened, made) == 1;
}

static bool try_wrap(struct hsm *hsm, const char *type, struct watch *watch,
		     struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *recipient = EVP_RSA_gen(2048);
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *opened = NULL;
	CLEANUP(throw_away) struct thrown_away thrown = { 0 };
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	struct hsm_trial *trial = watch->trial;
	uint8_t wrapped[WRAPPED_MAX];
	CK_OBJECT_HANDLE key;
	bool more = true;
	size_t size;

	if (!recipient)
		return muster_fail_memory(err);
	if (!hsm_spki_of(recipient, &spki, err) ||
	    !make_key(hsm, type, traits_of_trial(hsm) | HSM_LEAVES, &thrown, err) ||
	    !hsm_private_key(hsm, &thrown.id, &key, err))
		return false;
	snprintf(trial->attributes, sizeof(trial->attributes), "%s", thrown.key.attributes);
	while (more) {
		begin(watch);
		if (!hsm_wrap_object(hsm, key, &spki, wrapped, sizeof(wrapped), &size,
				     trial->method, err))
			return false;
		more = has_time_after(watch, 1);
	}
	return (open_wrapped(recipient, wrapped, size, strstr(trial->method, "SHA-256") != NULL,
			     &opened) &&
		is_same(opened, &thrown.key.spki)) ||
	       muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
			   "what token '%s' wrapped opens to another key than it made",
			   HSM_LABEL(&hsm->token));
}

/* -- What may not leave ------------------------------------------------------------------------------------------------------ */

static bool make_secret(struct hsm *hsm, struct thrown_away *thrown, CK_OBJECT_HANDLE *ret_key,
			char attributes[HSM_ATTRIBUTES_SIZE], struct muster_error *err)
{
	size_t count;

	return new_id(hsm, thrown, err) &&
	       hsm_master_generate(hsm, &thrown->id, LABEL, 256, HSM_SESSION, attributes, err) &&
	       hsm_objects_of_id(hsm, CKO_SECRET_KEY, &thrown->id, ret_key, 1, &count, err) &&
	       (count == 1 ||
		muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
			    "token '%s' does not find what it just made", HSM_LABEL(&hsm->token)));
}

static bool try_keep(struct hsm *hsm, const char *argument, struct watch *watch,
		     struct muster_error *err)
{
	CLEANUP(throw_away) struct thrown_away thrown = { 0 };
	CK_OBJECT_HANDLE key;
	bool kept;

	(void)argument;
	if (!hsm_has_way_out(hsm))
		return true;
	begin(watch);
	if (!make_secret(hsm, &thrown, &key, watch->trial->attributes, err) ||
	    !hsm_keeps(hsm, key, &kept, err))
		return false;
	has_time_after(watch, 1);
	return kept || muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "token '%s' wraps a key out that it says is not extractable",
				   HSM_LABEL(&hsm->token));
}

/* -- The table --------------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	bool (*run)(struct hsm *hsm, const char *argument, struct watch *watch,
		    struct muster_error *err);
} trials[] = {
	{ "key", try_key },   { "sign", try_sign }, { "derive", try_derive },
	{ "wrap", try_wrap }, { "keep", try_keep },
};

bool hsm_trial_run(struct hsm *hsm, const char *what, uint64_t milliseconds,
		   struct hsm_trial *ret_trial, struct muster_error *err)
{
	size_t length = strcspn(what, " ");
	const char *argument = what[length] ? what + length + 1 : "";
	struct watch watch = { .trial = ret_trial, .limit_ns = milliseconds * 1000000 };

	*ret_trial = (struct hsm_trial){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(trials); i++)
		if (strlen(trials[i].name) == length && strncmp(trials[i].name, what, length) == 0)
			return trials[i].run(hsm, argument, &watch, err);
	return muster_fail(err, CAUSE_WORKER_PROTOCOL, "'%s' is no trial", PRINTABLE(what));
}
