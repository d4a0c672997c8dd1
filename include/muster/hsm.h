/* PKCS#11 tokens: one module, one token, careful login, keys that are born inside and stay there. Linked into the
 * HSM worker only; the station reaches it through worker-verbs.def.
 *
 * One thread per session. Every call talks to the module and may block for ever; who waits for us has the deadline and kills.
 * Whatever the module answers is checked: sizes are capped, public keys must lie on their curve, signatures must
 * verify. Causes are those of family 4 in causes.def; the native number of an error is the CK_RV. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/secret.h"
#include "muster/signer.h"
#include "muster/text.h"
#include "muster/worker.h"

#define HSM_ID_MAX 64
#define HSM_PIN_MAX 255
#define HSM_KEYS_MAX 31
#define HSM_KEY_NAMES_MAX 49152

struct hsm;

bool hsm_new(struct hsm **ret_hsm, struct muster_error *err) MUST_CHECK;
/* Logs out, closes the session, finalises and unloads the module. NULL is fine. */
void hsm_free(struct hsm *hsm);
DEFINE_FREEP(hsm_freep, struct hsm *, hsm_free)

/* -- Module and token -------------------------------------------------------------------------------------- */

/* Loads and initialises the module file, which nobody but root or the caller may be able to change. The same path
 * again is fine, another one is refused: a process has one module. `arguments` (or NULL) are handed to C_Initialize
 * as some modules want it. */
bool hsm_module_load(struct hsm *hsm, const char *path, const char *arguments,
		     struct muster_error *err) MUST_CHECK;

/* Texts without their padding, escaped where they are not printable UTF-8. */
struct hsm_token {
	unsigned long slot;
	unsigned long flags; /* CK_FLAGS of CK_TOKEN_INFO */
	char label[129];
	char serial[65];
	char manufacturer[65];
	char model[65];
};

/* The flags in words, "initialized login-required ...". */
#define HSM_FLAG_WORDS_SIZE 512
void hsm_token_flag_words(const struct hsm_token *token, char words[HSM_FLAG_WORDS_SIZE]);
/* *ret_count tokens are present; *ret_token is the one of that index when there is one. No login, no session. */
bool hsm_token_look(struct hsm *hsm, size_t index, struct hsm_token *ret_token, size_t *ret_count,
		    struct muster_error *err) MUST_CHECK;
/* Opens the one token that the URI matches. None, several (all are named) and uninitialised ones are refused before
 * any session is opened. A token opened before is closed. */
bool hsm_token_open(struct hsm *hsm, const char *uri, struct hsm_token *ret_token,
		    struct muster_error *err) MUST_CHECK;

/* Which token hsm_token_initialise() would take, and whether it may, but for the PINs. No session. */
bool hsm_token_to_initialise(struct hsm *hsm, const char *uri, const char *label,
			     const char *confirmation, struct hsm_token *ret_token,
			     struct muster_error *err) MUST_CHECK;
/* Initialises the one token that the URI matches (of several, the only one that is not initialised): CAUSE_TOKEN_IN_USE
 * when it is initialised and `confirmation` is not its label. Both PINs are looked at before anything is touched. A token that
 * has seen a wrong SO-PIN is refused (unless accept_low_count). The token is not open. */
bool hsm_token_initialise(struct hsm *hsm, const char *uri, const char *label,
			  const char *confirmation, bool accept_low_count,
			  const struct secret *so_pin, const struct secret *pin,
			  struct hsm_token *ret_token, struct muster_error *err) MUST_CHECK;

/* Logs the user in with one C_Login, never a second: the token is read again first, and refused when it has become
 * another one, is locked, is on its last try, or has seen a wrong PIN (unless accept_low_count). *ret_accepted is false where
 * somebody was logged in already: the PIN was not looked at, and is not kept for a login after a lost session. */
bool hsm_login(struct hsm *hsm, const struct secret *pin, bool accept_low_count, bool *ret_accepted,
	       struct muster_error *err) MUST_CHECK;

/* Is this the failure of a call whose session or login is no longer there? */
bool hsm_is_lost(const struct muster_error *failure);
/* A new session for the one that was lost, and one login, with the PIN that the token accepted before: when the token of
 * the same serial is in the same slot, its flags say nothing against it, and no other session has logged in meanwhile. A
 * refusal is remembered, and nothing is tried again. What failed may be asked once more then. Any thread. */
bool hsm_recover(struct hsm *hsm, struct muster_error *err) MUST_CHECK;

/* -- More sessions ------------------------------------------------------------------------------------------ */

#define HSM_SESSIONS_MAX 32
/* The open token once more, in a session of its own and for another thread; module, token and login are shared. `hsm`
 * has to outlive it and may not open another token meanwhile. */
bool hsm_session_new(struct hsm *hsm, struct hsm **ret_session, struct muster_error *err)
	MUST_CHECK;
/* Closes that session alone; NULL is fine. */
void hsm_session_free(struct hsm *session);

/* -- What is there ------------------------------------------------------------------------------------------- */

struct hsm_mechanism {
	const char *name;               /* "CKM_ECDSA"; static */
	char uses[HSM_FLAG_WORDS_SIZE]; /* "sign verify"; empty: not offered */
	unsigned long minimum, maximum; /* key sizes, in the mechanism's own unit */
};
/* The mechanism of that index in a table of those that matter; *ret_count is the table's size. */
bool hsm_mechanism_look(struct hsm *hsm, size_t index, struct hsm_mechanism *ret_mechanism,
			size_t *ret_count, struct muster_error *err) MUST_CHECK;
/* Finds all objects that the token shows (without a login the public ones) for hsm_object_look; more than a million are
 * an error. */
bool hsm_objects_collect(struct hsm *hsm, size_t *ret_count, struct muster_error *err) MUST_CHECK;

/* -- Keys -------------------------------------------------------------------------------------------------- */

struct hsm_id {
	uint8_t data[HSM_ID_MAX];
	size_t size;
};
bool hsm_id_set(struct hsm_id *ret_id, const struct bytes *bytes, struct muster_error *err)
	MUST_CHECK;

/* The attributes as read back, "local=true ... derive=unknown"; unknown: the module does not have the attribute. */
#define HSM_ATTRIBUTES_SIZE 512

struct hsm_key {
	struct hsm_id id;
	char type[32];     /* "ec-p256", ...; empty when it is none of ours */
	struct bytes spki; /* DER SubjectPublicKeyInfo; empty when the token has no public half */
	char attributes[HSM_ATTRIBUTES_SIZE]; /* of the private half */
};
void hsm_key_done(struct hsm_key *key);

/* What is other than usual about a key. */
enum hsm_trait {
	HSM_LEAVES = 1,     /* extractable by design: it is going to be wrapped out */
	HSM_SESSION = 2,    /* lives as long as the session */
	HSM_IMPORTED = 4,   /* made elsewhere; it may not claim that it was made inside */
	HSM_LABEL_ONCE = 8, /* people name it by its label, which no private key may have yet */
};
/* Makes a key pair under an ID that no object of the token may have yet. The private half is sensitive, not
 * extractable (without HSM_LEAVES) and may only sign; what is read back otherwise is destroyed: CAUSE_KEY_ATTRIBUTES. */
bool hsm_key_generate(struct hsm *hsm, const struct hsm_id *id, const char *label, const char *type,
		      unsigned traits, struct hsm_key *ret_key, struct muster_error *err)
	MUST_CHECK;
/* The private key of that ID, or (id NULL) the one that matches the URI. *ret_found is false when there is none;
 * several are CAUSE_KEY_AMBIGUOUS. */
bool hsm_key_find(struct hsm *hsm, const struct hsm_id *id, const char *uri, bool *ret_found,
		  struct hsm_key *ret_key, struct muster_error *err) MUST_CHECK;
/* Private and public key, secret key and certificate of that ID. */
bool hsm_key_destroy(struct hsm *hsm, const struct hsm_id *id, bool *ret_found,
		     struct muster_error *err) MUST_CHECK;
/* CAUSE_JOURNAL_BEHIND where a certificate has that ID whose SHA-256 is not among `digests` (NULL: none): a key that has one is not
 * half-made. */
bool hsm_key_check_unfinished(struct hsm *hsm, const struct hsm_id *id, const struct bytes *digests,
			      struct muster_error *err) MUST_CHECK;
/* Destroys key pairs' halves and certificates that a module killed in the middle of making them has left behind: objects
 * without ID and without the material of their class. Reads every object: for recovery only. */
bool hsm_torn_sweep(struct hsm *hsm, bool *ret_swept, struct muster_error *err) MUST_CHECK;
/* The IDs of the token's private keys, or (label not NULL) of those of that label; of one without an ID the size is 0. More
 * than HSM_KEYS_MAX are an error. */
bool hsm_keys_list(struct hsm *hsm, const char *label, struct hsm_id ids[HSM_KEYS_MAX],
		   size_t *ret_count, struct muster_error *err) MUST_CHECK;
/* The signature has been verified with the public half. See signer.h for its form. */
bool hsm_sign(struct hsm *hsm, const struct hsm_id *id, enum signer_scheme scheme,
	      enum signer_hash hash, const struct bytes *digest,
	      uint8_t signature[SIGNER_SIGNATURE_MAX], size_t *ret_size, struct muster_error *err)
	MUST_CHECK;
/* The one certificate that matches the URI, as DER, and its CKA_ID, which may be empty; without a login, of the public
 * ones. CAUSE_KEY_AMBIGUOUS for several, but for the only one whose SHA-256 is among `digests` (NULL: none). */
bool hsm_certificate_find(struct hsm *hsm, const char *uri, const struct bytes *digests,
			  bool *ret_found, struct hsm_id *ret_id, struct bytes *ret_der,
			  struct muster_error *err) MUST_CHECK;
/* Stores the certificate beside its key, whose public half it must carry. The same one again is fine. */
bool hsm_certificate_store(struct hsm *hsm, const struct hsm_id *id, const char *label,
			   const struct bytes *der, struct muster_error *err) MUST_CHECK;

/* Appends to `names`, of HSM_KEY_NAMES_MAX, the private keys from *index on, as FIELD_KEY_NAMES has them, and moves *index to
 * where to go on; from 0 on they are looked for anew. *ret_count is how many there are. */
bool hsm_key_names(struct hsm *hsm, size_t *index, struct text *names, size_t *ret_count,
		   struct muster_error *err) MUST_CHECK;

#define HSM_LABEL_SIZE 257

/* An object of those that hsm_objects_collect found. */
struct hsm_object {
	const char *kind; /* "private-key", "certificate", ...; static */
	char label[HSM_LABEL_SIZE];
	struct hsm_key key;                   /* of keys; of others the ID at most */
	char note[MUSTER_ERROR_MESSAGE_SIZE]; /* what is wrong with its public half, or empty */
	struct bytes certificate;             /* DER, of certificates */
};
void hsm_object_done(struct hsm_object *object);
/* *ret_found is false when the object has gone since. */
bool hsm_object_look(struct hsm *hsm, size_t index, struct hsm_object *ret_object, bool *ret_found,
		     struct muster_error *err) MUST_CHECK;

/* Whether the private half that has such an index belongs to a public half. */
enum hsm_proof {
	HSM_PROOF_OTHER = 0,
	HSM_PROOF_GOOD = 1,
	HSM_PROOF_NONE = 2, /* the token makes no signature with it */
};
/* Has that object sign a random digest and verifies with `spki`. What is wrong is said in `note`. */
bool hsm_object_prove(struct hsm *hsm, size_t index, const struct bytes *spki,
		      enum hsm_proof *ret_proof, char note[MUSTER_ERROR_MESSAGE_SIZE],
		      struct muster_error *err) MUST_CHECK;

/* -- Master keys ------------------------------------------------------------------------------------------- */

/* HMAC-SHA256 by the token with the one secret key that the URI matches; never in software. */
bool hsm_hmac(struct hsm *hsm, const char *uri, const struct bytes *data, uint8_t mac[32],
	      char attributes[HSM_ATTRIBUTES_SIZE], struct muster_error *err) MUST_CHECK;
/* ID, label and attributes of the one that hsm_hmac would take. */
bool hsm_master_find(struct hsm *hsm, const char *uri, struct hsm_object *ret_object,
		     struct muster_error *err) MUST_CHECK;
/* The same over many IDs, each with a newline behind it; *ret_count MACs of 32 bytes one behind the other. */
bool hsm_derive(struct hsm *hsm, const char *uri, const struct bytes *ids,
		uint8_t macs[WORKER_IDS_MAX * 32], size_t *ret_count,
		char attributes[HSM_ATTRIBUTES_SIZE], struct muster_error *err) MUST_CHECK;
/* A secret that was made elsewhere: the token shows that it is not local and was extractable once. CAUSE_LABEL_TAKEN when a
 * secret key of the token has the label, which is how people name masters. */
bool hsm_master_import(struct hsm *hsm, const struct hsm_id *id, const char *label,
		       const struct secret *value, unsigned traits,
		       char attributes[HSM_ATTRIBUTES_SIZE], struct muster_error *err) MUST_CHECK;
/* A generic secret of 256 to 512 bits, made inside, that can only be used for HMAC. CAUSE_LABEL_TAKEN likewise. */
bool hsm_master_generate(struct hsm *hsm, const struct hsm_id *id, const char *label, unsigned bits,
			 unsigned traits, char attributes[HSM_ATTRIBUTES_SIZE],
			 struct muster_error *err) MUST_CHECK;

/* -- Wrapping out ---------------------------------------------------------------------------------------------- */

#define HSM_METHOD_SIZE 128
/* The private key of that ID, which has to be made with HSM_LEAVES, for the holder of an RSA key (DER): RSA-OAEP over an
 * AES-256 key, then the key under that one, one behind the other. How is said in `method`. */
bool hsm_wrap_out(struct hsm *hsm, const struct hsm_id *id, const struct bytes *recipient_spki,
		  struct bytes *ret_wrapped, char method[HSM_METHOD_SIZE], struct muster_error *err)
	MUST_CHECK;

/* -- Trials ---------------------------------------------------------------------------------------------------- */

struct hsm_trial {
	uint64_t count, nanoseconds;
	char attributes[HSM_ATTRIBUTES_SIZE]; /* of the key that was made */
	char method[HSM_METHOD_SIZE];         /* of wrapping */
};
/* "key TYPE", "sign TYPE", "derive", "wrap TYPE" or "keep" (does it hand out what is not extractable?), once or for so long,
 * with objects of the session alone and as critical as with a device's. */
bool hsm_trial_run(struct hsm *hsm, const char *what, uint64_t milliseconds,
		   struct hsm_trial *ret_trial, struct muster_error *err) MUST_CHECK;
