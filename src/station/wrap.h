/* Whom a key was wrapped for. Private to the station. */
#pragma once

#include "job.h"

/* Before the attempt begins: another device than the one that the key was wrapped for changes nothing, CAUSE_SERIAL_TAKEN, unless
 * nothing came of that and a key can be made for it. */
bool wrap_check_owner(struct job *job, struct muster_error *err) MUST_CHECK;
/* Its key stayed in the token when it was released, and what that waited for is there now: its file, or the public key to wrap it for. */
bool wrap_may_end_now(const struct job *job);
