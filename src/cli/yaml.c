/* JSON as YAML in block style. Every scalar but plain words is written as its JSON, which YAML 1.2 takes as it is. */
#include <ctype.h>
#include <string.h>

#include "muster/json.h"

#include "output.h"

static bool write_node(const cJSON *node, struct text *out, int depth, bool is_in_line);

/* Letters, digits and a few marks, beginning with a letter, and none of the words that YAML reads as something else. */
static bool is_plain(const char *value)
{
	static const char *const words[] = { "true", "false", "yes", "no", "on",
					     "off",  "null",  "y",   "n" };

	if (!isalpha((unsigned char)value[0]))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (text_equal_folded(value, words[i]))
			return false;
	}
	return value[strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789-_./")] == '\0';
}

static bool write_text(const char *value, struct text *out)
{
	CLEANUP(freep) char *quoted = NULL;

	if (is_plain(value)) {
		text_add(out, value);
		return true;
	}
	quoted = json_quote(value);
	text_add(out, quoted ? quoted : "");
	return quoted;
}

static void indent(struct text *out, int depth)
{
	for (int i = 0; i < depth; i++)
		text_add(out, "  ");
}

static bool is_nested(const cJSON *node)
{
	return (cJSON_IsObject(node) || cJSON_IsArray(node)) && node->child;
}

static bool write_scalar(const cJSON *node, struct text *out)
{
	CLEANUP(freep) char *json = NULL;
	bool is_written;

	if (cJSON_IsString(node)) {
		is_written = write_text(node->valuestring, out);
	} else {
		json = json_print_line(node);
		text_add(out, json ? json : "");
		is_written = json;
	}
	text_add_char(out, '\n');
	return is_written;
}

/* The children of a mapping or a sequence. With is_in_line the first stands behind a "- " already written. */
static bool write_children(const cJSON *node, struct text *out, int depth, bool is_in_line)
{
	for (const cJSON *child = node->child; child; child = child->next) {
		if (!is_in_line)
			indent(out, depth);
		is_in_line = false;
		if (cJSON_IsArray(node)) {
			text_add(out, "- ");
			if (!write_node(child, out, depth + 1, true))
				return false;
			continue;
		}
		if (!write_text(child->string, out))
			return false;
		text_add(out, is_nested(child) ? ":\n" : ": ");
		if (!write_node(child, out, depth + 1, false))
			return false;
	}
	return true;
}

static bool write_node(const cJSON *node, struct text *out, int depth, bool is_in_line)
{
	if (is_nested(node))
		return write_children(node, out, depth, is_in_line);
	return write_scalar(node, out);
}

bool yaml_write(const cJSON *document, struct text *out)
{
	return write_node(document, out, 0, false);
}
