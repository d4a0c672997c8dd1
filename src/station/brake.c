#include "brake.h"

enum { ALIKE_MAX = 3, AT_FIRST = DPS_BULK_ITEMS_MAX };

void brake_stop(struct brake *brake, const struct muster_error *why)
{
	if (!brake_has_stopped(brake))
		brake->why = *why;
}

bool brake_has_stopped(const struct brake *brake)
{
	return brake->why.code != MUSTER_OK;
}

bool brake_holds(const struct brake *brake)
{
	return (brake->under_way > 0 && !brake->is_proven) ||
	       (brake->under_way >= AT_FIRST && !brake->has_success);
}

/* Of the token or the service, so that it would be the next device's failure too. */
static bool is_general(enum muster_cause cause)
{
	return (cause >= 4100 && cause < 4300) || (cause >= 5100 && cause < 5300);
}

static void note_failure(struct brake *brake, const struct muster_error *failure)
{
	struct muster_error why = *failure;

	if (failure->cause == CAUSE_INTERRUPTED || !is_general(failure->cause)) {
		brake->alike = 0;
		return;
	}
	brake->alike = failure->cause == brake->alike_cause ? brake->alike + 1 : 1;
	brake->alike_cause = failure->cause;
	if (brake->alike < ALIKE_MAX && brake->is_proven)
		return;
	if (brake->is_proven)
		muster_error_prefix(&why, "stopped after %d devices in a row", ALIKE_MAX);
	brake_stop(brake, &why);
}

void brake_device_ended(struct brake *brake, const struct job *job)
{
	brake->under_way--;
	if (job->failure.code != MUSTER_OK) {
		note_failure(brake, &job->failure);
		return;
	}
	brake->has_success = true;
	if (!job->was_released)
		brake->alike = 0;
}
