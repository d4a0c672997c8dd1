#include "spec.h"

#include <string.h>

static bool copy(char *out, size_t out_size, const char *text, size_t length)
{
	if (length == 0 || length >= out_size)
		return false;
	memcpy(out, text, length);
	out[length] = '\0';
	return true;
}

bool spec_next(const char **rest, struct spec_part *ret_part)
{
	struct spec_part part = { 0 };
	const char *text = *rest;
	size_t length = strcspn(text, ":");
	size_t name = strcspn(text, "=:");

	if (!copy(part.name, sizeof(part.name), text, name))
		return false;
	if (name < length) {
		part.has_value = true;
		if (!copy(part.value, sizeof(part.value), text + name + 1, length - name - 1))
			return false;
	}
	/* A colon with nothing behind it is an empty part: leave it for the next call to refuse. */
	*rest = text[length] == ':' && text[length + 1] != '\0' ? text + length + 1 : text + length;
	*ret_part = part;
	return true;
}

bool spec_choice(const char *word, const char *const *words, size_t count, size_t *ret_index)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i], word) == 0) {
			*ret_index = i;
			return true;
		}
	}
	return false;
}
