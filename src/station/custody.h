/* A token opened for its custodian, the journal beside it, and the keys that are made and used there. Private to the
 * station. */
#pragma once

#include <stdbool.h>

#include "muster/journal.h"
#include "muster/pki.h"
#include "muster/station-custody.h"
#include "muster/token-uri.h"
#include "muster/worker.h"

#include "job.h"
#include "token.h"
#include "who.h"

#define CUSTODY_LINES_MAX 32

/* Does not move once it is open: the worker is watched for it. */
struct custody {
	struct worker *hsm;
	struct worker
		*lines[CUSTODY_LINES_MAX]; /* hsm itself first: who is asked beside each other */
	size_t line_count;
	int64_t sessions;             /* configured for the module, or 0 */
	struct station_module module; /* of custody_open */
	struct token_facts token;
	struct journal *journal; /* NULL when nothing lasting is done */
	struct who who;
	cJSON *destroyed; /* what custody_open() found unfinished: keyId, label and begun of each; NULL: none */
};

enum custody_effect { CUSTODY_LOOKS, CUSTODY_CHANGES };

/* Opens the token that the request or `key_uri` names, and logs in. With CUSTODY_CHANGES the journal is opened first,
 * and what an earlier run left half-done on the token is destroyed. */
bool custody_open(struct custody *custody, const struct station_custody *request,
		  const char *key_uri, enum custody_effect effect, struct muster_error *err)
	MUST_CHECK;
void custody_done(struct custody *custody);
/* Its first part alone, for who looks into the journal before the token is opened. */
bool custody_open_journal(struct custody *custody, const struct station_custody *request,
			  struct muster_error *err) MUST_CHECK;

/* For who only looks: the journal to read, or NULL where there is none, or (with a warning) it cannot be read. Caller closes. */
bool custody_peek_journal(const struct station_custody *request, struct journal **ret_journal,
			  struct muster_error *err) MUST_CHECK;

/* Starts the module's worker; nothing is asked of it. */
bool custody_spawn(struct custody *custody, const struct station_module *module,
		   struct muster_error *err) MUST_CHECK;
/* Opens so many lines to the worker, a session each. */
bool custody_join(struct custody *custody, size_t count, struct muster_error *err) MUST_CHECK;

/* Destroys a key that was announced and is not to stay, and records that. One that has a certificate in the token is not
 * (CAUSE_JOURNAL_BEHIND): none is stored before the outcome is recorded. */
bool custody_discard(struct custody *custody, const struct bytes *id, struct muster_error *err)
	MUST_CHECK;

/* "destroyedUnfinished" of a result: what custody_open() destroyed; nothing where there was none. */
bool custody_add_destroyed(const struct custody *custody, cJSON *result) MUST_CHECK;

/* One entry in the transaction that has begun; takes the body over. */
bool custody_append(struct custody *custody, enum journal_kind kind, cJSON *body,
		    struct muster_error *err) MUST_CHECK;
/* The same in a transaction of its own: on disk when it returns. */
bool custody_record(struct custody *custody, enum journal_kind kind, cJSON *body,
		    struct muster_error *err) MUST_CHECK;
/* {"step": step, id_name: hex, "token": label, "tokenSerial": serial}; NULL without memory. A key's whole story is told
 * under "keyId". */
cJSON *custody_entry(const struct custody *custody, const char *step, const char *id_name,
		     const struct bytes *id);

/* -- Keys ----------------------------------------------------------------------------------------------------- */

/* A private key of the token. Does not move: the signer points into it. */
struct custody_key {
	struct bytes id, spki;
	char *type;
	char *attributes;
	EVP_PKEY *public_key;
	struct token_signer signer;
	EVP_PKEY *key; /* works through the token; NULL after custody_key_made */
};
void custody_key_done(struct custody_key *key);

/* Finds or makes the key that was chosen, and looks at its quality. One that was made has to be settled. */
bool custody_key_take(struct custody *custody, const struct station_key_choice *choice,
		      struct custody_key *ret_key, struct muster_error *err) MUST_CHECK;
/* Records that a key just made is to stay; nothing for one that was there. */
bool custody_key_settle(struct custody *custody, const struct station_key_choice *choice,
			const struct custody_key *key, struct muster_error *err) MUST_CHECK;
/* When what the key was made for has failed: destroys it, and says in *err when it cannot. Nothing for one that was there.
 * Returns false. */
bool custody_key_drop(struct custody *custody, const struct station_key_choice *choice,
		      const struct custody_key *key, struct muster_error *err);
/* The parts of making one, for who makes many: an ID and the announcement, which have to be on disk before the request is
 * sent; what came back, the quality looked at; and the record, which rides in a transaction, too. */
bool custody_key_announce(struct custody *custody, const struct station_key_choice *choice,
			  struct custody_key *key, struct muster_error *err) MUST_CHECK;
void custody_key_ask(const struct station_key_choice *choice, const struct custody_key *key,
		     struct worker_message *ret_request);
bool custody_key_made(struct custody *custody, const struct station_key_choice *choice,
		      const struct worker_message *reply, struct custody_key *key,
		      struct muster_error *err) MUST_CHECK;
bool custody_key_keep(struct custody *custody, const struct custody_key *key,
		      struct muster_error *err) MUST_CHECK;
/* Adds keyType, keyId, keyAttributes, token, tokenSerial, and what custody_open() destroyed. */
bool custody_key_describe(const struct custody *custody, const struct custody_key *key,
			  cJSON *result) MUST_CHECK;

/* -- Certificates --------------------------------------------------------------------------------------------- */

/* Adds subject, issuer, serial, sha256, notBefore, notAfter, keyType and what the extensions say. */
bool certificate_describe(const X509 *certificate, cJSON *result, struct muster_error *err)
	MUST_CHECK;

/* -- IDs ------------------------------------------------------------------------------------------------------ */

/* Random, as every CKA_ID of ours. */
bool custody_id_make(struct bytes *ret_id, struct muster_error *err) MUST_CHECK;
