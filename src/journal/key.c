/* Which keys this station has made: an outcome that says "publicSha256" is found by it, through an index. */
#include "journal-internal.h"

bool journal_key_find(struct journal *journal, const char *public_sha256, int64_t *ret_seq,
		      struct muster_error *err)
{
	CLEANUP(statement_resetp)
	sqlite3_stmt *statement = journal->statements[STATEMENT_KEY_FIND];
	int code;

	statement_bind_text(statement, 1, public_sha256);
	code = sqlite3_step(statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return journal_fail(journal, code, err, "looking for a public key in");
	*ret_seq = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	return true;
}

bool journal_key_prepare(struct journal *journal, struct muster_error *err)
{
	return journal_statement_prepare(
		journal, STATEMENT_KEY_FIND,
		"SELECT seq FROM entry WHERE kind = 'outcome' AND " JOURNAL_KEY_OF_ENTRY " = ?1 "
		"ORDER BY seq LIMIT 1",
		err);
}
