/* A new checkpoint: the station's key, the entry, the anchor. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/pki.h"

#include "checkpoint.h"
#include "who.h"

#define KEY_FILE_MAX (16 * 1024)

DEFINE_FREEP(BIO_freep, BIO *, BIO_free_all)

/* -- The key ------------------------------------------------------------------------------------------------ */

static char *default_key_path(const char *journal_path)
{
	const char *slash = strrchr(journal_path, '/');

	return slash ? text_format("%.*s/station.key", (int)(slash - journal_path), journal_path)
		     : strdup("station.key");
}

/* NAME.pub beside NAME.key, for those who verify. */
static bool write_public_half(const char *key_path, EVP_PKEY *key, struct muster_error *err)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
	size_t length = strlen(key_path);
	CLEANUP(freep) char *path = NULL;
	char *data = NULL;
	long size;

	if (length > 4 && strcmp(key_path + length - 4, ".key") == 0)
		length -= 4;
	path = text_format("%.*s.pub", (int)length, key_path);
	if (!path || !bio || PEM_write_bio_PUBKEY(bio, key) != 1) {
		ERR_clear_error();
		return muster_fail_memory(err);
	}
	size = BIO_get_mem_data(bio, &data);
	return file_write(path, data, (size_t)size, 0644, true, err);
}

static bool make_key(const char *path, EVP_PKEY **ret_key, struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	CLEANUP(secret_done) struct secret pem = { 0 };

	if (!key) {
		ERR_clear_error();
		return muster_fail(err, CAUSE_CRYPTO, "making an EC key");
	}
	if (!pki_private_key_pem(key, &pem, err) ||
	    !file_write(path, pem.data, pem.size, 0600, false, err) ||
	    !write_public_half(path, key, err))
		return muster_error_prefix(err, "making the station's key");
	*ret_key = TAKE_PTR(key);
	return true;
}

static bool open_key(const char *path, EVP_PKEY **ret_key, bool *ret_is_new,
		     struct muster_error *err)
{
	CLEANUP(secret_done) struct secret pem = { 0 };
	struct muster_error unread;

	*ret_is_new = access(path, F_OK) < 0 && errno == ENOENT;
	if (*ret_is_new)
		return make_key(path, ret_key, err);
	if (!secret_read_file(&pem, path, KEY_FILE_MAX, err))
		return muster_error_prefix(err, "reading the station's key");
	return pki_private_key_read(&pem, ret_key, &unread) ||
	       muster_fail(err, CAUSE_STATION_KEY_UNUSABLE, "'%s' holds no private key",
			   PRINTABLE(path));
}

/* -- The anchor --------------------------------------------------------------------------------------------- */

struct lookup {
	const struct anchor *anchor;
	bool was_found;
};

static bool compare(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct lookup *lookup = context;

	if (entry->seq != lookup->anchor->entry)
		return true;
	lookup->was_found = true;
	return anchor_check(lookup->anchor, entry->digest, err);
}

/* An anchor of another journal, or of a newer state of this one, is evidence: it is not replaced. */
static bool check_old_anchor(struct journal *journal, const char *path, struct muster_error *err)
{
	CLEANUP(anchor_done) struct anchor anchor = { 0 };
	struct lookup lookup = { .anchor = &anchor };
	struct journal_head head;
	size_t count;

	if (!path || (access(path, F_OK) < 0 && errno == ENOENT))
		return true;
	if (!anchor_read_file(path, &anchor, err) ||
	    !journal_entries(journal, NULL, anchor.entry - 1, compare, &lookup, &count, err) ||
	    !journal_head(journal, &head, err))
		return false;
	return lookup.was_found || anchor_fail_cut(&anchor, head.seq, err);
}

static bool write_anchor(const char *path, const struct checkpoint *checkpoint, const char *words,
			 const struct who *who, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) char *printed = NULL;
	CLEANUP(freep) char *text = NULL;
	char at[RFC3339_SIZE];

	if (!object || !json_add_text(object, "schema", ANCHOR_SCHEMA) ||
	    !json_add_text(object, "at", rfc3339_format(at, clock_wall_ms())) ||
	    !json_add_text(object, "station", who->station) ||
	    !json_add_text(object, "words", words) ||
	    !json_add_item(object, "checkpoint", checkpoint_json(checkpoint)))
		return muster_fail_memory(err);
	printed = json_print_pretty(object);
	text = printed ? text_format("%s\n", printed) : NULL;
	return text ? file_write(path, text, strlen(text), 0644, true, err)
		    : muster_fail_memory(err);
}

/* -- The checkpoint ----------------------------------------------------------------------------------------- */

static bool record(struct journal *journal, const struct checkpoint *checkpoint,
		   const struct who *who, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) char *body = NULL;
	struct journal_entry entry = {
		.at_ms = clock_wall_ms(),
		.stage = "journal",
		.kind = JOURNAL_NOTE,
		.operator= who->operator_name,
		.station = who->station,
	};

	if (!object || !json_add_item(object, "checkpoint", checkpoint_json(checkpoint)))
		return muster_fail_memory(err);
	entry.body = body = json_print_line(object);
	if (!body)
		return muster_fail_memory(err);
	return journal_begin(journal, err) && journal_append(journal, &entry, err) &&
	       journal_commit(journal, err);
}

static bool sign_head(struct journal *journal, EVP_PKEY *key, struct checkpoint *checkpoint,
		      struct station_checkpoint *result, struct muster_error *err)
{
	struct journal_head head;

	if (!journal_head(journal, &head, err))
		return false;
	checkpoint->entry = result->entry = head.seq;
	hex_encode(checkpoint->digest, head.digest, sizeof(head.digest));
	memcpy(result->digest, checkpoint->digest, sizeof(result->digest));
	words_encode(result->words, head.digest, STATION_WORDS_SIZE / 3);
	if (!checkpoint_sign(checkpoint, key, err))
		return false;
	sha256_hex(result->key_digest, checkpoint->spki.data, checkpoint->spki.size);
	return true;
}

bool station_checkpoint_make(const struct station_checkpoint_request *request,
			     struct station_checkpoint *ret_checkpoint, struct muster_error *err)
{
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(checkpoint_done) struct checkpoint checkpoint = { 0 };
	CLEANUP(freep) char *fallback = default_key_path(request->journal_path);
	CLEANUP(who_done) struct who who = { 0 };
	struct station_checkpoint result = { 0 };
	const char *key_path = request->key_path ? request->key_path : fallback;

	if (!key_path)
		return muster_fail_memory(err);
	if (access(request->journal_path, F_OK) < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "journal '%s'",
					 PRINTABLE(request->journal_path));
	if (!who_is_here(&who, request->operator_name, NULL, err) ||
	    !journal_open(request->journal_path, JOURNAL_WRITE, &journal, err) ||
	    !check_old_anchor(journal, request->anchor_path, err) ||
	    !open_key(key_path, &key, &result.key_is_new, err) ||
	    !sign_head(journal, key, &checkpoint, &result, err) ||
	    !record(journal, &checkpoint, &who, err))
		return false;
	if (request->anchor_path &&
	    !write_anchor(request->anchor_path, &checkpoint, result.words, &who, err))
		return muster_error_prefix(err, "writing the anchor");
	*ret_checkpoint = result;
	return true;
}
