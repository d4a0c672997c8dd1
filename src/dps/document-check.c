#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "muster/json.h"

#include "document-internal.h"

#define FIELDS_MAX 24 /* of one object */

static void add_problem(struct check *check, const char *below, const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));

static void add_problem(struct check *check, const char *below, const char *format, va_list args)
{
	struct dps_problems *problems = check->problems;
	struct dps_problem *problem = &problems->list[problems->count];
	CLEANUP(text_done) struct text path = { 0 };

	if (problems->count == DPS_PROBLEMS_MAX)
		return;
	problems->count++;
	for (size_t i = 0; i < check->depth; i++)
		text_addf(&path, "%s%s", i > 0 ? "." : "", check->path[i]);
	snprintf(problem->path, sizeof(problem->path), "%s%s%s", path.data ? path.data : "",
		 path.length > 0 && *below ? "." : "", below);
	vsnprintf(problem->message, sizeof(problem->message), format, args);
}

void check_problem(struct check *check, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_problem(check, "", format, args);
	va_end(args);
}

void check_problem_at(struct check *check, const char *below, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_problem(check, below, format, args);
	va_end(args);
}

const cJSON *document_get(const cJSON *object, const char *name)
{
	const cJSON *item = json_get(object, name);

	return cJSON_IsNull(item) ? NULL : item;
}

const char *document_text(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(document_get(object, name));
}

/* -- Kinds --------------------------------------------------------------------------------------------- */

static const char *find_word(const char *const *words, const char *value)
{
	for (; *words; words++)
		if (text_equal_folded(*words, value))
			return *words;
	return NULL;
}

static bool is_texts(const cJSON *item)
{
	const cJSON *element;

	if (!cJSON_IsArray(item))
		return false;
	cJSON_ArrayForEach(element, item) if (!cJSON_IsString(element)) return false;
	return true;
}

static bool has_kind(const cJSON *item, enum field_kind kind)
{
	switch (kind) {
	case FIELD_TEXT:
	case FIELD_WORD:
		return cJSON_IsString(item);
	case FIELD_BOOL:
		return cJSON_IsBool(item);
	case FIELD_TEXTS:
		return is_texts(item);
	case FIELD_NUMBER:
		return json_is_number(item);
	case FIELD_OBJECT:
	case FIELD_FREE:
		return cJSON_IsObject(item);
	}
	return false;
}

static const char *kind_words(enum field_kind kind)
{
	static const char *const words[] = {
		[FIELD_TEXT] = "a string",      [FIELD_WORD] = "a string",
		[FIELD_BOOL] = "true or false", [FIELD_TEXTS] = "an array of strings",
		[FIELD_NUMBER] = "a number",    [FIELD_OBJECT] = "an object",
		[FIELD_FREE] = "an object",
	};

	return words[kind];
}

static void complain_about_word(struct check *check, const struct field *field, const char *value)
{
	CLEANUP(text_done) struct text list = TEXT_MAX(128);

	for (size_t i = 0; field->words[i]; i++)
		text_addf(&list, "%s%s", i ? ", " : "", field->words[i]);
	check_problem(check, "'%s' is none of: %s", PRINTABLE(value), list.data ? list.data : "");
}

/* -- The walk ------------------------------------------------------------------------------------------ */

static void check_word(struct check *check, const struct field *field, const char *value)
{
	const char *word = find_word(field->words, value);

	if (!word)
		complain_about_word(check, field, value);
	else if (strcmp(word, value) != 0)
		check->problems->is_normal = false;
}

static void check_object(struct check *check, const cJSON *object, const struct field *fields);

static void check_value(struct check *check, const cJSON *item, const struct field *field)
{
	if (!has_kind(item, field->kind)) {
		check_problem(check, "must be %s", kind_words(field->kind));
		return;
	}
	if (field->kind == FIELD_WORD)
		check_word(check, field, item->valuestring);
	if (field->kind == FIELD_OBJECT)
		check_object(check, item, field->members);
	if (field->rule)
		field->rule(check, item);
}

/* item: NULL when there is none. */
static void check_field(struct check *check, const cJSON *item, const struct field *field)
{
	check->problems->is_normal &= !cJSON_IsNull(item);
	if (field->flags & FIELD_READ_ONLY)
		return;
	assert(check->depth < CHECK_DEPTH_MAX);
	check->path[check->depth++] = field->name;
	if (item && !cJSON_IsNull(item))
		check_value(check, item, field);
	else if (field->flags & FIELD_REQUIRED)
		check_problem(check, "is missing");
	check->depth--;
}

static const struct field *find_field(const struct field *fields, const char *name)
{
	for (; fields->name; fields++)
		if (fields->name[0] == name[0] && strcmp(fields->name, name) == 0)
			return fields;
	return NULL;
}

static void check_object(struct check *check, const cJSON *object, const struct field *fields)
{
	const cJSON *items[FIELDS_MAX] = { 0 }, *item;
	const struct field *field;
	bool has_unknown = false;

	cJSON_ArrayForEach(item, object)
	{
		field = find_field(fields, item->string);
		has_unknown |= !field;
		assert(!field || field - fields < FIELDS_MAX);
		if (field)
			items[field - fields] = item;
	}
	for (field = fields; field->name; field++)
		check_field(check, items[field - fields], field);
	if (!has_unknown || check->rules->unknown_members_pass)
		return;
	cJSON_ArrayForEach(item, object) if (!find_field(fields, item->string))
		check_problem_at(check, PRINTABLE(item->string), "is not a known member");
}

static const struct field *fields_of(enum dps_document_kind kind)
{
	return kind == DPS_DOCUMENT_GROUP ? dps_group_fields : dps_enrollment_fields;
}

void dps_document_check(const cJSON *document, const struct dps_document_rules *rules,
			struct dps_problems *problems)
{
	struct check check = { .rules = rules, .problems = problems, .document = document };

	problems->is_normal = true;
	if (!cJSON_IsObject(document)) {
		check_problem(&check, "must be an object");
		return;
	}
	check_object(&check, document, fields_of(rules->kind));
	rule_document(&check, document);
}

/* -- Normalising --------------------------------------------------------------------------------------- */

static void normalise_word(const cJSON *item, const struct field *field)
{
	const char *word = find_word(field->words, item->valuestring);

	/* Only letters change their case, so it fits in place. */
	if (word)
		memcpy(item->valuestring, word, strlen(word));
}

static void normalise_object(cJSON *object, const struct field *fields)
{
	cJSON *item = object->child;

	while (item) {
		const struct field *field = find_field(fields, item->string);
		cJSON *next = item->next;

		if (field && cJSON_IsNull(item))
			cJSON_Delete(cJSON_DetachItemViaPointer(object, item));
		else if (field && field->kind == FIELD_OBJECT && cJSON_IsObject(item))
			normalise_object(item, field->members);
		else if (field && field->kind == FIELD_WORD && cJSON_IsString(item))
			normalise_word(item, field);
		item = next;
	}
}

void dps_document_normalise(cJSON *document)
{
	bool is_group = json_get(document, "enrollmentGroupId") != NULL;

	normalise_object(document,
			 fields_of(is_group ? DPS_DOCUMENT_GROUP : DPS_DOCUMENT_ENROLLMENT));
}
