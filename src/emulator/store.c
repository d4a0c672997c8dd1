#include "store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "muster/text.h"

static const char *const table_names[STORE_TABLE_COUNT] = {
	"enrollments", "groups", "registrations", "operations", "challenges", "devices",
};

enum statement_kind {
	STATEMENT_GET,
	STATEMENT_INSERT,
	STATEMENT_PUT,
	STATEMENT_DELETE,
	STATEMENT_DELETE_OF_PARENT,
	STATEMENT_PAGE,
	STATEMENT_PAGE_OF_PARENT,
	STATEMENT_COUNT,
};

static const char *const statement_texts[STATEMENT_COUNT] = {
	"SELECT document FROM %s WHERE id = ?1",
	"INSERT OR IGNORE INTO %s (id, parent, document) VALUES (?1, ?2, ?3)",
	"INSERT INTO %s (id, parent, document) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET "
	"parent = excluded.parent, document = excluded.document",
	"DELETE FROM %s WHERE id = ?1",
	"DELETE FROM %s WHERE parent = ?1",
	"SELECT id, document FROM %s WHERE id > ?1 ORDER BY id LIMIT ?2",
	"SELECT id, document FROM %s WHERE id > ?1 AND parent = ?3 ORDER BY id LIMIT ?2",
};

struct store {
	sqlite3 *database;
	pthread_mutex_t lock;
	sqlite3_stmt *statements[STORE_TABLE_COUNT][STATEMENT_COUNT];
};

static bool fail(struct store *store, struct muster_error *err, const char *doing)
{
	int code = sqlite3_extended_errcode(store->database);
	enum muster_cause cause =
		(code & 0xff) == SQLITE_FULL ? CAUSE_DISK_FULL : CAUSE_EMULATOR_STATE;

	return muster_fail_native(err, cause, ORIGIN_SQLITE, (unsigned long)code,
				  "%s the emulator's store: %s", doing,
				  sqlite3_errmsg(store->database));
}

/* -- Opening ----------------------------------------------------------------------------------------------- */

static bool execute(struct store *store, const char *sql, const char *doing,
		    struct muster_error *err)
{
	if (sqlite3_exec(store->database, sql, NULL, NULL, NULL) != SQLITE_OK)
		return fail(store, err, doing);
	return true;
}

static bool make_schema(struct store *store, struct muster_error *err)
{
	for (size_t i = 0; i < STORE_TABLE_COUNT; i++) {
		CLEANUP(freep)
		char *sql = text_format(
			"CREATE TABLE IF NOT EXISTS %s (id TEXT PRIMARY KEY NOT NULL, parent TEXT, "
			"document TEXT NOT NULL); CREATE INDEX IF NOT EXISTS %s_parent ON %s (parent, id) "
			"WHERE parent IS NOT NULL",
			table_names[i], table_names[i], table_names[i]);
		if (!sql)
			return muster_fail_memory(err);
		if (!execute(store, sql, "laying out", err))
			return false;
	}
	return true;
}

static bool prepare(struct store *store, struct muster_error *err)
{
	for (size_t table = 0; table < STORE_TABLE_COUNT; table++) {
		for (size_t kind = 0; kind < STATEMENT_COUNT; kind++) {
			const char *mark = strstr(statement_texts[kind], "%s");
			CLEANUP(freep)
			char *sql =
				text_format("%.*s%s%s", (int)(mark - statement_texts[kind]),
					    statement_texts[kind], table_names[table], mark + 2);
			if (!sql)
				return muster_fail_memory(err);
			if (sqlite3_prepare_v3(store->database, sql, -1, SQLITE_PREPARE_PERSISTENT,
					       &store->statements[table][kind], NULL) != SQLITE_OK)
				return fail(store, err, "preparing");
		}
	}
	return true;
}

static bool open_database(struct store *store, const char *path, struct muster_error *err)
{
	const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

	if (sqlite3_open_v2(path, &store->database, flags, NULL) != SQLITE_OK)
		return fail(store, err, "opening");
	return execute(store,
		       "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; "
		       "PRAGMA synchronous = NORMAL; BEGIN EXCLUSIVE",
		       "opening", err) &&
	       make_schema(store, err) && execute(store, "COMMIT", "laying out", err) &&
	       prepare(store, err);
}

bool store_open(const char *path, struct store **ret_store, struct muster_error *err)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return muster_fail_memory(err);
	pthread_mutex_init(&store->lock, NULL);
	if (!open_database(store, path, err)) {
		store_close(store);
		return false;
	}
	*ret_store = store;
	return true;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	for (size_t table = 0; table < STORE_TABLE_COUNT; table++)
		for (size_t kind = 0; kind < STATEMENT_COUNT; kind++)
			sqlite3_finalize(store->statements[table][kind]);
	sqlite3_close(store->database);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

/* -- Lock and transactions --------------------------------------------------------------------------------- */

void store_lock(struct store *store)
{
	pthread_mutex_lock(&store->lock);
}

void store_unlock(struct store *store)
{
	pthread_mutex_unlock(&store->lock);
}

bool store_begin(struct store *store, struct muster_error *err)
{
	return execute(store, "BEGIN IMMEDIATE", "writing", err);
}

bool store_commit(struct store *store, struct muster_error *err)
{
	if (execute(store, "COMMIT", "writing", err))
		return true;
	store_rollback(store);
	return false;
}

void store_rollback(struct store *store)
{
	(void)sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
}

/* -- Documents --------------------------------------------------------------------------------------------- */

static void bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	if (text)
		(void)sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

static void done(sqlite3_stmt *statement)
{
	(void)sqlite3_reset(statement);
	(void)sqlite3_clear_bindings(statement);
}

bool store_get(struct store *store, enum store_table table, const char *id, char **ret_document,
	       struct muster_error *err)
{
	sqlite3_stmt *statement = store->statements[table][STATEMENT_GET];
	char *document = NULL;

	bind_text(statement, 1, id);
	int code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		document = strdup((const char *)sqlite3_column_text(statement, 0));
	bool is_good = code == SQLITE_DONE || document;
	if (!is_good)
		(void)fail(store, err, "reading");
	done(statement);
	if (is_good)
		*ret_document = document;
	return is_good;
}

static bool change(struct store *store, sqlite3_stmt *statement, const char *id, const char *parent,
		   const char *document, bool *ret_changed, struct muster_error *err)
{
	bind_text(statement, 1, id);
	bind_text(statement, 2, parent);
	bind_text(statement, 3, document);
	bool is_good = sqlite3_step(statement) == SQLITE_DONE;
	if (is_good)
		*ret_changed = sqlite3_changes(store->database) > 0;
	else
		(void)fail(store, err, "writing");
	done(statement);
	return is_good;
}

bool store_insert(struct store *store, enum store_table table, const char *id, const char *parent,
		  const char *document, bool *ret_inserted, struct muster_error *err)
{
	return change(store, store->statements[table][STATEMENT_INSERT], id, parent, document,
		      ret_inserted, err);
}

bool store_put(struct store *store, enum store_table table, const char *id, const char *parent,
	       const char *document, struct muster_error *err)
{
	bool changed;

	return change(store, store->statements[table][STATEMENT_PUT], id, parent, document,
		      &changed, err);
}

bool store_delete(struct store *store, enum store_table table, const char *id, bool *ret_deleted,
		  struct muster_error *err)
{
	return change(store, store->statements[table][STATEMENT_DELETE], id, NULL, NULL,
		      ret_deleted, err);
}

bool store_delete_children(struct store *store, enum store_table table, const char *parent,
			   struct muster_error *err)
{
	bool changed;

	return change(store, store->statements[table][STATEMENT_DELETE_OF_PARENT], parent, NULL,
		      NULL, &changed, err);
}

bool store_page(struct store *store, enum store_table table, const char *parent, const char *after,
		int limit, store_visit visit, void *context, struct muster_error *err)
{
	sqlite3_stmt *statement =
		store->statements[table][parent ? STATEMENT_PAGE_OF_PARENT : STATEMENT_PAGE];
	int code;

	bind_text(statement, 1, after);
	(void)sqlite3_bind_int(statement, 2, limit);
	bind_text(statement, 3, parent);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW)
		if (!visit(context, (const char *)sqlite3_column_text(statement, 0),
			   (const char *)sqlite3_column_text(statement, 1)))
			break;
	bool is_good = code == SQLITE_DONE || code == SQLITE_ROW;
	if (!is_good)
		(void)fail(store, err, "reading");
	done(statement);
	return is_good;
}
