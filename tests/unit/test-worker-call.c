/* The station's end, against a real program that misbehaves on request (odd-worker.c). */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/worker/worker-internal.h"
#include "memory.h"
#include "muster/clock.h"
#include "muster/worker.h"
#include "odd-worker-client.h"

/* Short enough for a test, long enough for a busy machine to start nothing in. */
enum { SHORT_MS = 60 };

/* Asks for an oddity (or anything else, which is answered). */
static bool open_as(struct worker *worker, const char *oddity, struct worker_message *ret_reply,
		    struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_TPM_OPEN);
	worker_add_text(&request, FIELD_TCTI, oddity);
	return worker_call(worker, &request, ret_reply, err);
}

/* Whatever could not be made, it is memory that is missing, and not the worker. */
static bool ask_without_memory(const void *context)
{
	CLEANUP(worker_freep) struct worker *worker = NULL;
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct muster_error err;

	(void)context;
	if (worker_spawn("odd-worker", NULL, &worker, &err) && say_hello(worker, &err) &&
	    open_as(worker, "nothing odd", &reply, &err))
		return true;
	if (err.cause != CAUSE_MEMORY)
		fail_msg("E%04u %s", (unsigned)err.cause, err.message);
	return false;
}

static void says_when_it_is_memory_that_is_missing(void **state)
{
	(void)state;
	each_allocation_fails_of("a worker's messages", ask_without_memory, NULL);
}

static size_t count_descriptors(void)
{
	DIR *stream = opendir("/proc/self/fd");
	size_t count = 0;

	while (readdir(stream))
		count++;
	closedir(stream);
	return count;
}

/* -- What goes well ------------------------------------------------------------------------------------ */

static void answers_many_requests(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	struct muster_error err;

	(void)state;
	for (int i = 0; i < 50; i++) {
		CLEANUP(worker_message_done) struct worker_message reply = { 0 };

		assert_good(say_hello(worker, &err), err);
		assert_good(open_as(worker, "fine", &reply, &err), err);
		assert_string_equal(worker_text(&reply, FIELD_MANUFACTURER), "fine");
		assert_string_equal(worker_text(&reply, FIELD_MODEL), "odd");
	}
	assert_true(worker_is_alive(worker));
}

static void fits_into_a_poll_loop(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct worker_message request;
	struct muster_error err;
	bool done = false;

	(void)state;
	assert_true(worker_deadline_ms(worker) == INT64_MAX);
	worker_request_init(&request, WORKER_HELLO);
	assert_good(worker_send(worker, &request, &err), err);
	assert_true(worker_deadline_ms(worker) > clock_now_ms() + 3000);
	assert_true(worker_deadline_ms(worker) <= clock_now_ms() + 5000);
	assert_fails(worker_send(worker, &request, &err), err, CAUSE_INTERNAL);
	while (!done) {
		struct pollfd wait = { .fd = worker_fd(worker), .events = POLLIN };

		assert_int_equal(poll(&wait, 1, 5000), 1);
		assert_good(worker_receive(worker, &reply, &done, &err), err);
	}
	assert_true(worker_deadline_ms(worker) == INT64_MAX);
	assert_fails(worker_receive(worker, &reply, &done, &err), err, CAUSE_INTERNAL);
}

static void queue_as(struct worker *worker, const char *oddity)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	struct muster_error err;

	worker_request_init(&request, WORKER_TPM_OPEN);
	worker_add_text(&request, FIELD_TCTI, oddity);
	assert_good(worker_queue(worker, &request, &err), err);
}

static void a_request_can_wait_behind_another(void **state)
{
	static const char *const words[] = { "first", "second", "third" };
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	struct worker_message request;
	struct muster_error err;

	(void)state;
	worker_request_init(&request, WORKER_HELLO);
	queue_as(worker, words[0]);
	queue_as(worker, words[1]);
	assert_fails(worker_queue(worker, &request, &err), err, CAUSE_INTERNAL);
	assert_fails(worker_send(worker, &request, &err), err, CAUSE_INTERNAL);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		CLEANUP(worker_message_done) struct worker_message reply = { 0 };

		assert_good(worker_wait(worker, &reply, &err), err);
		assert_string_equal(worker_text(&reply, FIELD_MANUFACTURER), words[i]);
		if (i == 0)
			queue_as(worker, words[2]);
	}
	assert_true(worker_deadline_ms(worker) == INT64_MAX);
	assert_good(say_hello(worker, &err), err);
}

/* An error is the answer to one; a death that to both. */
static void what_waits_behind_a_failure(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct muster_error err;

	(void)state;
	queue_as(worker, "error");
	queue_as(worker, "fine");
	assert_fails(worker_wait(worker, &reply, &err), err, CAUSE_TPM_LOCKED_OUT);
	assert_good(worker_wait(worker, &reply, &err), err);
	assert_string_equal(worker_text(&reply, FIELD_MANUFACTURER), "fine");
	queue_as(worker, "be-killed");
	queue_as(worker, "fine");
	worker_message_done(&reply);
	assert_fails(worker_wait(worker, &reply, &err), err, CAUSE_WORKER_DIED);
	assert_fails(worker_wait(worker, &reply, &err), err, CAUSE_INTERNAL);
	assert_false(worker_is_alive(worker));
}

static void an_error_reply_comes_through_whole(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	struct worker_message none = { 0 };
	struct muster_error err;

	(void)state;
	assert_fails(open_as(worker, "error", &none, &err), err, CAUSE_TPM_LOCKED_OUT);
	assert_int_equal(err.code, MUSTER_E_REFUSED);
	assert_int_equal(err.origin, ORIGIN_TSS);
	assert_int_equal(err.native, 0x921);
	assert_string_equal(err.message, "in lockout");
	assert_good(say_hello(worker, &err), err);
}

static void an_error_that_is_no_text_comes_through_escaped(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	struct worker_message none = { 0 };
	struct muster_error err;

	(void)state;
	assert_fails(open_as(worker, "strange-error", &none, &err), err, CAUSE_TPM_COMMAND_FAILED);
	assert_string_equal(err.message, "it says \\xff\\x1b\xc3\xa4");
}

static void a_bad_request_is_answered_and_forgotten(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	struct worker_message none = { 0 }, unserved, invalid;
	struct muster_error err;

	(void)state;
	worker_request_init(&unserved, WORKER_HSM_KEYS);
	assert_fails(worker_call(worker, &unserved, &none, &err), err, CAUSE_WORKER_PROTOCOL);
	worker_request_init(&invalid, WORKER_TPM_OPEN);
	assert_fails(worker_call(worker, &invalid, &none, &err), err, CAUSE_WORKER_PROTOCOL);
	assert_fails(open_as(worker, "incomplete", &none, &err), err, CAUSE_WORKER_PROTOCOL);
	assert_true(worker_is_alive(worker));
	assert_good(say_hello(worker, &err), err);
}

static void a_descriptor_travels_along(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	struct worker_message none = { 0 };
	struct muster_error err;
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "1234", 4), 4);
	close(ends[1]);
	worker_request_init(&request, WORKER_HSM_LOGIN);
	worker_add_u64(&request, FIELD_PIN_STATE, 0);
	assert_fails(worker_call(worker, &request, &none, &err), err, CAUSE_PIN_MISSING);
	request.fd = ends[0];
	assert_fails(worker_call(worker, &request, &none, &err), err, CAUSE_PIN_REFUSED);
	assert_string_equal(err.message, "read '1234'");
	/* Nothing is kept from one request to the next, on either side. */
	close(ends[0]);
	request.fd = 0;
	assert_fails(worker_call(worker, &request, &none, &err), err, CAUSE_PIN_MISSING);
}

/* -- What goes wrong ----------------------------------------------------------------------------------- */

static void assert_ends_with(const char *oddity, enum muster_cause cause, const char *words)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	struct worker_message none = { 0 };
	struct muster_error err;

	assert_good(say_hello(worker, &err), err);
	if (cause == CAUSE_TPM_HANGS)
		worker_set_deadlines(worker, WORKER_DEADLINES(SHORT_MS, SHORT_MS, SHORT_MS));
	assert_fails(open_as(worker, oddity, &none, &err), err, cause);
	assert_contains(err.message, words);
	assert_contains(err.message, "odd-worker");
	assert_int_equal(none.count, 0);
	assert_false(worker_is_alive(worker));
	assert_true(worker_deadline_ms(worker) == INT64_MAX);
	assert_fails(say_hello(worker, &err), err, CAUSE_INTERNAL);
}

static void a_tpm_worker_that_hangs_is_ended(void **state)
{
	(void)state;
	assert_ends_with("hang", CAUSE_TPM_HANGS, "did not finish TPM_OPEN within 0.06 s");
	assert_ends_with("half", CAUSE_TPM_HANGS, "did not finish");
	assert_ends_with("trickle", CAUSE_TPM_HANGS, "did not finish");
}

static void a_module_worker_that_hangs_is_ended(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	struct worker_message none = { 0 };
	struct muster_error err;

	(void)state;
	worker_set_deadlines(worker, WORKER_DEADLINES(SHORT_MS, SHORT_MS, SHORT_MS));
	worker_request_init(&request, WORKER_HSM_TOKEN);
	worker_add_text(&request, FIELD_MODULE, "/x.so");
	worker_add_u64(&request, FIELD_INDEX, 0);
	assert_fails(worker_call(worker, &request, &none, &err), err, CAUSE_MODULE_HANGS);
	assert_false(worker_is_alive(worker));
}

static void a_worker_that_dies_says_how(void **state)
{
	(void)state;
	assert_ends_with("be-killed", CAUSE_WORKER_DIED, "signal 9 while it was doing TPM_OPEN");
	assert_ends_with("leave", CAUSE_WORKER_DIED, "status 3 while it was doing TPM_OPEN");
	assert_ends_with("close-socket", CAUSE_WORKER_DIED, "TPM_OPEN");
}

static void a_worker_that_breaks_the_protocol_is_ended(void **state)
{
	(void)state;
	assert_ends_with("garbage", CAUSE_WORKER_PROTOCOL, "malformed");
	assert_ends_with("empty", CAUSE_WORKER_PROTOCOL, "malformed");
	assert_ends_with("huge", CAUSE_WORKER_PROTOCOL, "more than 65536 bytes");
	assert_ends_with("another-verb", CAUSE_WORKER_PROTOCOL, "verb 1");
	assert_ends_with("request", CAUSE_WORKER_PROTOCOL, "verb 100");
}

static void a_worker_that_died_between_requests_is_noticed(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	struct worker_message none = { 0 };
	struct muster_error err;
	struct pollfd wait = { .fd = worker_fd(worker), .events = POLLIN };

	(void)state;
	worker_set_deadlines(worker, WORKER_DEADLINES(1, 1, 1));
	(void)open_as(worker, "leave", &none, &err);
	/* Whichever came first, the death or the deadline: it is gone now. */
	assert_false(worker_is_alive(worker));
	assert_int_equal(poll(&wait, 1, 5000), 1);
	assert_fails(say_hello(worker, &err), err, CAUSE_INTERNAL);
}

static void a_hostile_error_is_made_harmless(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	struct worker_message none = { 0 };
	struct muster_error err;

	(void)state;
	assert_fails(open_as(worker, "hostile-error", &none, &err), err, CAUSE_INTERNAL);
	assert_int_equal(err.origin, ORIGIN_NONE);
	assert_int_equal(err.native, 7);
	assert_string_equal(err.message, "%s%n\\x1b[31mred");
}

static void descriptors_from_a_worker_are_closed(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	size_t before = count_descriptors();
	struct muster_error err;

	(void)state;
	assert_good(open_as(worker, "descriptors", &reply, &err), err);
	assert_int_equal(reply.fd, 0);
	assert_int_equal(count_descriptors(), before);
}

static void nothing_is_left_behind(void **state)
{
	size_t before = count_descriptors();

	(void)state;
	for (int i = 0; i < 5; i++) {
		CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
		struct muster_error err;

		if (i % 2)
			assert_good(say_hello(worker, &err), err);
	}
	worker_free(NULL);
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_many_requests),
		cmocka_unit_test(fits_into_a_poll_loop),
		cmocka_unit_test(a_request_can_wait_behind_another),
		cmocka_unit_test(what_waits_behind_a_failure),
		cmocka_unit_test(says_when_it_is_memory_that_is_missing),
		cmocka_unit_test(an_error_reply_comes_through_whole),
		cmocka_unit_test(an_error_that_is_no_text_comes_through_escaped),
		cmocka_unit_test(a_bad_request_is_answered_and_forgotten),
		cmocka_unit_test(a_descriptor_travels_along),
		cmocka_unit_test(a_tpm_worker_that_hangs_is_ended),
		cmocka_unit_test(a_module_worker_that_hangs_is_ended),
		cmocka_unit_test(a_worker_that_dies_says_how),
		cmocka_unit_test(a_worker_that_breaks_the_protocol_is_ended),
		cmocka_unit_test(a_worker_that_died_between_requests_is_noticed),
		cmocka_unit_test(a_hostile_error_is_made_harmless),
		cmocka_unit_test(descriptors_from_a_worker_are_closed),
		cmocka_unit_test(nothing_is_left_behind),
	};

	memory_begin();
	/* As in muster: writing to a worker that is gone is an error, not the end. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
