/* From the table to JSON Schema (draft-07). */
#include "fields.h"

#include <string.h>

#include "muster/json.h"

/* Every helper takes over what it adds, also when it fails; a NULL item counts as failed. */

bool schema_append(cJSON *list, cJSON *item)
{
	if (list && item && cJSON_AddItemToArray(list, item))
		return true;
	cJSON_Delete(item);
	return false;
}

cJSON *schema_list_of(const char *text)
{
	CLEANUP(cJSON_freep) cJSON *list = cJSON_CreateArray();

	return schema_append(list, cJSON_CreateString(text)) ? TAKE_PTR(list) : NULL;
}

static bool add_words(cJSON *schema, const struct word *words)
{
	CLEANUP(cJSON_freep) cJSON *list = cJSON_CreateArray();

	for (; words->word; words++)
		if (!schema_append(list, cJSON_CreateString(words->word)))
			return false;
	return json_add_item(schema, "enum", TAKE_PTR(list));
}

static bool add_text_rules(cJSON *schema, const struct field *field)
{
	CLEANUP(cJSON_freep) cJSON *forbidden = NULL;

	if (!json_add_text(schema, "type", "string") || !json_add_int64(schema, "minLength", 1) ||
	    !json_add_int64(schema, "maxLength",
			    field->max ? (int64_t)field->max : FIELD_CHARACTERS_MAX) ||
	    !json_add_text(schema, "pattern", field->pattern))
		return false;
	if (!field->forbidden)
		return true;
	forbidden = cJSON_CreateObject();
	return forbidden && json_add_text(forbidden, "pattern", field->forbidden) &&
	       json_add_item(schema, "not", TAKE_PTR(forbidden));
}

static bool add_integer_rules(cJSON *schema, const struct field *field)
{
	return json_add_text(schema, "type", "integer") &&
	       json_add_int64(schema, "minimum", field->least) &&
	       json_add_int64(schema, "maximum", field->most);
}

static bool add_list_rules(cJSON *schema, const struct field *field)
{
	CLEANUP(cJSON_freep) cJSON *items = cJSON_CreateObject();

	return items && add_text_rules(items, field) && json_add_text(schema, "type", "array") &&
	       json_add_item(schema, "items", TAKE_PTR(items)) &&
	       json_add_int64(schema, "minItems", 1) &&
	       json_add_int64(schema, "maxItems", FIELD_ITEMS_MAX) &&
	       json_add_bool(schema, "uniqueItems", true);
}

static bool add_fields(cJSON *schema, const struct fields *fields);

static bool add_word_or_group(cJSON *schema, const struct field *field)
{
	CLEANUP(cJSON_freep) cJSON *choices = cJSON_CreateArray();
	CLEANUP(cJSON_freep) cJSON *words = cJSON_CreateObject();

	return words && add_words(words, field->words) && schema_append(choices, TAKE_PTR(words)) &&
	       schema_append(choices, fields_schema(field->group)) &&
	       json_add_item(schema, "anyOf", TAKE_PTR(choices));
}

static bool add_map(cJSON *schema, const struct field *field)
{
	CLEANUP(cJSON_freep) cJSON *names = cJSON_CreateObject();

	return names && add_text_rules(names, field) && json_add_text(schema, "type", "object") &&
	       json_add_item(schema, "propertyNames", TAKE_PTR(names)) &&
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
	CLEANUP(cJSON_freep) cJSON *schema = cJSON_CreateObject();

	return schema && json_add_text(schema, "description", field->help) &&
			       add_kind(schema, field) && add_default(schema, field)
		       ? TAKE_PTR(schema)
		       : NULL;
}

static bool add_required(cJSON *schema, const struct fields *fields)
{
	CLEANUP(cJSON_freep) cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < fields->count; i++)
		if (fields->rows[i].is_required &&
		    !schema_append(list, cJSON_CreateString(fields->rows[i].name)))
			return false;
	return list &&
	       (cJSON_GetArraySize(list) == 0 || json_add_item(schema, "required", TAKE_PTR(list)));
}

/* "oneOf": [{"required": ["file"]}, {"required": ["key"]}] */
static bool add_one_of(cJSON *schema, const struct fields *fields)
{
	CLEANUP(cJSON_freep) cJSON *choices = cJSON_CreateArray();

	for (size_t i = 0; i < fields->count; i++) {
		CLEANUP(cJSON_freep) cJSON *choice = cJSON_CreateObject();

		if (!choice ||
		    !json_add_item(choice, "required", schema_list_of(fields->rows[i].name)) ||
		    !schema_append(choices, TAKE_PTR(choice)))
			return false;
	}
	return json_add_item(schema, "oneOf", TAKE_PTR(choices));
}

static bool add_fields(cJSON *schema, const struct fields *fields)
{
	CLEANUP(cJSON_freep) cJSON *properties = cJSON_CreateObject();

	for (size_t i = 0; i < fields->count; i++)
		if (!properties ||
		    !json_add_item(properties, fields->rows[i].name, make_field(&fields->rows[i])))
			return false;
	return json_add_text(schema, "type", "object") &&
	       json_add_item(schema, "properties", TAKE_PTR(properties)) &&
	       json_add_bool(schema, "additionalProperties", false) &&
	       add_required(schema, fields) && (!fields->is_one_of || add_one_of(schema, fields));
}

cJSON *fields_schema(const struct fields *fields)
{
	CLEANUP(cJSON_freep) cJSON *schema = cJSON_CreateObject();

	return schema && add_fields(schema, fields) ? TAKE_PTR(schema) : NULL;
}
