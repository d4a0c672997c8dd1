/* What the journal's own files share. */
#pragma once

#include <sqlite3.h>

#include "muster/journal.h"

/* How long a reader waits for the writer, and the writer for readers: when it is to end, and else. */
#define JOURNAL_BUSY_MS 5000
#define JOURNAL_READERS_MS (5 * 60 * 1000)
#define JOURNAL_PAGE_BYTES \
	(1024 * 1024) /* a page of entries ends behind the one that passes this */

/* Prepared once, when the journal is opened. */
enum statement {
	STATEMENT_BEGIN,
	STATEMENT_COMMIT,
	STATEMENT_HEAD,
	STATEMENT_ENTRY_APPEND,
	STATEMENT_ENTRY_ALL,
	STATEMENT_ENTRY_OF,
	STATEMENT_ENTRY_NOTES_OF,
	STATEMENT_KEY_FIND,
	STATEMENT_SECOND_CERTIFICATE,
	STATEMENT_SECOND_KEY,
	STATEMENT_FORMER_DIGEST,
	STATEMENT_FORMER_KEY,
	STATEMENT_DEVICE_PUT,
	STATEMENT_DEVICE_CHANGE,
	STATEMENT_DEVICE_ALL,
	STATEMENT_DEVICE_UNFINISHED,
	STATEMENT_DEVICE_CHANGED,
	STATEMENT_DEVICE_LATEST,
	STATEMENT_DEVICE_NOTED,
	STATEMENT_DEVICE_BY, /* + enum journal_key - 1 */
	STATEMENT_COUNT = STATEMENT_DEVICE_BY + JOURNAL_BY_KEY_ID,
};

struct journal {
	char *path; /* absolute, links resolved */
	sqlite3 *db;
	int lock_fd;
	bool is_writer;
	bool is_in_transaction;
	int64_t waits_since_ms; /* for a reader to let go */
	bool has_told_wait;
	bool is_to_end;
	/* The write that failed, or code MUSTER_OK: what the file holds is not known then. */
	struct muster_error broken;
	/* A device whose row is not what its entries say, or "": nothing is written any more. */
	char damaged[129];
	struct journal_head head, committed_head;
	int64_t opened_seq; /* the last entry when it was opened; what is behind it is ours */
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

/* -- error.c -- */

/* Fills *err from an SQLite result code; "doing: words (code)". Returns false. */
bool journal_fail(const struct journal *journal, int code, struct muster_error *err,
		  const char *format, ...) PRINTF_LIKE(4, 5);

/* -- file.c -- */

/* The absolute path with the directory's links resolved; the directory is made for a writer. */
bool journal_file_resolve(const char *path, enum journal_mode mode, char **ret_path,
			  struct muster_error *err) MUST_CHECK;
/* Takes PATH.lock without waiting. */
bool journal_file_lock(const char *path, int *ret_fd, struct muster_error *err) MUST_CHECK;
/* Refuses a link, a second name, another owner, a laxer mode, a network file system; makes the file for a writer. */
bool journal_file_check(const char *path, enum journal_mode mode, struct muster_error *err)
	MUST_CHECK;

/* -- schema.c -- */

/* Conditions on a device's row, the same in indexes and statements. Of a longer list after IN, SQLite makes a table each
 * time that it looks at a row. */
#define JOURNAL_IS_LIVE "state NOT IN ('failed', 'retired')"
#define JOURNAL_IS_UNFINISHED \
	"(state = 'working' OR state = 'parked' OR state = 'spooled' OR state = 'dead-letter')"

#define JOURNAL_APPLICATION_ID 0x4d555354 /* "MUST" */

/* Whose file it is and whether we know its version; writes nothing. */
bool journal_schema_check(struct journal *journal, struct muster_error *err) MUST_CHECK;
/* Brings it to the newest version, in one transaction. */
bool journal_schema_migrate(struct journal *journal, struct muster_error *err) MUST_CHECK;
/* How many versions there are; the newest. */
int journal_schema_version(void);

/* -- statement.c -- */

bool journal_execute(struct journal *journal, const char *sql, struct muster_error *err) MUST_CHECK;
/* First column of the first row; 0 when there is none. */
bool journal_query_number(struct journal *journal, const char *sql, int64_t *ret_number,
			  struct muster_error *err) MUST_CHECK;
bool journal_statement_prepare(struct journal *journal, enum statement which, const char *sql,
			       struct muster_error *err) MUST_CHECK;
void statement_resetp(sqlite3_stmt **statement);
DEFINE_FREEP(statement_finalizep, sqlite3_stmt *, sqlite3_finalize)
/* NULL binds NULL. The text must live until the reset. */
void statement_bind_text(sqlite3_stmt *statement, int index, const char *value);
/* NULL for NULL; valid until the next step. */
const char *statement_text(sqlite3_stmt *statement, int column);
/* False when a text of the row goes on behind a NUL: our readers would not see it, other tools do. */
bool statement_texts_are_whole(sqlite3_stmt *statement);
bool journal_fail_damaged(const struct journal *journal, struct muster_error *err);
/* Nothing is written any more; the first reason stays. Returns false. */
bool journal_break(struct journal *journal, const struct muster_error *why);
/* CAUSE_INTERNAL outside a transaction, the earlier failure when a write failed, CAUSE_JOURNAL_DAMAGED when a row
 * was found to be damaged. */
bool journal_may_write(const struct journal *journal, struct muster_error *err) MUST_CHECK;

/* -- device-fields.c: the columns of a device -- */

enum device_field_kind { DEVICE_TEXT, DEVICE_NUMBER, DEVICE_STATE };

struct device_field {
	const char *column;
	const char *name; /* in JSON */
	enum device_field_kind kind;
	size_t offset;
	bool is_in_entry; /* a note has it beside the body */
	bool is_set_once; /* never changed by a later put */
	bool is_indexed;  /* devices are found by it */
};

#define DEVICE_FIELD_COUNT 28
extern const struct device_field device_fields[DEVICE_FIELD_COUNT];

/* NULL is only NULL. */
bool same_text(const char *a, const char *b);
/* The member of `device` that the field is. */
const char **device_text(const struct journal_device *device, const struct device_field *field);
int64_t *device_number(const struct journal_device *device, const struct device_field *field);

/* -- chain.c -- */

bool journal_chain_digest(const uint8_t previous[JOURNAL_DIGEST_SIZE],
			  const struct journal_entry *entry,
			  uint8_t ret_digest[JOURNAL_DIGEST_SIZE], struct muster_error *err)
	MUST_CHECK;
/* Checks that `entry` is the one after *head, and moves *head there. `what` names the journal. */
bool journal_chain_follow(struct journal_head *head, const struct journal_entry *entry,
			  const char *what, struct muster_error *err) MUST_CHECK;

bool journal_kind_find(const char *name, enum journal_kind *ret_kind);

/* -- note.c -- */

#define JOURNAL_FIRST_NOTE \
	"\"created\":" /* stands in the first note of a device, and in no other */

/* Appends the note of a change; before NULL: of all there is. */
bool journal_note_changes(struct journal *journal, const struct journal_device *before,
			  const struct journal_device *after, struct muster_error *err) MUST_CHECK;

/* -- key.c -- */

/* The public key that an entry's body names, or NULL; an index has this very expression. Bodies are JSON as we print it,
 * in whose texts no bare quote stands. (SQLite's own functions for JSON are refused in a schema that is not trusted.) */
#define JOURNAL_KEY_OF_ENTRY "substr(body, nullif(instr(body, '\"publicSha256\":\"'), 0) + 16, 64)"

/* The same of what a secondary certificate or key is found by; the latter in entries that say beside which key it stands. */
#define JOURNAL_SECOND_CERTIFICATE_OF_ENTRY \
	"substr(body, nullif(instr(body, '\"secondaryCertificateSha256\":\"'), 0) + 30, 64)"
#define JOURNAL_KEY_ID_OF_ENTRY "substr(body, nullif(instr(body, '\"keyId\":\"'), 0) + 9, 32)"
#define JOURNAL_HAS_SECOND_KEY "instr(body, '\"secondaryOf\":\"') > 0"
/* And of what a device's row was found by: a note has it when it changes. */
#define JOURNAL_KEY_OF_NOTE "substr(body, nullif(instr(body, '\"keySha256\":\"'), 0) + 13, 64)"
#define JOURNAL_IS_DEVICE_NOTE "kind = 'note' AND stage = '" JOURNAL_DEVICE_STAGE "'"

bool journal_key_prepare(struct journal *journal, struct muster_error *err) MUST_CHECK;

/* -- entry.c, device.c -- */

/* journal_append() without regard to whose stage it is. */
bool journal_entry_append(struct journal *journal, struct journal_entry *entry,
			  struct muster_error *err) MUST_CHECK;
/* As journal_entries, of notes alone. */
bool journal_device_notes(struct journal *journal, const char *registration_id, int64_t after_seq,
			  journal_entry_fn callback, void *context, size_t *ret_count,
			  struct muster_error *err) MUST_CHECK;
/* Gives every row its note, for a journal from before there were notes. In the migration's transaction. */
bool journal_devices_note(struct journal *journal, struct muster_error *err) MUST_CHECK;

bool journal_entry_prepare(struct journal *journal, struct muster_error *err) MUST_CHECK;
bool journal_device_prepare(struct journal *journal, struct muster_error *err) MUST_CHECK;
/* Verifies the last `count` links of the chain that ends at the head. */
bool journal_verify_tail(struct journal *journal, int64_t count, struct muster_error *err)
	MUST_CHECK;
/* Reads the chain's end and checks its last link. */
bool journal_head_load(struct journal *journal, struct muster_error *err) MUST_CHECK;
