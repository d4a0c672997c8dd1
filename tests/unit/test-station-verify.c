/* What a registration came to, and what is asked next. */
#include "unit.h"

#include <stdlib.h>

#include "../../src/station/steps.h"

/* An enrollment that is disabled, which needs no hub to be verified. */
static void the_second_certificate_has_a_time_of_its_own(void **state)
{
	struct run run = { .profile.is_disabled = true };
	uint8_t certificate[] = { 0x30 };
	struct job job = { .run = &run,
			   .keys[ATTEST_SECONDARY].certificate = { certificate, 1 },
			   .registration.status = DPS_STATUS_DISABLED,
			   .verify_deadline_ms = 1,
			   .operations_lost = 2,
			   .poll_has_waited = true };
	struct muster_error err;

	(void)state;
	assert_true(verify_check(&job, &err));
	assert_string_equal(job.next_step, "register");
	assert_false(job.verified);
	assert_int_equal(job.verify_deadline_ms, 0);
	assert_int_equal(job.operations_lost, 0);
	assert_false(job.poll_has_waited);
	assert_true(verify_check(&job, &err));
	assert_true(job.verified);
	free(job.verification);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_second_certificate_has_a_time_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
