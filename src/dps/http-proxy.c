/* A proxy that is gone through by CONNECT: what may be named, what goes by it, and what is said when it stands in the way.
 * TLS is with the server behind it, checked as ever. */
#include <stdlib.h>
#include <string.h>

#include "http-internal.h"

#define SCHEME "http://"
#define HOST_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
#define HOST_MAX 253
#define LOGIN_MAX 512

/* -- What may be named --------------------------------------------------------------------------------- */

static bool is_none(const char *proxy)
{
	return !proxy || strcmp(proxy, "none") == 0;
}

static bool is_port(const char *text)
{
	size_t length = strcspn(text, "/");
	char digits[8];
	int64_t number;

	snprintf(digits, sizeof(digits), "%.*s", (int)length, text);
	return length < sizeof(digits) && text_to_int64(digits, 1, 65535, &number) &&
	       (text[length] == 0 || text[length + 1] == 0);
}

/* What may be a password is not repeated. */
static bool check_address(const char *proxy, struct muster_error *err)
{
	const char *host = text_has_prefix(proxy, SCHEME) ? proxy + strlen(SCHEME) : "";
	size_t length = strspn(host, HOST_CHARACTERS);

	if (strchr(proxy, '@'))
		return muster_fail(err, CAUSE_PROXY_INVALID,
				   "the proxy's address has a user in it, where a password can be "
				   "read by others: name a file with both by --proxy-login-file");
	return (length > 0 && length <= HOST_MAX && host[length] == ':' &&
		is_port(host + length + 1)) ||
	       muster_fail(err, CAUSE_PROXY_INVALID,
			   "the proxy '%s' is neither http://HOST:PORT nor none", PRINTABLE(proxy));
}

static bool check_exceptions(const char *list, struct muster_error *err)
{
	for (const char *at = list;; at++) {
		size_t length = strcspn(at, ",");

		if (length == 0 || length > HOST_MAX || strspn(at, HOST_CHARACTERS) < length)
			return muster_fail(err, CAUSE_PROXY_INVALID,
					   "'%s' is not a list of hosts, or ends of hosts, with "
					   "commas between them",
					   PRINTABLE(list));
		at += length;
		if (!*at)
			return true;
	}
}

bool http_terms_check(const struct http_terms *terms, struct muster_error *err)
{
	return (is_none(terms->proxy) || check_address(terms->proxy, err)) &&
	       (!terms->no_proxy || check_exceptions(terms->no_proxy, err));
}

/* -- Its part of the client ---------------------------------------------------------------------------- */

/* A header of our own: curl would take its percent signs for escapes. */
static bool set_login(struct http *http, const struct secret *login, struct muster_error *err)
{
	static const char name[] = "Proxy-Authorization: Basic ";
	CLEANUP(secret_done) struct secret encoded = { 0 };
	CLEANUP(secret_done) struct secret line = { 0 };

	if (!secret_to_base64(&encoded, login->data, login->size, err) ||
	    !secret_new(&line, sizeof(name) + encoded.size, err))
		return false;
	memcpy(line.data, name, sizeof(name) - 1);
	memcpy(line.data + sizeof(name) - 1, encoded.data, encoded.size);
	http->proxy_headers = curl_slist_append(NULL, (const char *)line.data);
	return http->proxy_headers || muster_fail_memory(err);
}

static bool read_login(struct http *http, const char *source, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret login = { 0 };

	if (!secret_read_source(&login, source, LOGIN_MAX, "the login of the proxy", err))
		return false;
	if (!memchr(login.data + 1, ':', login.size - 1) || login.data[0] == ':' ||
	    memchr(login.data, '\n', login.size))
		return muster_fail(err, CAUSE_PROXY_INVALID,
				   "the login of the proxy is not one line USER:PASSWORD");
	return set_login(http, &login, err);
}

bool http_proxy_open(struct http *http, const struct http_terms *terms, struct muster_error *err)
{
	if (is_none(terms->proxy))
		return true;
	http->proxy = strdup(terms->proxy);
	http->no_proxy = strdup(terms->no_proxy ? terms->no_proxy : "");
	if (!http->proxy || !http->no_proxy)
		return muster_fail_memory(err);
	return !terms->proxy_login || read_login(http, terms->proxy_login, err);
}

void http_proxy_close(struct http *http)
{
	free(http->proxy);
	free(http->no_proxy);
	curl_slist_free_all(http->proxy_headers);
}

const char *http_proxy_named(const struct http *http, const char **ret_no_proxy)
{
	*ret_no_proxy = http->no_proxy;
	return http->proxy;
}

/* -- Its part of a transfer ---------------------------------------------------------------------------- */

/* The host itself, or one below it. */
static bool is_of(const char *host, const char *name, size_t length)
{
	size_t host_length = strlen(host);
	const char *end;

	if (length == 0 || length > host_length)
		return false;
	end = host + host_length - length;
	return strncasecmp(end, name, length) == 0 && (end == host || end[-1] == '.');
}

/* A point in front of a name changes nothing. */
static bool is_excepted(const char *list, const char *host)
{
	for (const char *at = list; *at; at += *at == ',') {
		const char *name = at + (*at == '.');
		size_t length = strcspn(name, ",");

		if (is_of(host, name, length))
			return true;
		at = name + length;
	}
	return false;
}

void http_proxy_choose(struct http_transfer *transfer, const char *host, bool is_plain)
{
	const struct http *http = transfer->http;
	bool is_near = is_plain || transfer->request.allow_plain_metadata || http_is_loopback(host);

	transfer->proxy =
		!http->proxy || is_near || is_excepted(http->no_proxy, host) ? NULL : http->proxy;
}

bool http_proxy_set(struct http_transfer *transfer, struct muster_error *err)
{
	const struct http *http = transfer->http;
	CURL *easy = transfer->easy;

	/* Not those of the environment either. */
	curl_easy_setopt(easy, CURLOPT_PROXY, transfer->proxy ? transfer->proxy : "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
	if (!transfer->proxy)
		return true;
	/* A password that was refused is not tried again. */
	if (http->has_proxy_refused_login)
		return muster_fail(err, CAUSE_PROXY_LOGIN,
				   "the proxy '%s' has refused the user or password (407)",
				   PRINTABLE(transfer->proxy));
	curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	/* The server's credential is for the server alone. */
	curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	curl_easy_setopt(easy, CURLOPT_PROXYHEADER, http->proxy_headers);
	return true;
}

/* -- What went wrong ----------------------------------------------------------------------------------- */

const char *http_proxy_words(const struct http_transfer *transfer, char out[HTTP_PROXY_WORDS_SIZE])
{
	out[0] = 0;
	if (transfer->proxy)
		snprintf(out, HTTP_PROXY_WORDS_SIZE, " through the proxy '%s'",
			 PRINTABLE(transfer->proxy));
	return out;
}

/* What another try may mend. */
static bool may_pass(long status)
{
	return status == 408 || status == 429 || status >= 500;
}

static void describe_answer(struct http_transfer *transfer, long status)
{
	struct muster_error *error = &transfer->answer.error;
	struct http *http = transfer->http;
	char words[HTTP_PROXY_WORDS_SIZE];
	const char *url = PRINTABLE(transfer->place);

	http_proxy_words(transfer, words);
	if (status != 407) {
		muster_fail_native(error,
				   may_pass(status) ? CAUSE_CLOUD_UNREACHABLE : CAUSE_PROXY_REFUSED,
				   ORIGIN_HTTP, (unsigned long)status,
				   "connecting to '%s'%s: the proxy, not the service, answered %ld",
				   url, words, status);
		return;
	}
	http->has_proxy_refused_login = http->proxy_headers != NULL;
	muster_fail_native(error, CAUSE_PROXY_LOGIN, ORIGIN_HTTP, (unsigned long)status,
			   "connecting to '%s'%s: the proxy %s (407)", url, words,
			   http->has_proxy_refused_login ? "refused the user or password"
							 : "wants a user and a password");
}

bool http_proxy_describe(struct http_transfer *transfer, CURLcode result)
{
	char words[HTTP_PROXY_WORDS_SIZE];
	long status = 0;

	if (!transfer->proxy)
		return false;
	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	if (status > 0 && (status < 200 || status > 299)) {
		describe_answer(transfer, status);
		return true;
	}
	if (result != CURLE_COULDNT_RESOLVE_PROXY && result != CURLE_COULDNT_CONNECT)
		return false;
	muster_fail_native(&transfer->answer.error, CAUSE_CLOUD_UNREACHABLE, ORIGIN_CURL, result,
			   "connecting to '%s'%s: the proxy %s", PRINTABLE(transfer->place),
			   http_proxy_words(transfer, words),
			   result == CURLE_COULDNT_CONNECT ? "does not answer"
							   : "has a name that is not found");
	return true;
}
