#include "kept-profile.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "life.h"
#include "muster/file.h"
#include "muster/json.h"

#define MEMBER "keptProfile"

enum { KEPT_SIZE_MAX = 2 * PROFILE_SIZE_MAX };

static char *path_of(const char *journal_path, const char *name)
{
	CLEANUP(freep) char *file = text_format("profiles/%s.json", name);

	return file ? file_beside(journal_path, file) : NULL;
}

/* Its file names are resolved where it was named, not where a link leads to. */
static char *absolute_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	CLEANUP(freep)
	char *folder = slash ? text_format("%.*s/", (int)(slash - path), path) : NULL;
	CLEANUP(freep)
	char *absolute = slash && !folder ? NULL : realpath(slash ? folder : ".", NULL);

	if (!absolute)
		return strdup(path);
	return text_format("%s/%s", strcmp(absolute, "/") == 0 ? "" : absolute,
			   slash ? slash + 1 : path);
}

static bool name_in_folder(const char *digest, const char *absolute, char ret_name[SHA256_HEX_SIZE],
			   struct muster_error *err)
{
	const char *slash = strrchr(absolute, '/');
	CLEANUP(freep)
	char *text = text_format("muster.kept-profile/1 %s %.*s", digest,
				 slash ? (int)(slash - absolute) : 0, absolute);

	if (!text)
		return muster_fail_memory(err);
	sha256_hex(ret_name, text, strlen(text));
	return true;
}

bool kept_profile_name(const struct profile *profile, char ret_name[SHA256_HEX_SIZE],
		       struct muster_error *err)
{
	CLEANUP(freep) char *absolute = absolute_of(profile->path);

	if (!absolute)
		return muster_fail_memory(err);
	if (profile->names_beside)
		return name_in_folder(profile->digest, absolute, ret_name, err);
	memcpy(ret_name, profile->digest, SHA256_HEX_SIZE);
	return true;
}

static char *compose(const char *path, const struct bytes *content)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) char *absolute = absolute_of(path);

	if (!object || !absolute || !json_add_text(object, "path", absolute) ||
	    !json_add_text(object, "text", (const char *)content->data))
		return NULL;
	return json_print_line(object);
}

static bool write_copy(const char *path, const struct profile *profile, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes content = { 0 };
	CLEANUP(freep) char *line = NULL;
	char digest[SHA256_HEX_SIZE];

	if (!file_read(profile->path, PROFILE_SIZE_MAX, &content, err))
		return false;
	if (strcmp(sha256_hex(digest, content.data, content.size), profile->digest) != 0)
		return muster_fail(err, CAUSE_PROFILE_NOT_KEPT,
				   "profile '%s' was changed while it was used",
				   PRINTABLE(profile->path));
	line = compose(profile->path, &content);
	return line ? file_write(path, line, strlen(line), 0600, true, err)
		    : muster_fail_memory(err);
}

static bool keep_as(const char *journal_path, const char *name, const struct profile *profile,
		    struct muster_error *err)
{
	CLEANUP(freep) char *path = path_of(journal_path, name);
	CLEANUP(freep) char *directory = file_beside(journal_path, "profiles");

	if (!path || !directory)
		return muster_fail_memory(err);
	return access(path, F_OK) == 0 ||
	       (directory_make(directory, err) && write_copy(path, profile, err));
}

/* By its digest too: what it makes of a serial is the same wherever it lies. */
bool kept_profile_keep(const char *journal_path, const struct profile *profile,
		       struct muster_error *err)
{
	char name[SHA256_HEX_SIZE];

	return kept_profile_name(profile, name, err) &&
	       keep_as(journal_path, profile->digest, profile, err) &&
	       (strcmp(name, profile->digest) == 0 || keep_as(journal_path, name, profile, err));
}

bool kept_profile_look(const char *journal_path, const char *name, bool *ret_is_kept,
		       struct muster_error *err)
{
	CLEANUP(freep) char *path = path_of(journal_path, name);

	*ret_is_kept = path && access(path, F_OK) == 0;
	return path || muster_fail_memory(err);
}

static bool check_copy(const char *path, const char *digest, const char *name, const char *origin,
		       const char *text, struct muster_error *err)
{
	char found[SHA256_HEX_SIZE], its[SHA256_HEX_SIZE];

	if (origin && !name_in_folder(digest, origin, its, err))
		return false;
	return (text && origin && strcmp(sha256_hex(found, text, strlen(text)), digest) == 0 &&
		(strcmp(name, digest) == 0 || strcmp(name, its) == 0)) ||
	       muster_fail(err, CAUSE_PROFILE_NOT_KEPT, "'%s' is not the profile that was kept",
			   PRINTABLE(path));
}

bool kept_profile_load(const char *journal_path, const char *digest, const char *name,
		       struct profile *ret_profile, struct profile_report *report,
		       struct muster_error *err)
{
	CLEANUP(freep) char *path = path_of(journal_path, name);
	CLEANUP(bytes_done) struct bytes content = { 0 };
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	const char *text, *origin;

	if (!path)
		return muster_fail_memory(err);
	if (access(path, F_OK) < 0)
		return muster_fail(err, CAUSE_PROFILE_NOT_KEPT,
				   "no profile with digest %.16s... is kept beside the journal as "
				   "'%s'",
				   digest, PRINTABLE(path));
	if (!file_read(path, KEPT_SIZE_MAX, &content, err) ||
	    !json_parse((const char *)content.data, content.size, path, &object, err))
		return false;
	text = json_text(object, "text");
	origin = json_text(object, "path");
	return check_copy(path, digest, name, origin, text, err) &&
	       profile_parse(origin, text, strlen(text), ret_profile, report, err);
}

/* -- Which copy a device goes by ---------------------------------------------------------------------------------- */

bool kept_profile_add(cJSON *body, const char *digest, const char *name)
{
	return strcmp(name, digest) == 0 || json_add_text(body, MEMBER, name);
}

void kept_profile_follow(char name[SHA256_HEX_SIZE], const struct journal_entry *entry,
			 const cJSON *body)
{
	const char *said = json_text(body, MEMBER);

	if (said || json_get(body, "spooled") || json_get(body, "terms") || life_ends(entry, body))
		snprintf(name, SHA256_HEX_SIZE, "%s", said ? said : "");
}
