#include "retire-past.h"

#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "life.h"
#include "muster/json.h"

void retire_past_done(struct retire_past *past)
{
	cJSON_Delete(past->evidence);
	cJSON_Delete(past->life.evidence);
	free(past->begun_etag);
	free(past->kept_etag);
}

bool retire_copy_etag(char **target, const cJSON *from, struct muster_error *err)
{
	const char *etag = json_text(from, "etag");

	free(*target);
	*target = etag ? strdup(etag) : NULL;
	return !etag || *target || muster_fail_memory(err);
}

/* -- Ends -------------------------------------------------------------------------------------------------------------- */

/* One that came back in vain has ended again. */
static bool has_ended(const struct journal_device *device)
{
	return device->state == JOURNAL_RETIRED || device->state == JOURNAL_FAILED;
}

bool retire_past_is_over(const struct retire_past *past)
{
	return past->device->state == JOURNAL_RETIRED && !past->is_kept && !past->is_left;
}

/* So that an enrollment may be there. */
static bool was_sent(const struct retire_life *life)
{
	const struct service_place *place = service_place(&life->sendings);

	return life->evidence || place->host[0] || place->is_unknown;
}

/* What is retired is what this life has enrolled. */
static void take_life(struct retire_past *past)
{
	cJSON_Delete(past->evidence);
	past->evidence = TAKE_PTR(past->life.evidence);
	past->place = *service_place(&past->life.sendings);
}

/* Of one that is retired the last outcome says what became of its enrollment. */
static bool take_outcome(struct retire_past *past, const cJSON *body, struct muster_error *err)
{
	const char *word = json_text(body, "enrollment");

	past->is_kept = has_ended(past->device) && word && strcmp(word, "disabled") == 0;
	past->is_left = has_ended(past->device) && word && strcmp(word, "elsewhere") == 0;
	if (has_ended(past->device) && was_sent(&past->life))
		take_life(past);
	return retire_copy_etag(&past->kept_etag, past->is_kept ? body : NULL, err);
}

/* A person gave it up, and what it has at the service was not asked for. One that was never sent has nothing there, but what a life
 * before it has left, or had kept, is there still. */
static void take_decision(struct retire_past *past, const cJSON *body)
{
	const char *word = json_text(body, "resolved");

	if (!has_ended(past->device) || !was_sent(&past->life) || !word ||
	    strcmp(word, journal_state_name(JOURNAL_RETIRED)) != 0)
		return;
	past->is_left = true;
	memcpy(past->left_attempt, service_place(&past->life.sendings)->attempt,
	       sizeof(past->left_attempt));
	if (!past->is_kept)
		take_life(past);
}

static bool take_end(struct retire_past *past, const struct journal_entry *entry, const cJSON *body,
		     struct muster_error *err)
{
	past->is_begun = false;
	past->was_sent |= was_sent(&past->life);
	if (strcmp(entry->stage, RETIRE_STAGE) != 0)
		take_decision(past, body);
	else if (!take_outcome(past, body, err))
		return false;
	cJSON_Delete(TAKE_PTR(past->life.evidence));
	return true;
}

/* -- Reading ------------------------------------------------------------------------------------------------------------- */

static bool take_intent(struct retire_past *past, const cJSON *body, struct muster_error *err)
{
	const char *host = json_text(body, "host"), *effect = json_text(body, "effect");

	if (!host || strcmp(host, past->host) != 0)
		return true;
	past->is_begun = true;
	past->begun_keeps = effect && strcmp(effect, "disable") == 0;
	return retire_copy_etag(&past->begun_etag, body, err);
}

/* What was begun before it was about another version. */
static bool take_release(struct retire_past *past, const cJSON *body, struct muster_error *err)
{
	const char *text = json_text(body, "evidence");

	if (!text)
		return true;
	past->is_begun = false;
	cJSON_Delete(TAKE_PTR(past->life.evidence));
	return json_parse(text, strlen(text), "the evidence", &past->life.evidence, err);
}

static bool take_entry(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	struct retire_past *past = context;

	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	if (life_ends(entry, body) && !take_end(past, entry, body, err))
		return false;
	if (strcmp(entry->stage, RETIRE_STAGE) == 0 && entry->kind == JOURNAL_INTENT &&
	    !take_intent(past, body, err))
		return false;
	if (strcmp(entry->stage, stage_name(STAGE_RELEASE)) == 0 &&
	    entry->kind == JOURNAL_OUTCOME && !take_release(past, body, err))
		return false;
	return service_sendings_follow(&past->life.sendings, entry, body, err);
}

bool retire_past_read(struct journal *journal, struct retire_past *past, struct muster_error *err)
{
	if (!journal_entries_all(journal, past->device->registration_id, take_entry, past, err))
		return false;
	if (!has_ended(past->device))
		take_life(past);
	return true;
}
