/* The real worker program against software TPMs, asked as the station asks it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/x509.h>

#include "../lib/swtpm.h"
#include "../lib/tpm-bench.h"
#include "muster/clock.h"
#include "muster/ek.h"
#include "muster/worker.h"

DEFINE_FREEP(X509_freep, X509 *, X509_free)

#define NO_PERSISTENT_KEY 0x81010777u

static struct swtpm delivered; /* EK and certificate in it */
static struct swtpm blank;

/* -- Set-up ------------------------------------------------------------------------------------------------ */

static int start_tpms(void **state)
{
	(void)state;
	swtpm_start(&delivered, true);
	swtpm_start(&blank, false);
	return 0;
}

static int stop_tpms(void **state)
{
	(void)state;
	swtpm_stop(&delivered);
	swtpm_stop(&blank);
	return 0;
}

static int with_worker(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	start_worker(bench);
	*state = bench;
	return 0;
}

static int with_delivered(void **state)
{
	with_worker(state);
	expect(*state, ask_open(*state, delivered.tcti));
	return 0;
}

static int with_blank(void **state)
{
	with_worker(state);
	expect(*state, ask_open(*state, blank.tcti));
	return 0;
}

static int without_worker(void **state)
{
	end_worker(*state);
	free(*state);
	return 0;
}

/* -- Opening ----------------------------------------------------------------------------------------------- */

static void refuses_tctis_that_name_no_tpm(void **state)
{
	static const char *const refused[] = {
		"",
		"device",
		"device:",
		"device:dev/tpm0",
		"swtpm",
		"swtpm:",
		"swtpm:path=",
		"swtpm:path=s",
		"cmd:/bin/true",
		"tabrmd:",
		"mssim",
		"pcap:device",
		"default",
		"/usr/lib/libtss2-tcti-x.so",
	};
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		expect_cause(*state, ask_open(*state, refused[i]), CAUSE_TPM_TCTI_REFUSED);
}

static void says_that_no_tpm_is_there(void **state)
{
	static const char *const absent[] = { "swtpm:path=/tmp/mu-there-is-none",
					      "device:/dev/tpm-there-is-none" };
	for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
		expect_cause(*state, ask_open(*state, absent[i]), CAUSE_TPM_UNREACHABLE);
}

static void asks_to_be_opened_first(void **state)
{
	expect_cause(*state, ask_plain(*state, WORKER_TPM_STATE), CAUSE_WORKER_PROTOCOL);
}

static void describes_the_tpm(void **state)
{
	struct bench *bench = *state;
	expect(bench, ask_open(bench, delivered.tcti));
	assert_string_equal(worker_text(&bench->reply, FIELD_MANUFACTURER), "IBM");
	assert_string_equal(worker_text(&bench->reply, FIELD_MODEL), "SW   TPM");
	assert_non_null(strchr(worker_text(&bench->reply, FIELD_FIRMWARE), '.'));
}

static void lets_no_second_muster_in(void **state)
{
	(void)state;
	struct bench other = { 0 };
	start_worker(&other);
	expect_cause(&other, ask_open(&other, delivered.tcti), CAUSE_TPM_BUSY);
	expect(&other, ask_open(&other, blank.tcti));
	end_worker(&other);
}

/* -- Reading ----------------------------------------------------------------------------------------------- */

static void reads_the_state(void **state)
{
	struct bench *bench = *state;
	expect_nothing_loaded(bench);
	assert_true(worker_u64(&bench->reply, FIELD_CLOCK_MS) > 0);
	assert_int_equal(worker_u64(&bench->reply, FIELD_PERSISTENT), EK_HANDLE);
}

static void finds_the_persisted_ek(void **state)
{
	struct bench *bench = *state;
	struct ek_public ek = read_ek(bench);
	expect(bench, ek_check_dps(&ek, &bench->err));
	assert_int_equal(ek.size, 316);
}

static void an_absent_handle_is_no_error(void **state)
{
	struct bench *bench = *state;
	expect(bench, ask_handle(bench, WORKER_TPM_READ_PUBLIC, NO_PERSISTENT_KEY));
	assert_int_equal(worker_u64(&bench->reply, FIELD_FOUND), 0);
	expect(bench, ask_handle(bench, WORKER_TPM_NV_READ, 0x01c00777));
	assert_int_equal(worker_u64(&bench->reply, FIELD_FOUND), 0);
}

static void refuses_handles_of_other_kinds(void **state)
{
	expect_cause(*state, ask_handle(*state, WORKER_TPM_READ_PUBLIC, 0x80000000),
		     CAUSE_INTERNAL);
	expect_cause(*state, ask_handle(*state, WORKER_TPM_NV_READ, EK_HANDLE), CAUSE_INTERNAL);
	expect_cause(*state, ask_ek_create(*state, 0x01c00002), CAUSE_INTERNAL);
}

static void reads_the_certificate_of_this_ek(void **state)
{
	struct bench *bench = *state;
	struct ek_public ek = read_ek(bench);
	expect(bench, ask_handle(bench, WORKER_TPM_NV_READ, EK_CERTIFICATE_INDEX));
	assert_int_equal(worker_u64(&bench->reply, FIELD_FOUND), 1);
	const struct bytes *nv = worker_bytes(&bench->reply, FIELD_DATA);
	CLEANUP(X509_freep) X509 *certificate = NULL;
	expect(bench, ek_certificate_parse(nv->data, nv->size, &certificate, NULL, &bench->err));
	expect(bench, ek_certificate_check_key(certificate, &ek, &bench->err));
	struct ek_certificate_info info;
	expect(bench, ek_certificate_describe(certificate, &info, &bench->err));
	assert_string_equal(info.manufacturer, "id:00001014");
	assert_string_equal(info.model, "swtpm");
	assert_non_null(strstr(info.issuer, "swtpm-localca"));
	assert_string_equal(info.not_after, "9999-12-31T23:59:59Z");
}

/* -- Making an EK ------------------------------------------------------------------------------------------ */

static void makes_an_ek_where_there_is_none(void **state)
{
	struct bench *bench = *state;
	expect(bench, ask_handle(bench, WORKER_TPM_READ_PUBLIC, EK_HANDLE));
	assert_int_equal(worker_u64(&bench->reply, FIELD_FOUND), 0);
	expect(bench, ask_ek_create(bench, EK_HANDLE));
	struct ek_public made = replied_public(bench);
	expect(bench, ek_check_dps(&made, &bench->err));
	struct ek_public read = read_ek(bench);
	assert_true(ek_public_equal(&made, &read));
	expect_nothing_loaded(bench);
}

static void never_replaces_an_ek(void **state)
{
	struct bench *bench = *state;
	struct ek_public before = read_ek(bench);
	expect_cause(bench, ask_ek_create(bench, EK_HANDLE), CAUSE_TPM_COMMAND_FAILED);
	struct ek_public after = read_ek(bench);
	assert_true(ek_public_equal(&before, &after));
}

static void makes_the_ek_that_the_vendor_certified(void **state)
{
	struct bench *bench = *state;
	struct ek_public persisted = read_ek(bench);
	expect(bench, ask_ek_create(bench, NO_PERSISTENT_KEY));
	struct ek_public made = replied_public(bench);
	assert_true(ek_public_equal(&persisted, &made));
}

/* -- The challenge ----------------------------------------------------------------------------------------- */

static void signs_with_the_key_of_the_challenge(void **state)
{
	static const size_t sizes[] = { 16, 32, 64 };
	struct bench *bench = *state;
	struct ek_public ek = read_ek(bench);
	expect(bench, ask_session(bench, &ek));
	struct ek_public srk = read_srk(bench);
	expect(bench, ek_check_srk(&srk, &bench->err));
	CLEANUP(ek_challenge_done) struct ek_challenge challenge = { 0 };
	CLEANUP(secret_done) struct secret key = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) { /* the second blob replaces the first */
		expect(bench, secret_new(&key, sizes[i], &bench->err));
		expect(bench, random_bytes(key.data, key.size, &bench->err));
		make_challenge(bench, &ek, &srk, &key, &challenge);
		expect(bench, ask_import(bench, &challenge));
		expect_hmac(bench, &key, "0ne0/registrations/dev-1\n1700000000");
		expect(bench, ask_plain(bench, WORKER_TPM_STATE));
		assert_int_equal(worker_u64(&bench->reply, FIELD_TRANSIENT_COUNT), 2);
		assert_int_equal(worker_u64(&bench->reply, FIELD_SESSION_COUNT), 2);
	}
	expect(bench, ask_plain(bench, WORKER_TPM_RELEASE));
	assert_int_equal(worker_u64(&bench->reply, FIELD_TRANSIENT_COUNT), 0);
	assert_int_equal(worker_u64(&bench->reply, FIELD_SESSION_COUNT), 0);
	expect_cause(bench, ask_hmac(bench, "x", 1), CAUSE_INTERNAL);
}

static void uses_the_persistent_srk(void **state)
{
	struct bench *bench = *state;
	CLEANUP(ek_challenge_done) struct ek_challenge challenge = { 0 };
	CLEANUP(secret_done) struct secret key = { 0 };
	setenv("TPM2TOOLS_TCTI", delivered.tcti, 1);
	char context[64];
	snprintf(context, sizeof(context), "%s/srk", delivered.directory);
	RUN("tpm2_createprimary", "-C", "o", "-G", "rsa2048:null:aes128cfb", "-g", "sha256", "-a",
	    "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt", "-c",
	    context);
	RUN("tpm2_evictcontrol", "-C", "o", "-c", context, "0x81000001");
	RUN("tpm2_flushcontext", "-t");
	struct ek_public ek = read_ek(bench);
	expect(bench, ask_session(bench, &ek));
	struct ek_public srk = read_srk(bench);
	expect(bench, ask_plain(bench, WORKER_TPM_STATE));
	assert_int_equal(worker_u64(&bench->reply, FIELD_TRANSIENT_COUNT), 0);
	expect(bench, secret_new(&key, 32, &bench->err));
	make_challenge(bench, &ek, &srk, &key, &challenge);
	expect(bench, ask_import(bench, &challenge));
	expect_hmac(bench, &key, "persistent");
	expect(bench, ask_plain(bench, WORKER_TPM_RELEASE));
	RUN("tpm2_evictcontrol", "-C", "o", "-c", "0x81000001");
}

enum damage { CREDENTIAL, CREDENTIAL_SEED, DUPLICATE, DUPLICATE_SEED, OTHER_EK, OTHER_SRK, SIZES };

static void spoil(struct ek_challenge *challenge, enum damage damage)
{
	struct bytes *const parts[] = { &challenge->id_object, &challenge->credential_secret,
					&challenge->duplicate, &challenge->duplicate_seed };
	if (damage < ARRAY_SIZE(parts))
		parts[damage]->data[parts[damage]->size - 1] ^= 1;
	if (damage == SIZES)
		challenge->duplicate.data[1] ^= 1;
}

static void refuses_a_challenge_that_is_not_for_this_tpm(void **state)
{
	struct bench *bench = *state;
	CLEANUP(ek_challenge_done) struct ek_challenge challenge = { 0 };
	CLEANUP(secret_done) struct secret key = { 0 };
	struct ek_public ek = read_ek(bench);
	expect(bench, ask_session(bench, &ek));
	struct ek_public srk = read_srk(bench);
	struct ek_public other = ek;
	other.data[200] ^= 0x10; /* another modulus: nobody has its private half */
	struct ek_public other_srk = srk;
	other_srk.data[200] ^= 0x10;
	expect(bench, secret_new(&key, 32, &bench->err));
	for (enum damage damage = CREDENTIAL; damage <= SIZES; damage++) {
		make_challenge(bench, damage == OTHER_EK ? &other : &ek,
			       damage == OTHER_SRK ? &other_srk : &srk, &key, &challenge);
		spoil(&challenge, damage);
		expect_cause(bench, ask_import(bench, &challenge), CAUSE_TPM_ACTIVATION_FAILED);
	}
	expect(bench, ask_plain(bench, WORKER_TPM_RELEASE));
	expect_nothing_loaded(bench);
	make_challenge(bench, &ek, &srk, &key, &challenge);
	expect(bench, ask_import(bench, &challenge));
	expect_hmac(bench, &key, "and then the right one");
}

static void refuses_more_than_one_hmac_command_takes(void **state)
{
	struct bench *bench = *state;
	CLEANUP(ek_challenge_done) struct ek_challenge challenge = { 0 };
	CLEANUP(secret_done) struct secret key = { 0 };
	uint8_t data[1025] = { 0 };
	struct ek_public ek = read_ek(bench);
	expect(bench, ask_session(bench, &ek));
	struct ek_public srk = read_srk(bench);
	expect(bench, secret_new(&key, 32, &bench->err));
	make_challenge(bench, &ek, &srk, &key, &challenge);
	expect(bench, ask_import(bench, &challenge));
	expect_cause(bench, ask_hmac(bench, data, 1025), CAUSE_INTERNAL);
	expect(bench, ask_hmac(bench, data, 1024));
}

/* -- Faults ------------------------------------------------------------------------------------------------ */

static void a_killed_worker_leaves_nothing_to_the_next(void **state)
{
	struct bench *bench = *state;
	CLEANUP(ek_challenge_done) struct ek_challenge challenge = { 0 };
	CLEANUP(secret_done) struct secret key = { 0 };
	struct ek_public ek = read_ek(bench);
	expect(bench, ask_session(bench, &ek));
	struct ek_public srk = read_srk(bench);
	expect(bench, secret_new(&key, 32, &bench->err));
	make_challenge(bench, &ek, &srk, &key, &challenge);
	expect(bench, ask_import(bench, &challenge));
	struct worker_message request;
	fill_import(&request, &challenge);
	expect(bench, worker_send(bench->worker, &request, &bench->err));
	worker_message_done(&request);
	worker_free(bench->worker); /* SIGKILL, with the job under way */

	start_worker(bench);
	expect(bench, ask_open(bench, blank.tcti));
	expect_nothing_loaded(bench);
	read_srk(bench);
}

static void sweeps_up_what_another_client_left(void **state)
{
	struct bench *bench = *state;
	char context[64];
	worker_free(bench->worker);
	setenv("TPM2TOOLS_TCTI", blank.tcti, 1);
	snprintf(context, sizeof(context), "%s/left", blank.directory);
	for (int i = 0; i < 3; i++)
		RUN("tpm2_createprimary", "-C", "n", "-G", "ecc", "-c", context);
	RUN("tpm2_startauthsession", "-S", context); /* leaves a saved session */
	start_worker(bench);
	expect(bench, ask_open(bench, blank.tcti));
	expect_nothing_loaded(bench);
}

static void guesses_no_password_of_a_hierarchy(void **state)
{
	struct bench *bench = *state;
	CLEANUP(ek_challenge_done) struct ek_challenge challenge = { 0 };
	CLEANUP(secret_done) struct secret key = { 0 };
	struct ek_public ek = read_ek(bench);
	expect(bench, ask_session(bench, &ek));
	struct ek_public srk = read_srk(bench);
	expect(bench, secret_new(&key, 32, &bench->err));
	make_challenge(bench, &ek, &srk, &key, &challenge);
	setenv("TPM2TOOLS_TCTI", blank.tcti, 1);
	RUN("tpm2_changeauth", "-c", "e", "guarded");
	expect_cause(bench, ask_import(bench, &challenge), CAUSE_TPM_AUTH);
	expect_cause(bench, ask_ek_create(bench, NO_PERSISTENT_KEY), CAUSE_TPM_AUTH);
	expect_nothing_loaded(bench);
	RUN("tpm2_changeauth", "-c", "e", "-p", "guarded");
	read_srk(bench); /* went with the failure */
	expect(bench, ask_import(bench, &challenge));
}

static void a_tpm_that_hangs_ends_at_the_deadline(void **state)
{
	struct bench *bench = *state;
	kill(blank.pid, SIGSTOP);
	int64_t start = clock_now_ms();
	bool good = ask_plain(bench, WORKER_TPM_STATE);
	int64_t took = clock_now_ms() - start;
	kill(blank.pid, SIGCONT);
	expect_cause(bench, good, CAUSE_TPM_HANGS);
	assert_in_range(took, 4000, 7000);
	worker_free(bench->worker);
	start_worker(bench);
	expect(bench, ask_open(bench, blank.tcti));
	expect_nothing_loaded(bench);
}

static void a_tpm_that_was_reset_is_named_so(void **state)
{
	struct bench *bench = *state;
	CLEANUP(ek_challenge_done) struct ek_challenge challenge = { 0 };
	CLEANUP(secret_done) struct secret key = { 0 };
	struct ek_public ek = read_ek(bench);
	expect(bench, ask_session(bench, &ek));
	struct ek_public srk = read_srk(bench);
	expect(bench, secret_new(&key, 32, &bench->err));
	make_challenge(bench, &ek, &srk, &key, &challenge);
	expect(bench, ask_import(bench, &challenge));
	expect(bench, ask_plain(bench, WORKER_TPM_STATE));
	uint64_t resets = worker_u64(&bench->reply, FIELD_RESET_COUNT);
	swtpm_reset(&blank);
	expect_cause(bench, ask_hmac(bench, "x", 1), CAUSE_TPM_SWAPPED);
	expect_nothing_loaded(bench);
	assert_true(worker_u64(&bench->reply, FIELD_RESET_COUNT) > resets);
}

static void a_tpm_that_goes_away_is_named_so(void **state)
{
	struct bench *bench = *state;
	read_srk(bench);
	kill(blank.pid, SIGKILL);
	expect_cause(bench, ask_plain(bench, WORKER_TPM_STATE), CAUSE_TPM_UNREACHABLE);
	expect_cause(bench, ask_plain(bench, WORKER_TPM_SRK), CAUSE_TPM_UNREACHABLE);
}

#define TEST(test, setup) cmocka_unit_test_setup_teardown(test, setup, without_worker)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refuses_tctis_that_name_no_tpm, with_worker),
		TEST(says_that_no_tpm_is_there, with_worker),
		TEST(asks_to_be_opened_first, with_worker),
		TEST(describes_the_tpm, with_worker),
		TEST(lets_no_second_muster_in, with_delivered),
		TEST(reads_the_state, with_delivered),
		TEST(finds_the_persisted_ek, with_delivered),
		TEST(an_absent_handle_is_no_error, with_delivered),
		TEST(refuses_handles_of_other_kinds, with_delivered),
		TEST(reads_the_certificate_of_this_ek, with_delivered),
		TEST(makes_an_ek_where_there_is_none, with_blank),
		TEST(never_replaces_an_ek, with_blank),
		TEST(makes_the_ek_that_the_vendor_certified, with_delivered),
		TEST(signs_with_the_key_of_the_challenge, with_delivered),
		TEST(uses_the_persistent_srk, with_delivered),
		TEST(refuses_a_challenge_that_is_not_for_this_tpm, with_delivered),
		TEST(refuses_more_than_one_hmac_command_takes, with_blank),
		TEST(a_killed_worker_leaves_nothing_to_the_next, with_blank),
		TEST(sweeps_up_what_another_client_left, with_blank),
		TEST(guesses_no_password_of_a_hierarchy, with_blank),
		TEST(a_tpm_that_hangs_ends_at_the_deadline, with_blank),
		TEST(a_tpm_that_was_reset_is_named_so, with_blank),
		TEST(a_tpm_that_goes_away_is_named_so, with_blank),
	};
	return cmocka_run_group_tests(tests, start_tpms, stop_tpms);
}
