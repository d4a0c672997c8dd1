/* The only file that knows libfyaml. */
#include "yaml.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include <libfyaml.h>

#define KEYS_MAX 1000 /* of one mapping */

DEFINE_FREEP(fy_diag_freep, struct fy_diag *, fy_diag_destroy)
DEFINE_FREEP(fy_parser_freep, struct fy_parser *, fy_parser_destroy)

/* -- Our tree -------------------------------------------------------------------------------------------------- */

void yaml_node_free(struct yaml_node *node)
{
	if (!node)
		return;
	for (size_t i = 0; node->pairs && i < node->count; i++) {
		free(node->pairs[i].key);
		yaml_node_free(node->pairs[i].value);
	}
	for (size_t i = 0; node->items && i < node->count; i++)
		yaml_node_free(node->items[i]);
	free(node->pairs);
	free(node->items);
	free(node->text);
	free(node);
}

static const struct yaml_pair *find_pair(const struct yaml_node *map, const char *key,
					 size_t length)
{
	for (size_t i = 0; map && map->pairs && i < map->count; i++) {
		if (strlen(map->pairs[i].key) == length &&
		    memcmp(map->pairs[i].key, key, length) == 0)
			return &map->pairs[i];
	}
	return NULL;
}

const struct yaml_pair *yaml_get(const struct yaml_node *map, const char *key)
{
	return find_pair(map, key, strlen(key));
}

const struct yaml_pair *yaml_at(const struct yaml_node *root, const char *path)
{
	for (;;) {
		size_t length = strcspn(path, ".");
		const struct yaml_pair *pair = find_pair(root, path, length);

		if (!pair || !path[length])
			return pair;
		root = pair->value;
		path += length + 1;
	}
}

/* -- What a plain scalar is ---------------------------------------------------------------------------------- */

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

static const char *skip_digits(const char *text)
{
	while (isdigit((unsigned char)*text))
		text++;
	return text;
}

/* RFC 8259 section 6. */
static bool is_json_number(const char *text)
{
	const char *at = text + (*text == '-');
	const char *digits = at;

	at = skip_digits(at);
	if (at == digits || (*digits == '0' && at - digits > 1))
		return false;
	if (*at == '.') {
		digits = ++at;
		at = skip_digits(at);
		if (at == digits)
			return false;
	}
	if (*at == 'e' || *at == 'E') {
		at++;
		at += *at == '+' || *at == '-';
		digits = at;
		at = skip_digits(at);
		if (at == digits)
			return false;
	}
	return !*at;
}

/* Anything that some reader of YAML 1.1 or 1.2 would take for a number. */
static bool is_odd_number(const char *text)
{
	static const char *const words[] = { ".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN" };
	const char *at = text + (*text == '-' || *text == '+');

	if (is_one_of(at, words, ARRAY_SIZE(words)))
		return true;
	if (at[0] == '0' && at[1] && strchr("xXob", at[1]))
		return at[2] && strspn(at + 2, "0123456789abcdefABCDEF_") == strlen(at + 2);
	if (!isdigit((unsigned char)at[*at == '.']))
		return false;
	at += strspn(at, "0123456789_");
	if (*at == '.')
		at += 1 + strspn(at + 1, "0123456789_");
	if (*at == 'e' || *at == 'E') {
		at += 1 + (at[1] == '+' || at[1] == '-');
		at = skip_digits(at);
	}
	return !*at;
}

enum yaml_type yaml_type_of(const struct yaml_node *node)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
	static const char *const bools[] = { "true", "True", "TRUE", "false", "False", "FALSE" };

	if (node->kind != YAML_SCALAR)
		return YAML_COLLECTION;
	if (!node->is_plain)
		return YAML_STRING;
	if (is_one_of(node->text, nulls, ARRAY_SIZE(nulls)))
		return YAML_NULL;
	if (is_one_of(node->text, bools, ARRAY_SIZE(bools)))
		return YAML_BOOL;
	if (is_json_number(node->text))
		return YAML_NUMBER;
	return is_odd_number(node->text) ? YAML_ODD_NUMBER : YAML_STRING;
}

const char *yaml_describe(const struct yaml_node *node)
{
	switch (yaml_type_of(node)) {
	case YAML_STRING:
		return "a text";
	case YAML_NULL:
		return "nothing";
	case YAML_BOOL:
		return "true or false";
	case YAML_NUMBER:
	case YAML_ODD_NUMBER:
		return "a number";
	case YAML_COLLECTION:
		break;
	}
	return node->kind == YAML_LIST ? "a list" : "a mapping";
}

/* -- From libfyaml's tree to ours ------------------------------------------------------------------------------ */

static struct span span_of(struct fy_token *token)
{
	const struct fy_mark *start = token ? fy_token_start_mark(token) : NULL;
	const struct fy_mark *end = token ? fy_token_end_mark(token) : NULL;
	struct span span = { 0 };

	if (!start)
		return span;
	span.at = start->input_pos;
	if (end && end->input_pos > start->input_pos)
		span.length = end->input_pos - start->input_pos;
	return span;
}

/* Quotes belong to what is underlined. */
static struct span span_of_scalar(const struct source *source, struct fy_node *node)
{
	struct span span = span_of(fy_node_get_scalar_token(node));
	enum fy_node_style style = fy_node_get_style(node);
	bool is_quoted = style == FYNS_SINGLE_QUOTED || style == FYNS_DOUBLE_QUOTED;

	if (!is_quoted || span.at == 0 || !strchr("'\"", source->data[span.at - 1]))
		return span;
	span.at--;
	span.length += 2;
	return span;
}

/* The scalar's text, or NULL when it cannot be one (reported) or there is no memory. */
static char *copy_scalar(struct source *source, struct fy_node *node, struct span span)
{
	size_t length = 0;
	const char *data = fy_node_get_scalar(node, &length);
	char *text;

	if (data && memchr(data, 0, length)) {
		mistake_add(source, CAUSE_PROFILE_VALUE, span, "a text cannot hold \\0");
		return NULL;
	}
	text = strndup(data ? data : "", length);
	if (!text)
		source->is_out_of_memory = true;
	return text;
}

static struct yaml_node *convert(struct source *source, struct fy_node *from, struct span span,
				 unsigned depth);

static void convert_scalar(struct source *source, struct fy_node *from, struct yaml_node *node)
{
	struct span span = span_of_scalar(source, from);

	node->kind = YAML_SCALAR;
	if (span.length > 0)
		node->span = span;
	node->is_plain = fy_node_get_style(from) == FYNS_PLAIN;
	node->text = copy_scalar(source, from, node->span);
}

static void convert_list(struct source *source, struct fy_node *from, struct yaml_node *node,
			 unsigned depth)
{
	int count = fy_node_sequence_item_count(from);
	struct fy_node *next;
	void *position = NULL;

	node->kind = YAML_LIST;
	node->items = calloc((size_t)count + 1, sizeof(struct yaml_node *));
	if (!node->items) {
		source->is_out_of_memory = true;
		return;
	}
	while ((next = fy_node_sequence_iterate(from, &position))) {
		struct yaml_node *item = convert(source, next, node->span, depth + 1);

		if (item)
			node->items[node->count++] = item;
	}
}

static void convert_pair(struct source *source, struct fy_node_pair *from, struct yaml_node *map,
			 unsigned depth)
{
	struct fy_node *key = fy_node_pair_key(from);
	struct yaml_pair *pair = &map->pairs[map->count];
	const struct yaml_pair *earlier;

	if (!key || !fy_node_is_scalar(key) || fy_node_is_alias(key)) {
		mistake_add(source, CAUSE_PROFILE_SYNTAX, map->span, "a key has to be a text");
		return;
	}
	pair->span = span_of_scalar(source, key);
	pair->key = copy_scalar(source, key, pair->span);
	if (!pair->key)
		return;
	earlier = yaml_get(map, pair->key);
	if (earlier) {
		mistake_add(source, CAUSE_PROFILE_KEY_DUPLICATE, pair->span,
			    "'%s' stands here a second time", PRINTABLE(pair->key));
		free(pair->key);
		return;
	}
	map->count++;
	pair->value = convert(source, fy_node_pair_value(from), pair->span, depth + 1);
}

static void convert_map(struct source *source, struct fy_node *from, struct yaml_node *node,
			unsigned depth)
{
	int count = fy_node_mapping_item_count(from);
	struct fy_node_pair *pair;
	void *position = NULL;

	node->kind = YAML_MAP;
	if (count > KEYS_MAX) {
		mistake_add(source, CAUSE_PROFILE_SYNTAX, node->span, "more than %d keys",
			    KEYS_MAX);
		return;
	}
	node->pairs = calloc((size_t)count + 1, sizeof(struct yaml_pair));
	if (!node->pairs) {
		source->is_out_of_memory = true;
		return;
	}
	while ((pair = fy_node_mapping_iterate(from, &position)))
		convert_pair(source, pair, node, depth);
	if (node->span.length == 0 && node->count > 0)
		node->span = node->pairs[0].span;
}

/* The token is the name; the star in front belongs to it. */
static struct span span_of_alias(struct fy_node *node)
{
	struct span span = span_of(fy_node_get_scalar_token(node));

	if (span.at > 0) {
		span.at--;
		span.length++;
	}
	return span;
}

/* Things that YAML has and profiles do not. */
static bool is_allowed(struct source *source, struct fy_node *from, struct span span,
		       unsigned depth)
{
	if (fy_node_is_alias(from)) {
		mistake_add(source, CAUSE_PROFILE_SYNTAX, span_of_alias(from),
			    "aliases are not allowed; write the value out");
		return false;
	}
	if (fy_node_get_tag_token(from)) {
		mistake_add(source, CAUSE_PROFILE_SYNTAX, span_of(fy_node_get_tag_token(from)),
			    "tags are not allowed; put a text in quotes");
		return false;
	}
	if (depth > PROFILE_DEPTH_MAX) {
		mistake_add(source, CAUSE_PROFILE_SYNTAX, span, "more than %d levels",
			    PROFILE_DEPTH_MAX);
		return false;
	}
	if (fy_node_get_anchor(from))
		mistake_add(source, CAUSE_PROFILE_SYNTAX, span, "anchors are not allowed");
	return true;
}

/* `span` is the key's, for what has no token of its own. NULL when it has a mistake (reported). A missing value
 * comes as NULL from libfyaml in places: it is the plain empty scalar. */
static struct yaml_node *convert(struct source *source, struct fy_node *from, struct span span,
				 unsigned depth)
{
	CLEANUP(yaml_node_freep) struct yaml_node *node = NULL;

	if (from && !is_allowed(source, from, span, depth))
		return NULL;
	node = calloc(1, sizeof(*node));
	if (!node) {
		source->is_out_of_memory = true;
		return NULL;
	}
	node->span = span;
	if (!from) {
		node->is_plain = true;
		node->text = strdup("");
	} else if (fy_node_is_scalar(from)) {
		convert_scalar(source, from, node);
	} else if (fy_node_is_sequence(from)) {
		convert_list(source, from, node, depth);
	} else {
		convert_map(source, from, node, depth);
	}
	if (node->kind == YAML_SCALAR && !node->text)
		return NULL;
	return TAKE_PTR(node);
}

/* -- Parsing ---------------------------------------------------------------------------------------------------- */

static void discard(struct fy_diag *diag, void *user, const char *data, size_t size)
{
	(void)diag, (void)user, (void)data, (void)size;
}

static struct fy_diag *make_diag(void)
{
	struct fy_diag_cfg config;
	struct fy_diag *diag;

	fy_diag_cfg_default(&config);
	config.fp = NULL;
	config.output_fn = discard;
	diag = fy_diag_create(&config);
	if (diag)
		fy_diag_set_collect_errors(diag, true);
	return diag;
}

/* Lines and columns from 1, columns in characters. */
static struct span find_place(const struct source *source, int line, int column)
{
	struct span span = { .length = 1 };

	while (line > 1 && span.at < source->size)
		line -= source->data[span.at++] == '\n';
	while (column > 1 && span.at < source->size && source->data[span.at] != '\n') {
		span.at++;
		column -= span.at == source->size ||
			  ((unsigned char)source->data[span.at] & 0xc0) != 0x80;
	}
	return span;
}

static void report_errors(struct source *source, struct fy_diag *diag)
{
	struct fy_diag_error *error;
	void *position = NULL;

	while ((error = fy_diag_errors_iterate(diag, &position)))
		mistake_add(source, CAUSE_PROFILE_SYNTAX,
			    find_place(source, error->line, error->column), "%s",
			    PRINTABLE(error->msg));
}

static size_t character_length(char first)
{
	unsigned char c = (unsigned char)first;

	return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* libfyaml reads bytes that are not UTF-8 as an empty text. */
static bool check_bytes(struct source *source)
{
	struct span span = { .length = 1 };

	if (text_is_utf8(source->data, source->size) && !memchr(source->data, 0, source->size))
		return true;
	while (span.at < source->size && source->data[span.at]) {
		size_t length = character_length(source->data[span.at]);

		if (length > source->size - span.at ||
		    !text_is_utf8(source->data + span.at, length))
			break;
		span.at += length;
	}
	mistake_add(source, CAUSE_PROFILE_SYNTAX, span, "from here on it is not UTF-8 text");
	return false;
}

static void convert_document(struct source *source, struct fy_parser *parser,
			     struct yaml_node **ret_root)
{
	struct fy_document *document = fy_parse_load_document(parser), *next;
	struct fy_node *root = document ? fy_document_root(document) : NULL;

	if (root)
		*ret_root = convert(source, root, (struct span){ 0 }, 1);
	next = document ? fy_parse_load_document(parser) : NULL;
	if (next) {
		struct fy_node *second = fy_document_root(next);

		mistake_add(source, CAUSE_PROFILE_SYNTAX,
			    second && fy_node_is_scalar(second) ? span_of_scalar(source, second)
								: (struct span){ source->size, 1 },
			    "a second document begins; a file holds one");
	}
	fy_parse_document_destroy(parser, next);
	fy_parse_document_destroy(parser, document);
}

bool yaml_parse(struct source *source, struct yaml_node **ret_root, struct muster_error *err)
{
	CLEANUP(fy_diag_freep) struct fy_diag *diag = make_diag();
	struct fy_parse_cfg config = {
		.flags = FYPCF_ALLOW_DUPLICATE_KEYS | FYPCF_JSON_NONE | FYPCF_DEFAULT_VERSION_1_2,
		.diag = diag,
	};
	CLEANUP(fy_parser_freep) struct fy_parser *parser = fy_parser_create(&config);
	CLEANUP(yaml_node_freep) struct yaml_node *root = NULL;

	*ret_root = NULL;
	if (!diag || !parser)
		return muster_fail_memory(err);
	if (!check_bytes(source))
		return true;
	if (fy_parser_set_string(parser, source->data, source->size) != 0)
		return muster_fail_memory(err);
	convert_document(source, parser, &root);
	report_errors(source, diag);
	if (source->is_out_of_memory)
		return muster_fail_memory(err);
	*ret_root = TAKE_PTR(root);
	return true;
}
