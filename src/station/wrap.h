/* Whom a key was wrapped for. Private to the station. */
#pragma once

#include "job.h"

/* Before the attempt begins: another device than the one that the key was wrapped for changes nothing, CAUSE_SERIAL_TAKEN, unless
 * nothing came of that and a key can be made for it. */
bool wrap_check_owner(struct job *job, struct muster_error *err) MUST_CHECK;
