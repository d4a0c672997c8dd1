/* The one request function against a small TLS server in a thread, which does to each request what the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include <curl/curl.h>

#include "muster/clock.h"
#include "muster/dps-http.h"

#include "tls-server.h"

/* -- The client ---------------------------------------------------------------------------------------- */

static struct http_request request_to(const struct server *server, enum http_method method)
{
	struct http_request request = { .method = method, .deadline_ms = 10000 };

	text_addf(&request.url, "%s://localhost:%u/thing?code=Canary",
		  server->is_plain ? "http" : "https", server->port);
	return request;
}

static void fetch(struct http *http, struct http_request *request, struct http_answer *answer)
{
	struct muster_error err;

	if (!http_fetch(http, request, answer, &err))
		fail_msg("%s", err.message);
	assert_null(request->url.data);
	assert_null(strstr(answer->error.message, "Canary"));
}

static struct http *client(const struct identity *root)
{
	struct muster_error err;
	struct http *http = http_new(&(struct http_terms){ .ca_file = root->path }, &err);

	assert_non_null(http);
	return http;
}

/* One GET to a server that does `deed`. */
static void fetch_deed(enum deed deed, struct http_answer *answer, size_t reply_max)
{
	struct server server = { .deeds = { deed, deed, deed, deed } };
	struct http_request request;
	struct http *http = client(&good);

	server_start(&server, &good);
	request = request_to(&server, HTTP_GET);
	request.reply_max = reply_max;
	if (deed == HANG)
		request.deadline_ms = 300;
	fetch(http, &request, answer);
	http_free(http);
	server_stop(&server);
}

/* -- Answers ------------------------------------------------------------------------------------------- */

static void brings_the_whole_answer(void **state)
{
	struct server server = { 0 };
	struct http *http = client(&good);
	struct http_request request;
	struct http_answer answer = { 0 };
	struct muster_error err;

	(void)state;
	server_start(&server, &good);
	request = request_to(&server, HTTP_PUT);
	request.content_type = "application/json";
	assert_true(secret_copy(&request.body, "{\"a\":1}", 7, &err));
	assert_true(secret_copy(&request.authorization, "token", 5, &err));
	assert_true(http_request_header(&request, "If-Match", "*", &err));
	fetch(http, &request, &answer);
	assert_int_equal(answer.outcome, HTTP_ANSWERED);
	assert_int_equal(answer.status, 200);
	assert_string_equal(answer.body.data, "{}");
	assert_string_equal(answer.etag, "\"abc\"");
	assert_string_equal(answer.continuation.data, "next");
	assert_int_equal(answer.retry_after_ms, 3000);
	assert_int_equal(answer.date_ms, 1795435200000);
	assert_true(answer.started_ms > 0 && answer.received_ms > 0);
	http_answer_done(&answer);
	http_free(http);
	server_stop(&server);
	assert_ptr_equal(strstr(server.last_request, "PUT /thing?code=Canary HTTP/1.1\r\n"),
			 server.last_request);
	assert_non_null(strstr(server.last_request, "Authorization: token\r\n"));
	assert_non_null(strstr(server.last_request, "If-Match: *\r\n"));
	assert_non_null(strstr(server.last_request, "Content-Type: application/json\r\n"));
	assert_non_null(strstr(server.last_request, "Content-Length: 7\r\n"));
	assert_non_null(strstr(server.last_request, "\r\n\r\n{\"a\":1}"));
	assert_null(strstr(server.last_request, "Expect"));
	assert_null(strstr(server.last_request, "Accept-Encoding"));
}

static void sends_an_empty_post_with_its_length(void **state)
{
	struct server server = { 0 };
	struct http *http = client(&good);
	struct http_request request;
	struct http_answer answer = { 0 };

	(void)state;
	server_start(&server, &good);
	request = request_to(&server, HTTP_POST);
	fetch(http, &request, &answer);
	assert_int_equal(answer.status, 200);
	http_answer_done(&answer);
	http_free(http);
	server_stop(&server);
	assert_non_null(strstr(server.last_request, "POST /thing"));
	assert_non_null(strstr(server.last_request, "Content-Length: 0\r\n"));
}

static void does_not_follow_redirects(void **state)
{
	struct http_answer answer = { 0 };

	(void)state;
	fetch_deed(REDIRECT, &answer, 0);
	assert_int_equal(answer.outcome, HTTP_ANSWERED);
	assert_int_equal(answer.status, 302);
	assert_string_equal(answer.location, "https://localhost:1/elsewhere");
	http_answer_done(&answer);
}

static void gives_up_on_endless_and_broken_answers(void **state)
{
	static const struct {
		enum deed deed;
		enum muster_cause cause;
	} broken[] = {
		{ FLOOD, CAUSE_CLOUD_ANSWER_INVALID },
		{ FLOOD_HEADERS, CAUSE_CLOUD_ANSWER_INVALID },
		{ TRUNCATE, CAUSE_CLOUD_UNREACHABLE },
		{ CUT, CAUSE_CLOUD_UNREACHABLE },
		{ HANG, CAUSE_CLOUD_UNREACHABLE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct http_answer answer = { 0 };

		fetch_deed(broken[i].deed, &answer, 1000);
		assert_int_equal(answer.outcome, HTTP_UNKNOWN);
		assert_int_equal(answer.error.cause, broken[i].cause);
		http_answer_done(&answer);
	}
}

/* -- Writes whose answer is lost ------------------------------------------------------------------------ */

static void put(struct http *http, const struct server *server, size_t size,
		struct http_answer *answer)
{
	struct http_request request = request_to(server, HTTP_PUT);
	struct muster_error err;

	assert_true(secret_new(&request.body, size, &err));
	memset(request.body.data, 'b', size);
	fetch(http, &request, answer);
}

/* The server takes the second PUT on the kept connection and dies. By itself libcurl would send it again. */
static void send_and_lose(size_t size)
{
	struct server server = { .deeds = { ANSWER, CUT, ANSWER, ANSWER } };
	struct http *http = client(&good);
	struct http_answer first = { 0 }, second = { 0 };
	char *body;

	server_start(&server, &good);
	put(http, &server, 7, &first);
	put(http, &server, size, &second);
	http_free(http);
	server_stop(&server);
	body = strstr(server.last_request, "\r\n\r\n");
	assert_non_null(body);
	assert_int_equal(strspn(body + 4, "b"), size);
	assert_int_equal(first.outcome, HTTP_ANSWERED);
	assert_int_equal(second.outcome, HTTP_UNKNOWN);
	assert_int_equal(second.error.cause, CAUSE_OUTCOME_UNKNOWN);
	assert_int_equal(second.error.code, MUSTER_E_UNKNOWN);
	assert_int_equal(server.requests, 2);
	assert_int_equal(server.connections, 2);
	http_answer_done(&first);
	http_answer_done(&second);
}

static void never_sends_a_body_twice(void **state)
{
	(void)state;
	send_and_lose(7);
	send_and_lose(60000);
}

static void never_deletes_twice(void **state)
{
	struct server server = { .deeds = { ANSWER, CUT, ANSWER, ANSWER } };
	struct http *http = client(&good);
	struct http_answer first = { 0 }, second = { 0 };
	struct http_request request;

	(void)state;
	server_start(&server, &good);
	request = request_to(&server, HTTP_GET);
	fetch(http, &request, &first);
	request = request_to(&server, HTTP_DELETE);
	fetch(http, &request, &second);
	http_free(http);
	server_stop(&server);
	assert_int_equal(second.outcome, HTTP_UNKNOWN);
	assert_int_equal(server.requests, 2);
	assert_int_equal(server.connections, 2);
	http_answer_done(&first);
	http_answer_done(&second);
}

/* -- Nothing sent -------------------------------------------------------------------------------------- */

static void tells_refused_certificates_apart(void **state)
{
	const struct {
		struct identity *server, *root;
		const char *words;
	} cases[] = {
		{ &other_host, &other_host, "names another host" },
		{ &expired, &expired, "has expired" },
		{ &stranger, &good, "does not chain to a trusted root" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct server server = { 0 };
		struct http *http = client(cases[i].root);
		struct http_answer answer = { 0 };

		server_start(&server, cases[i].server);
		put(http, &server, 7, &answer);
		http_free(http);
		server_stop(&server);
		assert_int_equal(answer.outcome, HTTP_NOT_SENT);
		assert_int_equal(answer.error.cause, CAUSE_CLOUD_TLS);
		if (!strstr(answer.error.message, cases[i].words))
			fail_msg("%s", answer.error.message);
		assert_int_equal(server.requests, 0);
		http_answer_done(&answer);
	}
}

static curl_version_info_data other_curl;

curl_version_info_data *__real_curl_version_info(CURLversion version);
curl_version_info_data *__wrap_curl_version_info(CURLversion version);
curl_version_info_data *__wrap_curl_version_info(CURLversion version)
{
	return other_curl.version ? &other_curl : __real_curl_version_info(version);
}

/* It would leave out what it does not know: the client's certificate, for one. First of all: asked once. */
static void another_libcurl_is_noticed(void **state)
{
	static const struct {
		unsigned number;
		const char *tls;
		bool is_good;
	} cases[] = {
		{ 0x075800, "GnuTLS/3.7.9", false },
		{ 0x075800, "(OpenSSL/3.0.15) GnuTLS/3.7.9", false },
		{ 0x075800, NULL, false },
		{ 0x074a00, "OpenSSL/1.1.1", false },
		{ 0x080e01, "OpenSSL/3.5.0", true },
	};
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(http_freep) struct http *http = NULL;

		other_curl = (curl_version_info_data){ .version = "other",
						       .version_num = cases[i].number,
						       .ssl_version = cases[i].tls };
		http = http_new(&(struct http_terms){ 0 }, &err);
		assert_int_equal(http != NULL, cases[i].is_good);
		if (!http)
			assert_int_equal(err.cause, CAUSE_LIBCURL_UNFIT);
	}
	other_curl.version = NULL;
}

static void refuses_old_tls(void **state)
{
	struct server server = { 0 };
	struct http *http = client(&good);
	struct http_answer answer = { 0 };

	(void)state;
	server_start(&server, &good);
	SSL_CTX_set_max_proto_version(server.context, TLS1_1_VERSION);
	SSL_CTX_set_security_level(server.context, 0);
	put(http, &server, 7, &answer);
	http_free(http);
	server_stop(&server);
	assert_int_equal(answer.outcome, HTTP_NOT_SENT);
	assert_int_equal(answer.error.cause, CAUSE_CLOUD_TLS);
	http_answer_done(&answer);
}

static void says_when_nobody_listens(void **state)
{
	struct server server = { 0 };
	struct http *http = client(&good);
	struct http_answer answer = { 0 };

	(void)state;
	server_start(&server, &good);
	server_stop(&server);
	put(http, &server, 7, &answer);
	assert_int_equal(answer.outcome, HTTP_NOT_SENT);
	assert_int_equal(answer.error.cause, CAUSE_CLOUD_UNREACHABLE);
	http_answer_done(&answer);
	http_free(http);
}

static void starts_nothing_that_is_not_https(void **state)
{
	static const char *const urls[] = { "http://localhost:1/",    "ftp://localhost/",
					    "file:///etc/passwd",     "https://user@localhost/",
					    "http://dps.example.com", "" };
	struct http *http = client(&good);
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		struct http_request request = { .allow_plain_loopback = i == 4 };
		struct http_answer answer = { 0 };

		text_add(&request.url, urls[i]);
		assert_false(http_fetch(http, &request, &answer, &err));
		assert_int_equal(err.cause, CAUSE_USAGE);
	}
	assert_int_equal(http_pending(http), 0);
	http_free(http);
}

static void needs_roots_that_are_certificates(void **state)
{
	struct muster_error err;

	(void)state;
	assert_null(http_new(&(struct http_terms){ .ca_file = "/nowhere/roots.pem" }, &err));
	assert_int_equal(err.cause, CAUSE_INPUT_NOT_FOUND);
	assert_null(http_new(&(struct http_terms){ .ca_file = "/etc/passwd" }, &err));
	assert_int_equal(err.cause, CAUSE_INPUT_NOT_FOUND);
	assert_null(http_new(&(struct http_terms){ .ca_file = "/dev/null" }, &err));
	assert_int_equal(err.cause, CAUSE_INPUT_NOT_FOUND);
}

/* -- The rest ------------------------------------------------------------------------------------------ */

static void speaks_plainly_to_this_machine_when_told_so(void **state)
{
	struct server server = { 0 };
	struct http *http = client(&good);
	struct http_request request;
	struct http_answer answer = { 0 };

	(void)state;
	server_start(&server, NULL);
	request = request_to(&server, HTTP_GET);
	request.allow_plain_loopback = true;
	fetch(http, &request, &answer);
	assert_int_equal(answer.status, 200);
	http_answer_done(&answer);
	http_free(http);
	server_stop(&server);
}

static void each_identity_has_its_own_connection(void **state)
{
	struct server server = { 0 };
	struct http *http = client(&good);
	struct http_answer answer = { 0 };
	struct http_request request;
	struct identity *devices[] = { &device, &stranger };

	(void)state;
	server_start(&server, &good);
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		request = request_to(&server, HTTP_GET);
		http_request_identity(&request, devices[i]->key, devices[i]->certificate);
		fetch(http, &request, &answer);
		assert_int_equal(answer.status, 200);
		http_answer_done(&answer);
	}
	http_free(http);
	server_stop(&server);
	assert_int_equal(server.connections, 2);
	assert_string_equal(server.client_name, "stranger");
}

static void count_call(void *context, struct http_answer *answer)
{
	int *calls = context;

	(void)answer;
	(*calls)++;
}

static void waits_for_other_descriptors_too(void **state)
{
	struct server server = { .deeds = { HANG, HANG, HANG, HANG } };
	struct http *http = client(&good);
	struct http_request request;
	struct http_transfer *transfer;
	struct pollfd extra = { .events = POLLIN };
	struct muster_error err;
	int64_t began = clock_now_ms();
	int pipes[2], calls = 0;

	(void)state;
	server_start(&server, &good);
	assert_int_equal(pipe(pipes), 0);
	extra.fd = pipes[0];
	request = request_to(&server, HTTP_GET);
	transfer = http_start(http, &request, count_call, &calls, &err);
	assert_non_null(transfer);
	close(pipes[1]);
	while (!(extra.revents & POLLHUP)) {
		assert_true(http_perform(http, &err));
		assert_true(http_poll(http, &extra, 1, 5000, &err));
	}
	assert_true(clock_now_ms() - began < 5000);
	http_cancel(http, transfer);
	assert_int_equal(http_pending(http), 0);
	assert_int_equal(calls, 0);
	close(pipes[0]);
	http_free(http);
	server_stop(&server);
}

static void what_is_ready_waits_for_the_word(void **state)
{
	struct server server = { 0 };
	struct http *http = client(&good);
	struct http_request kept, dropped;
	struct http_transfer *transfer, *other;
	struct muster_error err;
	int calls = 0;

	(void)state;
	server_start(&server, &good);
	kept = request_to(&server, HTTP_PUT);
	dropped = request_to(&server, HTTP_PUT);
	transfer = http_prepare(http, &kept, count_call, &calls, &err);
	other = http_prepare(http, &dropped, count_call, &calls, &err);
	assert_non_null(transfer);
	assert_non_null(other);
	assert_int_equal(http_pending(http), 0);
	assert_true(http_wait(http, 50, &err));
	http_cancel(http, other);
	assert_true(http_go(http, transfer, &err));
	assert_int_equal(http_pending(http), 1);
	while (calls == 0) {
		assert_true(http_perform(http, &err));
		assert_true(http_poll(http, NULL, 0, 100, &err));
	}
	http_free(http);
	server_stop(&server);
	assert_int_equal(server.requests, 1);
	assert_int_equal(calls, 1);
}

static bool comes_later(void *context)
{
	unsigned *looks = context;

	return (*looks)-- == 0;
}

static void who_waits_can_be_stopped(void **state)
{
	struct server server = { .deeds = { HANG } };
	struct http *http = client(&good);
	struct http_request hanging, other;
	struct http_answer answer = { 0 };
	struct muster_error err;
	unsigned looks = 3;

	(void)state;
	server_start(&server, &good);
	http_set_interrupt(http, comes_later, &looks);
	hanging = request_to(&server, HTTP_GET);
	hanging.deadline_ms = 60000;
	assert_false(http_fetch(http, &hanging, &answer, &err));
	assert_int_equal(err.cause, CAUSE_INTERRUPTED);
	assert_int_equal(http_pending(http), 0);
	looks = 3;
	assert_false(http_wait(http, 60000, &err));
	assert_int_equal(err.cause, CAUSE_INTERRUPTED);
	http_set_interrupt(http, NULL, NULL);
	other = request_to(&server, HTTP_GET);
	fetch(http, &other, &answer);
	assert_int_equal(answer.status, 200);
	http_answer_done(&answer);
	http_free(http);
	server_stop(&server);
}

static void nothing_of_a_request_is_left_for_the_next(void **state)
{
	struct server server = { 0 };
	struct http *http = client(&good);
	struct http_request request;
	struct http_answer answer = { 0 };
	struct muster_error err;

	(void)state;
	server_start(&server, &good);
	request = request_to(&server, HTTP_PUT);
	request.content_type = "application/json";
	assert_true(secret_copy(&request.body, "{\"a\":1}", 7, &err));
	assert_true(secret_copy(&request.authorization, "token", 5, &err));
	assert_true(http_request_header(&request, "If-Match", "*", &err));
	fetch(http, &request, &answer);
	http_answer_done(&answer);
	request = request_to(&server, HTTP_GET);
	fetch(http, &request, &answer);
	http_answer_done(&answer);
	http_free(http);
	server_stop(&server);
	assert_int_equal(server.connections, 1);
	assert_int_equal(server.requests, 2);
	assert_ptr_equal(strstr(server.last_request, "GET /thing"), server.last_request);
	assert_null(strstr(server.last_request, "token"));
	assert_null(strstr(server.last_request, "If-Match"));
	assert_null(strstr(server.last_request, "Content-"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_libcurl_is_noticed),
		cmocka_unit_test(brings_the_whole_answer),
		cmocka_unit_test(sends_an_empty_post_with_its_length),
		cmocka_unit_test(does_not_follow_redirects),
		cmocka_unit_test(gives_up_on_endless_and_broken_answers),
		cmocka_unit_test(never_sends_a_body_twice),
		cmocka_unit_test(never_deletes_twice),
		cmocka_unit_test(tells_refused_certificates_apart),
		cmocka_unit_test(refuses_old_tls),
		cmocka_unit_test(says_when_nobody_listens),
		cmocka_unit_test(starts_nothing_that_is_not_https),
		cmocka_unit_test(needs_roots_that_are_certificates),
		cmocka_unit_test(speaks_plainly_to_this_machine_when_told_so),
		cmocka_unit_test(each_identity_has_its_own_connection),
		cmocka_unit_test(waits_for_other_descriptors_too),
		cmocka_unit_test(what_is_ready_waits_for_the_word),
		cmocka_unit_test(who_waits_can_be_stopped),
		cmocka_unit_test(nothing_of_a_request_is_left_for_the_next),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_identities, drop_identities);
}
