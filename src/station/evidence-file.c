/* Evidence files of former lives of a device: kept beside the present one's, under names with numbers. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "evidence.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"

enum { FILE_MAX = 256 * 1024, FORMER_MAX = 1000 };

char *evidence_former_path(const char *path, unsigned number)
{
	static const char end[] = ".json";

	return text_format("%.*s.%u%s", (int)(strlen(path) - strlen(end)), path, number, end);
}

/* The same life writes its file again: when it is verified later, say. */
static bool is_of_attempt(const struct bytes *text, const char *attempt_id)
{
	CLEANUP(cJSON_freep) cJSON *tree = NULL;
	struct muster_error unread;
	const char *attempt;

	if (!json_parse((const char *)text->data, text->size, "", &tree, &unread))
		return false;
	attempt = json_text(tree, "attemptId");
	return attempt && attempt_id && strcmp(attempt, attempt_id) == 0;
}

static bool file_is(const char *path, const struct bytes *wanted)
{
	CLEANUP(bytes_done) struct bytes present = { 0 };
	struct muster_error unread;

	return file_read(path, FILE_MAX, &present, &unread) && bytes_equal(&present, wanted);
}

/* A copy, and not another name: not every file system has those. After a cut it is there already. */
static bool copy_to_free_name(const char *path, const struct bytes *text, struct muster_error *err)
{
	for (unsigned number = 1; number <= FORMER_MAX; number++) {
		CLEANUP(freep) char *former = evidence_former_path(path, number);

		if (!former)
			return muster_fail_memory(err);
		if (file_write(former, text->data, text->size, 0600, false, err))
			return true;
		if (err->cause != CAUSE_OUTPUT_EXISTS || file_is(former, text))
			return err->cause == CAUSE_OUTPUT_EXISTS;
	}
	return false;
}

bool evidence_keep_former(const char *path, const char *attempt_id, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes text = { 0 };
	struct stat status = { 0 };

	if (lstat(path, &status) < 0 && errno == ENOENT)
		return true;
	/* What it leads to is not read, may be anybody's, and stays. */
	if (S_ISLNK(status.st_mode)) {
		log_warning("'%s' is a link, and is replaced by the evidence, going on",
			    PRINTABLE(path));
		return true;
	}
	if (!file_read(path, FILE_MAX, &text, err))
		return false;
	return is_of_attempt(&text, attempt_id) || copy_to_free_name(path, &text, err) ||
	       muster_error_prefix(err, "keeping the evidence of a former life in '%s'",
				   PRINTABLE(path));
}
