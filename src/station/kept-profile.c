#include "kept-profile.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/file.h"
#include "muster/json.h"

enum { KEPT_SIZE_MAX = 2 * PROFILE_SIZE_MAX };

static char *path_of(const char *journal_path, const char *digest)
{
	CLEANUP(freep) char *name = text_format("profiles/%s.json", digest);

	return name ? file_beside(journal_path, name) : NULL;
}

/* Its own path too, against which its file names are resolved. */
static char *compose(const char *path, const struct bytes *content)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) char *absolute = realpath(path, NULL);

	if (!object || !json_add_text(object, "path", absolute ? absolute : path) ||
	    !json_add_text(object, "text", (const char *)content->data))
		return NULL;
	return json_print_line(object);
}

bool kept_profile_keep(const char *journal_path, const struct profile *profile,
		       struct muster_error *err)
{
	CLEANUP(freep) char *path = path_of(journal_path, profile->digest);
	CLEANUP(freep) char *directory = file_beside(journal_path, "profiles");
	CLEANUP(bytes_done) struct bytes content = { 0 };
	CLEANUP(freep) char *line = NULL;
	char digest[SHA256_HEX_SIZE];

	if (!path || !directory)
		return muster_fail_memory(err);
	if (access(path, F_OK) == 0)
		return true;
	if (!file_read(profile->path, PROFILE_SIZE_MAX, &content, err))
		return false;
	if (strcmp(sha256_hex(digest, content.data, content.size), profile->digest) != 0)
		return muster_fail(err, CAUSE_PROFILE_NOT_KEPT,
				   "profile '%s' was changed while it was used",
				   PRINTABLE(profile->path));
	line = compose(profile->path, &content);
	if (!line)
		return muster_fail_memory(err);
	return directory_make(directory, err) &&
	       file_write(path, line, strlen(line), 0600, true, err);
}

bool kept_profile_look(const char *journal_path, const char *digest, bool *ret_is_kept,
		       struct muster_error *err)
{
	CLEANUP(freep) char *path = path_of(journal_path, digest);

	*ret_is_kept = path && access(path, F_OK) == 0;
	return path || muster_fail_memory(err);
}

bool kept_profile_load(const char *journal_path, const char *digest, struct profile *ret_profile,
		       struct profile_report *report, struct muster_error *err)
{
	CLEANUP(freep) char *path = path_of(journal_path, digest);
	CLEANUP(bytes_done) struct bytes content = { 0 };
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	const char *text, *origin;
	char found[SHA256_HEX_SIZE];

	if (!path)
		return muster_fail_memory(err);
	if (access(path, F_OK) < 0)
		return muster_fail(err, CAUSE_PROFILE_NOT_KEPT,
				   "no profile with digest %.16s... is kept beside the journal",
				   digest);
	if (!file_read(path, KEPT_SIZE_MAX, &content, err) ||
	    !json_parse((const char *)content.data, content.size, path, &object, err))
		return false;
	text = json_text(object, "text");
	origin = json_text(object, "path");
	if (!text || !origin || strcmp(sha256_hex(found, text, strlen(text)), digest) != 0)
		return muster_fail(err, CAUSE_PROFILE_NOT_KEPT,
				   "'%s' is not the profile that was kept", PRINTABLE(path));
	return profile_parse(origin, text, strlen(text), ret_profile, report, err);
}
