/* The station's key, in a file, a token or a TPM. */
#include "checkpoint-key.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "muster/file.h"
#include "muster/pki.h"
#include "muster/text.h"

#define KEY_FILE_MAX (16 * 1024)

DEFINE_FREEP(BIO_freep, BIO *, BIO_free_all)

static bool is_file(const char *where)
{
	return where && !text_has_prefix(where, "pkcs11:") &&
	       !text_has_prefix(where, TPM_PLACE_SCHEME);
}

/* NAME.pub beside NAME.key, for those who verify. */
static char *public_path(const char *key_path)
{
	size_t length = strlen(key_path);

	if (length > 4 && strcmp(key_path + length - 4, ".key") == 0)
		length -= 4;
	return text_format("%.*s.pub", (int)length, key_path);
}

static bool write_public_half(const char *path, EVP_PKEY *key, struct muster_error *err)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL;
	long size;

	if (!bio || PEM_write_bio_PUBKEY(bio, key) != 1) {
		ERR_clear_error();
		return muster_fail_memory(err);
	}
	size = BIO_get_mem_data(bio, &data);
	return file_write(path, data, (size_t)size, 0644, false, err);
}

bool checkpoint_key_publish(const char *where, const char *journal_path, EVP_PKEY *key,
			    struct muster_error *err)
{
	CLEANUP(freep)
	char *path = where ? strdup(where) : file_beside(journal_path, "station.key");
	CLEANUP(freep) char *public = path ? public_path(path) : NULL;

	if (!public)
		return muster_fail_memory(err);
	return !is_file(path) || access(public, F_OK) == 0 || write_public_half(public, key, err) ||
	       muster_error_prefix(err, "writing the station's public key");
}

static bool make_key(const char *path, EVP_PKEY **ret_key, struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	CLEANUP(freep) char *public = public_path(path);
	CLEANUP(secret_done) struct secret pem = { 0 };

	if (!public)
		return muster_fail_memory(err);
	/* It may be another key's, which somebody checks by it. */
	if (!file_check_absent(public, err))
		return muster_error_prefix(err, "making the station's key");
	if (!key) {
		ERR_clear_error();
		return muster_fail(err, CAUSE_CRYPTO, "making an EC key");
	}
	if (!pki_private_key_pem(key, &pem, err) ||
	    !file_write(path, pem.data, pem.size, 0600, false, err) ||
	    !write_public_half(public, key, err))
		return muster_error_prefix(err, "making the station's key");
	*ret_key = TAKE_PTR(key);
	return true;
}

static bool open_file(const char *path, struct checkpoint_key *key, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret pem = { 0 };
	struct muster_error unread;

	key->is_new = access(path, F_OK) < 0 && errno == ENOENT;
	if (key->is_new)
		return make_key(path, &key->key, err);
	if (!secret_read_file(&pem, path, KEY_FILE_MAX, err))
		return muster_error_prefix(err, "reading the station's key");
	return pki_private_key_read(&pem, &key->key, &unread) ||
	       muster_fail(err, CAUSE_STATION_KEY_UNUSABLE, "'%s' holds no private key",
			   PRINTABLE(path));
}

static bool open_token(const char *uri, struct checkpoint_key *key, struct muster_error *err)
{
	if (!station_key_open(uri, &key->token, err))
		return muster_error_prefix(err, "opening the station's key");
	key->key = station_key_get(key->token);
	return EVP_PKEY_up_ref(key->key) == 1 || muster_fail_memory(err);
}

static bool open_tpm(const char *place, struct checkpoint_key *key, struct muster_error *err)
{
	if (!tpm_signer_open(place, &key->tpm, err))
		return muster_error_prefix(err, "opening the station's key");
	key->key = key->tpm.key;
	return EVP_PKEY_up_ref(key->key) == 1 || muster_fail_memory(err);
}

bool checkpoint_key_is_there(const char *where, struct muster_error *err)
{
	return !is_file(where) || access(where, F_OK) == 0 ||
	       muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno,
				 "the station's key '%s' (muster journal checkpoint --new-key "
				 "makes one)",
				 PRINTABLE(where));
}

bool checkpoint_key_open(const char *where, const char *journal_path,
			 struct checkpoint_key *ret_key, struct muster_error *err)
{
	CLEANUP(freep) char *fallback = where ? NULL : file_beside(journal_path, "station.key");

	if (!where && !fallback)
		return muster_fail_memory(err);
	if (where && text_has_prefix(where, "pkcs11:"))
		return open_token(where, ret_key, err);
	if (where && text_has_prefix(where, TPM_PLACE_SCHEME))
		return open_tpm(where, ret_key, err);
	return open_file(where ? where : fallback, ret_key, err);
}

void checkpoint_key_done(struct checkpoint_key *key)
{
	EVP_PKEY_free(key->key);
	station_key_free(key->token);
	tpm_signer_done(&key->tpm);
}
