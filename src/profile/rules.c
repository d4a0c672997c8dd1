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

/* A schema that says `inner` of the property at `path`; with `required`, that it is there. Takes `inner` over. */
static cJSON *make_at(const char *path, bool required, cJSON *inner)
{
	CLEANUP(cJSON_freep) cJSON *owned = inner, *schema = cJSON_CreateObject();
	CLEANUP(cJSON_freep) cJSON *properties = cJSON_CreateObject();
	size_t length = strcspn(path, ".");
	char name[64];

	if (length >= sizeof(name) || !schema || !properties || !inner)
		return NULL;
	memcpy(name, path, length);
	name[length] = 0;
	if (path[length])
		owned = make_at(path + length + 1, required, TAKE_PTR(owned));
	return json_add_item(properties, name, TAKE_PTR(owned)) &&
			       json_add_item(schema, "properties", TAKE_PTR(properties)) &&
			       (!required ||
				json_add_item(schema, "required", schema_list_of(name)))
		       ? TAKE_PTR(schema)
		       : NULL;
}

static cJSON *make_const(const char *value)
{
	CLEANUP(cJSON_freep) cJSON *schema = cJSON_CreateObject();

	return schema && json_add_text(schema, "const", value) ? TAKE_PTR(schema) : NULL;
}

/* {"not": {"pattern": value}}; a brace is escaped. */
static cJSON *make_without(const char *value)
{
	CLEANUP(freep) char *pattern = text_format("[%c]%s", value[0], value + 1);
	CLEANUP(cJSON_freep) cJSON *schema = cJSON_CreateObject();
	CLEANUP(cJSON_freep) cJSON *inner = cJSON_CreateObject();

	return schema && inner && pattern && json_add_text(inner, "pattern", pattern) &&
			       json_add_item(schema, "not", TAKE_PTR(inner))
		       ? TAKE_PTR(schema)
		       : NULL;
}

static cJSON *make_one_item(void)
{
	CLEANUP(cJSON_freep) cJSON *schema = cJSON_CreateObject();

	return schema && json_add_int64(schema, "maxItems", 1) ? TAKE_PTR(schema) : NULL;
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
	CLEANUP(cJSON_freep) cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < count; i++) {
		CLEANUP(cJSON_freep) cJSON *row = cJSON_CreateObject();
		cJSON *condition =
			rules[i].equals ? make_const(rules[i].equals) : cJSON_CreateTrue();
		cJSON *when = make_at(rules[i].when, true, condition);

		if (!json_add_item(row, "if", when) ||
		    !json_add_item(row, "then", make_then(&rules[i])) ||
		    !schema_append(list, TAKE_PTR(row)))
			return false;
	}
	return json_add_item(schema, "allOf", TAKE_PTR(list));
}
