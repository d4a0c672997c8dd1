#include "assertion.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/rsa.h>

#include "muster/encoding.h"
#include "muster/json.h"

#define FEDERATED_AUDIENCE "api://AzureADTokenExchange"
#define LIFE_MAX_S 86400

struct jwt {
	const char *text;
	size_t signed_length; /* "header.payload" */
	cJSON *header, *claims;
	struct bytes signature;
};

static void jwt_done(struct jwt *jwt)
{
	cJSON_Delete(jwt->header);
	cJSON_Delete(jwt->claims);
	bytes_done(&jwt->signature);
}

static bool decode(const char *part, size_t length, cJSON **ret_object)
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	struct muster_error err;

	return base64url_decode(part, length, &bytes) &&
	       json_parse((const char *)bytes.data, bytes.size, "the assertion", ret_object, &err);
}

static bool parse(const char *text, struct jwt *jwt)
{
	const char *first = text ? strchr(text, '.') : NULL;
	const char *second = first ? strchr(first + 1, '.') : NULL;

	if (!second)
		return false;
	jwt->text = text;
	jwt->signed_length = (size_t)(second - text);
	return decode(text, (size_t)(first - text), &jwt->header) &&
	       decode(first + 1, (size_t)(second - first - 1), &jwt->claims) &&
	       base64url_decode(second + 1, strlen(second + 1), &jwt->signature);
}

/* RS256 or PS256, as the header says. */
static bool is_signed_by(const struct jwt *jwt, X509 *certificate)
{
	const char *algorithm = json_text(jwt->header, "alg");
	bool is_pss = algorithm && strcmp(algorithm, "PS256") == 0;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *terms;
	bool is_good;

	is_good = context && (is_pss || (algorithm && strcmp(algorithm, "RS256") == 0)) &&
		  EVP_DigestVerifyInit(context, &terms, EVP_sha256(), NULL,
				       X509_get0_pubkey(certificate)) == 1 &&
		  (!is_pss ||
		   (EVP_PKEY_CTX_set_rsa_padding(terms, RSA_PKCS1_PSS_PADDING) > 0 &&
		    EVP_PKEY_CTX_set_rsa_pss_saltlen(terms, RSA_PSS_SALTLEN_DIGEST) > 0)) &&
		  EVP_DigestVerify(context, jwt->signature.data, jwt->signature.size,
				   (const unsigned char *)jwt->text, jwt->signed_length) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return is_good;
}

static bool names_certificate(const struct jwt *jwt, const X509 *certificate)
{
	const char *named = json_text(jwt->header, "x5t#S256");
	uint8_t digest[SHA256_SIZE];
	CLEANUP(freep) char *wanted = NULL;

	if (X509_digest(certificate, EVP_sha256(), digest, NULL) != 1)
		return false;
	wanted = base64url_encode(digest, sizeof(digest));
	return named && wanted && strcmp(named, wanted) == 0;
}

static bool has_text(const struct jwt *jwt, const char *name, const char *wanted)
{
	const char *found = json_text(jwt->claims, name);

	return found && strcmp(found, wanted) == 0;
}

static bool holds_now(const struct jwt *jwt, int64_t now_ms)
{
	int64_t expiry_s, now_s = now_ms / 1000;

	return json_int64(jwt->claims, "exp", &expiry_s) && expiry_s > now_s &&
	       expiry_s <= now_s + LIFE_MAX_S;
}

bool assertion_is_own(const char *assertion, const struct application *application,
		      const char *audience, int64_t now_ms)
{
	CLEANUP(jwt_done) struct jwt jwt = { 0 };

	return application->certificate && parse(assertion, &jwt) &&
	       names_certificate(&jwt, application->certificate) &&
	       has_text(&jwt, "iss", application->client_id) &&
	       has_text(&jwt, "sub", application->client_id) && has_text(&jwt, "aud", audience) &&
	       holds_now(&jwt, now_ms) && is_signed_by(&jwt, application->certificate);
}

bool assertion_is_federated(const char *assertion, const struct application *application,
			    int64_t now_ms)
{
	CLEANUP(jwt_done) struct jwt jwt = { 0 };

	return application->federation && parse(assertion, &jwt) &&
	       has_text(&jwt, "aud", FEDERATED_AUDIENCE) && holds_now(&jwt, now_ms) &&
	       is_signed_by(&jwt, application->federation);
}
