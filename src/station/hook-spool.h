/* Events as files beside the journal. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/error.h"

#define HOOK_DIRECTORY "hooks"

/* {"id","hook","event","at","atMs","tries","data"}, and once it was tried "triedMs","error" and "refusals" (in a row); with
 * "setAside" nothing tries it by itself. The name of its file begins with the time, so that they sort. */
bool hook_spool_write(const char *directory, const cJSON *event, struct muster_error *err)
	MUST_CHECK;
/* Names of files, sorted; *ret_names an array of texts. A folder that does not exist is empty. */
bool hook_spool_names(const char *directory, cJSON **ret_names, struct muster_error *err)
	MUST_CHECK;
bool hook_spool_read(const char *directory, const char *name, cJSON **ret_event,
		     struct muster_error *err) MUST_CHECK;
void hook_spool_remove(const char *directory, const char *name);
/* The event's file goes. */
bool hook_spool_drop(const char *directory, const cJSON *event, struct muster_error *err)
	MUST_CHECK;
bool hook_spool_has(const char *directory, const char *name);
/* Locks an open file that another process may have locked; says once when that takes waiting. */
bool hook_spool_wait(int fd, struct muster_error *err) MUST_CHECK;
/* What one process at a time may do: change what lies there. Waits for the other; *ret_fd ends it when it is closed. */
bool hook_spool_lock(const char *directory, int *ret_fd, struct muster_error *err) MUST_CHECK;
