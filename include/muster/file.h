/* Files: bounded reading, exclusive and durable writing. Nothing here follows a link for writing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/text.h"

/* Reads at most `max` bytes; larger is CAUSE_INPUT_TOO_LARGE, missing is CAUSE_INPUT_NOT_FOUND. The data has
 * a NUL behind it that size does not count. "-" is standard input. */
bool file_read(const char *path, size_t max, struct bytes *ret_bytes, struct muster_error *err)
	MUST_CHECK;

/* Creates `path` with the given mode: written beside (exclusively, never through a link), synced, renamed or
 * linked into place, directory synced. With replace=false an existing file is CAUSE_OUTPUT_EXISTS.
 * Failures are CAUSE_OUTPUT_WRITE. */
bool file_write(const char *path, const void *data, size_t size, unsigned mode, bool replace,
		struct muster_error *err) MUST_CHECK;

/* The same for many files, which are synced together: each is written under another name first, and gets its own when all of them
 * are on disk, so that no cut leaves half of one under it. What is not placed goes with file_draft_done(), or, after a kill, when
 * the same file is written again. Zero-initialise. */
struct file_draft {
	char *path, *temporary; /* private */
	bool replace;
};
bool file_draft_write(const char *path, const void *data, size_t size, unsigned mode, bool replace,
		      struct file_draft *ret_draft, struct muster_error *err) MUST_CHECK;
/* After file_system_sync(), and before directory_sync(). */
bool file_draft_place(struct file_draft *draft, struct muster_error *err) MUST_CHECK;
void file_draft_done(struct file_draft *draft);
/* Whatever was written into the file system of this directory is on disk. */
bool file_system_sync(const char *directory, struct muster_error *err) MUST_CHECK;
/* The names in this directory are on disk. */
bool directory_sync(const char *directory, struct muster_error *err) MUST_CHECK;

/* To a descriptor that somebody passed on: open for writing, or CAUSE_USAGE with the option's name. */
bool file_check_fd(int64_t fd, const char *option, struct muster_error *err) MUST_CHECK;
bool file_write_fd(int fd, const void *data, size_t size, struct muster_error *err) MUST_CHECK;

/* A new file written piece by piece: it has its name only when it is complete and synced. Zero-initialise with
 * FILE_SINK_NONE. */
struct file_sink {
	int directory, fd;
	char temporary[64];
	const char *path; /* borrowed */
};
#define FILE_SINK_NONE                    \
	{                                 \
		.directory = -1, .fd = -1 \
	}
bool file_sink_open(struct file_sink *sink, const char *path, unsigned mode,
		    struct muster_error *err) MUST_CHECK;
bool file_sink_write(struct file_sink *sink, const void *data, size_t size,
		     struct muster_error *err) MUST_CHECK;
bool file_sink_commit(struct file_sink *sink, struct muster_error *err) MUST_CHECK;
/* For CLEANUP; takes away what was not committed. */
void file_sink_done(struct file_sink *sink);

/* CAUSE_OUTPUT_EXISTS when there is something of that name: asked before anything that cannot be undone. */
bool file_check_absent(const char *path, struct muster_error *err) MUST_CHECK;
/* Whether a file could be made there: asked before what would be lost otherwise. CAUSE_OUTPUT_WRITE. */
bool file_check_place(const char *path, struct muster_error *err) MUST_CHECK;
/* Whether both, which need not exist, are one file. */
bool file_is_same_place(const char *path, const char *other);
/* Makes the directory (mode 0700) and its missing parents. An existing directory is fine. */
bool directory_make(const char *path, struct muster_error *err) MUST_CHECK;
/* The next name in it, NULL at its end. CAUSE_FOLDER_UNREADABLE. */
bool directory_next(DIR *directory, const char *path, const struct dirent **ret_entry,
		    struct muster_error *err) MUST_CHECK;
/* The path of a file called `name` in the directory of `path`. Caller frees; NULL: no memory. */
char *file_beside(const char *path, const char *name);
/* The path from the root on; as it is where the working directory is gone. NULL: no memory; caller frees. */
char *file_absolute(const char *path);
/* $XDG_STATE_HOME/muster, or ~/.local/state/muster, or /var/lib/muster for root. Caller frees; NULL with ENOENT: there is no
 * home, else no memory. */
char *directory_state(void);
/* The same for what cannot do without: CAUSE_STATE_UNSET. `what` is kept there, in the message. Caller frees. */
bool directory_state_find(const char *what, char **ret_path, struct muster_error *err) MUST_CHECK;

/* The file of the service manager's credential of that name; NULL when there is none. Caller frees. */
char *credential_path(const char *name);

/* Refuses (CAUSE_FILE_OWNER) when the file or any parent could be changed by somebody who is neither root nor
 * the caller; directories with the sticky bit are excepted. For modules and configuration. */
bool file_check_trusted(const char *path, struct muster_error *err) MUST_CHECK;
/* file_read() of such a file. */
bool file_read_trusted(const char *path, size_t max, struct bytes *ret_bytes,
		       struct muster_error *err) MUST_CHECK;
/* The same for what people work on together: the file's group, and that of directories above it, may write. What is no file
 * ("-", a pipe) comes from who gave it. For profiles, roots, revocation lists and CA files. */
bool file_read_owned(const char *path, size_t max, struct bytes *ret_bytes,
		     struct muster_error *err) MUST_CHECK;
