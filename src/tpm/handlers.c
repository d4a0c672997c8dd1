/* Requests of the station made into calls, results made into replies. */
#include "muster/tpm.h"

#include <endian.h>
#include <string.h>

#include "muster/ek-holdings.h"
#include "tpm-internal.h"

/* -- Patience ---------------------------------------------------------------------------------------------- */

enum deadline { NORMAL, LONG, KEYGEN };

static enum deadline deadline_of(enum worker_verb verb)
{
	switch (verb) {
#define VERB(number, name, worker, deadline, request, reply) \
	case WORKER_##name:                                  \
		return deadline;
#include "muster/worker-verbs.def"
	default:
		return NORMAL;
	}
}

static int64_t given_or(const struct worker_message *request, enum worker_field field,
			int64_t otherwise)
{
	uint64_t given = worker_u64(request, field);
	return given > 0 && given <= INT32_MAX ? (int64_t)given : otherwise;
}

/* How long the chip may ask for patience: less than the station's deadline, so that the answer is "busy". */
static void take_deadlines(const struct worker_message *request, int64_t patience_ms[KEYGEN + 1])
{
	patience_ms[NORMAL] = given_or(request, FIELD_NORMAL_MS, 5000) * 4 / 5;
	patience_ms[LONG] = given_or(request, FIELD_LONG_MS, 30000) * 4 / 5;
	patience_ms[KEYGEN] = given_or(request, FIELD_KEYGEN_MS, 120000) * 4 / 5;
}

static struct tpm *opened(void *context, const struct worker_message *request,
			  struct muster_error *err)
{
	struct tpm *tpm = *(struct tpm **)context;
	if (!tpm) {
		muster_fail(err, CAUSE_WORKER_PROTOCOL, "TPM_OPEN has to come first");
		return NULL;
	}
	tpm_set_patience(tpm, tpm->patiences_ms[deadline_of(request->verb)]);
	return tpm;
}

static uint32_t handle_of(const struct worker_message *request)
{
	uint64_t handle = worker_u64(request, FIELD_HANDLE);
	return handle <= UINT32_MAX ? (uint32_t)handle : 0;
}

static void add_public(struct worker_message *reply, const struct ek_public *public)
{
	worker_add_bytes(reply, FIELD_PUBLIC, public->data, public->size);
}

static void add_clock(struct worker_message *reply, const struct tpm_state *state)
{
	worker_add_u64(reply, FIELD_RESET_COUNT, state->reset_count);
	worker_add_u64(reply, FIELD_RESTART_COUNT, state->restart_count);
	worker_add_u64(reply, FIELD_CLOCK_MS, state->clock_ms);
}

static bool answer_open(void *context, const struct worker_message *request,
			struct worker_message *reply, struct muster_error *err)
{
	struct tpm **tpm = context;
	struct tpm_description description;
	int64_t patiences_ms[KEYGEN + 1];
	tpm_close(TAKE_PTR(*tpm));
	take_deadlines(request, patiences_ms);
	if (!tpm_open(worker_text(request, FIELD_TCTI), patiences_ms[NORMAL], tpm, err))
		return false;
	memcpy((*tpm)->patiences_ms, patiences_ms, sizeof(patiences_ms));
	if (!tpm_describe(*tpm, &description, err))
		return false;
	worker_add_text(reply, FIELD_MANUFACTURER, description.manufacturer);
	worker_add_text(reply, FIELD_FIRMWARE, description.firmware);
	worker_add_text(reply, FIELD_MODEL, description.model);
	worker_add_text(reply, FIELD_SANDBOX, (*tpm)->sandbox.words);
	return true;
}

static bool answer_sandbox(void *context, const struct worker_message *request,
			   struct worker_message *reply, struct muster_error *err)
{
	(void)context;
	const char *tcti = worker_text(request, FIELD_TCTI);
	struct sandbox sandbox;
	if (!tpm_tcti_check(tcti, err) || !sandbox_enter(tcti, &sandbox, err))
		return false;
	worker_add_text(reply, FIELD_SANDBOX, sandbox.words);
	return true;
}

static bool answer_state(void *context, const struct worker_message *request,
			 struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	struct tpm_state state;
	if (!tpm || !tpm_state_read(tpm, &state, err))
		return false;
	add_clock(reply, &state);
	worker_add_u64(reply, FIELD_TRANSIENT_COUNT, state.transient_count);
	worker_add_u64(reply, FIELD_SESSION_COUNT, state.session_count);
	for (size_t i = 0; i < state.persistent_count; i++)
		worker_add_u64(reply, FIELD_PERSISTENT, state.persistent[i]);
	return true;
}

static bool answer_read_public(void *context, const struct worker_message *request,
			       struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	struct ek_public public;
	bool found = false;
	if (!tpm || !tpm_public_read(tpm, handle_of(request), &found, &public, err))
		return false;
	worker_add_u64(reply, FIELD_FOUND, found);
	if (found)
		add_public(reply, &public);
	return true;
}

static bool answer_nv_read(void *context, const struct worker_message *request,
			   struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	CLEANUP(bytes_done) struct bytes data = { 0 };
	bool found = false;
	if (!tpm || !tpm_nv_read(tpm, handle_of(request), &found, &data, err))
		return false;
	worker_add_u64(reply, FIELD_FOUND, found);
	if (found)
		worker_add_bytes(reply, FIELD_DATA, data.data, data.size);
	return true;
}

static bool answer_session(void *context, const struct worker_message *request,
			   struct worker_message *reply, struct muster_error *err)
{
	(void)reply;
	struct tpm *tpm = opened(context, request, err);
	const struct bytes *public = worker_bytes(request, FIELD_PUBLIC);
	struct ek_public ek;
	return tpm && ek_public_parse(public->data, public->size, &ek, err) &&
	       tpm_session_begin(tpm, handle_of(request), &ek, err);
}

static bool answer_srk(void *context, const struct worker_message *request,
		       struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	struct ek_public public;
	if (!tpm || !tpm_srk_get(tpm, &public, err))
		return false;
	add_public(reply, &public);
	return true;
}

static bool answer_key_import(void *context, const struct worker_message *request,
			      struct worker_message *reply, struct muster_error *err)
{
	(void)reply;
	struct tpm *tpm = opened(context, request, err);
	/* All borrowed from the request. */
	const struct ek_challenge challenge = {
		.id_object = *worker_bytes(request, FIELD_ID_OBJECT),
		.credential_secret = *worker_bytes(request, FIELD_CREDENTIAL_SECRET),
		.duplicate = *worker_bytes(request, FIELD_DUPLICATE),
		.duplicate_seed = *worker_bytes(request, FIELD_DUPLICATE_SEED),
		.key_public = *worker_bytes(request, FIELD_PUBLIC),
	};
	return tpm && tpm_key_import(tpm, handle_of(request), &challenge, err);
}

static bool answer_hmac(void *context, const struct worker_message *request,
			struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	const struct bytes *data = worker_bytes(request, FIELD_DATA);
	uint8_t mac[TPM_MAC_SIZE];
	if (!tpm || !tpm_hmac(tpm, data->data, data->size, mac, err))
		return false;
	worker_add_bytes(reply, FIELD_MAC, mac, sizeof(mac));
	return true;
}

static bool answer_derive(void *context, const struct worker_message *request,
			  struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	CLEANUP(secret_done) struct secret macs = { 0 };
	char attributes[TPM_ATTRIBUTES_SIZE];
	size_t count;

	if (!tpm || !secret_new(&macs, WORKER_IDS_MAX * TPM_MAC_SIZE, err) ||
	    !tpm_master_derive(tpm, handle_of(request), worker_bytes(request, FIELD_IDS), macs.data,
			       &count, attributes, err))
		return false;
	worker_add_bytes(reply, FIELD_MACS, macs.data, count * TPM_MAC_SIZE);
	worker_add_text(reply, FIELD_ATTRIBUTES, attributes);
	return true;
}

static bool answer_capability(void *context, const struct worker_message *request,
			      struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	uint32_t values[TPM_NUMBERS_MAX];
	size_t count = 0;
	if (!tpm ||
	    !tpm_capability_list(tpm, (uint32_t)worker_u64(request, FIELD_CAPABILITY),
				 (uint32_t)worker_u64(request, FIELD_FIRST), values, &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		values[i] = htobe32(values[i]);
	worker_add_bytes(reply, FIELD_NUMBERS, values, count * sizeof(values[0]));
	return true;
}

static bool answer_survey(void *context, const struct worker_message *request,
			  struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	CLEANUP(text_done) struct text holdings = TEXT_MAX(EK_HOLDINGS_SIZE_MAX);
	struct tpm_state state;
	if (!tpm ||
	    !tpm_survey(tpm, worker_u64(request, FIELD_WITH_NV) != 0, &state, &holdings, err))
		return false;
	add_clock(reply, &state);
	worker_add_bytes(reply, FIELD_HOLDINGS, holdings.data, holdings.length);
	return true;
}

static bool parse_public(const struct worker_message *request, enum worker_field field,
			 struct ek_public *ret_public, struct muster_error *err)
{
	const struct bytes *bytes = worker_bytes(request, field);
	return ek_public_parse(bytes->data, bytes->size, ret_public, err);
}

static bool answer_ek_try(void *context, const struct worker_message *request,
			  struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	struct ek_public template, public;
	if (!tpm || !parse_public(request, FIELD_TEMPLATE, &template, err) ||
	    !tpm_ek_try(tpm, &template, &public, err))
		return false;
	add_public(reply, &public);
	return true;
}

static bool answer_ek_create(void *context, const struct worker_message *request,
			     struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	struct ek_public template, public;
	if (!tpm || !parse_public(request, FIELD_TEMPLATE, &template, err) ||
	    !tpm_ek_create(tpm, handle_of(request), &template, &public, err))
		return false;
	add_public(reply, &public);
	return true;
}

static bool answer_ek_replace(void *context, const struct worker_message *request,
			      struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	struct ek_public template, old, public;
	if (!tpm || !parse_public(request, FIELD_TEMPLATE, &template, err) ||
	    !parse_public(request, FIELD_OLD_PUBLIC, &old, err) ||
	    !tpm_ek_replace(tpm, handle_of(request), &template, &old, &public, err))
		return false;
	add_public(reply, &public);
	return true;
}

static enum tpm_witness witness_of(const struct worker_message *request)
{
	return worker_u64(request, FIELD_WITNESS) ? TPM_WITNESS_AK : TPM_WITNESS_SRK;
}

static bool answer_witness(void *context, const struct worker_message *request,
			   struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	struct ek_public public;
	if (!tpm || !tpm_witness_get(tpm, witness_of(request), &public, err))
		return false;
	add_public(reply, &public);
	return true;
}

static bool answer_prove(void *context, const struct worker_message *request,
			 struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	CLEANUP(secret_done) struct secret credential = { 0 };
	if (!tpm || !tpm_prove(tpm, witness_of(request), worker_bytes(request, FIELD_ID_OBJECT),
			       worker_bytes(request, FIELD_CREDENTIAL_SECRET), &credential, err))
		return false;
	worker_add_bytes(reply, FIELD_CREDENTIAL, credential.data, credential.size);
	return true;
}

static bool answer_roll_call(void *context, const struct worker_message *request,
			     struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	struct tpm_state state;
	struct ek_public public;
	bool found = false;
	if (!tpm || !tpm_state_read(tpm, &state, err) ||
	    !tpm_public_read(tpm, handle_of(request), &found, &public, err))
		return false;
	add_clock(reply, &state);
	worker_add_u64(reply, FIELD_FOUND, found);
	if (found)
		add_public(reply, &public);
	return true;
}

static bool answer_release(void *context, const struct worker_message *request,
			   struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	struct tpm_state state;
	if (!tpm || !tpm_release(tpm, err) || !tpm_state_read(tpm, &state, err))
		return false;
	worker_add_u64(reply, FIELD_TRANSIENT_COUNT, state.transient_count);
	worker_add_u64(reply, FIELD_SESSION_COUNT, state.session_count);
	return true;
}

static bool answer_sign(void *context, const struct worker_message *request,
			struct worker_message *reply, struct muster_error *err)
{
	struct tpm *tpm = opened(context, request, err);
	const struct bytes *digest = worker_bytes(request, FIELD_DIGEST);
	uint8_t signature[TPM_SIGNATURE_MAX];
	size_t size;
	if (!tpm)
		return false;
	if (digest->size != SHA256_SIZE)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "a digest of %zu bytes",
				   digest->size);
	if (!tpm_sign(tpm, handle_of(request), digest->data, signature, &size, err))
		return false;
	worker_add_bytes(reply, FIELD_SIGNATURE, signature, size);
	return true;
}

static bool answer_counter_raise(void *context, const struct worker_message *request,
				 struct worker_message *reply, struct muster_error *err)
{
	(void)reply;
	struct tpm *tpm = opened(context, request, err);
	return tpm && tpm_counter_raise(tpm, handle_of(request), err);
}

const struct worker_handler tpm_handlers[] = {
	{ WORKER_TPM_OPEN, answer_open },
	{ WORKER_TPM_STATE, answer_state },
	{ WORKER_TPM_READ_PUBLIC, answer_read_public },
	{ WORKER_TPM_EK_CREATE, answer_ek_create },
	{ WORKER_TPM_NV_READ, answer_nv_read },
	{ WORKER_TPM_SANDBOX, answer_sandbox },
	{ WORKER_TPM_SESSION, answer_session },
	{ WORKER_TPM_SRK, answer_srk },
	{ WORKER_TPM_KEY_IMPORT, answer_key_import },
	{ WORKER_TPM_HMAC, answer_hmac },
	{ WORKER_TPM_DERIVE, answer_derive },
	{ WORKER_TPM_CAPABILITY, answer_capability },
	{ WORKER_TPM_SURVEY, answer_survey },
	{ WORKER_TPM_EK_TRY, answer_ek_try },
	{ WORKER_TPM_EK_REPLACE, answer_ek_replace },
	{ WORKER_TPM_WITNESS, answer_witness },
	{ WORKER_TPM_PROVE, answer_prove },
	{ WORKER_TPM_ROLL_CALL, answer_roll_call },
	{ WORKER_TPM_RELEASE, answer_release },
	{ WORKER_TPM_COUNTER_RAISE, answer_counter_raise },
	{ WORKER_TPM_SIGN, answer_sign },
};
const size_t tpm_handler_count = ARRAY_SIZE(tpm_handlers);
