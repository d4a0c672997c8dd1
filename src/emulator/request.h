/* One request and its reply as plain values, so that everything behind the server needs no socket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/text.h"

#include "fault.h"
#include "ledger.h"
#include "refusal.h"
#include "stamp.h"

struct emulator;
struct route;

#define BODY_MAX (96 * 1024)
#define REPLY_MAX (4 * 1024 * 1024)
#define SEGMENT_COUNT_MAX 9
#define SEGMENT_MAX 300
#define REPLY_HEADER_COUNT_MAX 8

struct certificate {
	const uint8_t *data; /* DER */
	size_t size;
};

/* What came in; all borrowed, headers but Host NULL when missing. */
struct request {
	const char *method;
	const char *path; /* as sent, percent-encoded, without query */
	const char *api_version;
	const char *host;
	const char *authorization;
	const char *if_match;
	const char *content_type;
	const char *max_item_count;
	const char *continuation;
	const char *metadata; /* header of the managed identity endpoint */
	const char *resource; /* query arguments of the same and of lists */
	const char *client_id;
	const char *skip_token;
	bool is_plain; /* came by the listener without TLS */
	const void *body;
	size_t body_size;
	const struct certificate *
		certificates; /* the client's, leaf first; verified to be its own, not by whom issued */
	size_t certificate_count;
	int64_t now_ms; /* the emulator's clock */
};

struct reply_header {
	const char *name; /* static */
	char value[256];
};

struct reply {
	unsigned status;
	struct text body;
	struct reply_header headers[REPLY_HEADER_COUNT_MAX];
	size_t header_count;
};

/* A request on its way through: begun, faulted, served. */
struct exchange {
	struct emulator *emulator;
	const struct request *request;
	struct reply reply;
	const struct route *route;                     /* NULL when none fits */
	char segments[SEGMENT_COUNT_MAX][SEGMENT_MAX]; /* decoded */
	size_t segment_count;
	char path[SEGMENT_COUNT_MAX * SEGMENT_MAX]; /* decoded, lower case, no slash at the end */
	char id[SEGMENT_MAX]; /* lower case; empty for operations without one */
	struct refusal refusal;
	struct fault fault; /* action FAULT_NONE when none hits */
	enum effect effect;
	char etag[ETAG_SIZE]; /* after a write; or empty */
};

/* Decodes the path, finds the route and the fault. */
void exchange_begin(struct exchange *exchange, struct emulator *emulator,
		    const struct request *request);
/* The same, whatever the faults say. */
void exchange_begin_unfaulted(struct exchange *exchange, struct emulator *emulator,
			      const struct request *request);
/* Does the work and fills reply; writes the ledger. Never fails: what goes wrong is a reply. */
void exchange_serve(struct exchange *exchange);
/* Puts an error of this status in the place of whatever the reply was. */
void exchange_refuse(struct exchange *exchange, unsigned status);
/* Writes the ledger's line for a request that exchange_serve() never saw. */
void exchange_record(struct exchange *exchange);
void exchange_done(struct exchange *exchange);

/* value is cut to fit. */
void reply_header(struct reply *reply, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);
