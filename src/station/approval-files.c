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

/* Of the lines "DIGEST  NAME" of its files, in their order, as sha256sum writes them. */
static bool folder_digest(const char *path, char out[SHA256_HEX_SIZE], struct muster_error *err)
{
	CLEANUP(text_done) struct text lines = TEXT_MAX(64 * 1024 * 1024);
	CLEANUP(listing_done) struct listing listing = { 0 };

	listing.count = scandir(path, &listing.items, is_content, compare);
	if (listing.count < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading folder '%s'",
					 PRINTABLE(path));
	for (int i = 0; i < listing.count; i++) {
		const char *name = listing.items[i]->d_name;
		CLEANUP(freep) char *file = text_format("%s/%s", path, name);
		char digest[SHA256_HEX_SIZE];

		if (!file)
			return muster_fail_memory(err);
		if (!check_name(path, name, err) || !file_digest(file, digest, err))
			return false;
		text_addf(&lines, "%s  %s\n", digest, name);
	}
	if (!text_ok(&lines, err))
		return false;
	sha256_hex(out, lines.data ? lines.data : "", lines.length);
	return true;
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

bool approval_add_files(cJSON *subjects, const struct profile *profile, struct muster_error *err)
{
	const struct {
		const char *name, *path;
		bool (*digest)(const char *, char[SHA256_HEX_SIZE], struct muster_error *);
	} named[] = {
		{ "issuer", profile->x509.issuer_certificate, file_digest },
		{ "roots", profile->tpm.roots, folder_digest },
		{ "crls", profile->tpm.crls, place_digest },
		{ "deviceKeys", profile->x509.device_keys, folder_digest },
	};

	for (size_t i = 0; i < ARRAY_SIZE(named); i++) {
		char digest[SHA256_HEX_SIZE];

		if (!named[i].path)
			continue;
		if (!named[i].digest(named[i].path, digest, err))
			return false;
		if (!json_add_text(subjects, named[i].name, digest))
			return muster_fail_memory(err);
	}
	return true;
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
