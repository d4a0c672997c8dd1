/* muster hsm acknowledge. */
#include "muster/station.h"

#include "cli-internal.h"

static bool run_acknowledge(const struct invocation *call, struct muster_error *err)
{
	if (!station_pin_acknowledge(call->operands[0], err))
		return false;
	if (!call->is_quiet)
		fputs("muster: the next run may try a PIN with this token once more\n", stderr);
	return true;
}

const struct verb verb_hsm_acknowledge = {
	.noun = "hsm",
	.name = "acknowledge",
	.operands = "TOKEN",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Allow one more PIN try after a refused PIN",
	.description =
		"A PIN that a token refused is remembered, and no further try is made, until a person\n"
		"says that the PIN has been put right. TOKEN is a PKCS#11 URI. The token is not touched.",
	.default_output = OUTPUT_TABLE,
	.run = run_acknowledge,
};
