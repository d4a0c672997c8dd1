/* What a profile names is as much a part of what is approved as the profile itself. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "approval.h"
#include "master.h"
#include "muster/file.h"
#include "muster/json.h"

#define MASTER_TEXT "muster approval 1"

enum { NAMED_FILE_MAX = 1024 * 1024 };

struct approved_file {
	char *name;
	char digest[SHA256_HEX_SIZE];
};

/* In the order of their names. */
struct approved_folder {
	struct approved_file *files;
	size_t count;
};

static bool file_digest(const char *path, char out[SHA256_HEX_SIZE], struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes file = { 0 };

	if (!file_read(path, NAMED_FILE_MAX, &file, err))
		return false;
	sha256_hex(out, file.data, file.size);
	return true;
}

/* -- Folders ------------------------------------------------------------------------------------------------------ */

struct listing {
	struct dirent **items;
	int count;
};

static void listing_done(struct listing *listing)
{
	for (int i = 0; i < listing->count; i++)
		free(listing->items[i]);
	free(listing->items);
}

/* Hidden ones too: who reads the folder may ask for one of them by its name. */
static int is_content(const struct dirent *entry)
{
	return entry->d_type != DT_DIR && strcmp(entry->d_name, ".") != 0 &&
	       strcmp(entry->d_name, "..") != 0;
}

/* By bytes, in whatever language. */
static int compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* One with a line feed would read like two files. */
static bool check_name(const char *folder, const char *name, struct muster_error *err)
{
	for (const char *c = name; *c; c++)
		if ((unsigned char)*c < ' ' || *c == '\\')
			return muster_fail(
				err, CAUSE_APPROVAL_UNFIT,
				"folder '%s' has a file '%s', whose name cannot be approved",
				PRINTABLE(folder), PRINTABLE(name));
	return true;
}

static bool take_file(struct approved_folder *folder, const char *path, const char *name,
		      struct muster_error *err)
{
	CLEANUP(freep) char *whole = text_format("%s/%s", path, name);
	struct approved_file *file = &folder->files[folder->count];

	if (!whole)
		return muster_fail_memory(err);
	if (!check_name(path, name, err) || !file_digest(whole, file->digest, err))
		return false;
	file->name = strdup(name);
	folder->count += file->name != NULL;
	return file->name || muster_fail_memory(err);
}

void approved_folder_free(struct approved_folder *folder)
{
	for (size_t i = 0; folder && i < folder->count; i++)
		free(folder->files[i].name);
	if (folder)
		free(folder->files);
	free(folder);
}

bool approved_folder_read(const char *path, struct approved_folder **ret_folder,
			  struct muster_error *err)
{
	CLEANUP(listing_done) struct listing listing = { 0 };
	CLEANUP(approved_folder_freep)
	struct approved_folder *folder = calloc(1, sizeof(*folder));

	listing.count = scandir(path, &listing.items, is_content, compare);
	if (listing.count < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading folder '%s'",
					 PRINTABLE(path));
	if (folder)
		folder->files = calloc((size_t)listing.count + 1, sizeof(*folder->files));
	if (!folder || !folder->files)
		return muster_fail_memory(err);
	for (int i = 0; i < listing.count; i++)
		if (!take_file(folder, path, listing.items[i]->d_name, err))
			return false;
	*ret_folder = TAKE_PTR(folder);
	return true;
}

static int compare_name(const void *name, const void *file)
{
	return strcmp(name, ((const struct approved_file *)file)->name);
}

bool approved_folder_check(const struct approved_folder *folder, const char *path,
			   const char *digest, struct muster_error *err)
{
	const char *slash = strrchr(path, '/');
	const struct approved_file *file =
		bsearch(slash ? slash + 1 : path, folder->files, folder->count,
			sizeof(*folder->files), compare_name);

	return (file && strcmp(file->digest, digest) == 0) ||
	       muster_fail(err, CAUSE_APPROVAL_OTHER, "'%s' is not the file that was approved",
			   PRINTABLE(path));
}

/* Of the lines "DIGEST  NAME" of its files, in their order, as sha256sum writes them. */
static bool digest_of(const struct approved_folder *folder, char out[SHA256_HEX_SIZE],
		      struct muster_error *err)
{
	CLEANUP(text_done) struct text lines = TEXT_MAX(64 * 1024 * 1024);

	for (size_t i = 0; i < folder->count; i++)
		text_addf(&lines, "%s  %s\n", folder->files[i].digest, folder->files[i].name);
	if (!text_ok(&lines, err))
		return false;
	sha256_hex(out, lines.data ? lines.data : "", lines.length);
	return true;
}

static bool folder_digest(const char *path, char out[SHA256_HEX_SIZE], struct muster_error *err)
{
	CLEANUP(approved_folder_freep) struct approved_folder *folder = NULL;

	return approved_folder_read(path, &folder, err) && digest_of(folder, out, err);
}

bool approval_add_folder(cJSON *subjects, const char *name, const struct approved_folder *folder,
			 struct muster_error *err)
{
	char digest[SHA256_HEX_SIZE];

	if (!digest_of(folder, digest, err))
		return false;
	return json_add_text(subjects, name, digest) || muster_fail_memory(err);
}

/* Of a folder whose content changes from day to day: which one it is. */
static bool place_digest(const char *path, char out[SHA256_HEX_SIZE], struct muster_error *err)
{
	CLEANUP(freep) char *real = realpath(path, NULL);

	if (!real)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "looking for '%s'",
					 PRINTABLE(path));
	sha256_hex(out, real, strlen(real));
	return true;
}

/* -- The profile's ------------------------------------------------------------------------------------------------ */

static bool add_issuer(cJSON *subjects, const char *path, struct bytes *ret_issuer,
		       struct muster_error *err)
{
	char digest[SHA256_HEX_SIZE];

	if (!path)
		return true;
	bytes_done(ret_issuer);
	if (!file_read(path, NAMED_FILE_MAX, ret_issuer, err))
		return false;
	return json_add_text(subjects, "issuer",
			     sha256_hex(digest, ret_issuer->data, ret_issuer->size)) ||
	       muster_fail_memory(err);
}

bool approval_add_files(cJSON *subjects, const struct profile *profile, struct bytes *ret_issuer,
			struct muster_error *err)
{
	const struct {
		const char *name, *path;
		bool (*digest)(const char *, char[SHA256_HEX_SIZE], struct muster_error *);
	} folders[] = {
		{ "roots", profile->tpm.roots, folder_digest },
		{ "crls", profile->tpm.crls, place_digest },
	};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		char digest[SHA256_HEX_SIZE];

		if (!folders[i].path)
			continue;
		if (!folders[i].digest(folders[i].path, digest, err))
			return false;
		if (!json_add_text(subjects, folders[i].name, digest))
			return muster_fail_memory(err);
	}
	return add_issuer(subjects, profile->x509.issuer_certificate, ret_issuer, err);
}

/* Whoever sees the file of approvals may try masters against it, so it has to be one that nobody finds. */
bool approval_add_master(cJSON *subjects, const char *name, const struct secret *master,
			 struct muster_error *err)
{
	uint8_t mac[SHA256_SIZE];
	char digest[SHA256_HEX_SIZE];

	if (master->size == 0)
		return true;
	if (!master_check_random(master, name, err) ||
	    !hmac_sha256(master->data, master->size, MASTER_TEXT, strlen(MASTER_TEXT), mac, err))
		return false;
	hex_encode(digest, mac, sizeof(mac));
	return json_add_text(subjects, name, digest) || muster_fail_memory(err);
}
