/* The rate budget, one rule each. */
#include "unit.h"

#include "muster/dps-budget.h"

#define WINDOW_MS 60000
#define START_MS 123456789

static struct dps_budget fresh(int64_t quota)
{
	struct dps_budget budget;

	dps_budget_init(&budget, quota, WINDOW_MS, START_MS);
	return budget;
}

static void nothing_goes_out_before_retry_after(void **state)
{
	struct dps_budget budget = fresh(100);
	struct dps_budget_ticket ticket;

	(void)state;
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS, &ticket), 0);
	dps_budget_answer(&budget, &ticket, DPS_BUDGET_REFUSED, 7000, START_MS + 10, 0);
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS + 11, &ticket),
			 6999);
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS + 7010, &ticket),
			 0);
}

static void retry_after_is_capped_and_jittered(void **state)
{
	struct dps_budget budget = fresh(100);
	struct dps_budget_ticket ticket;
	int64_t wait;

	(void)state;
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS, &ticket), 0);
	dps_budget_answer(&budget, &ticket, DPS_BUDGET_REFUSED, INT64_MAX, START_MS, 500);
	wait = dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS, &ticket);
	assert_int_equal(wait, 10 * 60 * 1000 + 500);
}

static void refusals_without_retry_after_back_off(void **state)
{
	struct dps_budget budget = fresh(100);
	struct dps_budget_ticket ticket;
	int64_t now = START_MS, wait;

	(void)state;
	for (int i = 0; i < 8; i++) {
		int64_t span = 1000 << (i < 4 ? i : 4);

		assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, now, &ticket), 0);
		dps_budget_answer(&budget, &ticket, DPS_BUDGET_REFUSED, -1, now + 1,
				  (uint64_t)span);
		wait = budget.open_ms - now - 1;
		assert_int_equal(wait, span);
		now = budget.open_ms + WINDOW_MS;
	}
}

static void requests_under_way_together_halve_once(void **state)
{
	struct dps_budget budget = fresh(100);
	struct dps_budget_ticket tickets[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(
			dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS, &tickets[i]), 0);
	for (size_t i = 0; i < 3; i++)
		dps_budget_answer(&budget, &tickets[i], DPS_BUDGET_REFUSED, 1000,
				  START_MS + 5 + (int64_t)i, 0);
	assert_int_equal(budget.limit_milli, 50 * 1000);
	assert_int_equal(budget.refusals, 1);
}

/* A bulk that passed but for some of its items: those count as a refusal does, the others as any. */
static void items_refused_in_an_answer_are_a_refusal(void **state)
{
	struct dps_budget budget = fresh(100);
	struct dps_budget_ticket ticket;
	int64_t now = START_MS;

	(void)state;
	for (uint32_t i = 1; i <= 2; i++) {
		assert_int_equal(dps_budget_take(&budget, 10, DPS_BUDGET_BACKLOG, now, &ticket), 0);
		ticket.refused = 7;
		assert_false(dps_budget_is_settled(&budget, &ticket, now));
		dps_budget_answer(&budget, &ticket, DPS_BUDGET_TAKEN, 5000, now + 1, 0);
		assert_int_equal(budget.open_ms, now + 5001);
		assert_int_equal(budget.refusals, i);
		now += 3 * WINDOW_MS;
	}
	assert_in_range(budget.limit_milli, 25 * 1000, 40 * 1000);
	ticket.refused = 0;
	assert_int_equal(dps_budget_take(&budget, 10, DPS_BUDGET_BACKLOG, now, &ticket), 0);
	dps_budget_answer(&budget, &ticket, DPS_BUDGET_TAKEN, -1, now + 1, 0);
	assert_int_equal(budget.refusals, 0);
}

static void only_what_passed_of_a_bulk_is_counted(void **state)
{
	struct dps_budget budget = fresh(100);
	struct dps_budget_ticket ticket;
	uint32_t calls = 0, items = 0;

	(void)state;
	assert_int_equal(dps_budget_take(&budget, 10, DPS_BUDGET_BACKLOG, START_MS, &ticket), 0);
	ticket.refused = 7;
	dps_budget_answer(&budget, &ticket, DPS_BUDGET_TAKEN, -1, START_MS + 1, 0);
	for (size_t i = 0; i < DPS_BUDGET_BINS; i++) {
		calls += budget.bins[i].calls;
		items += budget.bins[i].items;
	}
	assert_int_equal(calls, 1);
	assert_int_equal(items, 3);
}

static void a_halved_limit_grows_back(void **state)
{
	struct dps_budget budget = fresh(100);
	struct dps_budget_ticket ticket;

	(void)state;
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS, &ticket), 0);
	dps_budget_answer(&budget, &ticket, DPS_BUDGET_REFUSED, 0, START_MS, 0);
	assert_int_equal(
		dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS + 10 * WINDOW_MS, &ticket),
		0);
	assert_int_equal(budget.limit_milli, 100 * 1000);
}

static void a_quick_answer_is_settled(void **state)
{
	struct dps_budget budget = fresh(100), answered;
	struct dps_budget_ticket ticket;

	(void)state;
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BACKLOG, START_MS, &ticket), 0);
	assert_true(dps_budget_is_settled(&budget, &ticket, START_MS + 1));
	answered = budget;
	dps_budget_answer(&answered, &ticket, DPS_BUDGET_TAKEN, -1, START_MS + 1, 0);
	assert_memory_equal(&answered, &budget, sizeof(budget));
	assert_false(dps_budget_is_settled(&budget, &ticket, START_MS + WINDOW_MS / 200));
	assert_true(dps_budget_retry(&budget));
	assert_false(dps_budget_is_settled(&budget, &ticket, START_MS + 1));
}

static void what_was_never_sent_is_given_back(void **state)
{
	struct dps_budget budget = fresh(1);
	struct dps_budget_ticket ticket;

	(void)state;
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS, &ticket), 0);
	dps_budget_answer(&budget, &ticket, DPS_BUDGET_UNSENT, -1, START_MS + 1, 0);
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS + 1, &ticket), 0);
	assert_true(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS + 2, &ticket) >=
		    WINDOW_MS - 2);
}

static void the_first_bulk_after_singles_teaches_too(void **state)
{
	struct dps_budget budget = fresh(100);
	struct dps_budget_ticket ticket;

	(void)state;
	for (int i = 0; i < 95; i++)
		assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BACKLOG, START_MS, &ticket),
				 0);
	assert_int_equal(dps_budget_take(&budget, 10, DPS_BUDGET_BACKLOG, START_MS, &ticket), 0);
	dps_budget_answer(&budget, &ticket, DPS_BUDGET_REFUSED, 1000, START_MS, 0);
	assert_true(dps_budget_favours_singles(&budget));
	assert_int_equal(budget.limit_milli, 100 * 1000);
}

/* As many as come through one at a time. */
static void singles_are_for_low_limits(void **state)
{
	struct dps_budget low = fresh(1200), high = fresh(1201);

	(void)state;
	low.counts_items = high.counts_items = true;
	assert_true(dps_budget_favours_singles(&low));
	assert_false(dps_budget_favours_singles(&high));
}

static void a_bulk_larger_than_the_limit_passes_alone(void **state)
{
	struct dps_budget budget = fresh(5);
	struct dps_budget_ticket ticket;

	(void)state;
	budget.counts_items = true;
	budget.learned_ms = START_MS;
	assert_int_equal(dps_budget_take(&budget, 10, DPS_BUDGET_BENCH, START_MS, &ticket), 0);
	assert_true(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS + 1, &ticket) > 0);
}

static void a_clock_that_went_back_begins_anew(void **state)
{
	struct dps_budget budget = fresh(1);
	struct dps_budget_ticket ticket;

	(void)state;
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS, &ticket), 0);
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS - 3600000, &ticket),
			 0);
	dps_budget_answer(&budget, &ticket, DPS_BUDGET_TAKEN, -1, START_MS - 3600000, 0);
	assert_true(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS - 3600000, &ticket) > 0);
}

static void repetitions_run_out_and_come_back_with_successes(void **state)
{
	struct dps_budget budget = fresh(1000);
	struct dps_budget_ticket ticket;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_true(dps_budget_retry(&budget));
	assert_false(dps_budget_retry(&budget));
	for (int i = 0; i < 10; i++) {
		assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS, &ticket),
				 0);
		dps_budget_answer(&budget, &ticket, DPS_BUDGET_TAKEN, -1, START_MS, 0);
	}
	assert_true(dps_budget_retry(&budget));
	assert_false(dps_budget_retry(&budget));
}

/* Requests of that rank that go at once. */
static int take_all(struct dps_budget *budget, enum dps_budget_rank rank, int64_t now_ms)
{
	struct dps_budget_ticket ticket;
	int count = 0;

	while (dps_budget_take(budget, 1, rank, now_ms, &ticket) == 0)
		count++;
	return count;
}

static void a_backlog_alone_has_the_whole_limit(void **state)
{
	struct dps_budget budget = fresh(100);

	(void)state;
	assert_int_equal(take_all(&budget, DPS_BUDGET_BACKLOG, START_MS), 100);
}

static void what_waits_on_the_bench_has_the_next_turn(void **state)
{
	struct dps_budget budget = fresh(10);
	struct dps_budget_ticket ticket;
	int64_t wait_ms;

	(void)state;
	assert_int_equal(take_all(&budget, DPS_BUDGET_BACKLOG, START_MS), 10);
	wait_ms = dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS, &ticket);
	assert_true(wait_ms > 0);
	assert_int_equal(take_all(&budget, DPS_BUDGET_BACKLOG, START_MS + wait_ms), 0);
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS + wait_ms, &ticket),
			 0);
	assert_true(take_all(&budget, DPS_BUDGET_BACKLOG, START_MS + wait_ms) > 0);
}

/* Waiting for a bench that is gone costs a backlog no more than a moment. */
static void a_turn_nobody_comes_for_is_the_backlogs(void **state)
{
	struct dps_budget budget = fresh(10);
	struct dps_budget_ticket ticket;
	int64_t wait_ms;

	(void)state;
	assert_int_equal(take_all(&budget, DPS_BUDGET_BACKLOG, START_MS), 10);
	wait_ms = dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS, &ticket);
	assert_true(wait_ms > 0);
	assert_true(take_all(&budget, DPS_BUDGET_BACKLOG, START_MS + wait_ms + 200) > 0);
}

static void some_is_kept_for_a_bench_in_use(void **state)
{
	struct dps_budget budget = fresh(100);
	struct dps_budget_ticket ticket;
	int64_t later_ms = START_MS + 10 * WINDOW_MS;

	(void)state;
	assert_int_equal(dps_budget_take(&budget, 1, DPS_BUDGET_BENCH, START_MS, &ticket), 0);
	assert_int_equal(take_all(&budget, DPS_BUDGET_BACKLOG, START_MS), 94);
	assert_int_equal(take_all(&budget, DPS_BUDGET_BENCH, START_MS), 5);
	assert_int_equal(take_all(&budget, DPS_BUDGET_BACKLOG, later_ms), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_goes_out_before_retry_after),
		cmocka_unit_test(retry_after_is_capped_and_jittered),
		cmocka_unit_test(refusals_without_retry_after_back_off),
		cmocka_unit_test(requests_under_way_together_halve_once),
		cmocka_unit_test(items_refused_in_an_answer_are_a_refusal),
		cmocka_unit_test(only_what_passed_of_a_bulk_is_counted),
		cmocka_unit_test(a_halved_limit_grows_back),
		cmocka_unit_test(a_quick_answer_is_settled),
		cmocka_unit_test(what_was_never_sent_is_given_back),
		cmocka_unit_test(the_first_bulk_after_singles_teaches_too),
		cmocka_unit_test(singles_are_for_low_limits),
		cmocka_unit_test(a_bulk_larger_than_the_limit_passes_alone),
		cmocka_unit_test(a_clock_that_went_back_begins_anew),
		cmocka_unit_test(repetitions_run_out_and_come_back_with_successes),
		cmocka_unit_test(a_backlog_alone_has_the_whole_limit),
		cmocka_unit_test(what_waits_on_the_bench_has_the_next_turn),
		cmocka_unit_test(a_turn_nobody_comes_for_is_the_backlogs),
		cmocka_unit_test(some_is_kept_for_a_bench_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
