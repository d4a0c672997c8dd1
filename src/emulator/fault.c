#include "fault.h"

#include <stdio.h>
#include <string.h>

#include "muster/text.h"

#include "spec.h"

static const char *const operation_names[OPERATION_COUNT] = {
	"none",      "put",      "get",  "delete",       "bulk",  "query",
	"mechanism", "register", "poll", "registration", "token", "management",
};

static const char *const garbage_names[GARBAGE_COUNT] = {
	"text",    "html",      "empty", "array", "wrong-id",
	"no-etag", "duplicate", "deep",  "huge",  "no-keys",
};

enum value_kind { VALUE_NONE, VALUE_NUMBER, VALUE_OPTIONAL, VALUE_GARBAGE };

static const struct action_row {
	const char *name;
	enum value_kind kind;
	int64_t min, max, fallback;
} actions[FAULT_ACTION_COUNT] = {
	[FAULT_NONE] = { "", VALUE_NONE, 0, 0, 0 },
	[FAULT_STATUS] = { "status", VALUE_NUMBER, 300, 599, 0 },
	[FAULT_STATUS_AFTER] = { "status-after", VALUE_NUMBER, 300, 599, 0 },
	[FAULT_CUT_BEFORE] = { "cut-before", VALUE_NONE, 0, 0, 0 },
	[FAULT_CUT_AFTER] = { "cut-after", VALUE_NONE, 0, 0, 0 },
	[FAULT_DELAY] = { "delay", VALUE_NUMBER, 0, 3600000, 0 },
	[FAULT_DELAY_AFTER] = { "delay-after", VALUE_NUMBER, 0, 3600000, 0 },
	[FAULT_TRUNCATED] = { "truncated", VALUE_NONE, 0, 0, 0 },
	[FAULT_GARBAGE] = { "garbage", VALUE_GARBAGE, 0, 0, 0 },
	[FAULT_TRICKLE] = { "trickle", VALUE_NUMBER, 1, 1000000, 0 },
	[FAULT_REPLAY] = { "replay", VALUE_OPTIONAL, 0, 3600000, 1000 },
	[FAULT_REDIRECT] = { "redirect", VALUE_NONE, 0, 0, 0 },
	[FAULT_PARTIAL] = { "partial", VALUE_NUMBER, 0, 10, 0 },
	[FAULT_THROTTLED] = { "throttled", VALUE_NUMBER, 0, 10, 0 },
};

const char *operation_name(enum operation operation)
{
	return operation_names[operation];
}

const char *fault_action_name(enum fault_action action)
{
	return actions[action].name;
}

/* -- Grammar ----------------------------------------------------------------------------------------------- */

static bool parse_operations(char *words, unsigned *ret_operations)
{
	unsigned operations = 0;
	size_t index;

	for (char *word = words; word;) {
		char *plus = strchr(word, '+');
		if (plus)
			*plus = '\0';
		if (strcmp(word, "any") == 0)
			operations = ~0u;
		else if (spec_choice(word, operation_names, OPERATION_COUNT, &index))
			operations |= 1u << index;
		else
			return false;
		word = plus ? plus + 1 : NULL;
	}
	*ret_operations = operations;
	return true;
}

static bool parse_garbage(const struct spec_part *part, int64_t *ret_value)
{
	size_t kind = GARBAGE_TEXT;

	if (part->has_value && !spec_choice(part->value, garbage_names, GARBAGE_COUNT, &kind))
		return false;
	*ret_value = (int64_t)kind;
	return true;
}

static bool parse_action(const struct spec_part *part, struct fault *fault)
{
	for (size_t i = 1; i < FAULT_ACTION_COUNT; i++) {
		const struct action_row *row = &actions[i];
		if (strcmp(row->name, part->name) != 0)
			continue;
		fault->action = (enum fault_action)i;
		fault->value = row->fallback;
		if (row->kind == VALUE_GARBAGE)
			return parse_garbage(part, &fault->value);
		if (row->kind == VALUE_NONE || (row->kind == VALUE_OPTIONAL && !part->has_value))
			return !part->has_value;
		return text_to_int64(part->value, row->min, row->max, &fault->value);
	}
	return false;
}

static bool parse_option(const struct spec_part *part, struct fault *fault)
{
	if (strcmp(part->name, "skip") == 0)
		return text_to_int64(part->value, 0, INT32_MAX, &fault->skip);
	if (strcmp(part->name, "count") == 0)
		return text_to_int64(part->value, 1, INT32_MAX, &fault->count);
	if (strcmp(part->name, "every") == 0)
		return text_to_int64(part->value, 1, INT32_MAX, &fault->every);
	if (strcmp(part->name, "id") == 0 && id_is_valid(part->value)) {
		(void)snprintf(fault->id, sizeof(fault->id), "%.*s", ID_MAX, part->value);
		text_fold(fault->id);
		return true;
	}
	if (strcmp(part->name, "retry-after") == 0 && part->has_value &&
	    strlen(part->value) < sizeof(fault->retry_after)) {
		memcpy(fault->retry_after, part->value, strlen(part->value) + 1);
		return true;
	}
	return false;
}

bool fault_parse(const char *spec, struct fault *ret_fault, struct muster_error *err)
{
	struct fault fault = { .every = 1, .count = INT64_MAX };
	const char *rest = spec;
	struct spec_part part;

	if (!spec_next(&rest, &part) || part.has_value ||
	    !parse_operations(part.name, &fault.operations))
		return muster_fail(err, CAUSE_USAGE,
				   "--fault '%s': does not begin with an operation",
				   PRINTABLE(spec));
	while (spec_next(&rest, &part)) {
		bool understood = parse_option(&part, &fault) ||
				  (fault.action == FAULT_NONE && parse_action(&part, &fault));
		if (!understood)
			return muster_fail(err, CAUSE_USAGE, "--fault '%s': '%s' is not understood",
					   PRINTABLE(spec), PRINTABLE(part.name));
	}
	if (*rest != '\0')
		return muster_fail(err, CAUSE_USAGE, "--fault '%s': a part is empty or too long",
				   PRINTABLE(spec));
	if (fault.action == FAULT_NONE)
		return muster_fail(err, CAUSE_USAGE, "--fault '%s': says not what happens",
				   PRINTABLE(spec));
	*ret_fault = fault;
	return true;
}

/* -- Choosing ---------------------------------------------------------------------------------------------- */

static bool is_due(struct fault *fault, enum operation operation, const char *id)
{
	if (!(fault->operations & 1u << operation))
		return false;
	if (fault->id[0] != '\0' && !text_equal_folded(fault->id, id))
		return false;
	int64_t number = fault->seen++ - fault->skip;
	return number >= 0 && number % fault->every == 0 && fault->hits < fault->count;
}

const struct fault *fault_pick(struct fault *faults, size_t count, enum operation operation,
			       const char *id)
{
	struct fault *picked = NULL;

	for (size_t i = 0; i < count; i++)
		if (is_due(&faults[i], operation, id) && !picked)
			picked = &faults[i];
	if (picked)
		picked->hits++;
	return picked;
}
