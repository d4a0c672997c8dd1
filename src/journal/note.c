/* Every change of a device row is an entry of the chain too: a note of stage "device" whose body has the members that
 * changed, null for what is no longer known. So rows can be held against the chain, and made from it. */
#include <string.h>

#include "muster/json.h"
#include "muster/text.h"

#include "journal-internal.h"

/* What SQLite gives as a row, each character as \u00XX, and names. */
#define ROW_MAX (8 * 1024 * 1024)

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static void add_name(struct text *out, const struct device_field *field)
{
	text_add_char(out, out->length > 0 ? ',' : '{');
	text_add_json(out, field->name);
	text_add_char(out, ':');
}

static void add_text(struct text *out, const struct device_field *field, const char *value)
{
	add_name(out, field);
	if (value)
		text_add_json(out, value);
	else
		text_add(out, "null");
}

static void add_change(struct text *out, const struct device_field *field,
		       const struct journal_device *before, const struct journal_device *after)
{
	switch (field->kind) {
	case DEVICE_TEXT:
		if (!same_text(before ? *device_text(before, field) : NULL,
			       *device_text(after, field)))
			add_text(out, field, *device_text(after, field));
		return;
	case DEVICE_STATE:
		if (!before || before->state != after->state)
			add_text(out, field, journal_state_name(after->state));
		return;
	case DEVICE_NUMBER:
		break;
	}
	if (before &&
	    (field->is_set_once || *device_number(before, field) == *device_number(after, field)))
		return;
	add_name(out, field);
	text_add_decimal(out, *device_number(after, field));
}

/* An object of the members that changed, as one line. */
static void print_changes(struct text *out, const struct journal_device *before,
			  const struct journal_device *after)
{
	for (size_t i = 0; i < DEVICE_FIELD_COUNT; i++)
		if (!device_fields[i].is_in_entry)
			add_change(out, &device_fields[i], before, after);
	text_add(out, out->length > 0 ? "}" : "{}");
}

/* *ret_members is NULL for a row that no notes can add up to. */
static bool all_members(const struct journal_device *device, cJSON **ret_members,
			struct muster_error *err)
{
	CLEANUP(text_done) struct text text = TEXT_MAX(ROW_MAX);

	print_changes(&text, NULL, device);
	return text_ok(&text, err) && (json_parse_large(text.data, text.length, ROW_MAX,
							"a device's row", ret_members, err) ||
				       err->cause == CAUSE_JSON_INVALID);
}

/* -- Verifying -------------------------------------------------------------------------------------------- */

/* What the notes of a device add up to. */
struct folded {
	cJSON *members;
	bool fits; /* the last note has the row's own time, attempt, operator and station */
	const struct journal_device *row;
	int64_t last_seq;
};

static bool apply(cJSON *members, cJSON *changes)
{
	while (changes->child) {
		cJSON *item = cJSON_DetachItemViaPointer(changes, changes->child);
		CLEANUP(freep) char *name = strdup(item->string);

		if (!name) {
			cJSON_Delete(item);
			return false;
		}
		cJSON_DeleteItemFromObjectCaseSensitive(members, name);
		if (cJSON_IsNull(item))
			cJSON_Delete(item);
		else if (!json_add_item(members, name, item))
			return false;
	}
	return true;
}

static bool take_note(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct folded *folded = context;
	CLEANUP(cJSON_freep) cJSON *changes = NULL;

	if (!json_parse(entry->body, strlen(entry->body), "a device's note", &changes, err))
		return false;
	folded->last_seq = entry->seq;
	folded->fits = entry->seq == folded->row->entry &&
		       entry->at_ms == folded->row->updated_ms &&
		       entry->attempt == folded->row->attempt &&
		       strcmp(or_empty(entry->operator), or_empty(folded->row->operator)) == 0 &&
		       strcmp(or_empty(entry->station), or_empty(folded->row->station)) == 0;
	return apply(folded->members, changes) || muster_fail_memory(err);
}

bool journal_device_verify(struct journal *journal, const struct journal_device *device,
			   struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *members = cJSON_CreateObject();
	CLEANUP(cJSON_freep) cJSON *expected = NULL;
	struct folded folded = { .members = members, .row = device };
	size_t count = 0;

	if (!members)
		return muster_fail_memory(err);
	if (!all_members(device, &expected, err))
		return false;
	do {
		if (!journal_device_notes(journal, device->registration_id, folded.last_seq,
					  take_note, &folded, &count, err))
			return muster_error_prefix(err, "verifying device '%s'",
						   PRINTABLE(device->registration_id));
	} while (count > 0);
	if (folded.fits && json_equal(members, expected))
		return true;
	snprintf(journal->damaged, sizeof(journal->damaged), "%s", device->registration_id);
	return journal_fail_damaged(journal, err);
}

struct verification {
	struct journal *journal;
	size_t count;
	char last[129];
};

static bool verify_device(void *context, const struct journal_device *device,
			  struct muster_error *err)
{
	struct verification *verification = context;

	if (!journal_device_verify(verification->journal, device, err))
		return false;
	verification->count++;
	snprintf(verification->last, sizeof(verification->last), "%s", device->registration_id);
	return true;
}

/* Row and notes are read in one transaction per page: a writer cannot come between them. */
bool journal_verify_devices(struct journal *journal, size_t *ret_count, struct muster_error *err)
{
	struct verification verification = { .journal = journal };
	size_t count = 0;

	do {
		char after[sizeof(verification.last)];

		memcpy(after, verification.last, sizeof(after));
		if (!journal_devices(journal, after, verify_device, &verification, &count, err))
			return false;
	} while (count > 0);
	*ret_count = verification.count;
	return true;
}

/* -- Writing ---------------------------------------------------------------------------------------------- */

/* A row that somebody else may have changed since it was written, before it is written over. */
static bool check_before(struct journal *journal, const struct journal_device *before,
			 struct muster_error *err)
{
	return !before || before->entry > journal->opened_seq ||
	       journal_device_verify(journal, before, err);
}

bool journal_note_changes(struct journal *journal, const struct journal_device *before,
			  const struct journal_device *after, struct muster_error *err)
{
	CLEANUP(text_done) struct text body = TEXT_MAX(ROW_MAX);
	struct journal_entry entry = {
		.registration_id = after->registration_id,
		.at_ms = after->updated_ms,
		.stage = JOURNAL_DEVICE_STAGE,
		.kind = JOURNAL_NOTE,
		.attempt = after->attempt,
		.operator= after->operator,
		.station = after->station,
	};

	print_changes(&body, before, after);
	if (!text_ok(&body, err))
		return false;
	entry.body = body.data;
	return check_before(journal, before, err) && journal_entry_append(journal, &entry, err);
}
