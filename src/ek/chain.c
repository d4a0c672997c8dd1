/* From the certificate to a pinned root. OpenSSL walks; what it meets becomes a finding, and the terms decide. */
#include "trust.h"

#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "ek-internal.h"
#include "muster/spki.h"

DEFINE_FREEP(X509_freep, X509 *, X509_free)
DEFINE_FREEP(EVP_PKEY_freep, EVP_PKEY *, EVP_PKEY_free)
DEFINE_FREEP(X509_STORE_CTX_freep, X509_STORE_CTX *, X509_STORE_CTX_free)

struct walk {
	const struct ek_terms *terms;
	struct ek_findings *findings;
	bool is_refused;
	bool lacks_list;
};

struct row {
	int error; /* X509_V_ERR_... */
	const char *check;
	enum muster_cause cause;
};

static const struct row rows[] = {
	{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "chain", CAUSE_EK_ISSUER_UNKNOWN },
	{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "chain", CAUSE_EK_ISSUER_UNKNOWN },
	{ X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "chain", CAUSE_EK_ISSUER_UNKNOWN },
	{ X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "chain", CAUSE_EK_SELF_SIGNED },
	{ X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "chain", CAUSE_EK_ISSUER_UNKNOWN },
	{ X509_V_ERR_CERT_UNTRUSTED, "chain", CAUSE_EK_ISSUER_UNKNOWN },
	{ X509_V_ERR_CERT_HAS_EXPIRED, "chain", CAUSE_EK_CERTIFICATE_EXPIRED },
	{ X509_V_ERR_CERT_NOT_YET_VALID, "chain", CAUSE_EK_CERTIFICATE_NOT_YET },
	{ X509_V_ERR_CERT_SIGNATURE_FAILURE, "chain", CAUSE_EK_CHAIN_FORGED },
	{ X509_V_ERR_CERT_REVOKED, "revocation", CAUSE_EK_CERTIFICATE_REVOKED },
	{ X509_V_ERR_UNABLE_TO_GET_CRL, "revocation", CAUSE_EK_CRL_MISSING },
	{ X509_V_ERR_DIFFERENT_CRL_SCOPE, "revocation", CAUSE_EK_CRL_MISSING },
	{ X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, "revocation", CAUSE_EK_CRL_MISSING },
	{ X509_V_ERR_CRL_HAS_EXPIRED, "revocation", CAUSE_EK_CRL_EXPIRED },
	{ X509_V_ERR_CRL_NOT_YET_VALID, "revocation", CAUSE_EK_CRL_EXPIRED },
};
static const struct row other = { 0, "chain", CAUSE_EK_CHAIN_INVALID };
static const struct row revoked_above = { 0, "revocation", CAUSE_EK_ISSUER_REVOKED };

static const struct row *row_of(int error, int depth)
{
	if (error == X509_V_ERR_CERT_REVOKED && depth > 0)
		return &revoked_above;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].error == error)
			return &rows[i];
	return &other;
}

static enum ek_verdict verdict_of(const struct walk *walk, enum muster_cause cause)
{
	switch (cause) {
	case CAUSE_EK_CERTIFICATE_EXPIRED:
	case CAUSE_EK_CERTIFICATE_NOT_YET:
	case CAUSE_EK_CRL_EXPIRED:
		return walk->terms->allow_expired ? EK_WARNED : EK_REFUSED;
	case CAUSE_EK_CRL_MISSING:
		return walk->terms->revocation == EK_REVOCATION_REQUIRED ? EK_REFUSED : EK_NOTED;
	default:
		return EK_REFUSED;
	}
}

static const char *subject_of(X509_STORE_CTX *context, char out[160])
{
	struct ek_certificate_info info;
	struct muster_error ignored;
	X509 *certificate = X509_STORE_CTX_get_current_cert(context);
	if (!certificate || !ek_certificate_describe(certificate, &info, &ignored))
		return "a certificate";
	return text_printable(out, 160, info.subject[0] ? info.subject : info.serial);
}

/* Called for every problem; 1 goes on. */
static int on_problem(int is_good, X509_STORE_CTX *context)
{
	struct walk *walk = X509_STORE_CTX_get_app_data(context);
	int error = X509_STORE_CTX_get_error(context);
	int depth = X509_STORE_CTX_get_error_depth(context);
	if (is_good)
		return 1;
	const struct row *row = row_of(error, depth);
	enum ek_verdict verdict = verdict_of(walk, row->cause);
	walk->is_refused = walk->is_refused || verdict == EK_REFUSED;
	walk->lacks_list = walk->lacks_list || row->cause == CAUSE_EK_CRL_MISSING;
	/* The profile's check has spoken of the leaf's dates. */
	if (depth > 0 || (row->cause != CAUSE_EK_CERTIFICATE_EXPIRED &&
			  row->cause != CAUSE_EK_CERTIFICATE_NOT_YET))
		ek_find(walk->findings, row->check, verdict,
			verdict == EK_NOTED ? CAUSE_NONE : row->cause,
			"'%s' (%d above the EK's): %s", subject_of(context, (char[160]){ 0 }),
			depth, X509_verify_cert_error_string(error));
	return verdict != EK_REFUSED;
}

static void find_root(X509_STORE_CTX *context, struct ek_findings *findings)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(context);
	X509 *root = sk_X509_value(chain, sk_X509_num(chain) - 1);
	struct ek_certificate_info info;
	struct muster_error err;
	if (ek_certificate_describe(root, &info, &err))
		ek_find(findings, "chain", EK_PASSED, CAUSE_NONE,
			"chains to the pinned root '%s' (SHA-256 %.16s...) over %d certificates",
			PRINTABLE(info.subject), info.sha256, sk_X509_num(chain) - 1);
}

static void find_result(X509_STORE_CTX *context, struct walk *walk)
{
	if (walk->is_refused)
		return;
	find_root(context, walk->findings);
	if (walk->terms->revocation == EK_REVOCATION_OFF)
		ek_find(walk->findings, "revocation", EK_NOTED, CAUSE_NONE, "not asked for");
	else if (!walk->lacks_list)
		ek_find(walk->findings, "revocation", EK_PASSED, CAUSE_NONE,
			"not revoked, by the lists at hand");
}

/* OpenSSL walks no chain of a certificate whose key it does not understand. A copy gets the key without the mark that it is for
 * OAEP; what was signed stays as it is encoded. */
static X509 *copy_to_walk(X509 *certificate)
{
	CLEANUP(X509_freep) X509 *copy = X509_dup(certificate);
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = ek_certificate_key(certificate);
	X509_PUBKEY *place = copy ? X509_get_X509_PUBKEY(copy) : NULL;
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	const unsigned char *data;
	if (copy && X509_get0_pubkey(copy))
		return TAKE_PTR(copy);
	if (!copy || !key || !spki_write(key, &spki))
		return NULL;
	data = spki.data;
	return d2i_X509_PUBKEY(&place, &data, (long)spki.size) ? TAKE_PTR(copy) : NULL;
}

static bool walk_chain(X509 *judged, STACK_OF(X509) *helpers, struct walk *walk)
{
	CLEANUP(X509_freep) X509 *certificate = copy_to_walk(judged);
	CLEANUP(X509_STORE_CTX_freep) X509_STORE_CTX *context = X509_STORE_CTX_new();
	const struct ek_terms *terms = walk->terms;
	if (!certificate || !context ||
	    X509_STORE_CTX_init(context, terms->trust->store, certificate, helpers) != 1 ||
	    X509_STORE_CTX_set_app_data(context, walk) != 1)
		return false;
	X509_STORE_CTX_set_verify_cb(context, on_problem);
	X509_STORE_CTX_set_time(context, 0, (time_t)(terms->now_ms / 1000));
	if (terms->revocation != EK_REVOCATION_OFF)
		X509_STORE_CTX_set_flags(context,
					 X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	int result = X509_verify_cert(context);
	/* A no whose reason nobody was told of is no yes. */
	if (result < 0 || (result == 0 && !walk->is_refused))
		return false;
	find_result(context, walk);
	return true;
}

void ek_check_chain(X509 *certificate, STACK_OF(X509) *helpers, const struct ek_terms *terms,
		    struct ek_findings *findings)
{
	struct walk walk = { .terms = terms, .findings = findings };
	if (!terms->trust) {
		ek_find(findings, "chain", EK_WARNED, CAUSE_EK_ISSUER_NOT_JUDGED,
			"who issued the certificate is not judged: no vendor roots are given");
		return;
	}
	ERR_set_mark();
	if (!walk_chain(certificate, helpers, &walk))
		ek_find(findings, "chain", EK_REFUSED, CAUSE_CRYPTO,
			"the certificate's chain could not be walked");
	ERR_pop_to_mark();
}
