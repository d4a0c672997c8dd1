/* What the files of the request function share: one transfer and its parts. */
#pragma once

#include <curl/curl.h>

#include "muster/dps-http.h"

#define HTTP_HEADERS_MAX (32 * 1024)
#define HTTP_SPARES 4

struct http_transfer {
	struct http *http;
	struct http_transfer *next;
	bool is_under_way; /* of the client's transfers, and of curl's */
	CURL *easy;
	CURLU *url;
	const char *proxy; /* the client's, when this goes by it */
	struct curl_slist *headers;
	struct http_request request;
	char place[160]; /* the URL without its query, for messages */
	size_t header_bytes;
	size_t reply_max;
	int64_t whole_ms;   /* how long all of it may take */
	bool may_have_sent; /* the connection stood and the request was about to go */
	bool is_too_large;
	int64_t started_ms, deadline_ms; /* by clock_now_ms() */
	char curl_words[CURL_ERROR_SIZE];
	struct http_answer answer;
	http_callback *callback;
	void *context;
};

struct http {
	CURLM *multi;
	char *ca_file;
	char *proxy; /* NULL: none */
	char *no_proxy;
	struct curl_slist *proxy_headers; /* its login; or NULL */
	bool has_proxy_refused_login;
	struct http_transfer *transfers; /* under way */
	size_t pending;
	http_interrupt *has_interrupt; /* NULL: nothing interrupts */
	void *interrupt_context;
	struct http_transfer *finished; /* to be freed when there is time */
	CURL *spares[HTTP_SPARES];      /* reset and ready for another transfer */
	size_t spare_count;
};

/* All that curl must know of the transfer, callbacks and headers included. */
bool http_transfer_configure(struct http_transfer *transfer, struct muster_error *err) MUST_CHECK;

/* Names of this machine. */
bool http_is_loopback(const char *host);

/* One header line as curl hands it over, CR LF at the end. A status line starts the headers anew. */
void http_answer_header(struct http_answer *answer, const char *line, size_t length);
/* When all headers are there: what needs more than one of them. */
void http_answer_complete(struct http_answer *answer, int64_t now_wall_ms);

/* What a new connection's TLS context needs besides what curl gives it, by CURLOPT_SSL_CTX_FUNCTION; data is the request. */
CURLcode http_tls_prepare(CURL *easy, void *ssl_context, void *data);
/* CAUSE_INPUT_NOT_FOUND unless the file holds a certificate. */
bool http_tls_check_roots(const char *ca_file, struct muster_error *err);
/* Of terms that http_terms_check() took; closing one that is not open is fine. */
bool http_proxy_open(struct http *http, const struct http_terms *terms, struct muster_error *err)
	MUST_CHECK;
void http_proxy_close(struct http *http);
/* Whether it goes by the proxy. */
void http_proxy_choose(struct http_transfer *transfer, const char *host, bool is_plain);
bool http_proxy_set(struct http_transfer *transfer, struct muster_error *err) MUST_CHECK;
/* " through the proxy '...'", or nothing. Returns out. */
#define HTTP_PROXY_WORDS_SIZE 320
const char *http_proxy_words(const struct http_transfer *transfer, char out[HTTP_PROXY_WORDS_SIZE]);
/* The sentence when it was the proxy that a transfer did not get through; else false. */
bool http_proxy_describe(struct http_transfer *transfer, CURLcode result);
/* Outcome and sentence of a transfer that curl ended with `result`. */
void http_failure_describe(struct http_transfer *transfer, CURLcode result);
