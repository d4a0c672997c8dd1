/* What those who write events and those who deliver them share. Private to the station. */
#pragma once

#include "muster/config.h"
#include "muster/error.h"

enum hook_event { HOOK_UNIT_START, HOOK_UNIT_DONE, HOOK_BATCH_DONE };

/* One place to go to: CAUSE_USAGE. */
bool hook_check(const struct config_hook *hook, struct muster_error *err) MUST_CHECK;
