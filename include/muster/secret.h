/* A secret has a type of its own: own pages, locked in memory, left out of core dumps, wiped in a forked child,
 * wiped when done and kept, a few of them, for the next secret. It cannot be printed by accident or copied with strdup. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

#define SECRET_MAX (96 * 1024) /* a request body of DPS */

struct secret {
	uint8_t *data; /* NULL when empty */
	size_t size;   /* bytes in use */
	size_t mapped; /* private to secret.c */
};

/* Makes room for size bytes (1..SECRET_MAX), zeroed; size is set to `size`. An earlier content is wiped first.
 * Fails with CAUSE_SECRET_LOCK when the pages cannot be locked, unless MUSTER_INSECURE_MEMORY=1 was set at
 * start (for sanitizer and valgrind runs only). */
bool secret_new(struct secret *secret, size_t size, struct muster_error *err) MUST_CHECK;
bool secret_copy(struct secret *secret, const void *data, size_t size, struct muster_error *err)
	MUST_CHECK;
/* Drops the tail; new_size <= size. The dropped bytes are wiped. */
void secret_shrink(struct secret *secret, size_t new_size);
/* Removes one trailing "\n" or "\r\n". */
void secret_chomp(struct secret *secret);
/* For CLEANUP; accepts an empty one. Leaves it empty. */
void secret_done(struct secret *secret);
/* Constant time in the content; the sizes are not secret. */
bool secret_equal(const struct secret *a, const struct secret *b);

/* Reads everything from fd, from a terminal one line, at most `max` bytes (<= SECRET_MAX); blocks as long as the other side does. */
bool secret_read_fd(struct secret *secret, int fd, size_t max, const char *what,
		    struct muster_error *err) MUST_CHECK;
/* A regular file, owned by root or the caller, with no access for group or others; anything laxer is refused
 * with CAUSE_SECRET_FILE_MODE. One trailing newline is removed. */
bool secret_read_file(struct secret *secret, const char *path, size_t max, struct muster_error *err)
	MUST_CHECK;
/* Opens such a file after the same checks, for handing the descriptor to a worker. -1 on failure. */
int secret_open_file(const char *path, struct muster_error *err) MUST_CHECK;
/* A credential of the service manager's by its name, which others cannot read; the manager may have let this user in by an
 * access control list. `what` is read by it, in messages. -1: CAUSE_SECRET_INVALID, CAUSE_INPUT_NOT_FOUND, CAUSE_SECRET_FILE_MODE. */
int secret_open_credential(const char *name, const char *what, struct muster_error *err) MUST_CHECK;

/* From where an option or a setting says: "fd:N", an open descriptor; "credential:NAME", one that the service manager gave
 * ($CREDENTIALS_DIRECTORY); "prompt", a person at the terminal, who does not see what he types (CAUSE_PROMPT_UNAVAILABLE
 * without one; blocks); anything else is a file as above. One trailing newline is removed, nothing left is
 * CAUSE_SECRET_INVALID. `what` names the secret, at the prompt too. */
bool secret_read_source(struct secret *secret, const char *source, size_t max, const char *what,
			struct muster_error *err) MUST_CHECK;
bool secret_source_is_file(const char *source);

/* Base64 in constant time, into or out of a secret. The text is NUL-terminated (size does not count the NUL). */
bool secret_from_base64(struct secret *secret, const char *text, size_t length, const char *what,
			struct muster_error *err) MUST_CHECK;
/* Whether it would, and to how many bytes, without making them. */
bool secret_base64_check(const char *text, size_t length, size_t *ret_size) MUST_CHECK;
/* The other way into memory of the caller's: (size + 2) / 3 * 4 characters, no NUL. */
void secret_base64_encode(char *out, const void *data, size_t size);
bool secret_to_base64(struct secret *ret_text, const void *data, size_t size,
		      struct muster_error *err) MUST_CHECK;

/* True when a build made as the scanner's positive control keeps freed secrets in memory. */
bool secret_wiping_is_off(void);
/* memset that is never optimised away; a no-op in the control build. */
void secret_wipe(void *data, size_t size);
