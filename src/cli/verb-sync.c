/* muster sync: what waits for the network is sent from the journal. */
#include "sync-options.h"

struct sync_verb_options {
	struct sync_options sync;
};

/* clang-format off */
static const struct option_row rows[] = {
	SYNC_ROWS(struct sync_verb_options),
	{ 0 },
};
/* clang-format on */

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct sync_verb_options *options = call->options;

	return sync_run(call, &options->sync, call->operand_count > 0 ? call->operands : NULL,
			call->operand_count, err);
}

const struct verb verb_sync = {
	.name = "sync",
	.operands = "[ID...]",
	.operands_max = 10000,
	.summary = "Send what waits for the network",
	.description =
		"Takes the devices of the journal that wait for the network, or those named by their\n"
		"registration IDs, through enroll, confirm, verify and release, without their hardware.\n"
		"Derived keys are derived again from the profile's masters. A device whose key is in a\n"
		"token is verified with --token; any other is enrolled and not verified, until muster\n"
		"provision has it at hand. Run again it goes on where it stopped.",
	.options = rows,
	.options_size = sizeof(struct sync_verb_options),
	.default_output = OUTPUT_TABLE,
	.run = run,
};
