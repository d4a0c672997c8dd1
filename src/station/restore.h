/* A device's row and entries made again from what is left of it. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/journal.h"

#include "who.h"

/* What is known of one device. */
struct remains {
	const char *registration_id; /* folded */
	const char *host;            /* of the service that was read */
	const cJSON *evidence;       /* or NULL */
	const char *evidence_text;   /* the file's bytes */
	const char *evidence_path;
	const cJSON *enrollment; /* as the service has it, or NULL */
	bool key_is_taken;       /* by another live device */
	bool is_former;          /* the evidence of a life that has ended: another one follows */
};

/* The state it is in: released, parked (an enrollment of ours without evidence, or another one than the evidence's, by its
 * key or, where none tells, its attempt, or with the key of another device), retired (evidence alone, or an enrollment that was
 * disabled since). */
enum journal_state restore_state(const struct remains *remains);
/* Inside a transaction. CAUSE_KEY_TAKEN, and nothing was written, when another live device has its key. */
bool restore_device(struct journal *journal, const struct remains *remains, const struct who *who,
		    struct muster_error *err) MUST_CHECK;
