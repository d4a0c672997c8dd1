#include <stddef.h>

#include "muster/error.h"

static const struct muster_cause_info causes[] = {
#define CAUSE(number, name_, code_, title_, why_, remedy_) \
	{ CAUSE_##name_, MUSTER_E_##code_, #name_, title_, why_, remedy_ },
#include "muster/causes.def"
#undef CAUSE
};

const struct muster_cause_info *muster_cause_find(unsigned number)
{
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++)
		if (causes[i].cause == number)
			return &causes[i];
	return NULL;
}

const struct muster_cause_info *muster_causes(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(causes);
	return causes;
}

const char *muster_code_name(enum muster_code code)
{
	static const char *const names[] = {
		[MUSTER_OK] = "ok",
		[MUSTER_E_UNIT] = "unit",
		[MUSTER_E_USAGE] = "usage",
		[MUSTER_E_NOT_FOUND] = "not-found",
		[MUSTER_E_HARDWARE] = "hardware",
		[MUSTER_E_REFUSED] = "refused",
		[MUSTER_E_AGAIN] = "again",
		[MUSTER_E_CONFLICT] = "conflict",
		[MUSTER_E_INTEGRITY] = "integrity",
		[MUSTER_E_UNKNOWN] = "unknown",
		[MUSTER_E_INTERNAL] = "internal",
		[MUSTER_E_STORAGE] = "storage",
	};
	return (size_t)code < ARRAY_SIZE(names) ? names[code] : "internal";
}
