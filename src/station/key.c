#include "muster/station-key.h"

#include <stdlib.h>

#include "custody.h"

/* Does not move: the signer points into it. */
struct station_key {
	struct custody custody;
	struct bytes id, spki;
	struct token_signer signer;
	EVP_PKEY *key;
};

static bool open_key(struct station_key *key, const char *uri, struct muster_error *err)
{
	const struct station_custody request = { 0 };

	if (!custody_open(&key->custody, &request, uri, CUSTODY_LOOKS, err) ||
	    !token_key_find(key->custody.hsm, uri, &key->id, &key->spki, NULL, err))
		return false;
	token_signer_init(&key->signer, key->custody.hsm, &key->id, &key->spki);
	return pki_key_from_signer(&key->signer.signer, &key->key, err);
}

bool station_key_open(const char *uri, struct station_key **ret_key, struct muster_error *err)
{
	CLEANUP(station_key_freep) struct station_key *key = calloc(1, sizeof(*key));

	if (!key)
		return muster_fail_memory(err);
	if (!open_key(key, uri, err))
		return false;
	*ret_key = TAKE_PTR(key);
	return true;
}

EVP_PKEY *station_key_get(const struct station_key *key)
{
	return key->key;
}

void station_key_free(struct station_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->key);
	custody_done(&key->custody);
	bytes_done(&key->id);
	bytes_done(&key->spki);
	free(key);
}
