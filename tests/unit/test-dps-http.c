/* The one request function against a small TLS server in a thread, which does to each request what the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/dps-http.h"

/* -- Certificates -------------------------------------------------------------------------------------- */

struct identity {
	EVP_PKEY *key;
	X509 *certificate;
	char path[32]; /* the certificate as a file of roots */
};

static struct identity good, other_host, expired, stranger, device;

static void make_identity(struct identity *identity, const char *name, const char *alternatives,
			  long seconds_left)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);
	X509_EXTENSION *extension;
	int fd;
	FILE *file;

	identity->key = EVP_EC_gen("P-256");
	X509_set_version(certificate, 2);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1,
				   0);
	X509_set_issuer_name(certificate, subject);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
	X509_gmtime_adj(X509_getm_notAfter(certificate), seconds_left);
	extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternatives);
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	X509_set_pubkey(certificate, identity->key);
	assert_true(X509_sign(certificate, identity->key, EVP_sha256()) > 0);
	identity->certificate = certificate;
	strcpy(identity->path, "/tmp/muster-http-XXXXXX");
	fd = mkstemp(identity->path);
	file = fdopen(fd, "w");
	assert_non_null(file);
	PEM_write_X509(file, certificate);
	fclose(file);
}

static void drop_identity(struct identity *identity)
{
	unlink(identity->path);
	X509_free(identity->certificate);
	EVP_PKEY_free(identity->key);
}

static int make_identities(void **state)
{
	(void)state;
	make_identity(&good, "good", "DNS:localhost,IP:127.0.0.1", 3600);
	make_identity(&other_host, "other", "DNS:dps.example.com", 3600);
	make_identity(&expired, "expired", "DNS:localhost", -3600);
	make_identity(&stranger, "stranger", "DNS:localhost", 3600);
	make_identity(&device, "dev-1", "DNS:dev-1", 3600);
	return 0;
}

static int drop_identities(void **state)
{
	(void)state;
	drop_identity(&good);
	drop_identity(&other_host);
	drop_identity(&expired);
	drop_identity(&stranger);
	drop_identity(&device);
	return 0;
}

/* -- The server ---------------------------------------------------------------------------------------- */

enum deed {
	ANSWER, /* 200 with a small body */
	CUT,    /* reads the request whole, then closes the connection */
	HANG,   /* says nothing until the client goes */
	FLOOD,  /* a body without end */
	FLOOD_HEADERS,
	TRUNCATE, /* promises more than it sends */
	REDIRECT,
};

#define DEEDS_MAX 4
#define CONNECTIONS_MAX 8
#define REQUEST_MAX 4096

struct server {
	int listener;
	unsigned port;
	bool is_plain;
	SSL_CTX *context;
	enum deed deeds[DEEDS_MAX]; /* of request number 0, 1, ... */
	pthread_t thread;
	pthread_mutex_t lock;
	/* What it saw; read after server_stop(). */
	int connections, requests;
	char last_request[REQUEST_MAX];
	char client_name[64];
};

struct stream {
	int fd;
	SSL *ssl; /* NULL: plain */
};

static int stream_read(struct stream *stream, char *data, size_t size)
{
	return stream->ssl ? SSL_read(stream->ssl, data, (int)size)
			   : (int)read(stream->fd, data, size);
}

static bool stream_write(struct stream *stream, const char *text)
{
	int size = (int)strlen(text);

	return (stream->ssl ? SSL_write(stream->ssl, text, size)
			    : (int)write(stream->fd, text, (size_t)size)) == size;
}

/* Headers and the body that Content-Length promises. */
static bool read_request(struct stream *stream, char data[REQUEST_MAX])
{
	size_t used = 0, wanted = SIZE_MAX;
	char *end, *length;
	int size;

	while (used < wanted) {
		size = stream_read(stream, data + used, REQUEST_MAX - 1 - used);
		if (size <= 0)
			return false;
		used += (size_t)size;
		data[used] = 0;
		end = strstr(data, "\r\n\r\n");
		if (!end)
			continue;
		length = strstr(data, "Content-Length: ");
		wanted = (size_t)(end + 4 - data) + (length ? (size_t)atoi(length + 16) : 0);
	}
	return true;
}

static bool flood(struct stream *stream, const char *head, const char *more)
{
	if (!stream_write(stream, head))
		return false;
	while (stream_write(stream, more))
		;
	return false;
}

/* False when the connection ends with it. */
static bool do_deed(struct stream *stream, enum deed deed)
{
	char byte;

	switch (deed) {
	case ANSWER:
		return stream_write(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
					    "Date: Mon, 23 Nov 2026 12:00:00 GMT\r\n"
					    "Retry-After: 3\r\nETag: \"abc\"\r\n"
					    "x-ms-continuation: next\r\n\r\n{}");
	case CUT:
		return false;
	case HANG:
		while (stream_read(stream, &byte, 1) > 0)
			;
		return false;
	case FLOOD:
		return flood(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
			     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	case FLOOD_HEADERS:
		return flood(stream, "HTTP/1.1 200 OK\r\n", "x-header: aaaaaaaaaaaaaaaaaaaaaa\r\n");
	case TRUNCATE:
		stream_write(stream, "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{");
		return false;
	case REDIRECT:
		return stream_write(stream, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n"
					    "Location: https://localhost:1/elsewhere\r\n\r\n");
	}
	return false;
}

static void note_client(struct server *server, const struct stream *stream)
{
	X509 *certificate = stream->ssl ? SSL_get0_peer_certificate(stream->ssl) : NULL;

	if (certificate)
		X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
					  server->client_name, sizeof(server->client_name));
}

static enum deed note_request(struct server *server, const char *request)
{
	enum deed deed;

	pthread_mutex_lock(&server->lock);
	deed = server->deeds[server->requests++ % DEEDS_MAX];
	strcpy(server->last_request, request);
	pthread_mutex_unlock(&server->lock);
	return deed;
}

struct connection {
	struct server *server;
	int fd;
	pthread_t thread;
};

static void *serve_connection(void *context)
{
	struct connection *connection = context;
	struct server *server = connection->server;
	struct stream stream = { .fd = connection->fd };
	char request[REQUEST_MAX];
	bool goes_on = true;

	if (!server->is_plain) {
		stream.ssl = SSL_new(server->context);
		SSL_set_fd(stream.ssl, stream.fd);
		goes_on = SSL_accept(stream.ssl) == 1;
	}
	note_client(server, &stream);
	while (goes_on && read_request(&stream, request))
		goes_on = do_deed(&stream, note_request(server, request));
	SSL_free(stream.ssl);
	close(stream.fd);
	return NULL;
}

/* The client has closed its connections when the listener goes, so all of them end. */
static void *serve(void *context)
{
	struct server *server = context;
	struct connection connections[CONNECTIONS_MAX];
	int count = 0, fd;

	while (count < CONNECTIONS_MAX &&
	       (fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		connections[count] = (struct connection){ .server = server, .fd = fd };
		pthread_create(&connections[count].thread, NULL, serve_connection,
			       &connections[count]);
		count++;
	}
	server->connections = count;
	while (count > 0)
		pthread_join(connections[--count].thread, NULL);
	return NULL;
}

static int take_any_client(int is_ok, X509_STORE_CTX *context)
{
	(void)is_ok;
	(void)context;
	return 1;
}

static void server_start(struct server *server, const struct identity *identity)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(server->listener, 8), 0);
	assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
	server->port = ntohs(address.sin_port);
	server->is_plain = !identity;
	pthread_mutex_init(&server->lock, NULL);
	if (identity) {
		server->context = SSL_CTX_new(TLS_server_method());
		SSL_CTX_use_certificate(server->context, identity->certificate);
		SSL_CTX_use_PrivateKey(server->context, identity->key);
		SSL_CTX_set_verify(server->context, SSL_VERIFY_PEER, take_any_client);
		SSL_CTX_set_session_id_context(server->context, (const unsigned char *)"t", 1);
	}
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
	SSL_CTX_free(server->context);
}

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
	struct http *http = http_new(root->path, &err);

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
	assert_true(answer.elapsed_ms >= 0 && answer.received_ms > 0);
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

static void put(struct http *http, const struct server *server, struct http_answer *answer)
{
	struct http_request request = request_to(server, HTTP_PUT);
	struct muster_error err;

	assert_true(secret_copy(&request.body, "{\"a\":1}", 7, &err));
	fetch(http, &request, answer);
}

/* The server takes the second PUT on the kept connection and dies. By itself libcurl would send it again. */
static void never_sends_a_body_twice(void **state)
{
	struct server server = { .deeds = { ANSWER, CUT, ANSWER, ANSWER } };
	struct http *http = client(&good);
	struct http_answer first = { 0 }, second = { 0 };

	(void)state;
	server_start(&server, &good);
	put(http, &server, &first);
	put(http, &server, &second);
	http_free(http);
	server_stop(&server);
	assert_int_equal(first.outcome, HTTP_ANSWERED);
	assert_int_equal(second.outcome, HTTP_UNKNOWN);
	assert_int_equal(second.error.cause, CAUSE_OUTCOME_UNKNOWN);
	assert_int_equal(second.error.code, MUSTER_E_UNKNOWN);
	assert_int_equal(server.requests, 2);
	http_answer_done(&first);
	http_answer_done(&second);
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
		put(http, &server, &answer);
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

static void refuses_old_tls(void **state)
{
	struct server server = { 0 };
	struct http *http = client(&good);
	struct http_answer answer = { 0 };

	(void)state;
	server_start(&server, &good);
	SSL_CTX_set_max_proto_version(server.context, TLS1_1_VERSION);
	SSL_CTX_set_security_level(server.context, 0);
	put(http, &server, &answer);
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
	put(http, &server, &answer);
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
	assert_null(http_new("/nowhere/roots.pem", &err));
	assert_int_equal(err.cause, CAUSE_INPUT_NOT_FOUND);
	assert_null(http_new("/dev/null", &err));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_identities, drop_identities);
}
