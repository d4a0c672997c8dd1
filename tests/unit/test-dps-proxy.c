/* A proxy between the request function and a server: what it refuses is its refusal, and some things go past it. The proxy is the
 * small server, speaking plainly. */
#include "unit.h"

#include <signal.h>

#include "muster/dps-http.h"

#include "tls-server.h"

static void fetch(struct http *http, struct http_request *request, struct http_answer *answer)
{
	struct muster_error err;

	assert_good(http_fetch(http, request, answer, &err), err);
	assert_null(strstr(answer->error.message, "Canary"));
}

/* A name that only a proxy could find. */
static struct http_request request_beyond(const struct server *proxy)
{
	struct http_request request = { .method = HTTP_PUT, .connect_timeout_ms = 10000 };

	text_addf(&request.url, "https://dps.test:%u/thing?code=Canary", proxy->port);
	return request;
}

static struct http *client_behind(const struct server *proxy)
{
	struct http_terms terms = { .ca_file = good.path };
	char url[64];
	struct muster_error err;
	struct http *http;

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", proxy->port);
	terms.proxy = url;
	http = http_new(&terms, &err);
	assert_non_null(http);
	return http;
}

/* Neither its status nor its headers are taken for the server's. */
static void tells_what_a_proxy_does_from_what_the_server_does(void **state)
{
	static const struct {
		enum deed deed;
		enum muster_cause cause;
		const char *words;
	} cases[] = {
		{ UNAUTHORIZED, CAUSE_PROXY_REFUSED, "the proxy, not the service, answered 401" },
		{ REDIRECT, CAUSE_PROXY_REFUSED, "the proxy, not the service, answered 302" },
		{ THROTTLED, CAUSE_CLOUD_UNREACHABLE, "the proxy, not the service, answered 429" },
		{ FAILED, CAUSE_CLOUD_UNREACHABLE, "the proxy, not the service, answered 500" },
		{ CUT, CAUSE_CLOUD_UNREACHABLE, "through the proxy" },
		{ HANG, CAUSE_CLOUD_UNREACHABLE, "through the proxy" },
		{ FLOOD_HEADERS, CAUSE_CLOUD_UNREACHABLE, "through the proxy" },
		{ ANSWER, CAUSE_CLOUD_UNREACHABLE, "through the proxy" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const enum deed deed = cases[i].deed;
		/* It may not even have been asked then. */
		const bool is_timed = deed == HANG || deed == FLOOD_HEADERS || deed == ANSWER;
		struct server proxy = { .deeds = { deed, deed, deed, deed } };
		struct http_request request;
		struct http_answer answer = { 0 };
		struct http *http;

		server_start(&proxy, NULL);
		http = client_behind(&proxy);
		request = request_beyond(&proxy);
		if (is_timed)
			request.connect_timeout_ms = 300;
		fetch(http, &request, &answer);
		assert_int_equal(answer.outcome, HTTP_NOT_SENT);
		assert_int_equal(answer.error.cause, cases[i].cause);
		assert_contains(answer.error.message, cases[i].words);
		assert_int_equal(answer.status, 0);
		assert_int_equal(answer.retry_after_ms, -1);
		assert_int_equal(answer.body.length, 0);
		http_answer_done(&answer);
		http_free(http);
		server_stop(&proxy);
		if (!is_timed)
			assert_ptr_equal(strstr(proxy.last_request, "CONNECT dps.test:"),
					 proxy.last_request);
		assert_null(strstr(proxy.last_request, "Canary"));
	}
}

static void goes_past_the_proxy_to_this_machine(void **state)
{
	static const char *const hosts[] = { "localhost", "LOCALHOST", "127.0.0.1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct server server = { 0 }, proxy = { .deeds = { FAILED } };
		struct http_request request = { .method = HTTP_GET };
		struct http_answer answer = { 0 };
		struct http *http;

		server_start(&server, &good);
		server_start(&proxy, NULL);
		http = client_behind(&proxy);
		text_addf(&request.url, "https://%s:%u/", hosts[i], server.port);
		fetch(http, &request, &answer);
		assert_int_equal(answer.status, 200);
		http_answer_done(&answer);
		http_free(http);
		server_stop(&server);
		server_stop(&proxy);
		assert_int_equal(proxy.connections, 0);
	}
}

static void refuses_what_is_no_proxy(void **state)
{
	static const struct http_terms wrong[] = {
		{ .proxy = "" },
		{ .proxy = "p:1" },
		{ .proxy = "http://p" },
		{ .proxy = "http://:1" },
		{ .proxy = "http://p:0" },
		{ .proxy = "http://p:65536" },
		{ .proxy = "http://p:1/x" },
		{ .proxy = "http://p q:1" },
		{ .proxy = "https://p:1" },
		{ .proxy = "http://user@p:1" },
		{ .no_proxy = "" },
		{ .no_proxy = "a,,b" },
		{ .no_proxy = "a," },
		{ .no_proxy = "a:1" },
	};
	static const struct http_terms right[] = {
		{ .proxy = "none" },
		{ .proxy = "http://p:1" },
		{ .proxy = "http://10.0.0.1:65535/" },
		{ .no_proxy = "a" },
		{ .no_proxy = "a.b,.c,10.0.0.1" },
	};
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_false(http_terms_check(&wrong[i], &err));
		assert_int_equal(err.cause, CAUSE_PROXY_INVALID);
		assert_null(http_new(&wrong[i], &err));
	}
	for (size_t i = 0; i < ARRAY_SIZE(right); i++)
		assert_true(http_terms_check(&right[i], &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_what_a_proxy_does_from_what_the_server_does),
		cmocka_unit_test(goes_past_the_proxy_to_this_machine),
		cmocka_unit_test(refuses_what_is_no_proxy),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_identities, drop_identities);
}
