/* muster hsm init: a new token, for demonstrations and benches. */
#include "muster/station-token.h"

#include <string.h>

#include "login.h"
#include "muster/json.h"
#include "token.h"
#include "visit.h"

static bool is_softhsm(const char *path)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash ? slash + 1 : path, "libsofthsm2.so") == 0;
}

static bool check_module(const struct visit *visit, bool is_any_module, struct muster_error *err)
{
	return is_any_module || is_softhsm(visit->module.path) ||
	       muster_fail(err, CAUSE_USAGE,
			   "'%s' is not SoftHSM, and its tokens may be real ones: add --any-module",
			   PRINTABLE(visit->module.path));
}

/* What can be opened is opened before anything is done with the token; what has to be typed is asked for when its turn
 * comes. */
static bool open_pin(const struct station_pin *pin, const char *question,
		     struct worker_message *request, struct muster_error *err)
{
	static const struct token_uri no_source;
	bool is_at_hand = pin->fd > 0 || pin->file, typed;

	if (request->fd > 0 || (!is_at_hand && !question))
		return true;
	request->fd = is_at_hand ? login_open_pin(pin, &no_source, question, &typed, err)
				 : login_ask(question, err);
	if (request->fd > 0)
		return true;
	request->fd = 0;
	return false;
}

static bool initialise(struct visit *visit, const struct station_init *request,
		       struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message first = { 0 }, second = { 0 };
	CLEANUP(worker_message_done) struct worker_message nothing = { 0 }, reply = { 0 };

	worker_request_init(&first, WORKER_HSM_INIT);
	worker_request_init(&second, WORKER_HSM_INIT_PIN);
	if (!open_pin(&request->so_pin, NULL, &first, err) ||
	    !open_pin(&request->pin, NULL, &second, err))
		return false;
	token_add_module(&first, &visit->module);
	worker_add_text(&first, FIELD_TOKEN_URI, visit->uri_text);
	worker_add_text(&first, FIELD_LABEL, request->label);
	if (request->confirmation)
		worker_add_text(&first, FIELD_CONFIRMATION, request->confirmation);
	return open_pin(&request->so_pin, "SO-PIN of the new token: ", &first, err) &&
	       worker_call(visit->worker, &first, &nothing, err) &&
	       open_pin(&request->pin, "User PIN of the new token: ", &second, err) &&
	       worker_call(visit->worker, &second, &reply, err) &&
	       token_facts_take(&visit->token, &reply, err);
}

bool station_token_init(const char *token_uri, const struct station_init *request,
			cJSON **ret_token, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(visit_done) struct visit visit = { 0 };

	if (!object)
		return muster_fail_memory(err);
	if (!visit_begin(&visit, token_uri, err) ||
	    !check_module(&visit, request->is_any_module, err) || !initialise(&visit, request, err))
		return muster_error_prefix(err, "initialising token '%s'",
					   PRINTABLE(request->label));
	if (!visit_describe(&visit.module, &visit.token, object, err))
		return false;
	*ret_token = TAKE_PTR(object);
	return true;
}
