/* The HSM worker as the station uses it: opened on exactly one token, logged in once, signing and deriving. Private
 * to the station. */
#pragma once

#include <stdbool.h>

#include "job.h"
#include "pin.h"

/* The URI of the token alone: a key's URI names an object too, and the worker opens the token that holds it. Caller
 * frees; NULL without memory. */
char *token_text_of(const struct token_uri *uri);
/* Opens exactly one token in a worker that was just started. */
void token_open_request(struct worker_message *request, const struct station_module *module,
			const char *token_text);
/* What the answer to that says. */
bool token_facts_take(struct token_facts *facts, const struct worker_message *reply,
		      struct muster_error *err) MUST_CHECK;
bool token_facts_copy(struct token_facts *facts, const struct token_facts *from,
		      struct muster_error *err) MUST_CHECK;
/* By all that identifies one; its place is no matter. */
bool token_is_same(const struct token_facts *a, const struct token_facts *b);
/* The URI says something of its token that is not so of this one. */
bool token_is_other(const struct token_facts *facts, const struct token_uri *uri);
/* Whether a key's URI means another token than this one, or another module than its; a URI without a module means this
 * module. Reads configuration files. */
bool token_is_elsewhere(const struct token_facts *token, const struct station_module *module,
			const char *key_uri, bool *ret_is, struct muster_error *err) MUST_CHECK;
/* Whether a journal entry, which has the serial, is of this token. Some makers give all tokens one serial: where the entry has
 * a label, too, that has to be the same. */
bool token_is_of_entry(const struct token_facts *token, const cJSON *body);
void token_facts_done(struct token_facts *facts);
/* FIELD_MODULE and what goes with it. */
void token_add_module(struct worker_message *request, const struct station_module *module);

/* Whose PINs are remembered. Borrows the facts. */
struct pin_token token_pin_of(const struct token_facts *token, bool is_officer);
bool token_has_flag(const struct token_facts *token, const char *word);

/* One login (login.c), or a refusal: what the token's flags forbid, and after a refused PIN every PIN that is not typed by
 * a person. */
bool token_login_request(struct worker_message *request, struct token_facts *facts,
			 const struct station_pin *pin, const struct token_uri *uri,
			 struct muster_error *err) MUST_CHECK;
/* Remembers a refusal on disk, and that an answer did not come; forgets both after a login that was accepted. False with the
 * login's failure. */
bool token_login_settle(struct token_facts *facts, const struct worker_message *reply,
			const struct muster_error *outcome, struct muster_error *err) MUST_CHECK;
/* What the failure of a request that sent a PIN says of it. */
enum pin_answer token_pin_answer(const struct muster_error *failure);

/* A PIN that was accepted can be refused later, by the login after a lost session: from now on that is remembered on disk,
 * too, whatever the worker was asked. Borrows the facts. */
void token_watch(struct token_facts *facts, struct worker *worker);

/* The same as steps' halves (see struct step). */
bool token_open_start(struct job *job, struct muster_error *err);
bool token_open_finish(struct job *job, const struct muster_error *outcome,
		       struct muster_error *err);
bool token_login_start(struct job *job, struct muster_error *err);
bool token_login_finish(struct job *job, const struct muster_error *outcome,
			struct muster_error *err);

/* A signer over one private key of the token; borrows the job. Blocks up to 5 s per signature. */
struct token_signer {
	struct signer signer;
	struct worker *worker;
	struct bytes key_id; /* borrowed */
};
/* The same in parts, for who has other things to do meanwhile. */
void token_signature_ask(const struct bytes *key_id, enum signer_scheme scheme,
			 enum signer_hash hash, const struct bytes *digest,
			 struct worker_message *ret_request);
/* Borrowed from the reply. NULL on failure. */
const struct bytes *token_signature_of(const struct worker_message *reply, struct muster_error *err)
	MUST_CHECK;
void token_signer_init(struct token_signer *signer, struct worker *worker,
		       const struct bytes *key_id, const struct bytes *spki);

/* HMAC-SHA256 with a secret key of the token; borrows both. Blocks up to 5 s. */
struct token_master {
	struct hmac_key key;
	struct worker *worker;
	const char *uri;
};
void token_master_init(struct token_master *master, struct worker *worker, const char *uri);

/* One private key by URI: its CKA_ID, SPKI and (NULL: not asked for) attributes in words. CAUSE_KEY_NOT_FOUND when there is none. Blocks up to 30 s. */
bool token_key_find(struct worker *worker, const char *uri, struct bytes *ret_id,
		    struct bytes *ret_spki, char **ret_attributes, struct muster_error *err)
	MUST_CHECK;
/* The SPKI of the one private key of that CKA_ID. */
bool token_key_of_id(struct worker *worker, const struct bytes *id, struct bytes *ret_spki,
		     struct muster_error *err) MUST_CHECK;
/* One certificate by URI: its CKA_ID, which may be empty, and its DER; of several the one that has one of the digests (NULL:
 * none). CAUSE_KEY_NOT_FOUND, CAUSE_KEY_AMBIGUOUS. */
bool token_certificate_find(struct worker *worker, const char *uri, const struct bytes *digests,
			    struct bytes *ret_id, struct bytes *ret_der, struct muster_error *err)
	MUST_CHECK;
