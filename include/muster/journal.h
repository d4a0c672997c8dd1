/* The durable record of a station: one row per device, and an append-only chain of what was meant and what came of
 * it. One writer per file; nothing here decides what a stage means, and no secret is ever stored.
 *
 * A journal belongs to one provisioning service. A file that does not exist is made (mode 0600, directory 0700).
 * Texts are UTF-8; times are milliseconds since 1970 UTC; digests of keys, profiles and files are 64 lower-case hex
 * digits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/text.h"

struct journal;

#define JOURNAL_DIGEST_SIZE 32
#define JOURNAL_BODY_MAX (64 * 1024)
#define JOURNAL_PAGE_MAX 500
/* Of the notes that the journal itself adds to each change of a device. */
#define JOURNAL_DEVICE_STAGE "device"

/* -- Devices: the summary, always derivable from the entries -------------------------------------------------- */

/* Frozen: stored by name. Live devices (all but the failed and the retired) hold their key: no two have the same one. */
enum journal_state {
	JOURNAL_WORKING = 1, /* under way, or cut off: the next run goes on with it */
	JOURNAL_PARKED,   /* waits for the network, a retry or a person; also "outcome unknown" */
	JOURNAL_RELEASED, /* done: enrolled, verified, evidence written */
	JOURNAL_FAILED,   /* ended, and it is known that no enrollment of ours exists */
	JOURNAL_RETIRED,  /* was released once; its enrollment is gone by decision */
	JOURNAL_SPOOLED, /* its hardware work is done; waits for the network, and the device need not */
	JOURNAL_DEAD, /* ended without a success too often; waits for a person, and is not tried by itself */
};

/* "working", "parked", ... */
const char *journal_state_name(enum journal_state state);
bool journal_state_is_live(enum journal_state state);
/* False when there is no state of that name. */
bool journal_state_find(const char *name, enum journal_state *ret_state) MUST_CHECK;

/* Data only. Texts are borrowed: for journal_device_put() point them where you like; after journal_device_find()
 * they lie in `storage` until journal_device_done(). NULL is "not known (yet)". */
struct journal_device {
	const char *
		registration_id; /* the device's name here; needed; folded to lower case by the journal */
	const char *serial;
	const char *device_id;
	const char *service;     /* the DPS it is enrolled in: ID scope or host */
	const char *attestation; /* "tpm", "x509", "symmetricKey" */
	const char *
		key_kind; /* what key_digest is of: "ek" (TPM2B_PUBLIC), "certificate" (DER), "derived" */
	const char *key_digest; /* SHA-256 in hex; unique over live devices */
	const char *key_id; /* PKCS#11 CKA_ID in hex, chosen and recorded before the key is made */
	const char *key_place; /* token URI without PIN, or TPM handle */
	const char *profile_name;
	const char *profile_digest;
	const char *batch;    /* digest of the manifest it came with */
	const char *operator; /* who started the last attempt */
	const char *station;  /* host name */
	const char *socket;   /* the place on the bench: TCTI, port */
	enum journal_state state;
	const char *stage;      /* the last stage begun */
	int64_t attempt;        /* counts runs of this device, from 1 */
	const char *attempt_id; /* 32 hex digits; travels in the enrollment's device information */
	int64_t cause;          /* E-code of the last failure, 0 for none */
	const char *hub;        /* assigned hub */
	const char *verification; /* of a released one: JOURNAL_VERIFIED, ...; NULL: not known */
	const char *etag;         /* of the enrollment as last read */
	const char *evidence_path;
	const char *evidence_digest;
	int64_t created_ms; /* set at the first put, never changed */
	int64_t updated_ms; /* set by you: the time of this change */
	int64_t entry;      /* set by the journal: the entry that notes this change */
	char *storage;      /* private: what the texts point into after reading */
};

/* Whether the device itself has registered. */
#define JOURNAL_VERIFIED "verified"
#define JOURNAL_NOT_ASKED "not-asked" /* the profile or the sample did not ask for it */
#define JOURNAL_PUT_OFF "put-off"     /* asked for, but the device was not at hand */

void journal_device_done(struct journal_device *device);

/* As people and programs read it: registrationId, serial, deviceId, ... state, cause ("E5107"), created and updated as
 * RFC 3339. What is not known is left out. Caller deletes; NULL when out of memory. */
cJSON *journal_device_json(const struct journal_device *device);

/* -- Entries: what happened ----------------------------------------------------------------------------------- */

enum journal_kind {
	JOURNAL_INTENT = 1, /* an outside effect is about to be started */
	JOURNAL_OUTCOME,    /* what came of it */
	JOURNAL_NOTE,
};

const char *journal_kind_name(enum journal_kind kind);

/* Texts borrowed, as above; in callbacks they are valid until the callback returns. */
struct journal_entry {
	int64_t seq;                 /* set by the journal: 1, 2, 3, ... without gaps */
	const char *registration_id; /* NULL or "" for the journal's own entries */
	int64_t at_ms;               /* wall clock */
	const char *stage;           /* "attest", "enroll", ...; "journal" for its own */
	enum journal_kind kind;
	int64_t attempt;      /* as in the device row */
	const char *operator; /* may be NULL */
	const char *station;  /* may be NULL */
	const char *body;     /* one line of JSON, at most JOURNAL_BODY_MAX bytes, never a secret */
	/* SHA-256 over the previous entry's digest (32 zero bytes before the first) and this entry's fields as netstrings
	 * ("LENGTH:BYTES,") in the order seq, registration ID, at, stage, kind, attempt, operator, station, body,
	 * numbers in decimal. Set by the journal. */
	uint8_t digest[JOURNAL_DIGEST_SIZE];
};

/* seq, at (RFC 3339), stage, kind, attempt, operator, station, body (an object), digest (hex). Caller deletes; NULL when
 * out of memory. */
cJSON *journal_entry_json(const struct journal_entry *entry);

/* -- Open and close ------------------------------------------------------------------------------------------- */

enum journal_mode {
	/* The one writer; CAUSE_JOURNAL_BUSY at once when there is another. A reader that does not let go makes it wait: with a
	 * warning after 5 s, for five minutes at most, and no longer than 5 s once it is to end: journal_hasten(), or a signal is pending. */
	JOURNAL_WRITE,
	JOURNAL_READ, /* any number beside the writer; each call is one short transaction; waits up to 5 s */
	JOURNAL_INSPECT, /* JOURNAL_READ of a file that may be damaged: its content is not looked at when it is opened */
};

/* CAUSE_JOURNAL_WRITE, _BUSY, _VERSION, _OLDER (to be read), _DAMAGED or CAUSE_DISK_FULL. JOURNAL_READ of a file that does not exist is
 * CAUSE_INPUT_NOT_FOUND. Blocks for disk. A file under 16 MiB is checked as a whole before it is written, of a larger one
 * the last thousand entries. */
bool journal_open(const char *path, enum journal_mode mode, struct journal **ret_journal,
		  struct muster_error *err) MUST_CHECK;
/* Rolls back what is not committed; NULL is fine. */
void journal_close(struct journal *journal);
DEFINE_FREEP(journal_freep, struct journal *, journal_close)

/* directory_state()/journal.db: where the journal is when nothing else is said. Caller frees; NULL as there. */
char *journal_default_path(void);
/* Where an open journal is, its folder without symbolic links; borrowed. */
const char *journal_path_of(const struct journal *journal);
/* The first that is said, else the default. CAUSE_JOURNAL_UNSET when there is no home directory to have one in. */
bool journal_path_choose(const char *given, const char *configured, char **ret_path,
			 struct muster_error *err) MUST_CHECK;
/* Refuses (CAUSE_DISK_FULL) when the journal's file system has not the room for that many more devices plus a
 * reserve of 10 MiB. Asked before a run starts; the journal need not exist yet. */
bool journal_check_space(const char *path, size_t devices, struct muster_error *err) MUST_CHECK;

/* -- Writing -------------------------------------------------------------------------------------------------- */

/* One transaction at a time; put and append only inside one. A commit returns when the disk has it.
 *
 * A commit that fails means UNKNOWN, not "no": the rows may be there after all. After it, and after a put or append that
 * failed with anything but CAUSE_KEY_TAKEN, the journal refuses everything; close it, open it again, and read what
 * it holds. Start no effect whose intent was not committed. */
bool journal_begin(struct journal *journal, struct muster_error *err) MUST_CHECK;
bool journal_commit(struct journal *journal, struct muster_error *err) MUST_CHECK;
/* No-op outside a transaction. */
void journal_rollback(struct journal *journal);
/* The run was told to end: readers are not waited for any longer. NULL is fine. */
void journal_hasten(struct journal *journal);
bool journal_is_in_transaction(const struct journal *journal);

/* Inserts or replaces the row of device->registration_id (created_ms stays), and appends a note of stage "device" with
 * what that changes: rows can always be held against the chain, and one of before the journal was opened is.
 * CAUSE_KEY_TAKEN, and nothing changed, when another live device holds key_digest. */
bool journal_device_put(struct journal *journal, const struct journal_device *device,
			struct muster_error *err) MUST_CHECK;
/* Appends; sets entry->seq and entry->digest. */
bool journal_append(struct journal *journal, struct journal_entry *entry, struct muster_error *err)
	MUST_CHECK;

/* -- Reading; also by the writer, inside or outside a transaction --------------------------------------------- */

enum journal_key {
	JOURNAL_BY_REGISTRATION_ID = 1, /* folded before it is looked up */
	JOURNAL_BY_SERIAL,
	JOURNAL_BY_DEVICE_ID,
	JOURNAL_BY_KEY_DIGEST, /* of an EK or of a certificate: its SHA-256 thumbprint */
	JOURNAL_BY_KEY_ID,
};

/* The live device if there is one, else the one changed last. *ret_found false when there is none (not an error).
 * Free with journal_device_done. */
bool journal_device_find(struct journal *journal, enum journal_key key, const char *value,
			 struct journal_device *ret_device, bool *ret_found,
			 struct muster_error *err) MUST_CHECK;

/* The same by the name of its secondary key or certificate; JOURNAL_BY_KEY_DIGEST or JOURNAL_BY_KEY_ID. */
bool journal_device_find_second(struct journal *journal, enum journal_key key, const char *value,
				struct journal_device *ret_device, bool *ret_found,
				struct muster_error *err) MUST_CHECK;

/* The device that had it in one of its lives, by its primary key or certificate; that may be another one than it has now. */
bool journal_device_find_former(struct journal *journal, enum journal_key key, const char *value,
				struct journal_device *ret_device, bool *ret_found,
				struct muster_error *err) MUST_CHECK;

/* False with *err stops the walk. Must be quick: the reader's lock is held meanwhile. No writing inside. */
typedef bool (*journal_device_fn)(void *context, const struct journal_device *device,
				  struct muster_error *err);
/* Every device that the value is of, live or not, by the index of that key. Not to be nested with another look by the same key. */
bool journal_device_find_each(struct journal *journal, enum journal_key key, const char *value,
			      journal_device_fn callback, void *context, struct muster_error *err)
	MUST_CHECK;
typedef bool (*journal_entry_fn)(void *context, const struct journal_entry *entry,
				 struct muster_error *err);

/* A place in the order of last changes. { 0 } is before the first, { since_ms } before the first of that time. */
struct journal_cursor {
	int64_t updated_ms;
	char registration_id[129];
	bool newest_first; /* the other way round; start with updated_ms INT64_MAX */
};
/* Devices in the order of the time of their last change: the page of at most JOURNAL_PAGE_MAX rows behind *cursor, which moves to
 * the last one given. *ret_count 0: the end. Forwards, a device that changes meanwhile comes again with its change, and none
 * is left out, as long as the clock is not set back. */
bool journal_devices_changed(struct journal *journal, struct journal_cursor *cursor,
			     journal_device_fn callback, void *context, size_t *ret_count,
			     struct muster_error *err) MUST_CHECK;
/* The same in the order of the entries that note their last change, which no clock is part of: behind *entry, which moves likewise. */
bool journal_devices_noted(struct journal *journal, int64_t *entry, journal_device_fn callback,
			   void *context, size_t *ret_count, struct muster_error *err) MUST_CHECK;
/* Devices in the order of registration IDs: the page of at most JOURNAL_PAGE_MAX rows behind `after` (NULL: from the
 * start). *ret_count rows were given; 0: the end. */
bool journal_devices(struct journal *journal, const char *after, journal_device_fn callback,
		     void *context, size_t *ret_count, struct muster_error *err) MUST_CHECK;
/* The same, of devices that wait for something: working, parked, spooled or dead. */
bool journal_unfinished(struct journal *journal, const char *after, journal_device_fn callback,
			void *context, size_t *ret_count, struct muster_error *err) MUST_CHECK;
/* Entries of one device (NULL: of all), ascending, the page behind `after_seq` (0: from the start). Large entries make
 * smaller pages. */
bool journal_entries(struct journal *journal, const char *registration_id, int64_t after_seq,
		     journal_entry_fn callback, void *context, size_t *ret_count,
		     struct muster_error *err) MUST_CHECK;
/* The same, page after page to the end. */
bool journal_entries_all(struct journal *journal, const char *registration_id,
			 journal_entry_fn callback, void *context, struct muster_error *err)
	MUST_CHECK;

/* The first outcome whose body has this "publicSha256": who made a key with that public half. *ret_seq is 0 when nobody did.
 * Inside a transaction what has been appended counts. */
bool journal_key_find(struct journal *journal, const char *public_sha256, int64_t *ret_seq,
		      struct muster_error *err) MUST_CHECK;

/* The chain's end: last seq and its digest. Inside a transaction what has been appended counts. */
struct journal_head {
	int64_t seq;
	uint8_t digest[JOURNAL_DIGEST_SIZE];
};
bool journal_head(struct journal *journal, struct journal_head *ret_head, struct muster_error *err)
	MUST_CHECK;
/* Walks the whole chain page by page; CAUSE_JOURNAL_DAMAGED names the first bad entry. callback (may be NULL) is called
 * for each entry that is good. It cannot see that the end was cut off: compare *ret_head with a head kept elsewhere. */
bool journal_verify_chain(struct journal *journal, journal_entry_fn callback, void *context,
			  struct journal_head *ret_head, struct muster_error *err) MUST_CHECK;
/* Checks the database itself: pages, indexes, constraints. Of a large one only while nobody writes, because it takes long;
 * else *ret_was_checked is false. */
bool journal_verify_structure(struct journal *journal, bool *ret_was_checked,
			      struct muster_error *err) MUST_CHECK;
/* Holds the tables, indexes and triggers against those of a new journal: CAUSE_JOURNAL_DAMAGED names the first that differs. */
bool journal_verify_schema(struct journal *journal, struct muster_error *err) MUST_CHECK;
/* Holds a device's row, as the writer has found it, against its notes: CAUSE_JOURNAL_DAMAGED, and nothing is written any more. */
bool journal_device_verify(struct journal *journal, const struct journal_device *device,
			   struct muster_error *err) MUST_CHECK;
/* Holds every device's row against its notes in a chain that is good. */
bool journal_verify_devices(struct journal *journal, size_t *ret_count, struct muster_error *err)
	MUST_CHECK;

/* -- The chain as text: JSON Lines for verifiers that have no database ------------------------------------------ */

/* {"schema":"muster.journal/1","after":N,"digest":HEX}, then a line per entry behind N, then
 * {"schema":"muster.journal/1","last":N,"digest":HEX}. Bodies are strings, so that a digest can be made of them as they are;
 * no spaces, members in this order. A failure shows in text_ok(). */
void journal_text_begin(struct text *out, const struct journal_head *before);
void journal_text_entry(struct text *out, const struct journal_entry *entry);
void journal_text_end(struct text *out, const struct journal_head *head);
/* Reads such a text and verifies it as journal_verify_chain does; `name` is for messages. *ret_before is where it begins,
 * entry 0 unless it is a part, and is there before the first callback. */
bool journal_text_verify(FILE *stream, const char *name, journal_entry_fn callback, void *context,
			 struct journal_head *ret_before, struct journal_head *ret_head,
			 struct muster_error *err) MUST_CHECK;
