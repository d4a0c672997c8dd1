/* The device API: register, poll, look up. */
#include <stdio.h>
#include <string.h>

#include "muster/json.h"

#include "enrollments.h"
#include "handlers.h"
#include "registration.h"

static bool no_memory(struct refusal *refusal)
{
	return refuse(refusal, SERVER_FAILED, "The emulator is out of memory");
}

/* -- Requests and answers ---------------------------------------------------------------------------------- */

static bool take_body(struct exchange *exchange, cJSON **ret_body)
{
	if (exchange->request->body_size > 0)
		return request_json(exchange, ret_body);
	*ret_body = cJSON_CreateObject();
	return *ret_body || no_memory(&exchange->refusal);
}

static int64_t retry_after_s(const struct emulator *emulator)
{
	return (emulator->poll_delay_ms + 999) / 1000;
}

static bool answer_assigning(struct exchange *exchange, const char *operation_id, cJSON *state)
{
	CLEANUP(cJSON_freep) cJSON *owned = state;
	CLEANUP(cJSON_freep) cJSON *status = cJSON_CreateObject();

	if (!status || !json_add_text(status, "operationId", operation_id) ||
	    !json_add_text(status, "status", "assigning"))
		return no_memory(&exchange->refusal);
	if (owned && !json_add_item(status, "registrationState", TAKE_PTR(owned)))
		return no_memory(&exchange->refusal);
	exchange->reply.status = 202;
	reply_header(&exchange->reply, "Retry-After", "%lld",
		     (long long)retry_after_s(exchange->emulator));
	return reply_json(exchange, status);
}

static void add_location(struct exchange *exchange, const struct registration *registration)
{
	CLEANUP(text_done) struct text id = { 0 };

	text_add_url(&id, registration->id);
	reply_header(&exchange->reply, "Location",
		     "https://%s/%s/registrations/%s/operations/%s?api-version=%s",
		     exchange->request->host, exchange->emulator->instance.id_scope, id.data,
		     registration->operation_id, registration->api_version);
}

/* -- Register ---------------------------------------------------------------------------------------------- */

static bool is_disabled(const struct registration *registration)
{
	const char *status = json_text(registration->enrollment, "provisioningStatus");

	return status && strcmp(status, "disabled") == 0;
}

static bool check_payload(struct exchange *exchange, const cJSON *body)
{
	const cJSON *payload = json_get(body, "payload");

	return !payload || cJSON_IsNull(payload) || cJSON_IsObject(payload) ||
	       refuse(&exchange->refusal, BAD_ARGUMENT, "payload is not an object");
}

/* The answer is written by then: with a webhook the registration goes on without its request. */
static bool assign(struct exchange *exchange, struct registration **registration)
{
	struct assignment assignment = { 0 };

	if (is_disabled(*registration))
		assignment.is_disabled = true;
	else if (registration_policy(*registration) == ALLOCATION_CUSTOM) {
		if (!webhook_start(*registration, &exchange->refusal))
			return false;
		(void)TAKE_PTR(*registration);
		return true;
	} else {
		registration_choose(*registration, &assignment);
	}
	return registration_finish(*registration, &assignment, &exchange->refusal);
}

bool device_register(struct exchange *exchange)
{
	CLEANUP(registration_freep) struct registration *registration = NULL;
	cJSON *body = NULL;
	bool needs_challenge;

	if (!take_body(exchange, &body))
		return false;
	if (!registration_authenticate(exchange, body, &registration, &needs_challenge))
		return false;
	if (needs_challenge)
		return challenge_answer(exchange, registration);
	if (!check_payload(exchange, registration->body) ||
	    !operation_begin(registration, &exchange->refusal) ||
	    !answer_assigning(exchange, registration->operation_id, NULL))
		return false;
	add_location(exchange, registration);
	exchange->effect = EFFECT_UPDATE;
	return assign(exchange, &registration);
}

/* -- Poll -------------------------------------------------------------------------------------------------- */

static bool answer_result(struct exchange *exchange, const char *operation_id, cJSON *result)
{
	CLEANUP(cJSON_freep) cJSON *status = cJSON_CreateObject();
	char word[32];

	(void)snprintf(word, sizeof(word), "%s", json_text(result, "status"));
	bool is_good = status && json_add_text(status, "operationId", operation_id) &&
		       json_add_text(status, "status", word);
	if (!is_good) {
		cJSON_Delete(result);
		return no_memory(&exchange->refusal);
	}
	if (!json_add_item(status, "registrationState", result))
		return no_memory(&exchange->refusal);
	return reply_json(exchange, status);
}

static cJSON *assigning_state(const char *id)
{
	CLEANUP(cJSON_freep) cJSON *state = cJSON_CreateObject();
	bool is_good = state && json_add_text(state, "registrationId", id) &&
		       json_add_text(state, "status", "assigning");

	return is_good ? TAKE_PTR(state) : NULL;
}

bool device_poll(struct exchange *exchange)
{
	CLEANUP(registration_freep) struct registration *registration = NULL;
	const char *operation_id = exchange->segments[4];
	cJSON *body = cJSON_CreateObject(); /* whatever a GET brings along is ignored */
	cJSON *result = NULL;
	bool needs_challenge;

	if (!body)
		return no_memory(&exchange->refusal);
	if (!registration_authenticate(exchange, body, &registration, &needs_challenge))
		return false;
	if (!operation_poll(exchange->emulator, operation_id, registration->id,
			    registration->now_ms, &result, &exchange->refusal))
		return false;
	if (result)
		return answer_result(exchange, operation_id, result);
	cJSON *state = assigning_state(registration->id);
	if (!state)
		return no_memory(&exchange->refusal);
	return answer_assigning(exchange, operation_id, state);
}

/* -- Look up ----------------------------------------------------------------------------------------------- */

bool device_lookup(struct exchange *exchange)
{
	CLEANUP(registration_freep) struct registration *registration = NULL;
	CLEANUP(cJSON_freep) cJSON *record = NULL;
	cJSON *body = NULL;
	bool needs_challenge;

	if (!take_body(exchange, &body))
		return false;
	if (!registration_authenticate(exchange, body, &registration, &needs_challenge))
		return false;
	if (!registration_current(registration, &record, &exchange->refusal))
		return false;
	if (!record)
		return refuse(&exchange->refusal, NO_SUCH_REGISTRATION, "Registration not found");
	return reply_json(exchange, json_get(record, "state"));
}
