/* The bulk engine while answers come one by one, as the test gives them; above all while a token is asked for: that moves the other
 * requests on, and one of them fares badly. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "muster/clock.h"
#include "muster/dps-bulk.h"
#include "muster/dps-http.h"

enum { ITEMS = 12, TRANSFERS = 16 };

/* In the place of libcurl: requests that are under way until the test answers them. */
static struct transfer {
	http_callback *callback;
	void *context;
	bool is_under_way;
} transfers[TRANSFERS];
static size_t prepared, given, told, left_throttled, asked, forgotten;
static bool
	is_troubled;    /* while the third token is asked for, the second request is answered 503 */
static bool is_refused; /* the third token is not had */
static struct muster_error err;

struct http_transfer *__wrap_http_prepare(struct http *http, struct http_request *request,
					  http_callback *callback, void *context,
					  struct muster_error *why);
struct http_transfer *__wrap_http_prepare(struct http *http, struct http_request *request,
					  http_callback *callback, void *context,
					  struct muster_error *why)
{
	(void)http;
	(void)why;
	assert_in_range(prepared, 0, TRANSFERS - 1);
	http_request_done(request);
	transfers[prepared] = (struct transfer){ callback, context, false };
	return (struct http_transfer *)&transfers[prepared++];
}

bool __wrap_http_go(struct http *http, struct http_transfer *transfer, struct muster_error *why);
bool __wrap_http_go(struct http *http, struct http_transfer *transfer, struct muster_error *why)
{
	(void)http;
	(void)why;
	((struct transfer *)transfer)->is_under_way = true;
	return true;
}

void __wrap_http_cancel(struct http *http, struct http_transfer *transfer);
void __wrap_http_cancel(struct http *http, struct http_transfer *transfer)
{
	(void)http;
	((struct transfer *)transfer)->is_under_way = false;
}

void __wrap_dps_login_forget(struct dps_login *login);
void __wrap_dps_login_forget(struct dps_login *login)
{
	(void)login;
	forgotten++;
}

static size_t under_way(void)
{
	size_t count = 0;

	for (size_t i = 0; i < prepared; i++)
		count += transfers[i].is_under_way;
	return count;
}

static void answer_with(size_t which, int status, const struct text *body)
{
	struct http_answer said = { .outcome = HTTP_ANSWERED,
				    .status = status,
				    .started_ms = clock_now_ms(),
				    .retry_after_ms = -1,
				    .date_ms = -1 };

	if (body)
		text_add(&said.body, body->data);
	assert_true(transfers[which].is_under_way);
	transfers[which].is_under_way = false;
	transfers[which].callback(transfers[which].context, &said);
	http_answer_done(&said);
}

static void answer(size_t which, int status)
{
	answer_with(which, status, NULL);
}

bool __wrap_dps_credential_authorize(struct dps_credential *credential, struct http *http,
				     struct http_request *request, struct muster_error *why);
bool __wrap_dps_credential_authorize(struct dps_credential *credential, struct http *http,
				     struct http_request *request, struct muster_error *why)
{
	(void)credential;
	(void)http;
	asked++;
	if (asked == 3 && is_troubled)
		answer(1, 503);
	if (asked == 3 && is_refused)
		return muster_fail(why, CAUSE_SIGN_IN_REFUSED, "no token");
	return secret_copy(&request->authorization, "Bearer x", 8, why);
}

static bool give(void *context, struct dps_bulk_item *ret_item, bool *ret_has,
		 struct muster_error *why)
{
	(void)context;
	(void)why;
	*ret_has = given < ITEMS;
	if (*ret_has) {
		given++;
		*ret_item = (struct dps_bulk_item){ .id = text_format("device-%zu", given) };
	}
	return true;
}

static bool take(void *context, const struct dps_bulk_item *item, enum dps_bulk_fate fate,
		 const struct muster_error *why, struct muster_error *failure)
{
	(void)context;
	(void)item;
	(void)failure;
	told++;
	left_throttled += fate == DPS_BULK_OPEN && why->cause == CAUSE_CLOUD_THROTTLED;
	return true;
}

struct bench {
	struct http *http;
	struct dps_credential *credential;
	struct dps_client *client;
	struct dps_bulk *bulk;
};

static int64_t pump(struct bench *bench)
{
	int64_t wait_ms;

	assert_good(dps_bulk_pump(bench->bulk, &wait_ms, &err), err);
	return wait_ms;
}

/* The first request has succeeded, so the next pump fills all lanes. */
static void open_bench(struct bench *bench, bool troubled, bool refused)
{
	static const char line[] = "HostName=dps.example;SharedAccessKeyName=owner;SharedAccessKey="
				   "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
	const struct dps_bulk_owner owner = { give, take, NULL };
	struct dps_login login;

	is_troubled = troubled;
	is_refused = refused;
	prepared = given = told = left_throttled = asked = forgotten = 0;
	assert_good(dps_login_parse(&login, line, strlen(line), &err), err);
	bench->http = http_new(NULL, &err);
	bench->credential = dps_credential_new_login(&login, &err);
	bench->client = dps_client_new(bench->http, bench->credential, &err);
	bench->bulk = dps_bulk_new(bench->client, DPS_BULK_DELETE, &owner, &err);
	assert_non_null(bench->bulk);
	dps_bulk_set_form(bench->bulk, DPS_BULK_SINGLES);
	assert_int_equal(pump(bench), -1);
	assert_int_equal(under_way(), 1);
	answer(0, 204);
}

static void close_bench(struct bench *bench)
{
	dps_bulk_free(bench->bulk);
	dps_client_free(bench->client);
	dps_credential_free(bench->credential);
	http_free(bench->http);
}

static void all_lanes_go_with_their_tokens(void **state)
{
	struct bench bench;

	(void)state;
	open_bench(&bench, false, false);
	assert_int_equal(pump(&bench), -1);
	assert_int_equal(under_way(), DPS_BULK_LANES);
	close_bench(&bench);
}

static void what_is_next_waits_out_the_trouble(void **state)
{
	struct bench bench;

	(void)state;
	open_bench(&bench, true, false);
	assert_in_range(pump(&bench), 1, 60000);
	assert_int_equal(under_way(), 0);
	assert_null(dps_bulk_stopped(bench.bulk));
	assert_int_equal(told, 1);
	close_bench(&bench);
}

static void a_token_that_is_refused_ends_the_sending(void **state)
{
	struct bench bench;

	(void)state;
	open_bench(&bench, true, true);
	assert_int_equal(pump(&bench), -1);
	assert_int_equal(under_way(), 0);
	assert_non_null(dps_bulk_stopped(bench.bulk));
	assert_true(dps_bulk_is_idle(bench.bulk));
	assert_int_equal(told, given);
	close_bench(&bench);
}

/* A token that ends early is known to be bad by all that carry it, and renewed once. */
static void requests_that_are_refused_together_count_once(void **state)
{
	struct bench bench;

	(void)state;
	open_bench(&bench, false, false);
	assert_int_equal(pump(&bench), -1);
	for (size_t i = 1; i <= DPS_BULK_LANES; i++)
		answer(i, 401);
	assert_null(dps_bulk_stopped(bench.bulk));
	assert_int_equal(forgotten, 1);
	assert_int_equal(pump(&bench), -1);
	assert_int_equal(under_way(), 1);
	answer(prepared - 1, 204);
	assert_int_equal(pump(&bench), -1);
	assert_int_equal(under_way(), DPS_BULK_LANES);
	close_bench(&bench);
}

static void a_no_to_every_token_ends_the_sending(void **state)
{
	struct bench bench;

	(void)state;
	open_bench(&bench, false, false);
	assert_int_equal(pump(&bench), -1);
	for (size_t i = 1; i <= DPS_BULK_LANES; i++)
		answer(i, 401);
	for (int again = 0; again < 2; again++) {
		assert_null(dps_bulk_stopped(bench.bulk));
		assert_int_equal(pump(&bench), -1);
		answer(prepared - 1, 401);
	}
	assert_non_null(dps_bulk_stopped(bench.bulk));
	close_bench(&bench);
}

/* The service takes a bulk and none of its items, time after time: that is no answer that nobody understands. */
static void items_that_are_too_many_each_time_are_left_open(void **state)
{
	CLEANUP(text_done) struct text refusal = { 0 };
	struct bench bench;

	(void)state;
	for (int i = 0; i < 10; i++)
		text_addf(&refusal,
			  "%s{\"registrationId\":\"device-%d\",\"errorCode\":429001,"
			  "\"errorStatus\":\"too many\"}",
			  i == 0 ? "{\"isSuccessful\":false,\"errors\":[" : ",", i + 2);
	text_add(&refusal, "]}");
	open_bench(&bench, false, false);
	dps_bulk_set_form(bench.bulk, DPS_BULK_TENS);
	assert_int_equal(pump(&bench), -1);
	assert_int_equal(under_way(), 2);
	answer(2, 204);
	for (int sends = 1; sends <= DPS_RETRY_ATTEMPTS; sends++) {
		assert_int_equal(told, 2);
		assert_int_equal(under_way(), 1);
		answer_with(sends == 1 ? 1 : prepared - 1, 200, &refusal);
		assert_int_equal(pump(&bench), -1);
	}
	assert_int_equal(told, ITEMS);
	assert_int_equal(left_throttled, 10);
	assert_null(dps_bulk_stopped(bench.bulk));
	close_bench(&bench);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_lanes_go_with_their_tokens),
		cmocka_unit_test(what_is_next_waits_out_the_trouble),
		cmocka_unit_test(requests_that_are_refused_together_count_once),
		cmocka_unit_test(a_no_to_every_token_ends_the_sending),
		cmocka_unit_test(a_token_that_is_refused_ends_the_sending),
		cmocka_unit_test(items_that_are_too_many_each_time_are_left_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
