/* One TPM by ESYS: open it by a named TCTI, read what it holds, prove that it holds it, and leave nothing behind.
 * Linked into the TPM worker only. Every call talks to the chip and blocks as long as the chip does; only the
 * station's kill ends a hang. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/ek.h"
#include "muster/error.h"
#include "muster/secret.h"
#include "muster/text.h"
#include "muster/worker.h"

#define TPM_PERSISTENT_MAX 24
#define TPM_NV_MAX 8192
#define TPM_MAC_SIZE 32
#define TPM_SIGNATURE_MAX 512
#define TPM_NUMBERS_MAX 1024

struct tpm;

/* All printable. */
struct tpm_description {
	char manufacturer[16]; /* "IBM", "STM", "INTC", ... */
	char firmware[32];     /* "8217.4131.22.13878" */
	char model[32];
};

struct tpm_state {
	uint32_t reset_count;
	uint32_t restart_count;
	uint64_t clock_ms;
	unsigned transient_count;
	unsigned session_count;  /* loaded and saved */
	size_t persistent_count; /* at most TPM_PERSISTENT_MAX are listed */
	uint32_t persistent[TPM_PERSISTENT_MAX];
};

/* device:/PATH, swtpm:path=/PATH, swtpm:host=H,port=N and mssim:host=H,port=N; all else is
 * CAUSE_TPM_TCTI_REFUSED. Takes the TPM for this process (CAUSE_TPM_BUSY when another muster has it). Where no
 * resource manager stands in front, what a killed client left loaded is flushed. Patience as below. */
bool tpm_open(const char *tcti, int64_t patience_ms, struct tpm **ret_tpm, struct muster_error *err)
	MUST_CHECK;
/* Flushes what was made; NULL is fine. */
void tpm_close(struct tpm *tpm);
DEFINE_FREEP(tpm_closep, struct tpm *, tpm_close)

/* How long a TPM that asks for patience (RETRY, TESTING, ...) gets, from now on. Call before each task. */
void tpm_set_patience(struct tpm *tpm, int64_t patience_ms);

/* When a task below fails, the context is opened anew and everything transient is gone from the chip: the SRK
 * and the imported key must be made again. A task for which the chip had no room is tried once more before. */

bool tpm_describe(struct tpm *tpm, struct tpm_description *ret_description,
		  struct muster_error *err) MUST_CHECK;
bool tpm_state_read(struct tpm *tpm, struct tpm_state *ret_state, struct muster_error *err)
	MUST_CHECK;
/* *ret_found is false when there is no object at that persistent handle. */
bool tpm_public_read(struct tpm *tpm, uint32_t handle, bool *ret_found,
		     struct ek_public *ret_public, struct muster_error *err) MUST_CHECK;
/* Makes the EK of this template and persists it there; CAUSE_TPM_COMMAND_FAILED when the handle is taken. Fails without a
 * trace when DPS would not take the key. Seconds to a minute. */
bool tpm_ek_create(struct tpm *tpm, uint32_t handle, const struct ek_public *template,
		   struct ek_public *ret_public, struct muster_error *err) MUST_CHECK;
/* The key that the endorsement hierarchy makes of this template; nothing is kept. Seconds to a minute. */
bool tpm_ek_try(struct tpm *tpm, const struct ek_public *template, struct ek_public *ret_public,
		struct muster_error *err) MUST_CHECK;
/* The same in the place of the one there, which has to be `old`; CAUSE_TPM_SWAPPED when it is not. */
bool tpm_ek_replace(struct tpm *tpm, uint32_t handle, const struct ek_public *template,
		    const struct ek_public *old, struct ek_public *ret_public,
		    struct muster_error *err) MUST_CHECK;
/* All rows of a capability from `first` on: handles and curves one number each, properties and algorithms a pair. */
bool tpm_capability_list(struct tpm *tpm, uint32_t capability, uint32_t first,
			 uint32_t values[TPM_NUMBERS_MAX], size_t *ret_count,
			 struct muster_error *err) MUST_CHECK;
/* Adds what the chip holds to `out`, as muster/ek-holdings.h has it. */
bool tpm_survey(struct tpm *tpm, bool with_nv, struct tpm_state *ret_state, struct text *out,
		struct muster_error *err) MUST_CHECK;
/* *ret_found is false when the index is not defined or was never written. Caller frees. */
bool tpm_nv_read(struct tpm *tpm, uint32_t index, bool *ret_found, struct bytes *ret_data,
		 struct muster_error *err) MUST_CHECK;
/* Signs a SHA-256 digest with the persistent key there: DER ECDSA-Sig-Value, or PKCS #1. CAUSE_STATION_KEY_UNUSABLE when it
 * is no signing key that the empty password opens without the risk of a failed try. */
bool tpm_sign(struct tpm *tpm, uint32_t handle, const uint8_t digest[SHA256_SIZE],
	      uint8_t signature[TPM_SIGNATURE_MAX], size_t *ret_size, struct muster_error *err)
	MUST_CHECK;
/* Raises the counter at that NV index by one, and makes it first when there is nothing; CAUSE_TPM_NO_COUNTER when there is
 * something else. tpm_nv_read gives its value, 8 bytes, big-endian. Never done twice. */
bool tpm_counter_raise(struct tpm *tpm, uint32_t index, struct muster_error *err) MUST_CHECK;
/* From now on secrets travel in a session salted to that EK, which the caller has validated; CAUSE_TPM_SWAPPED when
 * the handle holds another. Needed before tpm_key_import. */
bool tpm_session_begin(struct tpm *tpm, uint32_t ek_handle, const struct ek_public *ek,
		       struct muster_error *err) MUST_CHECK;
/* The persistent SRK when it is of the right kind, else a transient one, kept until tpm_release. */
bool tpm_srk_get(struct tpm *tpm, struct ek_public *ret_public, struct muster_error *err)
	MUST_CHECK;
/* Which object a credential is bound to: the SRK, exactly as DPS will do it, or an attestation key of P-256 that is made
 * for the purpose where making an SRK would take long. */
enum tpm_witness { TPM_WITNESS_SRK, TPM_WITNESS_AK };
/* The object's public area. Kept loaded until tpm_release. */
bool tpm_witness_get(struct tpm *tpm, enum tpm_witness which, struct ek_public *ret_public,
		     struct muster_error *err) MUST_CHECK;
/* Recovers a credential of 16 bytes made for the EK of the session and for the witness; both parts are marshalled.
 * CAUSE_TPM_ACTIVATION_FAILED when this TPM cannot. */
bool tpm_prove(struct tpm *tpm, enum tpm_witness which, const struct bytes *id_object,
	       const struct bytes *secret, struct secret *ret_credential, struct muster_error *err)
	MUST_CHECK;
/* Activates the challenge with the EK of the session (at ek_handle) and the SRK, imports the HMAC key and keeps it
 * loaded in place of an earlier one. A challenge that is not for this TPM is CAUSE_TPM_ACTIVATION_FAILED. */
bool tpm_key_import(struct tpm *tpm, uint32_t ek_handle, const struct ek_challenge *challenge,
		    struct muster_error *err) MUST_CHECK;
/* HMAC-SHA256 of at most 1024 bytes with the imported key. */
bool tpm_hmac(struct tpm *tpm, const void *data, size_t size, uint8_t mac[TPM_MAC_SIZE],
	      struct muster_error *err) MUST_CHECK;
#define TPM_MASTER_TEXT_MAX 128
#define TPM_ATTRIBUTES_SIZE 257
/* HMAC-SHA256 over many IDs, each with a newline behind it, with the keyed hash at that persistent handle, in the protected
 * session: CAUSE_MASTER_UNGUARDED when its attributes do not show that it cannot leave the TPM. Its password is the empty
 * one. */
bool tpm_master_derive(struct tpm *tpm, uint32_t handle, const struct bytes *ids,
		       uint8_t macs[WORKER_IDS_MAX * TPM_MAC_SIZE], size_t *ret_count,
		       char attributes[TPM_ATTRIBUTES_SIZE], struct muster_error *err) MUST_CHECK;
/* Flushes the SRK, the key and the sessions. */
bool tpm_release(struct tpm *tpm, struct muster_error *err) MUST_CHECK;

/* The worker's answers to its verbs; the context is a `struct tpm **`, NULL until TPM_OPEN. */
extern const struct worker_handler tpm_handlers[];
extern const size_t tpm_handler_count;
