#include "muster/station.h"

#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "known.h"
#include "watch.h"

#include "muster/json.h"
#include "muster/log.h"
#include "steps.h"

void station_result_done(struct station_result *result)
{
	free(result->device);
	free(result->serial);
	free(result->socket);
	free(result->registration_id);
	free(result->device_id);
	free(result->attestation);
	free(result->hub);
	free(result->state);
	free(result->evidence_path);
	free(result->key_file);
	cJSON_Delete(result->plan);
	*result = (struct station_result){ 0 };
}

int station_signal(void)
{
	return loop_signal();
}

static bool copy(char **target, const char *value)
{
	*target = value ? strdup(value) : NULL;
	return !value || *target;
}

static const char *state_of(const struct job *job)
{
	if (job->failure.code != MUSTER_OK)
		return "failed";
	if (job_is_dry(job))
		return job->found || job_was_enrolled(job) ? "already enrolled" : "planned";
	if (spool_applies(job))
		return "spooled";
	return job_was_enrolled(job) || !job->created ? "already enrolled" : "enrolled";
}

static bool plan_endorsement_key(struct station_result *result, struct muster_error *err)
{
	result->plan = cJSON_CreateObject();
	return (result->plan && json_add_text(result->plan, "endorsementKey",
					      "would be made by TCG template L-1 and persisted at "
					      "0x81010001, and the registration ID with it")) ||
	       muster_fail_memory(err);
}

/* What would be sent, with keys masked. */
static bool fill_plan(struct job *job, struct station_result *result, struct muster_error *err)
{
	if (!job_is_dry(job) || job->failure.code != MUSTER_OK)
		return true;
	if (job->run->needs_tpm && !job->has_ek)
		return plan_endorsement_key(result, err);
	if (!job->enrollment)
		return true;
	result->plan = cJSON_Duplicate(job->enrollment, true);
	if (!result->plan)
		return muster_fail_memory(err);
	json_sort(result->plan);
	return dps_document_redact(result->plan, err);
}

/* Rows of before that was written down have a hub when the device registered. */
static bool is_verified(const struct job *job)
{
	const char *verification = job->device.verification;

	if (!job->was_released)
		return job->verified;
	return verification ? strcmp(verification, JOURNAL_VERIFIED) == 0 : job->hub != NULL;
}

static bool fill_result(struct job *job, struct station_result *result, struct muster_error *err)
{
	bool is_good = job->failure.code == MUSTER_OK;
	const char *name = job->serial            ? job->serial
			   : job->registration_id ? job->registration_id
						  : job->socket;

	result->failure = job->failure;
	/* Whoever only looks at the exit status must not take it for enrolled. */
	if (is_good && spool_applies(job))
		muster_fail(&result->failure, CAUSE_DEVICE_SPOOLED,
			    "device '%s' is ready and waits to be sent",
			    PRINTABLE(job->registration_id));
	result->is_parked = job_is_parked(job);
	result->verified = is_good && is_verified(job);
	result->seconds = (double)(clock_now_ms() - job->started_ms) / 1000;
	if (!copy(&result->device, name) || !copy(&result->serial, job->serial) ||
	    !copy(&result->socket, job->socket) ||
	    !copy(&result->registration_id, job->registration_id) ||
	    !copy(&result->device_id, job->device_id ? job->device_id : job->registration_id) ||
	    !copy(&result->attestation, profile_attestation_word(job->run->profile.attestation)) ||
	    !copy(&result->hub, job->hub) || !copy(&result->state, state_of(job)) ||
	    !copy(&result->evidence_path, job_is_dry(job) ? NULL : job->evidence_path) ||
	    !copy(&result->key_file, job->key_file))
		return muster_fail_memory(err);
	return known_state(job->run->journal, job->registration_id, &result->journal_state, err) &&
	       fill_plan(job, result, err);
}

bool job_result(struct job *job, struct station_result *ret_result, struct muster_error *err)
{
	CLEANUP(station_result_done) struct station_result result = { 0 };

	if (!fill_result(job, &result, err))
		return false;
	*ret_result = result;
	result = (struct station_result){ 0 };
	return true;
}

/* -- The devices of a request -------------------------------------------------------------------------------- */

struct list_feed {
	struct feed feed; /* first */
	const struct station_request *request;
	size_t next;
};

static enum feed_state next_of_list(struct feed *feed, struct station_device *ret_device)
{
	struct list_feed *list = (struct list_feed *)(void *)feed;

	if (list->next == list->request->device_count)
		return FEED_OVER;
	*ret_device = list->request->devices[list->next++];
	return FEED_DEVICE;
}

static bool provision_plugged(struct run *run, struct muster_error *err)
{
	CLEANUP(watch_done) struct watch watch = { .serials.fd = -1 };

	if (!watch_open(&watch, run, err))
		return false;
	if (!loop_run(run, &watch.feed, err)) {
		if (run->is_untold)
			watch_tell_rest(&watch);
		return false;
	}
	watch_tell_rest(&watch);
	*err = watch.failure;
	return watch.failure.code == MUSTER_OK;
}

static bool provision_batch(struct run *run, struct muster_error *err)
{
	struct muster_error untold;

	if (!batch_pin(run->batch, err))
		return false;
	if (loop_run(run, &run->batch->feed, err))
		return batch_end(run->batch, err);
	if (run->is_untold)
		muster_error_prefix(err, "stopped after %zu of %zu rows", run->batch->figures.ended,
				    run->batch->figures.rows);
	/* A journal that takes no more is no reason to keep quiet about what ended before; and where nobody hears that, the journal may
	 * be the one to know that nothing is left. */
	if (run->is_untold ? !batch_end(run->batch, &untold)
			   : !batch_tell(run->batch, true, &untold))
		log_info("%s", untold.message);
	return false;
}

bool station_provision(const struct station_request *request, struct profile_report *report,
		       struct muster_error *err)
{
	CLEANUP(run_done)
	struct run run = { .way = request->offline ? RUN_OFFLINE : RUN_WHOLE };
	struct list_feed feed = { { .next = next_of_list }, request, 0 };

	if (!run_prepare(&run, request, report, err))
		return false;
	if (request->watch)
		return provision_plugged(&run, err);
	return request->batch ? provision_batch(&run, err) : loop_run(&run, &feed.feed, err);
}
