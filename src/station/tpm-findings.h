/* Findings as JSON, for reports and evidence. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/ek-trust.h"

/* "ok", "note", "warn", "refuse". */
const char *findings_verdict(enum ek_verdict verdict);
/* "code" and "remedy" of a cause; of CAUSE_NONE nothing. */
bool findings_add_cause(cJSON *object, enum muster_cause cause);
/* An array of check, verdict, seen, code, remedy; NULL without memory. */
cJSON *findings_json(const struct ek_findings *findings);
