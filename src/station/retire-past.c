#include "retire-past.h"

#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "life.h"
#include "muster/json.h"

static void end_done(struct retire_end *end)
{
	cJSON_Delete(end->evidence);
	free(end->kept_etag);
	free(end->etag);
}

void retire_past_done(struct retire_past *past)
{
	end_done(&past->end);
	for (size_t i = 0; i < past->other_count; i++)
		end_done(&past->others[i]);
	free(past->others);
	cJSON_Delete(past->life.evidence);
	free(past->begun_etag);
	free(past->row_etag);
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
	return past->device->state == JOURNAL_RETIRED && !past->end.is_kept && !past->end.is_left;
}

/* So that an enrollment may be there. */
static bool was_sent(const struct retire_life *life)
{
	const struct service_place *place = service_place(&life->sendings);

	return life->evidence || place->host[0] || place->is_unknown;
}

static bool is_outstanding(const struct retire_end *end)
{
	return end->is_left || end->is_kept;
}

/* NULL: none. */
static struct retire_end *find_other(const struct retire_past *past, const char *host)
{
	for (size_t i = 0; i < past->other_count; i++)
		if (service_is_same(past->others[i].place.host, host))
			return &past->others[i];
	return NULL;
}

static bool set_aside(struct retire_past *past, struct muster_error *err)
{
	size_t size = (past->other_count + 1) * sizeof(*past->others);
	struct retire_end *others = realloc(past->others, size);

	if (!others)
		return muster_fail_memory(err);
	past->end.is_former = true;
	others[past->other_count++] = past->end;
	past->others = others;
	past->end = (struct retire_end){ 0 };
	return true;
}

/* What a life before it has at another service is there still; what it had here is this one's now. */
static bool leave_for(struct retire_past *past, const char *host, struct muster_error *err)
{
	struct retire_end *other;

	if (!past->end.place.host[0] || !host[0] || service_is_same(past->end.place.host, host))
		return true;
	if (!set_aside(past, err))
		return false;
	other = find_other(past, host);
	if (other) {
		end_done(other);
		*other = past->others[--past->other_count];
	}
	return true;
}

/* What the last life has at another service, where it has anything, comes first. */
static void go_back_to(struct retire_past *past, const char *host)
{
	struct retire_end *other = find_other(past, host), last = past->end;

	if (!other || service_is_same(last.place.host, host) ||
	    (!is_outstanding(other) && is_outstanding(&last)))
		return;
	last.is_former = true;
	past->end = *other;
	*other = last;
}

/* What is retired is what this life has enrolled. */
static bool take_life(struct retire_past *past, struct muster_error *err)
{
	const struct service_place *place = service_place(&past->life.sendings);

	if (!leave_for(past, place->host, err))
		return false;
	cJSON_Delete(past->end.evidence);
	past->end.evidence = TAKE_PTR(past->life.evidence);
	past->end.place = *place;
	past->end.is_former = false;
	free(past->end.etag);
	past->end.etag = past->row_etag ? strdup(past->row_etag) : NULL;
	return !past->row_etag || past->end.etag || muster_fail_memory(err);
}

/* Of one that is retired the last outcome at a service says what became of its enrollment there. */
static bool take_outcome(struct retire_past *past, const cJSON *body, struct muster_error *err)
{
	const char *word = json_text(body, "enrollment");

	if (!has_ended(past->device))
		return true;
	if (was_sent(&past->life) && !take_life(past, err))
		return false;
	past->end.is_kept = word && strcmp(word, "disabled") == 0;
	past->end.is_left = word && strcmp(word, "elsewhere") == 0;
	return retire_copy_etag(&past->end.kept_etag, past->end.is_kept ? body : NULL, err);
}

/* A person gave it up, and what it has at the service was not asked for. One that was never sent has nothing there, but what a life
 * before it has left, or had kept, is there still. */
static bool take_decision(struct retire_past *past, const cJSON *body, struct muster_error *err)
{
	const struct service_place *place = service_place(&past->life.sendings);
	const char *word = json_text(body, "resolved");

	if (!has_ended(past->device) || !was_sent(&past->life) || !word ||
	    strcmp(word, journal_state_name(JOURNAL_RETIRED)) != 0)
		return true;
	if (!leave_for(past, place->host, err) || (!past->end.is_kept && !take_life(past, err)))
		return false;
	past->end.is_left = true;
	memcpy(past->end.left_attempt, place->attempt, sizeof(past->end.left_attempt));
	return true;
}

static bool take_end(struct retire_past *past, const struct journal_entry *entry, const cJSON *body,
		     struct muster_error *err)
{
	past->is_begun = false;
	past->was_sent |= was_sent(&past->life);
	if (!(strcmp(entry->stage, RETIRE_STAGE) == 0 ? take_outcome : take_decision)(past, body,
										      err))
		return false;
	cJSON_Delete(TAKE_PTR(past->life.evidence));
	return true;
}

/* -- Reading ------------------------------------------------------------------------------------------------------------- */

static bool take_intent(struct retire_past *past, const cJSON *body, struct muster_error *err)
{
	const char *host = json_text(body, "host"), *effect = json_text(body, "effect");

	if (host && has_ended(past->device) && !was_sent(&past->life))
		go_back_to(past, host);
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

/* An entry says what has changed. */
static bool take_row(struct retire_past *past, const cJSON *body, struct muster_error *err)
{
	return !json_get(body, "etag") || retire_copy_etag(&past->row_etag, body, err);
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
	return (strcmp(entry->stage, JOURNAL_DEVICE_STAGE) != 0 || take_row(past, body, err)) &&
	       service_sendings_follow(&past->life.sendings, entry, body, err);
}

bool retire_past_read(struct journal *journal, struct retire_past *past, struct muster_error *err)
{
	if (!journal_entries_all(journal, past->device->registration_id, take_entry, past, err))
		return false;
	if (!has_ended(past->device))
		return take_life(past, err);
	go_back_to(past, past->host);
	return true;
}
