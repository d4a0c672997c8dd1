/* Device rows: the table of fields binds, reads and writes the statements. */
#include <string.h>

#include "muster/text.h"

#include "journal-internal.h"

/* By enum journal_key. */
static const char *const key_columns[] = {
	[JOURNAL_BY_REGISTRATION_ID] = "registration_id",
	[JOURNAL_BY_SERIAL] = "serial",
	[JOURNAL_BY_DEVICE_ID] = "device_id",
	[JOURNAL_BY_KEY_DIGEST] = "key_digest",
	[JOURNAL_BY_KEY_ID] = "key_id",
};

void journal_device_done(struct journal_device *device)
{
	free(device->storage);
	*device = (struct journal_device){ 0 };
}

/* -- Statements ------------------------------------------------------------------------------------------- */

static void add_columns(struct text *sql, const char *format)
{
	for (size_t i = 0; i < DEVICE_FIELD_COUNT; i++) {
		text_add(sql, i > 0 ? ", " : "");
		for (const char *c = format; *c; c++) {
			if (*c == '@')
				text_add(sql, device_fields[i].column);
			else
				text_add_char(sql, *c);
		}
	}
}

static bool prepare_put(struct journal *journal, struct muster_error *err)
{
	CLEANUP(text_done) struct text sql = TEXT_MAX(8192);

	text_add(&sql, "INSERT INTO device(");
	add_columns(&sql, "@");
	text_add(&sql, ") VALUES(");
	add_columns(&sql, "?");
	text_add(&sql, ") ON CONFLICT(registration_id) DO UPDATE SET ");
	for (size_t i = 0; i < DEVICE_FIELD_COUNT; i++) {
		const char *column = device_fields[i].column;

		if (strcmp(column, "registration_id") == 0 || strcmp(column, "created_ms") == 0)
			continue;
		text_addf(&sql, "%s = excluded.%s, ", column, column);
	}
	text_add(&sql, "created_ms = created_ms");
	return text_ok(&sql, err) &&
	       journal_statement_prepare(journal, STATEMENT_DEVICE_PUT, sql.data, err);
}

/* A device that keeps what it is found by: its places in those indexes are not written again. */
static bool prepare_change(struct journal *journal, struct muster_error *err)
{
	CLEANUP(text_done) struct text sql = TEXT_MAX(8192);

	text_add(&sql, "UPDATE device SET ");
	for (size_t i = 1; i < DEVICE_FIELD_COUNT; i++) {
		if (!device_fields[i].is_indexed && !device_fields[i].is_set_once)
			text_addf(&sql, "%s = ?%zu, ", device_fields[i].column, i + 1);
	}
	text_add(&sql, "created_ms = created_ms WHERE registration_id = ?1");
	return text_ok(&sql, err) &&
	       journal_statement_prepare(journal, STATEMENT_DEVICE_CHANGE, sql.data, err);
}

static bool prepare_select(struct journal *journal, enum statement which, const char *tail,
			   struct muster_error *err)
{
	CLEANUP(text_done) struct text sql = TEXT_MAX(8192);

	text_add(&sql, "SELECT ");
	add_columns(&sql, "@");
	text_addf(&sql, " FROM device WHERE %s", tail);
	return text_ok(&sql, err) && journal_statement_prepare(journal, which, sql.data, err);
}

/* In the order that the index has them: which of several is meant is seen to in looks_better(), without sorting. */
static bool prepare_find(struct journal *journal, enum journal_key key, struct muster_error *err)
{
	char tail[64];

	snprintf(tail, sizeof(tail), "%s = ?1 ORDER BY id", key_columns[key]);
	return prepare_select(journal, STATEMENT_DEVICE_BY + key - 1, tail, err);
}

/* By the chain, which has an index for it: the entry that is the last note of a device. */
static bool prepare_noted(struct journal *journal, struct muster_error *err)
{
	CLEANUP(text_done) struct text sql = TEXT_MAX(8192);

	text_add(&sql, "SELECT ");
	add_columns(&sql, "d.@");
	text_add(&sql, " FROM entry AS e CROSS JOIN device AS d "
		       "ON d.registration_id = e.registration_id AND d.entry = e.seq "
		       "WHERE e.seq > ?1 AND e.stage = '" JOURNAL_DEVICE_STAGE
		       "' ORDER BY e.seq LIMIT ?2");
	return text_ok(&sql, err) &&
	       journal_statement_prepare(journal, STATEMENT_DEVICE_NOTED, sql.data, err);
}

bool journal_device_prepare(struct journal *journal, struct muster_error *err)
{
	for (int key = JOURNAL_BY_REGISTRATION_ID; key <= JOURNAL_BY_KEY_ID; key++) {
		if (!prepare_find(journal, (enum journal_key)key, err))
			return false;
	}
	return prepare_put(journal, err) && prepare_change(journal, err) &&
	       prepare_select(journal, STATEMENT_DEVICE_CHANGED,
			      "(updated_ms, registration_id) > (?3, ?1) "
			      "ORDER BY updated_ms, registration_id LIMIT ?2",
			      err) &&
	       prepare_select(journal, STATEMENT_DEVICE_LATEST,
			      "(updated_ms, registration_id) < (?3, ?1) "
			      "ORDER BY updated_ms DESC, registration_id DESC LIMIT ?2",
			      err) &&
	       prepare_noted(journal, err) &&
	       prepare_select(journal, STATEMENT_DEVICE_ALL,
			      "registration_id > ?1 ORDER BY registration_id LIMIT ?2", err) &&
	       prepare_select(journal, STATEMENT_DEVICE_UNFINISHED,
			      JOURNAL_IS_UNFINISHED " AND registration_id > ?1 "
						    "ORDER BY registration_id LIMIT ?2",
			      err);
}

/* -- Writing ---------------------------------------------------------------------------------------------- */

static void bind_device(sqlite3_stmt *statement, const struct journal_device *device)
{
	for (size_t i = 0; i < DEVICE_FIELD_COUNT; i++) {
		int index = (int)i + 1;

		switch (device_fields[i].kind) {
		case DEVICE_TEXT:
			statement_bind_text(statement, index,
					    *device_text(device, &device_fields[i]));
			break;
		case DEVICE_NUMBER:
			sqlite3_bind_int64(statement, index,
					   *device_number(device, &device_fields[i]));
			break;
		case DEVICE_STATE:
			statement_bind_text(statement, index, journal_state_name(device->state));
			break;
		}
	}
}

static bool is_found_as_before(const struct journal_device *before,
			       const struct journal_device *device)
{
	for (size_t i = 0; i < DEVICE_FIELD_COUNT; i++) {
		const struct device_field *field = &device_fields[i];

		if (field->is_indexed &&
		    !same_text(*device_text(before, field), *device_text(device, field)))
			return false;
	}
	return true;
}

/* The row and its note. */
static bool put_row(struct journal *journal, const struct journal_device *before,
		    const struct journal_device *device, struct muster_error *err)
{
	CLEANUP(statement_resetp)
	sqlite3_stmt *statement = journal->statements[before && is_found_as_before(before, device)
							      ? STATEMENT_DEVICE_CHANGE
							      : STATEMENT_DEVICE_PUT];
	struct journal_device row = *device;
	int code;

	row.entry = journal->head.seq + 1;
	bind_device(statement, &row);
	code = sqlite3_step(statement);
	if (code == SQLITE_DONE && journal_note_changes(journal, before, &row, err))
		return true;
	if (code == SQLITE_CONSTRAINT_UNIQUE)
		return muster_fail(err, CAUSE_KEY_TAKEN,
				   "the key of '%s' is already that of another live device",
				   PRINTABLE(device->registration_id));
	/* A row without its note must not be committed either. */
	if (code != SQLITE_DONE)
		journal_fail(journal, code, err, "writing a device to");
	return journal_break(journal, err);
}

bool journal_device_put(struct journal *journal, const struct journal_device *device,
			struct muster_error *err)
{
	CLEANUP(freep) char *folded = NULL;
	CLEANUP(journal_device_done) struct journal_device before = { 0 };
	struct journal_device row = *device;
	bool is_known = false;

	if (!journal_may_write(journal, err))
		return false;
	if (!device->registration_id || device->state < JOURNAL_WORKING ||
	    device->state > JOURNAL_DEAD)
		return muster_fail(err, CAUSE_INTERNAL,
				   "a journal device without registration ID or state");
	folded = strdup(device->registration_id);
	if (!folded)
		return muster_fail_memory(err);
	text_fold(folded);
	row.registration_id = folded;
	if (row.created_ms == 0)
		row.created_ms = row.updated_ms;
	return journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, folded, &before, &is_known,
				   err) &&
	       put_row(journal, is_known ? &before : NULL, &row, err);
}

/* -- Reading ---------------------------------------------------------------------------------------------- */

/* Borrowed from the statement. */
static bool device_from_row(const struct journal *journal, sqlite3_stmt *row,
			    struct journal_device *ret_device, struct muster_error *err)
{
	struct journal_device device = { 0 };

	for (size_t i = 0; i < DEVICE_FIELD_COUNT; i++) {
		int column = (int)i;

		switch (device_fields[i].kind) {
		case DEVICE_TEXT:
			*device_text(&device, &device_fields[i]) = statement_text(row, column);
			break;
		case DEVICE_NUMBER:
			*device_number(&device, &device_fields[i]) =
				sqlite3_column_int64(row, column);
			break;
		case DEVICE_STATE:
			if (!statement_text(row, column) ||
			    !journal_state_find(statement_text(row, column), &device.state))
				return muster_fail(err, CAUSE_JOURNAL_DAMAGED,
						   "journal '%s': a device has an unknown state",
						   journal->path);
			break;
		}
	}
	if (!statement_texts_are_whole(row))
		return muster_fail(err, CAUSE_JOURNAL_DAMAGED,
				   "journal '%s': the row of device '%s' is malformed",
				   journal->path, PRINTABLE(device.registration_id));
	*ret_device = device;
	return true;
}

/* Moves the borrowed texts into one block of the device's own. */
static bool device_keep(struct journal_device *device, struct muster_error *err)
{
	size_t size = 1;
	char *end;

	for (size_t i = 0; i < DEVICE_FIELD_COUNT; i++) {
		if (device_fields[i].kind == DEVICE_TEXT && *device_text(device, &device_fields[i]))
			size += strlen(*device_text(device, &device_fields[i])) + 1;
	}
	end = malloc(size);
	if (!end)
		return muster_fail_memory(err);
	device->storage = end;
	for (size_t i = 0; i < DEVICE_FIELD_COUNT; i++) {
		const char **text = device_text(device, &device_fields[i]);
		size_t length;

		if (device_fields[i].kind != DEVICE_TEXT || !*text)
			continue;
		length = strlen(*text) + 1;
		*text = memcpy(end, *text, length);
		end += length;
	}
	return true;
}

/* Live before not, then what was changed later, then what came later. */
static bool looks_better(const struct journal_device *device, const struct journal_device *best)
{
	bool is_live = journal_state_is_live(device->state);

	if (!best->storage || is_live != journal_state_is_live(best->state))
		return !best->storage || is_live;
	return device->updated_ms >= best->updated_ms;
}

static bool keep_best(struct journal *journal, sqlite3_stmt *statement, struct journal_device *best,
		      struct muster_error *err)
{
	struct journal_device device;
	int code;

	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!device_from_row(journal, statement, &device, err))
			return false;
		if (!looks_better(&device, best))
			continue;
		journal_device_done(best);
		if (!device_keep(&device, err))
			return false;
		*best = device;
	}
	return code == SQLITE_DONE || journal_fail(journal, code, err, "looking for a device in");
}

/* *ret_copy is what is looked for, for as long as the statement runs. */
static bool bind_key(struct journal *journal, enum journal_key key, const char *value,
		     sqlite3_stmt **ret_statement, char **ret_copy, struct muster_error *err)
{
	sqlite3_stmt *statement = journal->statements[STATEMENT_DEVICE_BY + key - 1];
	char *copy = strdup(value);

	if (!copy)
		return muster_fail_memory(err);
	if (key == JOURNAL_BY_REGISTRATION_ID)
		text_fold(copy);
	statement_bind_text(statement, 1, copy);
	*ret_statement = statement;
	*ret_copy = copy;
	return true;
}

bool journal_device_find(struct journal *journal, enum journal_key key, const char *value,
			 struct journal_device *ret_device, bool *ret_found,
			 struct muster_error *err)
{
	CLEANUP(freep) char *copy = NULL;
	CLEANUP(statement_resetp) sqlite3_stmt *statement = NULL;
	CLEANUP(journal_device_done) struct journal_device best = { 0 };

	if (!bind_key(journal, key, value, &statement, &copy, err) ||
	    !keep_best(journal, statement, &best, err))
		return false;
	*ret_found = best.storage != NULL;
	if (*ret_found)
		*ret_device = best;
	best = (struct journal_device){ 0 };
	return true;
}

static bool walk(struct journal *journal, sqlite3_stmt *statement, journal_device_fn callback,
		 void *context, size_t *ret_count, struct muster_error *err)
{
	struct journal_device device;
	size_t count = 0;
	int code;

	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!device_from_row(journal, statement, &device, err) ||
		    !callback(context, &device, err))
			return false;
		count++;
	}
	if (code != SQLITE_DONE)
		return journal_fail(journal, code, err, "reading devices of");
	*ret_count = count;
	return true;
}

bool journal_device_find_each(struct journal *journal, enum journal_key key, const char *value,
			      journal_device_fn callback, void *context, struct muster_error *err)
{
	CLEANUP(freep) char *copy = NULL;
	CLEANUP(statement_resetp) sqlite3_stmt *statement = NULL;
	size_t count;

	return bind_key(journal, key, value, &statement, &copy, err) &&
	       walk(journal, statement, callback, context, &count, err);
}

static bool page(struct journal *journal, enum statement which, const char *after,
		 journal_device_fn callback, void *context, size_t *ret_count,
		 struct muster_error *err)
{
	CLEANUP(statement_resetp) sqlite3_stmt *statement = journal->statements[which];

	statement_bind_text(statement, 1, after ? after : "");
	sqlite3_bind_int64(statement, 2, JOURNAL_PAGE_MAX);
	return walk(journal, statement, callback, context, ret_count, err);
}

bool journal_devices(struct journal *journal, const char *after, journal_device_fn callback,
		     void *context, size_t *ret_count, struct muster_error *err)
{
	return page(journal, STATEMENT_DEVICE_ALL, after, callback, context, ret_count, err);
}

bool journal_unfinished(struct journal *journal, const char *after, journal_device_fn callback,
			void *context, size_t *ret_count, struct muster_error *err)
{
	return page(journal, STATEMENT_DEVICE_UNFINISHED, after, callback, context, ret_count, err);
}

/* Passes rows on and remembers the place of the last one. */
struct changed {
	struct journal_cursor *cursor;
	journal_device_fn callback;
	void *context;
};

static bool take_changed(void *context, const struct journal_device *device,
			 struct muster_error *err)
{
	const struct changed *changed = context;

	changed->cursor->updated_ms = device->updated_ms;
	snprintf(changed->cursor->registration_id, sizeof(changed->cursor->registration_id), "%s",
		 device->registration_id);
	return changed->callback(changed->context, device, err);
}

bool journal_devices_changed(struct journal *journal, struct journal_cursor *cursor,
			     journal_device_fn callback, void *context, size_t *ret_count,
			     struct muster_error *err)
{
	CLEANUP(statement_resetp)
	sqlite3_stmt *statement =
		journal->statements[cursor->newest_first ? STATEMENT_DEVICE_LATEST
							 : STATEMENT_DEVICE_CHANGED];
	struct journal_cursor start = *cursor;
	struct changed changed = { cursor, callback, context };

	statement_bind_text(statement, 1, start.registration_id);
	sqlite3_bind_int64(statement, 2, JOURNAL_PAGE_MAX);
	sqlite3_bind_int64(statement, 3, start.updated_ms);
	return walk(journal, statement, take_changed, &changed, ret_count, err);
}

struct noted {
	int64_t *entry;
	journal_device_fn callback;
	void *context;
};

static bool take_noted(void *context, const struct journal_device *device, struct muster_error *err)
{
	const struct noted *noted = context;

	*noted->entry = device->entry;
	return noted->callback(noted->context, device, err);
}

bool journal_devices_noted(struct journal *journal, int64_t *entry, journal_device_fn callback,
			   void *context, size_t *ret_count, struct muster_error *err)
{
	CLEANUP(statement_resetp)
	sqlite3_stmt *statement = journal->statements[STATEMENT_DEVICE_NOTED];
	struct noted noted = { entry, callback, context };

	sqlite3_bind_int64(statement, 1, *entry);
	sqlite3_bind_int64(statement, 2, JOURNAL_PAGE_MAX);
	return walk(journal, statement, take_noted, &noted, ret_count, err);
}

/* -- Notes for old rows ------------------------------------------------------------------------------------ */

struct first {
	struct journal_device device;
	bool is_taken;
};

static bool take_first(void *context, const struct journal_device *device, struct muster_error *err)
{
	struct first *first = context;

	if (first->is_taken)
		return true;
	first->device = *device;
	first->is_taken = true;
	return device_keep(&first->device, err);
}

bool journal_devices_note(struct journal *journal, struct muster_error *err)
{
	char after[129] = "";
	int64_t missing = 0;
	size_t count = 0;
	bool good;

	if (!journal_query_number(journal, "SELECT count(*) FROM device WHERE entry = 0", &missing,
				  err))
		return false;
	if (missing == 0)
		return true;
	if (!journal_entry_prepare(journal, err) || !journal_device_prepare(journal, err) ||
	    !journal_head_load(journal, err))
		return false;
	journal->is_in_transaction = true;
	do {
		CLEANUP(journal_device_done) struct journal_device device = { 0 };
		struct first first = { 0 };

		good = page(journal, STATEMENT_DEVICE_ALL, after, take_first, &first, &count, err);
		device = first.device;
		if (!good || count == 0)
			break;
		snprintf(after, sizeof(after), "%s", device.registration_id);
		good = device.entry > 0 || put_row(journal, NULL, &device, err);
	} while (good);
	journal->is_in_transaction = false;
	return good;
}
