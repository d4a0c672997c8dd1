/* What every program of ours does first: a clean environment, no core dumps, wiping allocators, a quiet TSS. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/secret.h"

/* Call first in main(), before any library call: keeps only the allowed environment variables (MUSTER_*, the
 * table in process.c), makes the process non-dumpable, sets core limit 0 and umask 077, ignores SIGPIPE and SIGXFSZ,
 * opens /dev/null where descriptor 0, 1 or 2 is closed, so that its use fails, puts wiping allocators under OpenSSL and cJSON.
 * Stops the program when it cannot. */
void process_harden(void);
/* The same for a worker whose environment the station has composed, with the variables of its module: they stay. */
void process_harden_worker(void);
/* Whether who started us does not want that signal to end us (nohup, a shell's background). */
bool process_ignores(int number);
/* Names of the variables that process_harden() removed and that change what libraries do (SSLKEYLOGFILE, ...);
 * NULL-terminated, static. */
const char *const *process_removed_variables(void);
/* The value that a variable had when the program was started, also of one that process_harden() removed; or NULL. */
const char *process_variable_given(const char *name);
/* Whether a value is not merely the same as, but is that of the environment. */
bool process_variable_gave(const char *value, const char *variable);
/* The first of them that names a proxy; or NULL. */
const char *process_removed_proxy(void);
/* Whether we are the main process of a systemd service or a container: with its end all that it started is killed. */
bool process_is_main(void);
/* Another program. */
struct process_command {
	const char *const *arguments;   /* its name first, looked for in PATH; NULL-terminated */
	const char *const *environment; /* all of it; NULL-terminated */
	int64_t deadline_ms;
	size_t output_max; /* <= SECRET_MAX */
	/* Asked several times a second; once it says true, the program is killed: CAUSE_INTERRUPTED. NULL: never. */
	bool (*is_cancelled)(const void *context);
	const void *context;
};
struct process_result {
	bool was_started; /* false: no such program */
	int status;       /* 128 + signal when one ended it */
	char errors[512]; /* the beginning of its standard error */
};
/* Runs it to its end with nothing on standard input; blocks until then, and not for what it leaves behind.
 * CAUSE_PROGRAM_FAILED when it takes too long or writes too much, and it is killed then. Its output is treated as a secret. */
bool process_run(const struct process_command *command, struct secret *ret_output,
		 struct process_result *ret_result, struct muster_error *err) MUST_CHECK;
/* The allocator under libcurl: wipes on free and on growth. */
void *wiping_malloc(size_t size);
void *wiping_calloc(size_t count, size_t size);
void *wiping_realloc(void *pointer, size_t size);
char *wiping_strdup(const char *text);
void wiping_free(void *pointer);
