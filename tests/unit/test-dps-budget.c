/* The rate budget against every shape of throttle, in simulated time, without
 * telling it which. */
#include "unit.h"

#include "muster/dps-budget.h"

#include "../../src/emulator/throttle.h"

#define WINDOW_MS 60000
#define START_MS 123456789

/* -- A client of a throttled service --------------------------------------------------------------------- */

#define LANES 4

struct lane {
	bool is_busy;
	int64_t arrives_ms, answered_ms;
	struct dps_budget_ticket ticket;
	bool is_judged, is_passed;
	int64_t retry_after_s;
};

struct world {
	struct dps_budget budget;
	struct throttle *throttle;
	struct lane lanes[LANES];
	uint64_t random;
	int64_t now_ms, wake_ms, told_ms, open_ms, last_ms;
	uint32_t bulk;
	bool follows; /* sends singles when items count */
	enum dps_budget_rank rank;
	int64_t items_left, sent, refused, early;
};

static uint64_t roll(struct world *world)
{
	world->random = world->random * 6364136223846793005u + 1442695040888963407u;
	return world->random >> 33;
}

static void judge(struct world *world, struct lane *lane)
{
	lane->is_judged = true;
	world->early +=
		lane->ticket.taken_ms > world->told_ms && lane->ticket.taken_ms < world->open_ms;
	lane->is_passed = throttle_take(world->throttle, lane->arrives_ms,
					world->throttle->counts_items ? lane->ticket.items : 1,
					&lane->retry_after_s);
}

static void take_answer(struct world *world, struct lane *lane)
{
	lane->is_busy = false;
	world->sent++;
	world->last_ms = lane->arrives_ms;
	dps_budget_answer(&world->budget, &lane->ticket,
			  lane->is_passed ? DPS_BUDGET_TAKEN : DPS_BUDGET_REFUSED,
			  lane->is_passed ? -1 : lane->retry_after_s * 1000, world->now_ms,
			  roll(world));
	if (lane->is_passed)
		return;
	world->refused++;
	world->items_left += lane->ticket.items;
	world->told_ms = world->now_ms;
	world->open_ms = world->now_ms + lane->retry_after_s * 1000;
}

static void start(struct world *world, struct lane *lane)
{
	bool is_single = world->follows && dps_budget_favours_singles(&world->budget);
	uint32_t bulk = is_single ? 1 : world->bulk;
	uint32_t items = world->items_left < bulk ? (uint32_t)world->items_left : bulk;
	int64_t wait_ms;

	if (items == 0 || world->now_ms < world->wake_ms)
		return;
	wait_ms = dps_budget_take(&world->budget, items, world->rank, world->now_ms, &lane->ticket);
	world->wake_ms = world->now_ms + wait_ms;
	if (wait_ms > 0)
		return;
	world->items_left -= items;
	lane->is_busy = true;
	lane->is_judged = false;
	lane->arrives_ms = world->now_ms + 10 + (int64_t)(roll(world) % 40);
	lane->answered_ms = lane->arrives_ms + 10 + (int64_t)(roll(world) % 40);
}

/* When this lane has something to do. */
static int64_t next_of(const struct world *world, const struct lane *lane)
{
	if (!lane->is_busy)
		return world->items_left > 0 ? world->wake_ms : INT64_MAX;
	return lane->is_judged ? lane->answered_ms : lane->arrives_ms;
}

static bool step(struct world *world)
{
	int64_t next_ms = INT64_MAX;
	bool is_busy = world->items_left > 0;

	for (size_t i = 0; i < LANES; i++) {
		struct lane *lane = &world->lanes[i];

		if (lane->is_busy && !lane->is_judged && lane->arrives_ms <= world->now_ms)
			judge(world, lane);
		if (lane->is_busy && lane->answered_ms <= world->now_ms)
			take_answer(world, lane);
		if (!lane->is_busy)
			start(world, lane);
		is_busy |= lane->is_busy;
	}
	for (size_t i = 0; i < LANES; i++)
		if (next_of(world, &world->lanes[i]) < next_ms)
			next_ms = next_of(world, &world->lanes[i]);
	world->now_ms = next_ms > world->now_ms ? next_ms : world->now_ms + 1;
	return is_busy;
}

static struct world make(struct throttle *throttle, int64_t quota, uint32_t bulk, int64_t items)
{
	struct world world = { .throttle = throttle,
			       .random = 7,
			       .now_ms = START_MS,
			       .bulk = bulk,
			       .rank = DPS_BUDGET_BACKLOG,
			       .items_left = items };

	dps_budget_init(&world.budget, quota, WINDOW_MS, START_MS);
	return world;
}

static struct throttle throttle_of(const char *spec)
{
	struct throttle throttle;
	struct muster_error err;

	assert_good(throttle_parse(spec, &throttle, &err), err);
	return throttle;
}

/* Runs to the end; windows that it took. */
static double run(struct world *world)
{
	while (step(world))
		assert_true(world->now_ms < START_MS + 200 * WINDOW_MS);
	assert_int_equal(world->early, 0);
	return (double)(world->last_ms - START_MS) / WINDOW_MS;
}

static void expect_at_most(const char *spec, const struct world *world, double taken,
			   double windows, int64_t refusals)
{
	if (taken > windows || world->refused > refusals)
		fail_msg("%s: %.2f windows and %lld refused of %lld, expected %.2f and %lld", spec,
			 taken, (long long)world->refused, (long long)world->sent, windows,
			 (long long)refusals);
}

static void expect(const char *spec, int64_t quota, uint32_t bulk, int64_t items, double windows,
		   int64_t refusals)
{
	struct throttle throttle = throttle_of(spec);
	struct world world = make(&throttle, quota, bulk, items);
	double taken = run(&world);

	throttle_done(&throttle);
	expect_at_most(spec, &world, taken, windows, refusals);
}

/* -- Every model, untold ----------------------------------------------------------------------------------- */

static void single_requests_are_never_refused(void **state)
{
	(void)state;
	expect("fixed:200/60", 200, 1, 2000, 9 * 1.05, 0);
	expect("sliding:200/60", 200, 1, 2000, 9 * 1.05, 0);
	expect("bucket:200/60", 200, 1, 2000, 9 * 1.05, 0);
}

static void bulks_that_count_once_all_go_at_once(void **state)
{
	(void)state;
	expect("fixed:200/60", 200, 10, 2000, 0.1, 0);
	expect("sliding:200/60", 200, 10, 2000, 0.1, 0);
	expect("bucket:200/60", 200, 10, 2000, 0.1, 0);
}

static void bulks_that_count_by_items_are_learned_from_one_refusal(void **state)
{
	(void)state;
	expect("fixed:200/60:count=item", 200, 10, 2000, 9 * 1.05, LANES);
	expect("sliding:200/60:count=item", 200, 10, 2000, 9 * 1.05, LANES);
	expect("bucket:200/60:count=item", 200, 10, 2000, 9 * 1.05, LANES);
}

/* Bulks until it is known that they cost as much as singles. */
static void expect_following(const char *spec, int64_t items, double windows, int64_t refusals)
{
	struct throttle throttle = throttle_of(spec);
	struct world world = make(&throttle, throttle.rate, 10, items);
	double taken;

	world.follows = true;
	taken = run(&world);
	throttle_done(&throttle);
	expect_at_most(spec, &world, taken, windows, refusals);
}

static void singles_follow_where_items_count(void **state)
{
	(void)state;
	expect_following("fixed:200/60:count=item", 2000, 9 * 1.05, LANES);
	expect_following("sliding:200/60:count=item", 2000, 9 * 1.05, LANES);
	expect_following("bucket:200/60:count=item", 2000, 9 * 1.05, LANES);
	expect_following("sliding:200/60", 2000, 0.1, 0);
}

/* What was learned is doubted twice on the way. */
static void a_doubt_costs_no_more_than_a_refusal(void **state)
{
	(void)state;
	expect_following("fixed:200/60:count=item", 8000, 39 * 1.05, 3 * LANES);
	expect_following("sliding:200/60:count=item", 8000, 39 * 1.05, 3 * LANES);
	expect_following("bucket:200/60:count=item", 8000, 39 * 1.05, 3 * LANES);
}

/* The last thousand take their time over four connections. */
static void ten_minutes_at_the_full_quota(void **state)
{
	(void)state;
	expect("fixed:1000/60", 1000, 10, 100000, 9.21 * 1.02, 0);
	expect("sliding:1000/60", 1000, 10, 100000, 9.21 * 1.02, 0);
	expect("bucket:1000/60", 1000, 10, 100000, 9.21 * 1.02, 0);
	expect("fixed:1000/60:count=item", 1000, 10, 10000, 9 * 1.02, LANES);
	expect("sliding:1000/60:count=item", 1000, 10, 10000, 9 * 1.02, LANES);
	expect("bucket:1000/60:count=item", 1000, 10, 10000, 9 * 1.02, LANES);
}

/* A quota smaller than promised, or a bucket that takes no bursts: slower, but
 * it ends and is polite. */
static void a_service_that_allows_less_is_adapted_to(void **state)
{
	(void)state;
	expect("fixed:200/60", 1000, 1, 4000, 2 * 19, 60);
	expect("sliding:200/60", 1000, 1, 4000, 2 * 19, 60);
	expect("bucket:200/60:burst=20", 200, 1, 2000, 2 * 9, 40);
}

/* -- Several stations that know nothing of each other ---------------------------------------------------- */

#define STATIONS 4
#define MINUTES 20

struct tally {
	int64_t sent, refused;
};

static struct tally tally_of(const struct world stations[STATIONS])
{
	struct tally tally = { 0 };

	for (size_t i = 0; i < STATIONS; i++) {
		tally.sent += stations[i].sent;
		tally.refused += stations[i].refused;
	}
	return tally;
}

/* Each has as much to send as all of them may. After a minute fewer than one
 * answer in a hundred is a 429. */
static void expect_politeness(const char *spec)
{
	struct throttle throttle = throttle_of(spec);
	struct world stations[STATIONS];
	struct tally first = { 0 }, all;

	for (size_t i = 0; i < STATIONS; i++) {
		stations[i] = make(&throttle, 1000, 1, MINUTES * 1000);
		stations[i].random = i;
	}
	for (int64_t now = START_MS; now < START_MS + MINUTES * WINDOW_MS; now++) {
		if (now == START_MS + WINDOW_MS)
			first = tally_of(stations);
		for (size_t i = 0; i < STATIONS; i++) {
			if (stations[i].now_ms > now)
				continue;
			stations[i].now_ms = now;
			step(&stations[i]);
		}
	}
	all = tally_of(stations);
	throttle_done(&throttle);
	if ((all.refused - first.refused) * 100 >= all.sent - first.sent)
		fail_msg("%s: %lld refused of %lld after the first minute", spec,
			 (long long)(all.refused - first.refused),
			 (long long)(all.sent - first.sent));
	if (all.sent - all.refused < MINUTES * 1000 * 3 / 4)
		fail_msg("%s: only %lld went through", spec, (long long)(all.sent - all.refused));
}

static void stations_with_one_quota_are_polite(void **state)
{
	(void)state;
	expect_politeness("fixed:1000/60");
	expect_politeness("sliding:1000/60");
	expect_politeness("bucket:1000/60");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_requests_are_never_refused),
		cmocka_unit_test(bulks_that_count_once_all_go_at_once),
		cmocka_unit_test(bulks_that_count_by_items_are_learned_from_one_refusal),
		cmocka_unit_test(singles_follow_where_items_count),
		cmocka_unit_test(a_doubt_costs_no_more_than_a_refusal),
		cmocka_unit_test(ten_minutes_at_the_full_quota),
		cmocka_unit_test(a_service_that_allows_less_is_adapted_to),
		cmocka_unit_test(stations_with_one_quota_are_polite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
