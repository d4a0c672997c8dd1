/* Does a certificate chain to roots that are trusted. */
#include "pki-internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "muster/encoding.h"

DEFINE_FREEP(X509_STORE_freep, X509_STORE *, X509_STORE_free)
DEFINE_FREEP(X509_STORE_CTX_freep, X509_STORE_CTX *, X509_STORE_CTX_free)
DEFINE_FREEP(X509_CRL_freep, X509_CRL *, X509_CRL_free)

static X509_CRL *parse_crl(const struct bytes *data)
{
	const uint8_t *cursor = data->data;
	CLEANUP(BIO_freep) BIO *bio = NULL;

	if (data->size > 0 && data->data[0] == 0x30)
		return d2i_X509_CRL(NULL, &cursor, (long)data->size);
	bio = BIO_new_mem_buf(data->data, (int)data->size);
	return bio ? PEM_read_bio_X509_CRL(bio, NULL, pem_no_password, NULL) : NULL;
}

static bool add_crl(X509_STORE *store, const struct bytes *data, struct muster_error *err)
{
	CLEANUP(X509_CRL_freep) X509_CRL *crl = parse_crl(data);

	if (!crl)
		return pki_fail(err, CAUSE_CERTIFICATE_UNREADABLE, "the CRL");
	return (X509_STORE_add_crl(store, crl) == 1 &&
		X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) == 1) ||
	       pki_fail(err, CAUSE_CRYPTO, "taking the CRL");
}

static bool fill_store(X509_STORE *store, const struct pki_chain_check *check,
		       struct muster_error *err)
{
	for (int i = 0; i < sk_X509_num(check->roots); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(check->roots, i)) != 1)
			return pki_fail(err, CAUSE_CRYPTO, "taking a root");
	return !check->crl || add_crl(store, check->crl, err);
}

static bool fail_chain(X509_STORE_CTX *ctx, struct muster_error *err)
{
	int reason = X509_STORE_CTX_get_error(ctx);
	int depth = X509_STORE_CTX_get_error_depth(ctx);

	ERR_clear_error();
	return muster_fail_native(err, CAUSE_CHAIN_INVALID, ORIGIN_OPENSSL, (unsigned long)reason,
				  "%s%s", X509_verify_cert_error_string(reason),
				  depth == 0  ? ""
				  : depth > 0 ? " (further up the chain)"
					      : "");
}

bool pki_chain_verify(const struct pki_chain_check *check, STACK_OF(X509) **ret_chain,
		      struct muster_error *err)
{
	CLEANUP(X509_STORE_freep) X509_STORE *store = X509_STORE_new();
	CLEANUP(X509_STORE_CTX_freep) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *parameters;

	if (!store || !ctx)
		return muster_fail_memory(err);
	if (!fill_store(store, check, err))
		return false;
	if (X509_STORE_CTX_init(ctx, store, check->certificate, check->others) != 1)
		return pki_fail(err, CAUSE_CRYPTO, "setting up a verification");
	parameters = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(parameters, (time_t)(check->at_ms / 1000));
	X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
	if (X509_check_ca(check->certificate) != 1)
		X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_CLIENT);
	if (X509_verify_cert(ctx) != 1)
		return fail_chain(ctx, err);
	*ret_chain = X509_STORE_CTX_get1_chain(ctx);
	return *ret_chain || muster_fail_memory(err);
}
