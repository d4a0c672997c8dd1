/* Which hub a device gets, what becomes of its data there, and the record of it. */
#include "registration.h"

#include <stdio.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/json.h"

#include "enrollments.h"
#include "hub-device.h"

static bool no_memory(struct refusal *refusal)
{
	return refuse(refusal, SERVER_FAILED, "The emulator is out of memory");
}

/* -- Choosing ---------------------------------------------------------------------------------------------- */

static size_t add_candidate(const struct registration *registration, const char *host,
			    const struct hub **candidates, size_t count)
{
	const struct emulator *emulator = registration->emulator;
	const struct hub *hub = host ? hub_find(emulator->hubs, emulator->hub_count, host) : NULL;

	if (!hub || count == CANDIDATE_COUNT_MAX)
		return count;
	candidates[count] = hub;
	return count + 1;
}

size_t registration_candidates(const struct registration *registration,
			       const struct hub *candidates[CANDIDATE_COUNT_MAX])
{
	const struct emulator *emulator = registration->emulator;
	const char *pinned = json_text(registration->enrollment, "iotHubHostName");
	const cJSON *hubs = json_get(registration->enrollment, "iotHubs");
	const cJSON *host;
	size_t count = 0;

	if (pinned)
		return add_candidate(registration, pinned, candidates, 0);
	cJSON_ArrayForEach(host, hubs) count =
		add_candidate(registration, host->valuestring, candidates, count);
	if (cJSON_GetArraySize(hubs) == 0)
		for (; count < emulator->hub_count; count++)
			candidates[count] = &emulator->hubs[count];
	return count;
}

enum allocation_policy registration_policy(const struct registration *registration)
{
	const char *name = json_text(registration->enrollment, "allocationPolicy");

	for (size_t i = 0; name && i < ALLOCATION_COUNT; i++)
		if (strcmp(allocation_names[i], name) == 0)
			return (enum allocation_policy)i;
	return registration->emulator->allocation;
}

bool registration_keeps_hub(const struct registration *registration)
{
	return !json_bool(json_get(registration->enrollment, "reprovisionPolicy"),
			  "updateHubAssignment", true);
}

void registration_choose(const struct registration *registration, struct assignment *ret_assignment)
{
	const struct hub *candidates[CANDIDATE_COUNT_MAX];
	struct assignment assignment = { 0 };
	size_t count = registration_candidates(registration, candidates);

	assignment.hub = allocation_choose(registration_policy(registration), candidates, count,
					   registration->id);
	if (!assignment.hub)
		(void)refuse(&assignment.refusal, ALLOCATION_FAILED,
			     "No hub may be assigned to this enrollment (not the service's words)");
	*ret_assignment = assignment;
}

/* -- The record -------------------------------------------------------------------------------------------- */

static bool read_record_locked(const struct registration *registration, cJSON **ret_record,
			       struct refusal *refusal)
{
	CLEANUP(freep) char *text = NULL;
	struct muster_error err;

	*ret_record = NULL;
	if (!store_get(registration->emulator->store, STORE_REGISTRATIONS, registration->id, &text,
		       &err))
		return refuse_internal(refusal, &err);
	return !text || stored_parse(text, ret_record, refusal);
}

bool registration_current(const struct registration *registration, cJSON **ret_record,
			  struct refusal *refusal)
{
	store_lock(registration->emulator->store);
	bool is_good = read_record_locked(registration, ret_record, refusal);
	store_unlock(registration->emulator->store);
	return is_good;
}

/* Everything that finishing needs to hand on. */
struct finish {
	const struct registration *registration;
	const struct assignment *assignment;
	const cJSON *record;     /* the one before, or NULL */
	const char *current_hub; /* or NULL */
	const struct hub *hub;   /* the outcome; NULL when failed or disabled */
	char device_id[ID_MAX + 1];
	enum hub_change change;
};

static void decide(struct finish *finish)
{
	const struct registration *registration = finish->registration;
	const struct emulator *emulator = registration->emulator;
	const char *known = json_text(finish->record, "deviceId");
	const char *wanted = json_text(registration->enrollment, "deviceId");

	finish->current_hub = json_text(finish->record, "hub");
	finish->hub = finish->assignment->hub;
	if (finish->hub && finish->current_hub && registration_keeps_hub(registration)) {
		const struct hub *kept =
			hub_find(emulator->hubs, emulator->hub_count, finish->current_hub);
		finish->hub = kept ? kept : finish->hub;
	}
	(void)snprintf(finish->device_id, sizeof(finish->device_id), "%s",
		       known    ? known
		       : wanted ? wanted
				: registration->id);
	if (!finish->hub)
		return;
	if (!finish->current_hub)
		finish->change = HUB_FIRST;
	else if (text_equal_folded(finish->current_hub, finish->hub->host))
		finish->change = HUB_SAME;
	else
		finish->change = json_bool(json_get(registration->enrollment, "reprovisionPolicy"),
					   "migrateDeviceData", true)
					 ? HUB_MIGRATED
					 : HUB_RESET;
}

static const char *substatus(const struct finish *finish)
{
	static const char *const words[] = {
		[HUB_FIRST] = "initialAssignment",
		[HUB_SAME] = "reprovisionedToInitialAssignment",
		[HUB_MIGRATED] = "deviceDataMigrated",
		[HUB_RESET] = "deviceDataReset",
	};
	bool is_old = strcmp(finish->registration->api_version, "2019-04-15") < 0;

	return words[finish->change == HUB_SAME && is_old ? HUB_FIRST : finish->change];
}

static bool add_outcome(const struct finish *finish, cJSON *state)
{
	const struct assignment *assignment = finish->assignment;

	if (assignment->is_disabled)
		return json_add_text(state, "status", "disabled");
	if (!finish->hub)
		return json_add_text(state, "status", "failed") &&
		       json_add_int64(state, "errorCode", assignment->refusal.number) &&
		       json_add_text(state, "errorMessage", assignment->refusal.message);
	return json_add_text(state, "assignedHub", finish->hub->host) &&
	       json_add_text(state, "deviceId", finish->device_id) &&
	       json_add_text(state, "status", "assigned") &&
	       json_add_text(state, "substatus", substatus(finish));
}

/* DeviceRegistrationState: what the service side shows. */
static cJSON *make_state(const struct finish *finish)
{
	const struct registration *registration = finish->registration;
	const char *created = json_text(json_get(finish->record, "state"), "createdDateTimeUtc");
	CLEANUP(cJSON_freep) cJSON *state = cJSON_CreateObject();
	char stamp[STAMP_SIZE], etag[ETAG_SIZE];

	stamp_format(stamp, emulator_now_ms(registration->emulator));
	bool is_good = state && json_add_text(state, "registrationId", registration->id) &&
		       json_add_text(state, "createdDateTimeUtc", created ? created : stamp) &&
		       add_outcome(finish, state) &&
		       json_add_text(state, "lastUpdatedDateTimeUtc", stamp) &&
		       json_add_text(state, "etag", etag_new(etag));
	const cJSON *payload = finish->assignment->payload;
	if (is_good && payload)
		is_good = json_add_item(state, "payload", cJSON_Duplicate(payload, true));
	return is_good ? TAKE_PTR(state) : NULL;
}

static cJSON *make_record(const struct finish *finish, const cJSON *state)
{
	CLEANUP(cJSON_freep) cJSON *record = cJSON_CreateObject();
	const char *hub = finish->hub ? finish->hub->host : finish->current_hub;
	bool is_good = record && json_add_item(record, "state", cJSON_Duplicate(state, true));

	/* What was assigned outlives a failure. */
	if (is_good && hub)
		is_good = json_add_text(record, "hub", hub) &&
			  json_add_text(record, "deviceId", finish->device_id);
	return is_good ? TAKE_PTR(record) : NULL;
}

/* DeviceRegistrationResult: the state and what this kind of attestation adds. */
static cJSON *make_result(const struct finish *finish, const cJSON *state,
			  const char *authentication_key)
{
	static const char *const members[] = {
		[DEVICE_SYMMETRIC_KEY] = "symmetricKey",
		[DEVICE_X509] = "x509",
		[DEVICE_TPM] = "tpm",
	};
	const struct registration *registration = finish->registration;
	CLEANUP(cJSON_freep) cJSON *result = cJSON_Duplicate(state, true);

	if (!result || !finish->hub)
		return TAKE_PTR(result);
	cJSON *member = cJSON_AddObjectToObject(result, members[registration->attestation]);
	bool is_good = member && json_add_text(member, "authenticationKey", authentication_key);
	if (is_good && registration->kind == KIND_GROUP)
		is_good = json_add_text(member, "enrollmentGroupId", registration->group_id);
	return is_good ? TAKE_PTR(result) : NULL;
}

/* -- Writing ----------------------------------------------------------------------------------------------- */

static bool write_hub(struct finish *finish, const uint8_t *hub_key, struct refusal *refusal)
{
	const struct registration *registration = finish->registration;
	const cJSON *twin = finish->assignment->initial_twin;
	const struct hub_device_write write = {
		.store = registration->emulator->store,
		.change = finish->change,
		.old_hub = finish->current_hub,
		.hub = finish->hub->host,
		.device_id = finish->device_id,
		.registration_id = registration->id,
		.enrollment = registration->enrollment,
		.initial_twin = twin ? twin : json_get(registration->enrollment, "initialTwin"),
		.certificate = registration->certificate,
		.hub_key = hub_key,
	};

	return hub_device_write(&write, refusal);
}

static bool write_record(const struct finish *finish, const cJSON *state, struct refusal *refusal)
{
	const struct registration *registration = finish->registration;
	CLEANUP(cJSON_freep) cJSON *record = make_record(finish, state);
	CLEANUP(freep) char *text = record ? json_print_line(record) : NULL;
	char group[ID_MAX + 1];
	struct muster_error err;

	if (!text)
		return no_memory(refusal);
	(void)snprintf(group, sizeof(group), "%s", registration->group_id);
	text_fold(group);
	return store_put(registration->emulator->store, STORE_REGISTRATIONS, registration->id,
			 group[0] ? group : NULL, text, &err) ||
	       refuse_internal(refusal, &err);
}

static bool write_all(struct finish *finish, const uint8_t *hub_key, const char *authentication_key,
		      struct refusal *refusal)
{
	const struct registration *registration = finish->registration;
	CLEANUP(cJSON_freep) cJSON *record = NULL;

	if (!read_record_locked(registration, &record, refusal))
		return false;
	finish->record = record;
	decide(finish);
	CLEANUP(cJSON_freep) cJSON *state = make_state(finish);
	cJSON *result = state ? make_result(finish, state, authentication_key) : NULL;
	bool is_good = result || no_memory(refusal);
	is_good = is_good &&
		  operation_end(registration->emulator, registration->operation_id, result,
				refusal) &&
		  write_record(finish, state, refusal) &&
		  (!finish->hub || write_hub(finish, hub_key, refusal));
	finish->record = NULL;
	finish->current_hub = NULL;
	return is_good;
}

bool registration_finish(const struct registration *registration,
			 const struct assignment *assignment, struct refusal *refusal)
{
	struct finish finish = { .registration = registration, .assignment = assignment };
	struct store *store = registration->emulator->store;
	CLEANUP(freep) char *authentication_key = NULL;
	uint8_t hub_key[HUB_KEY_SIZE];
	struct muster_error err;

	if (!random_bytes(hub_key, sizeof(hub_key), &err))
		return refuse_internal(refusal, &err);
	if (registration->attestation == DEVICE_TPM &&
	    !challenge_wrap(registration, hub_key, sizeof(hub_key), &authentication_key, refusal))
		return false;
	store_lock(store);
	bool is_good = store_begin(store, &err) || refuse_internal(refusal, &err);
	if (is_good) {
		is_good =
			write_all(&finish, registration->attestation == DEVICE_TPM ? hub_key : NULL,
				  authentication_key, refusal);
		if (!is_good)
			store_rollback(store);
		else
			is_good = store_commit(store, &err) || refuse_internal(refusal, &err);
	}
	store_unlock(store);
	return is_good;
}
