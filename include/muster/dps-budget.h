/* How fast we may ask one provisioning service: a budget of operations per window that adapts to what the service
 * lets pass, and the small locked file through which all processes of a station share it. Sends nothing itself.
 *
 * The service promises a quota per window. How it counts (windows, a sliding span, a bucket; a bulk as one operation or as
 * its items) is not known, so what goes out is what every one of them allows: never more than the limit within any
 * span as long as a window, measured from answer to request. A 429 teaches the rest. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

#define DPS_BUDGET_QUOTA 1000
#define DPS_BUDGET_QUOTA_MAX 1000000
#define DPS_BUDGET_WINDOW_MS 60000

/* What a service promises: so many operations per window. */
struct dps_rate {
	int64_t quota;
	int64_t window_ms;
};

/* -- Decisions: time and randomness are handed in ------------------------------------------------------- */

#define DPS_BUDGET_BINS 257 /* a window in 256 parts, and the one that is just going by */

struct dps_budget_bin {
	uint32_t calls;
	uint32_t items;
};

/* Plain values, no pointers: the file holds them as they are. */
struct dps_budget {
	int64_t quota; /* operations per window, as promised */
	int64_t window_ms;
	int64_t limit_milli; /* thousandths of operations per window that we allow ourselves now */
	int64_t grown_ms;    /* when the limit was last changed */
	int64_t newest;      /* number of the newest bin since boot */
	int64_t open_ms;     /* nothing goes out before */
	int64_t next_ms;     /* nothing goes out before, while the pace is even */
	int64_t refused_ms;  /* the last 429 that counted; 0: none yet */
	int64_t learned_ms;  /* when it was learned that items count */
	int64_t retries_milli;  /* thousandths of repetitions left */
	int64_t bench_until_ms; /* some of the limit is kept for the bench so long */
	int64_t claimed_ms;     /* until then the next turn is the bench's */
	uint32_t refusals;      /* in a row */
	bool counts_items;
	bool is_even; /* no bursts until the limit is the quota again */
	struct dps_budget_bin bins[DPS_BUDGET_BINS];
};

/* Who asks. */
enum dps_budget_rank {
	DPS_BUDGET_BENCH, /* somebody waits for it: ahead of any backlog */
	DPS_BUDGET_BACKLOG, /* one of many, and never the last of the limit while the bench is in use */
};

/* What one request took, for giving its answer back. */
struct dps_budget_ticket {
	int64_t bin;
	int64_t taken_ms;
	uint32_t items;
	uint32_t refused; /* of them 429, in an answer that took the others; of DPS_BUDGET_TAKEN */
};

enum dps_budget_fate {
	DPS_BUDGET_TAKEN,   /* the service may have counted it */
	DPS_BUDGET_UNSENT,  /* it never left */
	DPS_BUDGET_REFUSED, /* 429 */
};

/* now_ms by clock_now_ms(), here and below. */
void dps_budget_init(struct dps_budget *budget, int64_t quota, int64_t window_ms, int64_t now_ms);
/* 0: one request of `items` items (1 for all but bulks) may go now and is taken. Else nothing is taken; ask again
 * after so many milliseconds. */
int64_t dps_budget_take(struct dps_budget *budget, uint32_t items, enum dps_budget_rank rank,
			int64_t now_ms, struct dps_budget_ticket *ret_ticket) MUST_CHECK;
/* retry_after_ms: -1 when the service said nothing. random: any 64 bits. */
void dps_budget_answer(struct dps_budget *budget, const struct dps_budget_ticket *ticket,
		       enum dps_budget_fate fate, int64_t retry_after_ms, int64_t now_ms,
		       uint64_t random);
/* An answer DPS_BUDGET_TAKEN now would change nothing. */
bool dps_budget_is_settled(const struct dps_budget *budget, const struct dps_budget_ticket *ticket,
			   int64_t now_ms);
/* By all that was learned a bulk costs as much as its items do one at a time, and the limit is low enough for them to keep up
 * with it. */
bool dps_budget_favours_singles(const struct dps_budget *budget);
/* May something be sent once more? One repetition for ten successes, and a few to begin with: when a service fails
 * for all, asking it again and again helps nobody. */
bool dps_budget_retry(struct dps_budget *budget) MUST_CHECK;

/* -- Shared by the processes of a station --------------------------------------------------------------- */

struct dps_meter;

/* The budget of `host` in the directory (NULL: directory_state()). A file that is missing, torn, of another boot or made for
 * another quota begins anew. Where there is none to be had the meter works for this process alone, with a warning. NULL:
 * no memory. */
struct dps_meter *dps_meter_open(const char *directory, const char *host,
				 const struct dps_rate *rate, struct muster_error *err) MUST_CHECK;
void dps_meter_close(struct dps_meter *meter);
DEFINE_FREEP(dps_meter_freep, struct dps_meter *, dps_meter_close)

/* As above, on the file. Held by others only for moments; a holder that is stopped is passed by after two seconds. */
int64_t dps_meter_take(struct dps_meter *meter, uint32_t items, enum dps_budget_rank rank,
		       struct dps_budget_ticket *ret_ticket) MUST_CHECK;
void dps_meter_answer(struct dps_meter *meter, const struct dps_budget_ticket *ticket,
		      enum dps_budget_fate fate, int64_t retry_after_ms);
/* As of the last decision. */
bool dps_meter_favours_singles(const struct dps_meter *meter);
bool dps_meter_retry(struct dps_meter *meter) MUST_CHECK;
