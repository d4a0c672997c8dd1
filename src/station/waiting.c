/* What devices of the journal wait for. */
#include <string.h>

#include "muster/json.h"
#include "muster/station-sync.h"

const char *station_wait_word(enum station_wait what)
{
	static const char *const words[] = { NULL, "network", "device", "person" };

	return words[what];
}

struct note {
	int64_t last_seq;
	bool is_spooled;
	char expires[RFC3339_SIZE];
};

static bool take_note(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct note *note = context;
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	const cJSON *spooled;

	note->last_seq = entry->seq;
	if (entry->kind != JOURNAL_NOTE || strcmp(entry->stage, "enroll") != 0)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	spooled = json_get(body, "spooled");
	if (!spooled)
		return true;
	note->is_spooled = true;
	snprintf(note->expires, sizeof(note->expires), "%s",
		 json_text(spooled, "expires") ? json_text(spooled, "expires") : "");
	return true;
}

static bool find_note(struct journal *journal, const struct journal_device *device,
		      struct note *note, struct muster_error *err)
{
	size_t count = 0;

	do {
		if (!journal_entries(journal, device->registration_id, note->last_seq, take_note,
				     note, &count, err))
			return false;
	} while (count > 0);
	return true;
}

static bool is_derived(const struct journal_device *device)
{
	return device->attestation && strcmp(device->attestation, "symmetricKey") == 0;
}

static enum station_wait wait_of(const struct journal_device *device, const struct note *note)
{
	const struct muster_cause_info *info = muster_cause_find((enum muster_cause)device->cause);

	switch (device->state) {
	case JOURNAL_SPOOLED:
		return STATION_WAITS_NETWORK;
	case JOURNAL_DEAD:
		return STATION_WAITS_PERSON;
	case JOURNAL_WORKING:
		return note->is_spooled ? STATION_WAITS_NETWORK : STATION_WAITS_DEVICE;
	case JOURNAL_PARKED:
		if (info && info->code == MUSTER_E_CONFLICT)
			return STATION_WAITS_PERSON;
		return note->is_spooled || is_derived(device) ? STATION_WAITS_NETWORK
							      : STATION_WAITS_DEVICE;
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
	struct note note = { 0 };

	/* Derived keys have no certificate, and need no note. */
	if (journal_state_is_live(device->state) && device->state != JOURNAL_RELEASED &&
	    (!is_derived(device) || device->state == JOURNAL_WORKING) &&
	    !find_note(journal, device, &note, err))
		return false;
	ret_waiting->what = wait_of(device, &note);
	memcpy(ret_waiting->expires, note.expires, sizeof(note.expires));
	return true;
}
