/* muster sync: what waits for the network is sent from the journal. */
#include "journal.h"
#include "sync-options.h"

struct sync_verb_options {
	struct sync_options sync;
	int by;
};

/* clang-format off */
static const struct option_row rows[] = {
	SYNC_ROWS(struct sync_verb_options),
	BY_ROW(struct sync_verb_options, by),
	{ 0 },
};
/* clang-format on */

/* Each device has many names. */
static bool choose(const struct invocation *call, const char *path, struct sync_choice *choice,
		   struct muster_error *err)
{
	const struct sync_verb_options *options = call->options;
	CLEANUP(journal_freep) struct journal *journal = NULL;

	if (!journal_verb_open(path, &journal, err))
		return false;
	for (size_t i = 0; i < call->operand_count; i++) {
		CLEANUP(journal_device_done) struct journal_device device = { 0 };
		struct station_waiting waiting;

		if (!journal_verb_find(journal, options->by, call->operands[i], &device, err) ||
		    !station_wait_look(journal, &device, &waiting, err) ||
		    !sync_choice_add(choice, device.registration_id, err))
			return false;
		sync_tell_waiting(call, choice, device.registration_id, waiting.what);
	}
	return true;
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct sync_verb_options *options = call->options;
	CLEANUP(sync_choice_done) struct sync_choice choice = { 0 };

	if (call->operand_count == 0)
		return sync_run(call, &options->sync, NULL, 0, err);
	return choose(call, options->sync.request.journal_path, &choice, err) &&
	       sync_run(call, &options->sync, (const char *const *)choice.ids, choice.count, err) &&
	       sync_choice_check(&choice, err);
}

const struct verb verb_sync = {
	.name = "sync",
	.operands = "[DEVICE...]",
	.operands_max = 10000,
	.summary = "Send what waits for the network",
	.description =
		"Takes the devices of the journal that wait for the network, or those of them that are\n"
		"named (by any name, as for muster journal show), through enroll, confirm, verify and\n"
		"release, without their hardware.\n"
		"Derived keys are derived again from the profile's masters. A device whose key is in a\n"
		"token is verified with --token; any other is enrolled and not verified, until muster\n"
		"provision has it at hand. Run again it goes on where it stopped.",
	.options = rows,
	.options_size = sizeof(struct sync_verb_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(provision_columns),
	.is_missed = true,
	.run = run,
};
