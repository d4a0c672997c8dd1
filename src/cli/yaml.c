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

/* What JSON lets stand as it is and YAML does not print, or takes for the end of a line: DEL, U+0080 to U+009F, U+2028, U+2029,
 * U+FEFF. 0: none of them, else the length. */
static size_t find_unprintable(const unsigned char *at, unsigned *ret_code)
{
	if (at[0] == 0x7f) {
		*ret_code = at[0];
		return 1;
	}
	if (at[0] == 0xc2 && at[1] < 0xa0) {
		*ret_code = at[1];
		return 2;
	}
	if ((at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9)) ||
	    (at[0] == 0xef && at[1] == 0xbb && at[2] == 0xbf)) {
		*ret_code = (at[0] & 15u) << 12 | (at[1] & 63u) << 6 | (at[2] & 63u);
		return 3;
	}
	return 0;
}

static bool write_text(const char *value, struct text *out)
{
	CLEANUP(freep) char *quoted = NULL;
	unsigned code;
	size_t size;

	if (is_plain(value)) {
		text_add(out, value);
		return true;
	}
	quoted = json_quote(value);
	for (const char *c = quoted; c && *c; c += size) {
		size = find_unprintable((const unsigned char *)c, &code);
		if (size > 0)
			text_addf(out, "\\u%04x", code);
		else
			text_add_char(out, *c);
		size += size == 0;
	}
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
