#include <string.h>

#include "http-internal.h"

#define USER_AGENT "muster/" MUSTER_VERSION
#define IDLE_CONNECTION_MAX_S 30L
#define SEND_BUFFER_SIZE (16 * 1024L)

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

/* Called when the connection stands and nothing of this attempt has gone yet. libcurl sends a request a second time,
 * silently, when a kept connection turns out dead. What may have an effect is refused a second attempt, and the caller
 * reads back. */
static int note_sending(void *context, char *peer_ip, char *own_ip, int peer_port, int own_port)
{
	struct http_transfer *transfer = context;
	bool is_second = transfer->may_have_sent && transfer->request.method != HTTP_GET;

	(void)peer_ip;
	(void)own_ip;
	(void)peer_port;
	(void)own_port;
	transfer->may_have_sent = true;
	return is_second ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* -- Headers and options ------------------------------------------------------------------------------- */

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

bool http_is_loopback(const char *host)
{
	return strcmp(host, "127.0.0.1") == 0 || strcmp(host, "[::1]") == 0 ||
	       text_equal_folded(host, "localhost");
}

static bool may_be_plain(const struct http_request *request, const char *host)
{
	if (request->allow_plain_metadata && strcmp(host, "169.254.169.254") == 0)
		return true;
	return (request->allow_plain_loopback || request->allow_plain_metadata) &&
	       http_is_loopback(host);
}

bool http_is_https(const char *url)
{
	CURLU *parts = curl_url();
	char *scheme = NULL;
	bool is_https = parts &&
			curl_url_set(parts, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
			curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
			strcmp(scheme, "https") == 0;

	curl_free(scheme);
	curl_url_cleanup(parts);
	return is_https;
}

/* https always; http only where and when the request says so. */
static bool check_url(struct http_transfer *transfer, bool *ret_is_plain, struct muster_error *err)
{
	const struct http_request *request = &transfer->request;
	char *scheme = NULL, *host = NULL;
	bool is_whole, is_https, is_plain;

	/* An ID ".." names an object, not the path above. */
	is_whole = request->url.data && !request->url.failed &&
		   curl_url_set(transfer->url, CURLUPART_URL, request->url.data,
				CURLU_DISALLOW_USER | CURLU_PATH_AS_IS) == CURLUE_OK &&
		   curl_url_get(transfer->url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		   curl_url_get(transfer->url, CURLUPART_HOST, &host, 0) == CURLUE_OK;
	is_https = is_whole && strcmp(scheme, "https") == 0;
	is_plain = is_whole && strcmp(scheme, "http") == 0 && may_be_plain(request, host);
	if (is_https || is_plain)
		http_proxy_choose(transfer, host, is_plain);
	curl_free(scheme);
	curl_free(host);
	if (!is_https && !is_plain)
		return muster_fail(err, CAUSE_USAGE,
				   "'%s' is not an https address that can be used",
				   PRINTABLE(transfer->place));
	*ret_is_plain = is_plain;
	return true;
}

static void set_security(CURL *easy, const char *ca_file, bool is_plain)
{
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, is_plain ? "http" : "https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	/* A directory of roots beside the file would add roots that nobody named, and keeps curl from
	 * caching the parsed file between connections. */
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	if (ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
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
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, note_sending);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
}

/* The body is curl's to read where it lies, and goes out together with the headers. */
static void set_body(CURL *easy, const struct secret *body)
{
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body->data ? (const char *)body->data : "");
	/* All of it is wiped after each transfer. */
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER_SIZE);
}

static void set_exchange(struct http_transfer *transfer)
{
	const struct http_request *request = &transfer->request;
	CURL *easy = transfer->easy;
	bool has_body = request->method == HTTP_PUT || request->method == HTTP_POST;
	bool is_alone = request->fresh_connection || request->certificate;

	/* The one is taken, already apart; the other spares curl from putting the one together once more. */
	curl_easy_setopt(easy, CURLOPT_CURLU, transfer->url);
	curl_easy_setopt(easy, CURLOPT_URL, request->url.data);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
	curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	if (has_body)
		set_body(easy, &request->body);
	if (request->method != HTTP_GET)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method_name(request->method));
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)is_alone);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, (long)is_alone);
	curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, http_tls_prepare);
	curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, request);
	if (request->certificate)
		curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
}

static void set_times(struct http_transfer *transfer)
{
	const struct http_request *request = &transfer->request;
	int64_t connect =
		request->connect_timeout_ms ? request->connect_timeout_ms : HTTP_CONNECT_TIMEOUT_MS;

	transfer->whole_ms = request->deadline_ms ? request->deadline_ms : HTTP_DEADLINE_MS;
	curl_easy_setopt(transfer->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
	curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, (long)transfer->whole_ms);
	curl_easy_setopt(transfer->easy, CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_MAX_S);
}

bool http_transfer_configure(struct http_transfer *transfer, struct muster_error *err)
{
	bool is_plain;

	if (!check_url(transfer, &is_plain, err) || !add_headers(transfer, err) ||
	    !http_proxy_set(transfer, err))
		return false;
	set_security(transfer->easy, transfer->http->ca_file, is_plain);
	set_callbacks(transfer);
	set_exchange(transfer);
	set_times(transfer);
	return true;
}
