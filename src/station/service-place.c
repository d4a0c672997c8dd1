#include "service-place.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "job.h"
#include "life.h"
#include "muster/json.h"
#include "muster/text.h"
#include "resume.h"

const struct service_place *service_place(const struct service_sendings *sendings)
{
	return sendings->last_was_refused ? &sendings->before : &sendings->last;
}

bool service_is_same(const char *a, const char *b)
{
	size_t length = strcspn(a, ":");

	return length == strcspn(b, ":") && strncasecmp(a, b, length) == 0;
}

bool service_place_is_elsewhere(const struct service_place *place, const char *host,
				bool has_same_scope)
{
	if (!place->host[0] || !host[0])
		return false;
	return !(has_same_scope ? service_is_same : text_equal_folded)(place->host, host);
}

static void take_intent(struct service_sendings *sendings, const char *host, const char *attempt)
{
	sendings->before = *service_place(sendings);
	sendings->last.is_unknown = sendings->before.is_unknown || !host;
	snprintf(sendings->last.host, sizeof(sendings->last.host), "%s", host ? host : "");
	snprintf(sendings->last.attempt, sizeof(sendings->last.attempt), "%s",
		 attempt ? attempt : "");
	sendings->last_was_refused = false;
}

/* It is where it was released, whoever sent it: also another station, or this one before its journal was lost. */
static bool take_release(struct service_sendings *sendings, const cJSON *body,
			 struct muster_error *err)
{
	const char *text = json_text(body, "evidence"), *host;
	CLEANUP(cJSON_freep) cJSON *evidence = NULL;
	struct service_place place = { 0 };

	if (!text)
		return true;
	if (!json_parse(text, strlen(text), "the evidence", &evidence, err))
		return false;
	host = json_text(evidence, "service");
	if (!host || !host[0])
		return true;
	snprintf(place.host, sizeof(place.host), "%s", host);
	*sendings = (struct service_sendings){ .before = place, .last = place };
	return true;
}

bool service_sendings_follow(struct service_sendings *sendings, const struct journal_entry *entry,
			     const cJSON *body, struct muster_error *err)
{
	if (life_ends(entry, body))
		*sendings = (struct service_sendings){ 0 };
	if (strcmp(entry->stage, stage_name(STAGE_RELEASE)) == 0 && entry->kind == JOURNAL_OUTCOME)
		return take_release(sendings, body, err);
	if (strcmp(entry->stage, stage_name(STAGE_ENROLL)) != 0)
		return true;
	if (entry->kind == JOURNAL_INTENT)
		take_intent(sendings, json_text(body, "host"), json_text(body, "attemptId"));
	else if (resume_is_refusal(entry, body))
		sendings->last_was_refused = !json_bool(body, "unclear", false);
	else if (json_get(body, "operation"))
		sendings->last_was_refused = false; /* It was sent once more by the same intent. */
	return true;
}
