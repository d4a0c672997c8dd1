/* What a station says about its journal to people who were not there: signed checkpoints, anchors kept elsewhere, and the
 * audit that holds all of it together. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/encoding.h"
#include "muster/error.h"

/* The first 96 bits of a digest as six words of five letters, "lusab-babad-gutih-tugad-mudof-sakat". */
#define STATION_WORDS_SIZE 36

/* -- Checkpoints ----------------------------------------------------------------------------------------------- */

/* All borrowed. */
struct station_checkpoint_request {
	const char *journal_path;
	/* A file (PEM, mode 0600), a PKCS#11 URI with pin-source, or "tpm:handle=...;tcti=..."; NULL: station.key beside the journal,
	 * made when missing. */
	const char *key;
	bool is_new_key; /* another than that of the last checkpoint; a file that was named may be made, too */
	/* "tpm:index=0x01800100;tcti=TCTI": a counter of the station's TPM that this raises; NULL: none. Made when missing. */
	const char *counter;
	bool counter_is_new;       /* to this journal, though the TPM has it already */
	const char *anchor_path;   /* where the anchor goes, NULL: nowhere */
	const char *operator_name; /* NULL: the login user */
};

struct station_checkpoint {
	int64_t entry; /* everything up to this one is signed */
	char digest[SHA256_HEX_SIZE];
	char words[STATION_WORDS_SIZE];
	char key_digest[SHA256_HEX_SIZE]; /* of the public key (DER) */
	bool key_is_new; /* made by this call, with its public half beside it as NAME.pub */
};

/* Signs the journal's head with the station's key, records that as an entry, and writes the anchor. An anchor that is
 * there already has to be one of this journal (CAUSE_ANCHOR_MISMATCH) and is replaced; the key has to be that of the last
 * checkpoint (CAUSE_STATION_KEY_CHANGED), unless it is said to be new. */
bool station_checkpoint_make(const struct station_checkpoint_request *request,
			     struct station_checkpoint *ret_checkpoint, struct muster_error *err)
	MUST_CHECK;

/* -- The audit ------------------------------------------------------------------------------------------------- */

struct station_audit_request {
	const char *journal_path; /* or */
	const char *
		export_path; /* JSON Lines of muster journal export --entries; "-" is standard input */
	/* Anchor files, or evidence files: each, or each line of one, says what an entry's digest is. */
	const char *const *anchor_paths;
	size_t anchor_count;
	/* "ENTRY WORDS" as read aloud. */
	const char *const *spoken;
	size_t spoken_count;
	/* PEM: each checkpoint must have been signed by one of these; none: by anybody. */
	const char *const *public_key_paths;
	size_t public_key_count;
	/* The counter that checkpoints raised: as for station_checkpoint_request, or its value as somebody read it there;
	 * NULL: none. Needs a public key: a counter shows which journal is the latest, not whose. */
	const char *counter;
};

struct station_audit {
	int64_t after, last; /* the entries behind `after` up to `last` were verified */
	size_t device_count; /* rows held against the chain; 0 for an export */
	bool structure_was_checked;
	size_t checkpoint_count;
	int64_t signed_to; /* the last entry that a checkpoint covers, 0: none */
	char key_digest
		[SHA256_HEX_SIZE]; /* of the key of the last checkpoint, "" when there is none */
	int64_t proven_to;         /* the last entry that an anchor or the counter names, 0: none */
};

/* Verifies chain, device rows, checkpoints and anchors. CAUSE_JOURNAL_DAMAGED names the first bad entry;
 * CAUSE_CHECKPOINT_INVALID, CAUSE_ANCHOR_MISMATCH, CAUSE_JOURNAL_CUT. Success with proven_to 0 says nothing about the
 * end: that it was not cut off, or an older copy put back, only an anchor shows. */
bool station_audit(const struct station_audit_request *request, struct station_audit *ret_audit,
		   struct muster_error *err) MUST_CHECK;

/* -- Evidence files -------------------------------------------------------------------------------------------- */

/* DIR/REGISTRATION-ID.SUFFIX; ':' cannot stand in file names everywhere and becomes '+'. Caller frees; NULL: no memory. */
char *station_evidence_path(const char *directory, const char *registration_id, const char *suffix);

/* -- After a loss ---------------------------------------------------------------------------------------------- */

struct dps_client;

/* All borrowed. */
struct station_reconcile_request {
	const char *journal_path;       /* a new one, or one that an earlier call did not finish */
	const char *evidence_directory; /* where evidence files are, those of lines, too */
	struct dps_client *client;      /* the service that the devices are in */
	const char *operator_name;      /* NULL: the login user */
	bool needs_evidence;            /* of which there is none is left out */
	bool again; /* also into one that an earlier call made and that was used since, or of another service */
};

/* How many devices were put into the journal, and as what. */
struct station_reconciliation {
	size_t released; /* evidence, and an enrollment with that key, or of that attempt */
	size_t retired;  /* evidence, and no enrollment, or one that was disabled since */
	size_t differing; /* evidence, and another enrollment than that, or the key of another device: parked */
	size_t parked;  /* no evidence, but an enrollment that muster wrote */
	size_t foreign; /* enrollments of others: not put in */
	size_t known;   /* in the journal already */
};

/* Makes a journal again from the service's enrollments and the evidence files. Reads the service page by page and changes
 * nothing there. CAUSE_JOURNAL_EXISTS when there is a journal that did not begin so or, unless that is meant, is in use. */
bool station_reconcile(const struct station_reconcile_request *request,
		       struct station_reconciliation *ret_reconciliation, struct muster_error *err)
	MUST_CHECK;
