/* The rows of the profile; the machinery is in fields.h. */
#pragma once

#include "fields.h"

extern const struct fields profile_fields;
extern const struct rule profile_rules[];
extern const size_t profile_rule_count;
extern const struct word profile_attestation_words[];
extern const struct word profile_allocation_words[];
