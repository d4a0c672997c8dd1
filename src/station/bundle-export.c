/* A bundle: what is spooled, and what another station needs to send it. */
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "muster/clock.h"
#include "muster/json.h"
#include "muster/station-bundle.h"
#include "muster/station-sync.h"
#include "spool.h"
#include "who.h"

struct export
{
	struct journal *journal;
	cJSON *devices;
	char last[129];
};

/* The members that the other station's row begins with. */
static const char *const members[] = { "registrationId", "serial",  "deviceId",      "service",
				       "attestation",    "keyKind", "keySha256",     "keyId",
				       "keyPlace",       "profile", "profileSha256", "attemptId" };

static cJSON *describe(const struct journal_device *device, cJSON *note)
{
	CLEANUP(cJSON_freep) cJSON *spooled = note;
	CLEANUP(cJSON_freep) cJSON *row = journal_device_json(device);
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();

	if (!row || !object)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (!json_add_text(object, members[i], json_text(row, members[i])))
			return NULL;
	return json_add_item(object, "spooled", TAKE_PTR(spooled)) ? TAKE_PTR(object) : NULL;
}

static bool take_device(void *context, const struct journal_device *device,
			struct muster_error *err)
{
	struct export *export = context;
	CLEANUP(cJSON_freep) cJSON *note = NULL;
	cJSON *object;
	struct station_waiting waiting;

	snprintf(export->last, sizeof(export->last), "%s", device->registration_id);
	if (!station_wait_look(export->journal, device, &waiting, err))
		return false;
	if (waiting.what != STATION_WAITS_NETWORK)
		return true;
	if (!spool_find(export->journal, device, &note, err))
		return false;
	if (!note)
		return true;
	object = describe(device, TAKE_PTR(note));
	return (object && cJSON_AddItemToArray(export->devices, object)) || muster_fail_memory(err);
}

static bool collect(struct export *export, struct muster_error *err)
{
	size_t count;

	do {
		char after[sizeof(export->last)];

		memcpy(after, export->last, sizeof(after));
		if (!journal_unfinished(export->journal, after, take_device, export, &count, err))
			return false;
	} while (count > 0);
	return true;
}

static bool record(struct journal *journal, const struct who *who, const char *digest, size_t count,
		   struct muster_error *err)
{
	CLEANUP(freep)
	char *body = text_format("{\"bundle\":{\"sha256\":\"%s\",\"devices\":%zu}}", digest, count);
	struct journal_entry entry = {
		.at_ms = clock_wall_ms(),
		.stage = "journal",
		.kind = JOURNAL_NOTE,
		.operator= who->operator_name,
		.station = who->station,
		.body = body,
	};

	if (!body)
		return muster_fail_memory(err);
	return journal_begin(journal, err) && journal_append(journal, &entry, err) &&
	       journal_commit(journal, err);
}

bool station_bundle_export(const struct station_bundle_request *request, size_t *ret_count,
			   struct muster_error *err)
{
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(cJSON_freep) cJSON *content = cJSON_CreateObject();
	cJSON *devices = content ? cJSON_AddArrayToObject(content, "devices") : NULL;
	CLEANUP(who_done) struct who who = { 0 };
	CLEANUP(file_sink_done) struct file_sink file = FILE_SINK_NONE;
	struct export export = { .devices = devices };
	char digest[SHA256_HEX_SIZE], at[RFC3339_SIZE];
	size_t count;

	if (!devices)
		return muster_fail_memory(err);
	if (!who_is_here(&who, request->operator_name, NULL, err) ||
	    !journal_open(request->journal_path, JOURNAL_WRITE, &journal, err))
		return false;
	export.journal = journal;
	if (!collect(&export, err))
		return false;
	count = (size_t)cJSON_GetArraySize(devices);
	if (count == 0)
		return muster_fail(err, CAUSE_NOT_WAITING, "no device is spooled here");
	if (!json_add_text(content, "at", rfc3339_format(at, clock_wall_ms())) ||
	    !json_add_text(content, "station", who.station) ||
	    !json_add_text(content, "operator", who.operator_name))
		return muster_fail_memory(err);
	/* An entry without a bundle costs nothing; a bundle without one could be sent while what it holds is made anew here. */
	if (!bundle_draft(request->path, BUNDLE_SCHEMA, content, request->key,
			  request->journal_path, digest, &file, err) ||
	    !record(journal, &who, digest, count, err) || !file_sink_commit(&file, err))
		return false;
	*ret_count = count;
	return true;
}
