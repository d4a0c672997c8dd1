/* The one table of a device's fields: column, name in JSON, member. */
#include <stdio.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/json.h"

#include "journal-internal.h"

#define FIELD(member, name, kind)                                                                 \
	{                                                                                         \
#member, name, kind, offsetof(struct journal_device, member), false, false, false \
	}
#define KEY_FIELD(member, name)                                                                    \
	{                                                                                          \
#member, name, DEVICE_TEXT, offsetof(struct journal_device, member), false, false, \
			true                                                                       \
	}
#define ENTRY_FIELD(member, name, kind)                                                          \
	{                                                                                        \
#member, name, kind, offsetof(struct journal_device, member), true, false, false \
	}

/* clang-format off */
const struct device_field device_fields[DEVICE_FIELD_COUNT] = {
	ENTRY_FIELD(registration_id, "registrationId", DEVICE_TEXT),
	KEY_FIELD(serial, "serial"),
	KEY_FIELD(device_id, "deviceId"),
	FIELD(service, "service", DEVICE_TEXT),
	FIELD(attestation, "attestation", DEVICE_TEXT),
	FIELD(key_kind, "keyKind", DEVICE_TEXT),
	KEY_FIELD(key_digest, "keySha256"),
	KEY_FIELD(key_id, "keyId"),
	FIELD(key_place, "keyPlace", DEVICE_TEXT),
	FIELD(profile_name, "profile", DEVICE_TEXT),
	FIELD(profile_digest, "profileSha256", DEVICE_TEXT),
	FIELD(batch, "batch", DEVICE_TEXT),
	ENTRY_FIELD(operator, "operator", DEVICE_TEXT),
	ENTRY_FIELD(station, "station", DEVICE_TEXT),
	FIELD(socket, "socket", DEVICE_TEXT),
	FIELD(state, "state", DEVICE_STATE),
	FIELD(stage, "stage", DEVICE_TEXT),
	ENTRY_FIELD(attempt, "attempt", DEVICE_NUMBER),
	FIELD(attempt_id, "attemptId", DEVICE_TEXT),
	FIELD(cause, "cause", DEVICE_NUMBER),
	FIELD(hub, "hub", DEVICE_TEXT),
	FIELD(verification, "verification", DEVICE_TEXT),
	FIELD(etag, "etag", DEVICE_TEXT),
	FIELD(evidence_path, "evidence", DEVICE_TEXT),
	FIELD(evidence_digest, "evidenceSha256", DEVICE_TEXT),
	{ "created_ms", "created", DEVICE_NUMBER, offsetof(struct journal_device, created_ms), false, true, false },
	ENTRY_FIELD(updated_ms, "updated", DEVICE_NUMBER),
	ENTRY_FIELD(entry, "entry", DEVICE_NUMBER),
};
/* clang-format on */

static const char *const state_names[] = {
	[JOURNAL_WORKING] = "working",   [JOURNAL_PARKED] = "parked",
	[JOURNAL_RELEASED] = "released", [JOURNAL_FAILED] = "failed",
	[JOURNAL_RETIRED] = "retired",   [JOURNAL_SPOOLED] = "spooled",
	[JOURNAL_DEAD] = "dead-letter",
};

const char *journal_state_name(enum journal_state state)
{
	return state_names[state];
}

bool journal_state_is_live(enum journal_state state)
{
	return state != JOURNAL_FAILED && state != JOURNAL_RETIRED;
}

bool journal_state_find(const char *name, enum journal_state *ret_state)
{
	for (size_t i = JOURNAL_WORKING; i < ARRAY_SIZE(state_names); i++) {
		if (strcmp(state_names[i], name) == 0) {
			*ret_state = (enum journal_state)i;
			return true;
		}
	}
	return false;
}

bool same_text(const char *a, const char *b)
{
	return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

const char **device_text(const struct journal_device *device, const struct device_field *field)
{
	return (const char **)((uintptr_t)device + field->offset);
}

int64_t *device_number(const struct journal_device *device, const struct device_field *field)
{
	return (int64_t *)((uintptr_t)device + field->offset);
}

/* -- JSON ------------------------------------------------------------------------------------------------- */

static bool add_number(cJSON *object, const struct device_field *field, int64_t value)
{
	char text[RFC3339_SIZE];

	if (field->offset == offsetof(struct journal_device, attempt) ||
	    field->offset == offsetof(struct journal_device, entry))
		return json_add_int64(object, field->name, value);
	if (field->offset != offsetof(struct journal_device, cause))
		return json_add_text(object, field->name, rfc3339_format(text, value));
	snprintf(text, sizeof(text), "E%04lld", (long long)value);
	return json_add_text(object, field->name, value ? text : NULL);
}

static bool add_field(cJSON *object, const struct journal_device *device,
		      const struct device_field *field)
{
	switch (field->kind) {
	case DEVICE_TEXT:
		return json_add_text(object, field->name, *device_text(device, field));
	case DEVICE_STATE:
		return json_add_text(object, field->name, journal_state_name(device->state));
	case DEVICE_NUMBER:
		break;
	}
	return add_number(object, field, *device_number(device, field));
}

cJSON *journal_device_json(const struct journal_device *device)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();

	for (size_t i = 0; i < DEVICE_FIELD_COUNT; i++) {
		if (!object || !add_field(object, device, &device_fields[i]))
			return NULL;
	}
	return TAKE_PTR(object);
}
