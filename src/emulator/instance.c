#include "instance.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/text.h"

#include "routes.h"

static const struct {
	const char *word;
	unsigned right;
} rights[] = {
	{ "ServiceConfig", RIGHT_SERVICE_CONFIG },
	{ "EnrollmentRead", RIGHT_ENROLLMENT_READ },
	{ "EnrollmentWrite", RIGHT_ENROLLMENT_WRITE },
	{ "DeviceConnect", RIGHT_DEVICE_CONNECT },
	{ "RegistrationStatusRead", RIGHT_REGISTRATION_READ },
	{ "RegistrationStatusWrite", RIGHT_REGISTRATION_WRITE },
};

/* -- Rights and policies ----------------------------------------------------------------------------------- */

static bool parse_rights(const char *text, unsigned *ret_rights)
{
	unsigned found = 0;

	for (;;) {
		text += strspn(text, " ");
		size_t length = strcspn(text, ",");
		unsigned right = 0;
		for (size_t i = 0; i < ARRAY_SIZE(rights); i++)
			if (strlen(rights[i].word) == length &&
			    strncasecmp(rights[i].word, text, length) == 0)
				right = rights[i].right;
		if (!right)
			return false;
		found |= right;
		if (text[length] == '\0')
			break;
		text += length + 1;
	}
	*ret_rights = found;
	return true;
}

void policy_print_rights(const struct policy *policy, struct text *text)
{
	const char *joint = "";

	for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
		if (!(policy->rights & rights[i].right))
			continue;
		text_addf(text, "%s%s", joint, rights[i].word);
		joint = ", ";
	}
}

const struct policy *instance_policy(const struct instance *instance, const char *name)
{
	for (size_t i = 0; i < instance->policy_count; i++)
		if (strcmp(instance->policies[i].name, name) == 0)
			return &instance->policies[i];
	return NULL;
}

static struct policy *find_or_add(struct instance *instance, const char *name, size_t length,
				  struct muster_error *err)
{
	for (size_t i = 0; i < instance->policy_count; i++)
		if (strlen(instance->policies[i].name) == length &&
		    memcmp(instance->policies[i].name, name, length) == 0)
			return &instance->policies[i];
	if (instance->policy_count == POLICY_COUNT_MAX) {
		muster_fail(err, CAUSE_USAGE, "more than %d policies", POLICY_COUNT_MAX);
		return NULL;
	}
	struct policy *policy = &instance->policies[instance->policy_count];
	(void)snprintf(policy->name, sizeof(policy->name), "%.*s", (int)length, name);
	if (!random_bytes(policy->keys, sizeof(policy->keys), err))
		return NULL;
	instance->policy_count++;
	return policy;
}

static bool apply_spec(struct instance *instance, const char *spec, struct muster_error *err)
{
	const size_t length = strcspn(spec, "=");
	unsigned granted;

	if (length < 1 || length >= sizeof(instance->policies[0].name) || spec[length] != '=' ||
	    strcspn(spec, "&;\"\\ ") < length)
		return muster_fail(err, CAUSE_USAGE, "--policy '%s': is not NAME=RIGHT[,RIGHT...]",
				   PRINTABLE(spec));
	if (!parse_rights(spec + length + 1, &granted))
		return muster_fail(err, CAUSE_USAGE,
				   "--policy '%s': the rights are ServiceConfig, EnrollmentRead, "
				   "EnrollmentWrite, DeviceConnect, RegistrationStatusRead and "
				   "RegistrationStatusWrite",
				   PRINTABLE(spec));
	struct policy *policy = find_or_add(instance, spec, length, err);
	if (!policy)
		return false;
	policy->rights = granted;
	return true;
}

/* -- The file ---------------------------------------------------------------------------------------------- */

static bool read_key(const cJSON *object, const char *name, uint8_t key[POLICY_KEY_SIZE])
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	const char *text = json_text(object, name);

	if (!text || !base64_decode(text, strlen(text), &bytes) || bytes.size != POLICY_KEY_SIZE)
		return false;
	memcpy(key, bytes.data, POLICY_KEY_SIZE);
	return true;
}

static bool read_policy(struct instance *instance, const cJSON *object)
{
	struct policy *policy = &instance->policies[instance->policy_count];
	const char *name = json_text(object, "keyName");
	const char *granted = json_text(object, "rights");

	if (instance->policy_count == POLICY_COUNT_MAX || !name ||
	    strlen(name) >= sizeof(policy->name) || !granted ||
	    !parse_rights(granted, &policy->rights) ||
	    !read_key(object, "primaryKey", policy->keys[0]) ||
	    !read_key(object, "secondaryKey", policy->keys[1]))
		return false;
	memcpy(policy->name, name, strlen(name) + 1);
	instance->policy_count++;
	return true;
}

static bool read_instance(const char *path, struct instance *instance, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	CLEANUP(cJSON_freep) cJSON *root = NULL;
	const cJSON *item;

	if (!file_read(path, 1024 * 1024, &bytes, err) ||
	    !json_parse((const char *)bytes.data, bytes.size, path, &root, err))
		return false;
	const char *scope = json_text(root, "idScope");
	bool is_good = scope && strlen(scope) < sizeof(instance->id_scope);
	if (is_good)
		memcpy(instance->id_scope, scope, strlen(scope) + 1);
	cJSON_ArrayForEach(item, json_get(root, "policies")) is_good =
		is_good && read_policy(instance, item);
	if (!is_good)
		return muster_fail(err, CAUSE_EMULATOR_STATE, "'%s' is damaged", PRINTABLE(path));
	return true;
}

static bool add_policy(cJSON *array, const struct policy *policy)
{
	CLEANUP(text_done) struct text granted = { 0 };
	CLEANUP(freep) char *primary = base64_encode(policy->keys[0], POLICY_KEY_SIZE);
	CLEANUP(freep) char *secondary = base64_encode(policy->keys[1], POLICY_KEY_SIZE);
	cJSON *object = cJSON_CreateObject();

	policy_print_rights(policy, &granted);
	cJSON_AddItemToArray(array, object);
	return object && primary && secondary && !granted.failed &&
	       json_add_text(object, "keyName", policy->name) &&
	       json_add_text(object, "rights", granted.data) &&
	       json_add_text(object, "primaryKey", primary) &&
	       json_add_text(object, "secondaryKey", secondary);
}

static bool write_instance(const char *path, const struct instance *instance,
			   struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *root = cJSON_CreateObject();
	cJSON *array = root ? cJSON_AddArrayToObject(root, "policies") : NULL;
	bool is_good = array && json_add_text(root, "idScope", instance->id_scope);

	for (size_t i = 0; is_good && i < instance->policy_count; i++)
		is_good = add_policy(array, &instance->policies[i]);
	CLEANUP(freep) char *text = is_good ? json_print_pretty(root) : NULL;
	if (!text)
		return muster_fail_memory(err);
	return file_write(path, text, strlen(text), 0600, true, err);
}

static bool make_instance(struct instance *instance, struct muster_error *err)
{
	uint8_t number[4];

	if (!random_bytes(number, sizeof(number), err))
		return false;
	(void)snprintf(instance->id_scope, sizeof(instance->id_scope), "0ne%02X%02X%02X%02X",
		       number[0], number[1], number[2], number[3]);
	struct policy *owner = find_or_add(instance, DEFAULT_POLICY, strlen(DEFAULT_POLICY), err);
	if (!owner)
		return false;
	owner->rights = RIGHT_ALL;
	return true;
}

bool instance_open(const char *path, const char *const *specs, size_t spec_count,
		   struct instance *ret_instance, struct muster_error *err)
{
	struct instance instance = { 0 };
	bool is_new = access(path, F_OK) != 0;

	if (!(is_new ? make_instance(&instance, err) : read_instance(path, &instance, err)))
		return false;
	for (size_t i = 0; i < spec_count; i++)
		if (!apply_spec(&instance, specs[i], err))
			return false;
	if ((is_new || spec_count > 0) && !write_instance(path, &instance, err))
		return false;
	*ret_instance = instance;
	return true;
}
