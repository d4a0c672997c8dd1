/* Prepared statements, and the few that are not worth preparing. */
#include <string.h>

#include "journal-internal.h"

bool journal_execute(struct journal *journal, const char *sql, struct muster_error *err)
{
	int code = sqlite3_exec(journal->db, sql, NULL, NULL, NULL);

	/* Nothing is wrong with the statement: it is a file format of another SQLite. */
	if (code == SQLITE_ERROR)
		return muster_fail_native(err, CAUSE_JOURNAL_DAMAGED, ORIGIN_SQLITE, SQLITE_ERROR,
					  "journal '%s' cannot be read: %s", journal->path,
					  sqlite3_errmsg(journal->db));
	return code == SQLITE_OK || journal_fail(journal, code, err, "setting up");
}

bool journal_query_number(struct journal *journal, const char *sql, int64_t *ret_number,
			  struct muster_error *err)
{
	CLEANUP(statement_finalizep) sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(journal->db, sql, -1, &statement, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return journal_fail(journal, code, err, "reading");
	*ret_number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	return true;
}

/* The tables are ours by their mark; when they do not fit our statements, the file is not what it says. */
bool journal_statement_prepare(struct journal *journal, enum statement which, const char *sql,
			       struct muster_error *err)
{
	int code;

	if (journal->statements[which])
		return true; /* by a migration */
	code = sqlite3_prepare_v3(journal->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
				  &journal->statements[which], NULL);

	if (code == SQLITE_ERROR)
		return muster_fail_native(err, CAUSE_JOURNAL_DAMAGED, ORIGIN_SQLITE, SQLITE_ERROR,
					  "journal '%s' lacks a table or column: %s", journal->path,
					  sqlite3_errmsg(journal->db));
	return code == SQLITE_OK || journal_fail(journal, code, err, "preparing for");
}

void statement_resetp(sqlite3_stmt **statement)
{
	if (!*statement)
		return;
	sqlite3_reset(*statement);
	sqlite3_clear_bindings(*statement);
}

void statement_bind_text(sqlite3_stmt *statement, int index, const char *value)
{
	sqlite3_bind_text(statement, index, value, -1, SQLITE_STATIC);
}

const char *statement_text(sqlite3_stmt *statement, int column)
{
	return (const char *)sqlite3_column_text(statement, column);
}

bool statement_texts_are_whole(sqlite3_stmt *statement)
{
	for (int i = 0; i < sqlite3_column_count(statement); i++) {
		const char *text = sqlite3_column_type(statement, i) == SQLITE_TEXT
					   ? statement_text(statement, i)
					   : NULL;

		if (text && strlen(text) != (size_t)sqlite3_column_bytes(statement, i))
			return false;
	}
	return true;
}

bool journal_fail_damaged(const struct journal *journal, struct muster_error *err)
{
	return muster_fail(err, CAUSE_JOURNAL_DAMAGED,
			   "journal '%s': the row of device '%s' is not what its entries say",
			   journal->path, PRINTABLE(journal->damaged));
}

bool journal_break(struct journal *journal, const struct muster_error *why)
{
	if (journal->broken.code == MUSTER_OK)
		journal->broken = *why;
	return false;
}

bool journal_may_write(const struct journal *journal, struct muster_error *err)
{
	if (journal->damaged[0])
		return journal_fail_damaged(journal, err);
	if (journal->broken.code != MUSTER_OK) {
		*err = journal->broken;
		return false;
	}
	if (!journal->is_writer || !journal->is_in_transaction)
		return muster_fail(err, CAUSE_INTERNAL,
				   "journal '%s': written to outside a transaction", journal->path);
	return true;
}
