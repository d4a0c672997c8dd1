/* TPMs for people: what one is, whether to trust it, and what to do if not. Beside the jobs of station.h; every call
 * talks to hardware and blocks within the deadlines of the worker's verbs (5, 30 or 120 s each). */
#pragma once

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/error.h"

/* Keys in every form, certificates, handles, capabilities. The caller's. Changes nothing on the chip. */
bool station_tpm_show(const char *tcti, cJSON **ret_document, struct muster_error *err) MUST_CHECK;
