/* Key management of the provider: a signer with its public half. All questions about the public half are handed to
 * an ordinary key of the default provider; the private half is never given out. */
#include "pki-internal.h"

#include <string.h>

#include <openssl/params.h>

static void *key_new(void *provider)
{
	(void)provider;
	return OPENSSL_zalloc(sizeof(struct pki_key));
}

void pki_key_free(struct pki_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->public_key);
	OPENSSL_free(key);
}

static void key_free(void *key)
{
	pki_key_free(key);
}

static int key_has(const void *data, int selection)
{
	const struct pki_key *key = data;

	if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
		return key->signer != NULL;
	return key->public_key != NULL;
}

static int key_match(const void *a, const void *b, int selection)
{
	const struct pki_key *left = a, *right = b;

	if (!left->public_key || !right->public_key)
		return 0;
	if (!(selection & OSSL_KEYMGMT_SELECT_KEYPAIR))
		return EVP_PKEY_parameters_eq(left->public_key, right->public_key) == 1;
	return EVP_PKEY_eq(left->public_key, right->public_key) == 1;
}

/* -- Import: a signer from pki_key_from_signer, or a public key that somebody wants to compare ---------------- */

static int import_signer(struct pki_key *key, const OSSL_PARAM *param)
{
	struct muster_error err;

	if (param->data_size != sizeof(key->signer))
		return 0;
	memcpy(&key->signer, param->data, sizeof(key->signer));
	return pki_public_key_read(&key->signer->spki, &key->public_key, &err);
}

static int import_public(struct pki_key *key, const char *type, int selection,
			 const OSSL_PARAM params[])
{
	CLEANUP(EVP_PKEY_CTX_freep)
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *copy = OSSL_PARAM_dup(params);
	bool is_made = ctx && copy && EVP_PKEY_fromdata_init(ctx) == 1 &&
		       EVP_PKEY_fromdata(ctx, &key->public_key, selection, copy) == 1;

	OSSL_PARAM_free(copy);
	return is_made;
}

static int key_import(void *data, const char *type, int selection, const OSSL_PARAM params[])
{
	const OSSL_PARAM *signer = OSSL_PARAM_locate_const(params, PKI_PARAM_SIGNER);
	struct pki_key *key = data;

	if (signer)
		return import_signer(key, signer);
	return import_public(key, type, selection & ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY, params);
}

static int key_import_ec(void *data, int selection, const OSSL_PARAM params[])
{
	return key_import(data, "EC", selection, params);
}

static int key_import_rsa(void *data, int selection, const OSSL_PARAM params[])
{
	return key_import(data, "RSA", selection, params);
}

static int key_import_ed25519(void *data, int selection, const OSSL_PARAM params[])
{
	return key_import(data, "ED25519", selection, params);
}

static const OSSL_PARAM *key_import_types(int selection)
{
	static const OSSL_PARAM types[] = { OSSL_PARAM_octet_string(PKI_PARAM_SIGNER, NULL, 0),
					    OSSL_PARAM_END };

	(void)selection;
	return types;
}

/* -- Export: only without the private half. This refusal makes OpenSSL sign here and nowhere else --------------- */

static int key_export(void *data, int selection, OSSL_CALLBACK *callback, void *argument)
{
	struct pki_key *key = data;

	if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
		return 0;
	return EVP_PKEY_export(key->public_key, selection, callback, argument);
}

static int key_get_params(void *data, OSSL_PARAM params[])
{
	struct pki_key *key = data;
	OSSL_PARAM *error = OSSL_PARAM_locate(params, PKI_PARAM_ERROR);

	if (error)
		return OSSL_PARAM_set_octet_string(error, &key->error, sizeof(key->error));
	return EVP_PKEY_get_params(key->public_key, params);
}

static const OSSL_PARAM *key_gettable_params(void *provider)
{
	static const OSSL_PARAM types[] = { OSSL_PARAM_octet_string(PKI_PARAM_ERROR, NULL, 0),
					    OSSL_PARAM_END };

	(void)provider;
	return types;
}

static const char *query_ecdsa(int operation)
{
	(void)operation;
	return "ECDSA";
}

static const char *query_rsa(int operation)
{
	(void)operation;
	return "RSA";
}

static const char *query_ed25519(int operation)
{
	(void)operation;
	return "ED25519";
}

#define ROW(number, function)                                          \
	{                                                              \
		OSSL_FUNC_KEYMGMT_##number, (void (*)(void))(function) \
	}
#define KEY_MANAGEMENT(name, import_, query)               \
	const OSSL_DISPATCH name[] = {                     \
		ROW(NEW, key_new),                         \
		ROW(FREE, key_free),                       \
		ROW(HAS, key_has),                         \
		ROW(MATCH, key_match),                     \
		ROW(IMPORT, import_),                      \
		ROW(IMPORT_TYPES, key_import_types),       \
		ROW(EXPORT, key_export),                   \
		ROW(EXPORT_TYPES, key_import_types),       \
		ROW(GET_PARAMS, key_get_params),           \
		ROW(GETTABLE_PARAMS, key_gettable_params), \
		ROW(QUERY_OPERATION_NAME, query),          \
		{ 0 },                                     \
	}

KEY_MANAGEMENT(pki_key_management_ec, key_import_ec, query_ecdsa);
KEY_MANAGEMENT(pki_key_management_rsa, key_import_rsa, query_rsa);
KEY_MANAGEMENT(pki_key_management_ed25519, key_import_ed25519, query_ed25519);
