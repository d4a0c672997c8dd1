#include <string.h>

#include "table-internal.h"

/* The text is valid JSON, so nothing is checked here. */

static const char *skip_space(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static const char *skip_string(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		if (*at == '\\' && at[1])
			at++;
	return *at ? at + 1 : at;
}

static const char *skip_value(const char *at)
{
	int depth = 0;

	do {
		at = skip_space(at);
		if (*at == '"') {
			at = skip_string(at);
		} else if (*at == '{' || *at == '[') {
			depth++;
			at++;
		} else if (*at == '}' || *at == ']') {
			depth--;
			at++;
		} else if (*at == ',' || *at == ':') {
			at++;
		} else {
			at += strcspn(at, " \t\r\n,:]}");
		}
	} while (*at && depth > 0);
	return at;
}

/* The name of the member, or NULL. Names of enrollments have no escapes. */
static const char *find_member(const char *object, const char *name, size_t length)
{
	const char *at = skip_space(object);

	if (*at != '{')
		return NULL;
	for (at = skip_space(at + 1); *at == '"'; at = skip_space(at)) {
		const char *key = at;
		const char *end = skip_string(at);

		if ((size_t)(end - key) == length + 2 && memcmp(key + 1, name, length) == 0)
			return key;
		at = skip_space(end);
		at = skip_space(skip_value(skip_space(at + 1)));
		at += *at == ',';
	}
	return NULL;
}

static size_t characters(const char *from, const char *to)
{
	size_t count = 0;

	for (; from < to; from++)
		count += ((unsigned char)*from & 0xc0) != 0x80;
	return count;
}

size_t json_line_column(const char *line, const char *path)
{
	const char *found = skip_space(line), *value = found;

	while (*path) {
		size_t length = strcspn(path, ".");
		const char *member = find_member(value, path, length);

		if (!member)
			break;
		found = member;
		value = skip_space(skip_space(skip_string(member)) + 1);
		path += length + (path[length] == '.');
	}
	return characters(line, found) + 1;
}
