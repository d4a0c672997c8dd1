/* Printing trees and strings: what cJSON would print, made in one buffer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "muster/json.h"
#include "muster/text.h"

enum { LINE = -1 }; /* the level of what stands on one line */

/* From here on a double is not printed digit by digit. */
#define WHOLE_MAX 1e15

static void break_line(int level, struct text *out)
{
	char *at = level == LINE ? NULL : text_extend(out, 1 + 2 * (size_t)level);

	if (at) {
		*at = '\n';
		memset(at + 1, ' ', 2 * (size_t)level);
	}
}

/* How many characters more than one a character takes. */
static const uint8_t extra[256] = {
	[0x00 ... 0x07] = 5, ['\b'] = 1, ['\t'] = 1, ['\n'] = 1,          [0x0b] = 5,
	['\f'] = 1,          ['\r'] = 1, ['"'] = 1,  [0x0e ... 0x1f] = 5, ['\\'] = 1,
};

static char *put_escaped(char *at, char c)
{
	static const char names['\r' + 1] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'
	};

	*at++ = '\\';
	if (extra[(unsigned char)c] == 1) {
		*at++ = (unsigned char)c < sizeof(names) ? names[(unsigned char)c] : c;
		return at;
	}
	memcpy(at, c < 0x10 ? "u000" : "u001", 4);
	at[4] = "0123456789abcdef"[c & 15];
	return at + 5;
}

/* Looked through first, because most strings are copied as they are. */
void text_add_json(struct text *out, const char *value)
{
	const char *end = value;
	size_t more = 0;
	char *at;

	for (; *end; end++)
		more += extra[(unsigned char)*end];
	at = text_extend(out, (size_t)(end - value) + more + 2);
	if (!at)
		return;
	*at++ = '"';
	if (more == 0) {
		memcpy(at, value, (size_t)(end - value));
		at += end - value;
	}
	for (; more > 0 && value < end; value++) {
		if (extra[(unsigned char)*value] == 0)
			*at++ = *value;
		else
			at = put_escaped(at, *value);
	}
	*at = '"';
}

/* What prints as its digits alone; cJSON knows a zero with a sign. */
static bool is_whole(double number)
{
	return number > -WHOLE_MAX && number < WHOLE_MAX && number == (double)(int64_t)number &&
	       !(number == 0 && signbit(number));
}

/* Numbers that are not whole, and what is no JSON, are cJSON's affair. */
static void print_other(const cJSON *item, struct text *out)
{
	char *printed = cJSON_PrintUnformatted(item);

	if (printed)
		text_add(out, printed);
	out->failed = out->failed || !printed;
	cJSON_free(printed);
}

static void print_leaf(const cJSON *item, struct text *out)
{
	if (cJSON_IsString(item) && item->valuestring)
		text_add_json(out, item->valuestring);
	else if (cJSON_IsRaw(item) && item->valuestring)
		text_add(out, item->valuestring);
	else if (cJSON_IsTrue(item) || cJSON_IsFalse(item))
		text_add(out, cJSON_IsTrue(item) ? "true" : "false");
	else if (cJSON_IsNumber(item) && is_whole(item->valuedouble))
		text_add_decimal(out, (int64_t)item->valuedouble);
	else
		print_other(item, out);
}

static void print(const cJSON *item, int level, struct text *out)
{
	bool is_object = cJSON_IsObject(item), is_line = level == LINE;
	int inner = is_line ? LINE : level + 1;

	if ((!is_object && !cJSON_IsArray(item)) || !item->child) {
		print_leaf(item, out);
		return;
	}
	text_add_char(out, is_object ? '{' : '[');
	for (const cJSON *child = item->child; child; child = child->next) {
		break_line(inner, out);
		if (is_object) {
			text_add_json(out, child->string);
			text_add_bytes(out, ": ", is_line ? 1 : 2);
		}
		print(child, inner, out);
		if (child->next)
			text_add_char(out, ',');
	}
	break_line(level, out);
	text_add_char(out, is_object ? '}' : ']');
}

static char *print_whole(const cJSON *root, int level)
{
	CLEANUP(text_done) struct text out = TEXT_MAX(64 * JSON_SIZE_MAX);
	struct muster_error ignored;

	if (!root)
		return NULL;
	print(root, level, &out);
	return text_take(&out, &ignored);
}

char *json_print_line(const cJSON *root)
{
	return print_whole(root, LINE);
}

char *json_print_pretty(const cJSON *root)
{
	return print_whole(root, 0);
}

char *json_quote(const char *value)
{
	CLEANUP(text_done) struct text out = TEXT_MAX(64 * JSON_SIZE_MAX);
	struct muster_error ignored;

	text_add_json(&out, value);
	return text_take(&out, &ignored);
}
