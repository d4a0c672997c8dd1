/* Evidence that is found again: which lines are of which device, and which lives files and lines tell. */
#include "temporary.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../src/station/evidence-lives.h"
#include "muster/json.h"

#define HOST "dps.example"

static struct muster_error err;

/* -- Texts ------------------------------------------------------------------------------------------------------ */

/* Evidence of one life; `padding` bytes longer than it need be. */
static char *evidence(const char *id, const char *attempt, const char *at, size_t padding)
{
	char *text = text_format("{\"schema\":\"muster.evidence/1\",\"service\":\"" HOST
				 "\",\"registrationId\":\"%s\",\"attemptId\":\"%s\",\"at\":\"2026-"
				 "11-27T%sZ\",\"padding\":\"%*s\"}\n",
				 id, attempt, at, (int)padding, "");

	assert_non_null(text);
	return text;
}

static void write_text(const char *directory, const char *name, const char *mode, const char *text,
		       size_t size)
{
	CLEANUP(freep) char *path = text_format("%s/%s", directory, name);
	CLEANUP(fclosep) FILE *file = fopen(path, mode);

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
}

static void add(const char *directory, const char *name, const char *id, const char *attempt,
		const char *at)
{
	CLEANUP(freep) char *text = evidence(id, attempt, at, 0);

	write_text(directory, name, "a", text, strlen(text));
}

static void add_raw(const char *directory, const char *name, const char *text, size_t size)
{
	write_text(directory, name, "a", text, size);
}

/* -- The index -------------------------------------------------------------------------------------------------- */

static struct evidence_index *must_read(const char *directory)
{
	struct evidence_index *index = NULL;

	assert_good(evidence_index_read(directory, HOST, &index, &err), err);
	return index;
}

/* Attempts, in their order, with a blank behind each. */
static void finds(struct evidence_index *index, const char *id, const char *wanted)
{
	CLEANUP(evidence_list_done) struct evidence_list list = { 0 };
	CLEANUP(text_done) struct text found = TEXT_MAX(4096);

	text_add(&found, "");
	assert_good(evidence_index_find(index, id, &list, &err), err);
	for (size_t i = 0; i < list.count; i++)
		text_addf(&found, "%s ", json_text(list.items[i].tree, "attemptId"));
	assert_string_equal(found.data, wanted);
}

static void lines_are_found_by_any_spelling_of_the_device(void **state)
{
	CLEANUP(evidence_index_freep) struct evidence_index *index = NULL;

	add(*state, "b.evidence.jsonl", "R-1", "b1", "10:00:00");
	add(*state, "a.evidence.jsonl", "r-1", "a1", "11:00:00");
	add(*state, "a.evidence.jsonl", "r-2", "a2", "11:00:01");
	add(*state, "a.evidence.jsonl", "r-1", "a3", "11:00:02");
	add(*state, "a.jsonl", "r-1", "no", "11:00:02");
	index = must_read(*state);
	finds(index, "r-1", "a1 a3 b1 ");
	finds(index, "r-2", "a2 ");
	finds(index, "r-3", "");
}

static void nothing_is_found_where_nothing_is(void **state)
{
	CLEANUP(evidence_index_freep) struct evidence_index *index = must_read(*state);
	CLEANUP(evidence_kept_done) struct evidence_kept kept = { 0 };
	size_t at = 0;

	finds(index, "r-1", "");
	assert_good(evidence_index_next(index, &at, &kept, &err), err);
	assert_null(kept.path);
	assert_fails(evidence_index_read("/nowhere", HOST, &index, &err), err,
		     CAUSE_INPUT_NOT_FOUND);
}

static void a_line_is_what_was_written_with_its_newline(void **state)
{
	static const size_t paddings[] = { 0, 40000, 26000, 1, 66000, 3 };
	CLEANUP(evidence_index_freep) struct evidence_index *index = NULL;
	char *texts[ARRAY_SIZE(paddings)], id[8];

	for (size_t i = 0; i < ARRAY_SIZE(paddings); i++) {
		snprintf(id, sizeof(id), "r-%zu", i);
		texts[i] = evidence(id, "a", "10:00:00", paddings[i]);
		/* The last one has lost its newline. */
		add_raw(*state, "x.evidence.jsonl", texts[i],
			strlen(texts[i]) - (i + 1 == ARRAY_SIZE(paddings)));
	}
	index = must_read(*state);
	for (size_t i = 0; i < ARRAY_SIZE(paddings); i++) {
		CLEANUP(evidence_list_done) struct evidence_list list = { 0 };

		snprintf(id, sizeof(id), "R-%zu", i);
		assert_good(evidence_index_find(index, id, &list, &err), err);
		/* One is larger than an entry of the journal may be. */
		assert_int_equal(list.count, paddings[i] < 66000);
		if (list.count > 0)
			assert_string_equal((const char *)list.items[0].text.data, texts[i]);
		free(texts[i]);
	}
}

static void what_is_no_line_takes_no_other_along(void **state)
{
	static const char name[] = "x.evidence.jsonl", zeros[70000] = { 0 };
	CLEANUP(evidence_index_freep) struct evidence_index *index = NULL;
	CLEANUP(freep) char *long_one = evidence("r-9", "long", "10:00:00", 300000);

	add_raw(*state, name, "\n\n", 2);
	add(*state, name, "r-1", "a", "10:00:00");
	add_raw(*state, name, zeros, sizeof(zeros));
	add_raw(*state, name, "\n", 1);
	add(*state, name, "r-1", "b", "10:00:00");
	add_raw(*state, name, long_one, strlen(long_one));
	add(*state, name, "r-1", "c", "10:00:00");
	add_raw(*state, name, long_one, 100);
	add_raw(*state, name, "\n{}\n[]\n7\n", 9);
	add(*state, name, "r-1", "d", "10:00:00");
	add(*state, name, "r/1", "e", "10:00:00");
	add_raw(*state, name, long_one, 100);
	index = must_read(*state);
	finds(index, "r-1", "a b c d ");
	finds(index, "r-9", "");
	finds(index, "r/1", "");
}

static void what_nobody_asked_for_comes_next(void **state)
{
	static const char other[] =
		"{\"schema\":\"muster.evidence/1\",\"service\":\"other\",\"registrationId\":\"r-1\"}\n";
	CLEANUP(evidence_index_freep) struct evidence_index *index = NULL;
	CLEANUP(text_done) struct text found = TEXT_MAX(4096);
	size_t at = 0;

	for (unsigned i = 0; i < 6; i++) {
		char id[8], attempt[8];

		snprintf(id, sizeof(id), "r-%u", i % 3);
		snprintf(attempt, sizeof(attempt), "%u", i);
		add(*state, "x.evidence.jsonl", id, attempt, "10:00:00");
	}
	add_raw(*state, "x.evidence.jsonl", other, strlen(other));
	index = must_read(*state);
	assert_int_equal(evidence_index_elsewhere(index), 1);
	finds(index, "r-1", "1 4 ");
	for (;;) {
		CLEANUP(evidence_kept_done) struct evidence_kept kept = { 0 };

		assert_good(evidence_index_next(index, &at, &kept, &err), err);
		if (!kept.path)
			break;
		text_addf(&found, "%s ", json_text(kept.tree, "attemptId"));
		if (text_equal_folded(json_text(kept.tree, "registrationId"), "r-2"))
			finds(index, "r-2", "2 5 ");
	}
	assert_string_equal(found.data, "0 2 3 ");
}

static void a_file_that_lost_its_end_meanwhile_is_told(void **state)
{
	CLEANUP(evidence_index_freep) struct evidence_index *index = NULL;
	CLEANUP(evidence_list_done) struct evidence_list list = { 0 };
	CLEANUP(freep) char *path = text_format("%s/x.evidence.jsonl", (const char *)*state);

	add(*state, "x.evidence.jsonl", "r-1", "a", "10:00:00");
	index = must_read(*state);
	assert_int_equal(truncate(path, 10), 0);
	assert_fails(evidence_index_find(index, "r-1", &list, &err), err, CAUSE_INPUT_NOT_FOUND);
}

/* -- Lives ------------------------------------------------------------------------------------------------------ */

static void lives_are(const char *directory, const char *wanted)
{
	CLEANUP(evidence_index_freep) struct evidence_index *index = must_read(directory);
	CLEANUP(evidence_kept_done) struct evidence_kept present = { 0 };
	CLEANUP(evidence_list_done) struct evidence_list lives = { 0 };
	CLEANUP(text_done) struct text found = TEXT_MAX(4096);
	CLEANUP(freep) char *path = text_format("%s/r-1.evidence.json", directory);
	const struct evidence_source source = { HOST, index };

	assert_good(evidence_kept_read(path, HOST, &present, &err), err);
	assert_good(evidence_lives_gather(&source, "r-1", &present, &lives, &err), err);
	text_add(&found, "");
	for (size_t i = 0; i < lives.count; i++)
		text_addf(&found, "%s@%.5s%s ", json_text(lives.items[i].tree, "attemptId"),
			  json_text(lives.items[i].tree, "at") + strlen("2026-11-27T"),
			  strrchr(lives.items[i].path, '.') + strlen(".json"));
	assert_string_equal(found.data, wanted);
}

static void lines_come_between_files_by_their_time(void **state)
{
	lives_are(*state, "");
	add(*state, "r-1.evidence.1.json", "r-1", "f1", "10:00:00");
	lives_are(*state, "");
	add(*state, "b.evidence.jsonl", "r-1", "l2", "13:00:00");
	lives_are(*state, "f1@10:00 l2@13:00l ");
	/* The clock was set back: the number counts. */
	add(*state, "r-1.evidence.2.json", "r-1", "f2", "09:00:00");
	add(*state, "r-1.evidence.json", "r-1", "f3", "12:00:00");
	lives_are(*state, "f1@10:00 f2@09:00 f3@12:00 l2@13:00l ");
	add(*state, "c.evidence.jsonl", "r-1", "l1", "11:00:00");
	add(*state, "a.evidence.jsonl", "r-1", "l0", "08:00:00");
	add(*state, "a.evidence.jsonl", "r-2", "l3", "14:00:00");
	lives_are(*state, "l0@08:00l f1@10:00 f2@09:00 l1@11:00l f3@12:00 l2@13:00l ");
}

static void lines_of_a_file_keep_their_order_when_the_clock_was_set_back(void **state)
{
	add(*state, "b.evidence.jsonl", "r-1", "x", "12:00:00");
	add(*state, "b.evidence.jsonl", "r-1", "y", "11:00:00");
	lives_are(*state, "x@12:00l y@11:00l ");
	/* Put off, and verified later. */
	add(*state, "b.evidence.jsonl", "r-1", "y", "10:00:00");
	lives_are(*state, "x@12:00l y@10:00l ");
	add(*state, "a.evidence.jsonl", "r-1", "w", "11:30:00");
	add(*state, "c.evidence.jsonl", "r-1", "z", "13:00:00");
	add(*state, "r-1.evidence.json", "r-1", "f", "12:30:00");
	lives_are(*state, "w@11:30l x@12:00l y@10:00l f@12:30 z@13:00l ");
}

static void what_was_written_last_of_a_life_stands_for_it(void **state)
{
	add(*state, "a.evidence.jsonl", "r-1", "x", "10:00:00");
	add(*state, "a.evidence.jsonl", "r-1", "y", "12:00:00");
	add(*state, "a.evidence.jsonl", "r-1", "x", "11:00:00");
	add(*state, "a.evidence.jsonl", "r-1", "y", "12:00:00");
	lives_are(*state, "x@11:00l y@12:00l ");
	add(*state, "r-1.evidence.1.json", "r-1", "x", "11:30:00");
	add(*state, "r-1.evidence.json", "r-1", "y", "11:40:00");
	lives_are(*state, "x@11:30 y@12:00l ");
}

static void a_file_of_another_device_is_not_its(void **state)
{
	add(*state, "r-1.evidence.json", "r-2", "no", "10:00:00");
	lives_are(*state, "");
	add(*state, "r-1.evidence.1.json", "r-2", "no", "10:00:00");
	add(*state, "r-1.evidence.2.json", "r-1", "f", "09:00:00");
	add(*state, "a.evidence.jsonl", "R-1", "l", "08:00:00");
	lives_are(*state, "l@08:00l f@09:00 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_directory(lines_are_found_by_any_spelling_of_the_device),
		test_with_directory(nothing_is_found_where_nothing_is),
		test_with_directory(a_line_is_what_was_written_with_its_newline),
		test_with_directory(what_is_no_line_takes_no_other_along),
		test_with_directory(what_nobody_asked_for_comes_next),
		test_with_directory(a_file_that_lost_its_end_meanwhile_is_told),
		test_with_directory(lines_come_between_files_by_their_time),
		test_with_directory(lines_of_a_file_keep_their_order_when_the_clock_was_set_back),
		test_with_directory(what_was_written_last_of_a_life_stands_for_it),
		test_with_directory(a_file_of_another_device_is_not_its),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
