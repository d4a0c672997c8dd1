/* How a worker starts: with what it is born, and which program it is. */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster/worker.h"
#include "odd-worker-client.h"
#include "odd-worker.h"
#include "temporary.h"

static char *tell(struct worker *worker, uint64_t what)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct muster_error err;

	worker_request_init(&request, WORKER_TPM_NV_READ);
	worker_add_u64(&request, FIELD_HANDLE, what);
	assert_good(worker_call(worker, &request, &reply, &err), err);
	return strdup((const char *)worker_bytes(&reply, FIELD_DATA)->data);
}

/* -- What a worker is born with ------------------------------------------------------------------------ */

static void the_environment_is_minimal(void **state)
{
	static const char *const additions[] = { "SOFTHSM2_CONF=/x/softhsm2.conf", NULL };
	static const char *const allowed[] = { "PATH=",
					       "LANG=",
					       "TZ=",
					       "ASAN_OPTIONS=",
					       "UBSAN_OPTIONS=",
					       "LSAN_OPTIONS=",
					       "MUSTER_INSECURE_MEMORY=",
					       "SOFTHSM2_CONF=" };
	CLEANUP(worker_freep) struct worker *worker = NULL;
	CLEANUP(freep) char *environment = NULL;
	char *rest;

	(void)state;
	setenv("MUSTER_LOGIN", "HostName=x;SharedAccessKey=canary", 1);
	setenv("LD_LIBRARY_PATH", "/nowhere", 1);
	setenv("PATHS", "x", 1);
	worker = spawn(additions);
	unsetenv("LD_LIBRARY_PATH");
	environment = tell(worker, TELL_ENVIRONMENT);
	assert_contains(environment, "SOFTHSM2_CONF=/x/softhsm2.conf\n");
	for (char *line = strtok_r(environment, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		bool is_allowed = false;

		for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
			is_allowed |= text_has_prefix(line, allowed[i]);
		if (!is_allowed)
			fail_msg("the worker has %s", line);
	}
}

static void too_many_variables_are_refused(void **state)
{
	const char *additions[64] = { NULL };
	struct worker *worker = NULL;
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(additions) - 1; i++)
		additions[i] = "A=1";
	assert_fails(worker_spawn("odd-worker", additions, &worker, &err), err, CAUSE_WORKER_START);
	assert_null(worker);
}

static void no_descriptor_leaks_in(void **state)
{
	CLEANUP(closep) int leaky = open("/proc/self/status", O_RDONLY);
	CLEANUP(closep) int high = fcntl(leaky, F_DUPFD, 700);
	CLEANUP(worker_freep) struct worker *other = spawn(NULL);
	CLEANUP(worker_freep) struct worker *worker = spawn(NULL);
	CLEANUP(freep) char *descriptors = tell(worker, TELL_DESCRIPTORS);
	size_t lines = 0;

	(void)state;
	assert_true(leaky >= 0 && high >= 700 && other);
	for (const char *c = descriptors; *c; c++)
		lines += *c == '\n';
	assert_contains(descriptors, "0=/dev/null\n");
	assert_contains(descriptors, "1=/dev/null\n");
	assert_contains(descriptors, "2=");
	assert_contains(descriptors, "3=socket:");
	if (lines != 4)
		fail_msg("the worker has %s", descriptors);
}

/* A station started without standard input and output makes its sockets there. */
static void low_descriptors_do_no_harm(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct worker *worker = NULL;
		struct muster_error err;
		bool good;

		close(0);
		close(1);
		good = worker_spawn("odd-worker", NULL, &worker, &err) && say_hello(worker, &err);
		worker_free(worker);
		_exit(good ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void signals_are_as_in_a_fresh_program(void **state)
{
	CLEANUP(worker_freep) struct worker *worker = NULL;
	CLEANUP(freep) char *signals = NULL;
	sigset_t all, before;

	(void)state;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	worker = spawn(NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	signals = tell(worker, TELL_SIGNALS);
	assert_string_equal(signals, "blocked=0 leader=1");
}

/* The worker hangs and holds our pipe as its standard error; only its death closes it. */
static void a_worker_does_not_outlive_its_station(void **state)
{
	struct pollfd wait = { .events = POLLIN };
	int ends[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct worker *worker = NULL;
		struct worker_message reply;
		struct muster_error err;

		dup2(ends[1], STDERR_FILENO);
		if (!worker_spawn("odd-worker", NULL, &worker, &err) || !say_hello(worker, &err))
			_exit(1);
		worker_set_deadlines(worker, WORKER_DEADLINES(5, 5, 5));
		worker_request_init(&reply, WORKER_HSM_TOKEN);
		worker_add_text(&reply, FIELD_MODULE, "/x.so");
		worker_add_u64(&reply, FIELD_INDEX, 0);
		if (!worker_send(worker, &reply, &err))
			_exit(2);
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	wait.fd = ends[0];
	assert_int_equal(poll(&wait, 1, 5000), 1);
	assert_int_equal(read(ends[0], &status, 1), 0);
	close(ends[0]);
}

/* -- Finding the program ------------------------------------------------------------------------------- */

static void the_program_is_found_beside_ours(void **state)
{
	CLEANUP(freep) char *directory = strdup(getenv("MUSTER_WORKER_DIR"));
	CLEANUP(worker_freep) struct worker *worker = NULL;
	struct muster_error err;

	(void)state;
	unsetenv("MUSTER_WORKER_DIR");
	worker = spawn(NULL);
	setenv("MUSTER_WORKER_DIR", directory, 1);
	assert_good(say_hello(worker, &err), err);
}

static void a_missing_program_is_named(void **state)
{
	struct worker *worker = NULL;
	struct muster_error err;

	(void)state;
	assert_fails(worker_spawn("no-worker", NULL, &worker, &err), err, CAUSE_WORKER_START);
	assert_contains(err.message, "no-worker");
	assert_null(worker);
}

static void a_program_that_does_not_run_is_named(void **state)
{
	CLEANUP(freep) char *directory = strdup(getenv("MUSTER_WORKER_DIR"));
	CLEANUP(freep)
	char *path = temporary_file(*state, "broken-worker",
				    "\x7f"
				    "ELF?",
				    0755);
	CLEANUP(worker_freep) struct worker *worker = NULL;
	struct muster_error err;

	assert_non_null(path);
	setenv("MUSTER_WORKER_DIR", *state, 1);
	assert_good(worker_spawn("broken-worker", NULL, &worker, &err), err);
	setenv("MUSTER_WORKER_DIR", directory, 1);
	assert_fails(say_hello(worker, &err), err, CAUSE_WORKER_START);
	assert_contains(err.message, "broken-worker could not be run");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_environment_is_minimal),
		cmocka_unit_test(too_many_variables_are_refused),
		cmocka_unit_test(no_descriptor_leaks_in),
		cmocka_unit_test(low_descriptors_do_no_harm),
		cmocka_unit_test(signals_are_as_in_a_fresh_program),
		cmocka_unit_test(a_worker_does_not_outlive_its_station),
		cmocka_unit_test(the_program_is_found_beside_ours),
		cmocka_unit_test(a_missing_program_is_named),
		test_with_directory(a_program_that_does_not_run_is_named),
	};

	/* As in muster: writing to a worker that is gone is an error, not the end. */
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
