/* A JWT that says who we are, signed with the key of a certificate that the authority knows. */
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "muster/encoding.h"
#include "muster/json.h"

#include "token-internal.h"

#define ASSERTION_LIFE_S 600
#define SIGNATURE_MAX 1024

/* -- The parts ----------------------------------------------------------------------------------------- */

static char *make_header(X509 *certificate)
{
	CLEANUP(freep) char *thumbprint = NULL;
	uint8_t digest[SHA256_SIZE];
	CLEANUP(freep) char *header = NULL;

	if (X509_digest(certificate, EVP_sha256(), digest, NULL) != 1 ||
	    !(thumbprint = base64url_encode(digest, sizeof(digest))))
		return NULL;
	header = text_format("{\"alg\":\"PS256\",\"typ\":\"JWT\",\"x5t#S256\":\"%s\"}", thumbprint);
	return header ? base64url_encode(header, strlen(header)) : NULL;
}

static char *make_claims(const struct dps_tokens *tokens, const char *audience, int64_t now_s)
{
	CLEANUP(freep) char *quoted_audience = json_quote(audience);
	CLEANUP(freep) char *client = json_quote(tokens->client_id);
	CLEANUP(freep) char *claims = NULL;
	char identifier[33];
	struct muster_error err;
	uint8_t random[16];

	if (!quoted_audience || !client || !random_bytes(random, sizeof(random), &err))
		return NULL;
	claims = text_format(
		"{\"aud\":%s,\"iss\":%s,\"sub\":%s,\"jti\":\"%s\",\"nbf\":%lld,\"exp\":%lld}",
		quoted_audience, client, client, hex_encode(identifier, random, sizeof(random)),
		(long long)now_s, (long long)now_s + ASSERTION_LIFE_S);
	return claims ? base64url_encode(claims, strlen(claims)) : NULL;
}

/* RSA-PSS with a salt as long as the digest (RFC 7518 3.5). */
static bool sign(EVP_PKEY *key, const char *text, uint8_t signature[SIGNATURE_MAX], size_t *size)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *terms;
	bool is_signed;

	*size = SIGNATURE_MAX;
	is_signed =
		context && EVP_DigestSignInit(context, &terms, EVP_sha256(), NULL, key) == 1 &&
		EVP_PKEY_CTX_set_rsa_padding(terms, RSA_PKCS1_PSS_PADDING) > 0 &&
		EVP_PKEY_CTX_set_rsa_pss_saltlen(terms, RSA_PSS_SALTLEN_DIGEST) > 0 &&
		EVP_DigestSign(context, signature, size, (const uint8_t *)text, strlen(text)) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return is_signed;
}

bool token_assertion_make(const struct dps_tokens *tokens, const char *audience,
			  int64_t now_wall_ms, struct secret *ret_assertion,
			  struct muster_error *err)
{
	CLEANUP(freep) char *header = make_header(tokens->certificate);
	CLEANUP(freep) char *claims = make_claims(tokens, audience, now_wall_ms / 1000);
	CLEANUP(text_done) struct text text = TEXT_MAX(8192);
	CLEANUP(freep) char *encoded = NULL;
	uint8_t signature[SIGNATURE_MAX];
	size_t size;

	if (!header || !claims)
		return muster_fail_memory(err);
	text_addf(&text, "%s.%s", header, claims);
	if (!text_ok(&text, err))
		return false;
	if (!sign(tokens->key, text.data, signature, &size))
		return muster_fail(err, CAUSE_SIGN_IN_KEY,
				   "signing in as application '%s': the certificate's key made no "
				   "RSA-PSS signature",
				   PRINTABLE(tokens->client_id));
	encoded = base64url_encode(signature, size);
	if (!encoded)
		return muster_fail_memory(err);
	text_addf(&text, ".%s", encoded);
	return text_ok(&text, err) && secret_copy(ret_assertion, text.data, text.length, err);
}

/* -- Key and certificate ------------------------------------------------------------------------------- */

static BIO *open_text(const struct secret *pem)
{
	return pem->size > 0 ? BIO_new_mem_buf(pem->data, (int)pem->size) : NULL;
}

bool dps_client_certificate_read(const struct secret *pem, X509 **ret_certificate,
				 struct muster_error *err)
{
	BIO *bio = open_text(pem);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, pem_no_password, NULL) : NULL;

	BIO_free(bio);
	ERR_clear_error();
	if (!certificate)
		return muster_fail(
			err, CAUSE_SIGN_IN_KEY,
			"the client certificate's file holds no certificate in PEM form");
	X509_free(*ret_certificate);
	*ret_certificate = certificate;
	return true;
}

bool dps_client_key_read(const struct secret *pem, EVP_PKEY **ret_key, struct muster_error *err)
{
	BIO *bio = open_text(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, pem_no_password, NULL) : NULL;

	BIO_free(bio);
	ERR_clear_error();
	if (!key)
		return muster_fail(err, CAUSE_SIGN_IN_KEY,
				   "the client certificate's file holds no private key in PEM form "
				   "without a password");
	EVP_PKEY_free(*ret_key);
	*ret_key = key;
	return true;
}
