#include "terms.h"

#include <string.h>

#include "kept-profile.h"
#include "life.h"
#include "muster/clock.h"
#include "muster/json.h"

bool terms_add(const struct job *job, cJSON *object)
{
	const cJSON *approval = job->run->approval;

	return (!approval || json_add_item(object, "approval", cJSON_Duplicate(approval, true))) &&
	       (!job->skips_verification || json_add_bool(object, "verify", false));
}

bool terms_follow(cJSON **terms, const struct journal_entry *entry, cJSON *body)
{
	cJSON *said = cJSON_DetachItemFromObjectCaseSensitive(body, "terms");
	char at[RFC3339_SIZE];

	if (said || json_get(body, "spooled") || life_ends(entry, body)) {
		cJSON_Delete(*terms);
		*terms = said;
	}
	return !said || json_add_text(said, "at", rfc3339_format(at, entry->at_ms));
}

const cJSON *terms_of(const struct job *job)
{
	return job->terms ? job->terms : job->spooled;
}

bool terms_go_by_copy(const struct job *job)
{
	const struct run *run = job->run;

	return strcmp(job->kept_name[0] ? job->kept_name : run->profile.digest, run->kept_name) ==
	       0;
}

/* None is worth an entry only where there were some. */
bool terms_record(struct job *job, enum stage stage, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	cJSON *terms = body ? cJSON_AddObjectToObject(body, "terms") : NULL;

	if (!terms || !terms_add(job, terms))
		return muster_fail_memory(err);
	if (!kept_profile_add(body, job->run->profile.digest, job->run->kept_name))
		return muster_fail_memory(err);
	return (!terms->child && !job->terms && terms_go_by_copy(job)) ||
	       job_record(job, JOURNAL_NOTE, stage, TAKE_PTR(body), err);
}
