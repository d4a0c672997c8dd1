/* Transactions, kills in the middle, full disks, flipped bytes. */
#include "journal-fixture.h"

static void writes_inside_a_transaction_only(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_device device = device_of("dev-1", KEY_A);

	(void)state;
	assert_false(journal_device_put(journal, &device, &err));
	assert_int_equal(err.cause, CAUSE_INTERNAL);
	must_begin(journal);
	assert_true(journal_is_in_transaction(journal));
	assert_false(journal_begin(journal, &err));
	must_put(journal, &device);
	must_commit(journal);
	assert_false(journal_is_in_transaction(journal));
	journal_close(journal);
}

static void forgets_what_is_rolled_back(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_head head;

	(void)state;
	must_begin(journal);
	must_append(journal, NULL, "{\"n\":1}");
	must_commit(journal);
	must_begin(journal);
	must_append(journal, NULL, "{\"n\":2}");
	assert_int_equal(head_seq(journal), 2);
	journal_rollback(journal);
	assert_int_equal(head_seq(journal), 1);
	must_begin(journal);
	must_append(journal, NULL, "{\"n\":3}");
	must_commit(journal);
	assert_true(journal_verify_chain(journal, NULL, NULL, &head, &err));
	assert_int_equal(head.seq, 2);
	journal_close(journal);
}

static void lets_a_reader_in_beside_the_writer(void **state)
{
	struct journal *writer = must_open(JOURNAL_WRITE);
	struct journal *reader = must_open(JOURNAL_READ);

	(void)state;
	must_begin(writer);
	must_append(writer, NULL, "{}");
	assert_int_equal(head_seq(reader), 0);
	must_commit(writer);
	assert_int_equal(head_seq(reader), 1);
	assert_false(journal_begin(reader, &err));
	journal_close(reader);
	journal_close(writer);
}

static void write_and_die(void)
{
	struct journal *journal = NULL;

	if (!journal_open(path, JOURNAL_WRITE, &journal, &err) || !journal_begin(journal, &err))
		_exit(99);
	must_append(journal, "dev-1", "{\"n\":2}");
	raise(SIGKILL);
}

static void loses_only_what_was_not_committed_when_killed(void **state)
{
	struct journal_head head;
	struct journal *journal;

	(void)state;
	make_journal(3);
	assert_int_equal(in_child(write_and_die), 128 + SIGKILL);
	journal = must_open(JOURNAL_WRITE);
	assert_true(journal_verify_chain(journal, NULL, NULL, &head, &err));
	assert_int_equal(head.seq, 4);
	journal_close(journal);
}

/* Dies with a rollback journal that must be played back: SQLite has spilt pages into the file already. */
static void spill_and_die(void)
{
	static char body[60000];
	struct journal *journal = NULL;

	memset(body, ' ', sizeof(body) - 1);
	body[0] = '{';
	body[sizeof(body) - 2] = '}';
	if (!journal_open(path, JOURNAL_WRITE, &journal, &err) || !journal_begin(journal, &err))
		_exit(99);
	for (int i = 0; i < 100; i++)
		must_append(journal, "dev-1", body);
	raise(SIGKILL);
}

static void lets_a_reader_play_back_what_a_killed_run_left(void **state)
{
	struct journal_head head;
	struct journal *journal;

	(void)state;
	make_journal(3);
	assert_int_equal(in_child(spill_and_die), 128 + SIGKILL);
	journal = must_open(JOURNAL_READ);
	assert_true(journal_verify_chain(journal, NULL, NULL, &head, &err));
	assert_int_equal(head.seq, 4);
	journal_close(journal);
}

/* Whoever holds it up may do so for minutes, but not once we are to end. */
static void gives_up_on_a_reader_when_it_is_to_end(void **state)
{
	struct journal *writer = must_open(JOURNAL_WRITE);
	sqlite3 *reader = NULL;
	sigset_t term, before;
	int number = 0;

	(void)state;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &before);
	assert_int_equal(sqlite3_open(path, &reader), SQLITE_OK);
	assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT * FROM entry", NULL, NULL, NULL),
			 SQLITE_OK);
	must_begin(writer);
	must_append(writer, NULL, "{}");
	assert_int_equal(raise(SIGTERM), 0);
	assert_false(journal_commit(writer, &err));
	assert_int_equal(err.cause, CAUSE_JOURNAL_BUSY);
	assert_false(journal_begin(writer, &err));
	sqlite3_close(reader);
	journal_close(writer);
	sigwait(&term, &number);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

static struct journal *limited;

static void fill_until_it_fails(void)
{
	static char body[30000];

	memset(body, ' ', sizeof(body) - 1);
	body[0] = '{';
	body[sizeof(body) - 2] = '}';
	for (int i = 0; i < 1000; i++) {
		struct journal_entry entry = { .stage = "s", .kind = JOURNAL_NOTE, .body = body };

		if (!journal_begin(limited, &err))
			return;
		if (!journal_append(limited, &entry, &err) || !journal_commit(limited, &err)) {
			journal_rollback(limited);
			return;
		}
	}
	fail_msg("the disk never was full");
}

/* After a failed write nothing more is taken, for the same reason, and the file, opened again, holds together. */
static void check_refusal_and_reopening(enum muster_cause cause)
{
	struct muster_error second;
	struct journal_head head;

	if (err.cause != cause)
		fail_msg("E%d: %s", err.cause, err.message);
	assert_false(journal_begin(limited, &second));
	assert_string_equal(second.message, err.message);
	assert_int_equal(second.cause, cause);
	journal_close(limited);
	limited = must_open(JOURNAL_READ);
	assert_true(journal_verify_chain(limited, NULL, NULL, &head, &err));
	assert_true(head.seq > 0);
	journal_close(limited);
}

static void write_over_the_file_size_limit(void)
{
	struct rlimit limit = { 1024 * 1024, 1024 * 1024 };

	signal(SIGXFSZ, SIG_IGN);
	limited = must_open(JOURNAL_WRITE);
	setrlimit(RLIMIT_FSIZE, &limit);
	fill_until_it_fails();
	check_refusal_and_reopening(CAUSE_JOURNAL_WRITE);
}

static void stops_at_a_write_that_fails(void **state)
{
	(void)state;
	assert_int_equal(in_child(write_over_the_file_size_limit), 0);
}

static void stops_when_the_disk_is_full(void **state)
{
	(void)state;
	if (mount("muster-test", directory, "tmpfs", MS_NOSUID | MS_NODEV, "size=2m") < 0)
		return; /* not root, or no mounts here: the file size limit above stands for it */
	limited = must_open(JOURNAL_WRITE);
	fill_until_it_fails();
	check_refusal_and_reopening(CAUSE_DISK_FULL);
	assert_false(journal_check_space(path, 1, &err));
	assert_int_equal(err.cause, CAUSE_DISK_FULL);
	assert_int_equal(umount(directory), 0);
}

/* Every byte of a small journal: opening or walking it notices, or what it holds is unchanged. No crash. */
static void survives_any_flipped_byte(void **state)
{
	struct journal_head original, head;
	struct journal *journal;
	struct stat status;
	int fd;

	(void)state;
	make_journal(5);
	journal = must_open(JOURNAL_READ);
	assert_true(journal_head(journal, &original, &err));
	journal_close(journal);
	assert_int_equal(stat(path, &status), 0);
	for (off_t at = 0; at < status.st_size; at += 61) {
		uint8_t byte, flipped;

		fd = open(path, O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		flipped = byte ^ 0xff;
		assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
		close(fd);
		journal = NULL;
		if (journal_open(path, JOURNAL_READ, &journal, &err) &&
		    journal_verify_chain(journal, NULL, NULL, &head, &err))
			assert_memory_equal(&head, &original, sizeof(head));
		journal_close(journal);
		fd = open(path, O_RDWR);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(writes_inside_a_transaction_only),
		CASE(forgets_what_is_rolled_back),
		CASE(lets_a_reader_in_beside_the_writer),
		CASE(loses_only_what_was_not_committed_when_killed),
		CASE(lets_a_reader_play_back_what_a_killed_run_left),
		CASE(gives_up_on_a_reader_when_it_is_to_end),
		CASE(stops_at_a_write_that_fails),
		CASE(stops_when_the_disk_is_full),
		CASE(survives_any_flipped_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
