/* The sockets of the bench and what is in them. */
#include <string.h>

#include "muster/json.h"
#include "muster/station-attached.h"

static const struct attached_tpm *tpm_at(const struct attached_tpms *tpms, const char *path)
{
	for (size_t i = 0; i < tpms->count; i++)
		if (tpms->rows[i].path && strcmp(tpms->rows[i].path, path) == 0)
			return &tpms->rows[i];
	return NULL;
}

static bool add_row(cJSON *array, const char *socket, const char *path, const char *tpm,
		    const char *state)
{
	cJSON *row = cJSON_CreateObject();

	return row && cJSON_AddItemToArray(array, row) && json_add_text(row, "socket", socket) &&
	       json_add_text(row, "path", path) && json_add_text(row, "tpm", tpm) &&
	       json_add_text(row, "state", state);
}

static bool add_rows(cJSON *array, const struct socket_map *map, const struct attached_tpms *tpms)
{
	for (size_t i = 0; i < map->count; i++) {
		const struct socket_row *row = &map->rows[i];
		const struct attached_tpm *tpm = tpm_at(tpms, row->path);

		if (!add_row(array, row->name, row->path, tpm ? tpm->tpm : NULL,
			     tpm ? "TPM" : "empty"))
			return false;
	}
	for (size_t i = 0; i < tpms->count; i++) {
		const struct attached_tpm *tpm = &tpms->rows[i];

		if (!socket_map_by_path(map, tpm->path) &&
		    !add_row(array, tpm->socket, tpm->path, tpm->tpm,
			     tpm->socket   ? "TPM"
			     : tpm->is_own ? "the station's own"
					   : "not mapped"))
			return false;
	}
	return true;
}

bool station_socket_list(const struct socket_map *map, cJSON **ret_document,
			 struct muster_error *err)
{
	CLEANUP(attached_tpms_done) struct attached_tpms tpms = { 0 };
	CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();

	if (!attached_tpms_list(map, &tpms, err))
		return false;
	if (!array || !add_rows(array, map, &tpms))
		return muster_fail_memory(err);
	*ret_document = TAKE_PTR(array);
	return true;
}
