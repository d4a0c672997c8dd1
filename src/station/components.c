#include "components.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "master.h"
#include "muster/identity.h"
#include "muster/text.h"

enum { COMPONENTS_MAX = 8, TYPING_TRIES = 3 };

static bool take(const char *source, const char *what, const char *name, const char *check_value,
		 struct secret *ret_component, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret text = { 0 };

	return secret_read_source(&text, source, PIPE_BUF, what, err) &&
	       identity_master_decode(&text, name, ret_component, err) &&
	       master_check_random(ret_component, name, err) &&
	       (!check_value || master_compare(ret_component, name, check_value, err));
}

/* Whether it is the typing that was wrong. */
static bool may_be_typed_again(const char *source, const struct muster_error *err)
{
	return strcmp(source, "prompt") == 0 &&
	       (err->cause == CAUSE_CHECK_VALUE_DIFFERS || err->cause == CAUSE_SECRET_INVALID ||
		err->cause == CAUSE_MASTER_WEAK);
}

bool component_read(const char *source, const char *name, const char *check_value,
		    struct secret *ret_component, struct muster_error *err)
{
	char what[80];

	snprintf(what, sizeof(what), "%s", name);
	for (unsigned tries = 1;; tries++) {
		if (take(source, what, name, check_value, ret_component, err))
			return true;
		if (!may_be_typed_again(source, err) || tries == TYPING_TRIES)
			return false;
		snprintf(what, sizeof(what), "that was not it; %s again", name);
	}
}

static bool check_given(const struct station_components *components, struct muster_error *err)
{
	if (components->count < 2 || components->count > COMPONENTS_MAX)
		return muster_fail(err, CAUSE_COMPONENTS_UNFIT,
				   "a master has 2 to %d components, not %zu", COMPONENTS_MAX,
				   components->count);
	for (size_t i = 0; i < components->check_count; i++) {
		const char *value = components->check_values[i];

		if (strlen(value) != 10 || strspn(value, "0123456789abcdefABCDEF") != 10)
			return muster_fail(err, CAUSE_COMPONENTS_UNFIT,
					   "check value '%s' is not ten hexadecimal digits",
					   PRINTABLE(value));
	}
	return components->check_count == components->count ||
	       muster_fail(err, CAUSE_COMPONENTS_UNFIT,
			   "there are %zu components and %zu check values: pass "
			   "--component-check-value once for each, in the same order",
			   components->count, components->check_count);
}

/* Two that are alike would cancel each other out. */
static bool check_unlike(const struct secret *parts, size_t last, struct muster_error *err)
{
	for (size_t i = 0; i < last; i++) {
		if (parts[i].size != parts[last].size)
			return muster_fail(err, CAUSE_COMPONENTS_UNFIT,
					   "component %zu has %zu bytes, and component %zu has %zu",
					   i + 1, parts[i].size, last + 1, parts[last].size);
		if (secret_equal(&parts[i], &parts[last]))
			return muster_fail(err, CAUSE_COMPONENTS_UNFIT,
					   "components %zu and %zu are the same", i + 1, last + 1);
	}
	return true;
}

static bool combine(const struct station_components *components,
		    struct secret parts[COMPONENTS_MAX], struct secret *key,
		    struct muster_error *err)
{
	for (size_t i = 0; i < components->count; i++) {
		char name[40];

		snprintf(name, sizeof(name), "component %zu", i + 1);
		if (!component_read(components->sources[i], name, components->check_values[i],
				    &parts[i], err) ||
		    !check_unlike(parts, i, err))
			return false;
	}
	if (!secret_new(key, parts[0].size, err))
		return false;
	for (size_t i = 0; i < components->count; i++)
		for (size_t at = 0; at < key->size; at++)
			key->data[at] ^= parts[i].data[at];
	return master_check_random(key, "all components together", err);
}

bool components_combine(const struct station_components *components, struct secret *ret_key,
			struct muster_error *err)
{
	struct secret parts[COMPONENTS_MAX] = { 0 };
	CLEANUP(secret_done) struct secret key = { 0 };
	bool is_made = check_given(components, err) && combine(components, parts, &key, err);

	for (size_t i = 0; i < COMPONENTS_MAX; i++)
		secret_done(&parts[i]);
	if (!is_made)
		return false;
	*ret_key = key;
	key = (struct secret){ 0 };
	return true;
}
