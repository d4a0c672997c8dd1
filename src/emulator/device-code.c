#include "device-code.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulator-internal.h"
#include "handlers.h"
#include "token.h"

#define LIFE_MS (15 * 60 * 1000)

enum state { PENDING, GRANTED, DECLINED };

struct device_code {
	struct device_code *next;
	char secret[GUID_SIZE];
	char user_code[12];
	const struct application *application;
	char *audience;
	enum state state;
	int64_t expiry_ms, asked_ms;
};

static void free_code(struct device_code *code)
{
	if (!code)
		return;
	free(code->audience);
	free(code);
}

void device_codes_free(struct device_code *codes)
{
	while (codes) {
		struct device_code *next = codes->next;

		free_code(codes);
		codes = next;
	}
}

/* -- A new one ------------------------------------------------------------------------------------------------ */

static struct device_code *make_code(const struct exchange *exchange,
				     const struct application *application, char *audience)
{
	struct device_code *code = calloc(1, sizeof(*code));
	char guid[GUID_SIZE];

	if (!code) {
		free(audience);
		return NULL;
	}
	guid_new(code->secret);
	(void)snprintf(code->user_code, sizeof(code->user_code), "%.8s", guid_new(guid));
	code->application = application;
	code->audience = audience;
	code->expiry_ms = exchange->request->now_ms + LIFE_MS;
	return code;
}

static bool answer_code(struct exchange *exchange, struct device_code *code)
{
	struct emulator *emulator = exchange->emulator;

	if (!code)
		return refuse(&exchange->refusal, SERVER_FAILED, "The emulator is out of memory");
	text_addf(&exchange->reply.body,
		  "{\"device_code\":\"%s\",\"user_code\":\"%s\",\"verification_uri\":"
		  "\"https://%s/emulator/codes\",\"expires_in\":%d,\"interval\":%lld,"
		  "\"message\":\"Grant the code.\"}",
		  code->secret, code->user_code, exchange->request->host, LIFE_MS / 1000,
		  (long long)emulator->code_interval_s);
	pthread_mutex_lock(&emulator->lock);
	code->next = emulator->codes;
	emulator->codes = code;
	pthread_mutex_unlock(&emulator->lock);
	return true;
}

bool device_code_post(struct exchange *exchange)
{
	CLEANUP(form_done) struct form form = { 0 };
	const struct application *application;
	char *audience;

	if (!token_form(exchange, &form))
		return false;
	application = authority_find(exchange->emulator->authority, form_get(&form, "client_id"));
	if (!application)
		return refuse_as(&exchange->refusal, 400000, "unauthorized_client",
				 "AADSTS700016: Application was not found in the directory.");
	audience = token_audience(form_get(&form, "scope"));
	if (!audience)
		return refuse_as(&exchange->refusal, 400000, "invalid_scope",
				 "AADSTS70011: The provided scope is not valid.");
	return answer_code(exchange, make_code(exchange, application, audience));
}

/* -- The client asks ------------------------------------------------------------------------------------------ */

static bool wait_longer(struct exchange *exchange, const char *word)
{
	return refuse_as(&exchange->refusal, 400000, word, "The code has not been granted yet.");
}

/* With the lock held. */
static bool look_at(struct exchange *exchange, struct device_code *code)
{
	int64_t now_ms = exchange->request->now_ms;
	/* A clock that ticks in milliseconds, and a client whose wait may end a little early. */
	bool is_hasty = now_ms - code->asked_ms < exchange->emulator->code_interval_s * 1000 - 100;

	code->asked_ms = now_ms;
	if (now_ms >= code->expiry_ms)
		return refuse_as(&exchange->refusal, 400000, "expired_token",
				 "AADSTS70020: The code has expired.");
	if (code->state == DECLINED)
		return refuse_as(&exchange->refusal, 400000, "authorization_declined",
				 "AADSTS65004: The user declined.");
	if (code->state == PENDING)
		return wait_longer(exchange, is_hasty ? "slow_down" : "authorization_pending");
	return token_answer(exchange, code->application, code->audience);
}

bool device_code_poll(struct exchange *exchange, const char *client_id, const char *device_code)
{
	struct emulator *emulator = exchange->emulator;
	const struct application *application = authority_find(emulator->authority, client_id);
	bool is_answered = false, is_known = false;

	pthread_mutex_lock(&emulator->lock);
	for (struct device_code *code = emulator->codes; code && !is_known; code = code->next) {
		is_known = device_code && code->application == application &&
			   strcmp(code->secret, device_code) == 0;
		if (is_known)
			is_answered = look_at(exchange, code);
	}
	pthread_mutex_unlock(&emulator->lock);
	return is_known ? is_answered
			: refuse_as(&exchange->refusal, 400000, "bad_verification_code",
				    "AADSTS70000: The code is not known.");
}

/* -- The person ----------------------------------------------------------------------------------------------- */

static bool decide(struct exchange *exchange, enum state state)
{
	struct emulator *emulator = exchange->emulator;
	bool is_known = false;

	pthread_mutex_lock(&emulator->lock);
	for (struct device_code *code = emulator->codes; code; code = code->next) {
		if (strcmp(code->user_code, exchange->segments[2]) != 0)
			continue;
		code->state = state;
		is_known = true;
	}
	pthread_mutex_unlock(&emulator->lock);
	if (!is_known)
		return refuse(&exchange->refusal, NO_SUCH_PATH, "No such code");
	exchange->reply.status = 204;
	return true;
}

bool device_code_grant(struct exchange *exchange)
{
	return decide(exchange, GRANTED);
}

bool device_code_decline(struct exchange *exchange)
{
	return decide(exchange, DECLINED);
}
