/* Evidence that is lines of files *.evidence.jsonl: which lines are of which device. The files are read once, and of each line 28
 * bytes are kept, the places where it is and where it is found: 28 MB for a million, and an eighth more while they become more.
 * Who asks for a device's lines has them read again. Private to the station. */
#pragma once

#include "evidence-kept.h"
#include "muster/cleanup.h"

struct evidence_index;

/* Of the files in this directory. A line that cannot be used is passed over as evidence_kept_judge() says, one that is larger than
 * EVIDENCE_KEPT_MAX likewise; a file that cannot be read fails as evidence_scan() says. The host is borrowed. */
bool evidence_index_read(const char *directory, const char *host, struct evidence_index **ret_index,
			 struct muster_error *err) MUST_CHECK;
void evidence_index_free(struct evidence_index *index);
DEFINE_FREEP(evidence_index_freep, struct evidence_index *, evidence_index_free)
/* Lines of other services. */
size_t evidence_index_elsewhere(const struct evidence_index *index);
/* Adds the lines of this device, in the order of the files' names, and in a file as they follow each other. */
bool evidence_index_find(struct evidence_index *index, const char *registration_id,
			 struct evidence_list *list, struct muster_error *err) MUST_CHECK;
/* The next line of a device that nobody has asked for so far, from *at on; without a path at the end. */
bool evidence_index_next(struct evidence_index *index, size_t *at, struct evidence_kept *ret_kept,
			 struct muster_error *err) MUST_CHECK;
