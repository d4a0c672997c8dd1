/* From the table to JSON Schema (draft-07). */
#include "fields.h"

#include <string.h>

#include "muster/json.h"

/* Every helper takes over what it adds, also when it fails; a NULL item counts as failed. */

static bool add_words(cJSON *schema, const struct word *words)
{
	cJSON *list = cJSON_CreateArray();

	for (; list && words->word; words++)
		cJSON_AddItemToArray(list, cJSON_CreateString(words->word));
	return json_add_item(schema, "enum", list);
}

static bool add_text_rules(cJSON *schema, const struct field *field)
{
	cJSON *forbidden = NULL;

	if (!json_add_text(schema, "type", "string") || !json_add_int64(schema, "minLength", 1) ||
	    !json_add_int64(schema, "maxLength",
			    field->max ? (int64_t)field->max : FIELD_CHARACTERS_MAX) ||
	    !json_add_text(schema, "pattern", field->pattern))
		return false;
	if (!field->forbidden)
		return true;
	forbidden = cJSON_CreateObject();
	return forbidden && json_add_text(forbidden, "pattern", field->forbidden) &&
	       json_add_item(schema, "not", forbidden);
}

static bool add_integer_rules(cJSON *schema, const struct field *field)
{
	return json_add_text(schema, "type", "integer") &&
	       json_add_int64(schema, "minimum", field->least) &&
	       json_add_int64(schema, "maximum", field->most);
}

static bool add_list_rules(cJSON *schema, const struct field *field)
{
	cJSON *items = cJSON_CreateObject();

	if (!items || !add_text_rules(items, field)) {
		cJSON_Delete(items);
		return false;
	}
	return json_add_text(schema, "type", "array") && json_add_item(schema, "items", items) &&
	       json_add_int64(schema, "minItems", 1) &&
	       json_add_int64(schema, "maxItems", FIELD_ITEMS_MAX) &&
	       json_add_bool(schema, "uniqueItems", true);
}

static bool add_fields(cJSON *schema, const struct fields *fields);

static bool add_word_or_group(cJSON *schema, const struct field *field)
{
	cJSON *choices = cJSON_CreateArray();
	cJSON *words = cJSON_CreateObject();

	if (!choices || !words || !add_words(words, field->words)) {
		cJSON_Delete(choices);
		cJSON_Delete(words);
		return false;
	}
	cJSON_AddItemToArray(choices, words);
	cJSON_AddItemToArray(choices, fields_schema(field->group));
	return json_add_item(schema, "anyOf", choices);
}

static bool add_map(cJSON *schema, const struct field *field)
{
	cJSON *names = cJSON_CreateObject();

	if (!names || !add_text_rules(names, field)) {
		cJSON_Delete(names);
		return false;
	}
	return json_add_text(schema, "type", "object") &&
	       json_add_item(schema, "propertyNames", names) &&
	       json_add_item(schema, "additionalProperties", fields_schema(field->group));
}

static bool add_kind(cJSON *schema, const struct field *field)
{
	switch (field->kind) {
	case FIELD_TEXT:
	case FIELD_PATH:
	case FIELD_TEMPLATE:
		return add_text_rules(schema, field);
	case FIELD_WORD:
	case FIELD_WORD_BOOL:
	case FIELD_WORD_TEXT:
		return add_words(schema, field->words);
	case FIELD_BOOL:
		return json_add_text(schema, "type", "boolean");
	case FIELD_INTEGER:
		return add_integer_rules(schema, field);
	case FIELD_LIST:
		return add_list_rules(schema, field);
	case FIELD_JSON:
		return json_add_text(schema, "type", "object");
	case FIELD_GROUP:
		return add_fields(schema, field->group);
	case FIELD_WORD_OR_GROUP:
		return add_word_or_group(schema, field);
	case FIELD_MAP:
		return add_map(schema, field);
	}
	return false;
}

static bool add_default(cJSON *schema, const struct field *field)
{
	if (!field->fallback)
		return true;
	if (field->kind == FIELD_BOOL)
		return json_add_bool(schema, "default", strcmp(field->fallback, "true") == 0);
	if (field->kind == FIELD_INTEGER)
		return json_add_item(schema, "default", cJSON_CreateRaw(field->fallback));
	return json_add_text(schema, "default", field->fallback);
}

static cJSON *make_field(const struct field *field)
{
	cJSON *schema = cJSON_CreateObject();

	if (schema && json_add_text(schema, "description", field->help) &&
	    add_kind(schema, field) && add_default(schema, field))
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

static bool add_required(cJSON *schema, const struct fields *fields)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; list && i < fields->count; i++) {
		if (fields->rows[i].is_required)
			cJSON_AddItemToArray(list, cJSON_CreateString(fields->rows[i].name));
	}
	if (list && cJSON_GetArraySize(list) == 0) {
		cJSON_Delete(list);
		return true;
	}
	return json_add_item(schema, "required", list);
}

/* "oneOf": [{"required": ["file"]}, {"required": ["key"]}] */
static bool add_one_of(cJSON *schema, const struct fields *fields)
{
	cJSON *choices = cJSON_CreateArray();

	for (size_t i = 0; choices && i < fields->count; i++) {
		cJSON *choice = cJSON_CreateObject(), *names = cJSON_CreateArray();

		cJSON_AddItemToArray(names, cJSON_CreateString(fields->rows[i].name));
		if (!json_add_item(choice, "required", names))
			return cJSON_Delete(choice), cJSON_Delete(choices), false;
		cJSON_AddItemToArray(choices, choice);
	}
	return json_add_item(schema, "oneOf", choices);
}

static bool add_fields(cJSON *schema, const struct fields *fields)
{
	cJSON *properties = cJSON_CreateObject();

	for (size_t i = 0; properties && i < fields->count; i++) {
		if (json_add_item(properties, fields->rows[i].name, make_field(&fields->rows[i])))
			continue;
		cJSON_Delete(properties);
		return false;
	}
	return json_add_text(schema, "type", "object") &&
	       json_add_item(schema, "properties", properties) &&
	       json_add_bool(schema, "additionalProperties", false) &&
	       add_required(schema, fields) && (!fields->is_one_of || add_one_of(schema, fields));
}

cJSON *fields_schema(const struct fields *fields)
{
	cJSON *schema = cJSON_CreateObject();

	if (schema && add_fields(schema, fields))
		return schema;
	cJSON_Delete(schema);
	return NULL;
}
