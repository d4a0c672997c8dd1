/* Software TPMs for tests: each has its own state, certificate authority and sockets under a short temporary
 * directory. Failures end the test. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct swtpm {
	char directory[32];
	char socket[64];
	char tcti[96];
	pid_t pid;
};

/* with_ek: persisted EKs, their certificates from a private authority, as a vendor would deliver it. */
void swtpm_start(struct swtpm *swtpm, bool with_ek);
/* Power off and on: what is persistent stays, all else is gone. */
void swtpm_reset(struct swtpm *swtpm);
/* Ends it and removes its directory. A stopped one (SIGSTOP) may be ended too. */
void swtpm_stop(struct swtpm *swtpm);
/* Runs a program to its end, output discarded; its exit status must be 0. NULL-terminated arguments. */
void run_program(const char *const *arguments);
#define RUN(...) run_program((const char *const[]){ __VA_ARGS__, NULL })
