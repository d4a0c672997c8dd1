/* A device has lives: what was done in one says nothing of the next. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/journal.h"

/* The stages of the entries that may end one. */
#define OUTBOX_STAGE "outbox"
#define RETIRE_STAGE "retire"

/* Whether a life ends with this entry: the device was retired, or a person gave it up. */
bool life_ends(const struct journal_entry *entry, const cJSON *body);
