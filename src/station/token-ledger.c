#include "token-ledger.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certificate-terms.h"
#include "life.h"
#include "muster/json.h"
#include "muster/text.h"
#include "token.h"

/* -- Keys --------------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct ledger_key *)a)->id, ((const struct ledger_key *)b)->id);
}

static void key_free(struct ledger_key *key)
{
	free(key->id);
	free(key->name);
	free(key->label);
	free(key->primary);
	free(key->token);
	free(key->serial);
	free(key->attributes);
	free(key->check_value);
	free(key);
}

static void leave(void *key)
{
	(void)key; /* the array has it too */
}

void ledger_done(struct ledger *ledger)
{
	tdestroy(ledger->by_id, leave);
	for (size_t i = 0; i < ledger->count; i++)
		key_free(ledger->keys[i]);
	free(ledger->keys);
	free(ledger->others);
	if (ledger->elsewhere)
		ledger_done(ledger->elsewhere);
	free(ledger->elsewhere);
	*ledger = (struct ledger){ 0 };
}

struct ledger_key *ledger_find(const struct ledger *ledger, const char *id)
{
	struct ledger_key wanted = { .id = (char *)(uintptr_t)id };
	struct ledger_key *const *found = tfind(&wanted, &ledger->by_id, compare);

	return found ? *found : NULL;
}

static bool keep(struct ledger *ledger, struct ledger_key *key)
{
	struct ledger_key **keys =
		reallocarray(ledger->keys, ledger->count + 1, sizeof(struct ledger_key *));

	if (!keys)
		return false;
	ledger->keys = keys;
	if (!tsearch(key, &ledger->by_id, compare))
		return false;
	keys[ledger->count++] = key;
	return true;
}

static struct ledger_key *take(struct ledger *ledger, const char *id)
{
	struct ledger_key *key = ledger_find(ledger, id);

	if (key)
		return key;
	key = calloc(1, sizeof(*key));
	if (!key)
		return NULL;
	key->id = strdup(id);
	if (key->id && keep(ledger, key))
		return key;
	key_free(key);
	return NULL;
}

/* -- Entries -------------------------------------------------------------------------------------------------------- */

struct reading {
	struct ledger *ledger;
	const struct token_facts *token;
};

static bool set_text(char **target, const char *value)
{
	char *copy;

	if (!value)
		return true;
	copy = strdup(value);
	if (!copy)
		return false;
	free(*target);
	*target = copy;
	return true;
}

static void set_digest(char target[SHA256_HEX_SIZE], const char *value)
{
	if (value && strlen(value) == SHA256_HEX_SIZE - 1)
		memcpy(target, value, SHA256_HEX_SIZE);
}

static void set_certificate(struct ledger_key *key, const char *base64)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };

	if (base64 && base64_decode(base64, strlen(base64), &der))
		sha256_hex(key->certificate_sha256, der.data, der.size);
}

/* What is there is about to be destroyed, and another key made under its ID. */
static bool is_sweep(const cJSON *body)
{
	const char *step = json_text(body, "step");

	return step && (strcmp(step, "key-sweep") == 0 || strcmp(step, "secondary-key-sweep") == 0);
}

/* A key is made again under its ID when what was there was not whole, or was for other terms. */
static bool take_intent(struct ledger_key *key, const struct journal_entry *entry,
			const cJSON *body)
{
	bool is_device = entry->registration_id && *entry->registration_id;

	if (is_sweep(body)) {
		key->state = LEDGER_ANNOUNCED;
		return true;
	}
	if (!json_text(body, "label") && !json_text(body, "keyType"))
		return true;
	key->state = LEDGER_ANNOUNCED;
	key->certificate_sha256[0] = '\0';
	key->is_of_device = is_device;
	key->is_over = false;
	key->is_pair = json_text(body, "keyType") != NULL;
	return set_text(&key->label, json_text(body, "label")) &&
	       set_text(&key->name, is_device ? entry->registration_id : json_text(body, "label"));
}

/* That of a device's key is among the terms by which it was certified. */
static bool set_label(struct ledger_key *key, const cJSON *body)
{
	const char *label = json_text(json_get(body, CERTIFICATE_TERMS), "keyLabel");

	if (!label)
		return true;
	free(key->label);
	key->label = text_format("%s%s", label, key->primary ? ATTEST_SECONDARY_LABEL : "");
	return key->label != NULL;
}

static bool take_outcome(struct ledger_key *key, const cJSON *body)
{
	if (json_get(body, "wasThere")) {
		key->state = LEDGER_GONE;
		return true;
	}
	if (!json_text(body, "attributes"))
		return true;
	key->state = LEDGER_MADE;
	set_digest(key->public_sha256, json_text(body, "publicSha256"));
	set_certificate(key, json_text(body, "certificate"));
	return set_label(key, body) && set_text(&key->check_value, json_text(body, "checkValue")) &&
	       set_text(&key->attributes, json_text(body, "attributes"));
}

/* Lives end seldom. */
static bool may_end_a_life(const struct journal_entry *entry)
{
	return strcmp(entry->stage, RETIRE_STAGE) == 0 || strcmp(entry->stage, OUTBOX_STAGE) == 0;
}

static void end_life(const struct ledger *ledger, const char *registration_id)
{
	for (size_t i = 0; i < ledger->count; i++) {
		struct ledger_key *key = ledger->keys[i];

		if (key->is_of_device && strcmp(key->name, registration_id) == 0)
			key->is_over = true;
	}
}

/* NULL: of a token that has nothing to do with this one. Only the entry that announces a key has the token's label in any journal. */
static struct ledger *ledger_of(const struct reading *reading, const char *id, const cJSON *body)
{
	const char *label = json_text(body, "token");
	struct ledger *elsewhere = reading->ledger->elsewhere;

	if (strcmp(json_text(body, "tokenSerial"), reading->token->serial) == 0)
		return reading->ledger;
	if (label ? strcmp(label, reading->token->label) == 0 : ledger_find(elsewhere, id) != NULL)
		return elsewhere;
	return NULL;
}

static bool set_place(const struct reading *reading, struct ledger_key *key,
		      const struct journal_entry *entry, const cJSON *body)
{
	if (token_is_of_entry(reading->token, body) && !key->is_elsewhere) {
		if (reading->ledger->first == 0)
			reading->ledger->first = entry->seq;
		return true;
	}
	key->is_elsewhere = true;
	key->last = entry->seq;
	return set_text(&key->token, json_text(body, "token")) &&
	       set_text(&key->serial, json_text(body, "tokenSerial"));
}

static bool take_entry(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct reading *reading = context;
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	struct ledger *ledger;
	struct ledger_key *key;
	const char *id;

	if (!may_end_a_life(entry) &&
	    (!strstr(entry->body, "\"keyId\"") || !strstr(entry->body, "\"tokenSerial\"")))
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return muster_error_prefix(err, "reading entry %lld of the journal",
					   (long long)entry->seq);
	if (life_ends(entry, body)) {
		end_life(reading->ledger, entry->registration_id);
		end_life(reading->ledger->elsewhere, entry->registration_id);
	}
	id = json_text(body, "keyId");
	if (!id || !json_text(body, "tokenSerial"))
		return true;
	ledger = ledger_of(reading, id, body);
	if (!ledger)
		return true;
	key = take(ledger, id);
	if (!key || !set_place(reading, key, entry, body) ||
	    !set_text(&key->primary, json_text(body, "secondaryOf")) ||
	    !(entry->kind == JOURNAL_INTENT ? take_intent(key, entry, body)
					    : take_outcome(key, body)))
		return muster_fail_memory(err);
	return true;
}

/* -- Devices -------------------------------------------------------------------------------------------------------- */

struct rows {
	struct ledger *ledger;
	char last[129];
};

static bool take_row(void *context, const struct journal_device *device, struct muster_error *err)
{
	struct rows *rows = context;
	struct ledger_key *key = device->key_id ? ledger_find(rows->ledger, device->key_id) : NULL;

	(void)err;
	if (key)
		key->is_released = device->state == JOURNAL_RELEASED;
	snprintf(rows->last, sizeof(rows->last), "%s", device->registration_id);
	return true;
}

static bool read_rows(struct journal *journal, struct ledger *ledger, struct muster_error *err)
{
	struct rows rows = { .ledger = ledger };
	size_t count;

	do {
		char after[sizeof(rows.last)];

		memcpy(after, rows.last, sizeof(after));
		if (!journal_devices(journal, after, take_row, &rows, &count, err))
			return false;
	} while (count > 0);
	return true;
}

/* A device's row names its primary key. */
static void follow_primaries(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->count; i++) {
		struct ledger_key *key = ledger->keys[i];
		const struct ledger_key *primary =
			key->primary ? ledger_find(ledger, key->primary) : NULL;

		if (primary)
			key->is_released = primary->is_released;
	}
}

/* -- Other tokens --------------------------------------------------------------------------------------------------- */

/* Keys of a token of the same serial go to those of the same label. */
static bool part_those_elsewhere(struct ledger *ledger)
{
	size_t kept = 0, all = ledger->count;
	bool good = true;

	for (size_t i = 0; i < all; i++) {
		struct ledger_key *key = ledger->keys[i];

		if (!key->is_elsewhere) {
			ledger->keys[kept++] = key;
			continue;
		}
		tdelete(key, &ledger->by_id, compare);
		if (good && !ledger_find(ledger->elsewhere, key->id))
			good = keep(ledger->elsewhere, key);
		else
			key_free(key);
	}
	ledger->count = kept;
	return good;
}

static struct ledger_other *other_of(struct ledger *ledger, const struct ledger_key *key)
{
	struct ledger_other *others;

	for (size_t i = 0; i < ledger->other_count; i++)
		if (strcmp(ledger->others[i].label, key->token) == 0 &&
		    strcmp(ledger->others[i].serial, key->serial) == 0)
			return &ledger->others[i];
	others = reallocarray(ledger->others, ledger->other_count + 1, sizeof(*others));
	if (!others)
		return NULL;
	ledger->others = others;
	others[ledger->other_count] =
		(struct ledger_other){ .label = key->token, .serial = key->serial };
	return &others[ledger->other_count++];
}

static bool count_others(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->elsewhere->count; i++) {
		const struct ledger_key *key = ledger->elsewhere->keys[i];
		struct ledger_other *other;

		if (key->state != LEDGER_MADE || key->is_over || !key->token)
			continue;
		other = other_of(ledger, key);
		if (!other)
			return false;
		other->keys++;
		if (key->last > other->last)
			other->last = key->last;
	}
	return true;
}

bool ledger_read(struct journal *journal, const struct token_facts *token,
		 struct ledger *ret_ledger, struct muster_error *err)
{
	struct reading reading = { .ledger = ret_ledger, .token = token };

	ret_ledger->elsewhere = calloc(1, sizeof(*ret_ledger->elsewhere));
	if (!ret_ledger->elsewhere)
		return muster_fail_memory(err);
	if (!journal_entries_all(journal, NULL, take_entry, &reading, err))
		return false;
	if (!part_those_elsewhere(ret_ledger) || !count_others(ret_ledger))
		return muster_fail_memory(err);
	if (!read_rows(journal, ret_ledger, err))
		return false;
	follow_primaries(ret_ledger);
	return true;
}
