/* Rules between fields: checked on the tree, and printed as if and then. */
#include "fields.h"

#include <string.h>

#include "muster/json.h"

/* -- Checking ---------------------------------------------------------------------------------------------------- */

static bool is_text(const struct yaml_pair *pair, const char *text)
{
	return pair->value && pair->value->kind == YAML_SCALAR &&
	       strcmp(pair->value->text, text) == 0;
}

static bool holds(const struct rule *rule, const struct yaml_pair *then)
{
	const struct yaml_node *value = then ? then->value : NULL;

	switch (rule->kind) {
	case RULE_REQUIRE:
		return then != NULL;
	case RULE_FORBID:
		return then == NULL;
	case RULE_ONE_ITEM: /* an empty list is reported elsewhere */
		return !value || value->kind != YAML_LIST || value->count <= 1;
	case RULE_EQUALS:
		return then && is_text(then, rule->value);
	case RULE_WITHOUT:
		return !value || value->kind != YAML_SCALAR || !strstr(value->text, rule->value);
	}
	return true;
}

static struct span span_of(const struct yaml_pair *pair)
{
	return pair->value && pair->value->kind == YAML_SCALAR ? pair->value->span : pair->span;
}

static void report(struct source *source, const struct rule *rule, const struct yaml_pair *when,
		   const struct yaml_pair *then)
{
	switch (rule->kind) {
	case RULE_REQUIRE:
		mistake_add(source, CAUSE_PROFILE_MISSING, span_of(when), "%s is missing: %s",
			    rule->then, rule->message);
		break;
	case RULE_EQUALS:
		mistake_add(source, CAUSE_PROFILE_CONTRADICTION, when->span, "%s", rule->message);
		break;
	case RULE_FORBID:
	case RULE_ONE_ITEM:
		mistake_add(source, CAUSE_PROFILE_CONTRADICTION, then->span, "%s", rule->message);
		break;
	case RULE_WITHOUT:
		mistake_add(source, CAUSE_PROFILE_CONTRADICTION, span_of(then), "%s",
			    rule->message);
		break;
	}
}

void rules_check(struct source *source, const struct rule *rules, size_t count,
		 const struct yaml_node *root)
{
	for (size_t i = 0; i < count; i++) {
		const struct yaml_pair *when = yaml_at(root, rules[i].when);
		const struct yaml_pair *then = yaml_at(root, rules[i].then);

		if (when && (!rules[i].equals || is_text(when, rules[i].equals)) &&
		    !holds(&rules[i], then))
			report(source, &rules[i], when, then);
	}
}

/* -- Schema -------------------------------------------------------------------------------------------------------- */

static cJSON *make_list_of(const char *text)
{
	cJSON *list = cJSON_CreateArray();

	if (list)
		cJSON_AddItemToArray(list, cJSON_CreateString(text));
	return list;
}

/* A schema that says `inner` of the property at `path`; with `required`, that it is there. */
static cJSON *make_at(const char *path, bool required, cJSON *inner)
{
	size_t length = strcspn(path, ".");
	char name[64];
	cJSON *schema = cJSON_CreateObject(), *properties = cJSON_CreateObject();

	if (length >= sizeof(name) || !schema || !properties || !inner)
		goto failed;
	memcpy(name, path, length);
	name[length] = 0;
	if (path[length])
		inner = make_at(path + length + 1, required, inner);
	if (!json_add_item(properties, name, inner))
		return cJSON_Delete(schema), cJSON_Delete(properties), NULL;
	inner = NULL;
	if (json_add_item(schema, "properties", properties) &&
	    (!required || json_add_item(schema, "required", make_list_of(name))))
		return schema;
	properties = NULL;
failed:
	cJSON_Delete(schema);
	cJSON_Delete(properties);
	cJSON_Delete(inner);
	return NULL;
}

static cJSON *make_const(const char *value)
{
	cJSON *schema = cJSON_CreateObject();

	if (schema && json_add_text(schema, "const", value))
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

/* {"not": {"pattern": value}}; a brace is escaped. */
static cJSON *make_without(const char *value)
{
	CLEANUP(freep) char *pattern = text_format("[%c]%s", value[0], value + 1);
	cJSON *schema = cJSON_CreateObject(), *inner = cJSON_CreateObject();

	if (schema && inner && pattern && json_add_text(inner, "pattern", pattern) &&
	    json_add_item(schema, "not", inner))
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

static cJSON *make_one_item(void)
{
	cJSON *schema = cJSON_CreateObject();

	if (schema && json_add_int64(schema, "maxItems", 1))
		return schema;
	cJSON_Delete(schema);
	return NULL;
}

static cJSON *make_then(const struct rule *rule)
{
	switch (rule->kind) {
	case RULE_REQUIRE:
		return make_at(rule->then, true, cJSON_CreateTrue());
	case RULE_FORBID:
		return make_at(rule->then, false, cJSON_CreateFalse());
	case RULE_ONE_ITEM:
		return make_at(rule->then, false, make_one_item());
	case RULE_EQUALS:
		return make_at(rule->then, true, make_const(rule->value));
	case RULE_WITHOUT:
		return make_at(rule->then, false, make_without(rule->value));
	}
	return NULL;
}

bool rules_schema(const struct rule *rules, size_t count, cJSON *schema)
{
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; list && i < count; i++) {
		cJSON *row = cJSON_CreateObject();
		cJSON *condition =
			rules[i].equals ? make_const(rules[i].equals) : cJSON_CreateTrue();

		if (!row || !json_add_item(row, "if", make_at(rules[i].when, true, condition)) ||
		    !json_add_item(row, "then", make_then(&rules[i]))) {
			cJSON_Delete(row);
			cJSON_Delete(list);
			return false;
		}
		cJSON_AddItemToArray(list, row);
	}
	return json_add_item(schema, "allOf", list);
}
