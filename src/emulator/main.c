/* muster-emulator: starts the local service, says where it is, and waits for a signal. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "muster/log.h"
#include "muster/process.h"
#include "muster/text.h"

#include "options.h"

static int report(const struct muster_error *err)
{
	const struct muster_cause_info *info = muster_cause_find(err->cause);

	(void)fprintf(stderr, "muster-emulator: E%04u %s\n", (unsigned)err->cause, err->message);
	if (info)
		(void)fprintf(stderr, "  %s\n", info->remedy);
	return (int)err->code;
}

/* Takes the text over. */
static int show(char *text)
{
	bool is_good = text && fputs(text, stdout) >= 0 && fflush(stdout) == 0;

	free(text);
	return is_good ? 0 : (int)MUSTER_E_STORAGE;
}

static int run(const struct emulator_config *config)
{
	CLEANUP(emulator_stopp) struct emulator *emulator = NULL;
	struct muster_error err;
	sigset_t signals;
	int number;

	/* Blocked before the first thread, so that only this one takes them. */
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (!emulator_start(config, &emulator, &err))
		return report(&err);
	CLEANUP(freep) char *line = emulator_ready_line(emulator);
	if (!line || printf("%s\n", line) < 0 || fflush(stdout) != 0)
		return (int)MUSTER_E_STORAGE;
	(void)sigwait(&signals, &number);
	return 0;
}

int main(int argc, char **argv)
{
	struct emulator_config config;
	enum options_outcome outcome;
	struct muster_error err;

	process_harden();
	log_set_program("muster-emulator");
	if (!options_parse(argc, argv, &config, &outcome, &err))
		return report(&err);
	if (outcome == OPTIONS_HELP)
		return show(options_help());
	if (outcome == OPTIONS_VERSION)
		return show(text_format("muster-emulator %s\n", MUSTER_VERSION));
	return run(&config);
}
