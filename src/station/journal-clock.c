#include "journal-clock.h"

#include <string.h>

#include "job.h"
#include "muster/encoding.h"
#include "muster/json.h"

enum { LOOK_BACK = 500 }; /* entries */

/* What stands for the time: a service whose clock was compared, or somebody who carries a bundle. */
static const struct {
	enum stage stage;
	const char *member;
} proofs[] = {
	{ STAGE_ENROLL, "created" },
	{ STAGE_CONFIRM, "confirmed" },
	{ STAGE_RELEASE, "released" },
};

static bool is_proven(const struct journal_entry *entry, bool *ret_is, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	*ret_is = false;
	if (strcmp(entry->stage, JOURNAL_DEVICE_STAGE) == 0)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(proofs); i++)
		*ret_is |= entry->kind == JOURNAL_OUTCOME &&
			   strcmp(entry->stage, stage_name(proofs[i].stage)) == 0 &&
			   json_bool(body, proofs[i].member, false);
	*ret_is |= strcmp(entry->stage, "journal") == 0 && json_get(body, "bundle");
	return true;
}

struct latest {
	int64_t seq, at_ms;
};

static bool take_time(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct latest *latest = context;
	bool proven;

	if (!is_proven(entry, &proven, err))
		return false;
	if (proven || entry->at_ms > latest->at_ms)
		latest->at_ms = entry->at_ms;
	latest->seq = entry->seq;
	return true;
}

static bool find_latest(struct journal *journal, struct latest *latest, struct muster_error *err)
{
	size_t count;

	do {
		if (!journal_entries(journal, NULL, latest->seq, take_time, latest, &count, err))
			return false;
	} while (count > 0);
	return true;
}

bool journal_clock_check(struct journal *journal, struct muster_error *err)
{
	int64_t now = clock_wall_ms();
	char ours[RFC3339_SIZE], theirs[RFC3339_SIZE];
	struct journal_head head;
	struct latest latest = { 0 };

	if (!journal_head(journal, &head, err))
		return false;
	if (head.seq > LOOK_BACK)
		latest.seq = head.seq - LOOK_BACK;
	if (!find_latest(journal, &latest, err))
		return false;
	return latest.at_ms - now <= CLOCK_SKEW_MAX_MS ||
	       muster_fail(err, CAUSE_CLOCK_SKEWED,
			   "this station's clock, %s, is behind an entry of journal '%s', of %s, "
			   "by more than five minutes",
			   rfc3339_format(ours, now), PRINTABLE(journal_path_of(journal)),
			   rfc3339_format(theirs, latest.at_ms));
}
