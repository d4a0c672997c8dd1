/* Sign-in without a network: what answers mean, and the assertion that stands for a secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/rsa.h>

#include "muster/encoding.h"
#include "muster/json.h"

#include "../../src/dps/management.h"
#include "../../src/dps/token-internal.h"

#define NOW_MS INT64_C(1700000000000)

/* -- Answers of the authority --------------------------------------------------------------------------- */

static bool read_answer(int status, const char *body, struct token *ret_token,
			struct muster_error *err)
{
	struct http_answer answer = { .outcome = HTTP_ANSWERED, .status = status };
	bool is_read;

	text_add(&answer.body, body);
	is_read = token_answer_read(&answer, "signing in", NOW_MS, ret_token, err);
	http_answer_done(&answer);
	return is_read;
}

static void expect_token(const char *body, int64_t renew_after_s)
{
	struct token token = { 0 };
	struct muster_error err;

	if (!read_answer(200, body, &token, &err))
		fail_msg("%s", err.message);
	assert_string_equal(token.value.data, "abc.def");
	assert_int_equal(token.renew_at_ms, NOW_MS + renew_after_s * 1000);
	token_done(&token);
}

static void takes_tokens_and_renews_them_early(void **state)
{
	(void)state;
	expect_token("{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"abc.def\"}",
		     3300);
	expect_token(
		"{\"token_type\":\"bearer\",\"expires_in\":\"3600\",\"access_token\":\"abc.def\"}",
		3300);
	expect_token("{\"token_type\":\"Bearer\",\"expires_in\":100,\"access_token\":\"abc.def\"}",
		     80);
}

static void expect_failure(int status, const char *body, enum muster_cause cause, const char *words)
{
	struct token token = { 0 };
	struct muster_error err;

	assert_false(read_answer(status, body, &token, &err));
	assert_int_equal(err.cause, cause);
	if (!strstr(err.message, words))
		fail_msg("%s", err.message);
	assert_null(token.value.data);
}

static void refuses_what_is_no_token(void **state)
{
	static const char *const bodies[] = {
		"",
		"[]",
		"{}",
		"{\"token_type\":\"Bearer\",\"expires_in\":3600}",
		"{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"\"}",
		"{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"a b\"}",
		"{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"a\\r\\nX: y\"}",
		"{\"token_type\":\"Bearer\",\"expires_in\":0,\"access_token\":\"abc\"}",
		"{\"token_type\":\"Bearer\",\"expires_in\":\"soon\",\"access_token\":\"abc\"}",
		"{\"token_type\":\"mac\",\"expires_in\":3600,\"access_token\":\"abc\"}",
		"{\"expires_in\":3600,\"access_token\":\"abc\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++)
		expect_failure(200, bodies[i], CAUSE_SIGN_IN_ANSWER, "signing in");
}

static void shows_the_authoritys_words(void **state)
{
	(void)state;
	expect_failure(
		401,
		"{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: No.\\r\\nTrace\"}",
		CAUSE_SIGN_IN_REFUSED, "401, invalid_client: AADSTS7000215: No.");
	expect_failure(400, "<html>", CAUSE_SIGN_IN_REFUSED, "400");
	expect_failure(503, "", CAUSE_CLOUD_SERVER_ERROR, "503");
	expect_failure(400,
		       "{\"error\":\"temporarily_unavailable\",\"error_description\":"
		       "\"AADSTS90033: A transient error.\"}",
		       CAUSE_CLOUD_SERVER_ERROR, "400, temporarily_unavailable: AADSTS90033");
	expect_failure(400, "{\"error\":\"server_error\"}", CAUSE_CLOUD_SERVER_ERROR, "400");
	expect_failure(400, "{\"error\":7}", CAUSE_SIGN_IN_REFUSED, "400");
	expect_failure(429, "", CAUSE_CLOUD_THROTTLED, "429");
}

/* -- Assertions ----------------------------------------------------------------------------------------- */

static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *certificate = X509_new();

	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	return certificate;
}

static void decode(const char *part, size_t length, cJSON **ret_object)
{
	struct bytes bytes = { 0 };
	struct muster_error err;

	assert_true(base64url_decode(part, length, &bytes));
	assert_true(json_parse((const char *)bytes.data, bytes.size, "a part", ret_object, &err));
	bytes_done(&bytes);
}

static bool verifies(EVP_PKEY *key, const char *text, size_t length, const struct bytes *signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *terms;
	bool is_good = EVP_DigestVerifyInit(context, &terms, EVP_sha256(), NULL, key) == 1 &&
		       EVP_PKEY_CTX_set_rsa_padding(terms, RSA_PKCS1_PSS_PADDING) > 0 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(terms, RSA_PSS_SALTLEN_DIGEST) > 0 &&
		       EVP_DigestVerify(context, signature->data, signature->size,
					(const unsigned char *)text, length) == 1;

	EVP_MD_CTX_free(context);
	return is_good;
}

static void check_parts(const struct dps_tokens *tokens, const char *text)
{
	const char *claims_text = strchr(text, '.') + 1, *end = strchr(claims_text, '.');
	char thumbprint[SHA256_SIZE];
	struct bytes signature = { 0 };
	cJSON *header = NULL, *claims = NULL;
	char *wanted;
	int64_t expiry;

	decode(text, (size_t)(claims_text - text - 1), &header);
	decode(claims_text, (size_t)(end - claims_text), &claims);
	assert_string_equal(json_text(header, "alg"), "PS256");
	X509_digest(tokens->certificate, EVP_sha256(), (unsigned char *)thumbprint, NULL);
	wanted = base64url_encode(thumbprint, sizeof(thumbprint));
	assert_string_equal(json_text(header, "x5t#S256"), wanted);
	assert_string_equal(json_text(claims, "iss"), "client-1");
	assert_string_equal(json_text(claims, "sub"), "client-1");
	assert_string_equal(json_text(claims, "aud"), "https://a/token");
	assert_true(json_int64(claims, "exp", &expiry));
	assert_int_equal(expiry, NOW_MS / 1000 + 600);
	assert_int_equal(strlen(json_text(claims, "jti")), 32);
	assert_true(base64url_decode(end + 1, strlen(end + 1), &signature));
	assert_true(verifies(tokens->key, text, (size_t)(end - text), &signature));
	assert_false(verifies(tokens->key, text, (size_t)(end - text - 1), &signature));
	bytes_done(&signature);
	cJSON_Delete(header);
	cJSON_Delete(claims);
	free(wanted);
}

static void signs_assertions_that_verify(void **state)
{
	struct dps_tokens tokens = { .client_id = "client-1", .key = EVP_RSA_gen(2048) };
	struct secret assertion = { 0 };
	struct muster_error err;

	(void)state;
	tokens.certificate = make_certificate(tokens.key);
	if (!token_assertion_make(&tokens, "https://a/token", NOW_MS, &assertion, &err))
		fail_msg("%s", err.message);
	check_parts(&tokens, (const char *)assertion.data);
	secret_done(&assertion);
	X509_free(tokens.certificate);
	EVP_PKEY_free(tokens.key);
}

/* -- The management API --------------------------------------------------------------------------------- */

static const struct management_target target = { "https://m.example", "s-1", NULL, "dps-1" };

static cJSON *parse(const char *text)
{
	cJSON *root = NULL;
	struct muster_error err;

	if (!json_parse(text, strlen(text), "the test", &root, &err))
		fail_msg("%s", err.message);
	return root;
}

static void follows_pages_only_below_the_endpoint(void **state)
{
	static const struct {
		const char *page;
		bool is_good, has_next;
	} rows[] = {
		{ "{}", true, false },
		{ "{\"nextLink\":\"\"}", true, false },
		{ "{\"nextLink\":\"https://m.example/next?x=1\"}", true, true },
		{ "{\"nextLink\":\"https://m.example:443/next\"}", true, true },
		{ "{\"nextLink\":\"https://M.Example/next\"}", true, true },
		{ "{\"nextLink\":\"https://m.example:444/next\"}", false, false },
		{ "{\"nextLink\":\"https://m.example:443.evil/next\"}", false, false },
		{ "{\"nextLink\":\"https://m.example.evil/next\"}", false, false },
		{ "{\"nextLink\":\"https://m.example@evil/next\"}", false, false },
		{ "{\"nextLink\":\"http://m.example/next\"}", false, false },
		{ "{\"nextLink\":\"/next\"}", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cJSON *page = parse(rows[i].page);
		struct muster_error err;
		const char *url;

		assert_int_equal(management_next_page(&target, page, &url, &err), rows[i].is_good);
		if (rows[i].is_good)
			assert_int_equal(url != NULL, rows[i].has_next);
		cJSON_Delete(page);
	}
}

static void believes_no_resource_of_another_place(void **state)
{
	static const struct {
		const char *id, *host;
		bool is_good;
	} rows[] = {
		{ "/subscriptions/S-1/resourceGroups/g/providers/P/x/dps-1", "h.example", true },
		{ "/subscriptions/other/resourceGroups/g/providers/P/x/dps-1", "h.example", false },
		{ "/subscriptions/s-1/../other/dps-1", "h.example", false },
		{ "/subscriptions/s-1/x?y=dps-1", "h.example", false },
		{ "/subscriptions/s-1/x/dps-1", "h.example/path", false },
		{ "/subscriptions/s-1/x/dps-1", "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *text =
			text_format("{\"value\":[{\"name\":\"DPS-1\",\"id\":\"%s\",\"properties\":"
				    "{\"serviceOperationsHostName\":\"%s\"}}]}",
				    rows[i].id, rows[i].host);
		struct management_service service = { 0 };
		cJSON *page = parse(text);
		struct muster_error err;
		size_t count = 0;

		assert_int_equal(management_match(&target, page, &service, &count, &err),
				 rows[i].is_good);
		assert_int_equal(count, 1);
		cJSON_Delete(page);
		free(text);
	}
}

static void picks_the_first_policy_with_both_rights(void **state)
{
	static const char policy[] = "{\"keyName\":\"%s\",\"rights\":\"%s\",\"primaryKey\":"
				     "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"}";
	struct dps_login login = { 0 };
	struct muster_error err;
	bool is_found;
	char *weak = text_format(policy, "weak", "ServiceConfig, EnrollmentRead, EnrollmentWriteX");
	char *strong = text_format(policy, "strong", "enrollmentwrite,ServiceConfig");
	char *later = text_format(policy, "later", "ServiceConfig, EnrollmentWrite");
	char *text = text_format("{\"value\":[%s,%s,%s]}", weak, strong, later);
	cJSON *page = parse(text);

	(void)state;
	assert_true(management_pick_policy(page, "h.example", &login, &is_found, &err));
	assert_true(is_found);
	assert_string_equal(login.policy, "strong");
	assert_string_equal(login.host, "h.example");
	dps_login_done(&login);
	cJSON_DeleteItemFromArray(json_get(page, "value"), 2);
	cJSON_DeleteItemFromArray(json_get(page, "value"), 1);
	assert_true(management_pick_policy(page, "h.example", &login, &is_found, &err));
	assert_false(is_found);
	cJSON_Delete(page);
	free(text);
	free(later);
	free(strong);
	free(weak);
}

static void reads_errors_of_both_shapes(void **state)
{
	static const char *const bodies[] = {
		"{\"error\":{\"code\":\"AuthorizationFailed\",\"message\":\"No.\"}}",
		"{\"code\":\"AuthorizationFailed\",\"message\":\"No.\",\"httpStatusCode\":\"403\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct http_answer answer = { .outcome = HTTP_ANSWERED, .status = 403 };
		struct muster_error err;
		cJSON *document = NULL;

		text_add(&answer.body, bodies[i]);
		assert_false(management_read(&answer, "looking", &document, &err));
		assert_int_equal(err.cause, CAUSE_MANAGEMENT_REFUSED);
		assert_non_null(strstr(err.message, "403, AuthorizationFailed: No."));
		http_answer_done(&answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_tokens_and_renews_them_early),
		cmocka_unit_test(refuses_what_is_no_token),
		cmocka_unit_test(shows_the_authoritys_words),
		cmocka_unit_test(signs_assertions_that_verify),
		cmocka_unit_test(follows_pages_only_below_the_endpoint),
		cmocka_unit_test(believes_no_resource_of_another_place),
		cmocka_unit_test(picks_the_first_policy_with_both_rights),
		cmocka_unit_test(reads_errors_of_both_shapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
