/* Opening, closing, transactions. */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/log.h"
#include "muster/text.h"

#include "journal-internal.h"

#define CHECK_WHOLE_MAX (16 * 1024 * 1024)
#define CHECK_TAIL 1000 /* entries */

/* A cache that holds what a transaction of many devices touches: else it is written, and synced, before its end. */
static const char settings[] = "PRAGMA cache_size = -8192;"
			       "PRAGMA cell_size_check = ON;"
			       "PRAGMA mmap_size = 0;"
			       "PRAGMA temp_store = MEMORY;"
			       "PRAGMA recursive_triggers = ON;";

static const struct {
	int option, value;
} connection_settings[] = {
	{ SQLITE_DBCONFIG_DEFENSIVE, 1 },      { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
	{ SQLITE_DBCONFIG_ENABLE_TRIGGER, 1 }, { SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
	{ SQLITE_DBCONFIG_DQS_DML, 0 },        { SQLITE_DBCONFIG_DQS_DDL, 0 },
};

static const struct {
	int limit, value;
} limits[] = {
	{ SQLITE_LIMIT_LENGTH, 1024 * 1024 },
	{ SQLITE_LIMIT_SQL_LENGTH, 64 * 1024 },
	{ SQLITE_LIMIT_ATTACHED, 0 },
	{ SQLITE_LIMIT_WORKER_THREADS, 0 },
};

void journal_close(struct journal *journal)
{
	if (!journal)
		return;
	journal_rollback(journal);
	for (size_t i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(journal->statements[i]);
	sqlite3_close(journal->db);
	closep(&journal->lock_fd); /* last: nobody else may write before the database is closed */
	free(journal->path);
	free(journal);
}

void journal_hasten(struct journal *journal)
{
	if (journal)
		journal->is_to_end = true;
}

/* A signal may have come while we wait here, where nobody takes it. */
static bool is_to_end(const struct journal *journal)
{
	sigset_t pending;

	if (journal->is_to_end)
		return true;
	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 ||
		sigismember(&pending, SIGHUP) == 1);
}

/* A writer has the file to itself but for readers. Muster's own let go at once, unless they are stopped; of a backup or
 * another tool nobody knows. Nothing is lost by waiting for them: what is to be committed stays as it is. */
static int wait_for_readers(void *context, int times)
{
	static const struct timespec pause = { .tv_nsec = 2000000 };
	struct journal *journal = context;
	int64_t waited_ms;

	if (times == 0) {
		journal->waits_since_ms = clock_now_ms();
		journal->has_told_wait = false;
	}
	waited_ms = clock_now_ms() - journal->waits_since_ms;
	if (waited_ms >= (is_to_end(journal) ? JOURNAL_BUSY_MS : JOURNAL_READERS_MS))
		return false;
	if (waited_ms >= JOURNAL_BUSY_MS && !journal->has_told_wait) {
		log_warning("another program reads the journal '%s' and does not let go of it "
			    "(fuser names it), waiting",
			    journal->path);
		journal->has_told_wait = true;
	}
	nanosleep(&pause, NULL);
	return true;
}

/* Counting its memory takes a lock for each allocation. Says no once SQLite has begun, which is as well. */
static void spare_counting(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static bool connect_database(struct journal *journal, struct muster_error *err)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE |
		    (journal->is_writer ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
	int code;

	spare_counting();
	code = sqlite3_open_v2(journal->path, &journal->db, flags, NULL);
	if (code != SQLITE_OK)
		return journal_fail(journal, code, err, "opening");
	if (journal->is_writer)
		sqlite3_busy_handler(journal->db, wait_for_readers, journal);
	else
		sqlite3_busy_timeout(journal->db, JOURNAL_BUSY_MS);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		sqlite3_limit(journal->db, limits[i].limit, limits[i].value);
	for (size_t i = 0; i < ARRAY_SIZE(connection_settings); i++) {
		code = sqlite3_db_config(journal->db, connection_settings[i].option,
					 connection_settings[i].value, NULL);
		if (code != SQLITE_OK)
			return journal_fail(journal, code, err, "hardening");
	}
	return journal_execute(journal, settings, err);
}

/* Runs a pragma and compares its first answer with `wanted`. */
static bool answers(struct journal *journal, const char *pragma, const char *wanted,
		    struct muster_error *err)
{
	CLEANUP(statement_finalizep) sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(journal->db, pragma, -1, &statement, NULL);
	const char *answer;

	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code != SQLITE_ROW)
		return journal_fail(journal, code, err, "checking");
	answer = statement_text(statement, 0);
	if (answer && strcmp(answer, wanted) == 0)
		return true;
	return muster_fail(err, CAUSE_JOURNAL_DAMAGED, "journal '%s': %s gives '%s'", journal->path,
			   pragma, PRINTABLE(answer ? answer : ""));
}

/* TRUNCATE with FULL was measured to lose nothing at any crash point; the default loses acknowledged rows. */
static bool make_durable(struct journal *journal, struct muster_error *err)
{
	return answers(journal, "PRAGMA journal_mode = TRUNCATE", "truncate", err) &&
	       journal_execute(journal, "PRAGMA synchronous = FULL", err);
}

static bool is_large(const struct journal *journal)
{
	struct stat status;

	return stat(journal->path, &status) < 0 || status.st_size > CHECK_WHOLE_MAX;
}

/* Whoever writes behind a damaged entry makes it harder to find. */
static bool check_chain(struct journal *journal, struct muster_error *err)
{
	struct journal_head head;

	return is_large(journal) ? journal_verify_tail(journal, CHECK_TAIL, err)
				 : journal_verify_chain(journal, NULL, NULL, &head, err);
}

static bool check_content(struct journal *journal, enum journal_mode mode, struct muster_error *err)
{
	if (mode == JOURNAL_INSPECT)
		return true;
	if (!is_large(journal) && !answers(journal, "PRAGMA quick_check(1)", "ok", err))
		return false;
	if (!journal_head_load(journal, err))
		return false;
	journal->opened_seq = journal->head.seq;
	return mode != JOURNAL_WRITE ||
	       (check_chain(journal, err) && journal_verify_schema(journal, err));
}

bool journal_verify_structure(struct journal *journal, bool *ret_was_checked,
			      struct muster_error *err)
{
	CLEANUP(closep) int lock = -1;
	struct muster_error busy;

	*ret_was_checked = !is_large(journal) || journal->is_writer ||
			   journal_file_lock(journal->path, &lock, &busy);
	return !*ret_was_checked || answers(journal, "PRAGMA integrity_check(1)", "ok", err);
}

static bool prepare(struct journal *journal, struct muster_error *err)
{
	return journal_statement_prepare(journal, STATEMENT_BEGIN, "BEGIN IMMEDIATE", err) &&
	       journal_statement_prepare(journal, STATEMENT_COMMIT, "COMMIT", err) &&
	       journal_entry_prepare(journal, err) && journal_device_prepare(journal, err) &&
	       journal_key_prepare(journal, err);
}

/* As reader or writer, of a version that we know; nothing of it is written yet. */
static bool open_file(const char *path, enum journal_mode mode, struct journal **ret_journal,
		      struct muster_error *err)
{
	CLEANUP(journal_freep) struct journal *journal = calloc(1, sizeof(*journal));

	if (!journal)
		return muster_fail_memory(err);
	journal->lock_fd = -1;
	journal->is_writer = mode == JOURNAL_WRITE;
	if (!journal_file_resolve(path, mode, &journal->path, err))
		return false;
	if (journal->is_writer && !journal_file_lock(journal->path, &journal->lock_fd, err))
		return false;
	if (!journal_file_check(journal->path, mode, err) || !connect_database(journal, err) ||
	    !journal_schema_check(journal, err))
		return false;
	*ret_journal = TAKE_PTR(journal);
	return true;
}

static bool open_as(const char *path, enum journal_mode mode, struct journal **ret_journal,
		    struct muster_error *err)
{
	CLEANUP(journal_freep) struct journal *journal = NULL;

	if (!open_file(path, mode, &journal, err))
		return false;
	if (journal->is_writer &&
	    (!make_durable(journal, err) || !journal_schema_migrate(journal, err)))
		return false;
	if (!prepare(journal, err) || !check_content(journal, mode, err))
		return false;
	*ret_journal = TAKE_PTR(journal);
	return true;
}

/* A run that was killed leaves its last transaction to be rolled back, which a reader may not do: it borrows the writer's
 * place for a moment. SQLite does it at the first look; nothing else of the file changes, not its version either. */
static bool recover(const char *path, struct muster_error *err)
{
	CLEANUP(journal_freep) struct journal *writer = NULL;

	return open_file(path, JOURNAL_WRITE, &writer, err);
}

bool journal_open(const char *path, enum journal_mode mode, struct journal **ret_journal,
		  struct muster_error *err)
{
	if (open_as(path, mode, ret_journal, err))
		return true;
	if (mode == JOURNAL_WRITE || err->origin != ORIGIN_SQLITE ||
	    err->native != SQLITE_READONLY_ROLLBACK)
		return false;
	return recover(path, err) && open_as(path, mode, ret_journal, err);
}

/* -- Transactions ----------------------------------------------------------------------------------------- */

/* The file under our name must still be the one we hold: a copy put in its place would get our rows. */
static bool check_place(struct journal *journal, struct muster_error *err)
{
	int has_moved = 0;

	sqlite3_file_control(journal->db, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
	if (!has_moved)
		return true;
	muster_fail(err, CAUSE_JOURNAL_WRITE,
		    "journal '%s' was moved, removed or replaced while it was open", journal->path);
	return journal_break(journal, err);
}

static bool step_once(struct journal *journal, enum statement which, const char *doing,
		      struct muster_error *err)
{
	CLEANUP(statement_resetp) sqlite3_stmt *statement = journal->statements[which];
	int code = sqlite3_step(statement);

	return code == SQLITE_DONE || journal_fail(journal, code, err, "%s", doing);
}

bool journal_begin(struct journal *journal, struct muster_error *err)
{
	if (journal->is_in_transaction || !journal->is_writer)
		return muster_fail(err, CAUSE_INTERNAL,
				   "journal '%s': a transaction cannot begin here", journal->path);
	if (journal->broken.code != MUSTER_OK || journal->damaged[0])
		return journal_may_write(journal, err);
	if (!check_place(journal, err) ||
	    !step_once(journal, STATEMENT_BEGIN, "beginning a transaction in", err))
		return false;
	journal->committed_head = journal->head;
	journal->is_in_transaction = true;
	return true;
}

bool journal_commit(struct journal *journal, struct muster_error *err)
{
	if (!journal_may_write(journal, err))
		return false;
	if (!step_once(journal, STATEMENT_COMMIT, "writing to", err)) {
		journal_break(journal, err);
		journal_rollback(journal);
		return false;
	}
	journal->is_in_transaction = false;
	return true;
}

void journal_rollback(struct journal *journal)
{
	struct muster_error failure;
	int code = SQLITE_OK;

	if (!journal->is_in_transaction)
		return;
	if (!sqlite3_get_autocommit(journal->db))
		code = sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
	if (code != SQLITE_OK) {
		journal_fail(journal, code, &failure, "taking back a transaction in");
		journal_break(journal, &failure);
	}
	journal->is_in_transaction = false;
	journal->head = journal->committed_head;
}

const char *journal_path_of(const struct journal *journal)
{
	return journal->path;
}

bool journal_is_in_transaction(const struct journal *journal)
{
	return journal->is_in_transaction;
}
