#include "hook-owed.h"

#include <string.h>
#include <unistd.h>

#include "hook-spool.h"
#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"

/* Of the journal's entries. Notes up to that of the mark are in the spool. */
#define STAGE "hooks"
#define MARK "%s/.%s.told"

enum { MARK_FILE_MAX = 64, MARK_EVERY = 500 };

/* -- Promises in the spool ----------------------------------------------------------------------------------------- */

const char *hook_owed_journal(const char *journal_path)
{
	const char *slash = strrchr(journal_path, '/');

	return slash ? slash + 1 : journal_path;
}

/* The last entry of the transaction so far: when that one is in the chain, all of them are. */
static bool add_condition(const struct hook_owed *owed, cJSON *event, struct muster_error *err)
{
	cJSON *promise = cJSON_AddObjectToObject(event, "promise");
	char digest[2 * JOURNAL_DIGEST_SIZE + 1];
	struct journal_head head;

	if (!promise)
		return muster_fail_memory(err);
	if (!journal_head(owed->journal, &head, err))
		return false;
	return (json_add_text(promise, "journal", hook_owed_journal(owed->journal_path)) &&
		json_add_int64(promise, "entry", head.seq) &&
		json_add_text(promise, "digest",
			      hex_encode(digest, head.digest, sizeof(head.digest)))) ||
	       muster_fail_memory(err);
}

struct look {
	int64_t seq;
	const char *digest;
	bool is_there;
};

static bool look_at_entry(void *context, const struct journal_entry *entry,
			  struct muster_error *err)
{
	struct look *look = context;
	char digest[2 * JOURNAL_DIGEST_SIZE + 1];

	(void)err;
	if (entry->seq == look->seq)
		look->is_there = strcmp(look->digest, hex_encode(digest, entry->digest,
								 sizeof(entry->digest))) == 0;
	return true;
}

/* Journals that lie beside each other share the folder. */
static bool is_of(const cJSON *event, const char *journal_path)
{
	const char *name = json_text(json_get(event, "promise"), "journal");

	return name && strcmp(name, hook_owed_journal(journal_path)) == 0;
}

static bool came_true(struct journal *journal, const cJSON *event, bool *ret_is,
		      struct muster_error *err)
{
	const cJSON *promise = json_get(event, "promise");
	struct look look = { .digest = json_text(promise, "digest") };
	size_t count;

	*ret_is = false;
	if (!look.digest || !json_int64(promise, "entry", &look.seq) || look.seq < 1)
		return true;
	if (!journal_entries(journal, NULL, look.seq - 1, look_at_entry, &look, &count, err))
		return false;
	*ret_is = look.is_there;
	return true;
}

/* Of a device whose run was cut off before its file was there. */
static bool drop_missing_evidence(cJSON *event)
{
	cJSON *data = json_get(event, "data");
	const char *path = json_text(data, "evidence");

	if (!path || access(path, F_OK) == 0)
		return false;
	cJSON_DeleteItemFromObjectCaseSensitive(data, "evidence");
	return true;
}

/* Another who does the same may have been quicker. */
static bool keep_late(const char *directory, const char *name, cJSON *event,
		      struct muster_error *err)
{
	int64_t number = 0;

	if (drop_missing_evidence(event)) {
		if (!hook_spool_write(directory, event, err))
			return false;
		hook_spool_break(directory, event);
		return true;
	}
	return !json_int64(event, "number", &number) ||
	       hook_spool_keep(directory, event, number, err) || !hook_spool_has(directory, name);
}

/* Where the journal lies, and what is read of it. */
struct place {
	const char *directory, *journal_path;
	struct journal *journal;
};

static bool resolve(const struct place *place, const char *name, bool is_writer,
		    struct muster_error *err)
{
	const char *directory = place->directory;
	CLEANUP(cJSON_freep) cJSON *event = NULL;
	struct muster_error failure;
	bool is_true;

	if (!hook_spool_read(directory, name, &event, &failure)) {
		if (hook_spool_has(directory, name))
			log_warning("%s, going on", failure.message);
		return true;
	}
	if (!is_of(event, place->journal_path))
		return true;
	if (!came_true(place->journal, event, &is_true, err))
		return false;
	if (is_true)
		return keep_late(directory, name, event, err);
	if (is_writer)
		hook_spool_remove(directory, name);
	return true;
}

static bool resolve_all(const struct place *place, const cJSON *names, bool is_writer,
			struct muster_error *err)
{
	const cJSON *name;

	cJSON_ArrayForEach(name, names)
	{
		if (!resolve(place, name->valuestring, is_writer, err))
			return false;
	}
	return true;
}

/* -- Notes in the journal ------------------------------------------------------------------------------------------ */

/* One behind the journal's end is another journal's. */
static bool read_mark(const struct place *place, int64_t *ret_seq, struct muster_error *err)
{
	CLEANUP(freep)
	char *path = text_format(MARK, place->directory, hook_owed_journal(place->journal_path));
	CLEANUP(bytes_done) struct bytes file = { 0 };
	struct muster_error unread;
	struct journal_head head;

	*ret_seq = 0;
	if (!path)
		return muster_fail_memory(err);
	if (!journal_head(place->journal, &head, err))
		return false;
	if (file_read(path, MARK_FILE_MAX, &file, &unread))
		*ret_seq = hook_spool_number((const char *)file.data);
	if (*ret_seq > head.seq)
		*ret_seq = 0;
	return true;
}

static bool write_mark(const struct place *place, int64_t seq, struct muster_error *err)
{
	CLEANUP(freep)
	char *path = text_format(MARK, place->directory, hook_owed_journal(place->journal_path));
	char text[32];
	int size = snprintf(text, sizeof(text), "%lld\n", (long long)seq);

	return path ? file_write(path, text, (size_t)size, 0600, true, err)
		    : muster_fail_memory(err);
}

struct notes {
	cJSON *events;
	int64_t mark, seq; /* what was read: behind, up to */
};

static bool take_note(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct notes *notes = context;
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	cJSON *event;

	notes->seq = entry->seq;
	if (strcmp(entry->stage, STAGE) != 0)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	event = cJSON_DetachItemFromObjectCaseSensitive(body, "owed");
	return !event || cJSON_AddItemToArray(notes->events, event) || muster_fail_memory(err);
}

/* Of the journal's own entries behind the mark. */
static bool read_notes(const struct place *place, struct notes *notes, struct muster_error *err)
{
	size_t count;

	if (!read_mark(place, &notes->mark, err))
		return false;
	notes->seq = notes->mark;
	do {
		if (!journal_entries(place->journal, "", notes->seq, take_note, notes, &count, err))
			return false;
	} while (count > 0);
	return true;
}

static bool append_note(struct hook_owed *owed, const cJSON *event, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	CLEANUP(freep) char *line = NULL;
	struct journal_entry entry = {
		.at_ms = clock_wall_ms(),
		.stage = STAGE,
		.kind = JOURNAL_NOTE,
		.operator= owed->operator_name,
		.station = owed->station,
	};

	if (!body || !json_add_item(body, "owed", cJSON_Duplicate(event, true)))
		return muster_fail_memory(err);
	entry.body = line = json_print_line(body);
	if (!line)
		return muster_fail_memory(err);
	if (!journal_append(owed->journal, &entry, err))
		return false;
	owed->noted_seq = entry.seq;
	return true;
}

/* Rides in the transaction, where there is one. */
static bool note(struct hook_owed *owed, const cJSON *event, struct muster_error *err)
{
	if (journal_is_in_transaction(owed->journal))
		return append_note(owed, event, err);
	return journal_begin(owed->journal, err) && append_note(owed, event, err) &&
	       journal_commit(owed->journal, err);
}

static bool queue(struct hook_owed *owed, const cJSON *event, struct muster_error *err)
{
	cJSON *copy = cJSON_Duplicate(event, true);

	return (copy && cJSON_AddItemToArray(owed->noted, copy)) || muster_fail_memory(err);
}

static struct place place_of(const struct hook_owed *owed)
{
	return (struct place){ owed->directory, owed->journal_path, owed->journal };
}

/* In their order. What was noted and not committed yet could still be untrue. */
static bool flush(struct hook_owed *owed, struct muster_error *err)
{
	const struct place place = place_of(owed);

	if (cJSON_GetArraySize(owed->noted) == 0)
		return true;
	if (owed->journal && journal_is_in_transaction(owed->journal))
		return muster_fail(err, CAUSE_OUTPUT_WRITE, "events before it wait");
	while (owed->noted->child) {
		if (!hook_spool_write(owed->directory, owed->noted->child, err))
			return false;
		cJSON_DeleteItemFromArray(owed->noted, 0);
	}
	return owed->promised > 0 || write_mark(&place, owed->noted_seq, err);
}

/* -- For those who write ------------------------------------------------------------------------------------------- */

static const char *subject_of(const cJSON *event)
{
	static const char *const members[] = { "device", "serial", "socket", "batch" };
	const cJSON *data = json_get(event, "data");

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (json_text(data, members[i]))
			return json_text(data, members[i]);
	return "the run";
}

static void warn(const cJSON *event, const struct muster_error *failure)
{
	log_warning("hook '%s' is not told yet of %s of '%s', which is noted in the journal: %s, "
		    "going on",
		    PRINTABLE(json_text(event, "hook")), json_text(event, "event"),
		    PRINTABLE(subject_of(event)), failure->message);
}

static bool spool(struct hook_owed *owed, cJSON *event, bool is_promise, struct muster_error *err)
{
	if (!flush(owed, err))
		return false;
	if (owed->promised > 0)
		return muster_fail(err, CAUSE_OUTPUT_WRITE, "events before it wait");
	if (!is_promise)
		return hook_spool_write(owed->directory, event, err);
	return add_condition(owed, event, err) && hook_spool_promise(owed->directory, event, err);
}

bool hook_owed_write(struct hook_owed *owed, cJSON *event, bool is_promise,
		     struct muster_error *err)
{
	struct muster_error failure;

	if (spool(owed, event, is_promise, &failure))
		return true;
	cJSON_DeleteItemFromObjectCaseSensitive(event, "promise");
	if (!owed->journal) {
		*err = failure;
		return false;
	}
	if (!note(owed, event, err))
		return false;
	warn(event, &failure);
	if (!is_promise)
		return queue(owed, event, err);
	owed->promised++;
	return json_add_bool(event, "isNoted", true) || muster_fail_memory(err);
}

static bool is_noted(const cJSON *event)
{
	return json_bool(event, "isNoted", false);
}

bool hook_owed_keep(struct hook_owed *owed, cJSON *event, int64_t number, struct muster_error *err)
{
	struct muster_error failure;

	if (!is_noted(event))
		return hook_spool_keep(owed->directory, event, number, &failure) ||
		       hook_owed_write(owed, event, false, err);
	owed->promised--;
	cJSON_DeleteItemFromObjectCaseSensitive(event, "isNoted");
	if (!queue(owed, event, err))
		return false;
	if (!flush(owed, &failure))
		log_debug("hooks: %s", failure.message);
	return true;
}

void hook_owed_break(struct hook_owed *owed, const cJSON *event)
{
	if (is_noted(event))
		owed->promised--;
	else
		hook_spool_break(owed->directory, event);
}

bool hook_owed_open(struct hook_owed *owed, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *names = NULL;
	const struct place place = place_of(owed);
	struct notes notes = { .events = cJSON_CreateArray() };

	owed->noted = notes.events;
	if (!notes.events)
		return muster_fail_memory(err);
	if (!read_notes(&place, &notes, err))
		return false;
	owed->noted_seq = notes.seq;
	if (!hook_spool_promised(owed->directory, &names, err) ||
	    !resolve_all(&place, names, true, err) || !flush(owed, err))
		return false;
	return notes.seq - notes.mark < MARK_EVERY || write_mark(&place, notes.seq, err);
}

void hook_owed_done(struct hook_owed *owed)
{
	cJSON_Delete(owed->noted);
	owed->noted = NULL;
}

/* -- For others ---------------------------------------------------------------------------------------------------- */

/* Without one there is nothing that could have come true. */
static bool open_journal(struct place *place, struct muster_error *err)
{
	return access(place->journal_path, F_OK) < 0 ||
	       journal_open(place->journal_path, JOURNAL_READ, &place->journal, err);
}

static void place_done(struct place *place)
{
	journal_close(place->journal);
}

/* Those of nobody who is at work. Listed before it is asked who is: what one wrote who comes later is not among them. */
static bool list_abandoned(const struct place *place, cJSON **ret_names, struct muster_error *err)
{
	if (!hook_spool_promised(place->directory, ret_names, err))
		return false;
	if (hook_spool_is_owned(place->directory, hook_owed_journal(place->journal_path)))
		while ((*ret_names)->child)
			cJSON_DeleteItemFromArray(*ret_names, 0);
	return true;
}

static bool write_all(const struct place *place, const struct notes *notes,
		      struct muster_error *err)
{
	const cJSON *event;

	cJSON_ArrayForEach(event, notes->events)
	{
		if (!hook_spool_write(place->directory, event, err))
			return false;
	}
	return !notes->events->child || write_mark(place, notes->seq, err);
}

bool hook_owed_recover(const char *directory, const char *journal_path, struct muster_error *err)
{
	CLEANUP(place_done)
	struct place place = { .directory = directory, .journal_path = journal_path };
	CLEANUP(cJSON_freep) cJSON *names = NULL;
	CLEANUP(cJSON_freep) cJSON *events = cJSON_CreateArray();
	struct notes notes = { .events = events };

	if (!events)
		return muster_fail_memory(err);
	if (hook_spool_is_owned(directory, hook_owed_journal(journal_path)))
		return true;
	if (!list_abandoned(&place, &names, err) || !open_journal(&place, err))
		return false;
	return !place.journal ||
	       (resolve_all(&place, names, false, err) && read_notes(&place, &notes, err) &&
		write_all(&place, &notes, err));
}

static bool add_promised(const struct place *place, const char *name, cJSON *events,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *event = NULL;
	bool is_true;

	if (!hook_spool_read(place->directory, name, &event, err))
		return !hook_spool_has(place->directory, name);
	if (!is_of(event, place->journal_path))
		return true;
	if (!came_true(place->journal, event, &is_true, err))
		return false;
	cJSON_DeleteItemFromObjectCaseSensitive(event, "promise");
	return !is_true || cJSON_AddItemToArray(events, TAKE_PTR(event)) || muster_fail_memory(err);
}

static bool list(const struct place *place, const cJSON *names, cJSON *events,
		 struct muster_error *err)
{
	struct notes notes = { .events = events };
	const cJSON *name;

	if (!read_notes(place, &notes, err))
		return false;
	cJSON_ArrayForEach(name, names)
	{
		if (!add_promised(place, name->valuestring, events, err))
			return false;
	}
	return true;
}

bool hook_owed_list(const char *directory, const char *journal_path, cJSON **ret_events,
		    struct muster_error *err)
{
	CLEANUP(place_done)
	struct place place = { .directory = directory, .journal_path = journal_path };
	CLEANUP(cJSON_freep) cJSON *names = NULL;
	CLEANUP(cJSON_freep) cJSON *events = cJSON_CreateArray();

	if (!events)
		return muster_fail_memory(err);
	if (access(directory, F_OK) == 0 &&
	    (!list_abandoned(&place, &names, err) || !open_journal(&place, err)))
		return false;
	if (place.journal && !list(&place, names, events, err))
		return false;
	*ret_events = TAKE_PTR(events);
	return true;
}
