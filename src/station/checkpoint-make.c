/* A new checkpoint: the entry, the anchor. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"

#include "checkpoint-key.h"
#include "checkpoint.h"
#include "counter-trail.h"
#include "signature.h"
#include "who.h"

/* -- The anchor --------------------------------------------------------------------------------------------- */

struct lookup {
	const struct anchor *anchor;
	bool was_found;
};

static bool compare(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct lookup *lookup = context;

	if (entry->seq != lookup->anchor->entry)
		return true;
	lookup->was_found = true;
	return anchor_check(lookup->anchor, entry->digest, err);
}

/* An anchor of another journal, or of a newer state of this one, is evidence: it is not replaced. */
static bool check_old_anchor(struct journal *journal, const char *path, struct muster_error *err)
{
	CLEANUP(anchor_done) struct anchor anchor = { 0 };
	struct lookup lookup = { .anchor = &anchor };
	struct journal_head head;
	size_t count;

	if (!path || (access(path, F_OK) < 0 && errno == ENOENT))
		return true;
	if (!anchor_read_file(path, &anchor, err) ||
	    !journal_entries(journal, NULL, anchor.entry - 1, compare, &lookup, &count, err) ||
	    !journal_head(journal, &head, err))
		return false;
	return lookup.was_found || anchor_fail_cut(&anchor, head.seq, err);
}

static bool write_anchor(const char *path, const struct checkpoint *checkpoint, const char *words,
			 const struct who *who, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) char *printed = NULL;
	CLEANUP(freep) char *text = NULL;
	char at[RFC3339_SIZE];

	if (!object || !json_add_text(object, "schema", ANCHOR_SCHEMA) ||
	    !json_add_text(object, "at", rfc3339_format(at, clock_wall_ms())) ||
	    !json_add_text(object, "station", who->station) ||
	    !json_add_text(object, "words", words) ||
	    !json_add_item(object, "checkpoint", checkpoint_json(checkpoint)))
		return muster_fail_memory(err);
	printed = json_print_pretty(object);
	text = printed ? text_format("%s\n", printed) : NULL;
	return text ? file_write(path, text, strlen(text), 0644, true, err)
		    : muster_fail_memory(err);
}

/* -- The key -------------------------------------------------------------------------------------------------- */

static bool take_key(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	char *digest = context;

	if (strcmp(entry->stage, "journal") != 0)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return muster_error_prefix(err, "reading entry %lld of the journal",
					   (long long)entry->seq);
	if (json_base64(json_get(body, "checkpoint"), "publicKey", &spki))
		sha256_hex(digest, spki.data, spki.size);
	return true;
}

/* Nobody means to leave the key of before by leaving an option out. */
static bool open_key(const struct station_checkpoint_request *request, struct journal *journal,
		     struct checkpoint_key *key, struct muster_error *err)
{
	CLEANUP(freep) char *fallback = file_beside(request->journal_path, "station.key");
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	char before[SHA256_HEX_SIZE] = "", now[SHA256_HEX_SIZE];
	bool is_bound;

	if (!fallback)
		return muster_fail_memory(err);
	if (!journal_entries_all(journal, "", take_key, before, err))
		return false;
	is_bound = *before && !request->is_new_key;
	if ((is_bound && !checkpoint_key_is_there(request->key ? request->key : fallback, err)) ||
	    !checkpoint_key_open(request->key, request->journal_path, key, err) ||
	    !signature_public_key(key->key, &spki, err))
		return false;
	sha256_hex(now, spki.data, spki.size);
	return !is_bound || strcmp(before, now) == 0 ||
	       muster_fail(
		       err, CAUSE_STATION_KEY_CHANGED,
		       "the last checkpoint was signed by the key with SHA-256 %s, and this one would be "
		       "signed by %s",
		       before, now);
}

/* -- The checkpoint ----------------------------------------------------------------------------------------- */

/* Takes `object`. */
static bool record(struct journal *journal, enum journal_kind kind, cJSON *object,
		   const struct who *who, struct muster_error *err)
{
	CLEANUP(freep) char *body = object ? json_print_line(object) : NULL;
	struct journal_entry entry = {
		.at_ms = clock_wall_ms(),
		.stage = "journal",
		.kind = kind,
		.operator= who->operator_name,
		.station = who->station,
		.body = body,
	};

	cJSON_Delete(object);
	if (!body)
		return muster_fail_memory(err);
	return journal_begin(journal, err) && journal_append(journal, &entry, err) &&
	       journal_commit(journal, err);
}

static bool record_checkpoint(struct journal *journal, const struct checkpoint *checkpoint,
			      const struct who *who, struct muster_error *err)
{
	cJSON *object = cJSON_CreateObject();

	if (!object || !json_add_item(object, "checkpoint", checkpoint_json(checkpoint))) {
		cJSON_Delete(object);
		return muster_fail_memory(err);
	}
	return record(journal, JOURNAL_NOTE, object, who, err);
}

static bool follow_counter(void *context, const struct journal_entry *entry,
			   struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	const struct counter_point *point;

	if (strcmp(entry->stage, "journal") != 0)
		return true;
	return json_parse(entry->body, strlen(entry->body), "the body", &body, err) &&
	       counter_trail_take(context, entry->seq, body, &point, err);
}

/* It stands at what the journal announced last, or one below where that run was cut. */
static bool check_counter(const struct counter_point *last, const char *index, bool is_there,
			  int64_t value, struct muster_error *err)
{
	if (is_there && value > last->value)
		return muster_fail(
			err, CAUSE_JOURNAL_CUT,
			"counter %s stands at %lld, and the last that the journal knows is %lld, in entry %lld; nothing was signed",
			index, (long long)value, (long long)last->value, (long long)last->entry);
	return (is_there && value >= last->value - 1) ||
	       muster_fail(
		       err, CAUSE_ANCHOR_MISMATCH,
		       "counter %s of this TPM is not the one that the journal took to %lld in entry %lld: another TPM's counter needs another index",
		       index, (long long)last->value, (long long)last->entry);
}

/* A counter that is there already may have been raised by the part of the journal that is missing. */
static bool may_begin(const char *index, bool is_there, bool is_allowed, struct muster_error *err)
{
	return !is_there || is_allowed ||
	       muster_fail(
		       err, CAUSE_JOURNAL_CUT,
		       "the TPM has counter %s already, and the journal knows nothing of it; a journal that is to begin with it needs --new-counter",
		       index);
}

static bool next_value(struct journal *journal, const struct tpm_place *place, bool is_new,
		       int64_t *ret_next, struct muster_error *err)
{
	CLEANUP(counter_trail_done) struct counter_trail trail = { 0 };
	const struct counter_point *last;
	char index[COUNTER_INDEX_SIZE];
	int64_t value = 0;
	bool is_there;

	if (!journal_entries_all(journal, "", follow_counter, &trail, err))
		return false;
	last = counter_trail_find(&trail, counter_index(place, index));
	if ((last && !counter_point_check(last, err)) ||
	    !counter_find(place, &is_there, &value, err) ||
	    !(last ? check_counter(last, index, is_there, value, err)
		   : may_begin(index, is_there, is_new, err)) ||
	    (!is_there && !counter_make(place, &value, err)))
		return false;
	*ret_next = value + 1;
	return true;
}

/* Written down before it is raised: after a cut between the two the journal is one ahead, never the counter. */
static bool raise_counter(struct journal *journal, const struct tpm_place *place, bool is_new,
			  const struct who *who, struct muster_error *err)
{
	int64_t next;

	return next_value(journal, place, is_new, &next, err) &&
	       record(journal, JOURNAL_INTENT, counter_entry(place, next), who, err) &&
	       counter_raise_to(place, next, err);
}

static bool sign_head(struct journal *journal, EVP_PKEY *key, struct checkpoint *checkpoint,
		      struct station_checkpoint *result, struct muster_error *err)
{
	struct journal_head head;

	if (!journal_head(journal, &head, err))
		return false;
	checkpoint->entry = result->entry = head.seq;
	hex_encode(checkpoint->digest, head.digest, sizeof(head.digest));
	memcpy(result->digest, checkpoint->digest, sizeof(result->digest));
	words_encode(result->words, head.digest, STATION_WORDS_SIZE / 3);
	if (!checkpoint_sign(checkpoint, key, err))
		return false;
	sha256_hex(result->key_digest, checkpoint->spki.data, checkpoint->spki.size);
	return true;
}

bool station_checkpoint_make(const struct station_checkpoint_request *request,
			     struct station_checkpoint *ret_checkpoint, struct muster_error *err)
{
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(checkpoint_key_done) struct checkpoint_key key = { 0 };
	CLEANUP(checkpoint_done) struct checkpoint checkpoint = { 0 };
	CLEANUP(who_done) struct who who = { 0 };
	struct station_checkpoint result = { 0 };
	struct tpm_place place;

	if (request->counter && !tpm_place_parse(request->counter, "index", &place, err))
		return false;
	if (access(request->journal_path, F_OK) < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "journal '%s'",
					 PRINTABLE(request->journal_path));
	if (request->anchor_path && !file_check_place(request->anchor_path, err))
		return muster_error_prefix(err, "the anchor");
	if ((!request->is_new_key && !checkpoint_key_is_there(request->key, err)) ||
	    !who_is_here(&who, request->operator_name, NULL, err) ||
	    !journal_open(request->journal_path, JOURNAL_WRITE, &journal, err) ||
	    !check_old_anchor(journal, request->anchor_path, err) ||
	    !open_key(request, journal, &key, err) ||
	    ((!request->key || request->is_new_key) &&
	     !checkpoint_key_publish(request->key, request->journal_path, key.key, err)) ||
	    (request->counter &&
	     !raise_counter(journal, &place, request->counter_is_new, &who, err)) ||
	    !sign_head(journal, key.key, &checkpoint, &result, err) ||
	    !record_checkpoint(journal, &checkpoint, &who, err))
		return false;
	if (request->anchor_path &&
	    !write_anchor(request->anchor_path, &checkpoint, result.words, &who, err))
		return muster_error_prefix(
			err,
			"the checkpoint of entry %lld, whose words are %s, is in the "
			"journal, and its anchor could not be written",
			(long long)result.entry, result.words);
	result.key_is_new = key.is_new;
	*ret_checkpoint = result;
	return true;
}
