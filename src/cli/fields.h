/* --fields: which members of a document are shown, "registrationId,attestation.type". */
#pragma once

#include "cli-internal.h"

struct fields {
	size_t count; /* 0: all */
	char *storage;
	struct column columns[OUTPUT_COLUMNS_MAX];
};

/* text NULL: all. CAUSE_USAGE for an empty name, one given twice, or too many. For CLEANUP(fields_done). */
bool fields_parse(const char *text, struct fields *ret_fields, struct muster_error *err) MUST_CHECK;
void fields_done(struct fields *fields);
/* Puts in place of each object of the array one with just these members, named as they were asked for; what is not there is
 * null. */
bool fields_select(const struct fields *fields, cJSON *array, struct muster_error *err) MUST_CHECK;
