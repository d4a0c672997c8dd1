#include <assert.h>

#include "muster/dps-budget.h"
#include "muster/dps.h"

#define RETRIES_MIN 20       /* to begin with, or a tenth of the quota */
#define RETRY_GAIN_MILLI 100 /* per success */
#define GROWTH_PARTS 20      /* the limit grows by this part of the quota per window */
#define ITEMS_BELIEVED 15    /* windows; then a bulk may be one operation again */
#define SPREAD_MAX_MS 1000   /* jitter on top of what the service asked for */
#define BACKOFF_STEPS_MAX 5
#define SINGLES_PER_S 20 /* that a few connections surely carry */
#define BENCH_PART 20    /* this part of the limit is kept for the bench */
#define BENCH_WINDOWS 5  /* that long after it last asked */
#define CLAIM_MS 100     /* how late the bench may come for its turn */

/* -- The log of a window -------------------------------------------------------------------------------- */

static int64_t bin_width(const struct dps_budget *budget)
{
	return (budget->window_ms + DPS_BUDGET_BINS - 2) / (DPS_BUDGET_BINS - 1);
}

static struct dps_budget_bin *bin_at(struct dps_budget *budget, int64_t number)
{
	return &budget->bins[number % DPS_BUDGET_BINS];
}

static bool is_logged(const struct dps_budget *budget, int64_t number)
{
	return number > budget->newest - DPS_BUDGET_BINS && number <= budget->newest;
}

/* A clock that went back (a restored machine) leaves moments that never come: begin anew. */
static void advance(struct dps_budget *budget, int64_t now_ms)
{
	int64_t now_bin = now_ms / bin_width(budget);

	if (now_bin < budget->newest || now_ms < budget->refused_ms || now_ms < budget->grown_ms) {
		dps_budget_init(budget, budget->quota, budget->window_ms, now_ms);
		return;
	}
	if (now_bin - budget->newest > DPS_BUDGET_BINS)
		budget->newest = now_bin - DPS_BUDGET_BINS;
	while (budget->newest < now_bin)
		*bin_at(budget, ++budget->newest) = (struct dps_budget_bin){ 0 };
}

static int64_t cost_of(const struct dps_budget *budget, const struct dps_budget_bin *bin)
{
	return budget->counts_items ? bin->items : bin->calls;
}

static struct dps_budget_bin sum(const struct dps_budget *budget)
{
	struct dps_budget_bin total = { 0 };

	for (size_t i = 0; i < DPS_BUDGET_BINS; i++) {
		total.calls += budget->bins[i].calls;
		total.items += budget->bins[i].items;
	}
	return total;
}

static void add(struct dps_budget *budget, int64_t number, uint32_t items)
{
	bin_at(budget, number)->calls++;
	bin_at(budget, number)->items += items;
}

static void remove_ticket(struct dps_budget *budget, const struct dps_budget_ticket *ticket)
{
	struct dps_budget_bin *bin = bin_at(budget, ticket->bin);

	/* Not there: gone by, or the budget began anew meanwhile. */
	if (!is_logged(budget, ticket->bin) || bin->calls == 0 || bin->items < ticket->items)
		return;
	bin->calls--;
	bin->items -= ticket->items;
}

/* When so much of the log has gone by that `surplus` fits. */
static int64_t until_room(struct dps_budget *budget, int64_t surplus, int64_t now_ms)
{
	int64_t width = bin_width(budget), number = budget->newest - DPS_BUDGET_BINS + 1;
	int64_t leaves_ms;

	if (number < 0)
		number = 0;
	for (; number < budget->newest; number++) {
		surplus -= cost_of(budget, bin_at(budget, number));
		if (surplus <= 0)
			break;
	}
	leaves_ms = (number + DPS_BUDGET_BINS) * width;
	return leaves_ms > now_ms ? leaves_ms - now_ms : 1;
}

/* -- Taking ---------------------------------------------------------------------------------------------- */

static int64_t retries_max(const struct dps_budget *budget)
{
	int64_t tenth = budget->quota / 10;

	return 1000 * (tenth > RETRIES_MIN ? tenth : RETRIES_MIN);
}

void dps_budget_init(struct dps_budget *budget, int64_t quota, int64_t window_ms, int64_t now_ms)
{
	assert(quota >= 1 && quota <= DPS_BUDGET_QUOTA_MAX && window_ms >= 1 && now_ms >= 0);
	*budget = (struct dps_budget){
		.quota = quota,
		.window_ms = window_ms,
		.limit_milli = quota * 1000,
		.grown_ms = now_ms,
	};
	budget->newest = now_ms / bin_width(budget);
	budget->retries_milli = retries_max(budget);
}

/* Additive increase, by the time since the last change. */
static void grow(struct dps_budget *budget, int64_t now_ms)
{
	int64_t passed_ms = now_ms - budget->grown_ms;
	int64_t most = budget->quota * 1000, gain;

	if (budget->limit_milli >= most) {
		budget->is_even = false;
		return;
	}
	if (passed_ms > GROWTH_PARTS * budget->window_ms)
		passed_ms = GROWTH_PARTS * budget->window_ms;
	gain = most * passed_ms / (GROWTH_PARTS * budget->window_ms);
	if (gain == 0)
		return;
	budget->limit_milli += gain;
	budget->grown_ms = now_ms;
	if (budget->limit_milli > most)
		budget->limit_milli = most;
}

static void doubt(struct dps_budget *budget, int64_t now_ms)
{
	if (budget->counts_items &&
	    now_ms - budget->learned_ms >= ITEMS_BELIEVED * budget->window_ms)
		budget->counts_items = false;
}

static int64_t limit_of(const struct dps_budget *budget, enum dps_budget_rank rank, int64_t now_ms)
{
	int64_t limit = budget->limit_milli / 1000;
	bool is_shared = rank == DPS_BUDGET_BACKLOG && budget->bench_until_ms > now_ms;

	return is_shared ? limit - limit / BENCH_PART : limit;
}

/* 0: now. */
static int64_t until_turn(struct dps_budget *budget, const struct dps_budget_bin *wanted,
			  enum dps_budget_rank rank, int64_t now_ms)
{
	struct dps_budget_bin used = sum(budget);
	int64_t surplus =
		cost_of(budget, &used) + cost_of(budget, wanted) - limit_of(budget, rank, now_ms);

	if (budget->open_ms > now_ms)
		return budget->open_ms - now_ms;
	if (rank == DPS_BUDGET_BACKLOG && budget->claimed_ms > now_ms)
		return budget->claimed_ms - now_ms;
	if (budget->is_even && budget->next_ms > now_ms)
		return budget->next_ms - now_ms;
	return surplus > 0 && used.calls > 0 ? until_room(budget, surplus, now_ms) : 0;
}

/* What has to wait has the next turn. */
static void note_bench(struct dps_budget *budget, int64_t wait_ms, int64_t now_ms)
{
	budget->bench_until_ms = now_ms + BENCH_WINDOWS * budget->window_ms;
	budget->claimed_ms = wait_ms > 0 ? now_ms + wait_ms + CLAIM_MS : now_ms;
}

int64_t dps_budget_take(struct dps_budget *budget, uint32_t items, enum dps_budget_rank rank,
			int64_t now_ms, struct dps_budget_ticket *ret_ticket)
{
	struct dps_budget_bin wanted = { 1, items };
	int64_t wait_ms;

	advance(budget, now_ms);
	grow(budget, now_ms);
	doubt(budget, now_ms);
	wait_ms = until_turn(budget, &wanted, rank, now_ms);
	if (rank == DPS_BUDGET_BENCH)
		note_bench(budget, wait_ms, now_ms);
	if (wait_ms > 0)
		return wait_ms;
	add(budget, budget->newest, items);
	budget->next_ms =
		now_ms + cost_of(budget, &wanted) * budget->window_ms * 1000 / budget->limit_milli;
	*ret_ticket = (struct dps_budget_ticket){ budget->newest, now_ms, items, 0 };
	return 0;
}

/* -- Learning -------------------------------------------------------------------------------------------- */

/* The quota would be used up if bulks were charged by their items, and is not if they are one operation each. The one that
 * was refused is asked about, too: all before it may have been single. */
static bool items_explain_it(const struct dps_budget *budget, uint32_t items)
{
	struct dps_budget_bin used = sum(budget);

	return !budget->counts_items && used.items + items > used.calls + 1 &&
	       (int64_t)used.items + items > budget->limit_milli / 1000;
}

bool dps_budget_favours_singles(const struct dps_budget *budget)
{
	return budget->counts_items && budget->limit_milli <= SINGLES_PER_S * budget->window_ms;
}

/* Others use the same quota, or it is smaller than we were told. */
static void halve(struct dps_budget *budget, int64_t now_ms)
{
	budget->limit_milli /= 2;
	if (budget->limit_milli < 1000)
		budget->limit_milli = 1000;
	budget->grown_ms = now_ms;
	budget->is_even = true;
}

static int64_t wait_after_refusal(const struct dps_budget *budget, int64_t retry_after_ms,
				  uint64_t random)
{
	uint32_t steps =
		budget->refusals < BACKOFF_STEPS_MAX ? budget->refusals : BACKOFF_STEPS_MAX;
	int64_t spread = budget->window_ms / 60;

	if (retry_after_ms < 0)
		return dps_retry_wait_ms(steps, -1, random);
	if (retry_after_ms > DPS_RETRY_AFTER_CAP_MS)
		retry_after_ms = DPS_RETRY_AFTER_CAP_MS;
	if (spread > SPREAD_MAX_MS)
		spread = SPREAD_MAX_MS;
	return retry_after_ms + (int64_t)(random % (uint64_t)(spread + 1));
}

static void take_refusal(struct dps_budget *budget, const struct dps_budget_ticket *ticket,
			 uint32_t items, int64_t retry_after_ms, int64_t now_ms, uint64_t random)
{
	int64_t open_ms;

	/* Those that were under way together are one refusal. */
	if (budget->refused_ms == 0 || ticket->taken_ms > budget->refused_ms) {
		budget->refusals++;
		budget->refused_ms = now_ms;
		if (items_explain_it(budget, items)) {
			budget->counts_items = true;
			budget->learned_ms = now_ms;
		} else {
			halve(budget, now_ms);
		}
	}
	open_ms = now_ms + wait_after_refusal(budget, retry_after_ms, random);
	if (open_ms > budget->open_ms)
		budget->open_ms = open_ms;
}

/* It is counted where it would be counted now. */
bool dps_budget_is_settled(const struct dps_budget *budget, const struct dps_budget_ticket *ticket,
			   int64_t now_ms)
{
	return ticket->refused == 0 && ticket->bin == now_ms / bin_width(budget) &&
	       budget->refusals == 0 && budget->retries_milli == retries_max(budget);
}

void dps_budget_answer(struct dps_budget *budget, const struct dps_budget_ticket *ticket,
		       enum dps_budget_fate fate, int64_t retry_after_ms, int64_t now_ms,
		       uint64_t random)
{
	advance(budget, now_ms);
	remove_ticket(budget, ticket);
	if (fate == DPS_BUDGET_REFUSED)
		take_refusal(budget, ticket, ticket->items, retry_after_ms, now_ms, random);
	if (fate != DPS_BUDGET_TAKEN)
		return;
	/* It was counted there at some moment up to now. */
	add(budget, budget->newest, ticket->items - ticket->refused);
	if (ticket->refused > 0) {
		take_refusal(budget, ticket, ticket->refused, retry_after_ms, now_ms, random);
		return;
	}
	budget->refusals = 0;
	budget->retries_milli += RETRY_GAIN_MILLI;
	if (budget->retries_milli > retries_max(budget))
		budget->retries_milli = retries_max(budget);
}

bool dps_budget_retry(struct dps_budget *budget)
{
	if (budget->retries_milli < 1000)
		return false;
	budget->retries_milli -= 1000;
	return true;
}
