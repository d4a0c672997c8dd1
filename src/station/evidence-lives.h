/* The lives of a device, as its evidence in files and lines tells them. Private to the station. */
#pragma once

#include "evidence-index.h"

/* All borrowed. */
struct evidence_source {
	const char *host;
	struct evidence_index *index;
};

/* Takes `present` over, which was read of the device's file ID.evidence.json; beside it are those of former lives, which are in
 * the order of their numbers. Lines of a file are in the order in which they stand there; they come in between the files, and those
 * of several files between each other, by their time. What was written last of a life stands for it, and the last life comes last; none when there is no evidence but that of files of former lives. */
bool evidence_lives_gather(const struct evidence_source *source, const char *registration_id,
			   struct evidence_kept *present, struct evidence_list *ret_lives,
			   struct muster_error *err) MUST_CHECK;
