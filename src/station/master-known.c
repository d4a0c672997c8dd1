/* A master of a token before it is used: how well it is kept, and whether it is the one that the journal knows by its name. */
#include "master.h"

#include <stdio.h>
#include <string.h>

#include "guard.h"
#include "muster/json.h"
#include "muster/token-uri.h"

/* Masters of that label and of that ID, as the journal has them last. */
struct search {
	const struct token_facts *token;
	const char *label, *id;    /* "": it has none */
	cJSON *labels;             /* by the IDs of masters that were announced */
	char labelled[2 * 64 + 1]; /* ID of the one of that label */
	char by_label[MASTER_CHECK_VALUE_SIZE], by_id[MASTER_CHECK_VALUE_SIZE]; /* "": none */
	const char *own_label; /* that the one of that ID was made with; in labels */
	bool gave_up_label;    /* another was made with that since */
};

static void search_done(struct search *search)
{
	cJSON_Delete(search->labels);
}

static bool is_label(const struct search *search, const char *label)
{
	char shown[257];

	return label && *search->label &&
	       strcmp(text_printable(shown, sizeof(shown), label), search->label) == 0;
}

/* What was only announced may never have been there. */
static bool announce(struct search *search, const char *id, const cJSON *body)
{
	const char *label = json_text(body, "label");

	return !json_text(body, "origin") || !label || json_get(search->labels, id) ||
	       json_add_text(search->labels, id, label);
}

/* It is there: no other of the token has its label any more. */
static void take_made(struct search *search, const char *id)
{
	const char *label = json_text(search->labels, id);

	if (is_label(search, label))
		snprintf(search->labelled, sizeof(search->labelled), "%s", id);
	if (strcmp(id, search->id) == 0) {
		search->own_label = label;
		search->gave_up_label = false;
	} else if (label && search->own_label && strcmp(label, search->own_label) == 0) {
		search->gave_up_label = true;
	}
}

static void set(struct search *search, const char *id, const char *value)
{
	if (strcmp(id, search->labelled) == 0)
		snprintf(search->by_label, sizeof(search->by_label), "%s", value);
	if (strcmp(id, search->id) == 0)
		snprintf(search->by_id, sizeof(search->by_id), "%s", value);
}

static bool take_entry(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct search *search = context;
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	const char *id, *value;

	if (strcmp(entry->stage, "custody") != 0)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	id = json_text(body, "keyId");
	value = json_text(body, "checkValue");
	if (!id || !token_is_of_entry(search->token, body))
		return true;
	if (entry->kind == JOURNAL_INTENT)
		return announce(search, id, body) || muster_fail_memory(err);
	if (value)
		take_made(search, id);
	if (value || json_get(body, "wasThere"))
		set(search, id, value ? value : "");
	return true;
}

static bool is_other(const char *recorded, const char *is)
{
	return *recorded && !text_equal_folded(recorded, is);
}

/* By its ID it is that one whatever its label. So it is where its label went to a newer one, as when a secondary master becomes the
 * primary; labels that were merely exchanged are not believed. */
static bool is_known_by_id(const struct search *search, const struct token_uri *uri, const char *is)
{
	return *search->by_id && !is_other(search->by_id, is) &&
	       (uri->id.size > 0 || search->gave_up_label);
}

static bool fail_changed(const struct search *search, const char *recorded, const char *is,
			 struct muster_error *err)
{
	bool is_of_label = recorded == search->by_label;
	bool was_relabelled = *search->by_id && !is_other(search->by_id, is);

	char hint[320] = "";

	if (is_of_label && was_relabelled)
		snprintf(hint, sizeof(hint),
			 "; it has this one by the label '%s': if that is meant, name it by its ID",
			 PRINTABLE(search->own_label ? search->own_label : ""));
	return muster_fail(
		err, CAUSE_MASTER_CHANGED,
		"master '%s' (ID %s) on token '%s' has the check value %s, and the journal has %s for the master of "
		"that %s%s",
		PRINTABLE(search->label), *search->id ? search->id : "none",
		PRINTABLE(search->token->label), is, PRINTABLE(recorded),
		is_of_label ? "label" : "ID", hint);
}

/* Of what the run derives with, however that is named. */
static bool compare(struct worker *worker, const struct search *search, const char *uri,
		    struct muster_error *err)
{
	CLEANUP(token_uri_done) struct token_uri named = { 0 };
	char is[MASTER_CHECK_VALUE_SIZE];

	if (!*search->by_label && !*search->by_id)
		return true;
	if (!token_uri_parse(uri, &named, err) || !master_check_value(worker, uri, is, err))
		return false;
	if (is_known_by_id(search, &named, is))
		return true;
	if (is_other(search->by_label, is))
		return fail_changed(search, search->by_label, is, err);
	return !is_other(search->by_id, is) || fail_changed(search, search->by_id, is, err);
}

bool master_look(struct worker *worker, const struct token_facts *token, const char *uri,
		 struct journal *journal, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	CLEANUP(search_done) struct search search = { .token = token };
	const struct bytes *id;
	char hex[2 * 64 + 1] = "";

	worker_request_init(&request, WORKER_HSM_MASTER_FIND);
	worker_add_text(&request, FIELD_KEY_URI, uri);
	if (!worker_call(worker, &request, &reply, err))
		return muster_error_prefix(err, "looking at the token's master key");
	guard_warn("master", uri, worker_text(&reply, FIELD_ATTRIBUTES));
	if (!journal)
		return true;
	id = worker_bytes(&reply, FIELD_KEY_ID);
	search.id = id->size > 0 && id->size <= 64 ? hex_encode(hex, id->data, id->size) : "";
	search.label = worker_text(&reply, FIELD_LABEL) ? worker_text(&reply, FIELD_LABEL) : "";
	search.labels = cJSON_CreateObject();
	if (!search.labels)
		return muster_fail_memory(err);
	return journal_entries_all(journal, "", take_entry, &search, err) &&
	       compare(worker, &search, uri, err);
}
