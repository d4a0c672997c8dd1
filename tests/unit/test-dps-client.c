/* The client against a small TLS server in a thread: what is sent again, how often and after what wait, and what never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>

#include "muster/dps-budget.h"
#include "muster/dps-client.h"
#include "muster/dps-enrollment.h"

#include "temporary.h"
#include "tls-server.h"

enum { WAITS_MAX = 100 };

struct bench {
	struct server server;
	struct http *http;
	struct dps_credential *credential;
	struct dps_client *client;
	int waits;
	int64_t last_wait_ms;
};

static struct bench *waiting;

bool __wrap_http_wait(struct http *http, int64_t wait_ms, struct muster_error *err);
bool __wrap_http_wait(struct http *http, int64_t wait_ms, struct muster_error *err)
{
	(void)http;
	waiting->waits++;
	waiting->last_wait_ms = wait_ms;
	return waiting->waits < WAITS_MAX ||
	       muster_fail(err, CAUSE_INTERNAL, "it waits without end");
}

static bool has_no_token;

bool __real_dps_credential_authorize(struct dps_credential *credential, struct http *http,
				     struct http_request *request, struct muster_error *err);
bool __wrap_dps_credential_authorize(struct dps_credential *credential, struct http *http,
				     struct http_request *request, struct muster_error *err);
bool __wrap_dps_credential_authorize(struct dps_credential *credential, struct http *http,
				     struct http_request *request, struct muster_error *err)
{
	return has_no_token ? muster_fail(err, CAUSE_CLOUD_UNAUTHORIZED, "no token")
			    : __real_dps_credential_authorize(credential, http, request, err);
}

static void open_bench(struct bench *bench, const enum deed deeds[DEEDS_MAX])
{
	CLEANUP(text_done) struct text line = { 0 };
	struct dps_login login;
	struct muster_error err;

	*bench = (struct bench){ 0 };
	memcpy(bench->server.deeds, deeds, sizeof(bench->server.deeds));
	server_start(&bench->server, &good);
	text_addf(&line,
		  "HostName=localhost:%u;SharedAccessKeyName=owner;SharedAccessKey="
		  "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
		  bench->server.port);
	assert_true(dps_login_parse(&login, line.data, line.length, &err));
	bench->http = http_new(&(struct http_terms){ .ca_file = good.path }, &err);
	bench->credential = dps_credential_new_login(&login, &err);
	assert_null(login.key.data);
	bench->client = dps_client_new(bench->http, bench->credential, &err);
	assert_non_null(bench->client);
	waiting = bench;
}

static void close_bench(struct bench *bench)
{
	dps_client_free(bench->client);
	dps_credential_free(bench->credential);
	http_free(bench->http);
	server_stop(&bench->server);
}

static bool build_get(void *context, const char *host, struct http_request *ret_request,
		      struct muster_error *err)
{
	(void)context;
	return dps_enrollment_get(host, "dev-1", ret_request, err);
}

static bool build_delete(void *context, const char *host, struct http_request *ret_request,
			 struct muster_error *err)
{
	(void)context;
	return dps_enrollment_delete(host, "dev-1", "*", ret_request, err);
}

/* The status that comes back, after how many requests and waits. */
static void expect(const enum deed deeds[DEEDS_MAX], bool writes, int status, int requests,
		   int waits)
{
	struct http_answer answer = { 0 };
	struct muster_error err;
	struct bench bench;

	open_bench(&bench, deeds);
	if (!dps_client_fetch(bench.client, writes ? build_delete : build_get, NULL, writes,
			      &answer, &err))
		fail_msg("%s", err.message);
	assert_int_equal(answer.status, status);
	assert_int_equal(bench.waits, waits);
	close_bench(&bench);
	assert_int_equal(bench.server.requests, requests);
	assert_non_null(
		strstr(bench.server.last_request, "Authorization: SharedAccessSignature sr="));
	http_answer_done(&answer);
}

#define DEEDS(...) ((const enum deed[DEEDS_MAX]){ __VA_ARGS__ })

static void asks_once_when_that_is_enough(void **state)
{
	(void)state;
	expect(DEEDS(ANSWER), false, 200, 1, 0);
}

static void reads_again_after_what_passes(void **state)
{
	(void)state;
	expect(DEEDS(THROTTLED, FAILED, ANSWER), false, 200, 3, 2);
}

static void gives_up_when_the_budget_is_used(void **state)
{
	(void)state;
	expect(DEEDS(FAILED, FAILED, FAILED, FAILED), false, 500, DPS_RETRY_ATTEMPTS,
	       DPS_RETRY_ATTEMPTS - 1);
}

static void writes_again_only_what_had_no_effect(void **state)
{
	(void)state;
	expect(DEEDS(THROTTLED, ANSWER), true, 200, 2, 1);
	expect(DEEDS(FAILED, ANSWER), true, 500, 1, 0);
}

static void renews_once(void **state)
{
	(void)state;
	expect(DEEDS(UNAUTHORIZED, ANSWER), false, 200, 2, 0);
	expect(DEEDS(UNAUTHORIZED, UNAUTHORIZED, ANSWER), false, 401, 2, 0);
}

static void waits_as_long_as_it_is_told(void **state)
{
	struct http_answer answer = { 0 };
	struct muster_error err;
	struct bench bench;

	(void)state;
	open_bench(&bench, DEEDS(THROTTLED, ANSWER));
	assert_true(dps_client_fetch(bench.client, build_get, NULL, false, &answer, &err));
	assert_true(bench.last_wait_ms >= 2000);
	close_bench(&bench);
	http_answer_done(&answer);
}

/* Without If-Match whatever is there would go, and nobody was asked. */
static void deletes_nothing_without_an_etag(void **state)
{
	struct muster_error err;
	struct bench bench;

	(void)state;
	open_bench(&bench, DEEDS(ANSWER));
	assert_false(dps_enrollment_remove(bench.client, "dev-1", NULL, &err));
	assert_int_equal(err.cause, CAUSE_INTERNAL);
	assert_false(dps_record_remove(bench.client, "dev-1", "", &err));
	assert_int_equal(err.cause, CAUSE_INTERNAL);
	close_bench(&bench);
	assert_int_equal(bench.server.requests, 0);
}

static void gives_back_the_turn_of_what_never_left(void **state)
{
	const struct dps_rate one_an_hour = { 1, 3600000 };
	struct http_answer answer = { 0 };
	struct dps_meter *meter;
	struct muster_error err;
	struct bench bench;

	open_bench(&bench, DEEDS(ANSWER));
	meter = dps_meter_open(*state, dps_client_host(bench.client), &one_an_hour, &err);
	assert_non_null(meter);
	dps_client_set_meter(bench.client, meter);
	has_no_token = true;
	assert_false(dps_client_fetch(bench.client, build_get, NULL, false, &answer, &err));
	assert_int_equal(err.cause, CAUSE_CLOUD_UNAUTHORIZED);
	has_no_token = false;
	assert_true(dps_client_fetch(bench.client, build_get, NULL, false, &answer, &err));
	assert_int_equal(answer.status, 200);
	assert_int_equal(bench.waits, 0);
	close_bench(&bench);
	dps_meter_close(meter);
	http_answer_done(&answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_once_when_that_is_enough),
		cmocka_unit_test(reads_again_after_what_passes),
		cmocka_unit_test(gives_up_when_the_budget_is_used),
		cmocka_unit_test(writes_again_only_what_had_no_effect),
		cmocka_unit_test(renews_once),
		cmocka_unit_test(waits_as_long_as_it_is_told),
		test_with_directory(gives_back_the_turn_of_what_never_left),
		cmocka_unit_test(deletes_nothing_without_an_etag),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_identities, drop_identities);
}
