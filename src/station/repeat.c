#include "repeat.h"

#include <string.h>

#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/json.h"

/* The entry in words. Its body is looked at for what people know a key by. */
static bool describe(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	struct text *words = context;
	const char *id, *token;
	char at[RFC3339_SIZE];

	if (words->length > 0)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	id = json_text(body, "keyId");
	token = json_text(body, "tokenSerial");
	text_addf(words, "entry %lld of %s: stage '%s'", (long long)entry->seq,
		  rfc3339_format(at, entry->at_ms), PRINTABLE(entry->stage));
	if (entry->registration_id && *entry->registration_id)
		text_addf(words, ", device '%s'", PRINTABLE(entry->registration_id));
	if (id)
		text_addf(words, ", key ID %s", PRINTABLE(id));
	if (token)
		text_addf(words, ", token serial %s", PRINTABLE(token));
	return text_ok(words, err);
}

bool repeat_find(struct journal *journal, const char *public_sha256, journal_entry_fn callback,
		 void *context, bool *ret_is_known, struct muster_error *err)
{
	int64_t seq;
	size_t count;

	if (!journal_key_find(journal, public_sha256, &seq, err))
		return false;
	*ret_is_known = seq != 0;
	return seq == 0 || journal_entries(journal, NULL, seq - 1, callback, context, &count, err);
}

bool repeat_check(struct journal *journal, const struct bytes *spki, const char *whose,
		  struct muster_error *err)
{
	CLEANUP(text_done) struct text words = TEXT_MAX(512);
	char digest[SHA256_HEX_SIZE];
	bool is_known;

	sha256_hex(digest, spki->data, spki->size);
	if (!repeat_find(journal, digest, describe, &words, &is_known, err))
		return false;
	return !is_known ||
	       muster_fail(
		       err, CAUSE_KEY_REPEATED,
		       "the key made for %s, SHA-256 of its public half %s, was made before, %s",
		       whose, digest, words.data);
}
