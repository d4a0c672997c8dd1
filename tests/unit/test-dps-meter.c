/* The file through which processes share the rate budget: seen by all, and robust against what can happen to it. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/dps-budget.h"

#include "temporary.h"

#define HOST "dps.example:8443"
#define LONG_MS 3600000

static struct dps_meter *open_meter(const char *directory, int64_t quota)
{
	const struct dps_rate rate = { quota, LONG_MS };
	struct muster_error err;
	struct dps_meter *meter = dps_meter_open(directory, HOST, &rate, &err);

	assert_non_null(meter);
	return meter;
}

static char *file_of(const char *directory)
{
	return text_format("%s/budget-dps.example_8443", directory);
}

static void what_one_process_takes_another_sees(void **state)
{
	struct dps_meter *meter = open_meter(*state, 2);
	struct dps_budget_ticket ticket;
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct dps_meter *other = open_meter(*state, 2);

		_exit(dps_meter_take(other, 1, DPS_BUDGET_BENCH, &ticket) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket), 0);
	assert_true(dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket) > 0);
	dps_meter_close(meter);
}

static void a_torn_file_begins_anew(void **state)
{
	CLEANUP(freep) char *path = file_of(*state);
	struct dps_meter *meter = open_meter(*state, 1);
	struct dps_budget_ticket ticket;
	int fd;

	assert_int_equal(dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket), 0);
	assert_true(dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket) > 0);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "\xff\xff", 2, 300), 2);
	assert_int_equal(dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket), 0);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket), 0);
	assert_true(dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket) > 0);
	close(fd);
	dps_meter_close(meter);
}

static void another_quota_begins_anew(void **state)
{
	struct dps_meter *meter = open_meter(*state, 1);
	struct dps_meter *other = open_meter(*state, 3);
	struct dps_budget_ticket ticket;

	assert_int_equal(dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(dps_meter_take(other, 1, DPS_BUDGET_BENCH, &ticket), 0);
	assert_true(dps_meter_take(other, 1, DPS_BUDGET_BENCH, &ticket) > 0);
	dps_meter_close(meter);
	dps_meter_close(other);
}

static void a_holder_that_died_holds_nothing(void **state)
{
	CLEANUP(freep) char *path = file_of(*state);
	struct dps_meter *meter = open_meter(*state, 1);
	struct dps_budget_ticket ticket;
	int status;
	pid_t child = fork();

	if (child == 0) {
		flock(open(path, O_RDWR), LOCK_EX);
		raise(SIGKILL);
	}
	waitpid(child, &status, 0);
	assert_int_equal(dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket), 0);
	dps_meter_close(meter);
}

static void a_holder_that_was_stopped_is_passed_by(void **state)
{
	CLEANUP(freep) char *path = file_of(*state);
	struct dps_meter *meter = open_meter(*state, 5);
	int held = open(path, O_RDWR);
	struct dps_budget_ticket ticket;
	int64_t began = clock_now_ms(), wait;

	assert_int_equal(flock(held, LOCK_EX), 0);
	while ((wait = dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket)) > 0) {
		assert_true(wait < 100 && clock_now_ms() - began < 20000);
		usleep((useconds_t)wait * 1000);
	}
	assert_true(clock_now_ms() - began >= 1900);
	dps_meter_answer(meter, &ticket, DPS_BUDGET_TAKEN, -1);
	close(held);
	dps_meter_close(meter);
}

static void no_place_for_the_file_is_no_obstacle(void **state)
{
	CLEANUP(freep) char *taken = temporary_file(*state, "taken", "", 0600);
	struct dps_meter *meter = open_meter(taken, 1);
	struct dps_budget_ticket ticket;

	assert_int_equal(dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket), 0);
	assert_true(dps_meter_take(meter, 1, DPS_BUDGET_BENCH, &ticket) > 0);
	dps_meter_answer(meter, &ticket, DPS_BUDGET_UNSENT, -1);
	assert_true(dps_meter_retry(meter));
	dps_meter_close(meter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_with_directory(what_one_process_takes_another_sees),
		test_with_directory(a_torn_file_begins_anew),
		test_with_directory(another_quota_begins_anew),
		test_with_directory(a_holder_that_died_holds_nothing),
		test_with_directory(a_holder_that_was_stopped_is_passed_by),
		test_with_directory(no_place_for_the_file_is_no_obstacle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
