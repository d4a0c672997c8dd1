/* Devices and entries: put, found, paged, chained, tampered with. */
#include "journal-fixture.h"

#include <errno.h>

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

static bool add_name(void *context, const struct journal_device *device, struct muster_error *error)
{
	(void)error;
	text_addf(context, "%s ", device->registration_id);
	return true;
}

static void gives_every_device_of_a_name(void **state)
{
	static const struct {
		const char *id, *device_id;
		enum journal_state state;
	} devices[] = {
		{ "dev-1", "pump-1", JOURNAL_RELEASED },
		{ "dev-2", "pump-2", JOURNAL_RELEASED },
		{ "dev-3", "pump-1", JOURNAL_RETIRED },
		{ "dev-4", "pump-1", JOURNAL_PARKED },
	};
	struct journal *journal = must_open(JOURNAL_WRITE);
	CLEANUP(text_done) struct text names = TEXT_MAX(100);

	(void)state;
	must_begin(journal);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		struct journal_device device = device_of(devices[i].id, NULL);

		device.device_id = devices[i].device_id;
		device.state = devices[i].state;
		must_put(journal, &device);
	}
	must_commit(journal);
	for (int again = 0; again < 2; again++)
		assert_true(journal_device_find_each(journal, JOURNAL_BY_DEVICE_ID, "pump-1",
						     add_name, &names, &err));
	assert_string_equal(names.data, "dev-1 dev-3 dev-4 dev-1 dev-3 dev-4 ");
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
	for (int i = JOURNAL_WORKING; i <= JOURNAL_DEAD; i++) {
		char name[8] = { 'd', (char)('0' + i), '\0' };
		struct journal_device device = device_of(name, NULL);

		device.state = (enum journal_state)i;
		must_put(journal, &device);
	}
	must_commit(journal);
	assert_true(journal_unfinished(journal, NULL, count_device, seen, &count, &err));
	assert_int_equal(count, 4);
	assert_string_equal(seen, "d1d2d6d7");
	seen[0] = '\0';
	assert_true(journal_devices(journal, "d2", count_device, seen, &count, &err));
	assert_string_equal(seen, "d3d4d5d6d7");
	journal_close(journal);
}

static void lists_by_the_last_change_both_ways(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	static const struct {
		const char *name;
		int64_t updated_ms;
	} devices[] = { { "d1", 30 }, { "d2", 10 }, { "d3", 20 }, { "d4", 20 } };
	struct journal_cursor cursor = { .updated_ms = INT64_MAX, .newest_first = true };
	char seen[64] = "";
	size_t count = 0;

	(void)state;
	must_begin(journal);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		struct journal_device device = device_of(devices[i].name, NULL);

		device.updated_ms = devices[i].updated_ms;
		must_put(journal, &device);
	}
	must_commit(journal);
	assert_true(journal_devices_changed(journal, &cursor, count_device, seen, &count, &err));
	assert_string_equal(seen, "d1d4d3d2");
	assert_true(journal_devices_changed(journal, &cursor, count_device, seen, &count, &err));
	assert_int_equal(count, 0);
	seen[0] = '\0';
	cursor = (struct journal_cursor){ .updated_ms = 20 };
	assert_true(journal_devices_changed(journal, &cursor, count_device, seen, &count, &err));
	assert_string_equal(seen, "d3d4d1");
	journal_close(journal);
}

/* Each device once, where its last change is noted. */
static void lists_by_the_entry_of_the_last_change(void **state)
{
	static const char *const changes[] = { "d1", "d2", "d3", "d1", "d3" };
	struct journal *journal = must_open(JOURNAL_WRITE);
	char seen[64] = "";
	int64_t entry = 0;
	size_t count = 0;

	(void)state;
	must_begin(journal);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct journal_device device = device_of(changes[i], NULL);

		device.attempt = (int64_t)i + 1;
		device.updated_ms = 100 - (int64_t)i;
		must_put(journal, &device);
	}
	must_commit(journal);
	assert_true(journal_devices_noted(journal, &entry, count_device, seen, &count, &err));
	assert_string_equal(seen, "d2d1d3");
	assert_int_equal(entry, 5);
	assert_true(journal_devices_noted(journal, &entry, count_device, seen, &count, &err));
	assert_int_equal(count, 0);
	seen[0] = '\0';
	entry = 2;
	assert_true(journal_devices_noted(journal, &entry, count_device, seen, &count, &err));
	assert_string_equal(seen, "d1d3");
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
	assert_int_equal(head_seq(journal), JOURNAL_PAGE_MAX + 8);
	do {
		assert_true(
			journal_entries(journal, "DEV-1", last, count_entry, &last, &count, &err));
		total += count;
	} while (count > 0);
	assert_int_equal(total, JOURNAL_PAGE_MAX + 8);
	assert_true(journal_entries(journal, "dev-2", 0, count_entry, &last, &count, &err));
	assert_int_equal(count, 0);
	journal_close(journal);
}

static bool take_first_digest(void *context, const struct journal_entry *entry,
			      struct muster_error *error)
{
	(void)error;
	if (entry->seq == 1)
		memcpy(context, entry->digest, JOURNAL_DIGEST_SIZE);
	return true;
}

/* The encoding is a contract with verifiers in other languages: this is the first entry, worked out by hand. */
static void chains_as_the_header_says(void **state)
{
	static const char fields[] =
		"1:1,5:dev-1,13:1764000000000,6:enroll,6:intent,1:1,3:ada,0:,7:{\"n\":1},";
	uint8_t bytes[JOURNAL_DIGEST_SIZE + sizeof(fields) - 1] = { 0 };
	uint8_t digest[JOURNAL_DIGEST_SIZE], first[JOURNAL_DIGEST_SIZE];
	struct journal *journal;
	size_t count;

	(void)state;
	make_journal(1);
	memcpy(bytes + JOURNAL_DIGEST_SIZE, fields, sizeof(fields) - 1);
	sha256(digest, bytes, sizeof(bytes));
	journal = must_open(JOURNAL_READ);
	assert_true(journal_entries(journal, NULL, 0, take_first_digest, first, &count, &err));
	assert_memory_equal(first, digest, sizeof(digest));
	journal_close(journal);
}

static void refuses_to_change_or_delete_entries_and_devices(void **state)
{
	static const char *const statements[] = {
		"UPDATE entry SET body = '{}'",
		"DELETE FROM entry",
		"INSERT OR REPLACE INTO entry SELECT * FROM entry",
		("INSERT INTO entry SELECT 9, registration_id, at_ms, stage, kind, attempt, "
		 "operator, station, body, digest FROM entry"),
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
		assert_true(journal_verify_chain(journal, NULL, NULL, &head, &err));
		assert_int_equal(head.seq, 11);
		journal_close(journal);
		tamper("DROP TRIGGER entry_is_final; DROP TRIGGER entry_is_kept;");
		tamper(cases[i].sql);
		journal = must_open(JOURNAL_READ);
		assert_false(journal_verify_chain(journal, NULL, NULL, &head, &err));
		assert_int_equal(err.cause, CAUSE_JOURNAL_DAMAGED);
		assert_non_null(strstr(err.message, cases[i].named));
		journal_close(journal);
		refuses_to_open(JOURNAL_WRITE, CAUSE_JOURNAL_DAMAGED);
		assert_non_null(strstr(err.message, cases[i].named));
	}
}

/* -- Keys ------------------------------------------------------------------------------------------------- */

static void append_outcome(struct journal *journal, const char *body)
{
	struct journal_entry entry = {
		.registration_id = "dev-1", .stage = "attest", .kind = JOURNAL_OUTCOME, .body = body
	};

	assert_true(journal_append(journal, &entry, &err));
}

static int64_t entry_of_key(struct journal *journal, const char *public_sha256)
{
	int64_t seq = -1;

	assert_true(journal_key_find(journal, public_sha256, &seq, &err));
	return seq;
}

/* Not by a text that only quotes one, nor in an intent; the first of several. */
static void finds_who_made_a_key(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);

	(void)state;
	must_begin(journal);
	must_append(journal, "dev-1", "{\"publicSha256\":\"" KEY_A "\"}");
	append_outcome(journal, "{\"evidence\":\"{\\\"publicSha256\\\":\\\"" KEY_A "\\\"}\"}");
	assert_int_equal(entry_of_key(journal, KEY_A), 0);
	append_outcome(journal, "{\"a\":1,\"publicSha256\":\"" KEY_A "\",\"b\":2}");
	append_outcome(journal, "{\"publicSha256\":\"" KEY_A "\"}");
	assert_int_equal(entry_of_key(journal, KEY_A), 3);
	must_commit(journal);
	assert_int_equal(entry_of_key(journal, KEY_A), 3);
	assert_int_equal(entry_of_key(journal, KEY_B), 0);
	journal_close(journal);
}

static bool is_second(struct journal *journal, enum journal_key key, const char *value)
{
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	bool is_found;

	assert_true(journal_device_find_second(journal, key, value, &device, &is_found, &err));
	assert_true(!is_found || strcmp(device.registration_id, "dev-1") == 0);
	return is_found;
}

/* Not by a primary key's names, by a text that only quotes one, nor by the other kind of name. */
static void finds_whose_a_secondary_key_is(void **state)
{
#define KEY_ID "000102030405060708090a0b0c0d0e0f"
#define OTHER_ID "f00102030405060708090a0b0c0d0e0f"
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_device device = device_of("dev-1", KEY_A);

	(void)state;
	must_begin(journal);
	must_put(journal, &device);
	append_outcome(journal,
		       "{\"keyId\":\"" OTHER_ID "\",\"note\":\"\\\"secondaryOf\\\":\\\"\"}");
	assert_false(is_second(journal, JOURNAL_BY_KEY_ID, OTHER_ID));
	append_outcome(journal, "{\"secondaryCertificateSha256\":\"" KEY_B "\",\"keyId\":\"" KEY_ID
				"\",\"secondaryOf\":\"" OTHER_ID "\"}");
	must_commit(journal);
	assert_true(is_second(journal, JOURNAL_BY_KEY_ID, KEY_ID));
	assert_true(is_second(journal, JOURNAL_BY_KEY_DIGEST, KEY_B));
	assert_false(is_second(journal, JOURNAL_BY_KEY_ID, OTHER_ID));
	assert_false(is_second(journal, JOURNAL_BY_KEY_DIGEST, KEY_A));
	assert_false(is_second(journal, JOURNAL_BY_KEY_DIGEST, KEY_ID));
	journal_close(journal);
}

static void refuses_to_write_behind_a_last_entry_that_was_changed(void **state)
{
	(void)state;
	make_journal(10);
	tamper("DROP TRIGGER entry_is_final; UPDATE entry SET body = '{}' WHERE seq = 11");
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

static bool is_former(struct journal *journal, enum journal_key key, const char *value)
{
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	bool is_found;

	assert_true(journal_device_find_former(journal, key, value, &device, &is_found, &err));
	if (is_found)
		assert_string_equal(device.registration_id, "dev-1");
	return is_found;
}

static void finds_whose_a_key_was(void **state)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_device first = device_of("dev-1", KEY_A), second = device_of("dev-1", KEY_B);

	(void)state;
	first.key_id = KEY_ID;
	must_begin(journal);
	must_put(journal, &first);
	second.serial = "\"keySha256\":\"" OTHER_ID;
	must_put(journal, &second);
	assert_true(is_former(journal, JOURNAL_BY_KEY_DIGEST, KEY_A));
	assert_true(is_former(journal, JOURNAL_BY_KEY_DIGEST, KEY_B));
	assert_true(is_former(journal, JOURNAL_BY_KEY_ID, KEY_ID));
	assert_false(is_former(journal, JOURNAL_BY_KEY_ID, OTHER_ID));
	assert_false(is_former(journal, JOURNAL_BY_KEY_DIGEST, KEY_ID));
	must_commit(journal);
	journal_close(journal);
}

/* -- The chain as text -- */

static bool add_line(void *context, const struct journal_entry *entry, struct muster_error *unused)
{
	(void)unused;
	journal_text_entry(context, entry);
	return true;
}

static void make_export(struct text *out)
{
	struct journal *journal;
	struct journal_head head = { 0 };

	make_journal(2);
	journal = must_open(JOURNAL_READ);
	journal_text_begin(out, &head);
	assert_true(journal_entries_all(journal, NULL, add_line, out, &err));
	assert_true(journal_head(journal, &head, &err));
	journal_text_end(out, &head);
	assert_false(out->failed);
	journal_close(journal);
}

/* A file whose disk or network fails behind so many bytes. */
struct torn {
	const char *data;
	size_t length;
};

static ssize_t read_torn(void *cookie, char *buffer, size_t size)
{
	struct torn *torn = cookie;
	size_t count = torn->length < size ? torn->length : size;

	if (count == 0) {
		errno = EIO;
		return -1;
	}
	memcpy(buffer, torn->data, count);
	torn->data += count;
	torn->length -= count;
	return (ssize_t)count;
}

static bool take_any(void *context, const struct journal_entry *entry, struct muster_error *unused)
{
	(void)context, (void)entry, (void)unused;
	return true;
}

static bool verifies(FILE *stream)
{
	struct journal_head before, head;
	bool is_good;

	assert_non_null(stream);
	is_good = journal_text_verify(stream, "x", take_any, NULL, &before, &head, &err);
	fclose(stream);
	return is_good;
}

static void takes_no_read_error_for_damage_or_the_end(void **state)
{
	struct text text = TEXT_MAX(64 * 1024);
	size_t begin;

	(void)state;
	make_export(&text);
	begin = (size_t)(strchr(text.data, '\n') + 1 - text.data);
	for (size_t i = 0; i < 4; i++) {
		const size_t lengths[] = { 0, begin, begin + 20, text.length };
		struct torn torn = { text.data, lengths[i] };

		assert_false(verifies(
			fopencookie(&torn, "r", (cookie_io_functions_t){ .read = read_torn })));
		assert_int_equal(err.origin, ORIGIN_ERRNO);
		assert_int_equal(err.native, EIO);
		assert_int_equal(err.cause, CAUSE_INPUT_NOT_FOUND);
	}
	assert_false(verifies(fmemopen(text.data, begin + 20, "r")));
	assert_int_equal(err.cause, CAUSE_JOURNAL_DAMAGED);
	assert_true(verifies(fmemopen(text.data, text.length, "r")));
	text_done(&text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(gives_back_a_device_as_it_was_put),
		CASE(keeps_the_creation_time_when_a_device_changes),
		CASE(finds_devices_by_every_key),
		CASE(gives_every_device_of_a_name),
		CASE(gives_a_key_to_one_live_device_only),
		CASE(lists_the_unfinished),
		CASE(lists_by_the_last_change_both_ways),
		CASE(lists_by_the_entry_of_the_last_change),
		CASE(numbers_and_pages_entries),
		CASE(chains_as_the_header_says),
		CASE(refuses_to_change_or_delete_entries_and_devices),
		CASE(notices_every_kind_of_tampering),
		CASE(finds_who_made_a_key),
		CASE(finds_whose_a_secondary_key_is),
		CASE(finds_whose_a_key_was),
		CASE(takes_no_read_error_for_damage_or_the_end),
		CASE(refuses_to_write_behind_a_last_entry_that_was_changed),
		CASE(refuses_a_body_that_is_no_line_of_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
