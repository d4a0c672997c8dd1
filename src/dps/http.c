#include <assert.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/process.h"

#include "http-internal.h"

#define USER_AGENT "muster/" MUSTER_VERSION
#define IDLE_CONNECTION_MAX_S 30L

struct http {
	CURLM *multi;
	char *ca_file;
	struct http_transfer *transfers;
	size_t pending;
};

/* -- The client ---------------------------------------------------------------------------------------- */

static bool start_curl_once(struct muster_error *err)
{
	static bool started;

	if (!started &&
	    curl_global_init_mem(CURL_GLOBAL_DEFAULT, wiping_malloc, wiping_free, wiping_realloc,
				 wiping_strdup, wiping_calloc) != CURLE_OK)
		return muster_fail(err, CAUSE_INTERNAL, "starting libcurl");
	started = true;
	return true;
}

struct http *http_new(const char *ca_file, struct muster_error *err)
{
	CLEANUP(http_freep) struct http *http = NULL;

	if (!start_curl_once(err) || (ca_file && !http_tls_check_roots(ca_file, err)))
		return NULL;
	http = calloc(1, sizeof(*http));
	if (!http || !(http->multi = curl_multi_init()) ||
	    (ca_file && !(http->ca_file = strdup(ca_file)))) {
		muster_fail_memory(err);
		return NULL;
	}
	return TAKE_PTR(http);
}

static void transfer_free(struct http_transfer *transfer)
{
	if (!transfer)
		return;
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	http_request_done(&transfer->request);
	http_answer_done(&transfer->answer);
	free(transfer);
}
DEFINE_FREEP(transfer_freep, struct http_transfer *, transfer_free)

/* Takes it out of the client; it is the caller's then. */
static void transfer_remove(struct http *http, struct http_transfer *transfer)
{
	struct http_transfer **link = &http->transfers;

	while (*link != transfer) {
		assert(*link);
		link = &(*link)->next;
	}
	*link = transfer->next;
	http->pending--;
	curl_multi_remove_handle(http->multi, transfer->easy);
}

void http_cancel(struct http *http, struct http_transfer *transfer)
{
	transfer_remove(http, transfer);
	transfer_free(transfer);
}

void http_free(struct http *http)
{
	if (!http)
		return;
	while (http->transfers)
		http_cancel(http, http->transfers);
	curl_multi_cleanup(http->multi);
	free(http->ca_file);
	free(http);
}

size_t http_pending(const struct http *http)
{
	return http->pending;
}

/* -- What curl calls back ------------------------------------------------------------------------------ */

static size_t take_header(char *line, size_t size, size_t count, void *context)
{
	struct http_transfer *transfer = context;
	size_t length = size * count;

	transfer->header_bytes += length;
	if (transfer->header_bytes > HTTP_HEADERS_MAX) {
		transfer->is_too_large = true;
		return CURL_WRITEFUNC_ERROR;
	}
	http_answer_header(&transfer->answer, line, length);
	return length;
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
	struct http_transfer *transfer = context;
	struct text *body = &transfer->answer.body;
	size_t length = size * count;

	text_add_bytes(body, data, length);
	if (!body->failed)
		return length;
	transfer->is_too_large = true;
	return CURL_WRITEFUNC_ERROR;
}

static size_t give_body(char *out, size_t size, size_t count, void *context)
{
	struct http_transfer *transfer = context;
	const struct secret *body = &transfer->request.body;
	size_t left = body->size - transfer->body_offset;
	size_t length = size * count < left ? size * count : left;

	if (length > 0)
		memcpy(out, body->data + transfer->body_offset, length);
	transfer->body_offset += length;
	transfer->answer.size_sent += length;
	return length;
}

/* libcurl sends a request a second time, silently, when a kept connection turns out dead. It would have to rewind
 * the body for that, and may not once any of it was taken: the transfer then fails and the caller reads back. */
static int refuse_rewind(void *context, curl_off_t offset, int origin)
{
	const struct http_transfer *transfer = context;

	if (offset == 0 && origin == SEEK_SET && transfer->body_offset == 0)
		return CURL_SEEKFUNC_OK;
	return CURL_SEEKFUNC_FAIL;
}

/* Called when the connection stands and nothing of this attempt has gone yet. The second lock against a silent
 * repetition: an attempt that comes after the body was touched is refused. */
static int note_sending(void *context, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
	struct http_transfer *transfer = context;

	(void)peer_ip;
	(void)own_ip;
	(void)peer_port;
	(void)own_port;
	transfer->may_have_sent = true;
	return transfer->body_offset == 0 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* -- Starting ------------------------------------------------------------------------------------------ */

static const char *method_name(enum http_method method)
{
	static const char *const names[] = {
		[HTTP_GET] = "GET",
		[HTTP_PUT] = "PUT",
		[HTTP_POST] = "POST",
		[HTTP_DELETE] = "DELETE",
	};

	return names[method];
}

static bool add_header_line(struct http_transfer *transfer, const char *line)
{
	struct curl_slist *longer = curl_slist_append(transfer->headers, line);

	if (!longer)
		return false;
	transfer->headers = longer;
	return true;
}

/* curl copies the line into memory that is wiped when freed; ours goes with the secret. */
static bool add_authorization(struct http_transfer *transfer, struct muster_error *err)
{
	static const char name[] = "Authorization: ";
	struct secret *value = &transfer->request.authorization;
	CLEANUP(secret_done) struct secret line = { 0 };

	if (value->size == 0)
		return true;
	if (!secret_new(&line, sizeof(name) + value->size, err))
		return false;
	memcpy(line.data, name, sizeof(name) - 1);
	memcpy(line.data + sizeof(name) - 1, value->data, value->size);
	secret_done(value);
	return add_header_line(transfer, (const char *)line.data) || muster_fail_memory(err);
}

static bool add_headers(struct http_transfer *transfer, struct muster_error *err)
{
	const struct http_request *request = &transfer->request;
	CLEANUP(text_done) struct text line = TEXT_MAX(4096);

	text_addf(&line, "Content-Type:%s%s", request->content_type ? " " : "",
		  request->content_type ? request->content_type : "");
	if (!text_ok(&line, err))
		return false;
	/* An empty value keeps curl from adding the header by itself. */
	if (!add_header_line(transfer, "Expect:") ||
	    !add_header_line(transfer, "Accept: application/json") ||
	    !add_header_line(transfer, line.data))
		return muster_fail_memory(err);
	for (const char *at = request->headers.data; at && *at;) {
		size_t length = strcspn(at, "\r");

		text_done(&line);
		text_add_bytes(&line, at, length);
		if (!text_ok(&line, err))
			return false;
		if (!add_header_line(transfer, line.data))
			return muster_fail_memory(err);
		at += length + 2;
	}
	return add_authorization(transfer, err);
}

static bool is_loopback_name(const char *host)
{
	return strcmp(host, "127.0.0.1") == 0 || strcmp(host, "[::1]") == 0 ||
	       text_equal_folded(host, "localhost");
}

/* https always; http only to this machine and only when the request says so. */
static bool check_url(const struct http_request *request, const char *place, bool *ret_is_plain,
		      struct muster_error *err)
{
	CURLU *url = curl_url();
	char *scheme = NULL, *host = NULL;
	bool is_whole, is_https, is_plain;

	is_whole = url && request->url.data && !request->url.failed &&
		   curl_url_set(url, CURLUPART_URL, request->url.data, CURLU_DISALLOW_USER) ==
			   CURLUE_OK &&
		   curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		   curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK;
	is_https = is_whole && strcmp(scheme, "https") == 0;
	is_plain = is_whole && strcmp(scheme, "http") == 0 && request->allow_plain_loopback &&
		   is_loopback_name(host);
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(url);
	if (!is_https && !is_plain)
		return muster_fail(err, CAUSE_USAGE,
				   "'%s' is not an https address that can be used",
				   PRINTABLE(place));
	*ret_is_plain = is_plain;
	return true;
}

static void set_security(CURL *easy, const struct http *http, bool is_plain)
{
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, is_plain ? "http" : "https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	/* A directory of roots beside the file would add roots that nobody named, and keeps curl from
	 * caching the parsed file between connections. */
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	if (http->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
}

static void set_callbacks(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->curl_words);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_body);
	curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, refuse_rewind);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, note_sending);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
}

/* A body goes by UPLOAD whatever the method: only then does curl need the rewind that we refuse. A change without a
 * body (DELETE) could be repeated without one and so gets a connection of its own. */
static void set_exchange(struct http_transfer *transfer)
{
	const struct http_request *request = &transfer->request;
	CURL *easy = transfer->easy;
	bool has_body = request->method == HTTP_PUT || request->method == HTTP_POST;
	bool is_alone = request->fresh_connection || request->certificate;

	curl_easy_setopt(easy, CURLOPT_URL, request->url.data);
	/* An ID ".." names an object, not the path above. */
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
	curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	if (has_body) {
		curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body.size);
	}
	if (request->method != HTTP_GET)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method_name(request->method));
	if (is_alone || (request->method != HTTP_GET && request->body.size == 0))
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	if (is_alone)
		curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	if (request->certificate) {
		curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, http_tls_set_identity);
		curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, request);
	}
}

static void set_times(struct http_transfer *transfer)
{
	const struct http_request *request = &transfer->request;
	int64_t connect =
		request->connect_timeout_ms ? request->connect_timeout_ms : HTTP_CONNECT_TIMEOUT_MS;
	int64_t whole = request->deadline_ms ? request->deadline_ms : HTTP_DEADLINE_MS;

	transfer->started_ms = clock_now_ms();
	transfer->deadline_ms = transfer->started_ms + whole;
	curl_easy_setopt(transfer->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
	curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long)whole);
	curl_easy_setopt(transfer->easy, CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_MAX_S);
}

/* A query may hold a key (webhooks), so messages name an address without it. */
static void set_place(struct http_transfer *transfer)
{
	const char *url = transfer->request.url.data ? transfer->request.url.data : "";

	snprintf(transfer->place, sizeof(transfer->place), "%.*s", (int)strcspn(url, "?"), url);
}

static struct http_transfer *transfer_new(struct http *http, struct http_request *request)
{
	struct http_transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer) {
		http_request_done(request);
		return NULL;
	}
	transfer->http = http;
	transfer->request = *request;
	*request = (struct http_request){ 0 };
	set_place(transfer);
	transfer->reply_max =
		transfer->request.reply_max ? transfer->request.reply_max : HTTP_REPLY_MAX;
	transfer->answer = (struct http_answer){
		.body = TEXT_MAX(transfer->reply_max),
		.continuation = TEXT_MAX(HTTP_HEADERS_MAX),
		.retry_after_ms = -1,
		.date_ms = -1,
	};
	transfer->easy = curl_easy_init();
	if (!transfer->easy)
		transfer_freep(&transfer);
	return transfer;
}

struct http_transfer *http_start(struct http *http, struct http_request *request,
				 http_callback *callback, void *context, struct muster_error *err)
{
	CLEANUP(transfer_freep) struct http_transfer *transfer = transfer_new(http, request);
	bool is_plain;

	if (!transfer) {
		muster_fail_memory(err);
		return NULL;
	}
	if (!check_url(&transfer->request, transfer->place, &is_plain, err) ||
	    !add_headers(transfer, err))
		return NULL;
	transfer->callback = callback;
	transfer->context = context;
	set_security(transfer->easy, http, is_plain);
	set_callbacks(transfer);
	set_exchange(transfer);
	set_times(transfer);
	if (curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK) {
		muster_fail_memory(err);
		return NULL;
	}
	transfer->next = http->transfers;
	http->transfers = transfer;
	http->pending++;
	return TAKE_PTR(transfer);
}

/* -- Waiting and finishing ----------------------------------------------------------------------------- */

static int until_next_deadline(const struct http *http, int timeout_ms)
{
	int64_t now = clock_now_ms();

	for (const struct http_transfer *at = http->transfers; at; at = at->next) {
		int64_t left = at->deadline_ms > now ? at->deadline_ms - now : 0;

		if (timeout_ms < 0 || left < timeout_ms)
			timeout_ms = (int)left;
	}
	return timeout_ms < 0 ? 60 * 60 * 1000 : timeout_ms;
}

bool http_poll(struct http *http, struct pollfd *extra, size_t count, int timeout_ms,
	       struct muster_error *err)
{
	struct curl_waitfd *waits = calloc(count + 1, sizeof(*waits));
	CURLMcode result;

	if (!waits)
		return muster_fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		waits[i].fd = extra[i].fd;
		waits[i].events = (short)((extra[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
					  (extra[i].events & POLLPRI ? CURL_WAIT_POLLPRI : 0) |
					  (extra[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0));
	}
	result = curl_multi_poll(http->multi, waits, (unsigned)count,
				 until_next_deadline(http, timeout_ms), NULL);
	free(waits);
	if (result != CURLM_OK)
		return muster_fail_native(err, CAUSE_INTERNAL, ORIGIN_CURL, (unsigned long)result,
					  "waiting for the network: %s",
					  curl_multi_strerror(result));
	/* curl reports neither POLLHUP nor POLLERR of the extra descriptors; ask again, without waiting. */
	if (count > 0 && poll(extra, (nfds_t)count, 0) < 0)
		for (size_t i = 0; i < count; i++)
			extra[i].revents = 0;
	return true;
}

static void finish(struct http *http, struct http_transfer *transfer, CURLcode result)
{
	struct http_answer *answer = &transfer->answer;
	long status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	answer->status = (int)status;
	answer->received_ms = clock_wall_ms();
	answer->elapsed_ms = clock_now_ms() - transfer->started_ms;
	if (result == CURLE_OK && !transfer->is_too_large) {
		text_add(&answer->body, "");
		http_answer_complete(answer, answer->received_ms);
	} else {
		http_failure_describe(transfer, result);
	}
	transfer_remove(http, transfer);
	transfer->callback(transfer->context, answer);
	transfer_free(transfer);
}

/* curl's own timers stand still while the machine sleeps; the deadline does not. */
static struct http_transfer *find_overdue(struct http *http)
{
	int64_t now = clock_now_ms();

	for (struct http_transfer *at = http->transfers; at; at = at->next)
		if (now > at->deadline_ms + 1000)
			return at;
	return NULL;
}

bool http_perform(struct http *http, struct muster_error *err)
{
	struct http_transfer *transfer;
	int running, left;
	CURLMcode result = curl_multi_perform(http->multi, &running);
	CURLMsg *message;

	if (result != CURLM_OK)
		return muster_fail_native(err, CAUSE_INTERNAL, ORIGIN_CURL, (unsigned long)result,
					  "moving transfers on: %s", curl_multi_strerror(result));
	while ((message = curl_multi_info_read(http->multi, &left))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		finish(http, transfer, message->data.result);
	}
	while ((transfer = find_overdue(http)))
		finish(http, transfer, CURLE_OPERATION_TIMEDOUT);
	return true;
}

/* -- Blocking ------------------------------------------------------------------------------------------ */

struct fetch {
	struct http_answer *ret_answer;
	bool is_done;
};

static void fetch_done(void *context, struct http_answer *answer)
{
	struct fetch *fetch = context;

	*fetch->ret_answer = *answer;
	*answer = (struct http_answer){ 0 };
	fetch->is_done = true;
}

bool http_fetch(struct http *http, struct http_request *request, struct http_answer *ret_answer,
		struct muster_error *err)
{
	struct fetch fetch = { .ret_answer = ret_answer };
	struct http_transfer *transfer = http_start(http, request, fetch_done, &fetch, err);

	if (!transfer)
		return false;
	while (!fetch.is_done) {
		if (http_perform(http, err) && (fetch.is_done || http_poll(http, NULL, 0, -1, err)))
			continue;
		if (!fetch.is_done)
			http_cancel(http, transfer);
		return fetch.is_done;
	}
	return true;
}
