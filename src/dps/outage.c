#include "muster/dps-outage.h"

#include "muster/dps.h"

#define TOLD_AFTER 3
#define PROBE_MS (HTTP_DEADLINE_MS + 1000)

bool dps_outage_explains(const struct http_answer *answer)
{
	return answer->outcome != HTTP_ANSWERED || answer->status == 408 || answer->status >= 500;
}

static int64_t patience_of(const struct dps_outage *outage)
{
	bool is_spent = outage->beside && outage->beside->is_given_up;

	return outage->was_well && !is_spent ? outage->patience_ms : 0;
}

static void tell(struct dps_outage *outage, bool is_over, int64_t now_ms)
{
	const struct dps_outage_news news = {
		.what = outage->what,
		.is_over = is_over,
		.away_ms = now_ms - outage->since_ms,
		.patience_ms = outage->patience_ms,
		.why = outage->why,
	};

	outage->is_told = !is_over;
	if (outage->tell)
		outage->tell(outage->context, &news);
}

void dps_outage_well(struct dps_outage *outage, int64_t now_ms)
{
	outage->was_well = true;
	if (outage->troubles == 0)
		return;
	if (outage->is_told)
		tell(outage, true, now_ms);
	outage->away_ms += now_ms - outage->since_ms;
	outage->troubles = 0;
	outage->is_given_up = false;
	outage->waited_ms = 0;
	outage->resume_ms = 0;
}

/* A machine that slept did not wait: it is asked once more before patience is at its end. */
static void note_time(struct dps_outage *outage, int64_t now_ms)
{
	int64_t passed_ms = now_ms - outage->troubled_ms;
	int64_t most_ms = outage->resume_ms - outage->troubled_ms + PROBE_MS;

	if (outage->troubles == 0)
		outage->since_ms = now_ms;
	else
		outage->waited_ms += passed_ms < most_ms ? passed_ms : most_ms;
	outage->troubled_ms = now_ms;
	outage->troubles++;
}

/* Never in the same instant: what is asked then would look like a part of the same trouble. */
static void set_pause(struct dps_outage *outage, int64_t retry_after_ms, uint64_t random)
{
	int64_t wait_ms = dps_backoff_ms(outage->troubles, retry_after_ms, random);

	outage->resume_ms = outage->troubled_ms + (wait_ms > 0 ? wait_ms : 1);
}

static void keep_reason(struct dps_outage *outage, const struct http_answer *answer)
{
	if (answer->outcome == HTTP_ANSWERED)
		dps_answer_fail(answer, "asking it", &outage->why);
	else
		outage->why = answer->error;
}

bool dps_outage_trouble(struct dps_outage *outage, const struct http_answer *answer,
			int64_t started_ms, int64_t now_ms, uint64_t random)
{
	int64_t patience_ms = patience_of(outage);

	if (outage->troubles == 0 || started_ms > outage->troubled_ms) {
		note_time(outage, now_ms);
		set_pause(outage, answer->retry_after_ms, random);
		keep_reason(outage, answer);
	}
	outage->is_given_up =
		outage->troubles >= DPS_RETRY_ATTEMPTS && outage->waited_ms >= patience_ms;
	if (patience_ms > 0 && outage->troubles >= TOLD_AFTER && !outage->is_told &&
	    !outage->is_given_up)
		tell(outage, false, now_ms);
	return !outage->is_given_up;
}

bool dps_outage_is_patient(const struct dps_outage *outage)
{
	return patience_of(outage) > 0;
}

bool dps_outage_may_be(const struct dps_outage *outage, const struct muster_error *failure)
{
	return dps_outage_is_patient(outage) && (failure->cause == CAUSE_CLOUD_UNREACHABLE ||
						 failure->cause == CAUSE_CLOUD_SERVER_ERROR ||
						 failure->cause == CAUSE_CLOUD_THROTTLED);
}

bool dps_outage_is_troubled(const struct dps_outage *outage)
{
	return outage->troubles > 0;
}

bool dps_outage_is_on(const struct dps_outage *outage)
{
	return outage->is_told;
}

int64_t dps_outage_wait_ms(const struct dps_outage *outage, int64_t now_ms)
{
	int64_t until_ms =
		outage->resume_ms > outage->probed_ms ? outage->resume_ms : outage->probed_ms;

	return until_ms > now_ms && !outage->is_given_up ? until_ms - now_ms : 0;
}

void dps_outage_ask(struct dps_outage *outage, int64_t now_ms)
{
	if (outage->troubles > 0)
		outage->probed_ms = now_ms + PROBE_MS;
}

void dps_outage_answered(struct dps_outage *outage)
{
	outage->probed_ms = 0;
}

int64_t dps_outage_clock_ms(const struct dps_outage *outage, int64_t now_ms)
{
	int64_t away_ms = outage->troubles > 0 ? now_ms - outage->since_ms : 0;

	return now_ms - outage->away_ms - away_ms;
}
