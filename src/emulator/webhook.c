/* Custom allocation: the enrollment's webhook is really called, after the register call was answered. What the
 * service does not document is this program's own choice and says so in its message: a hub outside linkedHubs,
 * an answer that is not JSON and a failed connection end in 400207; a missing iotHubHostName is like null. */
#include <string.h>

#include "muster/dps-http.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/log.h"

#include "background.h"
#include "registration.h"

#define CALL_DEADLINE_MS 10000
#define RETRY_COUNT 10
#define RETRY_FIRST_MS 1000
#define RETRY_INCREMENT_MS 9000

/* -- What is asked ----------------------------------------------------------------------------------------- */

static bool add_enrollment(cJSON *root, const struct registration *registration)
{
	const char *name =
		registration->kind == KIND_GROUP ? "enrollmentGroup" : "individualEnrollment";
	cJSON *enrollment = cJSON_Duplicate(registration->enrollment, true);

	return json_add_item(root, name, enrollment) && document_view(enrollment, VIEW_WEBHOOK);
}

static bool add_attestation(cJSON *context, const struct registration *registration)
{
	cJSON *object;

	switch (registration->attestation) {
	case DEVICE_SYMMETRIC_KEY:
		return cJSON_AddObjectToObject(context, "symmetricKey") != NULL;
	case DEVICE_X509:
		object = cJSON_AddObjectToObject(context, "x509");
		return object &&
		       json_add_text(object, "clientCertificate", registration->certificate);
	case DEVICE_TPM:
		object = cJSON_AddObjectToObject(context, "tpm");
		return object &&
		       json_add_text(object, "endorsementKey", registration->endorsement_key) &&
		       json_add_text(object, "storageRootKey", registration->storage_root_key);
	}
	return false;
}

static bool add_context(cJSON *root, const struct registration *registration, const cJSON *record)
{
	cJSON *context = cJSON_AddObjectToObject(root, "deviceRuntimeContext");
	const cJSON *payload = json_get(registration->body, "payload");
	const char *hub = json_text(record, "hub");
	const char *given = json_text(registration->body, "registrationId");

	bool is_good = context &&
		       json_add_text(context, "registrationId", given ? given : registration->id) &&
		       json_add_text(context, "currentIotHubHostName", hub) &&
		       json_add_text(context, "currentDeviceId",
				     hub ? json_text(record, "deviceId") : NULL) &&
		       add_attestation(context, registration);
	if (is_good && cJSON_IsObject(payload))
		is_good = json_add_item(context, "payload", cJSON_Duplicate(payload, true));
	return is_good;
}

/* Under "never" a device that has a hub can only keep it. */
static bool add_hubs(cJSON *root, const struct registration *registration, const cJSON *record)
{
	cJSON *array = cJSON_AddArrayToObject(root, "linkedHubs");
	const struct hub *candidates[CANDIDATE_COUNT_MAX];
	const char *current = json_text(record, "hub");

	if (current && registration_keeps_hub(registration))
		return array && cJSON_AddItemToArray(array, cJSON_CreateString(current));
	size_t count = registration_candidates(registration, candidates);
	for (size_t i = 0; array && i < count; i++)
		if (!cJSON_AddItemToArray(array, cJSON_CreateString(candidates[i]->host)))
			return false;
	return array != NULL;
}

static cJSON *make_question(const struct registration *registration, const cJSON *record)
{
	CLEANUP(cJSON_freep) cJSON *root = cJSON_CreateObject();
	bool is_good = root && add_enrollment(root, registration) &&
		       add_context(root, registration, record) &&
		       add_hubs(root, registration, record);

	return is_good ? TAKE_PTR(root) : NULL;
}

/* -- Asking ------------------------------------------------------------------------------------------------ */

static bool call_once(struct http *http, const char *url, const char *question,
		      struct http_answer *ret_answer, struct muster_error *err)
{
	struct http_request request = {
		.method = HTTP_POST,
		.content_type = "application/json; charset=utf-8",
		.deadline_ms = CALL_DEADLINE_MS,
		.connect_timeout_ms = CALL_DEADLINE_MS,
		.allow_plain_loopback = true,
		.fresh_connection = true,
	};

	text_add(&request.url, url);
	if (!text_ok(&request.url, err) ||
	    !secret_copy(&request.body, question, strlen(question), err)) {
		http_request_done(&request);
		return false;
	}
	return http_fetch(http, &request, ret_answer, err);
}

/* Calls until the answer is not "later": 429 and everything above. False when the emulator ends meanwhile. */
static bool call_patiently(const struct registration *registration, struct http *http,
			   const char *question, struct http_answer *ret_answer,
			   struct muster_error *err)
{
	const struct emulator *emulator = registration->emulator;
	const char *url = json_text(
		json_get(registration->enrollment, "customAllocationDefinition"), "webhookUrl");
	int64_t wait_ms = RETRY_FIRST_MS;

	for (unsigned retry = 0;; retry++, wait_ms += RETRY_INCREMENT_MS) {
		struct http_answer answer = { 0 };
		if (!call_once(http, url, question, &answer, err))
			return false;
		bool is_final = answer.outcome != HTTP_ANSWERED || answer.status < 429;
		if (is_final || retry == RETRY_COUNT) {
			*ret_answer = answer;
			return true;
		}
		http_answer_done(&answer);
		if (!background_wait(emulator->background,
				     wait_ms * emulator->webhook_scale_percent / 100))
			return muster_fail(err, CAUSE_INTERRUPTED, "waiting for the webhook");
	}
}

/* -- What is answered -------------------------------------------------------------------------------------- */

static bool is_linked(const cJSON *question, const char *host)
{
	const cJSON *hub;

	cJSON_ArrayForEach(
		hub, json_get(question, "linkedHubs")) if (text_equal_folded(hub->valuestring,
									     host)) return true;
	return false;
}

static bool judge_reply(const struct registration *registration, const cJSON *question,
			const cJSON *reply, struct assignment *assignment)
{
	const struct emulator *emulator = registration->emulator;
	const char *host = json_text(reply, "iotHubHostName");
	const cJSON *twin = json_get(reply, "initialTwin");
	const cJSON *payload = json_get(reply, "payload");

	if (!host || host[0] == '\0')
		return refuse(&assignment->refusal, ALLOCATION_NO_HUB,
			      "Custom allocation did not specify an IoT hub");
	if (!is_linked(question, host))
		return refuse(&assignment->refusal, ALLOCATION_FAILED,
			      "Custom allocation named '%s', which is not one of linkedHubs "
			      "(not the service's words)",
			      PRINTABLE(host));
	assignment->hub = hub_find(emulator->hubs, emulator->hub_count, host);
	assignment->initial_twin = cJSON_IsObject(twin) ? twin : NULL;
	assignment->payload = cJSON_IsObject(payload) ? payload : NULL;
	return assignment->hub ||
	       refuse(&assignment->refusal, ALLOCATION_FAILED,
		      "The hub is not linked any more (not the service's words)");
}

static bool judge_answer(const struct http_answer *answer, cJSON **ret_reply,
			 struct assignment *assignment)
{
	struct muster_error err;

	if (answer->outcome != HTTP_ANSWERED)
		return refuse(&assignment->refusal, ALLOCATION_FAILED,
			      "Custom allocation failed: %.200s (not the service's words)",
			      answer->error.message);
	if (answer->status == 401)
		return refuse(&assignment->refusal, ALLOCATION_UNAUTHORIZED,
			      "Custom allocation was refused: the webhook answered 401");
	if (answer->status != 200)
		return refuse(&assignment->refusal, ALLOCATION_FAILED,
			      "Custom allocation failed with status code: %d", answer->status);
	if (!json_parse(answer->body.data ? answer->body.data : "", answer->body.length,
			"the webhook's answer", ret_reply, &err))
		return refuse(&assignment->refusal, ALLOCATION_FAILED,
			      "Custom allocation failed: %.200s (not the service's words)",
			      err.message);
	return true;
}

/* -- The whole --------------------------------------------------------------------------------------------- */

static bool ask(const struct registration *registration, const cJSON *question,
		struct http_answer *ret_answer, struct muster_error *err)
{
	const struct http_terms terms = { .ca_file = registration->emulator->webhook_ca_file };
	CLEANUP(http_freep) struct http *http = http_new(&terms, err);
	CLEANUP(freep) char *text = json_print_line(question);

	if (!http)
		return false;
	if (!text)
		return muster_fail_memory(err);
	return call_patiently(registration, http, text, ret_answer, err);
}

static bool allocate(const struct registration *registration, struct refusal *refusal)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };
	CLEANUP(cJSON_freep) cJSON *record = NULL;
	CLEANUP(cJSON_freep) cJSON *reply = NULL;
	struct assignment assignment = { 0 };
	struct muster_error err;

	if (!registration_current(registration, &record, refusal))
		return false;
	CLEANUP(cJSON_freep) cJSON *question = make_question(registration, record);
	if (!question)
		return refuse(refusal, SERVER_FAILED, "The emulator is out of memory");
	if (!ask(registration, question, &answer, &err))
		return refuse_internal(refusal, &err);
	if (judge_answer(&answer, &reply, &assignment))
		(void)judge_reply(registration, question, reply, &assignment);
	return registration_finish(registration, &assignment, refusal);
}

static void work(void *context)
{
	CLEANUP(registration_freep) struct registration *registration = context;
	struct refusal refusal;

	if (!allocate(registration, &refusal))
		log_warning("custom allocation for '%s': %s", registration->id, refusal.message);
}

bool webhook_start(struct registration *registration, struct refusal *refusal)
{
	struct muster_error err;

	return background_start(registration->emulator->background, work, registration, &err) ||
	       refuse_internal(refusal, &err);
}
