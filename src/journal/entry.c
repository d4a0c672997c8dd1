/* Entries: appended, read back, verified. */
#include <string.h>

#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/text.h"

#include "journal-internal.h"

#define ENTRY_COLUMNS \
	"seq, registration_id, at_ms, stage, kind, attempt, operator, station, body, digest"

static const char *const kind_names[] = {
	[JOURNAL_INTENT] = "intent",
	[JOURNAL_OUTCOME] = "outcome",
	[JOURNAL_NOTE] = "note",
};

static const struct {
	enum statement which;
	const char *sql;
} statements[] = {
	{ STATEMENT_HEAD, "SELECT " ENTRY_COLUMNS " FROM entry ORDER BY seq DESC LIMIT 2" },
	{ STATEMENT_ENTRY_APPEND,
	  "INSERT INTO entry(" ENTRY_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)" },
	{ STATEMENT_ENTRY_ALL,
	  "SELECT " ENTRY_COLUMNS " FROM entry WHERE seq > ?1 ORDER BY seq LIMIT ?2" },
	{ STATEMENT_ENTRY_OF, "SELECT " ENTRY_COLUMNS " FROM entry "
			      "WHERE registration_id = ?3 AND seq > ?1 ORDER BY seq LIMIT ?2" },
	{ STATEMENT_ENTRY_NOTES_OF,
	  "SELECT " ENTRY_COLUMNS " FROM entry WHERE registration_id = ?3 AND seq > ?1 AND "
	  "stage = '" JOURNAL_DEVICE_STAGE "' ORDER BY seq LIMIT ?2" },
};

bool journal_entry_prepare(struct journal *journal, struct muster_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		if (!journal_statement_prepare(journal, statements[i].which, statements[i].sql,
					       err))
			return false;
	}
	return true;
}

const char *journal_kind_name(enum journal_kind kind)
{
	return kind_names[kind];
}

bool journal_kind_find(const char *name, enum journal_kind *ret_kind)
{
	for (size_t i = JOURNAL_INTENT; i < ARRAY_SIZE(kind_names); i++) {
		if (strcmp(kind_names[i], name) == 0) {
			*ret_kind = (enum journal_kind)i;
			return true;
		}
	}
	return false;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

/* -- Appending -------------------------------------------------------------------------------------------- */

static bool check_entry(const struct journal_entry *entry, struct muster_error *err)
{
	const char *body = or_empty(entry->body);

	if (entry->kind < JOURNAL_INTENT || entry->kind > JOURNAL_NOTE || !entry->stage)
		return muster_fail(err, CAUSE_INTERNAL, "a journal entry without stage or kind");
	if (body[0] != '{' || strlen(body) > JOURNAL_BODY_MAX || strchr(body, '\n') ||
	    !text_is_utf8(body, strlen(body)))
		return muster_fail(err, CAUSE_INTERNAL,
				   "the body of a journal entry is not one line of JSON of at most "
				   "%d bytes",
				   JOURNAL_BODY_MAX);
	return true;
}

static int insert(sqlite3_stmt *statement, const struct journal_entry *entry)
{
	sqlite3_bind_int64(statement, 1, entry->seq);
	statement_bind_text(statement, 2, or_empty(entry->registration_id));
	sqlite3_bind_int64(statement, 3, entry->at_ms);
	statement_bind_text(statement, 4, entry->stage);
	statement_bind_text(statement, 5, journal_kind_name(entry->kind));
	sqlite3_bind_int64(statement, 6, entry->attempt);
	statement_bind_text(statement, 7, or_empty(entry->operator));
	statement_bind_text(statement, 8, or_empty(entry->station));
	statement_bind_text(statement, 9, entry->body);
	sqlite3_bind_blob(statement, 10, entry->digest, JOURNAL_DIGEST_SIZE, SQLITE_STATIC);
	return sqlite3_step(statement);
}

bool journal_entry_append(struct journal *journal, struct journal_entry *entry,
			  struct muster_error *err)
{
	CLEANUP(freep) char *folded = strdup(or_empty(entry->registration_id));
	CLEANUP(statement_resetp)
	sqlite3_stmt *statement = journal->statements[STATEMENT_ENTRY_APPEND];
	struct journal_entry row = *entry;
	int code;

	if (!folded)
		return muster_fail_memory(err);
	if (!journal_may_write(journal, err) || !check_entry(entry, err))
		return false;
	text_fold(folded);
	row.registration_id = folded;
	row.seq = journal->head.seq + 1;
	if (!journal_chain_digest(journal->head.digest, &row, row.digest, err))
		return false;
	code = insert(statement, &row);
	if (code != SQLITE_DONE) {
		journal_fail(journal, code, err, "appending to");
		return journal_break(journal, err);
	}
	entry->seq = journal->head.seq = row.seq;
	memcpy(entry->digest, row.digest, sizeof(row.digest));
	memcpy(journal->head.digest, row.digest, sizeof(row.digest));
	return true;
}

bool journal_append(struct journal *journal, struct journal_entry *entry, struct muster_error *err)
{
	if (entry->stage && strcmp(entry->stage, JOURNAL_DEVICE_STAGE) == 0)
		return muster_fail(err, CAUSE_INTERNAL,
				   "the notes of devices are the journal's own");
	return journal_entry_append(journal, entry, err);
}

/* A body that cannot be read as JSON (a damaged row) is given as the text that it is. */
static bool add_body(cJSON *object, const char *text)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	struct muster_error unread;

	if (!json_parse(text, strlen(text), "body", &body, &unread))
		return json_add_text(object, "body", text);
	return json_add_item(object, "body", TAKE_PTR(body));
}

cJSON *journal_entry_json(const struct journal_entry *entry)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	char at[RFC3339_SIZE], digest[2 * JOURNAL_DIGEST_SIZE + 1];

	if (!object || !json_add_int64(object, "seq", entry->seq) ||
	    !json_add_text(object, "registrationId", or_empty(entry->registration_id)) ||
	    !json_add_text(object, "at", rfc3339_format(at, entry->at_ms)) ||
	    !json_add_text(object, "stage", or_empty(entry->stage)) ||
	    !json_add_text(object, "kind", journal_kind_name(entry->kind)) ||
	    !json_add_int64(object, "attempt", entry->attempt) ||
	    !json_add_text(object, "operator", or_empty(entry->operator)) ||
	    !json_add_text(object, "station", or_empty(entry->station)) ||
	    !add_body(object, or_empty(entry->body)) ||
	    !json_add_text(object, "digest",
			   hex_encode(digest, entry->digest, JOURNAL_DIGEST_SIZE)))
		return NULL;
	return TAKE_PTR(object);
}

/* -- Reading ---------------------------------------------------------------------------------------------- */

static bool entry_from_row(const struct journal *journal, sqlite3_stmt *row,
			   struct journal_entry *ret_entry, struct muster_error *err)
{
	struct journal_entry entry = {
		.seq = sqlite3_column_int64(row, 0),
		.registration_id = statement_text(row, 1),
		.at_ms = sqlite3_column_int64(row, 2),
		.stage = statement_text(row, 3),
		.attempt = sqlite3_column_int64(row, 5),
		.operator= statement_text(row, 6),
		.station = statement_text(row, 7),
		.body = statement_text(row, 8),
	};
	const char *kind = statement_text(row, 4);
	const void *digest = sqlite3_column_blob(row, 9);

	if (!kind || !journal_kind_find(kind, &entry.kind) || !statement_texts_are_whole(row) ||
	    sqlite3_column_bytes(row, 9) != JOURNAL_DIGEST_SIZE)
		return muster_fail(err, CAUSE_JOURNAL_DAMAGED,
				   "journal '%s': entry %lld is malformed", journal->path,
				   (long long)entry.seq);
	memcpy(entry.digest, digest, JOURNAL_DIGEST_SIZE);
	*ret_entry = entry;
	return true;
}

static bool walk(struct journal *journal, sqlite3_stmt *statement, journal_entry_fn callback,
		 void *context, size_t *ret_count, struct muster_error *err)
{
	struct journal_entry entry = { 0 };
	size_t count = 0, bytes = 0;
	int code = SQLITE_DONE;

	while (bytes < JOURNAL_PAGE_BYTES && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!entry_from_row(journal, statement, &entry, err) ||
		    !callback(context, &entry, err))
			return false;
		bytes += (size_t)sqlite3_column_bytes(statement, 8);
		count++;
	}
	if (code != SQLITE_DONE && code != SQLITE_ROW)
		return journal_fail(journal, code, err, "reading");
	*ret_count = count;
	return true;
}

static bool page(struct journal *journal, enum statement which, const char *registration_id,
		 int64_t after_seq, journal_entry_fn callback, void *context, size_t *ret_count,
		 struct muster_error *err)
{
	CLEANUP(freep) char *folded = strdup(or_empty(registration_id));
	CLEANUP(statement_resetp) sqlite3_stmt *statement = journal->statements[which];

	if (!folded)
		return muster_fail_memory(err);
	text_fold(folded);
	sqlite3_bind_int64(statement, 1, after_seq);
	sqlite3_bind_int64(statement, 2, JOURNAL_PAGE_MAX);
	if (registration_id)
		statement_bind_text(statement, 3, folded);
	return walk(journal, statement, callback, context, ret_count, err);
}

bool journal_entries(struct journal *journal, const char *registration_id, int64_t after_seq,
		     journal_entry_fn callback, void *context, size_t *ret_count,
		     struct muster_error *err)
{
	return page(journal, registration_id ? STATEMENT_ENTRY_OF : STATEMENT_ENTRY_ALL,
		    registration_id, after_seq, callback, context, ret_count, err);
}

struct whole {
	journal_entry_fn callback;
	void *context;
	int64_t seq;
};

static bool pass_on(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct whole *whole = context;

	whole->seq = entry->seq;
	return whole->callback(whole->context, entry, err);
}

bool journal_entries_all(struct journal *journal, const char *registration_id,
			 journal_entry_fn callback, void *context, struct muster_error *err)
{
	struct whole whole = { callback, context, 0 };
	size_t count;

	do {
		if (!journal_entries(journal, registration_id, whole.seq, pass_on, &whole, &count,
				     err))
			return false;
	} while (count > 0);
	return true;
}

bool journal_device_notes(struct journal *journal, const char *registration_id, int64_t after_seq,
			  journal_entry_fn callback, void *context, size_t *ret_count,
			  struct muster_error *err)
{
	return page(journal, STATEMENT_ENTRY_NOTES_OF, registration_id, after_seq, callback,
		    context, ret_count, err);
}

/* Of the last two entries, the later one first: ends with the one before the last. */
static bool remember_last(void *context, const struct journal_entry *entry,
			  struct muster_error *err)
{
	struct journal_head *previous = context;

	(void)err;
	previous->seq = entry->seq;
	memcpy(previous->digest, entry->digest, JOURNAL_DIGEST_SIZE);
	return true;
}

struct verification {
	struct journal *journal;
	struct journal_head head;
	journal_entry_fn callback;
	void *context;
};

static bool follow(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct verification *verification = context;

	return journal_chain_follow(&verification->head, entry, verification->journal->path, err);
}

/* A device that has entries has a row. */
static bool check_row_of(struct journal *journal, const struct journal_entry *entry,
			 struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	bool is_found = false;

	if (strcmp(entry->stage, JOURNAL_DEVICE_STAGE) != 0 ||
	    !strstr(entry->body, JOURNAL_FIRST_NOTE))
		return true;
	if (!journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, entry->registration_id,
				 &device, &is_found, err))
		return false;
	return is_found ||
	       muster_fail(err, CAUSE_JOURNAL_DAMAGED,
			   "journal '%s': device '%s' of entry %lld has no row", journal->path,
			   PRINTABLE(entry->registration_id), (long long)entry->seq);
}

static bool verify_entry(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct verification *verification = context;

	return follow(verification, entry, err) &&
	       check_row_of(verification->journal, entry, err) &&
	       (!verification->callback ||
		verification->callback(verification->context, entry, err));
}

static bool read_previous(struct journal *journal, struct journal_head *previous, size_t *ret_count,
			  struct muster_error *err)
{
	CLEANUP(statement_resetp) sqlite3_stmt *statement = journal->statements[STATEMENT_HEAD];

	return walk(journal, statement, remember_last, previous, ret_count, err);
}

bool journal_head_load(struct journal *journal, struct muster_error *err)
{
	struct verification verification = { .journal = journal };
	struct journal_head previous = { 0 };
	size_t count = 0;

	if (!read_previous(journal, &previous, &count, err))
		return false;
	if (count == 2)
		verification.head = previous;
	if (!journal_entries(journal, NULL, verification.head.seq, follow, &verification, &count,
			     err))
		return false;
	journal->head = verification.head;
	return true;
}

bool journal_head(struct journal *journal, struct journal_head *ret_head, struct muster_error *err)
{
	if (!journal->is_writer && !journal_head_load(journal, err))
		return false;
	*ret_head = journal->head;
	return true;
}

static bool verify_from(struct verification *verification, struct muster_error *err)
{
	size_t count = 0;

	do {
		int64_t after = verification->head.seq;

		if (journal_entries(verification->journal, NULL, after, verify_entry, verification,
				    &count, err))
			continue;
		if (err->origin == ORIGIN_SQLITE)
			muster_error_prefix(err, "behind entry %lld", (long long)after);
		return false;
	} while (count > 0);
	return true;
}

bool journal_verify_chain(struct journal *journal, journal_entry_fn callback, void *context,
			  struct journal_head *ret_head, struct muster_error *err)
{
	struct verification verification = { .journal = journal,
					     .callback = callback,
					     .context = context };

	if (!verify_from(&verification, err))
		return false;
	*ret_head = verification.head;
	return true;
}

static bool take_head(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct journal_head *head = context;

	(void)err;
	if (head->seq != 0)
		return true;
	head->seq = entry->seq;
	memcpy(head->digest, entry->digest, JOURNAL_DIGEST_SIZE);
	return true;
}

bool journal_verify_tail(struct journal *journal, int64_t count, struct muster_error *err)
{
	struct verification verification = { .journal = journal };
	size_t unused;

	if (journal->head.seq > count &&
	    !journal_entries(journal, NULL, journal->head.seq - count - 1, take_head,
			     &verification.head, &unused, err))
		return false;
	return verify_from(&verification, err);
}
