#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "muster/json.h"

/* -- Opening ------------------------------------------------------------------------------------------------------ */

static bool take_name(struct batch *batch, const struct station_batch *request,
		      struct muster_error *err)
{
	const char *slash = strrchr(request->manifest, '/');
	const char *name = request->name ? request->name : slash ? slash + 1 : request->manifest;
	size_t length = strlen(name);

	if (length == 0 || length >= sizeof(batch->name))
		return muster_fail(err, CAUSE_USAGE,
				   "the name of a batch has 1 to %zu characters: pass --batch NAME",
				   sizeof(batch->name) - 1);
	text_printable(batch->name, sizeof(batch->name), name);
	return strcmp(batch->name, name) == 0 ||
	       muster_fail(err, CAUSE_USAGE,
			   "the name of a batch is printable text: pass --batch NAME");
}

static enum feed_state next_of_batch(struct feed *feed, struct station_device *ret_device);

bool batch_open(struct run *run, const struct station_batch *request, struct batch **ret_batch,
		struct muster_error *err)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return muster_fail_memory(err);
	*ret_batch = batch;
	batch->feed.next = next_of_batch;
	batch->run = run;
	run->brake = &batch->brake;
	batch->started_ms = batch->told_ms = batch->paced_ms = clock_now_ms();
	if (!take_name(batch, request, err) || !manifest_open(&batch->manifest, request, run, err))
		return false;
	batch->figures.rows = batch->manifest.count;
	batch->figures.seconds_left = -1;
	return true;
}

void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	manifest_close(&batch->manifest);
	free(batch);
}

bool batch_verifies(const struct batch *batch, size_t row)
{
	const struct profile *profile = &batch->run->profile;
	size_t rows = batch->manifest.count, sample = (size_t)profile->batch.sample;

	switch (profile->batch.verify) {
	case PROFILE_BATCH_VERIFY_ALL:
		return true;
	case PROFILE_BATCH_VERIFY_NONE:
		return false;
	case PROFILE_BATCH_VERIFY_SAMPLE:
		break;
	}
	return sample >= rows || (row + 1) * sample / rows > row * sample / rows;
}

/* -- Devices ------------------------------------------------------------------------------------------------------ */

static enum feed_state next_of_batch(struct feed *feed, struct station_device *ret_device)
{
	struct batch *batch = (struct batch *)(void *)feed;
	struct muster_error why;
	size_t row = batch->manifest.next;
	bool has;

	if (brake_has_stopped(&batch->brake))
		return FEED_OVER;
	if (brake_holds(&batch->brake))
		return FEED_LATER;
	if (!manifest_next(&batch->manifest, ret_device, &has, &why)) {
		brake_stop(&batch->brake, &why);
		return FEED_OVER;
	}
	if (!has)
		return FEED_OVER;
	ret_device->skips_verification = !batch_verifies(batch, row);
	batch->brake.under_way++;
	return FEED_DEVICE;
}

/* -- In the journal ------------------------------------------------------------------------------------------------ */

/* The last that is said of a batch of this name. */
struct pinned {
	const cJSON *approval; /* of this run; borrowed */
	bool is_open, is_approved_so;
	char manifest[SHA256_HEX_SIZE], profile[SHA256_HEX_SIZE];
};

static void copy_digest(char target[SHA256_HEX_SIZE], const char *text)
{
	snprintf(target, SHA256_HEX_SIZE, "%s", text ? text : "");
}

static bool take_entry(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct pinned *pinned = context;
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	pinned->is_approved_so =
		!pinned->approval || json_equal(json_get(body, "approval"), pinned->approval);
	pinned->is_open = !json_bool(body, "closed", false);
	copy_digest(pinned->manifest, json_text(body, "manifest"));
	copy_digest(pinned->profile, json_text(body, "profile"));
	return true;
}

/* No registration ID has a slash. */
static const char *entry_name(const struct batch *batch, char name[80])
{
	snprintf(name, 80, "batch/%s", batch->name);
	text_fold(name);
	return name;
}

static bool find_pinned(const struct batch *batch, struct pinned *ret_pinned,
			struct muster_error *err)
{
	char name[80];

	return journal_entries_all(batch->run->journal, entry_name(batch, name), take_entry,
				   ret_pinned, err);
}

static bool write_entry(const struct batch *batch, cJSON *new_body, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = new_body;
	CLEANUP(freep) char *line = NULL;
	struct journal *journal = batch->run->journal;
	char name[80];
	struct journal_entry entry = {
		.registration_id = entry_name(batch, name),
		.at_ms = clock_wall_ms(),
		.stage = "batch",
		.kind = JOURNAL_NOTE,
		.operator= batch->run->who.operator_name,
		.station = batch->run->who.station,
	};

	if (!body || !json_add_text(body, "batch", batch->name) ||
	    !json_add_text(body, "manifest", batch->manifest.digest) ||
	    !json_add_text(body, "profile", batch->run->profile.digest) ||
	    !json_add_int64(body, "rows", (int64_t)batch->manifest.count))
		return muster_fail_memory(err);
	line = json_print_line(body);
	if (!line)
		return muster_fail_memory(err);
	entry.body = line;
	return journal_begin(journal, err) && journal_append(journal, &entry, err) &&
	       journal_commit(journal, err);
}

static bool fail_changed(const struct batch *batch, const struct pinned *pinned,
			 struct muster_error *err)
{
	bool is_manifest = strcmp(pinned->manifest, batch->manifest.digest) != 0;

	return muster_fail(
		err, CAUSE_BATCH_CHANGED,
		"batch '%s' is open with %s of digest %.16s..., and this one has %.16s...",
		batch->name, is_manifest ? "a manifest" : "a profile",
		is_manifest ? pinned->manifest : pinned->profile,
		is_manifest ? batch->manifest.digest : batch->run->profile.digest);
}

static cJSON *approved_body(const struct batch *batch)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	const cJSON *approval = batch->run->approval;

	if (!body ||
	    (approval && !json_add_item(body, "approval", cJSON_Duplicate(approval, true))))
		return NULL;
	return TAKE_PTR(body);
}

bool batch_pin(struct batch *batch, struct muster_error *err)
{
	struct pinned pinned = { .approval = batch->run->approval };
	bool is_same;

	if (!batch->run->journal)
		return true;
	if (!find_pinned(batch, &pinned, err))
		return false;
	is_same = strcmp(pinned.manifest, batch->manifest.digest) == 0 &&
		  strcmp(pinned.profile, batch->run->profile.digest) == 0;
	batch->figures.was_resumed = pinned.is_open && is_same;
	if (pinned.is_open && !is_same && !batch->run->request->batch->begin_anew)
		return fail_changed(batch, &pinned, err);
	if ((batch->figures.was_resumed && pinned.is_approved_so) || batch->run->request->dry_run)
		return true;
	return write_entry(batch, approved_body(batch), err);
}

static bool close_batch(struct batch *batch, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	const struct station_figures *figures = &batch->figures;

	if (!body || !json_add_bool(body, "closed", true) ||
	    !json_add_int64(body, "released",
			    (int64_t)(figures->before + figures->enrolled + figures->adopted)) ||
	    !json_add_int64(body, "failed", (int64_t)figures->failed))
		return muster_fail_memory(err);
	return write_entry(batch, TAKE_PTR(body), err);
}

bool batch_end(struct batch *batch, struct muster_error *err)
{
	const struct station_figures *figures = &batch->figures;
	bool have_ended = figures->ended == figures->rows;
	bool is_stopped =
		brake_has_stopped(&batch->brake) && !(have_ended && brake_came_late(&batch->brake));
	bool is_complete = have_ended && !is_stopped && batch->left_open + figures->spooled == 0;

	if (is_complete && !batch->run->request->dry_run && !close_batch(batch, err))
		return false;
	if (!batch_tell(batch, true, err))
		return false;
	*err = batch->brake.why;
	return !is_stopped;
}
