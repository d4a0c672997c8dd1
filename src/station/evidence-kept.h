/* Evidence as it is found again: a file, or a line of a batch's file. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/error.h"
#include "muster/text.h"

#define EVIDENCE_KEPT_MAX (256 * 1024)

struct evidence_kept {
	char *path;        /* of the file */
	struct bytes text; /* all of the file, or the line with its newline */
	cJSON *tree;       /* NULL: there is none, or it cannot be used */
	bool is_elsewhere; /* of another service */
};
void evidence_kept_done(struct evidence_kept *kept);

/* Makes the tree of the text. What cannot be used is passed over: not a word of what is no evidence or of another service than
 * `host`, a warning of anything else, in which it is called `what`. */
bool evidence_kept_judge(struct evidence_kept *kept, const char *what, const char *host,
			 struct muster_error *err) MUST_CHECK;
/* Of a file; no text when there is none. */
bool evidence_kept_read(const char *path, const char *host, struct evidence_kept *ret_kept,
			struct muster_error *err) MUST_CHECK;
/* The device's registration ID, folded; NULL where the tree names none that can be one. Caller frees. */
bool evidence_kept_id(const struct evidence_kept *kept, char **ret_id, struct muster_error *err)
	MUST_CHECK;
bool evidence_kept_is_of(const struct evidence_kept *kept, const char *registration_id);

struct evidence_list {
	struct evidence_kept *items;
	size_t count;
};
void evidence_list_done(struct evidence_list *list);
/* Takes what it has over. */
bool evidence_list_add(struct evidence_list *list, struct evidence_kept *kept,
		       struct muster_error *err) MUST_CHECK;
