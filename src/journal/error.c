/* SQLite's result codes as causes. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "journal-internal.h"

/* By primary result code. */
static const struct {
	int code;
	enum muster_cause cause;
} causes[] = {
	{ SQLITE_FULL, CAUSE_DISK_FULL },         { SQLITE_READONLY, CAUSE_JOURNAL_WRITE },
	{ SQLITE_IOERR, CAUSE_JOURNAL_WRITE },    { SQLITE_CANTOPEN, CAUSE_JOURNAL_WRITE },
	{ SQLITE_PERM, CAUSE_JOURNAL_WRITE },     { SQLITE_AUTH, CAUSE_JOURNAL_WRITE },
	{ SQLITE_NOLFS, CAUSE_JOURNAL_WRITE },    { SQLITE_BUSY, CAUSE_JOURNAL_BUSY },
	{ SQLITE_LOCKED, CAUSE_JOURNAL_BUSY },    { SQLITE_PROTOCOL, CAUSE_JOURNAL_BUSY },
	{ SQLITE_NOTADB, CAUSE_JOURNAL_DAMAGED }, { SQLITE_CORRUPT, CAUSE_JOURNAL_DAMAGED },
	{ SQLITE_FORMAT, CAUSE_JOURNAL_DAMAGED }, { SQLITE_TOOBIG, CAUSE_JOURNAL_DAMAGED },
	{ SQLITE_NOMEM, CAUSE_MEMORY },
};

static enum muster_cause cause_of(const struct journal *journal, int code)
{
	int system_errno = journal->db ? sqlite3_system_errno(journal->db) : 0;

	/* SQLite knows a full disk only from write(); a quota, or a sync that finds no room, is for it an I/O error. */
	if ((code & 0xff) == SQLITE_IOERR && (system_errno == ENOSPC || system_errno == EDQUOT))
		return CAUSE_DISK_FULL;
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++) {
		if (causes[i].code == (code & 0xff))
			return causes[i].cause;
	}
	return CAUSE_INTERNAL;
}

bool journal_fail(const struct journal *journal, int code, struct muster_error *err,
		  const char *format, ...)
{
	char doing[256];
	const char *words = sqlite3_errstr(code);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(doing, sizeof(doing), format, arguments);
	va_end(arguments);
	if (journal->db && sqlite3_extended_errcode(journal->db) == code)
		words = sqlite3_errmsg(journal->db);
	return muster_fail_native(err, cause_of(journal, code), ORIGIN_SQLITE, (unsigned long)code,
				  "%s journal '%s': %s (SQLite %d)", doing, journal->path, words,
				  code);
}
