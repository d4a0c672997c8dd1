/* One way to talk HTTPS: start a request, wait in the loop, get one answer that says whether anything was sent. Knows
 * nothing of DPS; decides nothing about retries. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/secret.h"
#include "muster/text.h"

#define HTTP_CONNECT_TIMEOUT_MS 10000
#define HTTP_DEADLINE_MS 30000
#define HTTP_REPLY_MAX (1024 * 1024)

/* -- The client ---------------------------------------------------------------------------------------- */

struct http;
struct http_transfer;

/* How servers are reached and trusted. Borrowed; what is NULL is not said. */
struct http_terms {
	const char *ca_file; /* PEM; replaces the system's roots */
	/* "http://HOST:PORT", by CONNECT, or "none". Never taken: for this machine (127.0.0.1, [::1], localhost), the metadata
	 * service, and whatever is plain. */
	const char *proxy;
	const char
		*no_proxy; /* hosts and ends of hosts, with commas, that are reached without it */
	const char *proxy_login; /* "USER:PASSWORD"; a source of a secret (secret_read_source) */
};
/* CAUSE_PROXY_INVALID; reads nothing. */
bool http_terms_check(const struct http_terms *terms, struct muster_error *err) MUST_CHECK;

/* TLS 1.2 at least, peer and host verified, HTTP/1.1, no redirects, nothing of the environment, nothing decompressed, no
 * cookies. Without terms nothing is said. An unreadable or empty ca_file is CAUSE_INPUT_NOT_FOUND. NULL on failure. One thread. */
struct http *http_new(const struct http_terms *terms, struct muster_error *err) MUST_CHECK;
/* The proxy that was named and what is reached without it ("": nothing), for a program that goes out for us; NULL: none.
 * Borrowed. */
const char *http_proxy_named(const struct http *http, const char **ret_no_proxy);
/* Ends what is under way without calling back. NULL is fine. */
void http_free(struct http *http);
DEFINE_FREEP(http_freep, struct http *, http_free)

/* -- A request ----------------------------------------------------------------------------------------- */

enum http_method { HTTP_GET, HTTP_PUT, HTTP_POST, HTTP_DELETE };

/* Zero-initialise. Owns all it holds; for CLEANUP(http_request_done). */
struct http_request {
	enum http_method method;
	struct text url;
	struct text headers;         /* "Name: value\r\n" each; http_request_header() */
	struct secret authorization; /* value of that header; wiped as soon as curl has its copy */
	const char *content_type;    /* static; NULL: none */
	struct secret body;          /* sent with its exact length */

	/* The client's certificate for mutual TLS; both or none, one reference each. Such a request gets a
	 * connection and a TLS session of its own, so that no device ever speaks with another's. */
	EVP_PKEY *key;
	X509 *certificate;

	int64_t connect_timeout_ms; /* 0: HTTP_CONNECT_TIMEOUT_MS */
	int64_t deadline_ms;        /* for the whole exchange; 0: HTTP_DEADLINE_MS */
	size_t reply_max;           /* 0: HTTP_REPLY_MAX */
	bool fresh_connection;      /* neither reuse one nor keep this one */
	bool allow_plain_metadata;  /* http:// to 169.254.169.254, and what the next one allows */
	bool allow_plain_loopback; /* http:// to 127.0.0.1, [::1] or localhost; for webhooks under test */
};

/* A whole address of that scheme, without a user or password in it. */
bool http_is_https(const char *url);
/* CAUSE_INTERNAL when the value could end the line. */
bool http_request_header(struct http_request *request, const char *name, const char *value,
			 struct muster_error *err) MUST_CHECK;
/* Takes a reference of each. */
void http_request_identity(struct http_request *request, EVP_PKEY *key, X509 *certificate);
void http_request_done(struct http_request *request);

/* -- An answer ----------------------------------------------------------------------------------------- */

enum http_outcome {
	HTTP_ANSWERED, /* a status line, all headers and the whole body */
	HTTP_NOT_SENT, /* nothing went to the server: connection, name, proxy or TLS failed */
	HTTP_UNKNOWN,  /* something may have been sent, no complete answer came */
};

struct http_answer {
	enum http_outcome outcome;
	struct muster_error error; /* unless HTTP_ANSWERED: what happened */

	int status;
	struct text body; /* wiped when freed */
	char etag[256];
	char error_code[64]; /* x-ms-error-code */
	char location[512];
	char retry_after[64];     /* as it came */
	struct text continuation; /* x-ms-continuation; empty: last page */
	int64_t retry_after_ms;   /* -1: missing or senseless; not capped */
	int64_t date_ms;          /* wall time by the server; -1: missing or senseless */
	int64_t received_ms;      /* wall time by us when the answer was complete */
	int64_t started_ms;       /* by clock_now_ms(): when it was handed over */
};

void http_answer_done(struct http_answer *answer);

/* Seconds or an HTTP date (relative to now_wall_ms); 0 for a date gone by, -1 when neither, negative or NULL. */
int64_t http_retry_after_parse(const char *value, int64_t now_wall_ms);

/* -- Asynchronous -------------------------------------------------------------------------------------- */

/* Called once per started transfer, from http_perform() only. The answer is the callback's for the call; what it
 * wants to keep it moves out. It may start and cancel other transfers. */
typedef void http_callback(void *context, struct http_answer *answer);

/* Takes *request over in any case and leaves it empty. Does not block and sends nothing yet. NULL on failure, which
 * is a request that could never be sent (not https, no memory); the callback is not called then. The transfer is
 * only for http_cancel() and only until its callback. */
struct http_transfer *http_start(struct http *http, struct http_request *request,
				 http_callback *callback, void *context, struct muster_error *err)
	MUST_CHECK;
/* The same in two steps: all that can be done before it may be sent, and then to go. A transfer that never went is ended by
 * http_cancel(). */
struct http_transfer *http_prepare(struct http *http, struct http_request *request,
				   http_callback *callback, void *context, struct muster_error *err)
	MUST_CHECK;
bool http_go(struct http *http, struct http_transfer *transfer, struct muster_error *err)
	MUST_CHECK;
/* Ends it without a callback. What was sent stays sent. */
void http_cancel(struct http *http, struct http_transfer *transfer);

/* The one wait of a loop: for curl's sockets and timers and for extra[0..count), at most timeout_ms (-1: as long as it
 * takes). Fills all revents. A signal ends it early. */
bool http_poll(struct http *http, struct pollfd *extra, size_t count, int timeout_ms,
	       struct muster_error *err) MUST_CHECK;
/* Lets time pass; transfers under way go on meanwhile. */
bool http_wait(struct http *http, int64_t wait_ms, struct muster_error *err) MUST_CHECK;
/* Moves all transfers on without blocking and calls back for the finished ones. */
bool http_perform(struct http *http, struct muster_error *err) MUST_CHECK;
/* Who may stop http_fetch() and http_wait(). They ask several times a second, and fail with CAUSE_INTERRUPTED then. NULL: nobody. */
typedef bool http_interrupt(void *context);
void http_set_interrupt(struct http *http, http_interrupt *has_come, void *context);
bool http_is_interrupted(const struct http *http);
/* Transfers under way. */
size_t http_pending(const struct http *http);

/* -- Blocking ------------------------------------------------------------------------------------------ */

/* Start, wait, answer; others under way go on meanwhile. Takes *request over. False only when it could not be
 * started or waited for, or was interrupted; a failed exchange is true with an outcome. Caller http_answer_done(). */
bool http_fetch(struct http *http, struct http_request *request, struct http_answer *ret_answer,
		struct muster_error *err) MUST_CHECK;
