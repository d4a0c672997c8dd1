/* Is it still the same chip, and has it run on since? */
#include "muster/ek-trust.h"

#include <string.h>

#include "ek-internal.h"

/* A chip's clock may run by a third too fast (Part 1, 36.2), and a round trip takes its time. */
enum { CLOCK_RATE = 2, CLOCK_SLACK_MS = 5000 };

bool ek_witness_check(const struct ek_witness *earlier, const struct ek_witness *later,
		      struct muster_error *err)
{
	int64_t passed = later->at_ms - earlier->at_ms;
	if (earlier->has_key != later->has_key ||
	    memcmp(earlier->key, later->key, sizeof(later->key)) != 0)
		return muster_fail(err, CAUSE_TPM_SWAPPED,
				   "the TPM presents another endorsement key than at the start");
	if (earlier->reset_count != later->reset_count ||
	    earlier->restart_count != later->restart_count)
		return muster_fail(
			err, CAUSE_TPM_RESET,
			"the TPM counts %llu resets and %llu restarts, not %llu and %llu "
			"as at the start",
			(unsigned long long)later->reset_count,
			(unsigned long long)later->restart_count,
			(unsigned long long)earlier->reset_count,
			(unsigned long long)earlier->restart_count);
	if (later->clock_ms < earlier->clock_ms ||
	    later->clock_ms - earlier->clock_ms > (uint64_t)(CLOCK_RATE * passed + CLOCK_SLACK_MS))
		return muster_fail(err, CAUSE_TPM_SWAPPED,
				   "the TPM's clock went from %llu to %llu ms within %lld ms",
				   (unsigned long long)earlier->clock_ms,
				   (unsigned long long)later->clock_ms, (long long)passed);
	return true;
}

bool ek_public_twin(const struct ek_public *public, struct ek_public *ret_twin)
{
	struct muster_error ignored;
	TPMT_PUBLIC area;
	if (!ek_public_unpack(public, &area, &ignored) || area.type != TPM2_ALG_RSA)
		return false;
	uint32_t *exponent = &area.parameters.rsaDetail.exponent;
	if (*exponent != 0 && *exponent != 65537)
		return false;
	*exponent = *exponent == 0 ? 65537 : 0;
	return ek_public_pack(&area, ret_twin, &ignored);
}
