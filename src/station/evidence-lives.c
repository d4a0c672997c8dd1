#include "evidence-lives.h"

#include <string.h>

#include "evidence.h"
#include "muster/clock.h"
#include "muster/json.h"

static int64_t time_of(const struct evidence_kept *kept)
{
	const char *at = json_text(kept->tree, "at");
	int64_t ms;

	return at && rfc3339_parse(at, &ms) ? ms : 0;
}

static void move(struct evidence_kept *to, struct evidence_kept *from)
{
	*to = *from;
	*from = (struct evidence_kept){ 0 };
}

/* -- Files ---------------------------------------------------------------------------------------------------- */

static bool add_former(const struct evidence_source *source, const char *registration_id,
		       const char *path, struct evidence_list *files, struct muster_error *err)
{
	for (unsigned number = 1;; number++) {
		CLEANUP(freep) char *former = evidence_former_path(path, number);
		CLEANUP(evidence_kept_done) struct evidence_kept kept = { 0 };

		if (!former)
			return muster_fail_memory(err);
		if (!evidence_kept_read(former, source->host, &kept, err))
			return false;
		if (!kept.text.data)
			return true;
		if (evidence_kept_is_of(&kept, registration_id) &&
		    !evidence_list_add(files, &kept, err))
			return false;
	}
}

/* -- Files and lines ------------------------------------------------------------------------------------------ */

static bool is_superseded(const struct evidence_list *lives, size_t which)
{
	const char *attempt = json_text(lives->items[which].tree, "attemptId"), *later;

	for (size_t i = which + 1; attempt && i < lives->count; i++) {
		later = json_text(lives->items[i].tree, "attemptId");
		if (later && strcmp(later, attempt) == 0)
			return true;
	}
	return false;
}

static void drop_superseded(struct evidence_list *lives)
{
	size_t kept = 0;

	for (size_t i = 0; i < lives->count; i++) {
		if (is_superseded(lives, i))
			evidence_kept_done(&lives->items[i]);
		else if (kept++ < i)
			move(&lives->items[kept - 1], &lives->items[i]);
	}
	lives->count = kept;
}

/* Each keeps its own order, which no clock that was set back turns round. Adds `lines` to `lives`. */
static bool merge(struct evidence_list *lives, struct evidence_list *lines,
		  struct muster_error *err)
{
	CLEANUP(evidence_list_done) struct evidence_list merged = { 0 };
	size_t life = 0, line = 0;

	while (life < lives->count || line < lines->count) {
		bool is_life = line == lines->count ||
			       (life < lives->count &&
				time_of(&lives->items[life]) <= time_of(&lines->items[line]));

		if (!evidence_list_add(
			    &merged, is_life ? &lives->items[life++] : &lines->items[line++], err))
			return false;
	}
	evidence_list_done(lives);
	*lives = merged;
	merged = (struct evidence_list){ 0 };
	return true;
}

/* `lines` are of several files, one file's after another's. */
static bool merge_files(struct evidence_list *lives, struct evidence_list *lines,
			struct muster_error *err)
{
	for (size_t i = 0; i < lines->count;) {
		CLEANUP(evidence_list_done) struct evidence_list same_file = { 0 };

		do {
			if (!evidence_list_add(&same_file, &lines->items[i++], err))
				return false;
		} while (i < lines->count &&
			 strcmp(lines->items[i].path, same_file.items[0].path) == 0);
		drop_superseded(&same_file);
		if (!merge(lives, &same_file, err))
			return false;
	}
	return true;
}

bool evidence_lives_gather(const struct evidence_source *source, const char *registration_id,
			   struct evidence_kept *present, struct evidence_list *ret_lives,
			   struct muster_error *err)
{
	CLEANUP(evidence_list_done) struct evidence_list lines = { 0 };
	CLEANUP(evidence_list_done) struct evidence_list lives = { 0 };
	CLEANUP(evidence_kept_done) struct evidence_kept own = *present;
	bool has_file = evidence_kept_is_of(&own, registration_id);

	*present = (struct evidence_kept){ 0 };
	if (!evidence_index_find(source->index, registration_id, &lines, err))
		return false;
	if ((has_file || lines.count > 0) &&
	    !add_former(source, registration_id, own.path, &lives, err))
		return false;
	if (has_file && !evidence_list_add(&lives, &own, err))
		return false;
	if (!merge_files(&lives, &lines, err))
		return false;
	drop_superseded(&lives);
	*ret_lives = lives;
	lives = (struct evidence_list){ 0 };
	return true;
}
