/* What the journal's tests share: a directory per test, and calls that must succeed. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "muster/encoding.h"
#include "muster/journal.h"
#include "muster/text.h"

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char directory[64];
static char path[96];
static struct muster_error err;

static inline int set_up(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/muster-test-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/journal.db", directory);
	memset(&err, 0, sizeof(err));
	return 0;
}

static inline int remove_one(const char *name, const struct stat *status, int kind,
			     struct FTW *walk)
{
	(void)status, (void)kind, (void)walk;
	return remove(name);
}

static inline int tear_down(void **state)
{
	(void)state;
	return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline struct journal *must_open(enum journal_mode mode)
{
	struct journal *journal = NULL;

	if (!journal_open(path, mode, &journal, &err))
		fail_msg("%s", err.message);
	return journal;
}

static inline void refuses_to_open(enum journal_mode mode, enum muster_cause cause)
{
	struct journal *journal = NULL;

	assert_false(journal_open(path, mode, &journal, &err));
	if (err.cause != cause)
		fail_msg("E%d: %s", err.cause, err.message);
}

static inline struct journal_device device_of(const char *registration_id, const char *key_digest)
{
	return (struct journal_device){
		.registration_id = registration_id,
		.serial = "A17-0042",
		.device_id = "pump-42",
		.attestation = "tpm",
		.key_kind = "ek",
		.key_digest = key_digest,
		.key_id = "0011",
		.state = JOURNAL_WORKING,
		.stage = "attest",
		.attempt = 1,
		.updated_ms = 1000,
	};
}

static inline void must_put(struct journal *journal, const struct journal_device *device)
{
	if (!journal_device_put(journal, device, &err))
		fail_msg("%s", err.message);
}

static inline void must_append(struct journal *journal, const char *registration_id,
			       const char *body)
{
	struct journal_entry entry = {
		.registration_id = registration_id,
		.at_ms = 1764000000000,
		.stage = "enroll",
		.kind = JOURNAL_INTENT,
		.attempt = 1,
		.operator= "ada",
		.body = body,
	};

	if (!journal_append(journal, &entry, &err))
		fail_msg("%s", err.message);
}

static inline void must_begin(struct journal *journal)
{
	if (!journal_begin(journal, &err))
		fail_msg("%s", err.message);
}

static inline void must_commit(struct journal *journal)
{
	if (!journal_commit(journal, &err))
		fail_msg("%s", err.message);
}

/* `count` entries and one device, whose note is entry count + 1, committed and closed. */
static inline void make_journal(int count)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_device device = device_of("dev-1", KEY_A);

	must_begin(journal);
	for (int i = 0; i < count; i++)
		must_append(journal, "dev-1", "{\"n\":1}");
	must_put(journal, &device);
	must_commit(journal);
	journal_close(journal);
}

/* Somebody else's tool, without our triggers. */
static inline void tamper(const char *sql)
{
	sqlite3 *db = NULL;
	char *words = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &words) != SQLITE_OK)
		fail_msg("%s: %s", sql, words);
	sqlite3_close(db);
}

static inline int64_t head_seq(struct journal *journal)
{
	struct journal_head head;

	assert_true(journal_head(journal, &head, &err));
	return head.seq;
}

/* Runs `body` in a child that starts with nothing open; returns its exit status or 128 + signal. */
static inline int in_child(void (*body)(void))
{
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
