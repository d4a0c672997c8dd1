/* Many enrollments through few requests: takes items from a producer, writes them ten at a time, or singly where that costs the
 * rate budget no more, with several requests under way, and tells what became of each one. What a request left open is read back before anything is
 * sent again. Bounded memory: some dozens of items at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/dps-budget.h"
#include "muster/dps-client.h"
#include "muster/error.h"

#define DPS_BULK_ITEMS_MAX 10

enum dps_bulk_mode {
	DPS_BULK_CREATE,          /* never overwrites */
	DPS_BULK_UPDATE,          /* overwrites whatever is there */
	DPS_BULK_UPDATE_IF_MATCH, /* only what still has the item's etag */
	DPS_BULK_DELETE,          /* with an etag: only what still has it */
};
/* As on the wire: "create", "update", "updateIfMatchETag", "delete". */
const char *dps_bulk_mode_name(enum dps_bulk_mode mode);

/* One enrollment. Given by the producer, who gives up `id`, `document`, `line` and `etag` (all from malloc); the engine frees them. */
struct dps_bulk_item {
	char *id;
	cJSON *document; /* as it is to be written; NULL for DPS_BULK_DELETE, and where `line` says it */
	char *line; /* for DPS_BULK_CREATE and DPS_BULK_UPDATE: the document as one line of JSON, which is sent as it stands */
	char *etag; /* NULL: none */
	uint64_t tag;    /* the caller's own */
	bool is_unclear; /* told with DPS_BULK_OPEN: a write of it may have taken effect */
};
void dps_bulk_item_done(struct dps_bulk_item *item);

enum dps_bulk_fate {
	DPS_BULK_WRITTEN, /* done by us, by the service's word or as read back */
	DPS_BULK_ALREADY, /* it was so before: enrolled just so, or not there to delete */
	DPS_BULK_REFUSED, /* the service would refuse it again */
	DPS_BULK_DIFFERS, /* enrolled otherwise, or changed meanwhile; nothing was overwritten */
	DPS_BULK_OPEN,    /* not finished, perhaps unknown: the next run finds out */
};

/* Who gives the items and hears of them. A false answer with *err stops the engine. */
struct dps_bulk_owner {
	/* *ret_has false: none now. Asked again whenever there is room; dps_bulk_run() ends when there is none and all are done. */
	bool (*next)(void *context, struct dps_bulk_item *ret_item, bool *ret_has,
		     struct muster_error *err);
	/* Once for each item taken, in any order. why: NULL for WRITTEN and ALREADY. */
	bool (*done)(void *context, const struct dps_bulk_item *item, enum dps_bulk_fate fate,
		     const struct muster_error *why, struct muster_error *err);
	void *context;
};

struct dps_bulk;

/* Everything borrowed. Requests go through the client's HTTP and credential and its budget, without which it goes as fast as
 * the service does. NULL: no memory. */
struct dps_bulk *dps_bulk_new(struct dps_client *client, enum dps_bulk_mode mode,
			      const struct dps_bulk_owner *owner, struct muster_error *err)
	MUST_CHECK;
/* Ends what is under way and forgets it without a word to the owner. */
void dps_bulk_free(struct dps_bulk *bulk);
DEFINE_FREEP(dps_bulk_freep, struct dps_bulk *, dps_bulk_free)

enum dps_bulk_form {
	DPS_BULK_BY_BUDGET, /* bulks; where the service was found to count items, and few, singles: they fill its limit to the last */
	DPS_BULK_TENS,
	DPS_BULK_SINGLES, /* as PUT and DELETE */
};
void dps_bulk_set_form(struct dps_bulk *bulk, enum dps_bulk_form form);
/* Requests under way at the same time, 1 and up; DPS_BULK_LANES by itself. Before it runs. */
#define DPS_BULK_LANES 4
#define DPS_BULK_LANES_MAX 16
void dps_bulk_set_lanes(struct dps_bulk *bulk, size_t lanes);

/* For an owner with a loop of his own: takes items and starts what may go. Never blocks but to fetch a token. *ret_wait_ms:
 * when to call again at the latest, -1 for not before an answer came. What is finished is told by done(), from
 * http_perform(). */
bool dps_bulk_pump(struct dps_bulk *bulk, int64_t *ret_wait_ms, struct muster_error *err)
	MUST_CHECK;
/* Nothing taken and nothing under way. */
bool dps_bulk_is_idle(const struct dps_bulk *bulk);
/* Takes no more items, sends no more; what is under way may end. The first reason stays. */
void dps_bulk_stop(struct dps_bulk *bulk, const struct muster_error *why);
/* Why it stopped; NULL when it did not. Borrowed. */
const struct muster_error *dps_bulk_stopped(const struct dps_bulk *bulk);

/* All items to their end. is_cancelled (may be NULL) is asked between steps; true stops with CAUSE_INTERRUPTED. False: stopped
 * before the end, and *err says why; everything taken was told to the owner. */
bool dps_bulk_run(struct dps_bulk *bulk, bool (*is_cancelled)(void), struct muster_error *err)
	MUST_CHECK;
