/* The sockets of the bench and what is in them: TPMs as udev tells, tokens as their modules do, without a login. */
#include <string.h>

#include "muster/json.h"
#include "muster/station-attached.h"

#include "visit.h"

static const struct attached_tpm *tpm_at(const struct attached_tpms *tpms, const char *path)
{
	for (size_t i = 0; i < tpms->count; i++)
		if (tpms->rows[i].path && strcmp(tpms->rows[i].path, path) == 0)
			return &tpms->rows[i];
	return NULL;
}

/* NULL without memory. */
static cJSON *add_row(cJSON *array, const char *socket, const char *path, const char *tpm,
		      const char *state)
{
	cJSON *row = cJSON_CreateObject();

	return row && cJSON_AddItemToArray(array, row) && json_add_text(row, "socket", socket) &&
			       json_add_text(row, "path", path) && json_add_text(row, "tpm", tpm) &&
			       json_add_text(row, "state", state)
		       ? row
		       : NULL;
}

/* -- Tokens ------------------------------------------------------------------------------------------------------- */

static const char *const names_of_token[] = { "label", "serial", "manufacturer", "model" };

/* `token` is one as visit_describe makes it. */
static bool add_token(cJSON *row, const cJSON *token)
{
	for (size_t i = 0; i < ARRAY_SIZE(names_of_token); i++)
		if (!json_add_text(row, names_of_token[i], json_text(token, names_of_token[i])))
			return false;
	return json_add_text(row, "token", json_text(token, "uri")) &&
	       json_add_item(row, "flags", cJSON_Duplicate(json_get(token, "flags"), true));
}

/* The token that the map names for a socket. A module that does not answer, or has several such tokens, is told in the row. */
static bool add_named(cJSON *array, const struct socket_row *socket, struct muster_error *err)
{
	CLEANUP(visit_done) struct visit visit = { 0 };
	CLEANUP(cJSON_freep) cJSON *token = cJSON_CreateObject();
	struct muster_error why;
	bool is_open;
	cJSON *row;

	if (!token)
		return muster_fail_memory(err);
	is_open = visit_open(&visit, socket->token, &why);
	if (is_open && !visit_describe(&visit.module, &visit.token, token, err))
		return false;
	row = add_row(array, socket->name, socket->path, NULL,
		      is_open                              ? "token"
		      : why.cause == CAUSE_TOKEN_NOT_FOUND ? "empty"
							   : "not reached");
	if (!row || (is_open && !add_token(row, token)) ||
	    (!is_open && why.cause != CAUSE_TOKEN_NOT_FOUND &&
	     !json_add_text(row, "error", why.message)))
		return muster_fail_memory(err);
	return true;
}

static bool is_same(const cJSON *row, const cJSON *token)
{
	for (size_t i = 0; i < ARRAY_SIZE(names_of_token); i++) {
		const char *left = json_text(row, names_of_token[i]);
		const char *right = json_text(token, names_of_token[i]);

		if (!left || !right || strcmp(left, right) != 0)
			return false;
	}
	return true;
}

static bool is_shown(const cJSON *array, const cJSON *token)
{
	const cJSON *row;

	cJSON_ArrayForEach(row, array) if (is_same(row, token)) return true;
	return false;
}

/* A slot that waits for its first token is none. */
static bool is_initialized(const cJSON *token)
{
	const cJSON *flag;

	cJSON_ArrayForEach(flag,
			   json_get(token, "flags")) if (strcmp(flag->valuestring, "initialized") ==
							 0) return true;
	return false;
}

/* What the station's modules have beside that. A module that does not answer is for muster hsm list to tell. */
static bool add_others(cJSON *array, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *tokens = cJSON_CreateArray();
	const cJSON *token;

	if (!tokens)
		return muster_fail_memory(err);
	if (!token_list_configured(tokens, err))
		return false;
	cJSON_ArrayForEach(token, tokens)
	{
		cJSON *row;

		if (!is_initialized(token) || is_shown(array, token))
			continue;
		row = add_row(array, NULL, NULL, NULL, "not mapped");
		if (!row || !add_token(row, token))
			return muster_fail_memory(err);
	}
	return true;
}

/* -- All ------------------------------------------------------------------------------------------------------------ */

static bool add_socket(cJSON *array, const struct socket_row *socket,
		       const struct attached_tpms *tpms, struct muster_error *err)
{
	const struct attached_tpm *tpm = tpm_at(tpms, socket->path);

	if ((tpm || !socket->token) && !add_row(array, socket->name, socket->path,
						tpm ? tpm->tpm : NULL, tpm ? "TPM" : "empty"))
		return muster_fail_memory(err);
	return !socket->token || add_named(array, socket, err);
}

static bool add_unmapped(cJSON *array, const struct socket_map *map,
			 const struct attached_tpms *tpms)
{
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

	if (!array)
		return muster_fail_memory(err);
	if (!attached_tpms_list(map, &tpms, err))
		return false;
	for (size_t i = 0; i < map->count; i++)
		if (!add_socket(array, &map->rows[i], &tpms, err))
			return false;
	if (!add_unmapped(array, map, &tpms))
		return muster_fail_memory(err);
	if (!add_others(array, err))
		return false;
	*ret_document = TAKE_PTR(array);
	return true;
}
