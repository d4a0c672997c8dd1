/* What the files of the bulk engine share: its slots, and the pure parts, which build requests and read answers. */
#pragma once

#include "muster/dps-bulk.h"
#include "muster/dps-outage.h"
#include "muster/dps.h"

#define BULK_SLOTS ((DPS_BULK_LANES_MAX + 2) * DPS_BULK_ITEMS_MAX)

enum slot_state {
	SLOT_FREE,
	SLOT_SEND, /* may be sent */
	SLOT_READ, /* must be read first */
	SLOT_READ_KEYS,
	SLOT_UNDER_WAY,
};

/* One item and what is known of it. */
struct slot {
	enum slot_state state;
	struct dps_bulk_item item;
	char *json; /* the document as one line; DELETE: what stands in its place */
	unsigned
		attempts; /* requests about it that came to nothing, of a service that is well otherwise */
	unsigned refusals; /* of them for the rate: the budget sees to those */
	bool is_single;    /* its bulk was refused as a whole: find out whose fault it was */
	bool is_unclear;   /* a write of ours may have taken effect */
	int64_t sent_ms;   /* that write, the first of them */
	bool is_refused;   /* 409 or 412: something is there */
	cJSON *found;      /* between GET and attestationmechanism */
};

enum call_kind { CALL_BULK, CALL_SINGLE, CALL_READ, CALL_READ_KEYS };

/* The service's word on one item of a bulk. */
struct item_error {
	int64_t code; /* 0: none, it is done */
	char message[200];
};
/* As HTTP has it: 429 of 429001. */
int bulk_status_of(const struct item_error *error);

/* One request: built, ready to go, under way or answered. */
struct call {
	struct dps_bulk *bulk;
	struct call *next;
	struct http_request request;    /* until it is ready to go */
	struct http_transfer *transfer; /* from then on until it is answered; it has its turn */
	struct http_answer answer;      /* when it is looked at later */
	enum call_kind kind;
	struct slot *slots[DPS_BULK_ITEMS_MAX];
	size_t count;
	int64_t started_ms;
	uint64_t number; /* of all that went out */
	struct dps_budget_ticket ticket;
	struct item_error errors[DPS_BULK_ITEMS_MAX]; /* of a bulk that was answered */
	bool is_read; /* they can be trusted; else every item is unclear */
};

struct dps_bulk {
	struct dps_client *client;
	enum dps_bulk_mode mode;
	struct dps_bulk_owner owner;
	enum dps_bulk_form form;
	size_t lanes;

	struct slot slots[BULK_SLOTS];
	size_t slot_count; /* of them in use: what the lanes carry, and some to follow */
	struct call *next; /* built and waiting for its turn, or for a lane */
	size_t drops;      /* how often that was no longer to go */
	struct call *calls;
	size_t call_count;
	struct call *answered; /* successes that are looked at when the next request is out */
	bool looks_later;
	bool has_source_ended; /* as of the last question */

	bool has_succeeded; /* until then one request at a time */
	unsigned refusals;  /* of all requests alike, in a row: 401, 403, wrong host */
	uint64_t sent,
		refused_number; /* the last that went out; and that when the last no was noticed */
	struct dps_outage *outage; /* the client's, or its own, by which nothing is waited for */
	struct dps_outage own_outage;
	bool is_stopped;
	struct muster_error why;
	bool has_failed; /* the owner or memory: *failure ends it at once */
	struct muster_error failure;
};

/* -- Requests and answers (bulk-wire.c) ----------------------------------------------------------------- */

/* What of a bulk stands for this item; it gives up its line. Caller frees; NULL: no memory. */
char *bulk_item_json(enum dps_bulk_mode mode, struct dps_bulk_item *item);
/* Room that this line takes in a bulk, and what there is. */
size_t bulk_room_of(const char *json);
#define BULK_ROOM (SECRET_MAX - 128)
/* The longest line that can be sent at all, with a request of its own. */
#define BULK_ALONE_MAX SECRET_MAX

bool bulk_build(const char *host, enum dps_bulk_mode mode, struct slot *const *slots, size_t count,
		struct http_request *ret_request, struct muster_error *err) MUST_CHECK;
bool bulk_build_single(const char *host, enum dps_bulk_mode mode, const struct slot *slot,
		       struct http_request *ret_request, struct muster_error *err) MUST_CHECK;

/* errors: count of them, by the order of slots. False: the answer cannot be trusted, and every item is unclear. */
bool bulk_read(const struct http_answer *answer, struct slot *const *slots, size_t count,
	       struct item_error *ret_errors) MUST_CHECK;

/* -- What is asked next (bulk-choose.c) ----------------------------------------------------------------- */

size_t bulk_count_in(const struct dps_bulk *bulk, enum slot_state state);
bool bulk_sends_singles(const struct dps_bulk *bulk);
/* *ret_call NULL: nothing to do. */
bool bulk_choose(struct dps_bulk *bulk, struct call **ret_call, struct muster_error *err)
	MUST_CHECK;

/* -- What an answer means (bulk-answer.c) --------------------------------------------------------------- */

/* Takes the answer of a finished call: every slot of it gets another state or is told to the owner. */
void bulk_take_answer(struct call *call, const struct http_answer *answer);
/* Of the network or the service, not of the items: waits, or stops the engine when it has waited for long enough. */
void bulk_note_trouble(struct dps_bulk *bulk, const struct http_answer *answer, int64_t started_ms);

/* -- For both ------------------------------------------------------------------------------------------- */

/* Tells the owner and frees the slot. */
void bulk_finish(struct dps_bulk *bulk, struct slot *slot, enum dps_bulk_fate fate,
		 const struct muster_error *why);
/* Ends everything at once: memory, or the owner's own failure. */
void bulk_fail(struct dps_bulk *bulk, const struct muster_error *failure);
