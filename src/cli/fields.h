/* --fields: which members of a document are shown, "registrationId,attestation.type". */
#pragma once

#include "cli-internal.h"

struct fields {
	size_t count; /* 0: all */
	char *storage;
	struct column columns[OUTPUT_COLUMNS_MAX];
	bool is_found[OUTPUT_COLUMNS_MAX]; /* in an object that was selected from */
	bool has_selected;
};

/* text NULL: all. Spaces around names are no part of them. CAUSE_USAGE for an empty name, one given twice, or too many. For CLEANUP(fields_done). */
bool fields_parse(const char *text, struct fields *ret_fields, struct muster_error *err) MUST_CHECK;
void fields_done(struct fields *fields);
/* Puts in place of each object of the array one with just these members, named as they were asked for; what is not there is
 * null. */
bool fields_select(struct fields *fields, cJSON *array, struct muster_error *err) MUST_CHECK;
/* At the end: a warning for each name that stood in no object; it may be mistyped. */
void fields_warn(const struct fields *fields);
