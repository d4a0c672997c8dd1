/* A master of a token before it is used: how well it is kept, and whether it is the one that the journal knows by its name. */
#include "master.h"

#include <stdio.h>
#include <string.h>

#include "guard.h"
#include "muster/json.h"

/* Masters of that label and of that ID, as the journal has them last. */
struct search {
	const struct token_facts *token;
	const char *label, *id;
	char labelled[2 * 64 + 1]; /* ID of the one of that label */
	char by_label[MASTER_CHECK_VALUE_SIZE], by_id[MASTER_CHECK_VALUE_SIZE]; /* "": none */
};

static void set(struct search *search, const char *id, const char *value)
{
	if (strcmp(id, search->labelled) == 0)
		snprintf(search->by_label, sizeof(search->by_label), "%s", value);
	if (strcmp(id, search->id) == 0)
		snprintf(search->by_id, sizeof(search->by_id), "%s", value);
}

static bool has_label(const struct search *search, const cJSON *body)
{
	const char *label = json_text(body, "label");
	char shown[257];

	return label && *search->label &&
	       strcmp(text_printable(shown, sizeof(shown), label), search->label) == 0;
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
	if (entry->kind != JOURNAL_INTENT) {
		if (value || json_get(body, "wasThere"))
			set(search, id, value ? value : "");
		return true;
	}
	if (json_text(body, "origin") && has_label(search, body)) {
		snprintf(search->labelled, sizeof(search->labelled), "%s", id);
		*search->by_label = '\0';
	}
	return true;
}

static bool is_other(const char *recorded, const char *is)
{
	return *recorded && !text_equal_folded(recorded, is);
}

static bool compare(struct worker *worker, const struct search *search, const struct bytes *id,
		    struct muster_error *err)
{
	char is[MASTER_CHECK_VALUE_SIZE];
	const char *recorded;

	if (!*search->by_label && !*search->by_id)
		return true;
	if (!master_check_value_of(worker, id, is, err))
		return false;
	recorded = is_other(search->by_label, is) ? search->by_label : search->by_id;
	return !is_other(recorded, is) ||
	       muster_fail(
		       err, CAUSE_MASTER_CHANGED,
		       "master '%s' (ID %s) on token '%s' has the check value %s, and the journal has %s for the master of "
		       "that %s",
		       PRINTABLE(search->label), search->id, PRINTABLE(search->token->label), is,
		       PRINTABLE(recorded), recorded == search->by_label ? "label" : "ID");
}

bool master_look(struct worker *worker, const struct token_facts *token, const char *uri,
		 struct journal *journal, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	struct search search = { .token = token };
	const struct bytes *id;
	char hex[2 * 64 + 1] = "";

	worker_request_init(&request, WORKER_HSM_MASTER_FIND);
	worker_add_text(&request, FIELD_KEY_URI, uri);
	if (!worker_call(worker, &request, &reply, err))
		return muster_error_prefix(err, "looking at the token's master key");
	guard_warn("master", uri, worker_text(&reply, FIELD_ATTRIBUTES));
	id = worker_bytes(&reply, FIELD_KEY_ID);
	if (!journal || !id || id->size == 0 || id->size > 64)
		return true;
	search.id = hex_encode(hex, id->data, id->size);
	search.label = worker_text(&reply, FIELD_LABEL) ? worker_text(&reply, FIELD_LABEL) : "";
	return journal_entries_all(journal, "", take_entry, &search, err) &&
	       compare(worker, &search, id, err);
}
