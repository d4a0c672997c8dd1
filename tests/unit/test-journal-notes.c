/* What is noted of a device whenever its row changes, and the row held against it. */
#include "journal-fixture.h"

static bool collect_bodies(void *context, const struct journal_entry *entry,
			   struct muster_error *error)
{
	(void)error;
	if (strcmp(entry->stage, "device") == 0)
		text_addf(context, "%s\n", entry->body);
	return true;
}

static void notes_what_changes_in_a_row(void **state)
{
	CLEANUP(text_done) struct text bodies = TEXT_MAX(4096);
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_device device = { .registration_id = "dev-1",
					 .serial = "A17",
					 .state = JOURNAL_WORKING,
					 .attempt = 1,
					 .updated_ms = 1000 };
	struct journal_device read = { 0 };
	bool is_found = false;
	size_t count;

	(void)state;
	must_begin(journal);
	must_put(journal, &device);
	device.state = JOURNAL_PARKED;
	device.serial = NULL;
	device.cause = 5107;
	device.updated_ms = 2000;
	must_put(journal, &device);
	device.updated_ms = 3000;
	must_put(journal, &device);
	must_commit(journal);
	assert_true(journal_entries(journal, "dev-1", 0, collect_bodies, &bodies, &count, &err));
	assert_string_equal(
		bodies.data,
		"{\"serial\":\"A17\",\"state\":\"working\",\"cause\":0,\"created\":1000}\n"
		"{\"serial\":null,\"state\":\"parked\",\"cause\":5107}\n{}\n");
	assert_true(journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, "dev-1", &read,
					&is_found, &err));
	assert_int_equal(read.entry, 3);
	journal_device_done(&read);
	assert_true(journal_verify_devices(journal, &count, &err));
	assert_int_equal(count, 1);
	journal_close(journal);
}

static void keeps_the_notes_of_devices_to_itself(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_entry entry = { .stage = "device", .kind = JOURNAL_NOTE, .body = "{}" };

	(void)state;
	must_begin(journal);
	assert_false(journal_append(journal, &entry, &err));
	assert_int_equal(err.cause, CAUSE_INTERNAL);
	journal_close(journal);
}

static void notices_a_row_that_is_not_what_its_entries_say(void **state)
{
	static const char *const changes[] = {
		"UPDATE device SET serial = 'A17-0043'",
		"UPDATE device SET hub = 'hub'",
		"UPDATE device SET state = 'released'",
		"UPDATE device SET key_digest = NULL",
		"UPDATE device SET operator = 'eve'",
		"UPDATE device SET attempt = 2",
		"UPDATE device SET updated_ms = 1",
		"UPDATE device SET entry = 1",
		"UPDATE device SET cause = 1",
		"UPDATE device SET hub = printf('%.70000c', 'x')",
		"INSERT INTO device(id, registration_id, serial, device_id, service, attestation, key_kind, key_digest, "
		"key_id, key_place, profile_name, profile_digest, batch, operator, station, socket, state, stage, attempt, "
		"attempt_id, cause, hub, etag, evidence_path, evidence_digest, created_ms, updated_ms, entry) SELECT 9, 'dev-9', serial, device_id, service, "
		"attestation, key_kind, NULL, key_id, key_place, profile_name, profile_digest, batch, operator, "
		"station, socket, state, stage, attempt, attempt_id, cause, hub, etag, evidence_path, "
		"evidence_digest, created_ms, updated_ms, entry FROM device",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct journal *journal = NULL;
		struct journal_head head;
		size_t count;

		unlink(path);
		make_journal(2);
		tamper(changes[i]);
		journal = must_open(JOURNAL_READ);
		assert_true(journal_verify_chain(journal, NULL, NULL, &head, &err));
		if (journal_verify_devices(journal, &count, &err))
			fail_msg("not noticed: %s", changes[i]);
		assert_int_equal(err.cause, CAUSE_JOURNAL_DAMAGED);
		assert_non_null(strstr(err.message, "'dev-"));
		journal_close(journal);
	}
}

static void notices_a_row_that_was_taken_away(void **state)
{
	struct journal_head head;
	struct journal *journal;

	(void)state;
	make_journal(2);
	tamper("DROP TRIGGER device_is_kept; DELETE FROM device");
	journal = must_open(JOURNAL_READ);
	assert_false(journal_verify_chain(journal, NULL, NULL, &head, &err));
	assert_int_equal(err.cause, CAUSE_JOURNAL_DAMAGED);
	assert_non_null(strstr(err.message, "device 'dev-1' of entry 3 has no row"));
	journal_close(journal);
}

static void gives_the_rows_of_an_older_journal_their_notes(void **state)
{
	struct journal_head head;
	struct journal *journal;
	size_t count = 0;

	(void)state;
	make_journal(2);
	tamper("DROP TRIGGER entry_is_kept; DELETE FROM entry WHERE stage = 'device';"
	       "ALTER TABLE device DROP COLUMN verification;"
	       "INSERT INTO device SELECT id + 1, 'dev-2', serial, device_id, service, attestation, key_kind, NULL, "
	       "key_id, key_place, profile_name, profile_digest, batch, operator, station, socket, state, stage, attempt, "
	       "attempt_id, cause, hub, etag, evidence_path, evidence_digest, created_ms, updated_ms, entry FROM device;"
	       "ALTER TABLE device DROP COLUMN entry; DROP INDEX device_updated; DROP INDEX entry_key; "
	       "DROP INDEX entry_second_certificate; DROP INDEX entry_second_key; DROP INDEX entry_device_key; DROP INDEX entry_device_key_id; "
	       "CREATE TRIGGER entry_is_kept BEFORE DELETE ON entry"
	       "	BEGIN SELECT raise(ABORT, 'entries are never deleted'); END;"
	       "PRAGMA user_version = 1;");
	refuses_to_open(JOURNAL_READ, CAUSE_JOURNAL_OLDER);
	journal_close(must_open(JOURNAL_WRITE));
	journal = must_open(JOURNAL_READ);
	assert_true(journal_verify_chain(journal, NULL, NULL, &head, &err));
	assert_int_equal(head.seq, 4);
	assert_true(journal_verify_devices(journal, &count, &err));
	assert_int_equal(count, 2);
	journal_close(journal);
}

/* A row without its note would look like one that was changed by somebody else. */
static void commits_no_row_without_its_note(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_device device = device_of("dev-1", KEY_A), read = { 0 };
	struct muster_error first;
	bool is_found = true;

	(void)state;
	must_begin(journal);
	device.evidence_path = "/evidence/B\xfcro";
	assert_false(journal_device_put(journal, &device, &first));
	device.evidence_path = NULL;
	assert_false(journal_device_put(journal, &device, &err));
	assert_string_equal(err.message, first.message);
	assert_false(journal_commit(journal, &err));
	journal_close(journal);
	journal = must_open(JOURNAL_WRITE);
	assert_true(journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, "dev-1", &read,
					&is_found, &err));
	assert_false(is_found);
	journal_close(journal);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(notes_what_changes_in_a_row),
		CASE(keeps_the_notes_of_devices_to_itself),
		CASE(notices_a_row_that_is_not_what_its_entries_say),
		CASE(notices_a_row_that_was_taken_away),
		CASE(gives_the_rows_of_an_older_journal_their_notes),
		CASE(commits_no_row_without_its_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
