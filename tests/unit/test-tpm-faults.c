/* A chip that misbehaves in the middle of a job: each fault ends in its own cause, within its deadline, and the chip
 * holds afterwards what it held before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <tss2/tss2_tpm2_types.h>

#include "../lib/swtpm.h"
#include "../lib/tpm-bench.h"
#include "../lib/tpm-proxy.h"
#include "muster/clock.h"

static struct swtpm chip;
static struct tpm_proxy *proxy;
static char proxy_tcti[112];

struct job {
	struct bench bench;
	struct ek_public ek;
	struct secret key;
	struct ek_challenge challenge;
};

static const struct tpm_fault_plan no_fault;

static int start_chip(void **state)
{
	char socket[64];
	(void)state;
	swtpm_start(&chip, true);
	snprintf(socket, sizeof(socket), "%s/p", chip.directory);
	snprintf(proxy_tcti, sizeof(proxy_tcti), "swtpm:path=%s", socket);
	proxy = tpm_proxy_start(socket, chip.socket);
	return proxy ? 0 : -1;
}

static int stop_chip(void **state)
{
	(void)state;
	tpm_proxy_stop(proxy);
	swtpm_stop(&chip);
	return 0;
}

/* Up to where the challenge can be taken. */
static void begin_job(struct job *job)
{
	struct ek_public srk;
	tpm_proxy_plan(proxy, &no_fault);
	start_worker(&job->bench);
	expect(&job->bench, ask_open(&job->bench, proxy_tcti));
	job->ek = read_ek(&job->bench);
	expect(&job->bench, ask_session(&job->bench, &job->ek));
	srk = read_srk(&job->bench);
	expect(&job->bench, secret_new(&job->key, 32, &job->bench.err));
	make_challenge(&job->bench, &job->ek, &srk, &job->key, &job->challenge);
}

static void end_job(struct job *job)
{
	end_worker(&job->bench);
	secret_done(&job->key);
	ek_challenge_done(&job->challenge);
}

/* Past the proxy and its faults, by a worker of its own. */
static void expect_clean_chip(void)
{
	struct bench other = { 0 };
	start_worker(&other);
	setenv("TPM2TOOLS_TCTI", chip.tcti, 1);
	/* Counted before the new worker sweeps. */
	RUN("sh", "-c",
	    "test -z \"$(tpm2_getcap handles-transient)$(tpm2_getcap handles-loaded-session)\"");
	expect(&other, ask_open(&other, chip.tcti));
	expect_nothing_loaded(&other);
	end_worker(&other);
}

/* -- Codes ------------------------------------------------------------------------------------------------- */

struct row {
	const char *what;
	uint32_t code;
	enum muster_cause cause; /* CAUSE_NONE: the job goes on */
	unsigned times;
	unsigned most_hits; /* how often the command may be sent again */
};

static const struct row codes[] = {
	{ "retry", TPM2_RC_RETRY, CAUSE_NONE, 3, 3 },
	{ "yielded", TPM2_RC_YIELDED, CAUSE_NONE, 3, 3 },
	{ "testing", TPM2_RC_TESTING, CAUSE_NONE, 3, 3 },
	{ "NV rate", TPM2_RC_NV_RATE, CAUSE_NONE, 3, 3 },
	{ "lockout", TPM2_RC_LOCKOUT, CAUSE_TPM_LOCKED_OUT, 0, 1 },
	{ "wrong auth", 0x98e, CAUSE_TPM_AUTH, 0, 1 },
	{ "bad auth", 0x9a2, CAUSE_TPM_AUTH, 0, 1 },
	{ "no room once", TPM2_RC_OBJECT_MEMORY, CAUSE_NONE, 1, 1 },
	{ "no session slot once", TPM2_RC_SESSION_MEMORY, CAUSE_NONE, 1, 1 },
	{ "no room", TPM2_RC_MEMORY, CAUSE_TPM_NO_ROOM, 0, 2 },
	{ "NV unavailable", TPM2_RC_NV_UNAVAILABLE, CAUSE_TPM_NO_ROOM, 0, 2 },
	{ "canceled", TPM2_RC_CANCELED, CAUSE_TPM_ACTIVATION_FAILED, 0, 1 },
	{ "failure", TPM2_RC_FAILURE, CAUSE_TPM_ACTIVATION_FAILED, 0, 1 },
	{ "reset", TPM2_RC_INITIALIZE, CAUSE_TPM_RESET, 0, 1 },
	{ "lost handle", TPM2_RC_REFERENCE_H0, CAUSE_TPM_SWAPPED, 0, 1 },
	{ "unknown code", 0xfff, CAUSE_TPM_ACTIVATION_FAILED, 0, 1 },
};

static void each_code_ends_as_it_should(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		const struct row *row = &codes[i];
		struct job job = { 0 };
		begin_job(&job);
		tpm_proxy_plan(proxy, &(struct tpm_fault_plan){
					      .fault = FAULT_CODE,
					      .command = TPM2_CC_ActivateCredential,
					      .times = row->times,
					      .code = row->code,
				      });
		print_message("%s\n", row->what);
		bool good = ask_import(&job.bench, &job.challenge);
		if (row->cause == CAUSE_NONE)
			expect(&job.bench, good);
		else
			expect_cause(&job.bench, good, row->cause);
		assert_in_range(tpm_proxy_hits(proxy), 1, row->most_hits);
		if (row->cause == CAUSE_TPM_LOCKED_OUT)
			assert_non_null(strstr(job.bench.err.message, "failed tries are counted"));
		tpm_proxy_plan(proxy, &no_fault);
		if (good) {
			expect_hmac(&job.bench, &job.key, "after patience");
			expect(&job.bench, ask_plain(&job.bench, WORKER_TPM_RELEASE));
		}
		assert_true(worker_is_alive(job.bench.worker));
		end_job(&job);
		expect_clean_chip();
	}
}

/* -- Replacing a key --------------------------------------------------------------------------------------- */

enum { SPARE_HANDLE = 0x81010055 };

static void begin_replacing(struct bench *bench, struct worker_message *request)
{
	struct ek_public template;
	const struct bytes *old;
	start_worker(bench);
	expect(bench, ask_open(bench, proxy_tcti));
	expect(bench, ask_ek_create(bench, SPARE_HANDLE));
	old = worker_bytes(&bench->reply, FIELD_PUBLIC);
	expect(bench, ek_template_ek(&template, &bench->err));
	worker_request_init(request, WORKER_TPM_EK_REPLACE);
	worker_add_u64(request, FIELD_HANDLE, SPARE_HANDLE);
	worker_add_bytes(request, FIELD_TEMPLATE, template.data, template.size);
	worker_add_bytes(request, FIELD_OLD_PUBLIC, old->data, old->size);
}

static void end_replacing(struct bench *bench)
{
	end_worker(bench);
	setenv("TPM2TOOLS_TCTI", chip.tcti, 1);
	RUN("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "0x81010055");
	expect_clean_chip();
}

/* The old key is gone when there turns out to be no room for the new one. */
static void a_key_is_put_where_the_first_try_took_the_old_one_away(void **state)
{
	(void)state;
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	struct bench bench = { 0 };
	begin_replacing(&bench, &request);
	tpm_proxy_plan(proxy, &(struct tpm_fault_plan){ .fault = FAULT_CODE,
							.command = TPM2_CC_EvictControl,
							.after = 1,
							.times = 1,
							.code = TPM2_RC_NV_SPACE });
	expect(&bench, ask(&bench, &request));
	assert_int_equal(tpm_proxy_hits(proxy), 1);
	tpm_proxy_plan(proxy, &no_fault);
	end_replacing(&bench);
}

static void a_handle_that_was_left_empty_is_told(void **state)
{
	(void)state;
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	struct bench bench = { 0 };
	begin_replacing(&bench, &request);
	tpm_proxy_plan(proxy, &(struct tpm_fault_plan){ .fault = FAULT_CODE,
							.command = TPM2_CC_EvictControl,
							.after = 1,
							.code = TPM2_RC_NV_SPACE });
	expect_cause(&bench, ask(&bench, &request), CAUSE_TPM_NO_ROOM);
	assert_non_null(strstr(bench.err.message, "0x81010055 may have no key any more"));
	tpm_proxy_plan(proxy, &no_fault);
	expect(&bench, ask_ek_create(&bench, SPARE_HANDLE));
	end_replacing(&bench);
}

static void a_chip_that_is_never_ready_is_busy_at_the_deadline(void **state)
{
	(void)state;
	struct job job = { 0 };
	begin_job(&job);
	tpm_proxy_plan(proxy, &(struct tpm_fault_plan){ .fault = FAULT_CODE,
							.command = TPM2_CC_ReadClock,
							.code = TPM2_RC_RETRY });
	int64_t start = clock_now_ms();
	expect_cause(&job.bench, ask_plain(&job.bench, WORKER_TPM_STATE), CAUSE_TPM_BUSY);
	assert_in_range(clock_now_ms() - start, 2000, 5900);
	assert_in_range(tpm_proxy_hits(proxy), 3, 20); /* never a tight loop */
	end_job(&job);
	expect_clean_chip();
}

/* -- Shapes ------------------------------------------------------------------------------------------------ */

static const struct {
	const char *what;
	enum tpm_fault fault;
	enum muster_cause causes[2];
} shapes[] = {
	{ "short", FAULT_SHORT, { CAUSE_TPM_ANSWER_INVALID } },
	{ "long", FAULT_LONG, { CAUSE_TPM_ANSWER_INVALID } },
	{ "cut", FAULT_CUT, { CAUSE_TPM_UNREACHABLE, CAUSE_TPM_ANSWER_INVALID } },
	{ "a size too small", FAULT_SIZE_SMALL, { CAUSE_TPM_ANSWER_INVALID } },
	{ "a size of 4 GB", FAULT_SIZE_HUGE, { CAUSE_TPM_ANSWER_INVALID, CAUSE_TPM_UNREACHABLE } },
	{ "an inner size of 65535", FAULT_INNER_SIZE, { CAUSE_TPM_ANSWER_INVALID } },
	{ "garbage", FAULT_GARBAGE, { CAUSE_TPM_ANSWER_INVALID } },
};

/* Protected and unprotected, with and without a handle, with a list. */
static const struct {
	uint32_t command;
	const char *name;
} shaped[] = {
	{ TPM2_CC_ActivateCredential, "ActivateCredential" }, { TPM2_CC_Load, "Load" },
	{ TPM2_CC_StartAuthSession, "StartAuthSession" },     { TPM2_CC_ReadPublic, "ReadPublic" },
	{ TPM2_CC_GetCapability, "GetCapability" },
};

static bool run_through(struct job *job)
{
	return ask_session(&job->bench, &job->ek) && ask_import(&job->bench, &job->challenge);
}

static bool is_expected(const struct job *job, size_t shape)
{
	enum muster_cause cause = job->bench.err.cause;
	return cause == shapes[shape].causes[0] || cause == shapes[shape].causes[1] ||
	       /* what is well-formed may still be another value */
	       ((shapes[shape].fault == FAULT_GARBAGE || shapes[shape].fault == FAULT_INNER_SIZE) &&
		cause == CAUSE_TPM_SWAPPED);
}

static void no_shape_of_an_answer_harms(void **state)
{
	(void)state;
	struct job job = { 0 };
	begin_job(&job);
	for (size_t shape = 0; shape < ARRAY_SIZE(shapes); shape++) {
		for (size_t i = 0; i < ARRAY_SIZE(shaped); i++) {
			tpm_proxy_plan(proxy,
				       &(struct tpm_fault_plan){ .fault = shapes[shape].fault,
								 .command = shaped[i].command,
								 .times = 1 });
			int64_t start = clock_now_ms();
			bool good = run_through(&job);
			assert_int_equal(tpm_proxy_hits(proxy), 1);
			tpm_proxy_plan(proxy, &no_fault);
			if (good || !is_expected(&job, shape))
				fail_msg("%s, %s: %s E%u %s", shapes[shape].what, shaped[i].name,
					 good ? "taken" : "", job.bench.err.cause,
					 job.bench.err.message);
			assert_true(clock_now_ms() - start < 30000);
			assert_true(worker_is_alive(job.bench.worker));
		}
	}
	assert_true(run_through(&job));
	expect_hmac(&job.bench, &job.key, "none the worse");
	expect(&job.bench, ask_plain(&job.bench, WORKER_TPM_RELEASE));
	end_job(&job);
	expect_clean_chip();
}

/* -- Ends -------------------------------------------------------------------------------------------------- */

static void a_chip_that_hangs_in_a_job_ends_at_the_deadline(void **state)
{
	(void)state;
	struct job job = { 0 };
	begin_job(&job);
	tpm_proxy_plan(proxy, &(struct tpm_fault_plan){ .fault = FAULT_HANG,
							.command = TPM2_CC_ReadClock });
	int64_t start = clock_now_ms();
	expect_cause(&job.bench, ask_plain(&job.bench, WORKER_TPM_STATE), CAUSE_TPM_HANGS);
	assert_in_range(clock_now_ms() - start, 4900, 7000);
	assert_false(worker_is_alive(job.bench.worker));
	end_job(&job);
}

static void a_chip_that_dies_in_a_job_is_named_so(void **state)
{
	(void)state;
	struct job job = { 0 };
	begin_job(&job);
	tpm_proxy_plan(proxy, &(struct tpm_fault_plan){ .fault = FAULT_DEATH,
							.command = TPM2_CC_ActivateCredential });
	expect_cause(&job.bench, ask_import(&job.bench, &job.challenge), CAUSE_TPM_UNREACHABLE);
	expect_cause(&job.bench, ask_hmac(&job.bench, "x", 1), CAUSE_TPM_UNREACHABLE);
	end_job(&job);
	tpm_proxy_plan(proxy, &no_fault);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_code_ends_as_it_should),
		cmocka_unit_test(a_key_is_put_where_the_first_try_took_the_old_one_away),
		cmocka_unit_test(a_handle_that_was_left_empty_is_told),
		cmocka_unit_test(a_chip_that_is_never_ready_is_busy_at_the_deadline),
		cmocka_unit_test(no_shape_of_an_answer_harms),
		cmocka_unit_test(a_chip_that_hangs_in_a_job_ends_at_the_deadline),
		cmocka_unit_test(a_chip_that_dies_in_a_job_is_named_so),
	};
	return cmocka_run_group_tests(tests, start_chip, stop_chip);
}
