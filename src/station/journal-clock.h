/* Without a network no server's clock is there to hold this one against: time does not go back behind what was written. Private to
 * the station. */
#pragma once

#include "muster/journal.h"

/* CAUSE_CLOCK_SKEWED when the clock is more than five minutes behind the journal: behind the latest of its last entries, but for
 * those from before something stood for the time: a service whose clock had been compared, or who exported a bundle. */
bool journal_clock_check(struct journal *journal, struct muster_error *err) MUST_CHECK;
