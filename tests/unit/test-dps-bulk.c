/* The pure parts of the bulk engine: what is sent, and which answers are believed. And the bits of its progress. */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "muster/dps-progress.h"
#include "muster/json.h"

#include "../../src/dps/bulk-internal.h"
#include "temporary.h"

static struct slot slot_of(enum dps_bulk_mode mode, const char *id, const char *etag)
{
	struct slot slot = { .item = { .id = strdup(id), .etag = etag ? strdup(etag) : NULL } };

	if (mode != DPS_BULK_DELETE) {
		slot.item.document = cJSON_CreateObject();
		assert_true(json_add_text(slot.item.document, "registrationId", id));
		assert_true(json_add_text(slot.item.document, "etag", "old"));
	}
	slot.json = bulk_item_json(mode, &slot.item);
	assert_non_null(slot.json);
	return slot;
}

static void slot_end(struct slot *slot)
{
	dps_bulk_item_done(&slot->item);
	free(slot->json);
}

static void expect_body(enum dps_bulk_mode mode, const char *body)
{
	struct slot a = slot_of(mode, "a", "new"), b = slot_of(mode, "b", "newer");
	struct slot *slots[] = { &a, &b };
	CLEANUP(http_request_done) struct http_request request = { 0 };
	struct muster_error err;

	assert_good(bulk_build("dps.example", mode, slots, 2, &request, &err), err);
	assert_string_equal(request.url.data,
			    "https://dps.example/enrollments?api-version=2021-10-01");
	assert_int_equal(request.method, HTTP_POST);
	assert_int_equal(request.body.size, strlen(body));
	assert_memory_equal(request.body.data, body, strlen(body));
	slot_end(&a);
	slot_end(&b);
}

static void bodies_are_as_the_service_wants_them(void **state)
{
	(void)state;
	expect_body(DPS_BULK_CREATE,
		    "{\"enrollments\":[{\"registrationId\":\"a\",\"etag\":\"old\"},"
		    "{\"registrationId\":\"b\",\"etag\":\"old\"}],\"mode\":\"create\"}");
	expect_body(
		DPS_BULK_UPDATE_IF_MATCH,
		"{\"enrollments\":[{\"registrationId\":\"a\",\"etag\":\"new\"},"
		"{\"registrationId\":\"b\",\"etag\":\"newer\"}],\"mode\":\"updateIfMatchETag\"}");
	expect_body(DPS_BULK_DELETE,
		    "{\"enrollments\":[{\"registrationId\":\"a\",\"etag\":\"new\"},"
		    "{\"registrationId\":\"b\",\"etag\":\"newer\"}],\"mode\":\"delete\"}");
}

static void expect_single(enum dps_bulk_mode mode, enum http_method method, const char *header)
{
	struct slot a = slot_of(mode, "a", "new");
	CLEANUP(http_request_done) struct http_request request = { 0 };
	struct muster_error err;

	assert_good(bulk_build_single("dps.example", mode, &a, &request, &err), err);
	assert_int_equal(request.method, method);
	assert_string_equal(request.headers.data ? request.headers.data : "", header);
	slot_end(&a);
}

static void singles_are_conditional_as_their_mode_is(void **state)
{
	(void)state;
	expect_single(DPS_BULK_CREATE, HTTP_PUT, "");
	expect_single(DPS_BULK_UPDATE, HTTP_PUT, "If-Match: *\r\n");
	expect_single(DPS_BULK_UPDATE_IF_MATCH, HTTP_PUT, "If-Match: new\r\n");
	expect_single(DPS_BULK_DELETE, HTTP_DELETE, "If-Match: new\r\n");
}

/* codes[i]: of item i, 0 for none. NULL: the answer is not believed. */
static void expect_answer(const char *body, const int64_t codes[3])
{
	struct slot items[3] = { slot_of(DPS_BULK_DELETE, "a", NULL),
				 slot_of(DPS_BULK_DELETE, "b", NULL),
				 slot_of(DPS_BULK_DELETE, "c", NULL) };
	struct slot *slots[] = { &items[0], &items[1], &items[2] };
	struct http_answer answer = { .outcome = HTTP_ANSWERED, .status = 200 };
	struct item_error errors[3];

	text_add(&answer.body, body);
	if (bulk_read(&answer, slots, 3, errors) != (codes != NULL))
		fail_msg("%s", body);
	for (size_t i = 0; i < 3; i++) {
		if (codes)
			assert_int_equal(errors[i].code, codes[i]);
		slot_end(&items[i]);
	}
	http_answer_done(&answer);
}

#define CODES(...) ((const int64_t[3]){ __VA_ARGS__ })

static void errors_belong_to_items(void **state)
{
	(void)state;
	expect_answer("{\"isSuccessful\":true,\"errors\":[]}", CODES(0, 0, 0));
	expect_answer("{\"isSuccessful\":true}", CODES(0, 0, 0));
	expect_answer("{\"isSuccessful\":true,\"errors\":null}", CODES(0, 0, 0));
	expect_answer(
		"{\"isSuccessful\":false,\"errors\":[{\"registrationId\":\"C\",\"errorCode\":409201},"
		"{\"registrationId\":\"a\",\"errorCode\":400004,\"errorStatus\":\"no\"}]}",
		CODES(400004, 0, 409201));
}

static void answers_that_cannot_be_are_not_believed(void **state)
{
	(void)state;
	expect_answer("", NULL);
	expect_answer("[]", NULL);
	expect_answer("{}", NULL);
	expect_answer("{\"errors\":[]}", NULL);
	expect_answer("{\"isSuccessful\":1,\"errors\":[]}", NULL);
	expect_answer("{\"isSuccessful\":false,\"errors\":[]}", NULL);
	expect_answer("{\"isSuccessful\":false}", NULL);
	expect_answer("{\"isSuccessful\":true,\"errors\":{}}", NULL);
	expect_answer(
		"{\"isSuccessful\":true,\"errors\":[{\"registrationId\":\"a\",\"errorCode\":409201}]}",
		NULL);
	expect_answer(
		"{\"isSuccessful\":false,\"errors\":[{\"registrationId\":\"d\",\"errorCode\":409201}]}",
		NULL);
	expect_answer("{\"isSuccessful\":false,\"errors\":[{\"registrationId\":\"a\"}]}", NULL);
	expect_answer(
		"{\"isSuccessful\":false,\"errors\":[{\"registrationId\":\"a\",\"errorCode\":0}]}",
		NULL);
	expect_answer(
		"{\"isSuccessful\":false,\"errors\":[{\"registrationId\":\"a\",\"errorCode\":1},"
		"{\"registrationId\":\"a\",\"errorCode\":1}]}",
		NULL);
	expect_answer("{\"isSuccessful\":false,\"errors\":[7]}", NULL);
}

/* -- Progress --------------------------------------------------------------------------------------------- */

static const uint8_t place[SHA256_SIZE] = { 1, 2, 3 }, work[SHA256_SIZE] = { 4 },
		     other_work[SHA256_SIZE] = { 5 };

static struct dps_progress *open_progress(const char *directory, bool restart)
{
	struct dps_progress *progress;
	struct muster_error err;

	setenv("XDG_STATE_HOME", directory, 1);
	assert_good(dps_progress_open(place, work, 100, restart, &progress, &err), err);
	return progress;
}

static void progress_is_there_again(void **state)
{
	struct dps_progress *progress = open_progress(*state, false), *second;
	struct muster_error err;

	assert_good(dps_progress_mark(progress, 0, &err), err);
	assert_good(dps_progress_mark(progress, 99, &err), err);
	assert_good(dps_progress_mark(progress, 99, &err), err);
	assert_fails(dps_progress_open(place, work, 100, false, &second, &err), err,
		     CAUSE_IMPORT_BUSY);
	dps_progress_close(progress);
	progress = open_progress(*state, false);
	assert_int_equal(dps_progress_count(progress), 2);
	assert_true(dps_progress_is_done(progress, 99) && !dps_progress_is_done(progress, 98));
	dps_progress_close(progress);
	progress = open_progress(*state, true);
	assert_int_equal(dps_progress_count(progress), 0);
	dps_progress_close(progress);
}

static void progress_that_came_to_its_end_is_begun_anew(void **state)
{
	struct dps_progress *progress = open_progress(*state, false);
	struct muster_error err;

	for (size_t row = 0; row < 100; row++)
		assert_good(dps_progress_mark(progress, row, &err), err);
	dps_progress_close(progress);
	progress = open_progress(*state, false);
	assert_int_equal(dps_progress_count(progress), 0);
	assert_false(dps_progress_is_done(progress, 0));
	dps_progress_close(progress);
}

static void other_work_at_the_same_place_is_begun_anew(void **state)
{
	struct dps_progress *progress = open_progress(*state, false);
	struct muster_error err;

	assert_good(dps_progress_mark(progress, 5, &err), err);
	dps_progress_close(progress);
	assert_good(dps_progress_open(place, other_work, 100, false, &progress, &err), err);
	assert_int_equal(dps_progress_count(progress), 0);
	dps_progress_close(progress);
	progress = open_progress(*state, false);
	assert_int_equal(dps_progress_count(progress), 0);
	dps_progress_close(progress);
}

static void progress_that_was_cut_off_is_less_progress(void **state)
{
	CLEANUP(freep)
	char *path =
		text_format("%s/muster/import-01020300000000000000000000000000", (char *)*state);
	struct dps_progress *progress = open_progress(*state, false);
	struct muster_error err;

	assert_good(dps_progress_mark(progress, 5, &err), err);
	assert_good(dps_progress_mark(progress, 50, &err), err);
	dps_progress_close(progress);
	assert_int_equal(truncate(path, 48 + 2), 0);
	progress = open_progress(*state, false);
	assert_int_equal(dps_progress_count(progress), 1);
	dps_progress_close(progress);
	assert_int_equal(truncate(path, 20), 0);
	progress = open_progress(*state, false);
	assert_int_equal(dps_progress_count(progress), 0);
	dps_progress_close(progress);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_as_the_service_wants_them),
		cmocka_unit_test(singles_are_conditional_as_their_mode_is),
		cmocka_unit_test(errors_belong_to_items),
		cmocka_unit_test(answers_that_cannot_be_are_not_believed),
		test_with_directory(progress_is_there_again),
		test_with_directory(progress_that_came_to_its_end_is_begun_anew),
		test_with_directory(other_work_at_the_same_place_is_begun_anew),
		test_with_directory(progress_that_was_cut_off_is_less_progress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
