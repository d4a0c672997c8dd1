/* A production under way: its units, and the lines to the token that work on them. Private to cert produce. */
#pragma once

#include "certify.h"
#include "issuer.h"
#include "produce.h"

/* Less than what a next run can settle. */
enum { UNDER_WAY_MAX = 60 };

/* In their order. What waits has no key before the device's primary unit has one. What is noted is announced by the next commit, what is signed is recorded by it. */
enum unit_state {
	UNIT_WAITING,
	UNIT_NOTED,
	UNIT_TO_MAKE,
	UNIT_MAKING,
	UNIT_LINTED,
	UNIT_TO_SIGN,
	UNIT_SIGNING,
	UNIT_SIGNED,
	UNIT_RECORDED,
	UNIT_FAILED,
};

/* A certificate to be made, and the key for it. Where the profile wants two, a device has two units, the primary one in front. */
struct unit {
	enum unit_state state;
	bool is_secondary;
	bool has_own_key; /* else that of the primary one */
	struct produced_name name;
	struct station_key_choice choice;
	struct custody_key key;
	struct pki_linted *linted;
	struct bytes certificate;    /* DER */
	char terms[SHA256_HEX_SIZE]; /* what the profile says of it */
};

/* It is busy with the first of its units, and has the second at hand. */
enum { LINE_DEPTH = 2 };
struct line {
	struct worker *worker;
	bool makes, signs;
	struct unit *units[LINE_DEPTH];
	size_t count;
};

struct production {
	const struct station_produce *request;
	struct profile profile;
	struct serials serials;
	struct custody custody,
		elsewhere; /* the devices' token, and the issuer's if that is another */
	struct custody_key issuer_key;
	struct bytes issuer_file; /* as it was approved; NULL: not looked at */
	X509 *issuer_certificate; /* NULL: each key signs for itself */
	struct file_sink sink;
	struct earlier earlier;
	struct bytes id; /* of this production; random */
	cJSON *approval; /* who approved it, for the record; NULL: nobody was asked */

	struct line lines[CUSTODY_LINES_MAX + 1];
	size_t line_count;
	struct unit units[UNDER_WAY_MAX]; /* a ring: unit n is n % UNDER_WAY_MAX */
	size_t parts;                     /* units of a device, 1 or 2 */
	size_t begun, ended;              /* units; always whole devices */
	size_t written, adopted;
	cJSON *left_out; /* registration IDs: a key of theirs is recorded, and they are not in the file */
	struct muster_error failure; /* the first; nothing new is begun after it */
};

/* Profile and serials, checked as a whole. Touches nothing else. */
bool production_read(struct production *production, struct muster_error *err) MUST_CHECK;
/* What of it has to be approved, by digest: profile, serials, and the files that the profile names. */
bool production_subjects(struct production *production, cJSON **ret_subjects,
			 struct muster_error *err) MUST_CHECK;
void production_done(struct production *production);

/* It has to be under way. */
struct unit *production_unit(struct production *production, size_t number);
/* Of those under way the first in that state, or NULL. */
struct unit *production_first(struct production *production, enum unit_state state);
bool production_is_stopped(const struct production *production);
/* Nothing new is begun after the first failure. */
void production_unit_failed(struct production *production, struct unit *unit,
			    const struct muster_error *failure);

/* Gives the unit the key of the device's primary one, of which there is the public half, and says what is to be signed. */
bool production_follow(const struct production *production, struct unit *unit,
		       const struct bytes *key_id, EVP_PKEY *public_key, struct muster_error *err)
	MUST_CHECK;

/* What the device is called, and what its certificate depends on. */
bool production_unit_name(const struct production *production, const char *serial,
			  bool is_secondary, struct produced_name *ret_name,
			  char terms[SHA256_HEX_SIZE], struct muster_error *err) MUST_CHECK;
/* No private key of the token has the label of one that is going to be made: CAUSE_LABEL_OF_ANOTHER. Before the first is. */
bool production_check_labels(const struct production *production, struct muster_error *err)
	MUST_CHECK;

/* CKA_ID of the key that signs for the unit: the issuer's, or its own. */
const struct bytes *production_signer(const struct production *production, const struct unit *unit);

/* Gives each line what it can do next. Never blocks. */
void production_ask(struct production *production);
/* Takes the replies that have come, checks what they bring, and has their lines go on. */
void production_take(struct production *production);
/* Waits for a reply or a deadline; false when no line is busy. */
bool production_wait(const struct production *production) MUST_CHECK;
