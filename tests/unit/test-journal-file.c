/* Whose file, which version, where: what is opened and what is refused. */
#include "journal-fixture.h"

static void makes_a_private_file_and_directory(void **state)
{
	struct stat status;
	struct journal *journal;

	(void)state;
	snprintf(path, sizeof(path), "%s/state/journal.db", directory);
	journal = must_open(JOURNAL_WRITE);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	snprintf(path, sizeof(path), "%s/state", directory);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	journal_close(journal);
}

static void refuses_a_second_writer_at_once(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);

	(void)state;
	refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_BUSY);
	journal_close(journal);
	journal_close(must_open(JOURNAL_WRITE));
}

static void refuses_a_link(void **state)
{
	char target[96];

	(void)state;
	make_journal(1);
	snprintf(target, sizeof(target), "%s/other.db", directory);
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
	refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_WRITE);
	refuses_to_open(JOURNAL_READ, CAUSE_JOURNAL_WRITE);
}

static void refuses_a_second_name(void **state)
{
	char other[96];

	(void)state;
	make_journal(1);
	snprintf(other, sizeof(other), "%s/other.db", directory);
	assert_int_equal(link(path, other), 0);
	refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_WRITE);
}

static void refuses_a_file_readable_by_others(void **state)
{
	(void)state;
	make_journal(1);
	assert_int_equal(chmod(path, 0640), 0);
	refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_WRITE);
	assert_int_equal(chmod(path, 0600), 0);
	journal_close(must_open(JOURNAL_WRITE));
}

static void become_nobody_and_write(void)
{
	struct journal *journal;

	if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
		_exit(99);
	_exit(journal_open(path, JOURNAL_WRITE, &journal, &err) ? 0 : (int)(err.cause / 100));
}

static void refuses_a_directory_it_cannot_write(void **state)
{
	(void)state;
	assert_int_equal(chmod(directory, 0555), 0);
	assert_int_equal(in_child(become_nobody_and_write), CAUSE_JOURNAL_WRITE / 100);
	assert_int_equal(chmod(directory, 0700), 0);
}

static void refuses_another_owner(void **state)
{
	(void)state;
	if (geteuid() != 0)
		return; /* nobody else's file can be made here */
	make_journal(1);
	assert_int_equal(chown(path, 65534, 65534), 0);
	refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_WRITE);
	journal_close(must_open(JOURNAL_READ)); /* root may look */
}

static void refuses_a_database_of_another_program(void **state)
{
	(void)state;
	tamper("CREATE TABLE t(x)");
	assert_int_equal(chmod(path, 0600), 0);
	refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_DAMAGED);
	tamper("PRAGMA application_id = 7");
	refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_DAMAGED);
}

static void refuses_what_is_no_database(void **state)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_int_equal(write(fd, "not a database, ", 16), 16);
	close(fd);
	refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_DAMAGED);
}

static void refuses_a_newer_version(void **state)
{
	(void)state;
	make_journal(1);
	tamper("PRAGMA user_version = 99");
	refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_VERSION);
	refuses_to_open(JOURNAL_READ, CAUSE_JOURNAL_VERSION);
}

static void migrates_an_empty_file_from_version_zero(void **state)
{
	(void)state;
	close(open(path, O_WRONLY | O_CREAT, 0600));
	refuses_to_open(JOURNAL_READ, CAUSE_INPUT_NOT_FOUND);
	make_journal(1);
	journal_close(must_open(JOURNAL_READ));
}

static void refuses_a_journal_without_its_tables(void **state)
{
	(void)state;
	make_journal(1);
	tamper("DROP TABLE device");
	refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_DAMAGED);
}

/* Nothing in it says so: what the chain proves is that entries are as they were written. */
static void refuses_to_write_behind_a_changed_table_or_trigger(void **state)
{
	static const char *const changes[] = {
		"DROP TRIGGER entry_is_kept",
		"DROP TRIGGER entry_is_final; CREATE TRIGGER entry_is_final BEFORE UPDATE ON entry"
		"	WHEN new.operator IS NULL BEGIN SELECT raise(ABORT, 'entries are never changed'); END",
		"CREATE TRIGGER zzz AFTER INSERT ON entry BEGIN DELETE FROM device; END",
		"CREATE TABLE a(b)",
		"DROP INDEX device_live_key",
		"PRAGMA writable_schema = ON;"
		"UPDATE sqlite_schema SET sql = replace(sql, '65536', '65537') WHERE name = 'entry'",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct journal *journal;

		make_journal(1);
		tamper("ANALYZE");
		journal = must_open(JOURNAL_WRITE);
		assert_true(journal_verify_schema(journal, &err));
		journal_close(journal);
		tamper(changes[i]);
		refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_DAMAGED);
		journal = must_open(JOURNAL_INSPECT);
		assert_false(journal_verify_schema(journal, &err));
		assert_int_equal(err.cause, CAUSE_JOURNAL_DAMAGED);
		journal_close(journal);
		assert_int_equal(unlink(path), 0);
	}
}

static void notices_that_it_was_replaced_while_open(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);

	(void)state;
	assert_int_equal(unlink(path), 0);
	assert_false(journal_begin(journal, &err));
	assert_int_equal(err.cause, CAUSE_JOURNAL_WRITE);
	journal_close(journal);
}

static void refuses_a_reader_where_nothing_is(void **state)
{
	(void)state;
	refuses_to_open(JOURNAL_READ, CAUSE_INPUT_NOT_FOUND);
	assert_int_equal(access(path, F_OK), -1);
}

static void asks_for_room_before_a_run(void **state)
{
	(void)state;
	assert_true(journal_check_space(path, 1, &err));
	assert_true(journal_check_space("/nowhere/at/all/journal.db", 1, &err));
	assert_false(journal_check_space(path, SIZE_MAX >> 16, &err));
	assert_int_equal(err.cause, CAUSE_DISK_FULL);
}

/* Root has one everywhere. */
static void without_a_home_it_has_to_be_named(void **state)
{
	CLEANUP(freep) char *chosen = NULL;
	bool is_root = geteuid() == 0;

	(void)state;
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	assert_true(!is_root || seteuid(65534) == 0);
	assert_false(journal_path_choose(NULL, NULL, &chosen, &err));
	assert_true(!is_root || seteuid(0) == 0);
	assert_int_equal(err.cause, CAUSE_JOURNAL_UNSET);
	assert_true(journal_path_choose(NULL, "/b", &chosen, &err));
	assert_string_equal(chosen, "/b");
	free(chosen);
	assert_true(journal_path_choose("/a", "/b", &chosen, &err));
	assert_string_equal(chosen, "/a");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(makes_a_private_file_and_directory),
		CASE(refuses_a_second_writer_at_once),
		CASE(refuses_a_link),
		CASE(refuses_a_second_name),
		CASE(refuses_a_file_readable_by_others),
		CASE(refuses_a_directory_it_cannot_write),
		CASE(refuses_another_owner),
		CASE(refuses_a_database_of_another_program),
		CASE(refuses_what_is_no_database),
		CASE(refuses_a_newer_version),
		CASE(migrates_an_empty_file_from_version_zero),
		CASE(refuses_a_journal_without_its_tables),
		CASE(refuses_to_write_behind_a_changed_table_or_trigger),
		CASE(notices_that_it_was_replaced_while_open),
		CASE(refuses_a_reader_where_nothing_is),
		CASE(asks_for_room_before_a_run),
		CASE(without_a_home_it_has_to_be_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
