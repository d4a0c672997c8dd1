/* Files of enrollments: what a row becomes, what comes back from an export, and where a member stands in a line. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "muster/dps-table.h"
#include "muster/file.h"
#include "muster/json.h"

#include "../../src/dps/table-internal.h"
#include "temporary.h"

static struct dps_table *open_checked(const char *path, enum dps_bulk_mode mode, size_t rows)
{
	struct dps_table *table = NULL;
	struct dps_table_facts facts;
	struct muster_error err;

	assert_good(dps_table_open(path, mode, &table, &err), err);
	assert_good(dps_table_check(table, NULL, NULL, &facts, &err), err);
	assert_int_equal(facts.mistakes, 0);
	assert_int_equal(facts.rows, rows);
	return table;
}

static void expect_next(struct dps_table *table, const char *id, const char *document,
			const char *etag, size_t line)
{
	CLEANUP(dps_bulk_item_done) struct dps_bulk_item item = { 0 };
	CLEANUP(freep) char *text = NULL;
	struct muster_error err;
	bool has;

	assert_good(dps_table_next(table, &item, &has, &err), err);
	assert_int_equal(has, id != NULL);
	if (!id)
		return;
	text = item.line       ? strdup(item.line)
	       : item.document ? json_print_line(item.document)
			       : NULL;
	assert_string_equal(item.id, id);
	assert_int_equal(dps_table_line_of(item.tag), line);
	assert_true(document ? text && strcmp(text, document) == 0 : !text);
	assert_true(etag ? item.etag && strcmp(item.etag, etag) == 0 : !item.etag);
}

static void rows_become_documents(void **state)
{
	CLEANUP(freep)
	char *path = temporary_file(*state, "a.csv",
				    "ATTESTATION,registrationId,migrateDeviceData,iotHubs,etag\n"
				    "\n"
				    "SYMMETRICKEY,one,false,\" h.a  h.b\n\",\n"
				    "symmetricKey,two,,,abc\n",
				    0600);
	struct dps_table *table = open_checked(path, DPS_BULK_CREATE, 2);

	expect_next(
		table, "one",
		"{\"attestation\":{\"type\":\"symmetricKey\"},\"registrationId\":\"one\","
		"\"reprovisionPolicy\":{\"migrateDeviceData\":false,\"updateHubAssignment\":true},"
		"\"iotHubs\":[\"h.a\",\"h.b\"]}",
		NULL, 3);
	expect_next(table, "two",
		    "{\"attestation\":{\"type\":\"symmetricKey\"},\"registrationId\":\"two\"}",
		    NULL, 5);
	expect_next(table, NULL, NULL, NULL, 0);
	dps_table_close(table);
	table = open_checked(path, DPS_BULK_DELETE, 2);
	expect_next(table, "one", NULL, NULL, 3);
	expect_next(table, "two", NULL, "abc", 5);
	dps_table_close(table);
}

static void members_of_the_service_stay_behind(void **state)
{
	CLEANUP(freep)
	char *path = temporary_file(
		*state, "a.jsonl",
		"\n{\"registrationId\":\"one\",\"etag\":\"abc\",\"createdDateTimeUtc\":\"x\",\"unset\":null,"
		"\"attestation\":{\"type\":\"TPM\",\"tpm\":{\"endorsementKey\":\"AAAA\"}}}",
		0600);
	struct dps_table *table = NULL;
	struct dps_table_facts facts;
	struct muster_error err;

	assert_good(dps_table_open(path, DPS_BULK_UPDATE_IF_MATCH, &table, &err), err);
	assert_good(dps_table_check(table, NULL, NULL, &facts, &err), err);
	assert_int_equal(facts.mistakes, 1); /* "unset" */
	dps_table_close(table);
	free(path);
	path = temporary_file(
		*state, "b.jsonl",
		"{\"registrationId\":\"one\",\"etag\":\"abc\",\"createdDateTimeUtc\":\"x\",\"deviceId\":null,"
		"\"attestation\":{\"type\":\"TPM\",\"tpm\":{\"endorsementKey\":\"AAAA\"}}}",
		0600);
	table = open_checked(path, DPS_BULK_UPDATE_IF_MATCH, 1);
	expect_next(
		table, "one",
		"{\"registrationId\":\"one\",\"attestation\":{\"type\":\"tpm\",\"tpm\":{\"endorsementKey\":\"AAAA\"}}}",
		"abc", 1);
	dps_table_close(table);
}

#define PLAIN(id) "{ \"registrationId\":" id ", \"attestation\":{\"type\":\"symmetricKey\"}}"
#define AS_IT_STANDS(id) "{\"registrationId\":" id ",\"attestation\":{\"type\":\"symmetricKey\"}}"

static void lines_without_a_flaw_go_as_they_stand(void **state)
{
	CLEANUP(freep)
	char *path = temporary_file(*state, "a.jsonl",
				    PLAIN("\"one\"") "\n\n" PLAIN("\"t\\u0077o\"") "\n", 0600);
	struct dps_table *table = open_checked(path, DPS_BULK_CREATE, 2);

	expect_next(table, "one", PLAIN("\"one\""), NULL, 1);
	expect_next(table, "two", PLAIN("\"t\\u0077o\""), NULL, 3);
	expect_next(table, NULL, NULL, NULL, 0);
	dps_table_close(table);
	table = open_checked(path, DPS_BULK_DELETE, 2);
	expect_next(table, "one", NULL, NULL, 1);
	dps_table_close(table);
}

static void one_line_to_be_changed_is_enough_to_read_them_all(void **state)
{
	static const char *const others[] = {
		"{\"registrationId\":\"two\",\"attestation\":{\"type\":\"SymmetricKey\"}}",
		"{\"registrationId\":\"two\",\"attestation\":{\"type\":\"symmetricKey\"},\"deviceId\":null}",
		"{\"registrationId\":\"two\",\"attestation\":{\"type\":\"symmetricKey\"},\"registrationState\":{}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		CLEANUP(freep) char *lines = text_format("%s\n%s\n", PLAIN("\"one\""), others[i]);
		CLEANUP(freep) char *path = temporary_file(*state, "a.jsonl", lines, 0600);
		struct dps_table *table = open_checked(path, DPS_BULK_CREATE, 2);

		expect_next(table, "one", AS_IT_STANDS("\"one\""), NULL, 1);
		expect_next(table, "two", AS_IT_STANDS("\"two\""), NULL, 2);
		dps_table_close(table);
		unlink(path);
	}
}

static void a_line_that_changes_meanwhile_is_refused(void **state)
{
	CLEANUP(freep)
	char *path = temporary_file(*state, "a.jsonl", PLAIN("\"one\"") "\n", 0600);
	struct dps_table *table = open_checked(path, DPS_BULK_CREATE, 1);
	struct dps_bulk_item item = { 0 };
	struct muster_error err;
	FILE *file = fopen(path, "r+");
	bool has;

	fputs("{\"r", file);
	fclose(file);
	assert_fails(dps_table_next(table, &item, &has, &err), err, CAUSE_TABLE_CHANGED);
	dps_table_close(table);
}

static void a_file_that_changes_meanwhile_is_refused(void **state)
{
	CLEANUP(freep)
	char *path = temporary_file(*state, "a.csv",
				    "registrationId,attestation\na,symmetricKey\nb,symmetricKey\n",
				    0600);
	struct dps_table *table = open_checked(path, DPS_BULK_CREATE, 2);
	struct dps_bulk_item item = { 0 };
	struct muster_error err;
	FILE *file;
	bool has;

	expect_next(table, "a",
		    "{\"registrationId\":\"a\",\"attestation\":{\"type\":\"symmetricKey\"}}", NULL,
		    2);
	file = fopen(path, "a");
	fputs("c,symmetricKey\n", file);
	fclose(file);
	/* It was read with the first one, before the change. */
	expect_next(table, "b",
		    "{\"registrationId\":\"b\",\"attestation\":{\"type\":\"symmetricKey\"}}", NULL,
		    3);
	assert_fails(dps_table_next(table, &item, &has, &err), err, CAUSE_TABLE_CHANGED);
	dps_table_close(table);
}

enum { MANY_ROWS = 20000 };

static char *write_many(const char *directory)
{
	CLEANUP(text_done) struct text text = TEXT_MAX(1 << 20);

	text_add(&text, "registrationId,attestation\n");
	for (int i = 0; i < MANY_ROWS; i++)
		text_addf(&text, "r-%d,symmetricKey\n", i);
	assert_true(text.length > 3 * sizeof(((struct table_input *)NULL)->buffer));
	return temporary_file(directory, "many.csv", text.data, 0600);
}

/* The last row gets another ID of the same length; the file system tells nothing of it. */
static void edit_unseen(const char *path)
{
	static const char row[] = "x-19999,symmetricKey\n";
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	struct stat status;

	assert_return_code(fstat(fd, &status), errno);
	assert_int_equal(pwrite(fd, row, strlen(row), status.st_size - (off_t)strlen(row)),
			 strlen(row));
	assert_return_code(futimens(fd, (struct timespec[]){ status.st_atim, status.st_mtim }),
			   errno);
	close(fd);
}

/* How many rows there are until it fails or ends. */
static int read_on(struct dps_table *table, bool *ret_good, struct muster_error *err)
{
	int rows = 0;
	bool has = true;

	for (;; rows++) {
		CLEANUP(dps_bulk_item_done) struct dps_bulk_item item = { 0 };

		*ret_good = dps_table_next(table, &item, &has, err);
		if (!*ret_good || !has)
			return rows;
		assert_int_equal(*item.id, 'r');
	}
}

static void other_bytes_are_refused_whatever_the_times_say(void **state)
{
	for (int is_edited = 0; is_edited < 2; is_edited++) {
		CLEANUP(freep) char *path = write_many(*state);
		struct dps_table *table = open_checked(path, DPS_BULK_CREATE, MANY_ROWS);
		struct muster_error err = { 0 };
		bool good;
		int rows;

		if (is_edited)
			edit_unseen(path);
		rows = read_on(table, &good, &err);
		assert_int_equal(good, !is_edited);
		assert_int_equal(err.cause, is_edited ? CAUSE_TABLE_CHANGED : 0);
		assert_true(is_edited ? rows < MANY_ROWS : rows == MANY_ROWS);
		dps_table_close(table);
	}
}

static void the_digest_is_of_the_whole_file(void **state)
{
	CLEANUP(freep) char *path = write_many(*state);
	CLEANUP(bytes_done) struct bytes content = { 0 };
	struct dps_table *table;
	struct dps_table_facts facts;
	uint8_t digest[SHA256_SIZE];
	struct muster_error err;

	assert_good(file_read(path, 1 << 20, &content, &err), err);
	sha256(digest, content.data, content.size);
	assert_good(dps_table_open(path, DPS_BULK_CREATE, &table, &err), err);
	assert_good(dps_table_check(table, NULL, NULL, &facts, &err), err);
	assert_memory_equal(facts.digest, digest, sizeof(digest));
	dps_table_close(table);
}

static void what_is_written_reads_back(void **state)
{
	static const char document[] =
		"{\"registrationId\":\"one\",\"attestation\":{\"type\":\"symmetricKey\",\"symmetricKey\":"
		"{\"primaryKey\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"}},\"iotHubs\":[\"h.a\",\"h.b\"],"
		"\"capabilities\":{\"iotEdge\":true},\"initialTwin\":{\"tags\":{\"a\":\"x,\\\"y\\\"\\n\"}}}";
	CLEANUP(cJSON_freep) cJSON *enrollment = NULL;
	struct muster_error err;

	assert_good(json_parse(document, strlen(document), "it", &enrollment, &err), err);
	for (enum dps_table_format format = DPS_TABLE_CSV; format <= DPS_TABLE_JSONL; format++) {
		CLEANUP(freep)
		char *path = temporary_file(*state, format == DPS_TABLE_CSV ? "o.csv" : "o.jsonl",
					    "", 0600);
		struct dps_bulk_item item = { 0 };
		struct dps_table *table;
		FILE *file = fopen(path, "w");
		bool has;

		dps_table_write_head(format, file);
		assert_good(dps_table_write(format, enrollment, file, &err), err);
		fclose(file);
		table = open_checked(path, DPS_BULK_CREATE, 1);
		assert_good(dps_table_next(table, &item, &has, &err), err);
		if (item.line)
			assert_good(json_parse(item.line, strlen(item.line), "it", &item.document,
					       &err),
				    err);
		assert_true(has && json_equal(item.document, enrollment));
		dps_bulk_item_done(&item);
		dps_table_close(table);
	}
}

static void members_have_columns(void **state)
{
	static const char line[] =
		"{ \"a\" : {\"b\": [1, {\"c\":\"}\\\"\"}], \"\xc3\xbc\": 1, \"c\":{}} ,\"d\":2}";

	(void)state;
	assert_int_equal(json_line_column(line, ""), 1);
	assert_int_equal(json_line_column(line, "a"), 3);
	assert_int_equal(json_line_column(line, "a.b"), 10);
	assert_int_equal(json_line_column(line, "a.c"), 41);
	assert_int_equal(json_line_column(line, "a.c.x"), 41);
	assert_int_equal(json_line_column(line, "d"), 50);
	assert_int_equal(json_line_column(line, "e"), 1);
}

/* More than are kept in memory. */
#define MANY_IDS 60000

static void expect_remembered(void)
{
	CLEANUP(id_set_done) struct id_set set = { 0 };
	struct muster_error err;
	char id[32];
	size_t line;
	bool is_same;

	for (size_t i = 1; i <= MANY_IDS; i++) {
		snprintf(id, sizeof(id), "dev-%zu", i);
		assert_good(id_set_add(&set, id, i, &line, &is_same, &err), err);
		assert_int_equal(line, 0);
	}
	for (size_t i = 1; i <= MANY_IDS; i += 997) {
		snprintf(id, sizeof(id), i % 2 ? "dev-%zu" : "DEV-%zu", i);
		assert_good(id_set_add(&set, id, MANY_IDS + 1, &line, &is_same, &err), err);
		assert_true(line == i && is_same == (i % 2 == 1));
	}
	assert_int_equal(set.count, MANY_IDS);
}

static size_t names_in(const char *path)
{
	DIR *directory = opendir(path);
	size_t count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count - 2;
}

static void ids_are_remembered_by_line(void **state)
{
	CLEANUP(freep) char *place = text_format("%s/muster", (const char *)*state);

	setenv("XDG_STATE_HOME", *state, 1);
	expect_remembered();
	assert_int_equal(names_in(place), 0);
	setenv("XDG_STATE_HOME", "/proc/nowhere", 1);
	expect_remembered();
	unsetenv("XDG_STATE_HOME");
}

/* Whatever the disk has no room for is not forgotten silently. */
static void ids_that_cannot_be_kept_stop_it(void **state)
{
	const struct rlimit small = { 1 << 20, RLIM_INFINITY };
	CLEANUP(id_set_done) struct id_set set = { 0 };
	struct rlimit before;
	struct muster_error err;
	char id[32];
	size_t line, i = 0;
	bool is_same, good = true;

	setenv("XDG_STATE_HOME", *state, 1);
	for (; i < MANY_IDS; i++) {
		snprintf(id, sizeof(id), "dev-%zu", i);
		assert_good(id_set_add(&set, id, i, &line, &is_same, &err), err);
	}
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (; good && i < 2 * MANY_IDS; i++) {
		snprintf(id, sizeof(id), "dev-%zu", i);
		good = id_set_add(&set, id, i, &line, &is_same, &err);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	unsetenv("XDG_STATE_HOME");
	assert_false(good);
	assert_int_equal(err.cause, CAUSE_OUTPUT_WRITE);
}

static void names_tell_the_format(void **state)
{
	(void)state;
	assert_int_equal(dps_table_format_of("a.JSONL"), DPS_TABLE_JSONL);
	assert_int_equal(dps_table_format_of("a.ndjson"), DPS_TABLE_JSONL);
	assert_int_equal(dps_table_format_of("a.jsonl.csv"), DPS_TABLE_CSV);
	assert_int_equal(dps_table_format_of("a"), DPS_TABLE_CSV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_directory(rows_become_documents),
		test_with_directory(members_of_the_service_stay_behind),
		test_with_directory(lines_without_a_flaw_go_as_they_stand),
		test_with_directory(one_line_to_be_changed_is_enough_to_read_them_all),
		test_with_directory(a_line_that_changes_meanwhile_is_refused),
		test_with_directory(a_file_that_changes_meanwhile_is_refused),
		test_with_directory(other_bytes_are_refused_whatever_the_times_say),
		test_with_directory(the_digest_is_of_the_whole_file),
		test_with_directory(what_is_written_reads_back),
		cmocka_unit_test(members_have_columns),
		test_with_directory(ids_are_remembered_by_line),
		test_with_directory(ids_that_cannot_be_kept_stop_it),
		cmocka_unit_test(names_tell_the_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
