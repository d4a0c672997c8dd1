/* muster hsm list: every token of every module, without a login. */
#include "muster/station-token.h"

#include <stdlib.h>
#include <string.h>

#include "module.h"
#include "muster/json.h"
#include "token.h"
#include "visit.h"

static bool look(struct worker *worker, const struct station_module *module, uint64_t index,
		 struct worker_message *ret_reply, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_TOKEN);
	token_add_module(&request, module);
	worker_add_u64(&request, FIELD_INDEX, index);
	return worker_call(worker, &request, ret_reply, err);
}

/* *ret_more: the module has a token of that index. */
static bool add_token(struct worker *worker, const struct station_module *module, uint64_t index,
		      cJSON *tokens, bool *ret_more, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	CLEANUP(token_facts_done) struct token_facts token = { 0 };
	cJSON *object;

	if (!look(worker, module, index, &reply, err) || !token_facts_take(&token, &reply, err))
		return false;
	*ret_more = index < worker_u64(&reply, FIELD_COUNT);
	if (!*ret_more)
		return true;
	object = cJSON_CreateObject();
	if (!object || !cJSON_AddItemToArray(tokens, object))
		return muster_fail_memory(err);
	return visit_describe(module, &token, object, err);
}

bool visit_has_token(struct visit *visit, const char *label, const char *serial, bool *ret_has,
		     struct muster_error *err)
{
	uint64_t count = 1;

	*ret_has = false;
	for (uint64_t i = 0; i < count && !*ret_has; i++) {
		CLEANUP(worker_message_done) struct worker_message reply = { 0 };
		CLEANUP(token_facts_done) struct token_facts token = { 0 };

		if (!look(visit->worker, &visit->module, i, &reply, err) ||
		    !token_facts_take(&token, &reply, err))
			return false;
		count = worker_u64(&reply, FIELD_COUNT);
		*ret_has = i < count && strcmp(token.label, label) == 0 &&
			   strcmp(token.serial, serial) == 0;
	}
	return true;
}

/* *ret_count tokens were added, also when it fails. */
static bool add_tokens(const struct station_module *module, cJSON *tokens, uint64_t *ret_count,
		       struct muster_error *err)
{
	CLEANUP(worker_freep) struct worker *worker = NULL;
	bool more = true;

	*ret_count = 0;
	if (!worker_spawn("muster-hsm-worker", (const char *const *)module->environment, &worker,
			  err))
		return false;
	while (more) {
		if (!add_token(worker, module, *ret_count, tokens, &more, err))
			return false;
		*ret_count += more;
	}
	return true;
}

/* A module without tokens has a row too: it is configured, and it answers or says why not. */
static bool add_module(const struct station_module *module, const char *words, cJSON *tokens,
		       struct muster_error *err)
{
	cJSON *object = cJSON_CreateObject();

	return (object && cJSON_AddItemToArray(tokens, object) &&
		json_add_text(object, "module", module->name) &&
		json_add_text(object, "path", module->path) &&
		json_add_text(object, "error", words)) ||
	       muster_fail_memory(err);
}

static bool list_one(const char *path, cJSON *tokens, struct muster_error *err)
{
	CLEANUP(station_module_done) struct station_module module = { 0 };
	uint64_t count;

	return station_module_by_path(path, &module, err) &&
	       add_tokens(&module, tokens, &count, err) &&
	       (count > 0 || add_module(&module, "no token", tokens, err));
}

static bool list_each(const struct module_list *list, cJSON *tokens, struct muster_error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct station_module *module = &list->modules[i].module;
		struct muster_error failure = list->modules[i].problem;
		uint64_t count = 0;
		bool good =
			failure.code == MUSTER_OK && add_tokens(module, tokens, &count, &failure);

		if ((!good || count == 0) &&
		    !add_module(module, good ? "no token" : failure.message, tokens, err))
			return false;
	}
	return true;
}

static bool list_all(cJSON *tokens, struct muster_error *err)
{
	CLEANUP(module_list_done) struct module_list list = { 0 };

	return module_list_read(&list, err) && list_each(&list, tokens, err);
}

bool token_list_configured(cJSON *tokens, struct muster_error *err)
{
	CLEANUP(module_list_done) struct module_list list = { 0 };

	return module_list_configured(&list, err) && list_each(&list, tokens, err);
}

bool station_tokens_list(const char *module_path, cJSON **ret_tokens, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *tokens = cJSON_CreateArray();

	if (!tokens)
		return muster_fail_memory(err);
	if (module_path ? !list_one(module_path, tokens, err) : !list_all(tokens, err))
		return false;
	*ret_tokens = TAKE_PTR(tokens);
	return true;
}
