/* One device on its way to a hub: what it presented, the enrollment that lets it in, and the outcome. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "document.h"
#include "emulator-internal.h"

enum device_attestation { DEVICE_SYMMETRIC_KEY, DEVICE_X509, DEVICE_TPM };

#define OPERATION_ID_SIZE 64

/* Owns all it points to but the emulator; outlives the request when a webhook is to be called. */
struct registration {
	struct emulator *emulator;
	char id[ID_MAX + 1]; /* lower case */
	char api_version[32];
	char operation_id[OPERATION_ID_SIZE];
	enum device_attestation attestation;
	enum enrollment_kind kind;
	char group_id[ID_MAX + 1]; /* as enrolled; empty for an individual enrollment */
	cJSON *enrollment;         /* as stored */
	cJSON *body;               /* the register call's, an object */
	char *certificate;         /* the leaf, base64 of DER; or NULL */
	char *endorsement_key;     /* base64, TPM only */
	char *storage_root_key;
	int64_t now_ms;
};
void registration_free(struct registration *registration);
DEFINE_FREEP(registration_freep, struct registration *, registration_free)

/* -- device-auth.c: who is it? ----------------------------------------------------------------------------- */

/* Finds the enrollment and checks what the device presents against it. For a TPM without a token
 * *ret_needs_challenge is true and nothing is proven yet. `body` is taken over, also on failure. */
bool registration_authenticate(struct exchange *exchange, cJSON *body,
			       struct registration **ret_registration, bool *ret_needs_challenge)
	MUST_CHECK;

/* -- challenge.c: TPM -------------------------------------------------------------------------------------- */

/* Makes the key for this device, remembers it and answers 401 with the challenge. */
bool challenge_answer(struct exchange *exchange, struct registration *registration) MUST_CHECK;
/* The remembered key and the SRK it was made for; *ret_key has size 0 when there is none. Caller frees. */
bool challenge_recall(struct emulator *emulator, const char *id, struct bytes *ret_key,
		      char **ret_storage_root_key, struct refusal *refusal) MUST_CHECK;
/* A key wrapped for the device's TPM, base64. Caller frees. */
bool challenge_wrap(const struct registration *registration, const void *key, size_t key_size,
		    char **ret_blob, struct refusal *refusal) MUST_CHECK;

/* -- assign.c: which hub ----------------------------------------------------------------------------------- */

/* The hubs the enrollment names, else all linked ones. */
#define CANDIDATE_COUNT_MAX EMULATOR_LIST_MAX
size_t registration_candidates(const struct registration *registration,
			       const struct hub *candidates[CANDIDATE_COUNT_MAX]);
enum allocation_policy registration_policy(const struct registration *registration);

/* What the policy or the webhook said. */
struct assignment {
	const struct hub *hub;     /* NULL: failed, see refusal */
	struct refusal refusal;    /* number and message of the failure */
	const cJSON *initial_twin; /* the webhook's; NULL: the enrollment's */
	const cJSON *payload;      /* the webhook's; NULL: none */
	bool is_disabled;
};
/* Chooses by policy (not custom). */
void registration_choose(const struct registration *registration,
			 struct assignment *ret_assignment);
/* Writes operation, registration record and the hub's twin as one. */
bool registration_finish(const struct registration *registration,
			 const struct assignment *assignment, struct refusal *refusal) MUST_CHECK;
/* The hub this device has now, or NULL. */
bool registration_current(const struct registration *registration, cJSON **ret_record,
			  struct refusal *refusal) MUST_CHECK;
bool registration_keeps_hub(const struct registration *registration);

/* -- webhook.c --------------------------------------------------------------------------------------------- */

/* Calls the enrollment's webhook in the background and finishes the registration. Takes it over on success. */
bool webhook_start(struct registration *registration, struct refusal *refusal) MUST_CHECK;

/* -- operations.c: what the device polls ------------------------------------------------------------------- */

/* A new operation, under way; sets registration->operation_id. */
bool operation_begin(struct registration *registration, struct refusal *refusal) MUST_CHECK;
/* Sets its result (taken over); the store is locked. */
bool operation_end(struct emulator *emulator, const char *operation_id, cJSON *result,
		   struct refusal *refusal) MUST_CHECK;
/* *ret_result is NULL while it is under way. 404 when there is none of this device. Counts as a poll. */
bool operation_poll(struct emulator *emulator, const char *operation_id,
		    const char *registration_id, int64_t now_ms, cJSON **ret_result,
		    struct refusal *refusal) MUST_CHECK;
