/* Masters for device keys, in a token or a file, as one thing. Private to the station. */
#pragma once

#include "custody.h"
#include "muster/encoding.h"
#include "tpm-master.h"

#define MASTER_BATCH 256

/* Ten hex digits. */
#define MASTER_CHECK_VALUE_SIZE 11

/* A master that is ready to derive. */
struct master {
	struct custody *custody; /* borrowed; NULL for a file's */
	const char *uri;
	struct hmac_sha256 *software;
	struct tpm_master *tpm;
};

/* Whether the custody has to be open for it. */
bool master_needs_token(const struct station_master_source *source);
/* `other` (or NULL) is open already, and may lie in the same TPM. */
bool master_open(const struct station_master_source *source, struct custody *custody,
		 const struct master *other, struct master *ret_master, struct muster_error *err)
	MUST_CHECK;
void master_done(struct master *master);
/* A master is random: CAUSE_MASTER_WEAK for one that a person could have typed. `what` names it. */
bool master_check_random(const struct secret *master, const char *what, struct muster_error *err)
	MUST_CHECK;
/* The same for a master whose keys are in use. */
void master_warn_weak(const struct secret *master, const char *what);
/* Keys of one text under two masters: CAUSE_MASTERS_ALIKE where they are the same. */
bool master_check_unlike(const uint8_t *primary, const uint8_t *secondary, size_t size,
			 struct muster_error *err) MUST_CHECK;
/* Whether it has that check value, ten hex digits: CAUSE_CHECK_VALUE_DIFFERS, without a word of its own. */
bool master_compare(const struct secret *master, const char *what, const char *check_value,
		    struct muster_error *err) MUST_CHECK;
/* That of the secret key that the URI names. */
bool master_check_value(struct worker *worker, const char *uri,
			char ret_hex[MASTER_CHECK_VALUE_SIZE], struct muster_error *err) MUST_CHECK;
/* That of the one with that CKA_ID. */
bool master_check_value_of(struct worker *worker, const struct bytes *id,
			   char ret_hex[MASTER_CHECK_VALUE_SIZE], struct muster_error *err)
	MUST_CHECK;
/* Before a token's master is used: warns where it could leave the token, and refuses one whose check value is not what the journal
 * (NULL: there is none) has for that label or that ID: CAUSE_MASTER_CHANGED. What is named by its ID goes by that; so does one whose
 * label went to a newer one. */
bool master_look(struct worker *worker, const struct token_facts *token, const char *uri,
		 struct journal *journal, struct muster_error *err) MUST_CHECK;
/* HMAC-SHA256 over each of up to MASTER_BATCH texts, 32 bytes each: begun on one of the custody's lines, so that all of
 * them work at a time, and ended in the same order. A line takes one more while it is busy with one. */
bool master_begin(struct master *master, size_t line, const char *const *texts, size_t count,
		  struct muster_error *err) MUST_CHECK;
bool master_end(struct master *master, size_t line, const char *const *texts, size_t count,
		uint8_t *macs, struct muster_error *err) MUST_CHECK;
