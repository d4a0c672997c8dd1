#include "muster/dps.h"

/* So that stations told the same wait do not come back in the same instant. */
#define RETRY_SPREAD_MS 1000

int64_t dps_backoff_ms(unsigned attempts, int64_t retry_after_ms, uint64_t random)
{
	int64_t span = DPS_RETRY_BASE_MS, jitter;

	for (unsigned i = 1; i < attempts && span < DPS_RETRY_CAP_MS; i++)
		span *= 2;
	if (span > DPS_RETRY_CAP_MS)
		span = DPS_RETRY_CAP_MS;
	jitter = (int64_t)(random % (uint64_t)(span + 1));
	if (retry_after_ms > DPS_RETRY_AFTER_CAP_MS)
		retry_after_ms = DPS_RETRY_AFTER_CAP_MS;
	return jitter >= retry_after_ms ? jitter : retry_after_ms + jitter % RETRY_SPREAD_MS;
}

int64_t dps_retry_wait_ms(unsigned attempts, int64_t retry_after_ms, uint64_t random)
{
	return attempts < DPS_RETRY_ATTEMPTS ? dps_backoff_ms(attempts, retry_after_ms, random)
					     : -1;
}
