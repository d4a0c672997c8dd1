#include "tpm-proof.h"

#include <string.h>

#include <openssl/crypto.h>

#include "muster/clock.h"

#define CREDENTIAL_SIZE 16 /* what DPS's challenge has: the key of AES-128 */

void proof_done(struct proof *proof)
{
	secret_done(&proof->credential);
	*proof = (struct proof){ 0 };
}

/* -- Possession --------------------------------------------------------------------------------------------- */

void proof_session_request(const struct ek_public *ek, struct worker_message *ret_request)
{
	worker_request_init(ret_request, WORKER_TPM_SESSION);
	worker_add_u64(ret_request, FIELD_HANDLE, EK_HANDLE);
	worker_add_bytes(ret_request, FIELD_PUBLIC, ek->data, ek->size);
}

void proof_witness_request(enum proof_witness witness, struct worker_message *ret_request)
{
	worker_request_init(ret_request, WORKER_TPM_WITNESS);
	worker_add_u64(ret_request, FIELD_WITNESS, witness);
}

static bool make_credential(struct proof *proof, const struct ek_public *ek,
			    const struct ek_public *object, struct worker_message *request,
			    struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes id_object = { 0 };
	CLEANUP(bytes_done) struct bytes secret = { 0 };
	uint8_t name[EK_NAME_SIZE];

	secret_done(&proof->credential);
	if (!ek_public_name(object, name, err) ||
	    !secret_new(&proof->credential, CREDENTIAL_SIZE, err) ||
	    !random_bytes(proof->credential.data, CREDENTIAL_SIZE, err) ||
	    !ek_credential_make(ek, name, &proof->credential, &id_object, &secret, err))
		return false;
	worker_add_bytes(request, FIELD_ID_OBJECT, id_object.data, id_object.size);
	worker_add_bytes(request, FIELD_CREDENTIAL_SECRET, secret.data, secret.size);
	return true;
}

bool proof_challenge(struct proof *proof, const struct ek_public *ek,
		     const struct worker_message *reply, struct worker_message *ret_request,
		     struct muster_error *err)
{
	const struct bytes *public = worker_bytes(reply, FIELD_PUBLIC);
	struct ek_public object;

	worker_request_init(ret_request, WORKER_TPM_PROVE);
	worker_add_u64(ret_request, FIELD_WITNESS, proof->witness);
	return (ek_public_parse(public->data, public->size, &object, err) &&
		make_credential(proof, ek, &object, ret_request, err)) ||
	       muster_error_prefix(err, "making a credential for the endorsement key");
}

bool proof_check(const struct proof *proof, const struct worker_message *reply,
		 struct muster_error *err)
{
	const struct bytes *got = worker_bytes(reply, FIELD_CREDENTIAL);

	return (got->size == proof->credential.size &&
		CRYPTO_memcmp(got->data, proof->credential.data, got->size) == 0) ||
	       muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED,
			   "the TPM gave back another credential than was made for its key");
}

/* The salt of the session is the first thing that a chip without the private half cannot open. */
bool proof_fail(const struct muster_error *failure, struct muster_error *err)
{
	*err = *failure;
	return failure->cause == CAUSE_TPM_SWAPPED &&
	       muster_fail(err, CAUSE_TPM_ACTIVATION_FAILED, "%s", failure->message);
}

/* -- Who is there ------------------------------------------------------------------------------------------- */

void roll_call_request(struct worker_message *ret_request)
{
	worker_request_init(ret_request, WORKER_TPM_ROLL_CALL);
	worker_add_u64(ret_request, FIELD_HANDLE, EK_HANDLE);
}

static void take_clock(const struct worker_message *reply, struct ek_witness *witness)
{
	witness->reset_count = worker_u64(reply, FIELD_RESET_COUNT);
	witness->restart_count = worker_u64(reply, FIELD_RESTART_COUNT);
	witness->clock_ms = worker_u64(reply, FIELD_CLOCK_MS);
	witness->at_ms = clock_now_ms();
}

void roll_call_take(const struct worker_message *reply, struct ek_witness *ret_witness)
{
	const struct bytes *public = worker_bytes(reply, FIELD_PUBLIC);

	*ret_witness = (struct ek_witness){ .has_key = worker_u64(reply, FIELD_FOUND) != 0 };
	take_clock(reply, ret_witness);
	if (ret_witness->has_key)
		sha256(ret_witness->key, public->data, public->size);
}

void roll_call_of_survey(const struct worker_message *reply, const struct ek_public *ek,
			 struct ek_witness *ret_witness)
{
	*ret_witness = (struct ek_witness){ .has_key = ek != NULL };
	take_clock(reply, ret_witness);
	if (ek)
		ek_public_digest(ek, ret_witness->key);
}
