/* Answers of the service: enrollments, bulks, registrations and records. The first byte chooses which is expected and with what
 * status it comes. */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "fuzz.h"
#include "muster/json.h"

#include "../../src/dps/bulk-internal.h"
#include "../../src/dps/enrollment-internal.h"

#define ID "dev-1"

static void assert_is_plain(const char *text)
{
	for (; *text; text++)
		assert((unsigned char)*text >= 0x20 && *text != 0x7f);
}

/* What was wanted, with keys and without. */
static cJSON *wanted_document(bool has_keys)
{
	static const char text[] =
		"{\"registrationId\":\"" ID "\",\"attestation\":{\"type\":\"symmetricKey\"},"
		"\"initialTwin\":{\"tags\":{\"a\":[1]}},\"iotHubs\":[\"h.azure-devices.net\"]}";
	static const char keys[] =
		"{\"primaryKey\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"}";
	struct muster_error err;
	cJSON *document = NULL, *key = NULL;

	assert(json_parse(text, strlen(text), "wanted", &document, &err));
	if (!has_keys)
		return document;
	assert(json_parse(keys, strlen(keys), "keys", &key, &err));
	assert(json_add_item(cJSON_GetObjectItem(document, "attestation"), "symmetricKey", key));
	return document;
}

static void compare(const cJSON *found, const cJSON *mechanism)
{
	for (int has_keys = 0; has_keys <= 1; has_keys++) {
		CLEANUP(cJSON_freep) cJSON *wanted = wanted_document(has_keys);
		CLEANUP(text_done) struct text differences = { 0 };
		struct muster_error err;

		(void)dps_enrollment_needs_mechanism(wanted, found);
		if (dps_enrollment_compare(wanted, found, mechanism, &differences, &err) &&
		    differences.length > 0)
			assert(strlen(differences.data) == differences.length);
	}
}

static void read_enrollment(const struct http_answer *answer)
{
	CLEANUP(cJSON_freep) cJSON *found = NULL;
	CLEANUP(text_done) struct text changes = { 0 };
	struct muster_error err;

	if (!dps_enrollment_read(answer, ID, &found, &err))
		return;
	assert(dps_enrollment_confirm(answer, ID, &err));
	assert(text_equal_folded(json_text(found, "registrationId"), ID));
	compare(found, NULL);
	if (dps_enrollment_changes(found, found, &changes, &err) && changes.length > 0)
		assert(strlen(changes.data) == changes.length);
	(void)dps_enrollment_attempt(found);
	(void)enrollment_is_newcomer(found, answer, 0);
}

static void read_mechanism(const struct http_answer *answer)
{
	CLEANUP(cJSON_freep) cJSON *mechanism = NULL, *found = wanted_document(false);
	struct muster_error err;

	if (dps_mechanism_read(answer, &mechanism, &err))
		compare(found, mechanism);
}

static void read_page(const struct http_answer *answer)
{
	CLEANUP(cJSON_freep) cJSON *array = NULL;
	struct muster_error err;

	if (dps_query_read(answer, &array, &err))
		assert(cJSON_IsArray(array));
}

static void read_bulk(const struct http_answer *answer)
{
	char first[] = ID, second[] = "dev-2";
	struct slot slots[] = { { .item.id = first }, { .item.id = second } };
	struct slot *const both[] = { &slots[0], &slots[1] };
	struct item_error errors[2];

	if (!bulk_read(answer, both, 2, errors))
		return;
	for (size_t i = 0; i < 2; i++) {
		assert(errors[i].code >= 0);
		assert_is_plain(errors[i].message);
	}
}

static void check(struct dps_registration *registration)
{
	struct muster_error err;

	assert_is_plain(registration->assigned_hub);
	assert_is_plain(registration->device_id);
	assert_is_plain(registration->operation_id);
	assert_is_plain(registration->error_message);
	assert(registration->status != DPS_STATUS_ASSIGNED || registration->assigned_hub[0]);
	assert(registration->status != DPS_STATUS_CHALLENGED || registration->key_blob.size > 0);
	assert(dps_registration_check(registration, &err) ==
	       (registration->status == DPS_STATUS_ASSIGNED));
	dps_registration_done(registration);
}

static void read_registration(const struct http_answer *answer)
{
	struct dps_registration registration;
	struct muster_error err;

	if (dps_registration_read(answer, ID, &registration, &err))
		check(&registration);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(const struct http_answer *) = {
		read_enrollment, read_mechanism, read_page, read_bulk, read_registration,
	};
	static const int statuses[] = { 200, 202, 400, 401, 409, 500 };
	struct http_answer answer = { .outcome = HTTP_ANSWERED, .retry_after_ms = -1 };
	struct muster_error err;

	if (size == 0)
		return 0;
	answer.status = statuses[data[0] / 16 % ARRAY_SIZE(statuses)];
	answer.date_ms = answer.received_ms = 1800000000000;
	text_add_bytes(&answer.body, data + 1, size - 1);
	if (!answer.body.failed) {
		readers[data[0] % 16 % ARRAY_SIZE(readers)](&answer);
		if (answer.status >= 400) {
			assert(!dps_answer_fail(&answer, "asking", &err));
			assert_is_plain(err.message);
		}
	}
	http_answer_done(&answer);
	return 0;
}
