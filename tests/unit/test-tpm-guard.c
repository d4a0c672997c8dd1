/* The guard: byte by byte what is let through, and how long it waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <tss2/tss2_tpm2_types.h>

#include "muster/clock.h"

#include "../../src/tpm/guard.h"
#include "../../src/tpm/tpm-internal.h"

/* -- The check --------------------------------------------------------------------------------------------- */

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })
#define U32(n) (uint8_t)((n) >> 24), (uint8_t)((n) >> 16), (uint8_t)((n) >> 8), (uint8_t)(n)
#define PLAIN 0x80, 0x01
#define SESSIONS 0x80, 0x02
#define TPM_1_2 0x00, 0xc4
#define QUOTE_TAG 0x80, 0x18
#define COMMAND(tag, code) tag, U32(10), U32(code)
#define HEADER(tag, size, rc) tag, U32(size), U32(rc)
#define PASSWORD_SESSION 0, 0, 0x01, 0, 0
#define SENT_WITH_ONE \
	COMMAND(SESSIONS, TPM2_CC_HMAC), U32(0x80000000), U32(9), U32(0x40000009), PASSWORD_SESSION
/* A command whose authorisations say to be so long, and are so. */
#define SENT_WITH(size, ...) \
	COMMAND(SESSIONS, TPM2_CC_HMAC), U32(0x80000000), U32(size), __VA_ARGS__
#define ANSWERED_WITH_ONE HEADER(SESSIONS, 21, 0), U32(2), 0, 0, PASSWORD_SESSION
#define ENCRYPTED_SESSION 0, 2, 7, 7, 0x41, 0, 1, 9

struct row {
	const char *what;
	const char *complaint; /* NULL: let through */
	const uint8_t *command;
	size_t command_size;
	const uint8_t *response;
	size_t size;
};

static const struct row rows[] = {
	{ "success without parameters", NULL, BYTES(COMMAND(PLAIN, TPM2_CC_FlushContext)),
	  BYTES(HEADER(PLAIN, 10, 0)) },
	{ "success with parameters", NULL, BYTES(COMMAND(PLAIN, TPM2_CC_ReadClock)),
	  BYTES(HEADER(PLAIN, 12, 0), 1, 2) },
	{ "an error", NULL, BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(PLAIN, 10, 0x98e)) },
	{ "a session", NULL, BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 22, 0), U32(3), 0, 1, 5, PASSWORD_SESSION) },
	{ "three sessions", NULL, BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 32, 0), U32(3), 0, 1, 5, PASSWORD_SESSION, PASSWORD_SESSION,
		PASSWORD_SESSION) },
	{ "an encrypted parameter", NULL, BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 25, 0), U32(3), 0, 1, 5, ENCRYPTED_SESSION) },
	{ "a transient handle", NULL, BYTES(COMMAND(SESSIONS, TPM2_CC_Load)),
	  BYTES(HEADER(SESSIONS, 25, 0), U32(0x80000001), U32(2), 0, 0, PASSWORD_SESSION) },
	{ "a session handle", NULL, BYTES(COMMAND(PLAIN, TPM2_CC_StartAuthSession)),
	  BYTES(HEADER(PLAIN, 16, 0), U32(0x03000000), 0, 0) },

	{ "a session that was saved", NULL, BYTES(COMMAND(PLAIN, TPM2_CC_ContextLoad)),
	  BYTES(HEADER(PLAIN, 14, 0), U32(0x02000000)) },
	{ "sessions of a command that is not known", NULL, BYTES(COMMAND(SESSIONS, TPM2_CC_Clear)),
	  BYTES(ANSWERED_WITH_ONE) },
	{ "as many as can be, of a command that was cut before their size", NULL,
	  BYTES(COMMAND(SESSIONS, TPM2_CC_NV_Read), U32(1), U32(2), 0, 0),
	  BYTES(ANSWERED_WITH_ONE) },
	{ "as many as can be, of a command that says to be longer", NULL,
	  BYTES(SENT_WITH(200, U32(0x40000009), PASSWORD_SESSION)), BYTES(ANSWERED_WITH_ONE) },
	{ "none, of a command that ends behind a handle", "has more sessions than the command",
	  BYTES(SENT_WITH(4, U32(0x40000009))), BYTES(ANSWERED_WITH_ONE) },
	{ "none, of a command that ends behind a nonce", "has more sessions than the command",
	  BYTES(SENT_WITH(6, U32(0x40000009), 0, 0)), BYTES(ANSWERED_WITH_ONE) },
	{ "none, of a command that ends before its HMAC", "has more sessions than the command",
	  BYTES(SENT_WITH(7, U32(0x40000009), 0, 0, 1)), BYTES(ANSWERED_WITH_ONE) },

	{ "nothing", "is shorter than a header", BYTES(COMMAND(PLAIN, TPM2_CC_ReadClock)), NULL,
	  0 },
	{ "half a header", "is shorter than a header", BYTES(COMMAND(PLAIN, TPM2_CC_ReadClock)),
	  BYTES(PLAIN, U32(9), 0, 0, 0) },
	{ "a size that is too small", "says another size than it has",
	  BYTES(COMMAND(PLAIN, TPM2_CC_ReadClock)), BYTES(HEADER(PLAIN, 10, 0), 1) },
	{ "a size that is too large", "says another size than it has",
	  BYTES(COMMAND(PLAIN, TPM2_CC_ReadClock)), BYTES(HEADER(PLAIN, 4096, 0), 1) },
	{ "a tag of TPM 1.2", "is an error with more than a header",
	  BYTES(COMMAND(PLAIN, TPM2_CC_ReadClock)), BYTES(HEADER(TPM_1_2, 10, 0x1e)) },
	{ "an unknown tag", "has a tag that does not fit the command",
	  BYTES(COMMAND(PLAIN, TPM2_CC_ReadClock)), BYTES(HEADER(QUOTE_TAG, 10, 0)) },
	{ "sessions that were not asked for", "has a tag that does not fit the command",
	  BYTES(COMMAND(PLAIN, TPM2_CC_ReadClock)),
	  BYTES(HEADER(SESSIONS, 19, 0), U32(0), PASSWORD_SESSION) },
	{ "sessions left out", "has a tag that does not fit the command",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)), BYTES(HEADER(PLAIN, 13, 0), 0, 1, 5) },
	{ "an error with a body", "is an error with more than a header",
	  BYTES(COMMAND(PLAIN, TPM2_CC_ReadClock)), BYTES(HEADER(PLAIN, 11, 0x101), 1) },
	{ "no handle", "ends before its handle", BYTES(COMMAND(PLAIN, TPM2_CC_StartAuthSession)),
	  BYTES(HEADER(PLAIN, 13, 0), 3, 0, 0) },
	{ "a nonce that was cut", "has a parameter that is longer than itself",
	  BYTES(COMMAND(PLAIN, TPM2_CC_StartAuthSession)),
	  BYTES(HEADER(PLAIN, 18, 0), U32(0x03000000), 0, 4, 1, 1) },
	{ "a nonce and more", "has more than its parameters",
	  BYTES(COMMAND(PLAIN, TPM2_CC_StartAuthSession)),
	  BYTES(HEADER(PLAIN, 18, 0), U32(0x03000000), 0, 1, 1, 1) },
	{ "a name that was cut", "has a parameter that is longer than itself",
	  BYTES(COMMAND(PLAIN, TPM2_CC_ReadPublic)),
	  BYTES(HEADER(PLAIN, 17, 0), 0, 1, 1, 0, 0, 0, 9) },
	{ "three sized values", NULL, BYTES(COMMAND(PLAIN, TPM2_CC_ReadPublic)),
	  BYTES(HEADER(PLAIN, 17, 0), 0, 1, 1, 0, 0, 0, 0) },
	{ "an object for a session", "has a handle of the wrong kind",
	  BYTES(COMMAND(PLAIN, TPM2_CC_StartAuthSession)),
	  BYTES(HEADER(PLAIN, 16, 0), U32(0x80000000), 0, 0) },
	{ "a persistent handle for a loaded object", "has a handle of the wrong kind",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_Load)),
	  BYTES(HEADER(SESSIONS, 23, 0), U32(0x81010001), U32(0), PASSWORD_SESSION) },
	{ "no parameter size", "ends before its parameter size",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)), BYTES(HEADER(SESSIONS, 13, 0), 0, 0, 0) },
	{ "parameters beyond the end", "has parameters that are longer than itself",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 22, 0), U32(9), 0, 1, 5, PASSWORD_SESSION) },
	{ "parameters of 4 GB", "has parameters that are longer than itself",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 22, 0), U32(0xffffffff), 0, 1, 5, PASSWORD_SESSION) },
	{ "no sessions", "ends before its sessions", BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 17, 0), U32(3), 0, 1, 5) },
	{ "a nonce beyond the end", "has a session nonce of an untrue length",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 19, 0), U32(0), 0, 9, 0x01, 0, 0) },
	{ "an HMAC beyond the end", "has a session HMAC of an untrue length",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 19, 0), U32(0), 0, 0, 0x01, 0, 9) },
	{ "nothing behind a nonce", "has a session nonce of an untrue length",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)), BYTES(HEADER(SESSIONS, 16, 0), U32(0), 0, 0) },
	{ "half a session behind", "has a session nonce of an untrue length",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 20, 0), U32(0), PASSWORD_SESSION, 0) },
	{ "as many sessions as were sent", NULL, BYTES(SENT_WITH_ONE),
	  BYTES(HEADER(SESSIONS, 22, 0), U32(3), 0, 1, 5, PASSWORD_SESSION) },
	{ "a session more than was sent", "has more sessions than the command",
	  BYTES(SENT_WITH_ONE),
	  BYTES(HEADER(SESSIONS, 27, 0), U32(3), 0, 1, 5, PASSWORD_SESSION, PASSWORD_SESSION) },
	{ "four sessions", "has more sessions than the command",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 34, 0), U32(0), PASSWORD_SESSION, PASSWORD_SESSION,
		PASSWORD_SESSION, PASSWORD_SESSION) },
	{ "the over-read of GHSA-7638-f8gq-c475",
	  "has an encrypted parameter that is longer than itself",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 25, 0), U32(3), 0xf0, 0, 5, ENCRYPTED_SESSION) },
	{ "an encrypted parameter one byte too long",
	  "has an encrypted parameter that is longer than itself",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 25, 0), U32(3), 0, 2, 5, ENCRYPTED_SESSION) },
	{ "an encrypted parameter that is not there",
	  "has an encrypted parameter that is longer than itself",
	  BYTES(COMMAND(SESSIONS, TPM2_CC_HMAC)),
	  BYTES(HEADER(SESSIONS, 22, 0), U32(0), ENCRYPTED_SESSION) },
};

static void lets_only_true_lengths_through(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		/* At the end of its own allocation, so that a read behind it is seen. */
		uint8_t *copy = malloc(row->size + 1);
		memcpy(copy + 1, row->response ? row->response : copy, row->size);
		const char *complaint =
			guard_check_response(row->command, row->command_size, copy + 1, row->size);
		free(copy);
		if (!complaint != !row->complaint ||
		    (complaint && strcmp(complaint, row->complaint) != 0))
			fail_msg("%s: '%s' instead of '%s'", row->what,
				 complaint ? complaint : "let through",
				 row->complaint ? row->complaint : "let through");
	}
}

static void answers_only_what_was_asked(void **state)
{
	(void)state;
	assert_non_null(guard_check_response(NULL, 0, BYTES(HEADER(PLAIN, 10, 0))));
}

static void takes_nothing_longer_than_any_can_be(void **state)
{
	static const uint8_t asked[] = { COMMAND(PLAIN, TPM2_CC_ReadClock) };
	static uint8_t response[GUARD_MESSAGE_MAX + 1] = { HEADER(PLAIN, GUARD_MESSAGE_MAX + 1,
								  0) };
	(void)state;
	assert_string_equal(guard_check_response(asked, sizeof(asked), response, sizeof(response)),
			    "is longer than any can be");
}

/* -- The TCTI ---------------------------------------------------------------------------------------------- */

/* An inner TCTI that answers `patience` times with a wish for patience, then with what it was told. */
struct fake {
	TSS2_TCTI_CONTEXT_COMMON_V2 common;
	unsigned patience;
	TPM2_RC wish;
	unsigned sent, breaks_at;
	TSS2_RC rc;
	uint8_t response[GUARD_MESSAGE_MAX];
	size_t size;
};

static TSS2_RC fake_transmit(TSS2_TCTI_CONTEXT *context, size_t size, uint8_t const *command)
{
	struct fake *fake = (struct fake *)(void *)context;
	assert_int_equal(size, 10);
	assert_int_equal(command[1], 0x01);
	fake->sent++;
	return fake->sent == fake->breaks_at ? TSS2_TCTI_RC_IO_ERROR : TSS2_RC_SUCCESS;
}

static TSS2_RC fake_receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response,
			    int32_t timeout)
{
	struct fake *fake = (struct fake *)(void *)context;
	const uint8_t wish[] = { HEADER(PLAIN, 10, fake->wish) };
	(void)timeout;
	if (fake->rc != TSS2_RC_SUCCESS)
		return fake->rc;
	if (fake->sent <= fake->patience) {
		memcpy(response, wish, sizeof(wish));
		*size = sizeof(wish);
		return TSS2_RC_SUCCESS;
	}
	memcpy(response, fake->response, fake->size);
	*size = fake->size;
	return TSS2_RC_SUCCESS;
}

static int64_t now_ms;
static int64_t longest_ms;
static int64_t shortest_ms;

static int64_t fake_now(void)
{
	return now_ms;
}

static void fake_sleep(int64_t ms)
{
	now_ms += ms;
	longest_ms = ms > longest_ms ? ms : longest_ms;
	shortest_ms = ms < shortest_ms ? ms : shortest_ms;
}

static const struct guard_time fake_time = { fake_now, fake_sleep };
static const uint8_t command[] = { COMMAND(PLAIN, TPM2_CC_ReadClock) };
static const uint8_t good[] = { HEADER(PLAIN, 12, 0), 1, 2 };

struct bench {
	struct fake fake;
	TSS2_TCTI_CONTEXT *guard;
};

static int make_guard(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	bench->fake.common.v1.version = 2;
	bench->fake.common.v1.transmit = fake_transmit;
	bench->fake.common.v1.receive = fake_receive;
	memcpy(bench->fake.response, good, sizeof(good));
	bench->fake.size = sizeof(good);
	bench->guard = guard_new((TSS2_TCTI_CONTEXT *)(void *)&bench->fake, &fake_time);
	now_ms = 1000;
	longest_ms = 0;
	shortest_ms = INT64_MAX;
	*state = bench;
	return 0;
}

static int end_guard(void **state)
{
	struct bench *bench = *state;
	guard_free(bench->guard);
	free(bench);
	return 0;
}

static TSS2_RC exchange(struct bench *bench, uint8_t *response, size_t *size)
{
	assert_int_equal(Tss2_Tcti_Transmit(bench->guard, sizeof(command), command), 0);
	return Tss2_Tcti_Receive(bench->guard, size, response, TSS2_TCTI_TIMEOUT_BLOCK);
}

static void passes_a_good_response_on(void **state)
{
	struct bench *bench = *state;
	uint8_t response[64];
	size_t size = sizeof(response);
	assert_int_equal(exchange(bench, response, &size), TSS2_RC_SUCCESS);
	assert_int_equal(size, sizeof(good));
	assert_memory_equal(response, good, sizeof(good));
	assert_null(guard_complaint(bench->guard));
}

static void keeps_a_bad_response_back(void **state)
{
	struct bench *bench = *state;
	uint8_t response[64] = { 0 };
	size_t size = sizeof(response);
	bench->fake.response[5] = 200;
	assert_int_equal(exchange(bench, response, &size), TSS2_TCTI_RC_MALFORMED_RESPONSE);
	assert_int_equal(response[0], 0);
	assert_string_equal(guard_complaint(bench->guard), "says another size than it has");
	assert_int_equal(tpm_cause_of(TSS2_TCTI_RC_MALFORMED_RESPONSE), CAUSE_TPM_ANSWER_INVALID);
}

static void does_not_overfill_the_callers_buffer(void **state)
{
	struct bench *bench = *state;
	uint8_t response[11];
	size_t size = sizeof(response);
	assert_int_equal(exchange(bench, response, &size), TSS2_TCTI_RC_INSUFFICIENT_BUFFER);
}

static void takes_an_overlong_response_for_malformed(void **state)
{
	struct bench *bench = *state;
	uint8_t response[64];
	size_t size = sizeof(response);
	bench->fake.rc = TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
	assert_int_equal(exchange(bench, response, &size), TSS2_TCTI_RC_MALFORMED_RESPONSE);
}

static void hands_a_broken_line_on(void **state)
{
	struct bench *bench = *state;
	uint8_t response[64];
	size_t size = sizeof(response);
	bench->fake.rc = TSS2_TCTI_RC_IO_ERROR;
	assert_int_equal(exchange(bench, response, &size), TSS2_TCTI_RC_IO_ERROR);
}

static void hands_a_line_on_that_breaks_when_asked_again(void **state)
{
	struct bench *bench = *state;
	uint8_t response[64];
	size_t size = sizeof(response);
	bench->fake.wish = TPM2_RC_RETRY;
	bench->fake.patience = 3;
	bench->fake.breaks_at = 2;
	guard_set_patience(bench->guard, 60000);
	assert_int_equal(exchange(bench, response, &size), TSS2_TCTI_RC_IO_ERROR);
}

static void refuses_what_its_caller_must_not_do(void **state)
{
	static uint8_t endless[GUARD_MESSAGE_MAX + 1];
	struct bench *bench = *state;
	size_t size = 0;
	assert_int_equal(Tss2_Tcti_Transmit(bench->guard, 10, NULL), TSS2_TCTI_RC_BAD_VALUE);
	assert_int_equal(Tss2_Tcti_Transmit(bench->guard, sizeof(endless), endless),
			 TSS2_TCTI_RC_BAD_VALUE);
	assert_int_equal(Tss2_Tcti_Receive(bench->guard, NULL, endless, 0),
			 TSS2_TCTI_RC_BAD_REFERENCE);
	/* A question for the size needed. */
	assert_int_equal(Tss2_Tcti_Receive(bench->guard, &size, NULL, 0), TSS2_RC_SUCCESS);
	assert_int_equal(size, GUARD_MESSAGE_MAX);
	assert_int_equal(bench->fake.sent, 0);
	Tss2_Tcti_Finalize(bench->guard); /* the guard is ended by its owner */
	guard_free(NULL);
}

static void waits_in_the_real_world_too(void **state)
{
	struct bench *bench = *state;
	TSS2_TCTI_CONTEXT *guard = guard_new((TSS2_TCTI_CONTEXT *)(void *)&bench->fake, NULL);
	int64_t before = clock_now_ms();
	uint8_t response[64];
	size_t size = sizeof(response);
	assert_non_null(guard);
	bench->fake.wish = TPM2_RC_RETRY;
	bench->fake.patience = 1;
	guard_set_patience(guard, 60000);
	assert_int_equal(Tss2_Tcti_Transmit(guard, sizeof(command), command), 0);
	assert_int_equal(Tss2_Tcti_Receive(guard, &size, response, -1), TSS2_RC_SUCCESS);
	assert_int_equal(size, sizeof(good));
	assert_true(clock_now_ms() - before >= 49);
	guard_free(guard);
}

static bool memory_is_out;
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	return memory_is_out ? NULL : __real_calloc(count, size);
}

static void is_not_made_without_memory(void **state)
{
	struct bench *bench = *state;
	TSS2_TCTI_CONTEXT *guard;
	memory_is_out = true;
	guard = guard_new((TSS2_TCTI_CONTEXT *)(void *)&bench->fake, &fake_time);
	memory_is_out = false;
	assert_null(guard);
}

static void waits_for_a_tpm_that_asks_for_patience(void **state)
{
	static const TPM2_RC wishes[] = { TPM2_RC_RETRY, TPM2_RC_YIELDED, TPM2_RC_TESTING,
					  TPM2_RC_NV_RATE };
	struct bench *bench = *state;
	for (size_t i = 0; i < ARRAY_SIZE(wishes); i++) {
		uint8_t response[64];
		size_t size = sizeof(response);
		bench->fake.wish = wishes[i];
		bench->fake.patience = 20;
		bench->fake.sent = 0;
		guard_set_patience(bench->guard, 60000);
		assert_int_equal(exchange(bench, response, &size), TSS2_RC_SUCCESS);
		assert_int_equal(size, sizeof(good));
		assert_int_equal(bench->fake.sent, 21);
	}
	assert_in_range(shortest_ms, 50, 100);
	assert_in_range(longest_ms, 1000, 2000);
}

static void gives_up_at_the_deadline(void **state)
{
	struct bench *bench = *state;
	uint8_t response[64];
	size_t size = sizeof(response);
	bench->fake.wish = TPM2_RC_RETRY;
	bench->fake.patience = 100000;
	guard_set_patience(bench->guard, 5000);
	assert_int_equal(exchange(bench, response, &size), TSS2_RC_SUCCESS);
	assert_int_equal(size, 10); /* the library is told that the TPM asks for patience */
	assert_in_range(now_ms, 1000 + 2500, 1000 + 5000);
	assert_in_range(bench->fake.sent, 3, 20);
}

static void never_repeats_after_a_refusal(void **state)
{
	static const TPM2_RC refusals[] = { TPM2_RC_LOCKOUT, 0x98e,
					    0x9a2,           TPM2_RC_NV_UNAVAILABLE,
					    TPM2_RC_FAILURE, TPM2_RC_CANCELED };
	struct bench *bench = *state;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		uint8_t response[64];
		size_t size = sizeof(response);
		bench->fake.wish = refusals[i];
		bench->fake.patience = 1;
		bench->fake.sent = 0;
		guard_set_patience(bench->guard, 60000);
		assert_int_equal(exchange(bench, response, &size), TSS2_RC_SUCCESS);
		assert_int_equal(bench->fake.sent, 1);
	}
	assert_int_equal(now_ms, 1000);
}

/* -- Causes ------------------------------------------------------------------------------------------------ */

static void names_the_cause_of_each_return_code(void **state)
{
	static const struct {
		TSS2_RC rc;
		enum muster_cause cause;
	} codes[] = {
		{ TPM2_RC_LOCKOUT, CAUSE_TPM_LOCKED_OUT },
		{ 0x98e, CAUSE_TPM_AUTH }, /* AUTH_FAIL, session 1 */
		{ 0x9a2, CAUSE_TPM_AUTH }, /* BAD_AUTH, session 1 */
		{ 0x99d, CAUSE_TPM_AUTH }, /* POLICY_FAIL, session 1 */
		{ TPM2_RC_RETRY, CAUSE_TPM_BUSY },
		{ TPM2_RC_NV_RATE, CAUSE_TPM_BUSY },
		{ TPM2_RC_INITIALIZE, CAUSE_TPM_RESET },
		{ TPM2_RC_REFERENCE_H0, CAUSE_TPM_SWAPPED },
		{ TPM2_RC_OBJECT_MEMORY, CAUSE_TPM_NO_ROOM },
		{ TPM2_RC_SESSION_HANDLES, CAUSE_TPM_NO_ROOM },
		{ TPM2_RC_NV_SPACE, CAUSE_TPM_NO_ROOM },
		{ TPM2_RC_FAILURE, CAUSE_TPM_COMMAND_FAILED },
		{ 0x2df, CAUSE_TPM_COMMAND_FAILED }, /* INTEGRITY, parameter 2 */
		{ TSS2_RESMGR_TPM_RC_LAYER | TPM2_RC_LOCKOUT, CAUSE_TPM_LOCKED_OUT },
		{ TSS2_TCTI_RC_IO_ERROR, CAUSE_TPM_UNREACHABLE },
		{ TSS2_TCTI_RC_NO_CONNECTION, CAUSE_TPM_UNREACHABLE },
		{ TSS2_ESYS_RC_RSP_AUTH_FAILED, CAUSE_TPM_ANSWER_FORGED },
		{ TSS2_SYS_RC_MALFORMED_RESPONSE, CAUSE_TPM_ANSWER_INVALID },
		{ TSS2_ESYS_RC_MEMORY, CAUSE_MEMORY },
		{ TSS2_ESYS_RC_BAD_SEQUENCE, CAUSE_INTERNAL },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		assert_int_equal(tpm_cause_of(codes[i].rc), codes[i].cause);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, make_guard, end_guard)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lets_only_true_lengths_through),
		cmocka_unit_test(answers_only_what_was_asked),
		cmocka_unit_test(takes_nothing_longer_than_any_can_be),
		TEST(passes_a_good_response_on),
		TEST(keeps_a_bad_response_back),
		TEST(does_not_overfill_the_callers_buffer),
		TEST(takes_an_overlong_response_for_malformed),
		TEST(hands_a_broken_line_on),
		TEST(hands_a_line_on_that_breaks_when_asked_again),
		TEST(refuses_what_its_caller_must_not_do),
		TEST(waits_in_the_real_world_too),
		TEST(is_not_made_without_memory),
		TEST(waits_for_a_tpm_that_asks_for_patience),
		TEST(gives_up_at_the_deadline),
		TEST(never_repeats_after_a_refusal),
		cmocka_unit_test(names_the_cause_of_each_return_code),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
