/* What verbs that read profiles and configuration share. */
#pragma once

#include "muster/config.h"
#include "muster/profile.h"

#include "cli-internal.h"

/* Every mistake as a compiler prints it, on standard error. */
void report_print(const struct profile_report *report);
/* One object per mistake: path, line, column, code, severity, message. */
bool report_add_json(const struct profile_report *report, cJSON *array, struct muster_error *err)
	MUST_CHECK;
/* config_load, with its mistakes printed. */
bool report_config_load(struct config *ret_config, struct muster_error *err) MUST_CHECK;
