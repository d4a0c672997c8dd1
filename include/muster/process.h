/* What every program of ours does first: a clean environment, no core dumps, wiping allocators, a quiet TSS. */
#pragma once

#include <stdbool.h>

#include "muster/cleanup.h"
#include "muster/error.h"

/* Call first in main(), before any library call: keeps only the allowed environment variables (MUSTER_*, the
 * table in process.c), makes the process non-dumpable, sets core limit 0 and umask 077, ignores SIGPIPE,
 * opens /dev/null where descriptor 0, 1 or 2 is closed, puts wiping allocators under OpenSSL and cJSON.
 * Stops the program when it cannot. */
void process_harden(void);
/* Names of the variables that process_harden() removed and that change what libraries do (SSLKEYLOGFILE, ...);
 * NULL-terminated, static. */
const char *const *process_removed_variables(void);
/* The allocator under libcurl: wipes on free and on growth. */
void *wiping_malloc(size_t size);
void *wiping_calloc(size_t count, size_t size);
void *wiping_realloc(void *pointer, size_t size);
char *wiping_strdup(const char *text);
void wiping_free(void *pointer);
