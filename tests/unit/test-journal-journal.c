/* The journal on real files: written, cut off, tampered with, refused. */
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

/* -- Fixture ---------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/muster-test-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/journal.db", directory);
	memset(&err, 0, sizeof(err));
	return 0;
}

static int remove_one(const char *name, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status, (void)kind, (void)walk;
	return remove(name);
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct journal *must_open(enum journal_mode mode)
{
	struct journal *journal = NULL;

	if (!journal_open(path, mode, &journal, &err))
		fail_msg("%s", err.message);
	return journal;
}

static void refuses_to_open(enum journal_mode mode, enum muster_cause cause)
{
	struct journal *journal = NULL;

	assert_false(journal_open(path, mode, &journal, &err));
	if (err.cause != cause)
		fail_msg("E%d: %s", err.cause, err.message);
}

static struct journal_device device_of(const char *registration_id, const char *key_digest)
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

static void must_put(struct journal *journal, const struct journal_device *device)
{
	if (!journal_device_put(journal, device, &err))
		fail_msg("%s", err.message);
}

static void must_append(struct journal *journal, const char *registration_id, const char *body)
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

static void must_begin(struct journal *journal)
{
	if (!journal_begin(journal, &err))
		fail_msg("%s", err.message);
}

static void must_commit(struct journal *journal)
{
	if (!journal_commit(journal, &err))
		fail_msg("%s", err.message);
}

/* One device and `count` entries, committed and closed. */
static void make_journal(int count)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_device device = device_of("dev-1", KEY_A);

	must_begin(journal);
	must_put(journal, &device);
	for (int i = 0; i < count; i++)
		must_append(journal, "dev-1", "{\"n\":1}");
	must_commit(journal);
	journal_close(journal);
}

/* Somebody else's tool, without our triggers. */
static void tamper(const char *sql)
{
	sqlite3 *db = NULL;
	char *words = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &words) != SQLITE_OK)
		fail_msg("%s: %s", sql, words);
	sqlite3_close(db);
}

static int64_t head_seq(struct journal *journal)
{
	struct journal_head head;

	assert_true(journal_head(journal, &head, &err));
	return head.seq;
}

/* Runs `body` in a child that starts with nothing open; returns its exit status or 128 + signal. */
static int in_child(void (*body)(void))
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

/* -- Files ------------------------------------------------------------------------------------------------ */

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

/* -- Devices ---------------------------------------------------------------------------------------------- */

static void gives_back_a_device_as_it_was_put(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_device written = {
		.registration_id = "Dev-1",
		.serial = "serial",
		.device_id = "Device",
		.service = "0ne1",
		.attestation = "x509",
		.key_kind = "certificate",
		.key_digest = KEY_A,
		.key_id = "c0ffee",
		.key_place = "pkcs11:token=line",
		.profile_name = "pump",
		.profile_digest = KEY_B,
		.batch = "batch",
		.operator= "ada",
		.station = "bench-3",
		.socket = "usb-1",
		.state = JOURNAL_PARKED,
		.stage = "verify",
		.attempt = 3,
		.attempt_id = "00112233445566778899aabbccddeeff",
		.cause = 5107,
		.hub = "hub.example",
		.etag = "\"x\"",
		.evidence_path = "/out/e.json",
		.evidence_digest = KEY_A,
		.updated_ms = 77,
	};
	struct journal_device read = { 0 };
	bool is_found = false;

	(void)state;
	must_begin(journal);
	must_put(journal, &written);
	must_commit(journal);
	assert_true(journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, "DEV-1", &read,
					&is_found, &err));
	assert_true(is_found);
	assert_string_equal(read.registration_id, "dev-1");
	assert_string_equal(read.serial, "serial");
	assert_string_equal(read.service, "0ne1");
	assert_string_equal(read.key_place, "pkcs11:token=line");
	assert_string_equal(read.batch, "batch");
	assert_string_equal(read.operator, "ada");
	assert_string_equal(read.socket, "usb-1");
	assert_int_equal(read.state, JOURNAL_PARKED);
	assert_string_equal(read.stage, "verify");
	assert_int_equal(read.attempt, 3);
	assert_string_equal(read.attempt_id, "00112233445566778899aabbccddeeff");
	assert_int_equal(read.cause, 5107);
	assert_string_equal(read.etag, "\"x\"");
	assert_string_equal(read.evidence_path, "/out/e.json");
	assert_int_equal(read.created_ms, 77);
	assert_int_equal(read.updated_ms, 77);
	journal_device_done(&read);
	journal_close(journal);
}

static void keeps_the_creation_time_when_a_device_changes(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_device device = device_of("dev-1", NULL);
	struct journal_device read = { 0 };
	bool is_found = false;

	(void)state;
	must_begin(journal);
	must_put(journal, &device);
	device.updated_ms = 2000;
	device.hub = "hub";
	must_put(journal, &device);
	must_commit(journal);
	assert_true(journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, "dev-1", &read,
					&is_found, &err));
	assert_int_equal(read.created_ms, 1000);
	assert_int_equal(read.updated_ms, 2000);
	assert_string_equal(read.hub, "hub");
	assert_null(read.key_digest);
	journal_device_done(&read);
	journal_close(journal);
}

static void finds_devices_by_every_key(void **state)
{
	static const struct {
		enum journal_key key;
		const char *value;
	} keys[] = {
		{ JOURNAL_BY_REGISTRATION_ID, "dev-1" }, { JOURNAL_BY_SERIAL, "A17-0042" },
		{ JOURNAL_BY_DEVICE_ID, "pump-42" },     { JOURNAL_BY_KEY_DIGEST, KEY_A },
		{ JOURNAL_BY_KEY_ID, "0011" },
	};
	struct journal_device read = { 0 };
	struct journal *journal;
	bool is_found = false;

	(void)state;
	make_journal(1);
	journal = must_open(JOURNAL_READ);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		assert_true(journal_device_find(journal, keys[i].key, keys[i].value, &read,
						&is_found, &err));
		assert_true(is_found);
		journal_device_done(&read);
		assert_true(
			journal_device_find(journal, keys[i].key, "other", &read, &is_found, &err));
		assert_false(is_found);
	}
	journal_close(journal);
}

static void gives_a_key_to_one_live_device_only(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_device first = device_of("dev-1", KEY_A);
	struct journal_device second = device_of("dev-2", KEY_A);

	(void)state;
	must_begin(journal);
	must_put(journal, &first);
	assert_false(journal_device_put(journal, &second, &err));
	assert_int_equal(err.cause, CAUSE_KEY_TAKEN);
	first.state = JOURNAL_FAILED;
	must_put(journal, &first);
	must_put(journal, &second);
	assert_false(journal_device_put(journal,
					&(struct journal_device){ .registration_id = "dev-1",
								  .key_digest = KEY_A,
								  .state = JOURNAL_RELEASED },
					&err));
	assert_int_equal(err.cause, CAUSE_KEY_TAKEN);
	must_commit(journal);
	journal_close(journal);
}

static bool count_device(void *context, const struct journal_device *device,
			 struct muster_error *error)
{
	(void)error;
	strcat(context, device->registration_id);
	return true;
}

static void lists_the_unfinished(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	char seen[64] = "";
	size_t count = 0;

	(void)state;
	must_begin(journal);
	for (int i = JOURNAL_WORKING; i <= JOURNAL_RETIRED; i++) {
		char name[8] = { 'd', (char)('0' + i), '\0' };
		struct journal_device device = device_of(name, NULL);

		device.state = (enum journal_state)i;
		must_put(journal, &device);
	}
	must_commit(journal);
	assert_true(journal_unfinished(journal, NULL, count_device, seen, &count, &err));
	assert_int_equal(count, 2);
	assert_string_equal(seen, "d1d2");
	seen[0] = '\0';
	assert_true(journal_devices(journal, "d2", count_device, seen, &count, &err));
	assert_string_equal(seen, "d3d4d5");
	journal_close(journal);
}

/* -- Entries ---------------------------------------------------------------------------------------------- */

static bool count_entry(void *context, const struct journal_entry *entry,
			struct muster_error *error)
{
	(void)error;
	*(int64_t *)context = entry->seq;
	return true;
}

static void numbers_and_pages_entries(void **state)
{
	struct journal *journal;
	int64_t last = 0;
	size_t count = 0, total = 0;

	(void)state;
	make_journal(JOURNAL_PAGE_MAX + 7);
	journal = must_open(JOURNAL_READ);
	assert_int_equal(head_seq(journal), JOURNAL_PAGE_MAX + 7);
	do {
		assert_true(
			journal_entries(journal, "DEV-1", last, count_entry, &last, &count, &err));
		total += count;
	} while (count > 0);
	assert_int_equal(total, JOURNAL_PAGE_MAX + 7);
	assert_true(journal_entries(journal, "dev-2", 0, count_entry, &last, &count, &err));
	assert_int_equal(count, 0);
	journal_close(journal);
}

/* The encoding is a contract with verifiers in other languages: this is the first entry, worked out by hand. */
static void chains_as_the_header_says(void **state)
{
	static const char fields[] =
		"1:1,5:dev-1,13:1764000000000,6:enroll,6:intent,1:1,3:ada,0:,7:{\"n\":1},";
	uint8_t bytes[JOURNAL_DIGEST_SIZE + sizeof(fields) - 1] = { 0 };
	uint8_t digest[JOURNAL_DIGEST_SIZE];
	struct journal_head head;
	struct journal *journal;

	(void)state;
	make_journal(1);
	memcpy(bytes + JOURNAL_DIGEST_SIZE, fields, sizeof(fields) - 1);
	sha256(digest, bytes, sizeof(bytes));
	journal = must_open(JOURNAL_READ);
	assert_true(journal_head(journal, &head, &err));
	assert_memory_equal(head.digest, digest, sizeof(digest));
	journal_close(journal);
}

static void refuses_to_change_or_delete_entries_and_devices(void **state)
{
	static const char *const statements[] = {
		"UPDATE entry SET body = '{}'",
		"DELETE FROM entry",
		"INSERT OR REPLACE INTO entry SELECT * FROM entry",
		"INSERT INTO entry SELECT 9, registration_id, at_ms, stage, kind, attempt, "
		"operator, station, body, digest FROM entry",
		"DELETE FROM device",
		"UPDATE device SET registration_id = 'other'",
		"UPDATE device SET state = 'done'",
	};
	sqlite3 *db = NULL;

	(void)state;
	make_journal(1);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++)
		assert_int_equal(sqlite3_exec(db, statements[i], NULL, NULL, NULL),
				 SQLITE_CONSTRAINT);
	sqlite3_close(db);
}

static void notices_every_kind_of_tampering(void **state)
{
	static const struct {
		const char *sql;
		const char *named;
	} cases[] = {
		{ "UPDATE entry SET body = '{\"n\":2}' WHERE seq = 3", "entry 3" },
		{ "UPDATE entry SET at_ms = at_ms + 1 WHERE seq = 2", "entry 2" },
		{ "UPDATE entry SET registration_id = 'dev-2' WHERE seq = 4", "entry 4" },
		{ "UPDATE entry SET operator = 'eve', station = '' WHERE seq = 1", "entry 1" },
		{ "UPDATE entry SET kind = 'note' WHERE seq = 5", "entry 5" },
		{ "DELETE FROM entry WHERE seq = 3", "entry 3" },
		{ "UPDATE entry SET digest = zeroblob(32) WHERE seq = 6", "entry 6" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct journal *journal = NULL;
		struct journal_head head;

		unlink(path);
		make_journal(10);
		journal = must_open(JOURNAL_READ);
		assert_true(journal_verify_chain(journal, &head, &err));
		assert_int_equal(head.seq, 10);
		journal_close(journal);
		tamper("DROP TRIGGER entry_is_final; DROP TRIGGER entry_is_kept;");
		tamper(cases[i].sql);
		journal = must_open(JOURNAL_READ);
		assert_false(journal_verify_chain(journal, &head, &err));
		assert_int_equal(err.cause, CAUSE_JOURNAL_DAMAGED);
		assert_non_null(strstr(err.message, cases[i].named));
		journal_close(journal);
	}
}

static void refuses_to_write_behind_a_last_entry_that_was_changed(void **state)
{
	(void)state;
	make_journal(10);
	tamper("DROP TRIGGER entry_is_final; UPDATE entry SET body = '{}' WHERE seq = 10");
	refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_DAMAGED);
}

static void refuses_a_body_that_is_no_line_of_json(void **state)
{
	static const char *const bodies[] = { "", "text", "{\n}", "{\"x\":\"\xff\"}", NULL };
	struct journal *journal = must_open(JOURNAL_WRITE);

	(void)state;
	must_begin(journal);
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct journal_entry entry = { .stage = "enroll",
					       .kind = JOURNAL_NOTE,
					       .body = bodies[i] };

		assert_false(journal_append(journal, &entry, &err));
		assert_int_equal(err.cause, CAUSE_INTERNAL);
	}
	must_append(journal, NULL, "{}");
	must_commit(journal);
	journal_close(journal);
}

/* -- Transactions, kills, full disks ---------------------------------------------------------------------- */

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
	assert_true(journal_verify_chain(journal, &head, &err));
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
	assert_true(journal_verify_chain(journal, &head, &err));
	assert_int_equal(head.seq, 3);
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
	assert_true(journal_verify_chain(journal, &head, &err));
	assert_int_equal(head.seq, 3);
	journal_close(journal);
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

/* After a failed write nothing more is taken, and the file, opened again, holds together. */
static void check_refusal_and_reopening(enum muster_cause cause)
{
	struct muster_error second;
	struct journal_head head;

	if (err.cause != cause)
		fail_msg("E%d: %s", err.cause, err.message);
	assert_false(journal_begin(limited, &second));
	assert_int_equal(second.cause, CAUSE_JOURNAL_WRITE);
	journal_close(limited);
	limited = must_open(JOURNAL_READ);
	assert_true(journal_verify_chain(limited, &head, &err));
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
		    journal_verify_chain(journal, &head, &err))
			assert_memory_equal(&head, &original, sizeof(head));
		journal_close(journal);
		fd = open(path, O_RDWR);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
		CASE(notices_that_it_was_replaced_while_open),
		CASE(refuses_a_reader_where_nothing_is),
		CASE(asks_for_room_before_a_run),
		CASE(gives_back_a_device_as_it_was_put),
		CASE(keeps_the_creation_time_when_a_device_changes),
		CASE(finds_devices_by_every_key),
		CASE(gives_a_key_to_one_live_device_only),
		CASE(lists_the_unfinished),
		CASE(numbers_and_pages_entries),
		CASE(chains_as_the_header_says),
		CASE(refuses_to_change_or_delete_entries_and_devices),
		CASE(notices_every_kind_of_tampering),
		CASE(refuses_to_write_behind_a_last_entry_that_was_changed),
		CASE(refuses_a_body_that_is_no_line_of_json),
		CASE(writes_inside_a_transaction_only),
		CASE(forgets_what_is_rolled_back),
		CASE(lets_a_reader_in_beside_the_writer),
		CASE(loses_only_what_was_not_committed_when_killed),
		CASE(lets_a_reader_play_back_what_a_killed_run_left),
		CASE(stops_at_a_write_that_fails),
		CASE(stops_when_the_disk_is_full),
		CASE(survives_any_flipped_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
