#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/process.h"

#include "http-internal.h"

DEFINE_FREEP(BIO_freep, BIO *, BIO_free_all)
DEFINE_FREEP(X509_freep, X509 *, X509_free)

#define HINT_SIZE 160
#define ROOTS_MAX (4 * 1024 * 1024)

bool http_tls_check_roots(const char *ca_file, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes pem = { 0 };
	CLEANUP(BIO_freep) BIO *bio = NULL;
	CLEANUP(X509_freep) X509 *first = NULL;

	if (!file_read_owned(ca_file, ROOTS_MAX, &pem, err))
		return muster_error_prefix(err, "reading the trusted roots");
	bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	if (!bio)
		return muster_fail_memory(err);
	ERR_set_mark();
	first = PEM_read_bio_X509(bio, NULL, pem_no_password, NULL);
	ERR_pop_to_mark();
	if (!first)
		return muster_fail(err, CAUSE_INPUT_NOT_FOUND,
				   "reading the trusted roots: '%s' holds no PEM certificate",
				   PRINTABLE(ca_file));
	return true;
}

CURLcode http_tls_prepare(CURL *easy, void *ssl_context, void *data)
{
	const struct http_request *request = data;

	(void)easy;
	/* curl has them freed after each record, and freeing is wiping. */
	SSL_CTX_clear_mode(ssl_context, SSL_MODE_RELEASE_BUFFERS);
	if (!request->certificate)
		return CURLE_OK;
	if (SSL_CTX_use_certificate(ssl_context, request->certificate) == 1 &&
	    SSL_CTX_use_PrivateKey(ssl_context, request->key) == 1)
		return CURLE_OK;
	return CURLE_SSL_CERTPROBLEM;
}

/* -- What went wrong ----------------------------------------------------------------------------------- */

static const struct {
	long verify_result;
	const char *words;
} verify_failures[] = {
	{ X509_V_ERR_CERT_HAS_EXPIRED, "has expired" },
	{ X509_V_ERR_CERT_NOT_YET_VALID, "is not valid yet" },
	{ X509_V_ERR_CERT_REVOKED, "was revoked" },
	{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "does not chain to a trusted root" },
	{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "does not chain to a trusted root" },
	{ X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "does not chain to a trusted root" },
	{ X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
	  "is self-signed and does not chain to a trusted root" },
	{ X509_V_ERR_EE_KEY_TOO_SMALL, "has a key that is too small" },
	{ X509_V_ERR_CA_KEY_TOO_SMALL, "is from a root whose key is too small" },
	{ X509_V_ERR_CA_MD_TOO_WEAK, "is signed with a digest that is too weak" },
	{ X509_V_ERR_INVALID_PURPOSE, "is not a server certificate" },
};

static const char *verify_words(long verify_result)
{
	for (size_t i = 0; i < ARRAY_SIZE(verify_failures); i++)
		if (verify_failures[i].verify_result == verify_result)
			return verify_failures[i].words;
	return "cannot be verified";
}

/* curl compares the name itself when OpenSSL was content, and says so in words alone, which differ from version to version: what
 * OpenSSL found is not noted yet then. */
static void describe_certificate(struct http_transfer *transfer, CURLcode result)
{
	const char *url = PRINTABLE(transfer->place);
	char way[HTTP_PROXY_WORDS_SIZE];
	long verify_result = X509_V_ERR_UNSPECIFIED;

	http_proxy_words(transfer, way);
	curl_easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &verify_result);
	if (verify_result == X509_V_ERR_UNSPECIFIED || verify_result == X509_V_OK)
		muster_fail_native(
			&transfer->answer.error, CAUSE_CLOUD_TLS, ORIGIN_CURL, result,
			"connecting to '%s'%s: the server's certificate names another host", url,
			way);
	else
		muster_fail_native(&transfer->answer.error, CAUSE_CLOUD_TLS, ORIGIN_OPENSSL,
				   (unsigned long)verify_result,
				   "connecting to '%s'%s: the server's certificate %s", url, way,
				   verify_words(verify_result));
}

/* curl has one code for a handshake that fails by its rules and one that the network cuts. */
static bool is_cut_handshake(const struct http_transfer *transfer)
{
	static const char *const signs[] = { "SYSCALL", "reset by peer", "unexpected eof",
					     "Broken pipe" };

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		if (strstr(transfer->curl_words, signs[i]))
			return true;
	return false;
}

static const char *words_of(const struct http_transfer *transfer, CURLcode result)
{
	return transfer->curl_words[0] ? transfer->curl_words : curl_easy_strerror(result);
}

/* Whoever has a proxy in the environment counts on it. */
static const char *hint_of(const struct http_transfer *transfer, enum muster_cause cause,
			   char out[HINT_SIZE])
{
	const char *ignored = process_removed_proxy();

	out[0] = 0;
	if (ignored && !transfer->http->proxy && cause == CAUSE_CLOUD_UNREACHABLE)
		snprintf(
			out, HINT_SIZE,
			"; the environment's %s is not used: name the proxy by --proxy, or as proxy "
			"in muster.yaml",
			ignored);
	return out;
}

static void describe_not_sent(struct http_transfer *transfer, CURLcode result)
{
	const char *url = PRINTABLE(transfer->place);
	const char *words = PRINTABLE(words_of(transfer, result));
	enum muster_cause cause = CAUSE_CLOUD_UNREACHABLE;
	char way[HTTP_PROXY_WORDS_SIZE], hint[HINT_SIZE];

	if (result == CURLE_PEER_FAILED_VERIFICATION) {
		describe_certificate(transfer, result);
		return;
	}
	if (result == CURLE_SSL_CONNECT_ERROR && !is_cut_handshake(transfer))
		cause = CAUSE_CLOUD_TLS;
	else if (result == CURLE_SSL_CERTPROBLEM)
		cause = CAUSE_CRYPTO;
	muster_fail_native(&transfer->answer.error, cause, ORIGIN_CURL, result,
			   "connecting to '%s'%s: %s%s", url, http_proxy_words(transfer, way),
			   words, hint_of(transfer, cause, hint));
}

static void describe_unknown(struct http_transfer *transfer, CURLcode result)
{
	const char *url = PRINTABLE(transfer->place);

	if (transfer->is_too_large)
		muster_fail(&transfer->answer.error, CAUSE_CLOUD_ANSWER_INVALID,
			    "the answer of '%s' is larger than %zu bytes", url,
			    transfer->header_bytes > HTTP_HEADERS_MAX ? (size_t)HTTP_HEADERS_MAX
								      : transfer->reply_max);
	else
		muster_fail_native(&transfer->answer.error,
				   transfer->request.method == HTTP_GET ? CAUSE_CLOUD_UNREACHABLE
									: CAUSE_OUTCOME_UNKNOWN,
				   ORIGIN_CURL, result, "waiting for the answer of '%s': %s", url,
				   PRINTABLE(words_of(transfer, result)));
}

void http_failure_describe(struct http_transfer *transfer, CURLcode result)
{
	if (transfer->may_have_sent) {
		transfer->answer.outcome = HTTP_UNKNOWN;
		describe_unknown(transfer, result);
	} else {
		transfer->answer.outcome = HTTP_NOT_SENT;
		if (!http_proxy_describe(transfer, result))
			describe_not_sent(transfer, result);
	}
}
