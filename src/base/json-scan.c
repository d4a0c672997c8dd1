#include "json-scan.h"

#include <stdlib.h>
#include <string.h>

#include "muster/json.h"
#include "muster/text.h"

/* A member name, kept while its object is open. */
struct member {
	size_t depth;
	size_t offset;    /* where it stands in the text */
	const char *name; /* decoded: in the tree, in the text, or where it has escapes, in `own` */
	char *own;
	size_t length;
};

/* A string as it stands, with its quotes. */
struct literal {
	size_t offset;
	size_t size;
	bool has_escapes;
};

/* As many characters of a number as cJSON takes. */
enum { NUMBER_MAX = 63 };

/* So many names are compared with each other sooner than sorted. */
enum { FEW = 16 };

struct scanner {
	const char *data;
	size_t size;
	size_t at;
	size_t depth;
	bool may_repeat;
	const char *wrong; /* what is wrong at `at`; NULL while all is well */
	struct member *members;
	size_t member_count;
	size_t member_capacity;
};

/* Nothing is wrong with the text. */
static const char no_memory[] = "memory ran out";

static bool wrong(struct scanner *scanner, const char *reason)
{
	if (!scanner->wrong)
		scanner->wrong = reason;
	return false;
}

static int peek(const struct scanner *scanner)
{
	return scanner->at < scanner->size ? (unsigned char)scanner->data[scanner->at] : -1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct scanner *scanner)
{
	while (scanner->at < scanner->size && is_space(scanner->data[scanner->at]))
		scanner->at++;
}

static bool take(struct scanner *scanner, char c)
{
	if (peek(scanner) != c)
		return false;
	scanner->at++;
	return true;
}

/* -- Strings ------------------------------------------------------------------------------------------- */

static bool scan_hex4(struct scanner *scanner, unsigned *ret_value)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++) {
		int c = peek(scanner);

		if (c >= '0' && c <= '9')
			value = value * 16 + (unsigned)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			value = value * 16 + (unsigned)((c | 32) - 'a' + 10);
		else
			return wrong(scanner, "\\u needs four hex digits");
		scanner->at++;
	}
	*ret_value = value;
	return true;
}

static bool scan_unicode_escape(struct scanner *scanner)
{
	unsigned code, low;

	if (!scan_hex4(scanner, &code))
		return false;
	if (code == 0)
		return wrong(scanner, "\\u0000 is not allowed");
	if (code >= 0xdc00 && code <= 0xdfff)
		return wrong(scanner, "a low surrogate without a high one");
	if (code >= 0xd800 && code <= 0xdbff &&
	    (!take(scanner, '\\') || !take(scanner, 'u') || !scan_hex4(scanner, &low) ||
	     low < 0xdc00 || low > 0xdfff))
		return wrong(scanner, "a high surrogate without a low one");
	return true;
}

static bool scan_escape(struct scanner *scanner)
{
	int c = peek(scanner);

	if (c <= 0 || !strchr("\"\\/bfnrtu", c))
		return wrong(scanner, "an unknown escape");
	scanner->at++;
	return c != 'u' || scan_unicode_escape(scanner);
}

/* Of eight bytes: none is a quote, a backslash or below a space. In a word, (byte - n) & ~byte has its top bit set only where
 * the byte is below n, or where one behind it is, which is right just the same. */
static bool is_plain_word(uint64_t word)
{
	const uint64_t each = 0x0101010101010101, top = 0x80 * each;
	uint64_t quote = word ^ '"' * each, backslash = word ^ '\\' * each;

	return !((((word - ' ' * each) & ~word) | ((quote - each) & ~quote) |
		  ((backslash - each) & ~backslash)) &
		 top);
}

/* To the next character that is not plain. */
static void skip_plain(struct scanner *scanner)
{
	const unsigned char *data = (const unsigned char *)scanner->data;
	size_t at = scanner->at;
	uint64_t word;

	for (; scanner->size - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, data + at, sizeof(word));
		if (!is_plain_word(word))
			break;
	}
	while (at < scanner->size && data[at] >= 0x20 && data[at] != '"' && data[at] != '\\')
		at++;
	scanner->at = at;
}

static bool scan_string(struct scanner *scanner, struct literal *ret_literal)
{
	struct literal literal = { .offset = scanner->at };

	if (!take(scanner, '"'))
		return wrong(scanner, "a string is expected here");
	for (;;) {
		int c;

		skip_plain(scanner);
		c = peek(scanner);
		if (c < 0)
			return wrong(scanner, "a string without an end");
		if (c < 0x20)
			return wrong(scanner, "a control character in a string");
		scanner->at++;
		if (c == '"')
			break;
		literal.has_escapes = true;
		if (!scan_escape(scanner))
			return false;
	}
	literal.size = scanner->at - literal.offset;
	*ret_literal = literal;
	return true;
}

/* -- The tree ------------------------------------------------------------------------------------------ */

/* By cJSON's own allocator, which also frees it. */
static char *copy_span(const char *start, size_t length)
{
	char *copy = cJSON_malloc(length + 1);

	if (copy) {
		memcpy(copy, start, length);
		copy[length] = 0;
	}
	return copy;
}

static char *decode(const struct scanner *scanner, const struct literal *literal)
{
	const char *start = scanner->data + literal->offset;
	CLEANUP(cJSON_freep) cJSON *decoded = NULL;

	if (!literal->has_escapes)
		return copy_span(start + 1, literal->size - 2);
	decoded = cJSON_ParseWithLength(start, literal->size);
	return decoded ? TAKE_PTR(decoded->valuestring) : NULL;
}

/* An item that is null until it is filled. Takes the name over. */
static cJSON *add_item(struct scanner *scanner, cJSON *parent, char *name)
{
	cJSON *item = cJSON_CreateNull();

	if (!item) {
		cJSON_free(name);
		wrong(scanner, no_memory);
		return NULL;
	}
	item->string = name;
	cJSON_AddItemToArray(parent, item);
	return item;
}

/* Takes the text over; NULL is no memory for it. */
static bool fill(struct scanner *scanner, cJSON *item, int type, char *text)
{
	if (!text)
		return wrong(scanner, no_memory);
	item->type = type;
	item->valuestring = text;
	return true;
}

/* -- Numbers and words --------------------------------------------------------------------------------- */

static size_t scan_digits(struct scanner *scanner)
{
	size_t start = scanner->at;

	while (peek(scanner) >= '0' && peek(scanner) <= '9')
		scanner->at++;
	return scanner->at - start;
}

static bool scan_number(struct scanner *scanner, cJSON *item)
{
	size_t start = scanner->at;

	take(scanner, '-');
	if (!take(scanner, '0') && scan_digits(scanner) == 0)
		return wrong(scanner, "not a number");
	if (take(scanner, '.') && scan_digits(scanner) == 0)
		return wrong(scanner, "a number without digits behind its point");
	if (peek(scanner) == 'e' || peek(scanner) == 'E') {
		scanner->at++;
		if (!take(scanner, '+'))
			take(scanner, '-');
		if (scan_digits(scanner) == 0)
			return wrong(scanner, "a number without digits in its exponent");
	}
	if (scanner->at - start > NUMBER_MAX)
		return wrong(scanner, "a number of more than 63 characters");
	return !item || fill(scanner, item, cJSON_Raw,
			     copy_span(scanner->data + start, scanner->at - start));
}

static bool scan_word(struct scanner *scanner, cJSON *item)
{
	static const struct {
		const char *word;
		int type;
	} words[] = { { "true", cJSON_True }, { "false", cJSON_False }, { "null", cJSON_NULL } };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t length = strlen(words[i].word);

		if (scanner->size - scanner->at < length ||
		    memcmp(scanner->data + scanner->at, words[i].word, length) != 0)
			continue;
		scanner->at += length;
		if (item)
			item->type = words[i].type;
		return true;
	}
	return wrong(scanner, "not a value");
}

/* -- Objects and arrays -------------------------------------------------------------------------------- */

static bool scan_value(struct scanner *scanner, cJSON *item);

/* decoded: NULL where it is as it stands. */
static bool note_member(struct scanner *scanner, const struct literal *name, const char *decoded,
			char *own)
{
	struct member member = { .depth = scanner->depth,
				 .offset = name->offset,
				 .name = decoded ? decoded : scanner->data + name->offset + 1,
				 .own = own,
				 .length = decoded ? strlen(decoded) : name->size - 2 };

	if (scanner->member_count == scanner->member_capacity) {
		size_t capacity = scanner->member_capacity ? scanner->member_capacity * 2 : 16;
		struct member *members = realloc(scanner->members, capacity * sizeof(*members));

		if (!members) {
			cJSON_free(own);
			return wrong(scanner, no_memory);
		}
		scanner->members = members;
		scanner->member_capacity = capacity;
	}
	scanner->members[scanner->member_count++] = member;
	return true;
}

/* By length, content, place. */
static int compare_members(const void *a, const void *b)
{
	const struct member *left = a, *right = b;
	int order;

	if (left->length != right->length)
		return left->length < right->length ? -1 : 1;
	order = memcmp(left->name, right->name, left->length);
	if (order != 0)
		return order;
	return left->offset < right->offset ? -1 : 1;
}

static bool is_same_name(const struct member *a, const struct member *b)
{
	return a->length == b->length && memcmp(a->name, b->name, a->length) == 0;
}

/* Where the first name stands that an earlier one has already; SIZE_MAX: nowhere. */
static size_t find_twice_of_few(const struct member *members, size_t count)
{
	for (size_t i = 1; i < count; i++)
		for (size_t before = 0; before < i; before++)
			if (is_same_name(&members[i], &members[before]))
				return members[i].offset;
	return SIZE_MAX;
}

/* Sorting keeps a text of nothing but names from taking quadratic time. */
static size_t find_twice_of_many(struct member *members, size_t count)
{
	size_t twice = SIZE_MAX;

	qsort(members, count, sizeof(*members), compare_members);
	for (size_t i = 1; i < count; i++)
		if (members[i].offset < twice && is_same_name(&members[i], &members[i - 1]))
			twice = members[i].offset;
	return twice;
}

/* When an object ends. */
static bool check_members(struct scanner *scanner)
{
	size_t first = scanner->member_count, count, twice;

	while (first > 0 && scanner->members[first - 1].depth >= scanner->depth)
		first--;
	count = scanner->member_count - first;
	if (scanner->may_repeat || count < 2)
		return true;
	twice = count <= FEW ? find_twice_of_few(scanner->members + first, count)
			     : find_twice_of_many(scanner->members + first, count);
	if (twice == SIZE_MAX)
		return true;
	scanner->at = twice;
	return wrong(scanner, "a name that stands twice in one object");
}

static void forget_members(struct scanner *scanner, size_t depth)
{
	while (scanner->member_count > 0 &&
	       scanner->members[scanner->member_count - 1].depth >= depth)
		cJSON_free(scanner->members[--scanner->member_count].own);
}

static bool scan_name(struct scanner *scanner, cJSON *object, cJSON **ret_item)
{
	struct literal name;
	char *decoded = NULL;

	*ret_item = NULL;
	if (!scan_string(scanner, &name))
		return false;
	if (object || name.has_escapes) {
		decoded = decode(scanner, &name);
		if (!decoded)
			return wrong(scanner, no_memory);
	}
	if (!object)
		return note_member(scanner, &name, decoded, decoded);
	*ret_item = add_item(scanner, object, decoded);
	return *ret_item && note_member(scanner, &name, decoded, NULL);
}

static bool scan_member(struct scanner *scanner, cJSON *object)
{
	cJSON *item;

	skip_space(scanner);
	if (!scan_name(scanner, object, &item))
		return false;
	skip_space(scanner);
	if (!take(scanner, ':'))
		return wrong(scanner, "':' is expected here");
	return scan_value(scanner, item);
}

static bool scan_element(struct scanner *scanner, cJSON *array)
{
	cJSON *item = array ? add_item(scanner, array, NULL) : NULL;

	return (!array || item) && scan_value(scanner, item);
}

static bool scan_list(struct scanner *scanner, cJSON *list, char end,
		      bool (*scan_item)(struct scanner *, cJSON *))
{
	bool good = false;

	scanner->at++;
	if (++scanner->depth > JSON_DEPTH_MAX)
		return wrong(scanner, "too many levels");
	skip_space(scanner);
	if (take(scanner, end)) {
		scanner->depth--;
		return true;
	}
	while (scan_item(scanner, list)) {
		skip_space(scanner);
		if (take(scanner, end)) {
			good = check_members(scanner);
			break;
		}
		if (!take(scanner, ',')) {
			wrong(scanner, end == '}' ? "',' or '}' is expected here"
						  : "',' or ']' is expected here");
			break;
		}
	}
	forget_members(scanner, scanner->depth);
	scanner->depth--;
	return good;
}

static bool scan_object(struct scanner *scanner, cJSON *item)
{
	if (item)
		item->type = cJSON_Object;
	return scan_list(scanner, item, '}', scan_member);
}

static bool scan_array(struct scanner *scanner, cJSON *item)
{
	if (item)
		item->type = cJSON_Array;
	return scan_list(scanner, item, ']', scan_element);
}

static bool scan_text(struct scanner *scanner, cJSON *item)
{
	struct literal literal;

	return scan_string(scanner, &literal) &&
	       (!item || fill(scanner, item, cJSON_String, decode(scanner, &literal)));
}

static bool scan_value(struct scanner *scanner, cJSON *item)
{
	int c;

	skip_space(scanner);
	c = peek(scanner);
	if (c == '{')
		return scan_object(scanner, item);
	if (c == '[')
		return scan_array(scanner, item);
	if (c == '"')
		return scan_text(scanner, item);
	if (c == '-' || (c >= '0' && c <= '9'))
		return scan_number(scanner, item);
	return scan_word(scanner, item);
}

/* -- The whole ----------------------------------------------------------------------------------------- */

static bool report(const struct scanner *scanner, const char *what, struct muster_error *err)
{
	size_t line = 1, column = 1;

	if (scanner->wrong == no_memory)
		return muster_fail_memory(err);
	for (size_t i = 0; i < scanner->at && i < scanner->size; i++) {
		/* Columns count characters. */
		column += ((unsigned char)scanner->data[i] & 0xc0) != 0x80;
		if (scanner->data[i] == '\n') {
			line++;
			column = 1;
		}
	}
	return muster_fail(err, CAUSE_JSON_INVALID, "%s: line %zu, column %zu: %s", what, line,
			   column, scanner->wrong);
}

bool json_scan(const char *data, size_t size, size_t max, const char *what, bool may_repeat,
	       cJSON *root, struct muster_error *err)
{
	struct scanner scanner = { .data = data, .size = size, .may_repeat = may_repeat };
	bool good;

	if (size > max)
		return muster_fail(err, CAUSE_JSON_INVALID, "%s is larger than %zu bytes", what,
				   max);
	if (!text_is_utf8(data, size))
		return muster_fail(err, CAUSE_JSON_INVALID, "%s is not UTF-8", what);
	good = scan_value(&scanner, root);
	if (good) {
		skip_space(&scanner);
		if (scanner.at < size)
			good = wrong(&scanner, "text behind the end");
	}
	forget_members(&scanner, 0);
	free(scanner.members);
	return good || report(&scanner, what, err);
}
