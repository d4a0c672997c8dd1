/* What is kept of the chain elsewhere: anchor files, evidence files, behind '!' words that somebody read aloud, and behind '+' lines
 * of evidence. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../src/station/checkpoint.h"
#include "fuzz.h"
#include "muster/log.h"

static void check(struct anchor *anchor)
{
	uint8_t digest[JOURNAL_DIGEST_SIZE] = { 0 };
	struct muster_error err;

	assert((anchor->digest[0] != 0) != (anchor->words[0] != 0));
	assert(!anchor->evidence[0] || anchor->registration_id);
	if (!anchor_check(anchor, digest, &err))
		assert(err.cause == CAUSE_ANCHOR_MISMATCH);
	assert(!anchor_fail_cut(anchor, 0, &err));
}

static void read_words(const uint8_t *data, size_t size)
{
	CLEANUP(freep) char *text = strndup((const char *)data, size);
	struct anchor anchor;
	struct muster_error err;

	if (anchor_read_words(text, &anchor, &err)) {
		check(&anchor);
		anchor_done(&anchor);
	}
}

static void read_file(const uint8_t *data, size_t size, const char *suffix)
{
	CLEANUP(anchor_list_done) struct anchor_list anchors = { 0 };
	struct muster_error err;
	char path[64];
	int fd;

	log_set_level(LOG_ERROR);
	snprintf(path, sizeof(path), "/dev/shm/muster-fuzz-%ld%s", (long)getpid(), suffix);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
	if (anchor_list_read(&anchors, path, &err)) {
		assert(anchors.count > 0);
		for (size_t i = 0; i < anchors.count; i++)
			check(&anchors.items[i]);
	}
	unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0 && data[0] == '!')
		read_words(data + 1, size - 1);
	else if (size > 0 && data[0] == '+')
		read_file(data + 1, size - 1, ".evidence.jsonl");
	else
		read_file(data, size, "");
	return 0;
}
