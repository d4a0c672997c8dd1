#include "pin.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/station-token.h"

enum { MARKER_MAX = 4096 };

static bool find_directory(char **ret_directory, struct muster_error *err)
{
	CLEANUP(freep) char *state = NULL;

	if (!directory_state_find("refused PINs", &state, err))
		return false;
	*ret_directory = text_format("%s/pin-refusals", state);
	return *ret_directory || muster_fail_memory(err);
}

/* Of a token: what says that its PIN was refused, and the place that is held for that. */
struct paths {
	char *directory, *marker, *reserve;
};

static void paths_done(struct paths *paths)
{
	free(paths->directory);
	free(paths->marker);
	free(paths->reserve);
}

/* The file name is a digest of what identifies the token; its SO-PIN has one of its own. */
static bool find_paths(const struct pin_token *token, struct paths *paths, struct muster_error *err)
{
	CLEANUP(text_done) struct text identity = TEXT_MAX(4096);
	char digest[SHA256_HEX_SIZE];
	const char *role;

	if (!find_directory(&paths->directory, err))
		return false;
	text_addf(&identity, "%s\n%s\n%s\n%s", token->manufacturer, token->model, token->serial,
		  token->label);
	if (identity.failed)
		return muster_fail_memory(err);
	sha256_hex(digest, identity.data, identity.length);
	role = token->is_officer ? "-so" : "";
	paths->marker = text_format("%s/%.32s%s.json", paths->directory, digest, role);
	paths->reserve = text_format("%s/.%.32s%s.json", paths->directory, digest, role);
	return (paths->marker && paths->reserve) || muster_fail_memory(err);
}

static bool write_marker(const char *path, const struct pin_token *token, bool is_acknowledged,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *marker = cJSON_CreateObject();
	CLEANUP(freep) char *line = NULL;
	char now[RFC3339_SIZE];

	if (!marker || !json_add_text(marker, "token", token->label) ||
	    !json_add_text(marker, "serial", token->serial) ||
	    !json_add_text(marker, "manufacturer", token->manufacturer) ||
	    !json_add_text(marker, "model", token->model) ||
	    !json_add_bool(marker, "officer", token->is_officer) ||
	    !json_add_text(marker, "at", rfc3339_format(now, clock_wall_ms())) ||
	    !json_add_bool(marker, "acknowledged", is_acknowledged))
		return muster_fail_memory(err);
	line = json_print_line(marker);
	if (!line)
		return muster_fail_memory(err);
	return file_write(path, line, strlen(line), 0600, true, err);
}

static bool read_marker(const char *path, cJSON **ret_marker, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes content = { 0 };

	return file_read(path, MARKER_MAX, &content, err) &&
	       json_parse((const char *)content.data, content.size, path, ret_marker, err);
}

bool pin_recall(const struct pin_token *token, enum pin_memory *ret_memory,
		struct muster_error *err)
{
	CLEANUP(paths_done) struct paths paths = { 0 };
	CLEANUP(cJSON_freep) cJSON *marker = NULL;
	struct muster_error unreadable;

	if (!find_paths(token, &paths, err))
		return false;
	*ret_memory = PIN_NOTHING;
	if (access(paths.marker, F_OK) < 0 && errno == ENOENT)
		return true;
	/* A marker that cannot be read still says that there was a refusal. */
	*ret_memory = read_marker(paths.marker, &marker, &unreadable) &&
				      json_bool(marker, "acknowledged", false)
			      ? PIN_ACKNOWLEDGED
			      : PIN_REFUSED_BEFORE;
	return true;
}

bool pin_prepare(const struct pin_token *token, struct muster_error *err)
{
	CLEANUP(paths_done) struct paths paths = { 0 };

	return (find_paths(token, &paths, err) && directory_make(paths.directory, err) &&
		write_marker(paths.reserve, token, false, err)) ||
	       muster_error_prefix(
		       err,
		       "no PIN is tried on token '%s', because its refusal could not be remembered",
		       PRINTABLE(token->label));
}

/* Another process may have used the place up meanwhile. */
bool pin_remember_refusal(const struct pin_token *token, struct muster_error *err)
{
	CLEANUP(paths_done) struct paths paths = { 0 };

	return (find_paths(token, &paths, err) &&
		((rename(paths.reserve, paths.marker) == 0 &&
		  directory_sync(paths.directory, err)) ||
		 write_marker(paths.marker, token, false, err))) ||
	       muster_error_prefix(err, "remembering that token '%s' refused the PIN",
				   PRINTABLE(token->label));
}

static bool take_away(const char *path, struct muster_error *err)
{
	return unlink(path) == 0 || errno == ENOENT ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "removing '%s'", PRINTABLE(path));
}

bool pin_forget(const struct pin_token *token, struct muster_error *err)
{
	CLEANUP(paths_done) struct paths paths = { 0 };

	return find_paths(token, &paths, err) && take_away(paths.marker, err) &&
	       take_away(paths.reserve, err);
}

/* -- Acknowledging ------------------------------------------------------------------------------------------- */

static bool attribute_matches(const char *wanted, const char *value)
{
	return !wanted || (value && strcmp(wanted, value) == 0);
}

static bool acknowledge_one(const char *path, const struct token_uri *uri, size_t *count,
			    struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *marker = NULL;
	struct pin_token token;

	if (!read_marker(path, &marker, err))
		return false;
	token = (struct pin_token){
		.label = json_text(marker, "token"),
		.serial = json_text(marker, "serial"),
		.manufacturer = json_text(marker, "manufacturer"),
		.model = json_text(marker, "model"),
		.is_officer = json_bool(marker, "officer", false),
	};
	if (!attribute_matches(uri->token, token.label) ||
	    !attribute_matches(uri->serial, token.serial) ||
	    !attribute_matches(uri->manufacturer, token.manufacturer) ||
	    !attribute_matches(uri->model, token.model))
		return true;
	(*count)++;
	return write_marker(path, &token, true, err);
}

/* TOKEN may be a URI, or simply a label. */
static bool parse_token(const char *text, struct token_uri *ret_uri, struct muster_error *err)
{
	if (text_has_prefix(text, "pkcs11:"))
		return token_uri_parse(text, ret_uri, err);
	ret_uri->token = strdup(text);
	return ret_uri->token || muster_fail_memory(err);
}

bool station_pin_acknowledge(const char *token_uri, struct muster_error *err)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 };
	CLEANUP(freep) char *directory = NULL;
	CLEANUP(closedirp) DIR *stream = NULL;
	const struct dirent *item;
	size_t count = 0;

	if (!find_directory(&directory, err) || !parse_token(token_uri, &uri, err))
		return false;
	stream = opendir(directory);
	while (stream) {
		CLEANUP(freep) char *path = NULL;

		if (!directory_next(stream, directory, &item, err))
			return false;
		if (!item)
			break;
		path = text_format("%s/%s", directory, item->d_name);
		if (item->d_name[0] != '.' && path && !acknowledge_one(path, &uri, &count, err))
			return false;
	}
	return count > 0 || muster_fail(err, CAUSE_TOKEN_NOT_FOUND,
					"no refused PIN is remembered for token '%s'",
					PRINTABLE(uri.token ? uri.token : token_uri));
}
