#include "tpm-bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

bool ask(struct bench *bench, struct worker_message *request)
{
	worker_message_done(&bench->reply);
	bool good = worker_call(bench->worker, request, &bench->reply, &bench->err);
	worker_message_done(request);
	return good;
}

void expect(struct bench *bench, bool good)
{
	if (!good)
		fail_msg("E%u %s", bench->err.cause, bench->err.message);
}

void expect_cause(struct bench *bench, bool good, enum muster_cause cause)
{
	if (good)
		fail_msg("succeeded instead of E%u", cause);
	if (bench->err.cause != cause)
		fail_msg("E%u %s instead of E%u", bench->err.cause, bench->err.message, cause);
}

bool ask_open(struct bench *bench, const char *tcti)
{
	struct worker_message request;
	worker_request_init(&request, WORKER_TPM_OPEN);
	worker_add_text(&request, FIELD_TCTI, tcti);
	return ask(bench, &request);
}

bool ask_plain(struct bench *bench, enum worker_verb verb)
{
	struct worker_message request;
	worker_request_init(&request, verb);
	return ask(bench, &request);
}

bool ask_handle(struct bench *bench, enum worker_verb verb, uint32_t handle)
{
	struct worker_message request;
	worker_request_init(&request, verb);
	worker_add_u64(&request, FIELD_HANDLE, handle);
	return ask(bench, &request);
}

bool ask_ek_create(struct bench *bench, uint32_t handle)
{
	struct worker_message request;
	struct ek_public template;
	expect(bench, ek_template_ek(&template, &bench->err));
	worker_request_init(&request, WORKER_TPM_EK_CREATE);
	worker_add_u64(&request, FIELD_HANDLE, handle);
	worker_add_bytes(&request, FIELD_TEMPLATE, template.data, template.size);
	return ask(bench, &request);
}

void fill_import(struct worker_message *request, const struct ek_challenge *challenge)
{
	worker_request_init(request, WORKER_TPM_KEY_IMPORT);
	worker_add_u64(request, FIELD_HANDLE, EK_HANDLE);
	worker_add_bytes(request, FIELD_ID_OBJECT, challenge->id_object.data,
			 challenge->id_object.size);
	worker_add_bytes(request, FIELD_CREDENTIAL_SECRET, challenge->credential_secret.data,
			 challenge->credential_secret.size);
	worker_add_bytes(request, FIELD_DUPLICATE, challenge->duplicate.data,
			 challenge->duplicate.size);
	worker_add_bytes(request, FIELD_DUPLICATE_SEED, challenge->duplicate_seed.data,
			 challenge->duplicate_seed.size);
	worker_add_bytes(request, FIELD_PUBLIC, challenge->key_public.data,
			 challenge->key_public.size);
}

bool ask_session(struct bench *bench, const struct ek_public *ek)
{
	struct worker_message request;
	worker_request_init(&request, WORKER_TPM_SESSION);
	worker_add_u64(&request, FIELD_HANDLE, EK_HANDLE);
	worker_add_bytes(&request, FIELD_PUBLIC, ek->data, ek->size);
	return ask(bench, &request);
}

bool ask_import(struct bench *bench, const struct ek_challenge *challenge)
{
	struct worker_message request;
	fill_import(&request, challenge);
	return ask(bench, &request);
}

bool ask_hmac(struct bench *bench, const void *data, size_t size)
{
	struct worker_message request;
	worker_request_init(&request, WORKER_TPM_HMAC);
	worker_add_bytes(&request, FIELD_DATA, data, size);
	return ask(bench, &request);
}

struct ek_public replied_public(struct bench *bench)
{
	struct ek_public public;
	const struct bytes *sized = worker_bytes(&bench->reply, FIELD_PUBLIC);
	assert_true(sized->size > 0);
	expect(bench, ek_public_parse(sized->data, sized->size, &public, &bench->err));
	return public;
}

struct ek_public read_ek(struct bench *bench)
{
	expect(bench, ask_handle(bench, WORKER_TPM_READ_PUBLIC, EK_HANDLE));
	assert_int_equal(worker_u64(&bench->reply, FIELD_FOUND), 1);
	return replied_public(bench);
}

struct ek_public read_srk(struct bench *bench)
{
	expect(bench, ask_plain(bench, WORKER_TPM_SRK));
	return replied_public(bench);
}

void expect_nothing_loaded(struct bench *bench)
{
	expect(bench, ask_plain(bench, WORKER_TPM_STATE));
	assert_int_equal(worker_u64(&bench->reply, FIELD_TRANSIENT_COUNT), 0);
	assert_int_equal(worker_u64(&bench->reply, FIELD_SESSION_COUNT), 0);
}

void start_worker(struct bench *bench)
{
	if (!worker_spawn("muster-tpm-worker", NULL, &bench->worker, &bench->err))
		fail_msg("%s", bench->err.message);
}

void end_worker(struct bench *bench)
{
	worker_message_done(&bench->reply);
	worker_free(bench->worker);
	bench->worker = NULL;
}

void make_challenge(struct bench *bench, const struct ek_public *ek, const struct ek_public *srk,
		    const struct secret *key, struct ek_challenge *challenge)
{
	struct bytes trailing = { (uint8_t[]){ 1, 2, 3 }, 3 };
	struct bytes blob = { 0 };
	ek_challenge_done(challenge);
	expect(bench, ek_challenge_make(ek, srk, key, &trailing, &blob, &bench->err));
	expect(bench, ek_challenge_split(blob.data, blob.size, challenge, &bench->err));
	bytes_done(&blob);
}

void expect_hmac(struct bench *bench, const struct secret *key, const char *text)
{
	uint8_t expected[SHA256_SIZE];
	expect(bench, ask_hmac(bench, text, strlen(text)));
	expect(bench, hmac_sha256(key->data, key->size, text, strlen(text), expected, &bench->err));
	const struct bytes *mac = worker_bytes(&bench->reply, FIELD_MAC);
	assert_int_equal(mac->size, sizeof(expected));
	assert_memory_equal(mac->data, expected, sizeof(expected));
}
