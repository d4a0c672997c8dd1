#include "park.h"

#include <string.h>

#include "brake.h"
#include "expiry.h"
#include "kept-profile.h"
#include "known.h"
#include "life.h"
#include "muster/json.h"
#include "muster/log.h"
#include "names.h"
#include "steps.h"
#include "terms.h"

static bool counts(const char *stage, int64_t cause)
{
	const struct muster_cause_info *info;

	if (strcmp(stage, stage_name(STAGE_IDENTIFY)) == 0)
		return false;
	info = muster_cause_find((enum muster_cause)cause);
	switch (info ? info->code : MUSTER_E_INTERNAL) {
	case MUSTER_E_UNIT:
	case MUSTER_E_CONFLICT:
	case MUSTER_E_UNKNOWN:
		return cause != CAUSE_INTERRUPTED;
	case MUSTER_E_AGAIN:
		return !brake_is_general((enum muster_cause)cause);
	default:
		return false;
	}
}

int64_t park_count(int64_t failures, const struct journal_entry *entry, const cJSON *body)
{
	int64_t cause;

	if (json_get(body, "released") || json_get(body, "retry") || life_ends(entry, body))
		return 0;
	return failures + (entry->kind == JOURNAL_OUTCOME && json_int64(body, "cause", &cause) &&
			   counts(entry->stage, cause));
}

/* What its key, its chip or the service says of it. */
static bool is_own(int64_t cause)
{
	const struct muster_cause_info *info = muster_cause_find((enum muster_cause)cause);

	switch (cause) {
	case CAUSE_INTERRUPTED:
		return false;
	case CAUSE_CLOUD_UNAUTHORIZED:
	case CAUSE_CLOUD_FORBIDDEN:
	case CAUSE_TPM_COMMAND_FAILED:
	case CAUSE_HSM_COMMAND_FAILED:
		return true;
	default:
		return info && info->code == MUSTER_E_UNIT;
	}
}

bool park_is_unfit(bool is_unfit, const struct journal_entry *entry, const cJSON *body)
{
	const char *step = json_text(body, "step");
	int64_t cause;

	if (life_ends(entry, body))
		return false;
	if (entry->kind != JOURNAL_OUTCOME || strcmp(entry->stage, stage_name(STAGE_VERIFY)) != 0)
		return is_unfit;
	/* The record is deleted when it has registered. */
	if (json_bool(body, "verified", false) || (step && strcmp(step, "delete-record") == 0))
		return false;
	return is_unfit || (json_int64(body, "cause", &cause) && is_own(cause));
}

/* The same again would end the same. */
static bool is_final(const struct job *job)
{
	if (job->failure.cause == CAUSE_INTERRUPTED)
		return false;
	switch (job->failure.code) {
	case MUSTER_E_UNIT:
	case MUSTER_E_USAGE:
	case MUSTER_E_CONFLICT:
		return true;
	default:
		return false;
	}
}

/* A failure that does not count makes none, and leaves one as it is. */
static bool is_used_up(const struct job *job, enum stage stage)
{
	bool does_count = counts(stage_name(stage), job->failure.cause);

	return (does_count || job->device.state == JOURNAL_DEAD) &&
	       job->failures + does_count >= job->run->profile.retry_budget;
}

static bool waits_for_network(const struct job *job)
{
	return job->failure.code == MUSTER_E_AGAIN && job->enrollment &&
	       job->failure.cause != CAUSE_INTERRUPTED;
}

static enum journal_state state_after(const struct job *job, enum stage stage)
{
	if (is_used_up(job, stage))
		return JOURNAL_DEAD;
	/* Nothing of ours can exist at the service. Where the device is here it begins again; else it goes on waiting. */
	if (!job->may_exist && !job->spooled && !waits_for_network(job))
		return !job_is_absent(job) ? JOURNAL_FAILED
		       : is_final(job)     ? JOURNAL_DEAD
					   : JOURNAL_PARKED;
	if ((job->spooled && !job->may_exist && is_final(job)) ||
	    expiry_is_cause(job->failure.cause))
		return JOURNAL_DEAD;
	return job->may_exist || !job->spooled ? JOURNAL_PARKED : JOURNAL_SPOOLED;
}

static void note_state(struct job *job, enum journal_state state)
{
	job->goes_on =
		state == JOURNAL_PARKED || state == JOURNAL_SPOOLED || state == JOURNAL_WORKING;
	job->is_dead = state == JOURNAL_DEAD;
}

bool park_look(struct job *job, struct muster_error *err)
{
	const struct station_device device = { .serial = job->serial,
					       .registration_id = job->given_registration_id };
	struct known_claim claim = { .serial = job->serial,
				     .registration_id = job->registration_id };
	CLEANUP(names_done) struct names names = { 0 };
	enum journal_state state;
	struct muster_error unnamed;
	bool is_found;

	/* A TPM that could not be asked may have one by its EK alone. */
	if (!claim.registration_id &&
	    names_make(&job->run->profile, &device, NULL, &names, &unnamed))
		claim.registration_id = names.registration_id;
	if (!known_look(job->run->journal, &claim, &state, &is_found, err))
		return false;
	if (is_found)
		note_state(job, state);
	return true;
}

bool park_device(struct job *job, enum stage stage, struct muster_error *err)
{
	enum journal_state state = state_after(job, stage);
	struct muster_error unkept;
	/* A device with derived keys can go on without being here. */
	bool can_be_absent =
		state != JOURNAL_FAILED && attest_derive_applies(job) && !job_is_absent(job);

	if (can_be_absent &&
	    !kept_profile_keep(job->run->journal_path, &job->run->profile, &unkept))
		log_warning("%s, going on", unkept.message);
	if (can_be_absent && !job->spooled && !terms_record(job, stage, err))
		return false;
	note_state(job, state);
	return job_put_row(job, state, stage, job->failure.cause, err);
}
