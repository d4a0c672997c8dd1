/* What crosses the wire to the chip: no secret in plain, and no bit of a protected response can be changed. */
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
#include "muster/file.h"

static struct swtpm chip, other_chip;
static struct tpm_proxy *proxy;
static char proxy_tcti[112], srk_context[64];

/* A device's way as far as the chip sees it. */
struct job {
	struct bench bench;
	struct ek_public ek, srk;
	struct secret key;
	struct ek_challenge challenge;
};

static void identify(struct job *job)
{
	start_worker(&job->bench);
	expect(&job->bench, ask_open(&job->bench, proxy_tcti));
	job->ek = read_ek(&job->bench);
}

static void begin_job(struct job *job)
{
	identify(job);
	expect(&job->bench, ask_session(&job->bench, &job->ek));
	job->srk = read_srk(&job->bench);
	expect(&job->bench, secret_new(&job->key, 32, &job->bench.err));
	expect(&job->bench, random_bytes(job->key.data, job->key.size, &job->bench.err));
	make_challenge(&job->bench, &job->ek, &job->srk, &job->key, &job->challenge);
}

static void end_job(struct job *job)
{
	end_worker(&job->bench);
	secret_done(&job->key);
	ek_challenge_done(&job->challenge);
}

static void misbehave(const struct tpm_fault_plan *plan)
{
	static const struct tpm_fault_plan nothing;
	tpm_proxy_plan(proxy, plan ? plan : &nothing);
}

/* So that no trial has to make it again. */
static void persist_srk(void)
{
	snprintf(srk_context, sizeof(srk_context), "%s/srk", chip.directory);
	setenv("TPM2TOOLS_TCTI", proxy_tcti, 1);
	RUN("tpm2_createprimary", "-C", "o", "-G", "rsa2048:null:aes128cfb", "-g", "sha256", "-a",
	    "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt", "-c",
	    srk_context);
	RUN("tpm2_evictcontrol", "-C", "o", "-c", srk_context, "0x81000001");
	RUN("tpm2_flushcontext", "-t");
}

static int start_chips(void **state)
{
	char socket[64];
	(void)state;
	swtpm_start(&chip, true);
	swtpm_start(&other_chip, true);
	snprintf(socket, sizeof(socket), "%s/p", chip.directory);
	snprintf(proxy_tcti, sizeof(proxy_tcti), "swtpm:path=%s", socket);
	proxy = tpm_proxy_start(socket, chip.socket);
	if (!proxy)
		return -1;
	persist_srk();
	return 0;
}

static int stop_chips(void **state)
{
	(void)state;
	tpm_proxy_stop(proxy);
	swtpm_stop(&chip);
	swtpm_stop(&other_chip);
	return 0;
}

/* -- Secrecy ----------------------------------------------------------------------------------------------- */

static bool crossed(const uint8_t *record, size_t size, const void *canary, size_t canary_size)
{
	return memmem(record, size, canary, canary_size) != NULL;
}

/* The inner key of a challenge, as a client without protection gets it: in plain through the proxy. */
static void activate_unprotected(const struct ek_challenge *challenge, struct bytes *ret_inner_key)
{
	/* What tpm2-tools wants in front of the two parts. */
	static const uint8_t magic[] = { 0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1 };
	const char *const names[] = { "credential", "policy", "inner" };
	char paths[3][64], policy_auth[80];
	struct muster_error err;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		snprintf(paths[i], sizeof(paths[i]), "%s/%s", chip.directory, names[i]);
	FILE *file = fopen(paths[0], "w");
	assert_non_null(file);
	fwrite(magic, 1, sizeof(magic), file);
	fwrite(challenge->id_object.data, 1, challenge->id_object.size, file);
	fwrite(challenge->credential_secret.data, 1, challenge->credential_secret.size, file);
	assert_int_equal(fclose(file), 0);
	RUN("tpm2_startauthsession", "--policy-session", "-S", paths[1]);
	RUN("tpm2_policysecret", "-S", paths[1], "-c", "e");
	snprintf(policy_auth, sizeof(policy_auth), "session:%s", paths[1]);
	RUN("tpm2_activatecredential", "-c", srk_context, "-C", "0x81010001", "-i", paths[0], "-o",
	    paths[2], "-P", policy_auth);
	RUN("tpm2_flushcontext", paths[1]);
	RUN("tpm2_flushcontext", "-t");
	if (!file_read(paths[2], 64, ret_inner_key, &err))
		fail_msg("%s", err.message);
	assert_int_equal(ret_inner_key->size, 16);
}

static void no_secret_crosses_in_plain(void **state)
{
	(void)state;
	struct job job = { 0 };
	misbehave(NULL);
	begin_job(&job);
	for (int i = 0; i < 2; i++) { /* the challenge, and the hub's key */
		expect(&job.bench, ask_import(&job.bench, &job.challenge));
		expect_hmac(&job.bench, &job.key, "0ne0/registrations/dev-1\n1700000000");
	}
	const struct bytes *mac = worker_bytes(&job.bench.reply, FIELD_MAC);
	struct bytes signature = { 0 };
	expect(&job.bench, bytes_copy(&signature, mac->data, mac->size, &job.bench.err));
	expect(&job.bench, ask_plain(&job.bench, WORKER_TPM_RELEASE));
	expect_nothing_loaded(&job.bench);
	end_worker(&job.bench);

	size_t size = 0, control_size = 0;
	uint8_t *record = tpm_proxy_take_record(proxy, &size);
	struct bytes inner_key = { 0 };
	activate_unprotected(&job.challenge, &inner_key);
	uint8_t *control = tpm_proxy_take_record(proxy, &control_size);

	assert_true(crossed(control, control_size, inner_key.data, inner_key.size));
	assert_false(crossed(record, size, inner_key.data, inner_key.size));
	assert_false(crossed(record, size, job.key.data, job.key.size));
	assert_false(crossed(record, size, signature.data, signature.size));
	free(record);
	free(control);
	bytes_done(&inner_key);
	bytes_done(&signature);
	end_job(&job);
}

static void no_key_is_taken_without_a_session(void **state)
{
	(void)state;
	struct job job = { 0 };
	misbehave(NULL);
	begin_job(&job);
	end_worker(&job.bench);
	start_worker(&job.bench);
	expect(&job.bench, ask_open(&job.bench, proxy_tcti));
	expect_cause(&job.bench, ask_import(&job.bench, &job.challenge), CAUSE_INTERNAL);
	end_job(&job);
}

static void no_session_is_salted_to_another_key(void **state)
{
	(void)state;
	struct job job = { 0 };
	misbehave(NULL);
	begin_job(&job);
	struct ek_public other = job.ek;
	other.data[200] ^= 1;
	expect_cause(&job.bench, ask_session(&job.bench, &other), CAUSE_TPM_SWAPPED);
	expect_nothing_loaded(&job.bench);
	expect(&job.bench, ask_session(&job.bench, &job.ek));
	end_job(&job);
}

static void a_chip_swapped_on_the_way_is_named_so(void **state)
{
	(void)state;
	/* Before the session; before the activation; before the signature. */
	for (int moment = 0; moment < 3; moment++) {
		struct job job = { 0 };
		misbehave(NULL);
		if (moment == 0)
			identify(&job);
		else
			begin_job(&job);
		if (moment == 2)
			expect(&job.bench, ask_import(&job.bench, &job.challenge));
		tpm_proxy_retarget(proxy, other_chip.socket);
		bool good = moment == 0   ? ask_session(&job.bench, &job.ek)
			    : moment == 1 ? ask_import(&job.bench, &job.challenge)
					  : ask_hmac(&job.bench, "x", 1);
		tpm_proxy_retarget(proxy, chip.socket);
		expect_cause(&job.bench, good, CAUSE_TPM_SWAPPED);
		end_job(&job);
	}
}

/* -- Integrity --------------------------------------------------------------------------------------------- */

/* Commands under the session that a key's import and use take. */
static const struct {
	uint32_t command;
	const char *name;
} protected_commands[] = {
	{ TPM2_CC_PolicySecret, "PolicySecret" },
	{ TPM2_CC_ActivateCredential, "ActivateCredential" },
	{ TPM2_CC_Import, "Import" },
	{ TPM2_CC_Load, "Load" },
	{ TPM2_CC_HMAC, "HMAC" },
};

/* The key is in use, with the right MAC. */
static bool runs_through(struct job *job)
{
	uint8_t expected[SHA256_SIZE];
	if (!ask_session(&job->bench, &job->ek) || !ask_import(&job->bench, &job->challenge) ||
	    !ask_hmac(&job->bench, "x", 1))
		return false;
	const struct bytes *mac = worker_bytes(&job->bench.reply, FIELD_MAC);
	return hmac_sha256(job->key.data, job->key.size, "x", 1, expected, &job->bench.err) &&
	       memcmp(mac->data, expected, sizeof(expected)) == 0;
}

static size_t bits_of(uint32_t command)
{
	size_t bits = 8 * tpm_proxy_response_size(proxy, command);
	assert_true(bits > 80);
	return bits;
}

static void try_flip(struct job *job, uint32_t command, const char *name, size_t bit)
{
	misbehave(&(struct tpm_fault_plan){
		.fault = FAULT_FLIP, .command = command, .times = 1, .bit = bit });
	bool good = runs_through(job);
	assert_int_equal(tpm_proxy_hits(proxy), 1);
	if (good)
		fail_msg("%s succeeded although bit %zu was flipped", name, bit);
	misbehave(NULL);
	/* A size that grew is waited for until the deadline. */
	if (!worker_is_alive(job->bench.worker)) {
		assert_int_equal(job->bench.err.cause, CAUSE_TPM_HANGS);
		end_worker(&job->bench);
		start_worker(&job->bench);
		expect(&job->bench, ask_open(&job->bench, proxy_tcti));
	}
}

#define STEP 127 /* of the sample that the suite takes */

static void try_a_sample(struct job *job)
{
	for (size_t i = 0; i < ARRAY_SIZE(protected_commands); i++) {
		size_t bits = bits_of(protected_commands[i].command);
		for (size_t bit = 0; bit < bits; bit += STEP)
			try_flip(job, protected_commands[i].command, protected_commands[i].name,
				 bit);
		print_message("%s: %zu of %zu bits, each refused\n", protected_commands[i].name,
			      (bits + STEP - 1) / STEP, bits);
	}
}

/* For the campaign: so many bits, chosen among all of them by a seed. */
static void try_at_random(struct job *job, size_t count, unsigned seed)
{
	size_t bits[ARRAY_SIZE(protected_commands)], all = 0;
	for (size_t i = 0; i < ARRAY_SIZE(protected_commands); i++)
		all += bits[i] = bits_of(protected_commands[i].command);
	srandom(seed);
	for (size_t trial = 0; trial < count; trial++) {
		size_t bit = (size_t)random() % all, which = 0;
		while (bit >= bits[which])
			bit -= bits[which++];
		try_flip(job, protected_commands[which].command, protected_commands[which].name,
			 bit);
	}
	print_message("%zu flips among %zu bits, each refused\n", count, all);
}

/* StartAuthSession is excepted: its response has no MAC. What a change there leads to is a session in which nothing
 * verifies. */
static void no_changed_bit_of_a_protected_response_is_taken(void **state)
{
	(void)state;
	struct job job = { 0 };
	misbehave(NULL);
	begin_job(&job);
	assert_true(runs_through(&job)); /* so that the last response of each was a good one */
	const char *count = getenv("MUSTER_FLIPS"), *seed = getenv("MUSTER_FLIP_SEED");
	if (count)
		try_at_random(&job, strtoul(count, NULL, 10),
			      seed ? (unsigned)strtoul(seed, NULL, 10) : 1);
	else
		try_a_sample(&job);
	assert_true(runs_through(&job));
	expect(&job.bench, ask_plain(&job.bench, WORKER_TPM_RELEASE));
	expect_nothing_loaded(&job.bench);
	end_job(&job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_secret_crosses_in_plain),
		cmocka_unit_test(no_key_is_taken_without_a_session),
		cmocka_unit_test(no_session_is_salted_to_another_key),
		cmocka_unit_test(a_chip_swapped_on_the_way_is_named_so),
		cmocka_unit_test(no_changed_bit_of_a_protected_response_is_taken),
	};
	if (getenv("MUSTER_FLIPS"))
		cmocka_set_test_filter("no_changed_bit_*");
	return cmocka_run_group_tests(tests, start_chips, stop_chips);
}
