/* Which hub: weights, latency, the same one every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/emulator/allocation.h"

static struct hub make(const char *spec)
{
	struct muster_error err;
	struct hub hub;

	assert_true(hub_parse(spec, &hub, &err));
	return hub;
}

static void hashed_is_stable_and_follows_weights(void **state)
{
	const struct hub hubs[] = { make("a.example"), make("b.example,weight=3") };
	const struct hub *const candidates[] = { &hubs[0], &hubs[1] };
	unsigned heavy = 0;
	char id[32];

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		(void)snprintf(id, sizeof(id), "dev-%u", i);
		const struct hub *hub = allocation_choose(ALLOCATION_HASHED, candidates, 2, id);
		assert_ptr_equal(hub, allocation_choose(ALLOCATION_HASHED, candidates, 2, id));
		heavy += hub == &hubs[1];
	}
	assert_in_range(heavy, 2850, 3150);
}

static void nearest_hub_and_ties(void **state)
{
	const struct hub hubs[] = { make("far.example,latency=80"), make("near.example,latency=3"),
				    make("twin.example,latency=3") };
	const struct hub *const candidates[] = { &hubs[0], &hubs[1], &hubs[2] };
	unsigned seen[3] = { 0 };
	char id[32];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(id, sizeof(id), "dev-%u", i);
		seen[allocation_choose(ALLOCATION_GEO_LATENCY, candidates, 3, id) - hubs]++;
	}
	assert_int_equal(seen[0], 0);
	assert_true(seen[1] > 0 && seen[2] > 0);
}

static void hubs_out_of_allocation_are_never_chosen(void **state)
{
	const struct hub hubs[] = { make("a.example,allocate=no"), make("b.example") };
	const struct hub *const candidates[] = { &hubs[0], &hubs[1] };

	(void)state;
	assert_ptr_equal(allocation_choose(ALLOCATION_STATIC, candidates, 2, "x"), &hubs[1]);
	assert_ptr_equal(allocation_choose(ALLOCATION_HASHED, candidates, 2, "x"), &hubs[1]);
	assert_null(allocation_choose(ALLOCATION_HASHED, candidates, 1, "x"));
	assert_null(allocation_choose(ALLOCATION_HASHED, NULL, 0, "x"));
}

static void reads_hubs(void **state)
{
	static const char *const bad[] = {
		"", "-a", "a b", "a,weight=0", "a,weight=1001", "a,x=1", "a,", "a,allocate=yes"
	};
	const struct hub hubs[] = { make("Hub-A.Example,weight=9,latency=7") };
	struct muster_error err;
	struct hub hub;

	(void)state;
	assert_int_equal(hubs[0].weight, 9);
	assert_int_equal(hubs[0].latency_ms, 7);
	assert_ptr_equal(hub_find(hubs, 1, "hub-a.example"), &hubs[0]);
	assert_null(hub_find(hubs, 1, "hub-b.example"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(hub_parse(bad[i], &hub, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashed_is_stable_and_follows_weights),
		cmocka_unit_test(nearest_hub_and_ties),
		cmocka_unit_test(hubs_out_of_allocation_are_never_chosen),
		cmocka_unit_test(reads_hubs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
