/* Events as files beside the journal. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/error.h"

#define HOOK_DIRECTORY "hooks"

/* {"id","hook","event","at","atMs","number","tries","data"}, and once it was tried "triedMs","error" and "refusals" (in a row); with
 * "setAside" nothing tries it by itself. The name of its file begins with the number, which only grows, so that they sort. */
bool hook_spool_write(const char *directory, const cJSON *event, struct muster_error *err)
	MUST_CHECK;
/* Under another name, which is passed over until hook_spool_keep() gives it its own, with that number, or hook_spool_break() takes it
 * away. */
bool hook_spool_promise(const char *directory, const cJSON *event, struct muster_error *err)
	MUST_CHECK;
bool hook_spool_keep(const char *directory, cJSON *event, int64_t number, struct muster_error *err)
	MUST_CHECK;
void hook_spool_break(const char *directory, const cJSON *event);
/* Names of files, sorted; *ret_names an array of texts. A folder that does not exist is empty. */
bool hook_spool_names(const char *directory, cJSON **ret_names, struct muster_error *err)
	MUST_CHECK;
/* The same of those that are promised. */
bool hook_spool_promised(const char *directory, cJSON **ret_names, struct muster_error *err)
	MUST_CHECK;
/* With which the name of a file begins. */
int64_t hook_spool_number(const char *name);
bool hook_spool_read(const char *directory, const char *name, cJSON **ret_event,
		     struct muster_error *err) MUST_CHECK;
void hook_spool_remove(const char *directory, const char *name);
/* The event's file goes. */
bool hook_spool_drop(const char *directory, const cJSON *event, struct muster_error *err)
	MUST_CHECK;
bool hook_spool_has(const char *directory, const char *name);
/* The one that writes a journal's events, as long as it keeps the descriptor open; -1: the folder does not take that. Journals that lie
 * beside each other share the folder. *ret_last is the number of the journal's last event as noted. */
int hook_spool_own(const char *directory, const char *journal, int64_t *ret_last);
void hook_spool_note_last(int fd, int64_t number);
bool hook_spool_is_owned(const char *directory, const char *journal);
/* Locks an open file that another process may have locked; says once when that takes waiting. */
bool hook_spool_wait(int fd, struct muster_error *err) MUST_CHECK;
/* What one process at a time may do: change what lies there. Waits for the other; *ret_fd ends it when it is closed. */
bool hook_spool_lock(const char *directory, int *ret_fd, struct muster_error *err) MUST_CHECK;
