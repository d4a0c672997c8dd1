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

bool brake_came_late(const struct brake *brake)
{
	return brake->why.cause == CAUSE_INTERRUPTED && brake->cut_off == 0;
}

bool brake_holds(const struct brake *brake)
{
	return (brake->under_way > 0 && !brake->is_proven) ||
	       (brake->under_way >= AT_FIRST && !brake->has_success);
}

/* Of the station, its workers and its disk, the token, the masters, the service or the credential. What a service says of one
 * enrollment, and what a device that waited has become, is that device's; that a worker died may be. */
bool brake_is_general(enum muster_cause cause)
{
	static const struct {
		unsigned from, to;
	} families[] = {
		{ CAUSE_PROXY_REFUSED, CAUSE_PROXY_LOGIN },
		{ 4100, 4299 },
		{ CAUSE_MASTER_WEAK, CAUSE_MASTER_WEAK },
		{ CAUSE_MASTERS_ALIKE, CAUSE_MASTERS_ALIKE },
		{ CAUSE_CLOUD_UNREACHABLE, CAUSE_ENROLLMENT_NOT_FOUND },
		{ CAUSE_CLOUD_READ_INVALID, CAUSE_CLOUD_FORBIDDEN },
		{ 5200, 5299 },
		{ CAUSE_OUTPUT_WRITE, CAUSE_OUTPUT_WRITE },
		{ CAUSE_WORKER_START, CAUSE_WORKER_START },
		{ CAUSE_WORKER_PROTOCOL, CAUSE_SECRET_LOCK },
		{ CAUSE_SANDBOX, CAUSE_SANDBOX },
		{ CAUSE_MEMORY, CAUSE_MEMORY },
	};

	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (cause >= families[i].from && cause <= families[i].to)
			return true;
	return false;
}

/* What the service says of a request may be of that one device, and then it says so each time. */
static bool is_repeated(const struct job *job)
{
	switch (job->failure.cause) {
	case CAUSE_CLOUD_REFUSED:
	case CAUSE_CLOUD_ANSWER_INVALID:
	case CAUSE_OUTCOME_UNKNOWN:
	case CAUSE_ENROLLMENT_NOT_FOUND:
	case CAUSE_CLOUD_READ_INVALID:
		return job->was_known && job->device.cause == job->failure.cause;
	default:
		return false;
	}
}

static void note_failure(struct brake *brake, const struct job *job)
{
	const struct muster_error *failure = &job->failure;
	struct muster_error why = *failure;

	/* Those who were refused before do not keep others from being asked for. */
	if (brake->is_proven && is_repeated(job))
		return;
	if (failure->cause == CAUSE_INTERRUPTED || !brake_is_general(failure->cause)) {
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
	brake->cut_off += job->failure.cause == CAUSE_INTERRUPTED;
	if (job->failure.code != MUSTER_OK) {
		note_failure(brake, job);
		return;
	}
	/* Of one that was released before nothing was asked. */
	if (job->was_released)
		return;
	brake->has_success = true;
	brake->alike = 0;
}
