#include "muster/identity.h"

#include <string.h>

#include "muster/encoding.h"

#define MASTER_MIN 16
#define MASTER_MAX 64
#define MASTER_FILE_MAX 4096

bool identity_device_key_derive(struct hmac_key *master, const char *registration_id,
				struct secret *ret_key, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret key = { 0 };
	char id[REGISTRATION_ID_MAX + 1];

	if (!identity_registration_id_normalise(registration_id, REGISTRATION_ID_MAX, id, err))
		return false;
	if (!secret_new(&key, DEVICE_KEY_SIZE, err))
		return false;
	if (!master->hmac(master, id, strlen(id), key.data, err))
		return muster_error_prefix(err, "deriving the key of '%s'", id);
	secret_done(ret_key);
	*ret_key = key;
	key = (struct secret){ 0 };
	return true;
}

static bool hmac_in_memory(struct hmac_key *key, const void *data, size_t size, uint8_t mac[32],
			   struct muster_error *err)
{
	const struct secret *master = key->context;

	return hmac_sha256(master->data, master->size, data, size, mac, err);
}

void identity_hmac_key_from_secret(struct hmac_key *ret_key, const struct secret *master)
{
	/* The context is not const for the sake of other kinds of keys; this one only reads it. */
	*ret_key =
		(struct hmac_key){ .hmac = hmac_in_memory, .context = (void *)(uintptr_t)master };
}

bool identity_master_read(const char *path, struct secret *ret_master, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret encoded = { 0 };

	return secret_read_file(&encoded, path, MASTER_FILE_MAX, err) &&
	       identity_master_decode(&encoded, path, ret_master, err);
}

bool identity_master_decode(const struct secret *encoded, const char *where,
			    struct secret *ret_master, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret master = { 0 };

	if (!secret_from_base64(&master, (const char *)encoded->data, encoded->size, where, err))
		return false;
	if (master.size < MASTER_MIN || master.size > MASTER_MAX)
		return muster_fail(err, CAUSE_SECRET_INVALID,
				   "the master key in '%s' has %zu bytes, not %d to %d",
				   PRINTABLE(where), master.size, MASTER_MIN, MASTER_MAX);
	secret_done(ret_master);
	*ret_master = master;
	master = (struct secret){ 0 };
	return true;
}
