#include "muster/json-edit.h"

#include <string.h>

#include "muster/json.h"
#include "muster/secret.h"

/* A member of an object, by offsets into the text: [name, value_end) with its colon in between. */
struct member {
	size_t name, value, value_end;
};

/* -- Walking valid JSON -------------------------------------------------------------------------------- */

static size_t skip_space(const char *json, size_t at)
{
	return at + strspn(json + at, " \t\r\n");
}

/* From the opening quote to behind the closing one. */
static size_t skip_string(const char *json, size_t at)
{
	for (at++; json[at] != '"'; at++)
		at += json[at] == '\\';
	return at + 1;
}

static size_t skip_value(const char *json, size_t at)
{
	size_t depth = 0;

	do {
		at = skip_space(json, at);
		if (json[at] == '"') {
			at = skip_string(json, at);
		} else if (strchr("{[", json[at])) {
			depth++;
			at++;
		} else if (strchr("}]", json[at])) {
			depth--;
			at++;
		} else if (strchr(",:", json[at])) {
			at++;
		} else {
			at += strcspn(json + at, ",]} \t\r\n");
		}
	} while (depth > 0);
	return at;
}

/* Names may be written with escapes. */
static bool has_name(const char *json, const struct member *member, const char *name, size_t length)
{
	const char *literal = json + member->name;
	size_t size = skip_string(json, member->name) - member->name;
	CLEANUP(cJSON_freep) cJSON *decoded = NULL;

	if (!memchr(literal, '\\', size))
		return size == length + 2 && memcmp(literal + 1, name, length) == 0;
	decoded = cJSON_ParseWithLength(literal, size);
	return decoded && strlen(decoded->valuestring) == length &&
	       memcmp(decoded->valuestring, name, length) == 0;
}

/* `object` is the offset of a "{". */
static bool find_member(const char *json, size_t object, const char *name, size_t length,
			struct member *ret_member)
{
	size_t at = skip_space(json, object + 1);

	while (json[at] == '"') {
		struct member member = { .name = at };

		at = skip_space(json, skip_string(json, at)) + 1;
		member.value = skip_space(json, at);
		member.value_end = skip_value(json, member.value);
		if (has_name(json, &member, name, length)) {
			*ret_member = member;
			return true;
		}
		at = skip_space(json, member.value_end);
		at = skip_space(json, at + (json[at] == ','));
	}
	return false;
}

/* How far a path leads: the innermost object on it, and what is left of the path there. */
struct place {
	size_t object;
	const char *rest;     /* begins with the name that was looked for last */
	struct member member; /* when it was found */
	bool was_found;
};

static void find_place(const char *json, const char *path, struct place *place)
{
	*place = (struct place){ .object = skip_space(json, 0), .rest = path };
	for (;;) {
		size_t length = strcspn(place->rest, ".");

		place->was_found =
			find_member(json, place->object, place->rest, length, &place->member);
		if (!place->was_found || !place->rest[length] || json[place->member.value] != '{')
			return;
		place->object = place->member.value;
		place->rest += length + 1;
	}
}

bool json_text_find(const char *json, size_t length, const char *path, const char **ret_value,
		    size_t *ret_length)
{
	struct place place;

	if (length == 0 || json[skip_space(json, 0)] != '{')
		return false;
	find_place(json, path, &place);
	if (!place.was_found || strchr(place.rest, '.'))
		return false;
	*ret_value = json + place.member.value;
	*ret_length = place.member.value_end - place.member.value;
	return true;
}

/* -- Editing ------------------------------------------------------------------------------------------- */

/* Puts `value` in place of [from, to). */
static bool splice(struct text *json, size_t from, size_t to, const struct text *value,
		   struct muster_error *err)
{
	CLEANUP(text_done) struct text edited = TEXT_MAX(json->max);

	text_add_bytes(&edited, json->data, from);
	text_add_bytes(&edited, value->data ? value->data : "", value->length);
	text_add_bytes(&edited, json->data + to, json->length - to);
	if (value->failed || !text_ok(&edited, err))
		return value->failed ? muster_fail_memory(err) : false;
	text_done(json);
	*json = edited;
	edited = (struct text){ 0 };
	return true;
}

/* "b.c" and 1 make {"b":{"c":1}}. */
static void nest(struct text *out, const char *path, const char *value, size_t length)
{
	size_t name = strcspn(path, ".");

	text_addf(out, "\"%.*s\":", (int)name, path);
	if (path[name]) {
		text_add_char(out, '{');
		nest(out, path + name + 1, value, length);
		text_add_char(out, '}');
	} else {
		text_add_bytes(out, value, length);
	}
}

static bool is_empty(const char *json, size_t object)
{
	return json[skip_space(json, object + 1)] == '}';
}

bool json_text_set(struct text *json, const char *path, const char *value, size_t length,
		   struct muster_error *err)
{
	CLEANUP(text_done) struct text member = TEXT_MAX(json->max);
	struct place place;
	const struct member *found = &place.member;
	size_t end;

	find_place(json->data, path, &place);
	if (!place.was_found) {
		end = skip_value(json->data, place.object) - 1;
		text_add(&member, is_empty(json->data, place.object) ? "" : ",");
		nest(&member, place.rest, value, length);
		return splice(json, end, end, &member, err);
	}
	/* A whole new value, or an object in place of what is none. */
	text_add_bytes(&member, json->data + found->name, found->value - found->name);
	if (strchr(place.rest, '.')) {
		text_add_char(&member, '{');
		nest(&member, strchr(place.rest, '.') + 1, value, length);
		text_add_char(&member, '}');
	} else {
		text_add_bytes(&member, value, length);
	}
	return splice(json, found->name, found->value_end, &member, err);
}

bool json_text_set_string(struct text *json, const char *path, const char *value,
			  struct muster_error *err)
{
	char *literal = json_quote(value);
	bool is_set;

	if (!literal)
		return muster_fail_memory(err);
	is_set = json_text_set(json, path, literal, strlen(literal), err);
	secret_wipe(literal, strlen(literal));
	cJSON_free(literal);
	return is_set;
}

bool json_text_remove(struct text *json, const char *path, struct muster_error *err)
{
	static const struct text nothing = { 0 };
	struct place place;
	size_t from, to;

	find_place(json->data, path, &place);
	if (!place.was_found || strchr(place.rest, '.'))
		return true;
	from = place.member.name;
	to = skip_space(json->data, place.member.value_end);
	if (json->data[to] == ',')
		return splice(json, from, skip_space(json->data, to + 1), &nothing, err);
	/* The last one: the comma in front goes with it. */
	while (from > place.object + 1 && strchr(" \t\r\n,", json->data[from - 1]))
		from--;
	return splice(json, from, place.member.value_end, &nothing, err);
}
