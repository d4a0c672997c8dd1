/* What devices of the journal wait for. */
#include <string.h>

#include "muster/json.h"
#include "muster/station-sync.h"

#include "kept-profile.h"
#include "life.h"
#include "park.h"
#include "spool.h"
#include "steps.h"

const char *station_wait_word(enum station_wait what)
{
	static const char *const words[] = { NULL, "network", "device", "person" };

	return words[what];
}

/* What the entries say. */
struct note {
	cJSON *spooled; /* or NULL */
	bool is_unfit;  /* see park.h */
	bool is_kept;   /* its profile, as far as is known */
	char profile[SHA256_HEX_SIZE],
		parked_with[SHA256_HEX_SIZE]; /* its row's, and that of when it was parked; or "" */
	char kept_name[SHA256_HEX_SIZE];      /* see kept-profile.h */
	struct station_waiting *waiting;
};

static void note_done(struct note *note)
{
	cJSON_Delete(note->spooled);
}

static void keep(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text ? text : "");
}

static void take_change(struct note *note, const struct journal_entry *entry, const cJSON *body)
{
	const char *profile = json_text(body, "profileSha256"), *state = json_text(body, "state");

	if (strcmp(entry->stage, JOURNAL_DEVICE_STAGE) != 0)
		return;
	if (profile)
		keep(note->profile, sizeof(note->profile), profile);
	if (state && strcmp(state, journal_state_name(JOURNAL_PARKED)) == 0)
		keep(note->parked_with, sizeof(note->parked_with), note->profile);
}

static bool take_note(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct note *note = context;
	struct station_waiting *waiting = note->waiting;
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	if (life_ends(entry, body)) {
		*waiting = (struct station_waiting){ 0 };
		note->parked_with[0] = '\0';
	}
	take_change(note, entry, body);
	note->is_unfit = park_is_unfit(note->is_unfit, entry, body);
	kept_profile_follow(note->kept_name, entry, body);
	if (!spool_follow(&note->spooled, entry, body))
		return muster_fail_memory(err);
	if (entry->kind == JOURNAL_OUTCOME && json_get(body, "cause"))
		keep(waiting->reason, sizeof(waiting->reason), json_text(body, "message"));
	if (json_get(body, "retry") || json_get(body, "endedElsewhere"))
		keep(waiting->reason, sizeof(waiting->reason), json_text(body, "reason"));
	waiting->failures = park_count(waiting->failures, entry, body);
	return true;
}

static bool is_derived(const struct journal_device *device)
{
	return device->attestation && strcmp(device->attestation, "symmetricKey") == 0;
}

/* One that was restored from the service alone has no profile to be finished by, and a run that was killed kept none. That of what
 * is spooled was kept: when the copy is lost, the sync that needs it tells of that. */
static bool look_for_profile(struct journal *journal, const struct journal_device *device,
			     struct note *note, struct muster_error *err)
{
	note->is_kept = device->profile_digest;
	if (!note->kept_name[0])
		keep(note->kept_name, sizeof(note->kept_name), device->profile_digest);
	return !note->is_kept || !is_derived(device) || device->state == JOURNAL_SPOOLED ||
	       kept_profile_look(journal_path_of(journal), note->kept_name, &note->is_kept, err);
}

/* Away from its key a device is enrolled without being verified; one that was seen to fail there does not get by so. */
static bool can_be_sent(const struct journal_device *device, const struct note *note)
{
	return (is_derived(device) && note->is_kept) || (note->spooled && !note->is_unfit);
}

/* That a run was cut changes nothing for a device that waited for the network before: its profile is kept. */
static bool has_waited(const struct journal_device *device, const struct note *note)
{
	return note->spooled ||
	       (device->profile_digest && strcmp(note->parked_with, device->profile_digest) == 0);
}

static enum station_wait wait_of(const struct journal_device *device, const struct note *note)
{
	const struct muster_cause_info *info = muster_cause_find((enum muster_cause)device->cause);

	switch (device->state) {
	case JOURNAL_DEAD:
		return STATION_WAITS_PERSON;
	case JOURNAL_WORKING:
		return has_waited(device, note) && can_be_sent(device, note) ? STATION_WAITS_NETWORK
									     : STATION_WAITS_DEVICE;
	case JOURNAL_SPOOLED:
		return can_be_sent(device, note) ? STATION_WAITS_NETWORK : STATION_WAITS_DEVICE;
	case JOURNAL_PARKED:
		if (info && info->code == MUSTER_E_CONFLICT)
			return STATION_WAITS_PERSON;
		return can_be_sent(device, note) ? STATION_WAITS_NETWORK : STATION_WAITS_DEVICE;
	case JOURNAL_RELEASED:
	case JOURNAL_FAILED:
	case JOURNAL_RETIRED:
		break;
	}
	return STATION_WAITS_NOT;
}

bool station_wait_look(struct journal *journal, const struct journal_device *device,
		       struct station_waiting *ret_waiting, struct muster_error *err)
{
	struct station_waiting waiting = { 0 };
	CLEANUP(note_done) struct note note = { .waiting = &waiting };

	if (journal_state_is_live(device->state) && device->state != JOURNAL_RELEASED &&
	    !journal_entries_all(journal, device->registration_id, take_note, &note, err))
		return false;
	if (note.spooled && !spool_is_of(note.spooled, device))
		cJSON_Delete(TAKE_PTR(note.spooled));
	if (!look_for_profile(journal, device, &note, err))
		return false;
	keep(waiting.expires, sizeof(waiting.expires), json_text(note.spooled, "expires"));
	keep(waiting.kept_profile, sizeof(waiting.kept_profile), note.kept_name);
	waiting.what = wait_of(device, &note);
	*ret_waiting = waiting;
	return true;
}
