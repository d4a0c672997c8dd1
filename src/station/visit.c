#include "visit.h"

#include <string.h>

#include "muster/json.h"
#include "token.h"

bool visit_begin(struct visit *visit, const char *token_uri, struct muster_error *err)
{
	if (!token_uri_parse(token_uri, &visit->uri, err) ||
	    !station_module_find(token_uri, &visit->module, err))
		return false;
	visit->uri_text = token_text_of(&visit->uri);
	if (!visit->uri_text)
		return muster_fail_memory(err);
	return worker_spawn("muster-hsm-worker", (const char *const *)visit->module.environment,
			    &visit->worker, err);
}

bool visit_open(struct visit *visit, const char *token_uri, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };

	if (!visit_begin(visit, token_uri, err))
		return false;
	token_open_request(&request, &visit->module, visit->uri_text);
	return (worker_call(visit->worker, &request, &reply, err) &&
		token_facts_take(&visit->token, &reply, err)) ||
	       muster_error_prefix(err, "opening the token");
}

bool visit_login(struct visit *visit, const struct station_pin *pin, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	struct muster_error outcome = { 0 };

	if (!token_login_request(&request, &visit->token, pin, &visit->uri, err))
		return false;
	if (!worker_call(visit->worker, &request, &reply, &outcome) || outcome.code != MUSTER_OK)
		return token_login_settle(&visit->token, &reply, &outcome, err);
	visit->is_logged_in = true;
	return token_login_settle(&visit->token, &reply, &outcome, err);
}

void visit_done(struct visit *visit)
{
	worker_free(visit->worker);
	station_module_done(&visit->module);
	token_uri_done(&visit->uri);
	free(visit->uri_text);
	token_facts_done(&visit->token);
	*visit = (struct visit){ 0 };
}

/* -- Describing ------------------------------------------------------------------------------------------------ */

bool visit_add_words(cJSON *object, const char *name, const char *words, struct muster_error *err)
{
	cJSON *array = cJSON_AddArrayToObject(object, name);
	CLEANUP(freep) char *copy = strdup(words ? words : "");
	char *rest;

	if (!array || !copy)
		return muster_fail_memory(err);
	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		cJSON *item = cJSON_CreateString(word);

		if (!item || !cJSON_AddItemToArray(array, item))
			return muster_fail_memory(err);
	}
	return true;
}

/* Label and serial name a token; a fresh one has neither, and is named by its slot. */
static char *uri_of(const struct station_module *module, const struct token_facts *token)
{
	char slot[24];
	struct token_uri uri = {
		.token = token->label,
		.serial = token->serial,
		.module_name = module->name,
		.module_path = module->path,
	};

	snprintf(slot, sizeof(slot), "%llu", (unsigned long long)token->slot);
	if (!*token->serial) {
		uri.token = uri.serial = NULL;
		uri.slot_id = slot;
	}
	return token_uri_format_with_module(&uri);
}

bool visit_describe(const struct station_module *module, const struct token_facts *token,
		    cJSON *object, struct muster_error *err)
{
	CLEANUP(freep) char *uri = uri_of(module, token);

	if (!uri || !json_add_text(object, "module", module->name) ||
	    !json_add_text(object, "path", module->path) ||
	    !json_add_int64(object, "slot", (int64_t)token->slot) ||
	    !json_add_text(object, "label", token->label) ||
	    !json_add_text(object, "serial", token->serial) ||
	    !json_add_text(object, "manufacturer", token->manufacturer) ||
	    !json_add_text(object, "model", token->model) || !json_add_text(object, "uri", uri))
		return muster_fail_memory(err);
	return visit_add_words(object, "flags", token->flag_words, err);
}
