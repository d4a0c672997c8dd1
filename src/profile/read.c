/* From the tree into the struct, row by row. */
#include "fields.h"

#include <regex.h>
#include <string.h>

#include "muster/json.h"
#include "muster/secret.h"

static void *place_of(const struct field *field, void *base)
{
	return (char *)base + field->offset;
}

static void store_text(struct source *source, char **place, const char *text)
{
	free(*place);
	*place = strdup(text);
	if (!*place)
		source->is_out_of_memory = true;
}

/* -- Texts --------------------------------------------------------------------------------------------------- */

static size_t count_characters(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

static size_t max_of(const struct field *field)
{
	return field->max ? field->max : FIELD_CHARACTERS_MAX;
}

static bool matches(struct source *source, const char *pattern, const char *text)
{
	regex_t regex;
	bool is_match;

	if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
		source->is_out_of_memory = true;
		return true;
	}
	is_match = regexec(&regex, text, 0, NULL, 0) == 0;
	regfree(&regex);
	return is_match;
}

bool field_takes(const struct field *field, const char *value)
{
	struct source source = { 0 };

	return count_characters(value) <= max_of(field) &&
	       matches(&source, field->pattern, value) && !source.is_out_of_memory;
}

static void fail_type(struct source *source, const struct field *field, const char *wanted,
		      const struct yaml_node *node)
{
	enum yaml_type type = yaml_type_of(node);
	bool is_quotable =
		strcmp(wanted, "a text") == 0 && type != YAML_COLLECTION && type != YAML_NULL;

	mistake_add(source, CAUSE_PROFILE_TYPE, node->span, "%s is %s, not %s%s", field->name,
		    yaml_describe(node), wanted, is_quotable ? "; put it in quotes" : "");
}

/* Characters that no value has, least of all one that is printed. */
static bool has_control(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

static bool check_text(struct source *source, const struct field *field, struct span span,
		       const char *text)
{
	size_t max = max_of(field);

	if (!*text)
		mistake_add(source, CAUSE_PROFILE_VALUE, span, "%s is empty", field->name);
	else if (count_characters(text) > max)
		mistake_add(source, CAUSE_PROFILE_VALUE, span, "%s has more than %zu characters",
			    field->name, max);
	else if (has_control(text))
		mistake_add(source, CAUSE_PROFILE_VALUE, span, "%s has a control character",
			    field->name);
	else if (field->forbidden && strstr(text, field->forbidden))
		mistake_add_unseen(source, CAUSE_PROFILE_VALUE, span, "%s must not have '%s': %s",
				   field->name, field->forbidden, field->forbidden_why);
	else if (field->pattern && !matches(source, field->pattern, text))
		mistake_add(source, CAUSE_PROFILE_VALUE, span, "%s has to be %s", field->name,
			    field->form);
	else
		return true;
	return false;
}

static bool take_text(struct source *source, const struct field *field,
		      const struct yaml_node *node)
{
	enum yaml_type type = yaml_type_of(node);

	if (type == YAML_STRING || (type == YAML_NUMBER && field->is_number_too))
		return check_text(source, field, node->span, node->text);
	fail_type(source, field, "a text", node);
	return false;
}

static void read_text(struct source *source, const struct field *field,
		      const struct yaml_node *node, void *place)
{
	if (take_text(source, field, node))
		store_text(source, place, node->text);
}

static void read_path(struct source *source, const struct field *field,
		      const struct yaml_node *node, void *place)
{
	const char *slash = strrchr(source->path, '/');
	char **path = place;

	if (!take_text(source, field, node))
		return;
	source->names_beside |= node->text[0] != '/';
	if (node->text[0] == '/' || !slash ||
	    (field->is_secret &&
	     (!secret_source_is_file(node->text) || text_has_prefix(node->text, "pkcs11:")))) {
		store_text(source, path, node->text);
		return;
	}
	free(*path);
	*path = text_format("%.*s/%s", (int)(slash - source->path), source->path, node->text);
	if (!*path)
		source->is_out_of_memory = true;
}

/* The place inside the template, as long as the text stands in the file as it is read. */
static struct span span_inside(const struct source *source, const struct yaml_node *node, size_t at,
			       size_t length)
{
	size_t size = strlen(node->text);
	const char *found =
		node->span.length < size || node->span.at > source->size ||
				node->span.length > source->size - node->span.at
			? NULL
			: memmem(source->data + node->span.at, node->span.length, node->text, size);

	if (!found)
		return node->span;
	return (struct span){ (size_t)(found - source->data) + at, length };
}

static void read_template(struct source *source, const struct field *field,
			  const struct yaml_node *node, void *place)
{
	struct muster_error err;
	size_t at = 0, length = 0;

	if (yaml_type_of(node) == YAML_STRING &&
	    !identity_template_check(node->text, field->template_kind, &at, &length, &err)) {
		mistake_add(source, err.cause, span_inside(source, node, at, length), "%s: %s",
			    field->name, err.message);
		return;
	}
	read_text(source, field, node, place);
}

/* -- Words ------------------------------------------------------------------------------------------------------ */

#define WORDS_MAX 16

static const struct word *find_word(const struct word *words, const char *text)
{
	for (; words->word; words++) {
		if (strcmp(words->word, text) == 0)
			return words;
	}
	return NULL;
}

/* "there are tpm, x509, symmetricKey", and the one that was meant in front. */
static void fail_word(struct source *source, const struct field *field,
		      const struct yaml_node *node)
{
	CLEANUP(text_done) struct text list = TEXT_MAX(1024);
	const char *candidates[WORDS_MAX], *nearest;
	size_t count = 0;

	for (; count < WORDS_MAX && field->words[count].word; count++) {
		candidates[count] = field->words[count].word;
		text_addf(&list, "%s%s", count ? ", " : "", candidates[count]);
	}
	nearest = node->kind == YAML_SCALAR ? text_nearest(node->text, candidates, count) : NULL;
	mistake_add(source, CAUSE_PROFILE_VALUE, node->span,
		    "%s cannot be '%s'%s%s%s; there are %s", field->name, PRINTABLE(node->text),
		    nearest ? " (did you mean '" : "", nearest ? nearest : "", nearest ? "'?)" : "",
		    list.failed ? "others" : list.data);
}

static void store_word(struct source *source, const struct field *field, const struct word *word,
		       void *place)
{
	if (field->kind == FIELD_WORD_BOOL)
		*(bool *)place = word->value != 0;
	else if (field->kind == FIELD_WORD_TEXT)
		store_text(source, place, word->word);
	else
		*(int *)place = word->value;
}

static void read_word(struct source *source, const struct field *field,
		      const struct yaml_node *node, void *place)
{
	const struct word *word;

	if (yaml_type_of(node) != YAML_STRING) {
		fail_type(source, field, "a word", node);
		return;
	}
	word = find_word(field->words, node->text);
	if (word)
		store_word(source, field, word, place);
	else
		fail_word(source, field, node);
}

/* -- Booleans, numbers, lists, JSON ------------------------------------------------------------------------------ */

static void read_bool(struct source *source, const struct field *field,
		      const struct yaml_node *node, void *place)
{
	if (yaml_type_of(node) == YAML_BOOL)
		*(bool *)place = node->text[0] == 't' || node->text[0] == 'T';
	else
		fail_type(source, field, "true or false", node);
}

static void read_integer(struct source *source, const struct field *field,
			 const struct yaml_node *node, void *place)
{
	int64_t value = 0;

	if (yaml_type_of(node) != YAML_NUMBER || strpbrk(node->text, ".eE"))
		fail_type(source, field, "a whole number", node);
	else if (text_to_int64(node->text, field->least, field->most, &value))
		*(int64_t *)place = value;
	else
		mistake_add(source, CAUSE_PROFILE_VALUE, node->span, "%s has to be %lld to %lld",
			    field->name, (long long)field->least, (long long)field->most);
}

static bool is_in_list(const struct profile_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i], text) == 0)
			return true;
	}
	return false;
}

static void list_free(struct profile_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct profile_list){ 0 };
}

static void list_add(struct source *source, const struct field *field, const struct yaml_node *node,
		     struct profile_list *list)
{
	if (!take_text(source, field, node))
		return;
	if (is_in_list(list, node->text)) {
		mistake_add(source, CAUSE_PROFILE_VALUE, node->span, "%s names '%s' a second time",
			    field->name, PRINTABLE(node->text));
		return;
	}
	list->items[list->count] = NULL;
	store_text(source, &list->items[list->count], node->text);
	list->count += list->items[list->count] != NULL;
}

static void read_list(struct source *source, const struct field *field,
		      const struct yaml_node *node, void *place)
{
	struct profile_list *list = place;

	if (node->kind != YAML_LIST) {
		fail_type(source, field, "a list", node);
		return;
	}
	if (node->count == 0 || node->count > FIELD_ITEMS_MAX) {
		mistake_add(source, CAUSE_PROFILE_VALUE, node->span, "%s has to have 1 to %d items",
			    field->name, FIELD_ITEMS_MAX);
		return;
	}
	list_free(list);
	list->items = calloc(node->count, sizeof(char *));
	if (!list->items) {
		source->is_out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < node->count; i++)
		list_add(source, field, node->items[i], list);
}

static void read_json(struct source *source, const struct field *field,
		      const struct yaml_node *node, void *place)
{
	cJSON **item = place;

	if (node->kind != YAML_MAP) {
		fail_type(source, field, "a mapping", node);
		return;
	}
	cJSON_Delete(*item);
	*item = yaml_to_json(source, node);
}

/* -- Groups ---------------------------------------------------------------------------------------------------------- */

static const struct field *find_field(const struct fields *fields, const char *name)
{
	for (size_t i = 0; i < fields->count; i++) {
		if (strcmp(fields->rows[i].name, name) == 0)
			return &fields->rows[i];
	}
	return NULL;
}

#define FIELDS_MAX 32

static void fail_unknown(struct source *source, const struct fields *fields,
			 const struct yaml_pair *pair)
{
	const char *candidates[FIELDS_MAX], *nearest;
	size_t count = 0;

	for (; count < fields->count && count < FIELDS_MAX; count++)
		candidates[count] = fields->rows[count].name;
	nearest = text_nearest(pair->key, candidates, count);
	mistake_add(source, CAUSE_PROFILE_KEY_UNKNOWN, pair->span, "unknown key '%s'%s%s%s",
		    PRINTABLE(pair->key), nearest ? " (did you mean '" : "", nearest ? nearest : "",
		    nearest ? "'?)" : "");
}

static void check_required(struct source *source, const struct fields *fields,
			   const struct yaml_node *node)
{
	size_t present = 0;

	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->rows[i];

		if (yaml_get(node, field->name))
			present++;
		else if (field->is_required)
			mistake_add(source, CAUSE_PROFILE_MISSING, node->span, "%s is missing (%s)",
				    field->name, field->help);
	}
	if (fields->is_one_of && present != 1)
		mistake_add(source, present ? CAUSE_PROFILE_CONTRADICTION : CAUSE_PROFILE_MISSING,
			    node->span, "either %s or %s has to be here%s", fields->rows[0].name,
			    fields->rows[1].name, present ? ", not both" : "");
}

static void read_field(struct source *source, const struct field *field,
		       const struct yaml_node *node, void *base);

static void read_group(struct source *source, const struct field *field,
		       const struct yaml_node *node, void *place)
{
	if (node->kind == YAML_MAP)
		fields_read(source, field->group, node, place);
	else
		fail_type(source, field, "a mapping", node);
}

/* With the group the struct that holds the int holds the group's fields too: their offsets begin at `base`. */
static void read_word_or_group(struct source *source, const struct field *field,
			       const struct yaml_node *node, void *base)
{
	if (node->kind != YAML_MAP) {
		read_word(source, field, node, place_of(field, base));
		return;
	}
	*(int *)place_of(field, base) = field->group_value;
	fields_read(source, field->group, node, base);
}

static char **name_of_entry(const struct field *field, const struct field_map *map, size_t i)
{
	return (char **)(void *)((char *)map->entries + i * field->group->size);
}

/* The entry of that name, made when there is none. */
static void *open_entry(struct source *source, const struct field *field, struct field_map *map,
			const char *name)
{
	size_t size = field->group->size;
	char **entry;
	void *entries;

	for (size_t i = 0; i < map->count; i++) {
		entry = name_of_entry(field, map, i);
		if (strcmp(*entry, name) == 0)
			return entry;
	}
	entries = reallocarray(map->entries, map->count + 1, size);
	if (!entries) {
		source->is_out_of_memory = true;
		return NULL;
	}
	map->entries = entries;
	entry = name_of_entry(field, map, map->count++);
	memset(entry, 0, size);
	store_text(source, entry, name);
	return *entry ? entry : NULL;
}

static void read_map(struct source *source, const struct field *field, const struct yaml_node *node,
		     void *place)
{
	struct field_map map;

	if (node->kind != YAML_MAP) {
		fail_type(source, field, "a mapping", node);
		return;
	}
	memcpy(&map, place, sizeof(map)); /* the struct has a pointer of another type there */
	for (size_t i = 0; i < node->count && !source->is_out_of_memory; i++) {
		const struct yaml_pair *pair = &node->pairs[i];
		void *entry = NULL;

		if (check_text(source, field, pair->span, pair->key))
			entry = open_entry(source, field, &map, pair->key);
		if (entry && pair->value)
			read_group(source, field, pair->value, entry);
	}
	memcpy(place, &map, sizeof(map));
}

static void read_field(struct source *source, const struct field *field,
		       const struct yaml_node *node, void *base)
{
	static void (*const readers[])(struct source * source, const struct field *field,
				       const struct yaml_node *node, void *place) = {
		[FIELD_TEXT] = read_text,         [FIELD_PATH] = read_path,
		[FIELD_TEMPLATE] = read_template, [FIELD_WORD] = read_word,
		[FIELD_WORD_BOOL] = read_word,    [FIELD_WORD_TEXT] = read_word,
		[FIELD_BOOL] = read_bool,         [FIELD_INTEGER] = read_integer,
		[FIELD_LIST] = read_list,         [FIELD_JSON] = read_json,
		[FIELD_GROUP] = read_group,       [FIELD_MAP] = read_map,
	};

	if (field->kind == FIELD_WORD_OR_GROUP)
		read_word_or_group(source, field, node, base);
	else
		readers[field->kind](source, field, node, place_of(field, base));
}

void fields_read(struct source *source, const struct fields *fields, const struct yaml_node *node,
		 void *base)
{
	for (size_t i = 0; i < node->count; i++) {
		const struct yaml_pair *pair = &node->pairs[i];
		const struct field *field = find_field(fields, pair->key);

		if (!field)
			fail_unknown(source, fields, pair);
		else if (pair->value)
			read_field(source, field, pair->value, base);
	}
	check_required(source, fields, node);
}

/* -- Defaults and the end --------------------------------------------------------------------------------------------- */

void fields_set_defaults(struct source *source, const struct fields *fields, void *base)
{
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->rows[i];
		struct yaml_node node = { .kind = YAML_SCALAR };

		if (field->kind == FIELD_GROUP)
			fields_set_defaults(source, field->group, place_of(field, base));
		if (!field->fallback)
			continue;
		node.is_plain = field->kind == FIELD_BOOL || field->kind == FIELD_INTEGER;
		node.text = strdup(field->fallback);
		if (node.text)
			read_field(source, field, &node, base);
		else
			source->is_out_of_memory = true;
		free(node.text);
	}
}

static void free_map(const struct field *field, void *place)
{
	struct field_map map;

	memcpy(&map, place, sizeof(map));
	for (size_t i = 0; i < map.count; i++) {
		char **entry = name_of_entry(field, &map, i);

		free(*entry);
		fields_free(field->group, entry);
	}
	free(map.entries);
	memset(place, 0, sizeof(map));
}

static void free_field(const struct field *field, void *place)
{
	switch (field->kind) {
	case FIELD_TEXT:
	case FIELD_PATH:
	case FIELD_TEMPLATE:
	case FIELD_WORD_TEXT:
		free(*(char **)place);
		*(char **)place = NULL;
		break;
	case FIELD_LIST:
		list_free(place);
		break;
	case FIELD_JSON:
		cJSON_Delete(*(cJSON **)place);
		*(cJSON **)place = NULL;
		break;
	case FIELD_GROUP:
		fields_free(field->group, place);
		break;
	case FIELD_MAP:
		free_map(field, place);
		break;
	case FIELD_WORD:
	case FIELD_WORD_BOOL:
	case FIELD_BOOL:
	case FIELD_INTEGER:
	case FIELD_WORD_OR_GROUP:
		break;
	}
}

void fields_free(const struct fields *fields, void *base)
{
	for (size_t i = 0; i < fields->count; i++)
		free_field(&fields->rows[i], place_of(&fields->rows[i], base));
}

void fields_refuse_root(struct source *source, const struct yaml_node *root, const char *what)
{
	static const char format[] = "%s is a mapping of keys to values, not %s";

	if (root->kind == YAML_SCALAR)
		mistake_add_unseen(source, CAUSE_PROFILE_TYPE, root->span, format, what,
				   yaml_describe(root));
	else
		mistake_add(source, CAUSE_PROFILE_TYPE, root->span, format, what,
			    yaml_describe(root));
}
