#include "batch.h"

#include <string.h>

#include "muster/text.h"
#include "steps.h"

enum { TELL_EVERY_MS = 1000, PACE_OVER_MS = 10000 };

const char *station_bound_name(enum station_bound bound)
{
	static const char *const names[] = {
		"operator", "TPM", "HSM", "DPS operations", "DPS registrations", "station", "uplink"
	};

	return names[bound];
}

/* -- Devices that ended ------------------------------------------------------------------------------------------ */

static void note_stages(struct station_figures *figures, const struct job *job)
{
	for (size_t i = 0; i < STATION_STAGES; i++) {
		int64_t spent_ms = job->stage_ms[i];

		figures->stages[i].name = stage_name((enum stage)i);
		if (spent_ms < 0)
			continue;
		figures->stages[i].count++;
		figures->stages[i].sum_ms += spent_ms;
		if (spent_ms > figures->stages[i].max_ms)
			figures->stages[i].max_ms = spent_ms;
	}
}

static void note_reason(struct station_figures *figures, const struct job *job)
{
	struct station_reason *reason = figures->reasons;
	size_t count = figures->reason_count;

	while (count > 0 && reason->cause != job->failure.cause) {
		reason++;
		count--;
	}
	if (count == 0) {
		const char *name = job_name(job);

		if (figures->reason_count == STATION_REASONS_MAX)
			return;
		figures->reason_count++;
		reason->cause = job->failure.cause;
		text_printable(reason->device, sizeof(reason->device), name ? name : "");
		snprintf(reason->message, sizeof(reason->message), "%.*s",
			 (int)sizeof(reason->message) - 1, job->failure.message);
	}
	reason->count++;
}

static void note_success(struct station_figures *figures, const struct job *job)
{
	if (job_was_enrolled(job) && !spool_applies(job)) {
		figures->before++;
		figures->verified += job->verified && !job->was_released;
		return;
	}
	if (job_is_dry(job)) {
		figures->adopted += job->found != NULL;
		figures->planned += job->found == NULL;
		return;
	}
	if (job_is_offline(job))
		figures->spooled++;
	else if (job->created)
		figures->enrolled++;
	else
		figures->adopted++;
	figures->first_pass += job->attempt == 1;
	figures->verified += job->verified;
}

/* An enrollment of ours may exist, it failed for want of something that will be there again, or a person has to look. */
static bool stays_open(const struct job *job)
{
	return job_is_parked(job) || job->is_dead || job->may_exist || job->was_released ||
	       job->failure.code == MUSTER_E_AGAIN || job->failure.code == MUSTER_E_UNKNOWN;
}

void batch_note_end(struct batch *batch, const struct job *job)
{
	struct station_figures *figures = &batch->figures;

	figures->ended++;
	note_stages(figures, job);
	if (job->failure.code == MUSTER_OK) {
		note_success(figures, job);
		return;
	}
	batch->left_open += stays_open(job);
	if (job_is_parked(job))
		figures->parked++;
	else
		figures->failed++;
	note_reason(figures, job);
}

/* -- Time -------------------------------------------------------------------------------------------------------- */

static enum station_bound bound_of(const struct job *job)
{
	bool is_device = job->stage == STAGE_VERIFY;
	const struct dps_outage *outage = job_outage(job);

	if (outage && dps_outage_is_on(outage))
		return STATION_BOUND_UPLINK;
	switch (job->operation) {
	case OPERATION_WORKER:
		return job->asked == job->tpm ? STATION_BOUND_TPM : STATION_BOUND_HSM;
	case OPERATION_HTTP:
	case OPERATION_TIMER:
	case OPERATION_TURN:
		return is_device ? STATION_BOUND_REGISTRATIONS : STATION_BOUND_OPERATIONS;
	case OPERATION_SENDER:
		return STATION_BOUND_OPERATIONS;
	case OPERATION_NONE:
		break;
	}
	return STATION_BOUND_STATION;
}

void batch_note_time(struct batch *batch, struct job *const *jobs, size_t count, int64_t waited_ms,
		     int64_t worked_ms)
{
	int64_t *bound_ms = batch->figures.bound_ms;

	for (size_t i = 0; i < count; i++)
		bound_ms[bound_of(jobs[i])] += waited_ms;
	bound_ms[STATION_BOUND_STATION] += worked_ms * (int64_t)count;
	if (count == 0)
		bound_ms[STATION_BOUND_OPERATOR] += waited_ms;
}

/* -- Telling ----------------------------------------------------------------------------------------------------- */

static bool is_cut_off(const struct run *run)
{
	return dps_outage_is_on(&run->outages[API_SERVICE]) ||
	       dps_outage_is_on(&run->outages[API_DEVICES]);
}

static void reckon(struct batch *batch, int64_t now)
{
	struct station_figures *figures = &batch->figures;
	int64_t span = now - batch->paced_ms;

	figures->seconds = (double)(now - batch->started_ms) / 1000;
	if (span > 0)
		figures->rate = (double)(figures->ended - batch->paced_ended) * 1000 / (double)span;
	if (span >= PACE_OVER_MS) {
		batch->paced_ms = now;
		batch->paced_ended = figures->ended;
	}
	figures->seconds_left =
		figures->rate > 0
			? (int64_t)((double)(figures->rows - figures->ended) / figures->rate)
			: -1;
	for (size_t i = 0; i < STATION_BOUND_COUNT; i++)
		if (figures->bound_ms[i] > figures->bound_ms[figures->bound])
			figures->bound = (enum station_bound)i;
	if (is_cut_off(batch->run))
		figures->bound = STATION_BOUND_UPLINK;
}

bool batch_tell(struct batch *batch, bool is_end, struct muster_error *err)
{
	const struct station_batch *request = batch->run->request->batch;
	int64_t now = clock_now_ms();

	if (!is_end && now - batch->told_ms < TELL_EVERY_MS)
		return true;
	batch->told_ms = now;
	reckon(batch, now);
	return request->figures(request->context, &batch->figures, is_end, err);
}

int64_t batch_next_ms(const struct batch *batch)
{
	return batch->told_ms + TELL_EVERY_MS;
}
