#include "custody.h"
#include "module.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/config.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/process.h"
#include "token.h"
#include "visit.h"

enum { KEYS_PER_RUN = 1, UNSETTLED_MAX = 64 };

void custody_done(struct custody *custody)
{
	for (size_t i = 1; i < custody->line_count; i++)
		worker_free(custody->lines[i]);
	worker_free(custody->hsm);
	station_module_done(&custody->module);
	token_facts_done(&custody->token);
	journal_close(custody->journal);
	who_done(&custody->who);
	cJSON_Delete(custody->destroyed);
	*custody = (struct custody){ 0 };
}

/* -- The journal ----------------------------------------------------------------------------------------------- */

static bool load_config(struct config *config, struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };

	return config_load(config, &report, err);
}

bool custody_open_journal(struct custody *custody, const struct station_custody *request,
			  struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(freep) char *path = NULL;

	if (custody->journal)
		return true;
	return load_config(&config, err) &&
	       journal_path_choose(request->journal_path, config.journal, &path, err) &&
	       who_is_here(&custody->who, request->operator_name, config.operator_name, err) &&
	       journal_check_space(path, KEYS_PER_RUN, err) &&
	       journal_open(path, JOURNAL_WRITE, &custody->journal, err);
}

bool custody_peek_journal(const struct station_custody *request, struct journal **ret_journal,
			  struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(freep) char *path = NULL;
	struct muster_error unreadable;

	*ret_journal = NULL;
	if (!load_config(&config, err) ||
	    !journal_path_choose(request->journal_path, config.journal, &path, err))
		return false;
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return true;
	if (!journal_open(path, JOURNAL_READ, ret_journal, &unreadable))
		log_warning("%s: what it says of the master is not known, going on",
			    unreadable.message);
	return true;
}

bool custody_append(struct custody *custody, enum journal_kind kind, cJSON *body,
		    struct muster_error *err)
{
	CLEANUP(freep) char *line = body ? json_print_line(body) : NULL;
	struct journal_entry entry = {
		.at_ms = clock_wall_ms(),
		.stage = "custody",
		.kind = kind,
		.operator= custody->who.operator_name,
		.station = custody->who.station,
		.body = line,
	};

	cJSON_Delete(body);
	if (!line)
		return muster_fail_memory(err);
	return journal_append(custody->journal, &entry, err);
}

bool custody_record(struct custody *custody, enum journal_kind kind, cJSON *body,
		    struct muster_error *err)
{
	if (!journal_begin(custody->journal, err)) {
		cJSON_Delete(body);
		return false;
	}
	return custody_append(custody, kind, body, err) && journal_commit(custody->journal, err);
}

cJSON *custody_entry(const struct custody *custody, const char *step, const char *id_name,
		     const struct bytes *id)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	char hex[2 * 64 + 1];

	if (!body || !json_add_text(body, "step", step) ||
	    !json_add_text(body, id_name, hex_encode(hex, id->data, id->size)) ||
	    !json_add_text(body, "token", custody->token.label) ||
	    !json_add_text(body, "tokenSerial", custody->token.serial))
		return NULL;
	return TAKE_PTR(body);
}

/* -- After a cut ------------------------------------------------------------------------------------------------ */

struct unsettled_key {
	char id[2 * 64 + 1], label[256];
	int64_t at_ms;
};

/* Keys of this token that were announced and of which no outcome is known. */
struct unsettled {
	const struct token_facts *token;
	size_t count;
	struct unsettled_key keys[UNSETTLED_MAX];
};

static void forget_id(struct unsettled *unsettled, const char *id)
{
	for (size_t i = 0; i < unsettled->count; i++) {
		if (strcmp(unsettled->keys[i].id, id) != 0)
			continue;
		unsettled->keys[i] = unsettled->keys[--unsettled->count];
		return;
	}
}

static void take_unsettled(struct unsettled *unsettled, const char *id, const char *label,
			   int64_t at_ms)
{
	struct unsettled_key *key = &unsettled->keys[unsettled->count++];

	key->at_ms = at_ms;
	snprintf(key->id, sizeof(key->id), "%s", id);
	snprintf(key->label, sizeof(key->label), "%s", label ? label : "");
}

static bool look_at_entry(void *context, const struct journal_entry *entry,
			  struct muster_error *err)
{
	struct unsettled *unsettled = context;
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	const char *id;

	if (strcmp(entry->stage, "custody") != 0)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	id = json_text(body, "keyId");
	if (!id || !token_is_of_entry(unsettled->token, body))
		return true;
	forget_id(unsettled, id);
	if (entry->kind != JOURNAL_INTENT || !json_bool(body, "makesKey", false))
		return true;
	if (unsettled->count == UNSETTLED_MAX || strlen(id) >= sizeof(unsettled->keys[0].id))
		return muster_fail(err, CAUSE_JOURNAL_DAMAGED,
				   "entry %lld announces one key too many", (long long)entry->seq);
	take_unsettled(unsettled, id, json_text(body, "label"), entry->at_ms);
	return true;
}

static bool sweep(struct custody *custody, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };

	worker_request_init(&request, WORKER_HSM_SWEEP);
	return worker_call(custody->hsm, &request, &reply, err);
}

static bool discard(struct custody *custody, const struct bytes *id, bool *ret_was_there,
		    struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	worker_request_init(&request, WORKER_HSM_KEY_DESTROY);
	worker_add_bytes(&request, FIELD_KEY_ID, id->data, id->size);
	worker_add_u64(&request, FIELD_UNFINISHED, 1);
	if (!worker_call(custody->hsm, &request, &reply, err))
		return false;
	*ret_was_there = worker_u64(&reply, FIELD_FOUND) == 1;
	body = custody_entry(custody, "destroy-unfinished", "keyId", id);
	if (!body || !json_add_bool(body, "wasThere", *ret_was_there))
		return muster_fail_memory(err);
	return custody_record(custody, JOURNAL_OUTCOME, TAKE_PTR(body), err);
}

bool custody_discard(struct custody *custody, const struct bytes *id, struct muster_error *err)
{
	bool was_there;

	return discard(custody, id, &was_there, err);
}

/* Nobody sees a key go without being told. */
static bool tell(struct custody *custody, const struct unsettled_key *key, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *item = cJSON_CreateObject();
	char at[RFC3339_SIZE];

	rfc3339_format(at, key->at_ms);
	log_warning(
		"the key '%s' of ID %s, which a run had begun at %s and not finished, was destroyed in token '%s', going on",
		PRINTABLE(key->label), PRINTABLE(key->id), at, PRINTABLE(custody->token.label));
	if (!custody->destroyed)
		custody->destroyed = cJSON_CreateArray();
	if (!item || !custody->destroyed || !json_add_text(item, "keyId", key->id) ||
	    !json_add_text(item, "label", key->label) || !json_add_text(item, "begun", at) ||
	    !cJSON_AddItemToArray(custody->destroyed, item))
		return muster_fail_memory(err);
	TAKE_PTR(item);
	return true;
}

static bool settle_one(struct custody *custody, const struct unsettled_key *key,
		       struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes id = { 0 };
	bool was_there;

	if (!hex_decode(key->id, strlen(key->id), &id))
		return muster_fail(err, CAUSE_JOURNAL_DAMAGED, "a key ID that is not hex");
	return discard(custody, &id, &was_there, err) && (!was_there || tell(custody, key, err));
}

/* A key that was announced, and whose certificate or request nobody ever got, is of no use to anybody. */
static bool settle(struct custody *custody, struct muster_error *err)
{
	struct unsettled unsettled = { .token = &custody->token };

	if (!journal_entries_all(custody->journal, "", look_at_entry, &unsettled, err))
		return false;
	if (unsettled.count > 0 && !sweep(custody, err))
		return false;
	for (size_t i = 0; i < unsettled.count; i++)
		if (!settle_one(custody, &unsettled.keys[i], err))
			return muster_error_prefix(
				err, "destroying what an earlier run left on token '%s'",
				PRINTABLE(custody->token.label));
	return true;
}

bool custody_add_destroyed(const struct custody *custody, cJSON *result)
{
	return !custody->destroyed || json_add_item(result, "destroyedUnfinished",
						    cJSON_Duplicate(custody->destroyed, true));
}

/* -- Opening --------------------------------------------------------------------------------------------------- */

/* The first line to the token is the worker itself. */
static void take_worker(struct custody *custody, struct worker *worker,
			const struct station_module *module)
{
	custody->hsm = worker;
	custody->lines[custody->line_count++] = worker;
	custody->sessions = module->sessions;
}

bool custody_spawn(struct custody *custody, const struct station_module *module,
		   struct muster_error *err)
{
	struct worker *worker = NULL;

	if (!worker_spawn("muster-hsm-worker", (const char *const *)module->environment, &worker,
			  err))
		return false;
	take_worker(custody, worker, module);
	return true;
}

/* A module that cannot be found is no reason to leave the other one. */
static bool is_in_another_module(const char *key_uri, const struct token_uri *of_key,
				 const char *given)
{
	CLEANUP(station_module_done) struct station_module its = { 0 }, other = { 0 };
	struct muster_error unusable;

	if (!of_key->module_path && !of_key->module_name)
		return false;
	if (!station_module_find(key_uri, &its, &unusable))
		return false;
	return !station_module_find(given, &other, &unusable) || !module_is_same(&its, &other);
}

/* The key's own place for the PIN, where its module is known without the environment's. */
static bool brings_pin(const struct token_uri *of_key, const struct token_uri *given)
{
	bool has_module = of_key->module_path || of_key->module_name;

	return of_key->pin_source && !given->pin_source &&
	       (has_module || (!given->module_path && !given->module_name));
}

/* The environment's token is for keys that name no other one: it may have the module and the PIN, too. */
static bool choose_token(const struct station_custody *request, const char *key_uri,
			 const char **ret_uri, struct muster_error *err)
{
	CLEANUP(token_uri_done) struct token_uri given = { 0 }, of_key = { 0 };
	const char *uri = request->token.uri;

	*ret_uri = uri ? uri : key_uri;
	if (!*ret_uri)
		return muster_fail(err, CAUSE_TOKEN_URI_INVALID,
				   "no token was named: pass --token URI");
	if (!key_uri || !process_variable_gave(uri, "MUSTER_TOKEN"))
		return true;
	if (!token_uri_parse(uri, &given, err) || !token_uri_parse(key_uri, &of_key, err))
		return false;
	if (token_uri_contradicts(&of_key, &given) || brings_pin(&of_key, &given) ||
	    is_in_another_module(key_uri, &of_key, uri))
		*ret_uri = key_uri;
	return true;
}

/* Each may name it by something else; so what was opened is held against the key's, before a PIN is sent to it. */
static bool is_token_of_key(const struct token_facts *token, const char *key_uri, bool *ret_is,
			    struct muster_error *err)
{
	CLEANUP(token_uri_done) struct token_uri of_key = { 0 };

	if (!token_uri_parse(key_uri, &of_key, err))
		return false;
	*ret_is = !token_is_other(token, &of_key);
	return true;
}

static bool visit_token(const struct station_custody *request, const char *key_uri,
			struct visit *visit, struct muster_error *err)
{
	bool is_it = true;
	const char *uri;

	if (!choose_token(request, key_uri, &uri, err) || !visit_open(visit, uri, err))
		return false;
	if (key_uri && uri != key_uri && process_variable_gave(uri, "MUSTER_TOKEN") &&
	    !is_token_of_key(&visit->token, key_uri, &is_it, err))
		return false;
	if (is_it)
		return true;
	visit_done(visit);
	*visit = (struct visit){ 0 };
	return visit_open(visit, key_uri, err);
}

static bool open_token(struct custody *custody, const struct station_custody *request,
		       const char *key_uri, struct muster_error *err)
{
	CLEANUP(visit_done) struct visit visit = { 0 };

	if (!visit_token(request, key_uri, &visit, err) ||
	    !visit_login(&visit, &request->token.pin, err))
		return false;
	take_worker(custody, TAKE_PTR(visit.worker), &visit.module);
	custody->token = visit.token;
	visit.token = (struct token_facts){ 0 };
	custody->module = visit.module;
	visit.module = (struct station_module){ 0 };
	token_watch(&custody->token, custody->hsm);
	return true;
}

bool custody_join(struct custody *custody, size_t count, struct muster_error *err)
{
	for (; custody->line_count < count; custody->line_count++)
		if (!worker_join(custody->hsm, &custody->lines[custody->line_count], err))
			return muster_error_prefix(err, "opening session %zu of %zu",
						   custody->line_count + 1, count);
	return true;
}

bool custody_open(struct custody *custody, const struct station_custody *request,
		  const char *key_uri, enum custody_effect effect, struct muster_error *err)
{
	if (effect == CUSTODY_LOOKS)
		return open_token(custody, request, key_uri, err);
	return custody_open_journal(custody, request, err) &&
	       open_token(custody, request, key_uri, err) && settle(custody, err);
}
