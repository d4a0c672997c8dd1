/* Every TPM in reach, a row each: what udev says of its place, and what the chip says of itself. */
#include <string.h>

#include "muster/ek.h"
#include "muster/json.h"
#include "muster/station-attached.h"
#include "muster/station-tpm.h"

#include "tpm-chip.h"

static bool add_chip(cJSON *row, const char *tcti)
{
	CLEANUP(chip_close) struct chip chip = { 0 };
	struct muster_error err;
	const char *vendor;

	if (!chip_open(tcti, &chip, &err))
		return json_add_text(row, "state", err.message);
	vendor = ek_vendor_name(chip.manufacturer);
	return json_add_text(row, "state", "answers") &&
	       json_add_text(row, "vendor", vendor ? vendor : "unknown") &&
	       json_add_text(row, "manufacturer", chip.manufacturer) &&
	       json_add_text(row, "model", chip.model) &&
	       json_add_text(row, "firmware", chip.firmware);
}

static cJSON *add_row(cJSON *array, const char *tcti)
{
	cJSON *row = cJSON_CreateObject();

	return row && cJSON_AddItemToArray(array, row) && json_add_text(row, "tpm", tcti) ? row
											  : NULL;
}

static bool add_attached(cJSON *array, const struct attached_tpm *tpm, bool with_own)
{
	cJSON *row = add_row(array, tpm->tpm);

	if (!row || !json_add_text(row, "socket", tpm->socket) ||
	    !json_add_text(row, "path", tpm->path))
		return false;
	return tpm->is_own && !with_own
		       ? json_add_text(row, "state", "the station's own: not asked without --own")
		       : add_chip(row, tpm->tpm);
}

bool station_tpm_list(const struct socket_map *sockets, const char *const *named,
		      size_t named_count, bool with_own, cJSON **ret_document,
		      struct muster_error *err)
{
	CLEANUP(attached_tpms_done) struct attached_tpms attached = { 0 };
	CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();

	if (!array)
		return muster_fail_memory(err);
	if (!attached_tpms_list(sockets, &attached, err))
		return false;
	for (size_t i = 0; i < attached.count; i++)
		if (!add_attached(array, &attached.rows[i], with_own))
			return muster_fail_memory(err);
	for (size_t i = 0; i < named_count; i++) {
		cJSON *row = add_row(array, named[i]);

		if (!row || !add_chip(row, named[i]))
			return muster_fail_memory(err);
	}
	*ret_document = TAKE_PTR(array);
	return true;
}
