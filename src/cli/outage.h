/* How long a run waits for a service that is away, and what it says of that. */
#pragma once

#include "muster/dps-outage.h"

#include "cli-internal.h"

#define OUTAGE_PATIENCE "1h" /* when nothing is said */
/* clang-format off */
/* `member` is a struct login_options. */
#define PATIENCE_ROW(type, member) \
	{ 0, "patience", NULL, OPTION_TEXT, "TIME", "How long to wait for a service that is away: 30m, 8h, 0 (" OUTAGE_PATIENCE ")", \
	  offsetof(type, member.patience), "MUSTER_PATIENCE", NULL, 0 }
/* clang-format on */

/* Seconds, or with a unit: 90s, 30m, 8h; NULL: OUTAGE_PATIENCE. */
bool outage_patience(const char *given, int64_t *ret_patience_ms, struct muster_error *err)
	MUST_CHECK;
/* A line on standard error unless it has to be quiet, and an event where standard output has such. */
void outage_print(const struct dps_outage_news *news, enum output_format output, bool is_quiet);
