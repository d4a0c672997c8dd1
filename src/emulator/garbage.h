/* Answers no service would give, for FAULT_GARBAGE. */
#pragma once

#include "request.h"

/* Puts garbage of this kind in the place of the reply's body; its status stays. */
void garbage_fill(struct reply *reply, enum garbage_kind kind);
