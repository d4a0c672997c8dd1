#include "muster/dps.h"
#include "muster/json.h"

#include "enrollment.h"

const struct column enrollment_columns[ENROLLMENT_COLUMN_COUNT] = {
	{ "registrationId", "REGISTRATION ID", false, false },
	{ "deviceId", "DEVICE ID", false, false },
	{ "provisioningStatus", "STATUS", false, false },
	{ "allocationPolicy", "ALLOCATION", false, false },
	{ "lastUpdatedDateTimeUtc", "UPDATED", false, false },
	{ "etag", "ETAG", false, false },
};

bool enrollment_id_check(const struct invocation *call, const char *id, struct muster_error *err)
{
	const char *verb = verb_full_name(call->verb);

	return id ? dps_path_id_check(id, err)
		  : muster_fail(err, CAUSE_USAGE,
				"'muster %s' needs --enrollment-id ID (see muster %s --help)", verb,
				verb);
}

bool enrollment_print(const struct invocation *call, cJSON *enrollment, struct muster_error *err)
{
	json_sort(enrollment);
	return output_print(stdout, call->output, enrollment, enrollment_columns,
			    ENROLLMENT_COLUMN_COUNT, err);
}
