/* The audit: chain, rows, checkpoints and what others kept of them, in one walk. */
#include <errno.h>
#include <string.h>

#include "muster/json.h"
#include "muster/log.h"

#include "checkpoint.h"
#include "counter-trail.h"
#include "signature.h"

struct audit {
	const struct station_audit_request *request;
	/* By entry; the walk is past those before `walked`, and those before `open` need nothing more. */
	struct anchor_list anchors;
	size_t walked, open;
	char (*wanted_keys)[SHA256_HEX_SIZE]; /* as many as the request has; none: any */
	struct counter_trail trail;
	bool has_counter;
	char index[COUNTER_INDEX_SIZE]; /* "" for the last that is named */
	int64_t counter;                /* what it stands at */
	char named_index[COUNTER_INDEX_SIZE];
	int64_t named, named_in; /* the last value that an entry announces, and which entry */
	int64_t signed_value, signed_in; /* the same of the last that a checkpoint covers */
	struct journal_head previous;    /* the entry before the one that is looked at */
	bool is_at_start;
	struct station_audit result;
};

static void audit_done(struct audit *audit)
{
	anchor_list_done(&audit->anchors);
	counter_trail_done(&audit->trail);
	free(audit->wanted_keys);
}

/* -- What is expected --------------------------------------------------------------------------------------- */

static bool read_anchors(struct audit *audit, struct muster_error *err)
{
	const struct station_audit_request *request = audit->request;

	for (size_t i = 0; i < request->anchor_count; i++)
		if (!anchor_list_read(&audit->anchors, request->anchor_paths[i], err))
			return false;
	for (size_t i = 0; i < request->spoken_count; i++) {
		CLEANUP(anchor_done) struct anchor anchor = { 0 };

		if (!anchor_read_words(request->spoken[i], &anchor, err) ||
		    !anchor_list_add(&audit->anchors, &anchor, err))
			return false;
	}
	anchor_list_sort(&audit->anchors);
	return true;
}

static bool read_public_keys(struct audit *audit, struct muster_error *err)
{
	const struct station_audit_request *request = audit->request;

	audit->wanted_keys = calloc(request->public_key_count + 1, sizeof(*audit->wanted_keys));
	if (!audit->wanted_keys)
		return muster_fail_memory(err);
	for (size_t i = 0; i < request->public_key_count; i++) {
		CLEANUP(bytes_done) struct bytes spki = { 0 };

		if (!signature_key_read(request->public_key_paths[i], &spki, err))
			return false;
		sha256_hex(audit->wanted_keys[i], spki.data, spki.size);
	}
	return true;
}

static bool is_wanted(const struct audit *audit, const char *key)
{
	for (size_t i = 0; i < audit->request->public_key_count; i++)
		if (strcmp(key, audit->wanted_keys[i]) == 0)
			return true;
	return audit->request->public_key_count == 0;
}

static bool read_counter(struct audit *audit, struct muster_error *err)
{
	const char *text = audit->request->counter;
	struct tpm_place place;

	audit->has_counter = text;
	if (!text)
		return true;
	if (audit->request->public_key_count == 0)
		return muster_fail(
			err, CAUSE_USAGE,
			"a counter shows which journal is the latest, not whose it is: give the public key too");
	if (text_to_int64(text, 1, INT64_MAX, &audit->counter))
		return true;
	if (!tpm_place_parse(text, "index", &place, err))
		return false;
	counter_index(&place, audit->index);
	return counter_read(&place, &audit->counter, err);
}

/* -- The walk ----------------------------------------------------------------------------------------------- */

static bool fail_checkpoint(const struct journal_entry *entry, const char *what,
			    struct muster_error *err)
{
	return muster_fail(err, CAUSE_CHECKPOINT_INVALID, "the checkpoint in entry %lld %s",
			   (long long)entry->seq, what);
}

static bool check_checkpoint(struct audit *audit, const struct journal_entry *entry,
			     const cJSON *object, struct muster_error *err)
{
	CLEANUP(checkpoint_done) struct checkpoint checkpoint = { 0 };
	char digest[SHA256_HEX_SIZE], key[SHA256_HEX_SIZE];

	hex_encode(digest, audit->previous.digest, JOURNAL_DIGEST_SIZE);
	if (!checkpoint_read(object, &checkpoint, err))
		return muster_error_prefix(err, "entry %lld", (long long)entry->seq);
	if (checkpoint.entry != audit->previous.seq || strcmp(checkpoint.digest, digest) != 0)
		return fail_checkpoint(entry, "is of another place", err);
	if (!checkpoint_verify(&checkpoint, err))
		return muster_error_prefix(err, "entry %lld", (long long)entry->seq);
	sha256_hex(key, checkpoint.spki.data, checkpoint.spki.size);
	if (!is_wanted(audit, key))
		return fail_checkpoint(entry, "is signed by another key", err);
	audit->result.checkpoint_count++;
	audit->result.signed_to = checkpoint.entry;
	audit->signed_value = audit->named;
	audit->signed_in = audit->named_in;
	memcpy(audit->result.key_digest, key, sizeof(key));
	return true;
}

static bool follow_counter(struct audit *audit, const struct journal_entry *entry,
			   const cJSON *body, struct muster_error *err)
{
	const struct counter_point *point;

	if (!counter_trail_take(&audit->trail, entry->seq, body, &point, err))
		return false;
	if (point && (!audit->index[0] || strcmp(point->index, audit->index) == 0)) {
		memcpy(audit->named_index, point->index, sizeof(audit->named_index));
		audit->named = point->value;
		audit->named_in = point->entry;
	}
	return true;
}

static bool check_journal_entry(struct audit *audit, const struct journal_entry *entry,
				struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	const cJSON *checkpoint;

	if (strcmp(entry->stage, "journal") != 0)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "the body", &body, err))
		return muster_error_prefix(err, "entry %lld", (long long)entry->seq);
	if (!follow_counter(audit, entry, body, err))
		return false;
	checkpoint = json_get(body, "checkpoint");
	return !checkpoint || check_checkpoint(audit, entry, checkpoint, err);
}

static bool is_done(const struct anchor *anchor)
{
	return !anchor->evidence[0] || anchor->evidence_was_seen;
}

/* Evidence names an entry before the one that records it, mostly the one. */
static bool take_release(struct audit *audit, const struct journal_entry *entry,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	char digest[SHA256_HEX_SIZE] = "";

	if (strcmp(entry->stage, "release") != 0 || entry->kind != JOURNAL_OUTCOME)
		return true;
	while (audit->open < audit->walked && is_done(&audit->anchors.items[audit->open]))
		audit->open++;
	for (size_t i = audit->open; i < audit->walked; i++) {
		struct anchor *anchor = &audit->anchors.items[i];
		const char *evidence;

		if (is_done(anchor) || strcmp(anchor->registration_id, entry->registration_id) != 0)
			continue;
		if (!body && !json_parse(entry->body, strlen(entry->body), "the body", &body, err))
			return muster_error_prefix(err, "entry %lld", (long long)entry->seq);
		evidence = json_text(body, "evidence");
		if (evidence && !digest[0])
			sha256_hex(digest, evidence, strlen(evidence));
		anchor->evidence_was_seen = evidence && strcmp(digest, anchor->evidence) == 0;
	}
	return true;
}

static bool check_anchors(struct audit *audit, int64_t seq,
			  const uint8_t digest[JOURNAL_DIGEST_SIZE], struct muster_error *err)
{
	for (; audit->walked < audit->anchors.count; audit->walked++) {
		struct anchor *anchor = &audit->anchors.items[audit->walked];

		if (anchor->entry > seq)
			break;
		if (anchor->entry < seq)
			continue;
		if (!anchor_check(anchor, digest, err))
			return false;
		anchor->entry_was_seen = true;
		if (seq > audit->result.proven_to)
			audit->result.proven_to = seq;
	}
	return true;
}

static bool look_at(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct audit *audit = context;

	if (audit->is_at_start) {
		audit->is_at_start = false;
		audit->result.after = audit->previous.seq;
		if (!check_anchors(audit, audit->previous.seq, audit->previous.digest, err))
			return false;
	}
	if (!check_journal_entry(audit, entry, err) || !take_release(audit, entry, err) ||
	    !check_anchors(audit, entry->seq, entry->digest, err))
		return false;
	audit->previous.seq = entry->seq;
	memcpy(audit->previous.digest, entry->digest, JOURNAL_DIGEST_SIZE);
	return true;
}

/* The counter is raised between the entry that announces it and the checkpoint that covers that entry; a cut leaves it at
 * either value. */
static bool check_counter(struct audit *audit, struct muster_error *err)
{
	const struct counter_point *named = counter_trail_find(&audit->trail, audit->named_index);

	if (!audit->has_counter)
		return true;
	if (named && !counter_point_check(named, err))
		return false;
	if (audit->counter == audit->signed_value) {
		if (audit->signed_in > audit->result.proven_to)
			audit->result.proven_to = audit->signed_in;
		return true;
	}
	if (audit->named_in == 0 && audit->result.after > 0)
		return muster_fail(err, CAUSE_ANCHOR_UNREADABLE,
				   "no entry of this part announces the counter");
	if (audit->counter > audit->named)
		return muster_fail(
			err, CAUSE_JOURNAL_CUT,
			"the counter stands at %lld, and the last that the journal knows is %lld: the end was cut off, or an older copy put back",
			(long long)audit->counter, (long long)audit->named);
	return audit->counter == audit->named ||
	       muster_fail(
		       err, CAUSE_ANCHOR_MISMATCH,
		       "the counter stands at %lld, and a checkpoint signs %lld: it is another counter",
		       (long long)audit->counter, (long long)audit->signed_value);
}

/* Nothing is proven by a counter that is not asked for. */
static void warn_of_jumps(const struct audit *audit)
{
	struct muster_error jump;

	for (size_t i = 0; i < audit->trail.count; i++)
		if (!counter_point_check(&audit->trail.points[i], &jump))
			log_warning("%s, going on", jump.message);
}

/* -- What is left ------------------------------------------------------------------------------------------- */

static bool check_left(struct audit *audit, struct muster_error *err)
{
	const struct station_audit *result = &audit->result;

	for (size_t i = 0; i < audit->anchors.count; i++) {
		const struct anchor *anchor = &audit->anchors.items[i];

		if (anchor->entry > result->last)
			return anchor_fail_cut(anchor, result->last, err);
		if (!anchor->entry_was_seen)
			return muster_fail(err, CAUSE_ANCHOR_UNREADABLE,
					   "'%s' names entry %lld, which is before this part",
					   PRINTABLE(anchor->name), (long long)anchor->entry);
		if (anchor->evidence[0] && !anchor->evidence_was_seen)
			return muster_fail(
				err, CAUSE_ANCHOR_MISMATCH,
				"'%s' is not the evidence that the journal recorded of '%s'",
				PRINTABLE(anchor->name), PRINTABLE(anchor->registration_id));
	}
	if (audit->request->public_key_count > 0 && result->checkpoint_count == 0)
		return muster_fail(err, CAUSE_CHECKPOINT_INVALID,
				   "the journal has no checkpoint of the key in '%s'",
				   PRINTABLE(audit->request->public_key_paths[0]));
	if (!check_counter(audit, err))
		return false;
	warn_of_jumps(audit);
	return true;
}

static bool audit_journal(struct audit *audit, struct muster_error *err)
{
	CLEANUP(journal_freep) struct journal *journal = NULL;
	struct journal_head head;

	if (!journal_open(audit->request->journal_path, JOURNAL_INSPECT, &journal, err) ||
	    !journal_verify_chain(journal, look_at, audit, &head, err))
		return false;
	audit->result.last = head.seq;
	/* A missing end is told as that, and not as rows that have no entry. */
	return check_left(audit, err) &&
	       journal_verify_structure(journal, &audit->result.structure_was_checked, err) &&
	       journal_verify_devices(journal, &audit->result.device_count, err) &&
	       journal_verify_schema(journal, err);
}

static bool audit_export(struct audit *audit, struct muster_error *err)
{
	const char *path = audit->request->export_path;
	CLEANUP(fclosep) FILE *file = NULL;
	struct journal_head head;

	if (strcmp(path, "-") != 0) {
		file = fopen(path, "re");
		if (!file)
			return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "export '%s'",
						 PRINTABLE(path));
	}
	if (!journal_text_verify(file ? file : stdin, PRINTABLE(path), look_at, audit,
				 &audit->previous, &head, err))
		return false;
	audit->result.last = head.seq;
	return check_left(audit, err);
}

bool station_audit(const struct station_audit_request *request, struct station_audit *ret_audit,
		   struct muster_error *err)
{
	CLEANUP(audit_done) struct audit audit = { .request = request, .is_at_start = true };

	if (!read_anchors(&audit, err) || !read_public_keys(&audit, err) ||
	    !read_counter(&audit, err))
		return false;
	if (request->export_path ? !audit_export(&audit, err) : !audit_journal(&audit, err)) {
		if (audit.result.signed_to > 0)
			muster_error_prefix(err, "up to entry %lld all is signed, but",
					    (long long)audit.result.signed_to);
		return false;
	}
	*ret_audit = audit.result;
	return true;
}
