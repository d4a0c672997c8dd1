#include "pki-internal.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>

#include "muster/encoding.h"
#include "muster/spki.h"

/* -- Public halves ----------------------------------------------------------------------------------------- */

bool pki_public_key_read(const struct bytes *spki, EVP_PKEY **ret_key, struct muster_error *err)
{
	EVP_PKEY *key = spki_read(spki);

	if (!key)
		return pki_fail(err, CAUSE_INTERNAL, "reading a public key");
	*ret_key = key;
	return true;
}

bool pki_public_key_der(const EVP_PKEY *key, struct bytes *ret_spki, struct muster_error *err)
{
	return spki_write(key, ret_spki) || pki_fail(err, CAUSE_CRYPTO, "encoding a public key");
}

/* -- Software keys ------------------------------------------------------------------------------------------- */

bool pki_private_key_pem(const EVP_PKEY *key, struct secret *ret_pem, struct muster_error *err)
{
	/* BIO_s_secmem: its buffer is wiped when it is freed. */
	CLEANUP(BIO_freep) BIO *bio = BIO_new(BIO_s_secmem());
	char *data = NULL;
	long size;

	if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return pki_fail(err, CAUSE_CRYPTO, "encoding a private key");
	size = BIO_get_mem_data(bio, &data);
	return secret_copy(ret_pem, data, (size_t)size, err);
}

bool pki_private_key_read(const struct secret *pem, EVP_PKEY **ret_key, struct muster_error *err)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->size);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, pem_no_password, NULL) : NULL;

	if (!key)
		return pki_fail(err, CAUSE_SECRET_INVALID, "reading a private key");
	ERR_clear_error();
	*ret_key = key;
	return true;
}

/* -- The provider ---------------------------------------------------------------------------------------------- */

/* A provider and not the older key methods: those get RSA-PSS only as a padded block to be raised to a power, which
 * a signer cannot do, know no Ed25519, and are deprecated. It lives in a library context of its own, so that nobody
 * ever gets its algorithms but by a key made here. */

static const OSSL_ALGORITHM key_managements[] = {
	{ "EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=muster", pki_key_management_ec, NULL },
	{ "RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=muster", pki_key_management_rsa,
	  NULL },
	{ "ED25519:1.3.101.112", "provider=muster", pki_key_management_ed25519, NULL },
	{ 0 },
};

static const OSSL_ALGORITHM signatures[] = {
	{ "ECDSA", "provider=muster", pki_signature_functions, NULL },
	{ "RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=muster", pki_signature_functions,
	  NULL },
	{ "ED25519:1.3.101.112", "provider=muster", pki_signature_functions, NULL },
	{ 0 },
};

static const OSSL_ALGORITHM *query_operation(void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return key_managements;
	return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {
	{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query_operation },
	{ 0 },
};

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
			 const OSSL_DISPATCH **out, void **context)
{
	(void)in;
	*out = provider_functions;
	*context = (void *)(uintptr_t)handle; /* has to be something */
	return 1;
}

/* The context with our provider, made at the first call; NULL when OpenSSL cannot. */
static OSSL_LIB_CTX *get_library_context(void)
{
	static OSSL_LIB_CTX *context;
	OSSL_LIB_CTX *made;

	if (context)
		return context;
	made = OSSL_LIB_CTX_new();
	if (!made)
		return NULL;
	if (OSSL_PROVIDER_add_builtin(made, "muster", provider_init) != 1 ||
	    !OSSL_PROVIDER_try_load(made, "muster", 1)) {
		OSSL_LIB_CTX_free(made);
		return NULL;
	}
	context = made;
	return context;
}

static const char *get_type_name(const EVP_PKEY *key)
{
	static const char *const names[] = { "EC", "RSA", "ED25519" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (EVP_PKEY_is_a(key, names[i]))
			return names[i];
	}
	return NULL;
}

bool pki_key_from_signer(struct signer *signer, EVP_PKEY **ret_key, struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *public_key = NULL;
	CLEANUP(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
	OSSL_LIB_CTX *context = get_library_context();
	OSSL_PARAM params[2] = { OSSL_PARAM_construct_octet_string(PKI_PARAM_SIGNER,
								   (void *)&signer, sizeof(signer)),
				 OSSL_PARAM_construct_end() };
	const char *type;

	if (!context)
		return pki_fail(err, CAUSE_CRYPTO, "setting up keys that live elsewhere");
	if (!pki_public_key_read(&signer->spki, &public_key, err))
		return false;
	type = get_type_name(public_key);
	if (!type)
		return muster_fail(err, CAUSE_INTERNAL,
				   "a key type that muster does not sign with");
	ctx = EVP_PKEY_CTX_new_from_name(context, type, "provider=muster");
	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, ret_key, EVP_PKEY_KEYPAIR, params) != 1)
		return pki_fail(err, CAUSE_CRYPTO, "making a key that lives elsewhere");
	return true;
}

bool pki_key_last_error(const EVP_PKEY *key, struct muster_error *ret_err)
{
	struct muster_error last = { 0 };
	size_t size = 0;

	ERR_set_mark();
	if (EVP_PKEY_get_octet_string_param(key, PKI_PARAM_ERROR, (unsigned char *)&last,
					    sizeof(last), &size) != 1)
		size = 0;
	ERR_pop_to_mark();
	if (size != sizeof(last) || last.code == MUSTER_OK)
		return false;
	*ret_err = last;
	return true;
}
