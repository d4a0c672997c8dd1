/* YAML as JSON: twins and device information. */
#include "fields.h"

#include <string.h>

static cJSON *convert(struct source *source, const struct yaml_node *node);

static cJSON *convert_scalar(struct source *source, const struct yaml_node *node)
{
	switch (yaml_type_of(node)) {
	case YAML_NULL:
		return cJSON_CreateNull();
	case YAML_BOOL:
		return cJSON_CreateBool(node->text[0] == 't' || node->text[0] == 'T');
	case YAML_NUMBER:
		return cJSON_CreateRaw(node->text);
	case YAML_ODD_NUMBER:
		mistake_add(source, CAUSE_PROFILE_VALUE, node->span,
			    "'%s' can be read in more than one way; write the number as JSON does, "
			    "or put the text in quotes",
			    PRINTABLE(node->text));
		return cJSON_CreateNull();
	case YAML_STRING:
	case YAML_COLLECTION:
		break;
	}
	return cJSON_CreateString(node->text);
}

static cJSON *convert_list(struct source *source, const struct yaml_node *node)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; list && i < node->count; i++) {
		cJSON *item = convert(source, node->items[i]);

		if (!item || !cJSON_AddItemToArray(list, item)) {
			cJSON_Delete(item);
			cJSON_Delete(list);
			return NULL;
		}
	}
	return list;
}

static cJSON *convert_map(struct source *source, const struct yaml_node *node)
{
	cJSON *map = cJSON_CreateObject();

	for (size_t i = 0; map && i < node->count; i++) {
		const struct yaml_pair *pair = &node->pairs[i];
		cJSON *item = pair->value ? convert(source, pair->value) : cJSON_CreateNull();

		if (!item || !cJSON_AddItemToObject(map, pair->key, item)) {
			cJSON_Delete(item);
			cJSON_Delete(map);
			return NULL;
		}
	}
	return map;
}

static cJSON *convert(struct source *source, const struct yaml_node *node)
{
	if (node->kind == YAML_SCALAR)
		return convert_scalar(source, node);
	return node->kind == YAML_LIST ? convert_list(source, node) : convert_map(source, node);
}

cJSON *yaml_to_json(struct source *source, const struct yaml_node *node)
{
	cJSON *json = convert(source, node);

	if (!json)
		source->is_out_of_memory = true;
	return json;
}
