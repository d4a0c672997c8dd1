/* An earlier life of a device: another board had its name. */
#include <string.h>

#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/station-outbox.h"

#include "journal.h"

struct life {
	const char *key;
	int64_t from_ms, until_ms; /* 0: not yet */
	bool is_present;           /* the device has that key at the entry that was read last */
	bool has_ended; /* and was ended, which an enrollment that was kept may outlive */
	char *reason;
};

static void life_done(struct life *life)
{
	free(life->reason);
}

static bool is_it(const struct life *life, const cJSON *member)
{
	return cJSON_IsString(member) && strcmp(member->valuestring, life->key) == 0;
}

static void follow_key(struct life *life, const cJSON *member, int64_t at_ms)
{
	if (is_it(life, member)) {
		life->from_ms = life->from_ms ? life->from_ms : at_ms;
		life->is_present = true;
		return;
	}
	if (!life->is_present)
		return;
	life->is_present = false;
	life->until_ms = life->until_ms ? life->until_ms : at_ms;
}

static bool take_end(struct life *life, const cJSON *body, int64_t at_ms, struct muster_error *err)
{
	const char *reason = json_text(body, "reason");

	if (!reason || life->has_ended)
		return true;
	life->has_ended = true;
	free(life->reason);
	life->reason = strdup(reason);
	life->until_ms = at_ms;
	return life->reason || muster_fail_memory(err);
}

/* It came back with the same key. */
static void follow_state(struct life *life, const cJSON *row)
{
	const char *state = json_text(row, "state");

	if (state && strcmp(state, journal_state_name(JOURNAL_RETIRED)) != 0)
		life->has_ended = false;
}

static bool follow(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	const cJSON *member;
	struct life *life = context;

	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return muster_error_prefix(err, "reading entry %lld", (long long)entry->seq);
	if (life->is_present && station_life_ends(entry, body))
		return take_end(life, body, entry->at_ms, err);
	if (strcmp(entry->stage, JOURNAL_DEVICE_STAGE) != 0)
		return true;
	follow_state(life, body);
	member = json_get(body, strlen(life->key) == SHA256_HEX_SIZE - 1 ? "keySha256" : "keyId");
	if (member)
		follow_key(life, member, entry->at_ms);
	return true;
}

bool journal_life_of_key(struct journal *journal, const char *registration_id, const char *key,
			 cJSON **ret_life, struct muster_error *err)
{
	CLEANUP(life_done) struct life life = { .key = key };
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	char from[RFC3339_SIZE], until[RFC3339_SIZE];

	if (!journal_entries_all(journal, registration_id, follow, &life, err))
		return false;
	if (!object || !json_add_text(object, "key", key) ||
	    !json_add_text(object, "from", rfc3339_format(from, life.from_ms)) ||
	    !json_add_text(object, "until", rfc3339_format(until, life.until_ms)) ||
	    !json_add_text(object, "reason", life.reason))
		return muster_fail_memory(err);
	*ret_life = TAKE_PTR(object);
	return true;
}
