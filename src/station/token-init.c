/* muster hsm init: a new token, for demonstrations and benches. */
#include "muster/station-token.h"

#include <string.h>

#include "login.h"
#include "muster/json.h"
#include "muster/log.h"
#include "pin.h"
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

static bool put_fd(struct worker_message *request, int fd)
{
	request->fd = fd > 0 ? fd : 0;
	return fd > 0;
}

static bool is_typed(const struct station_pin *pin)
{
	return pin->fd <= 0 && !pin->file;
}

/* What can be opened is opened before anything is done with the token. */
static bool open_pin(const struct station_pin *pin, struct worker_message *request,
		     struct muster_error *err)
{
	static const struct token_uri no_source;
	bool typed;

	return is_typed(pin) || put_fd(request, login_open_pin(pin, &no_source, "", &typed, err));
}

static void init_request(const struct visit *visit, enum worker_verb verb,
			 struct worker_message *ret_message)
{
	worker_request_init(ret_message, verb);
	token_add_module(ret_message, &visit->module);
}

/* What has to be typed is asked for when its turn comes, and twice: whoever mistypes a new PIN does not know it. The worker
 * compares. */
static bool type_pin(const struct visit *visit, const char *question,
		     struct worker_message *message, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message first = { 0 }, nothing = { 0 };

	if (message->fd > 0)
		return true;
	init_request(visit, WORKER_HSM_INIT_PIN, &first);
	worker_add_u64(&first, FIELD_FIRST_TIME, 1);
	return put_fd(&first, login_ask(question, err)) &&
	       worker_call(visit->worker, &first, &nothing, err) &&
	       put_fd(message, login_ask("Once more: ", err));
}

static void token_request(const struct visit *visit, const struct station_init *request,
			  enum worker_verb verb, struct worker_message *ret_message)
{
	init_request(visit, verb, ret_message);
	worker_add_text(ret_message, FIELD_TOKEN_URI, visit->uri_text);
	worker_add_text(ret_message, FIELD_LABEL, request->label);
	if (request->confirmation)
		worker_add_text(ret_message, FIELD_CONFIRMATION, request->confirmation);
}

/* -- A token that has an SO-PIN ---------------------------------------------------------------------------------- */

static bool look(struct visit *visit, const struct station_init *request,
		 struct token_facts *ret_before, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message message = { 0 }, reply = { 0 };

	token_request(visit, request, WORKER_HSM_INIT_LOOK, &message);
	return worker_call(visit->worker, &message, &reply, err) &&
	       token_facts_take(ret_before, &reply, err);
}

static bool may_try(const struct token_facts *before, const struct station_pin *so_pin,
		    struct muster_error *err)
{
	const struct pin_token officer = token_pin_of(before, true);
	enum pin_memory memory;

	if (!token_has_flag(before, "initialized"))
		return true;
	if (!pin_recall(&officer, &memory, err))
		return false;
	if (is_typed(so_pin) || memory == PIN_ACKNOWLEDGED)
		return true;
	return pin_check(&officer, memory, err) &&
	       (!token_has_flag(before, "so-pin-count-low") ||
		muster_fail(
			err, CAUSE_PIN_COUNT_LOW,
			"token '%s' (serial %s) was given a wrong SO-PIN since the last right one, so no other is tried",
			PRINTABLE(before->label), PRINTABLE(before->serial)));
}

/* The token that is wiped takes its SO-PIN. */
static bool send(struct visit *visit, struct token_facts *before, bool is_typed,
		 struct worker_message *request, struct worker_message *reply,
		 struct muster_error *err)
{
	const struct pin_token officer = token_pin_of(before, true);
	struct muster_error storage;

	if (!token_has_flag(before, "initialized"))
		return worker_call(visit->worker, request, reply, err);
	if (!pin_try_begin(&officer, is_typed, &before->attempt, err))
		return false;
	worker_add_u64(request, FIELD_PIN_STATE,
		       is_typed || before->attempt.before == PIN_ACKNOWLEDGED);
	if (worker_call(visit->worker, request, reply, err))
		return pin_try_end(&officer, &before->attempt, PIN_WAS_ACCEPTED, err);
	if (!pin_try_end(&officer, &before->attempt, token_pin_answer(err), &storage))
		muster_error_prefix(err, "%s", storage.message);
	return false;
}

/* What it was has a user PIN anew, too. */
static bool forget(const struct token_facts *before, struct muster_error *err)
{
	const struct pin_token user = token_pin_of(before, false);

	return !token_has_flag(before, "initialized") || pin_forget(&user, err);
}

/* -- Making it --------------------------------------------------------------------------------------------------- */

/* Both PINs are there before the token is touched. */
static bool set_up(struct visit *visit, const struct station_init *request,
		   struct token_facts *before, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message first = { 0 }, second = { 0 };
	CLEANUP(worker_message_done) struct worker_message nothing = { 0 }, reply = { 0 };

	init_request(visit, WORKER_HSM_INIT_PIN, &first);
	token_request(visit, request, WORKER_HSM_INIT, &second);
	return open_pin(&request->so_pin, &first, err) && open_pin(&request->pin, &second, err) &&
	       type_pin(visit, "SO-PIN of the new token: ", &first, err) &&
	       worker_call(visit->worker, &first, &nothing, err) &&
	       type_pin(visit, "User PIN of the new token: ", &second, err) &&
	       send(visit, before, is_typed(&request->so_pin), &second, &reply, err) &&
	       token_facts_take(&visit->token, &reply, err);
}

static bool initialise(struct visit *visit, const struct station_init *request,
		       struct muster_error *err)
{
	CLEANUP(token_facts_done) struct token_facts before = { 0 };

	return look(visit, request, &before, err) && may_try(&before, &request->so_pin, err) &&
	       set_up(visit, request, &before, err) && forget(&before, err);
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
	if (strcmp(visit.token.label, request->label) != 0)
		log_warning("the token keeps the label '%s': '%s' was not taken",
			    PRINTABLE(visit.token.label), PRINTABLE(request->label));
	if (!visit_describe(&visit.module, &visit.token, object, err))
		return false;
	*ret_token = TAKE_PTR(object);
	return true;
}
