#include "muster/station-outbox.h"

#include "muster/clock.h"
#include "muster/json.h"

#include "life.h"
#include "who.h"

bool station_outbox_check(const struct journal_device *device, struct muster_error *err)
{
	return (journal_state_is_live(device->state) && device->state != JOURNAL_RELEASED) ||
	       muster_fail(err, CAUSE_NOT_WAITING, "device '%s' is %s and waits for nothing",
			   PRINTABLE(device->registration_id), journal_state_name(device->state));
}

/* The entry and the row that follows from it, together. */
static bool write(struct journal *journal, const struct journal_device *device, const char *body,
		  struct muster_error *err)
{
	struct journal_entry entry = {
		.registration_id = device->registration_id,
		.at_ms = device->updated_ms,
		.stage = OUTBOX_STAGE,
		.kind = JOURNAL_NOTE,
		.attempt = device->attempt,
		.operator= device->operator,
		.station = device->station,
		.body = body,
	};

	return journal_begin(journal, err) && journal_append(journal, &entry, err) &&
	       journal_device_put(journal, device, err) && journal_commit(journal, err);
}

static bool decide(struct journal *journal, const struct journal_device *before,
		   enum journal_state state, const char *what,
		   const struct station_decision *decision, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	CLEANUP(freep) char *line = NULL;
	CLEANUP(who_done) struct who who = { 0 };
	struct journal_device after = *before;

	if (!station_outbox_check(before, err) ||
	    !who_is_here(&who, decision->operator_name, NULL, err))
		return false;
	if (!body || !json_add_text(body, what, journal_state_name(state)) ||
	    !json_add_text(body, "reason", decision->reason))
		return muster_fail_memory(err);
	line = json_print_line(body);
	if (!line)
		return muster_fail_memory(err);
	after.state = state;
	after.cause = CAUSE_NONE;
	after.operator= who.operator_name;
	after.station = who.station;
	after.updated_ms = clock_wall_ms();
	return write(journal, &after, line, err);
}

bool station_outbox_retry(struct journal *journal, const struct journal_device *device,
			  const struct station_decision *decision, struct muster_error *err)
{
	return decide(journal, device, JOURNAL_PARKED, "retry", decision, err);
}

bool station_outbox_resolve(struct journal *journal, const struct journal_device *device,
			    enum journal_state state, const struct station_decision *decision,
			    struct muster_error *err)
{
	return decide(journal, device, state, "resolved", decision, err);
}

bool station_life_ends(const struct journal_entry *entry, const cJSON *body)
{
	return life_ends(entry, body);
}
