#include "muster/profile-sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/file.h"
#include "muster/text.h"
#include "muster/token-uri.h"

enum { MAP_SIZE_MAX = 64 * 1024, NAME_MAX_LENGTH = 32, WORD_MAX = 255, WORDS = 3 };

static const char blanks[] = " \t\r";

static void row_done(struct socket_row *row)
{
	free(row->path);
	free(row->name);
	free(row->tcti);
	free(row->token);
	*row = (struct socket_row){ 0 };
}

void socket_map_done(struct socket_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		row_done(&map->rows[i]);
	*map = (struct socket_map){ 0 };
}

const char *socket_map_file(const char *named)
{
	return named ? named : SOCKETS_FILE;
}

/* -- Asking ------------------------------------------------------------------------------------------------- */

bool socket_name_check(const char *name, struct muster_error *err)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strlen(name);

	return (length >= 1 && length <= NAME_MAX_LENGTH && strspn(name, allowed) == length &&
		!strchr("._-", *name)) ||
	       muster_fail(err, CAUSE_SOCKET_MAP_INVALID,
			   "'%s' is no name for a socket: 1 to %d letters, digits, '.', '_' and "
			   "'-', beginning with a letter or digit",
			   PRINTABLE(name), NAME_MAX_LENGTH);
}

const struct socket_row *socket_map_by_path(const struct socket_map *map, const char *path)
{
	for (size_t i = 0; path && i < map->count; i++)
		if (strcmp(map->rows[i].path, path) == 0)
			return &map->rows[i];
	return NULL;
}

const struct socket_row *socket_map_by_name(const struct socket_map *map, const char *name)
{
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->rows[i].name, name) == 0)
			return &map->rows[i];
	return NULL;
}

/* -- Reading ------------------------------------------------------------------------------------------------ */

struct place {
	const char *file;
	size_t line, column;
};

#define PLACE_FORMAT "'%s': line %zu, column %zu: "
#define PLACE_WORDS(place) PRINTABLE((place)->file), (place)->line, (place)->column

static bool check_path(const char *path, const struct place *place, struct muster_error *err)
{
	for (const char *at = path; *at; at++)
		if (*at < '!' || *at > '~' || strchr("'\"\\", *at))
			return muster_fail(err, CAUSE_SOCKET_MAP_INVALID,
					   PLACE_FORMAT "'%s' is no bus path", PLACE_WORDS(place),
					   PRINTABLE(path));
	return true;
}

static bool is_token(const char *word)
{
	return text_has_prefix(word, "pkcs11:");
}

static bool check_token(const char *word, const struct place *place, struct muster_error *err)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 };
	struct muster_error why;

	return token_uri_parse(word, &uri, &why) ||
	       muster_fail(err, CAUSE_SOCKET_MAP_INVALID, PLACE_FORMAT "%s", PLACE_WORDS(place),
			   why.message);
}

static bool check_word(const struct socket_map *map, size_t index, const char *word,
		       const struct place *place, struct muster_error *err)
{
	struct muster_error why;

	switch (index) {
	case 0:
		if (!check_path(word, place, err))
			return false;
		return !socket_map_by_path(map, word) ||
		       muster_fail(err, CAUSE_SOCKET_MAP_INVALID,
				   PLACE_FORMAT "bus path '%s' stands twice", PLACE_WORDS(place),
				   PRINTABLE(word));
	case 1:
		if (!socket_name_check(word, &why))
			return muster_fail(err, CAUSE_SOCKET_MAP_INVALID, PLACE_FORMAT "%s",
					   PLACE_WORDS(place), why.message);
		return !socket_map_by_name(map, word) ||
		       muster_fail(err, CAUSE_SOCKET_MAP_INVALID,
				   PLACE_FORMAT "socket '%s' stands twice", PLACE_WORDS(place),
				   PRINTABLE(word));
	default:
		return !is_token(word) || check_token(word, place, err);
	}
}

/* Up to three words of a line into their row. */
static bool read_words(const struct socket_map *map, char *line, struct place *place,
		       struct socket_row *row, struct muster_error *err)
{
	char **const words[WORDS] = { &row->path, &row->name, &row->tcti };
	char **word;
	size_t index = 0;

	for (char *at = line + strspn(line, blanks); *at; index++) {
		size_t length = strcspn(at, blanks);
		char *next = at + length + strspn(at + length, blanks);

		at[length] = '\0';
		place->column = (size_t)(at - line) + 1;
		if (index == WORDS || length > WORD_MAX)
			return muster_fail(
				err, CAUSE_SOCKET_MAP_INVALID,
				PLACE_FORMAT
				"%s; a line is bus path, socket, and perhaps a TCTI or a token's URI",
				PLACE_WORDS(place),
				index == WORDS ? "more than three words" : "word too long");
		if (!check_word(map, index, at, place, err))
			return false;
		word = index == WORDS - 1 && is_token(at) ? &row->token : words[index];
		*word = strdup(at);
		if (!*word)
			return muster_fail_memory(err);
		at = next;
	}
	place->column = strlen(line) + 1;
	return index != 1 || muster_fail(err, CAUSE_SOCKET_MAP_INVALID,
					 PLACE_FORMAT "no socket for bus path '%s'",
					 PLACE_WORDS(place), PRINTABLE(row->path));
}

static bool read_line(struct socket_map *map, char *line, struct place *place,
		      struct muster_error *err)
{
	struct socket_row row = { 0 };

	line[strcspn(line, "#")] = '\0';
	if (!read_words(map, line, place, &row, err)) {
		row_done(&row);
		return false;
	}
	if (!row.path)
		return true;
	if (map->count == SOCKETS_MAX) {
		row_done(&row);
		return muster_fail(err, CAUSE_SOCKET_MAP_INVALID,
				   PLACE_FORMAT "more than %d sockets", PLACE_WORDS(place),
				   SOCKETS_MAX);
	}
	map->rows[map->count++] = row;
	return true;
}

static bool read_lines(struct socket_map *map, const char *file, struct bytes *bytes,
		       struct muster_error *err)
{
	struct place place = { file, 1, 1 };
	char *line = (char *)bytes->data;

	if (memchr(bytes->data, '\0', bytes->size))
		return muster_fail(err, CAUSE_SOCKET_MAP_INVALID, "'%s' is no text",
				   PRINTABLE(file));
	for (char *end; line; line = end ? end + 1 : NULL, place.line++) {
		end = strchr(line, '\n');
		if (end)
			*end = '\0';
		if (!read_line(map, line, &place, err))
			return false;
	}
	return true;
}

bool socket_map_read(const char *file, struct socket_map *ret_map, struct muster_error *err)
{
	CLEANUP(socket_map_done) struct socket_map map = { .is_there = true };
	CLEANUP(bytes_done) struct bytes bytes = { 0 };

	if (access(file, F_OK) < 0 && errno == ENOENT) {
		*ret_map = (struct socket_map){ 0 };
		return true;
	}
	if (!file_read_trusted(file, MAP_SIZE_MAX, &bytes, err))
		return muster_error_prefix(err, "reading the map of sockets");
	if (!read_lines(&map, file, &bytes, err))
		return false;
	*ret_map = map;
	map = (struct socket_map){ 0 };
	return true;
}

bool socket_map_open(const char *named, struct socket_map *ret_map, struct muster_error *err)
{
	return socket_map_read(socket_map_file(named), ret_map, err) &&
	       (!named || ret_map->is_there ||
		muster_fail(err, CAUSE_INPUT_NOT_FOUND,
			    "there is no map of sockets '%s' (muster socket map makes one)",
			    PRINTABLE(named)));
}

/* -- Changing ----------------------------------------------------------------------------------------------- */

bool socket_map_set(struct socket_map *map, const char *name, const char *path,
		    struct muster_error *err)
{
	CLEANUP(freep) char *own_name = strdup(name);
	CLEANUP(freep) char *own_path = strdup(path);
	size_t kept = 0, at = SOCKETS_MAX;

	if (!own_name || !own_path)
		return muster_fail_memory(err);
	for (size_t i = 0; i < map->count; i++) {
		struct socket_row row = map->rows[i];

		if (strcmp(row.name, name) != 0 && strcmp(row.path, path) == 0) {
			row_done(&row);
			continue;
		}
		if (strcmp(row.name, name) == 0)
			at = kept;
		map->rows[kept++] = row;
	}
	map->count = kept;
	if (at == SOCKETS_MAX && map->count == SOCKETS_MAX)
		return muster_fail(err, CAUSE_SOCKET_MAP_INVALID, "more than %d sockets",
				   SOCKETS_MAX);
	if (at == SOCKETS_MAX)
		map->rows[at = map->count++] = (struct socket_row){ 0 };
	row_done(&map->rows[at]);
	map->rows[at] =
		(struct socket_row){ .path = TAKE_PTR(own_path), .name = TAKE_PTR(own_name) };
	return true;
}

bool socket_map_write(const char *file, const struct socket_map *map, struct muster_error *err)
{
	CLEANUP(text_done) struct text text = TEXT_MAX(MAP_SIZE_MAX);

	text_add(
		&text,
		"# bus path, socket, and a TCTI where it is not the device node, or a token's URI\n");
	for (size_t i = 0; i < map->count; i++) {
		const struct socket_row *row = &map->rows[i];
		const char *third = row->tcti ? row->tcti : row->token;

		text_addf(&text, "%s\t%s%s%s\n", row->path, row->name, third ? "\t" : "",
			  third ? third : "");
	}
	return text_ok(&text, err) && file_write(file, text.data, text.length, 0644, true, err);
}
