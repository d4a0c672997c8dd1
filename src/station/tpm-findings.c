#include "tpm-findings.h"

#include <stdio.h>

#include "muster/json.h"

const char *findings_verdict(enum ek_verdict verdict)
{
	static const char *const words[] = {
		[EK_PASSED] = "ok",
		[EK_NOTED] = "note",
		[EK_WARNED] = "warn",
		[EK_REFUSED] = "refuse",
	};

	return words[verdict];
}

bool findings_add_cause(cJSON *object, enum muster_cause cause)
{
	const struct muster_cause_info *info = cause ? muster_cause_find(cause) : NULL;
	char code[16];

	snprintf(code, sizeof(code), "E%04u", (unsigned)cause);
	return !info || (json_add_text(object, "code", code) &&
			 json_add_text(object, "remedy", info->remedy));
}

cJSON *findings_json(const struct ek_findings *findings)
{
	CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();

	for (size_t i = 0; array && i < findings->count; i++) {
		const struct ek_finding *row = &findings->rows[i];
		cJSON *object = cJSON_CreateObject();

		if (!object || !cJSON_AddItemToArray(array, object) ||
		    !json_add_text(object, "check", row->check) ||
		    !json_add_text(object, "verdict", findings_verdict(row->verdict)) ||
		    !json_add_text(object, "seen", row->text) ||
		    !findings_add_cause(object, row->cause))
			return NULL;
	}
	return TAKE_PTR(array);
}
