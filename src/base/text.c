#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "muster/secret.h"
#include "muster/text.h"

void freep(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

void closep(int *fd)
{
	int errnum = errno;

	if (*fd >= 0)
		close(*fd);
	errno = errnum;
}

void fclosep(FILE **stream)
{
	if (*stream)
		fclose(*stream);
}

void closedirp(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

/* -- Growing buffers --------------------------------------------------------------------------------- */

/* As much as a short document; the allocator gives it as quickly as a few bytes. */
enum { CAPACITY_MIN = 1024 };

static bool text_reserve(struct text *text, size_t addition)
{
	size_t max = text->max ? text->max : 1024 * 1024;
	size_t needed = text->length + addition + 1;
	size_t capacity = text->capacity ? text->capacity : CAPACITY_MIN;
	char *data;

	if (text->failed || addition > max || text->length + addition > max) {
		text->failed = true;
		return false;
	}
	if (needed <= text->capacity)
		return true;
	while (capacity < needed)
		capacity *= 2;
	data = malloc(capacity);
	if (!data) {
		text->failed = true;
		return false;
	}
	if (text->data) {
		memcpy(data, text->data, text->length + 1);
		secret_wipe(text->data, text->capacity);
		free(text->data);
	}
	text->data = data;
	text->capacity = capacity;
	return true;
}

char *text_extend(struct text *text, size_t size)
{
	char *end;

	if (!text_reserve(text, size))
		return NULL;
	end = text->data + text->length;
	text->length += size;
	text->data[text->length] = 0;
	return end;
}

void text_add_bytes(struct text *text, const void *data, size_t size)
{
	char *end = text_extend(text, size);

	if (end && size > 0)
		memcpy(end, data, size);
}

void text_add(struct text *text, const char *addition)
{
	text_add_bytes(text, addition, strlen(addition));
}

void text_add_char(struct text *text, char c)
{
	char *end = text_extend(text, 1);

	if (end)
		*end = c;
}

const char *text_decimal(int64_t value, char out[TEXT_DECIMAL_SIZE])
{
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	char *at = out + TEXT_DECIMAL_SIZE - 1;

	*at = '\0';
	do
		*--at = (char)('0' + rest % 10);
	while (rest /= 10);
	if (value < 0)
		*--at = '-';
	return at;
}

void text_add_decimal(struct text *text, int64_t value)
{
	char digits[TEXT_DECIMAL_SIZE];

	text_add(text, text_decimal(value, digits));
}

/* Printed where it may fit already; else once more, where there is room. */
void text_addf(struct text *text, const char *format, ...)
{
	char *end = text->data ? text->data + text->length : NULL;
	size_t room = text->capacity - text->length;
	va_list args;
	int size;

	va_start(args, format);
	size = vsnprintf(end, room, format, args);
	va_end(args);
	if (size < 0 || !text_reserve(text, (size_t)size)) {
		text->failed = true;
		size = 0;
	} else if ((size_t)size >= room) {
		va_start(args, format);
		vsnprintf(text->data + text->length, (size_t)size + 1, format, args);
		va_end(args);
	}
	text->length += (size_t)size;
	if (text->data)
		text->data[text->length] = 0;
}

void text_add_utf8(struct text *text, unsigned code)
{
	if (code < 0x80) {
		text_add_char(text, (char)code);
	} else if (code < 0x800) {
		text_add_char(text, (char)(0xc0 | code >> 6));
		text_add_char(text, (char)(0x80 | (code & 63)));
	} else if (code < 0x10000) {
		text_add_char(text, (char)(0xe0 | code >> 12));
		text_add_char(text, (char)(0x80 | (code >> 6 & 63)));
		text_add_char(text, (char)(0x80 | (code & 63)));
	} else {
		text_add_char(text, (char)(0xf0 | code >> 18));
		text_add_char(text, (char)(0x80 | (code >> 12 & 63)));
		text_add_char(text, (char)(0x80 | (code >> 6 & 63)));
		text_add_char(text, (char)(0x80 | (code & 63)));
	}
}

void text_add_url(struct text *text, const char *value)
{
	for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
		if ((*c < 0x80 && isalnum(*c)) || strchr("-._~", *c))
			text_add_char(text, (char)*c);
		else
			text_addf(text, "%%%02X", *c);
	}
}

bool text_ok(const struct text *text, struct muster_error *err)
{
	return !text->failed ||
	       muster_fail(err, CAUSE_MEMORY, "a text grew past %zu bytes, or memory ran out",
			   text->max);
}

char *text_take(struct text *text, struct muster_error *err)
{
	char *data;

	text_add(text, "");
	if (!text_ok(text, err))
		return NULL;
	data = text->data;
	*text = (struct text){ .max = text->max };
	return data;
}

const char *text_one_line(struct text *text)
{
	struct text line = { .max = text->max };

	for (const char *c = text->data; c && *c; c++)
		text_add_bytes(&line, *c == '\n' ? "; " : c, *c == '\n' ? 2 : 1);
	text_done(text);
	*text = line;
	return text->data ? text->data : "";
}

void text_done(struct text *text)
{
	secret_wipe(text->data, text->capacity);
	free(text->data);
	*text = (struct text){ .max = text->max };
}

bool bytes_copy(struct bytes *bytes, const void *data, size_t size, struct muster_error *err)
{
	uint8_t *copy = malloc(size + 1);

	if (!copy)
		return muster_fail_memory(err);
	if (size > 0)
		memcpy(copy, data, size);
	copy[size] = 0;
	bytes_done(bytes);
	*bytes = (struct bytes){ copy, size };
	return true;
}

bool bytes_equal(const struct bytes *a, const struct bytes *b)
{
	return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

void bytes_done(struct bytes *bytes)
{
	if (bytes->data)
		secret_wipe(bytes->data, bytes->size);
	free(bytes->data);
	*bytes = (struct bytes){ 0 };
}

char *text_format(const char *format, ...)
{
	char *result;
	va_list args;
	int size;

	va_start(args, format);
	size = vasprintf(&result, format, args);
	va_end(args);
	return size < 0 ? NULL : result;
}

/* -- Looking at text --------------------------------------------------------------------------------- */

/* Bytes of the well-formed UTF-8 character at data (RFC 3629), or 0. */
static size_t utf8_size(const unsigned char *data, size_t length)
{
	unsigned char lead = data[0], low = 0x80, high = 0xbf;
	size_t size;

	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		size = 2;
	else if (lead >= 0xe0 && lead <= 0xef)
		size = 3;
	else if (lead >= 0xf0 && lead <= 0xf4)
		size = 4;
	else
		return 0;
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	if (length < size || data[1] < low || data[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((data[i] & 0xc0) != 0x80)
			return 0;
	return size;
}

/* Whole words of it: most text is nothing else. */
static size_t ascii_run(const unsigned char *bytes, size_t length)
{
	size_t run = 0;
	uint64_t word;

	for (; length - run >= sizeof(word); run += sizeof(word)) {
		memcpy(&word, bytes + run, sizeof(word));
		if (word & 0x8080808080808080)
			break;
	}
	return run;
}

bool text_is_utf8(const char *data, size_t length)
{
	const unsigned char *bytes = (const unsigned char *)data;

	for (size_t i = 0; i < length;) {
		size_t size = ascii_run(bytes + i, length - i);

		if (size == 0)
			size = utf8_size(bytes + i, length - i);
		if (size == 0)
			return false;
		i += size;
	}
	return true;
}

/* U+061C, U+200E, U+200F, U+202A..U+202E, U+2066..U+2069 turn the text around them. */
static bool is_direction(const unsigned char *bytes, size_t size)
{
	if (size == 2)
		return bytes[0] == 0xd8 && bytes[1] == 0x9c;
	if (size != 3 || bytes[0] != 0xe2)
		return false;
	return (bytes[1] == 0x80 &&
		(bytes[2] == 0x8e || bytes[2] == 0x8f || (bytes[2] >= 0xaa && bytes[2] <= 0xae))) ||
	       (bytes[1] == 0x81 && bytes[2] >= 0xa6 && bytes[2] <= 0xa9);
}

/* What stands for the character at bytes, in at most 4 bytes; *ret_used of bytes are spent. */
static size_t show_character(const unsigned char *bytes, size_t length, char shown[5],
			     size_t *ret_used)
{
	size_t size = utf8_size(bytes, length);
	/* C0, DEL and the C1 controls (U+0080..U+009F) never reach a terminal. */
	bool control = size == 0 || bytes[0] < 0x20 || bytes[0] == 0x7f ||
		       (bytes[0] == 0xc2 && bytes[1] < 0xa0) || is_direction(bytes, size);

	if (control) {
		*ret_used = 1;
		return (size_t)snprintf(shown, 5, "\\x%02x", bytes[0]);
	}
	*ret_used = size;
	memcpy(shown, bytes, size);
	return size;
}

const char *text_printable(char *out, size_t out_size, const char *value)
{
	const unsigned char *bytes = (const unsigned char *)(value ? value : "");
	size_t length = strlen((const char *)bytes), used = 0, cut = 0, spent;

	for (size_t i = 0; i < length; i += spent) {
		char shown[5];
		size_t size = show_character(bytes + i, length - i, shown, &spent);

		if (used + size + 1 > out_size) {
			snprintf(out + cut, out_size - cut, "...");
			return out;
		}
		memcpy(out + used, shown, size);
		used += size;
		/* The last place where "..." still fits. */
		if (used + 4 <= out_size)
			cut = used;
	}
	out[used] = 0;
	return out;
}

static bool is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/';
}

bool text_may_be_secret(const char *value)
{
	enum { SHORTEST = 24 }; /* sixteen bytes, the least that a device's key has */
	size_t run = 0;

	for (const char *c = value; *c; c++) {
		size_t pads = *c != '=' ? 0 : c[1] == '=' ? 2 : 1;

		if (pads > 0 && run + pads >= SHORTEST && (run + pads) % 4 == 0 &&
		    !is_base64(c[pads]))
			return true;
		run = is_base64(*c) ? run + 1 : 0;
	}
	return strstr(value, "SharedAccessKey=") || strstr(value, "SharedAccessSignature ");
}

const char *text_shown(char *out, size_t out_size, const char *value)
{
	if (!value || !text_may_be_secret(value))
		return text_printable(out, out_size, value);
	snprintf(out, out_size, "(%zu characters that may be a secret)", strlen(value));
	return out;
}

bool text_has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_has_suffix(const char *text, const char *suffix)
{
	size_t length = strlen(text), end = strlen(suffix);

	return length > end && strcmp(text + length - end, suffix) == 0;
}

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

bool text_equal_folded(const char *a, const char *b)
{
	while (*a && fold(*a) == fold(*b)) {
		a++;
		b++;
	}
	return fold(*a) == fold(*b);
}

bool text_is_blank(const char *text)
{
	return text[strspn(text, " \t\r\n")] == '\0';
}

void text_fold(char *text)
{
	for (; *text; text++)
		*text = fold(*text);
}

size_t text_mark_size(const char *data, size_t length)
{
	static const char mark[] = "\xef\xbb\xbf";
	size_t size = strlen(mark);

	return length >= size && memcmp(data, mark, size) == 0 ? size : 0;
}

bool text_to_int64(const char *text, int64_t min, int64_t max, int64_t *ret_value)
{
	long long value;
	char *end;

	if (!text || !(*text == '-' || (*text >= '0' && *text <= '9')))
		return false;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || *end != 0 || end == text || value < min || value > max)
		return false;
	*ret_value = value;
	return true;
}

bool text_to_double(const char *text, double *ret_value)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end)
		return false;
	*ret_value = value;
	return true;
}

/* -- "Did you mean" ---------------------------------------------------------------------------------- */

#define NEAREST_LENGTH_MAX 48

static size_t edit_distance(const char *a, const char *b)
{
	size_t row[NEAREST_LENGTH_MAX + 1], length_a = strlen(a), length_b = strlen(b);

	if (length_a > NEAREST_LENGTH_MAX || length_b > NEAREST_LENGTH_MAX)
		return NEAREST_LENGTH_MAX;
	for (size_t j = 0; j <= length_b; j++)
		row[j] = j;
	for (size_t i = 1; i <= length_a; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= length_b; j++) {
			size_t change = diagonal + (fold(a[i - 1]) != fold(b[j - 1]));
			size_t best = change < row[j] + 1 ? change : row[j] + 1;

			diagonal = row[j];
			row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
		}
	}
	return row[length_b];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t count)
{
	size_t length = strlen(word);
	size_t limit = length <= 1 ? 0 : length <= 3 ? 1 : length <= 6 ? 2 : 3;
	const char *nearest = NULL;

	for (size_t i = 0; i < count; i++) {
		size_t of_candidate = strlen(candidates[i]), distance;

		/* So much has to be added or taken away in any case. */
		if (of_candidate > length + limit || length > of_candidate + limit)
			continue;
		distance = edit_distance(word, candidates[i]);
		if (distance <= limit) {
			limit = distance > 0 ? distance - 1 : 0;
			nearest = candidates[i];
			if (distance == 0)
				break;
		}
	}
	return nearest;
}
