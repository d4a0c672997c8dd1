/* The lines of a file of evidence, one after another. Private to the station. */
#pragma once

#include "muster/error.h"
#include "muster/text.h"

struct evidence_line {
	size_t number;         /* from 1 on */
	uint64_t offset, size; /* without its newline, which the last one may have lost */
	/* NUL-terminated; may be taken over with its data. No data where it is longer than evidence may be. */
	struct text text;
};
typedef bool evidence_line_fn(void *context, struct evidence_line *line, struct muster_error *err);

/* Calls `take` with each line that is not empty, until it fails, and holds one at a time. CAUSE_INPUT_NOT_FOUND for a file that
 * cannot be opened, CAUSE_FOLDER_UNREADABLE for one that cannot be read to its end, after the lines before that. */
bool evidence_scan(const char *path, evidence_line_fn *take, void *context,
		   struct muster_error *err) MUST_CHECK;
