/* The tables, as migrations: a text per version, applied in order, those that are missing in one transaction with the number. */
#include <stdio.h>
#include <string.h>

#include "muster/text.h"

#include "journal-internal.h"

/* clang-format off */
#define DEVICE_TO_STATE \
	"CREATE TABLE device (" \
	"	id INTEGER PRIMARY KEY," \
	"	registration_id TEXT NOT NULL UNIQUE" \
	"		CHECK (length(registration_id) BETWEEN 1 AND 128 AND registration_id = lower(registration_id))," \
	"	serial TEXT," \
	"	device_id TEXT," \
	"	service TEXT," \
	"	attestation TEXT," \
	"	key_kind TEXT," \
	"	key_digest TEXT CHECK (length(key_digest) = 64)," \
	"	key_id TEXT," \
	"	key_place TEXT," \
	"	profile_name TEXT," \
	"	profile_digest TEXT," \
	"	batch TEXT," \
	"	operator TEXT," \
	"	station TEXT," \
	"	socket TEXT,"
#define DEVICE_BEHIND_STATE \
	"	stage TEXT," \
	"	attempt INTEGER NOT NULL," \
	"	attempt_id TEXT," \
	"	cause INTEGER NOT NULL," \
	"	hub TEXT," \
	"	etag TEXT," \
	"	evidence_path TEXT," \
	"	evidence_digest TEXT," \
	"	created_ms INTEGER NOT NULL," \
	"	updated_ms INTEGER NOT NULL"
#define DEVICE_INDEXES \
	"CREATE INDEX device_serial ON device(serial);" \
	"CREATE INDEX device_device_id ON device(device_id);" \
	"CREATE INDEX device_key_digest ON device(key_digest);" \
	"CREATE INDEX device_key_id ON device(key_id);"
#define DEVICE_TRIGGERS \
	"CREATE TRIGGER device_is_kept BEFORE DELETE ON device" \
	"	BEGIN SELECT raise(ABORT, 'devices are never deleted'); END;" \
	"CREATE TRIGGER device_keeps_its_name BEFORE UPDATE OF registration_id, created_ms ON device" \
	"	WHEN new.registration_id IS NOT old.registration_id OR new.created_ms IS NOT old.created_ms" \
	"	BEGIN SELECT raise(ABORT, 'a device keeps its registration ID'); END;"

static const char *const migrations[] = {
	/* 0 -> 1 */
	DEVICE_TO_STATE
	"	state TEXT NOT NULL CHECK (state IN ('working', 'parked', 'released', 'failed', 'retired')),"
	DEVICE_BEHIND_STATE
	") STRICT;"
	DEVICE_INDEXES
	"CREATE UNIQUE INDEX device_live_key ON device(key_digest)"
	"	WHERE state IN ('working', 'parked', 'released');"
	"CREATE INDEX device_unfinished ON device(registration_id) WHERE state IN ('working', 'parked');"
	DEVICE_TRIGGERS

	"CREATE TABLE entry ("
	"	seq INTEGER PRIMARY KEY CHECK (seq > 0),"
	"	registration_id TEXT NOT NULL,"
	"	at_ms INTEGER NOT NULL,"
	"	stage TEXT NOT NULL,"
	"	kind TEXT NOT NULL CHECK (kind = 'intent' OR kind = 'outcome' OR kind = 'note'),"
	"	attempt INTEGER NOT NULL,"
	"	operator TEXT NOT NULL,"
	"	station TEXT NOT NULL,"
	"	body TEXT NOT NULL CHECK (length(body) <= 65536),"
	"	digest BLOB NOT NULL CHECK (length(digest) = 32)"
	") STRICT;"
	"CREATE INDEX entry_registration_id ON entry(registration_id, seq);"
	"CREATE TRIGGER entry_is_appended BEFORE INSERT ON entry"
	"	WHEN new.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM entry)"
	"	BEGIN SELECT raise(ABORT, 'entries are numbered without gaps'); END;"
	"CREATE TRIGGER entry_is_final BEFORE UPDATE ON entry"
	"	BEGIN SELECT raise(ABORT, 'entries are never changed'); END;"
	"CREATE TRIGGER entry_is_kept BEFORE DELETE ON entry"
	"	BEGIN SELECT raise(ABORT, 'entries are never deleted'); END;",
	/* 1 -> 2 */
	"CREATE INDEX device_updated ON device(updated_ms, registration_id);",
	/* 2 -> 3: and, at the end, a note for every row without one */
	"ALTER TABLE device ADD COLUMN entry INTEGER NOT NULL DEFAULT 0;",
	/* 3 -> 4 */
	"CREATE INDEX entry_key ON entry(" JOURNAL_KEY_OF_ENTRY ")"
	"	WHERE kind = 'outcome' AND " JOURNAL_KEY_OF_ENTRY " IS NOT NULL;",
	/* 4 -> 5: more states; a check cannot be altered, so the rows move */
	"DROP INDEX device_serial; DROP INDEX device_device_id; DROP INDEX device_key_digest; DROP INDEX device_key_id;"
	"DROP INDEX device_live_key; DROP INDEX device_unfinished; DROP INDEX device_updated;"
	"DROP TRIGGER device_is_kept; DROP TRIGGER device_keeps_its_name;"
	"ALTER TABLE device RENAME TO device_before;"
	DEVICE_TO_STATE
	"	state TEXT NOT NULL CHECK (" JOURNAL_IS_UNFINISHED
	"		OR state = 'released' OR state = 'failed' OR state = 'retired'),"
	DEVICE_BEHIND_STATE
	",	entry INTEGER NOT NULL DEFAULT 0"
	") STRICT;"
	"INSERT INTO device SELECT * FROM device_before;"
	"DROP TABLE device_before;"
	DEVICE_INDEXES
	"CREATE UNIQUE INDEX device_live_key ON device(key_digest) WHERE " JOURNAL_IS_LIVE ";"
	"CREATE INDEX device_unfinished ON device(registration_id) WHERE " JOURNAL_IS_UNFINISHED ";"
	"CREATE INDEX device_updated ON device(updated_ms, registration_id);"
	DEVICE_TRIGGERS,
	/* 5 -> 6: the same in the words of today's statements */
	"DROP INDEX device_unfinished;"
	"CREATE INDEX device_unfinished ON device(registration_id) WHERE " JOURNAL_IS_UNFINISHED ";",
	/* 6 -> 7 */
	"CREATE INDEX entry_second_certificate ON entry(" JOURNAL_SECOND_CERTIFICATE_OF_ENTRY ")"
	"	WHERE kind = 'outcome' AND " JOURNAL_SECOND_CERTIFICATE_OF_ENTRY " IS NOT NULL;"
	"CREATE INDEX entry_second_key ON entry(" JOURNAL_KEY_ID_OF_ENTRY ")"
	"	WHERE kind = 'outcome' AND " JOURNAL_HAS_SECOND_KEY ";",
	/* 7 -> 8 */
	"ALTER TABLE device ADD COLUMN verification TEXT"
	"	CHECK (verification IN ('" JOURNAL_VERIFIED "', '" JOURNAL_NOT_ASKED "', '" JOURNAL_PUT_OFF "'));",
	/* 8 -> 9 */
	"CREATE INDEX entry_device_key ON entry(" JOURNAL_KEY_OF_NOTE ")"
	"	WHERE " JOURNAL_IS_DEVICE_NOTE " AND " JOURNAL_KEY_OF_NOTE " IS NOT NULL;"
	"CREATE INDEX entry_device_key_id ON entry(" JOURNAL_KEY_ID_OF_ENTRY ")"
	"	WHERE " JOURNAL_IS_DEVICE_NOTE " AND " JOURNAL_KEY_ID_OF_ENTRY " IS NOT NULL;",
};

/* clang-format on */

int journal_schema_version(void)
{
	return (int)ARRAY_SIZE(migrations);
}

/* Every row's note comes when the columns are those of today. */
static bool apply(struct journal *journal, int version, struct muster_error *err)
{
	for (; version < journal_schema_version(); version++)
		if (!journal_execute(journal, migrations[version], err))
			return muster_error_prefix(err, "migrating to version %d", version + 1);
	return journal_devices_note(journal, err);
}

static bool mark(struct journal *journal, struct muster_error *err)
{
	char marks[128];

	snprintf(marks, sizeof(marks), "PRAGMA application_id = %d; PRAGMA user_version = %d;",
		 JOURNAL_APPLICATION_ID, journal_schema_version());
	return journal_execute(journal, marks, err);
}

static bool check_whose(struct journal *journal, int64_t version, struct muster_error *err)
{
	int64_t application = 0, tables = 0;

	if (!journal_query_number(journal, "PRAGMA application_id", &application, err) ||
	    !journal_query_number(journal, "SELECT count(*) FROM sqlite_schema", &tables, err))
		return false;
	if (application == JOURNAL_APPLICATION_ID && version > 0)
		return true;
	if (application == 0 && version == 0 && tables == 0)
		return true; /* an empty file: made, and cut off before the tables were */
	return muster_fail(err, CAUSE_JOURNAL_DAMAGED,
			   "'%s' is a database of another program (application ID %lld)",
			   journal->path, (long long)application);
}

bool journal_schema_check(struct journal *journal, struct muster_error *err)
{
	int64_t version = 0;

	if (!journal_query_number(journal, "PRAGMA user_version", &version, err) ||
	    !check_whose(journal, version, err))
		return false;
	if (version > journal_schema_version())
		return muster_fail(err, CAUSE_JOURNAL_VERSION,
				   "journal '%s' has version %lld, this program knows %d",
				   journal->path, (long long)version, journal_schema_version());
	if (version < journal_schema_version() && !journal->is_writer)
		return muster_fail(err, version == 0 ? CAUSE_INPUT_NOT_FOUND : CAUSE_JOURNAL_OLDER,
				   "journal '%s' has version %lld, and has to be brought to "
				   "version %d before it is read",
				   journal->path, (long long)version, journal_schema_version());
	return true;
}

bool journal_schema_migrate(struct journal *journal, struct muster_error *err)
{
	int64_t version = 0;

	if (!journal_query_number(journal, "PRAGMA user_version", &version, err))
		return false;
	return version == journal_schema_version() ||
	       (journal_execute(journal, "BEGIN IMMEDIATE", err) &&
		apply(journal, (int)version, err) && mark(journal, err) &&
		journal_execute(journal, "COMMIT", err));
}

/* -- Whether it is ours as a whole ------------------------------------------------------------------------- */

/* What SQLite itself keeps of an ANALYZE does nothing. */
#define SCHEMA_ROWS                                                \
	"SELECT type, name, coalesce(sql, '') FROM sqlite_schema " \
	"WHERE name NOT LIKE 'sqlite\\_stat_' ESCAPE '\\' ORDER BY type, name"

static void database_closep(sqlite3 **db)
{
	sqlite3_close(*db);
}

/* What a new journal looks like: the same texts, where no file is. */
static bool make_model(struct journal *model, struct muster_error *err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY |
		    SQLITE_OPEN_NOMUTEX;
	int code = sqlite3_open_v2(":memory:", &model->db, flags, NULL);

	if (code != SQLITE_OK)
		return journal_fail(model, code, err, "making a model of");
	for (size_t i = 0; i < ARRAY_SIZE(migrations); i++)
		if (!journal_execute(model, migrations[i], err))
			return false;
	return true;
}

/* A text is missing only for want of memory. */
static bool is_whole(sqlite3_stmt *row)
{
	return sqlite3_data_count(row) == 0 ||
	       (statement_text(row, 0) && statement_text(row, 1) && statement_text(row, 2));
}

/* By type and name. What has come to its end is behind everything. */
static int compare_names(sqlite3_stmt *a, sqlite3_stmt *b)
{
	int by_type, by_name;

	if (sqlite3_data_count(a) == 0 || sqlite3_data_count(b) == 0)
		return (sqlite3_data_count(a) == 0) - (sqlite3_data_count(b) == 0);
	by_type = strcmp(statement_text(a, 0), statement_text(b, 0));
	by_name = strcmp(statement_text(a, 1), statement_text(b, 1));
	return by_type ? by_type : by_name;
}

static bool same_rows(struct journal *journal, sqlite3_stmt *ours, sqlite3_stmt *found,
		      struct muster_error *err)
{
	for (;;) {
		int code_of_ours = sqlite3_step(ours), code = sqlite3_step(found), order;
		const char *what;
		sqlite3_stmt *row;

		if (code_of_ours != SQLITE_ROW && code_of_ours != SQLITE_DONE)
			return journal_fail(journal, code_of_ours, err, "making a model of");
		if (code != SQLITE_ROW && code != SQLITE_DONE)
			return journal_fail(journal, code, err, "reading the tables of");
		if (code_of_ours == SQLITE_DONE && code == SQLITE_DONE)
			return true;
		if (!is_whole(ours) || !is_whole(found))
			return muster_fail_memory(err);
		order = compare_names(ours, found);
		if (order == 0 && strcmp(statement_text(ours, 2), statement_text(found, 2)) == 0)
			continue;
		what = order < 0 ? "is missing" : order > 0 ? "is none of muster's" : "was changed";
		row = order < 0 ? ours : found;
		return muster_fail(err, CAUSE_JOURNAL_DAMAGED, "journal '%s': the %s '%s' %s",
				   journal->path, statement_text(row, 0),
				   PRINTABLE(statement_text(row, 1)), what);
	}
}

bool journal_verify_schema(struct journal *journal, struct muster_error *err)
{
	CLEANUP(database_closep) sqlite3 *db = NULL;
	CLEANUP(statement_finalizep) sqlite3_stmt *ours = NULL, *found = NULL;
	struct journal model = { .path = journal->path };
	bool is_made = make_model(&model, err);
	int code;

	db = model.db;
	if (!is_made)
		return false;
	code = sqlite3_prepare_v2(db, SCHEMA_ROWS, -1, &ours, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(journal->db, SCHEMA_ROWS, -1, &found, NULL);
	return code == SQLITE_OK ? same_rows(journal, ours, found, err)
				 : journal_fail(journal, code, err, "reading the tables of");
}
