/* What is found by the entries, each through an index of its own: which keys this station has made, by the "publicSha256" of an
 * outcome, and whose a secondary key or certificate, or the key of an earlier life, is. */
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

static bool find_through(struct journal *journal, enum statement which, const char *value,
			 struct journal_device *ret_device, bool *ret_found,
			 struct muster_error *err)
{
	CLEANUP(statement_resetp) sqlite3_stmt *statement = journal->statements[which];
	const char *id;
	int code;

	*ret_found = false;
	statement_bind_text(statement, 1, value);
	code = sqlite3_step(statement);
	if (code == SQLITE_DONE)
		return true;
	if (code != SQLITE_ROW)
		return journal_fail(journal, code, err, "looking for whose a key is in");
	id = statement_text(statement, 0);
	if (!id)
		return muster_fail_memory(err);
	return journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, id, ret_device, ret_found,
				   err);
}

bool journal_device_find_second(struct journal *journal, enum journal_key key, const char *value,
				struct journal_device *ret_device, bool *ret_found,
				struct muster_error *err)
{
	return find_through(journal,
			    key == JOURNAL_BY_KEY_ID ? STATEMENT_SECOND_KEY
						     : STATEMENT_SECOND_CERTIFICATE,
			    value, ret_device, ret_found, err);
}

bool journal_device_find_former(struct journal *journal, enum journal_key key, const char *value,
				struct journal_device *ret_device, bool *ret_found,
				struct muster_error *err)
{
	return find_through(
		journal, key == JOURNAL_BY_KEY_ID ? STATEMENT_FORMER_KEY : STATEMENT_FORMER_DIGEST,
		value, ret_device, ret_found, err);
}

bool journal_key_prepare(struct journal *journal, struct muster_error *err)
{
	static const struct {
		enum statement which;
		const char *sql;
	} rows[] = {
		{ STATEMENT_KEY_FIND,
		  "SELECT seq FROM entry WHERE kind = 'outcome' AND " JOURNAL_KEY_OF_ENTRY
		  " = ?1 ORDER BY seq LIMIT 1" },
		{ STATEMENT_SECOND_CERTIFICATE,
		  "SELECT registration_id FROM entry WHERE kind = 'outcome' AND " JOURNAL_SECOND_CERTIFICATE_OF_ENTRY
		  " = ?1 ORDER BY seq DESC LIMIT 1" },
		{ STATEMENT_SECOND_KEY,
		  "SELECT registration_id FROM entry WHERE kind = 'outcome' AND " JOURNAL_HAS_SECOND_KEY
		  " AND " JOURNAL_KEY_ID_OF_ENTRY " = ?1 ORDER BY seq DESC LIMIT 1" },
		{ STATEMENT_FORMER_DIGEST,
		  "SELECT registration_id FROM entry WHERE " JOURNAL_IS_DEVICE_NOTE
		  " AND " JOURNAL_KEY_OF_NOTE " = ?1 ORDER BY seq DESC LIMIT 1" },
		{ STATEMENT_FORMER_KEY,
		  "SELECT registration_id FROM entry WHERE " JOURNAL_IS_DEVICE_NOTE
		  " AND " JOURNAL_KEY_ID_OF_ENTRY " = ?1 ORDER BY seq DESC LIMIT 1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!journal_statement_prepare(journal, rows[i].which, rows[i].sql, err))
			return false;
	return true;
}
