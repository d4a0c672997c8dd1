/* The rules of enrollment documents to their edges: the last that is taken and the first that is not. */
#include "document-fixture.h"
#include "unit.h"

#include "muster/clock.h"

#define X(n) "%0" #n "d" /* so many digits, by text_format() */
#define X509_OF(member) "{" ID "\"attestation\":{\"type\":\"x509\",\"x509\":{" member "}}}"
#define CERTIFICATE(text) \
	X509_OF("\"clientCertificates\":{\"primary\":{\"certificate\":\"" text "\"}}")
#define WEBHOOK(url, version)                                                             \
	"{" ID TPM                                                                        \
	",\"allocationPolicy\":\"custom\",\"customAllocationDefinition\":{\"webhookUrl\"" \
	":\"" url "\",\"apiVersion\":\"" version "\"}}"
#define KEY(text)                                                                             \
	"{" ID                                                                                \
	"\"attestation\":{\"type\":\"symmetricKey\",\"symmetricKey\":{\"primaryKey\":\"" text \
	"\",\"secondaryKey\":\"" KEY16 "\"}}}"
#define TPM_OF(ek, srk)                                                                    \
	"{" ID "\"attestation\":{\"type\":\"tpm\",\"tpm\":{\"endorsementKey\":\"" ek "\"," \
	"\"storageRootKey\":\"" srk "\"}}}"

/* `path` of the first problem; NULL: taken. Digits stand for what is long. */
static const struct {
	const char *document, *path;
} edges[] = {
	{ "{\"registrationId\":\"" X(128) "\"," TPM "}", NULL },
	{ "{\"registrationId\":\"" X(129) "\"," TPM "}", "registrationId" },
	{ "{\"registrationId\":\"d\xc3\xa9\"," TPM "}", "registrationId" },
	{ "{\"registrationId\":\"dev-\"," TPM "}", NULL },
	{ "{\"registrationId\":\"dev_\"," TPM "}", "registrationId" },
	{ "{" ID "\"deviceId\":\"" X(128) "\"," TPM "}", NULL },
	{ "{" ID "\"deviceId\":\"" X(129) "\"," TPM "}", "deviceId" },
	{ "{" ID "\"deviceId\":\"\"," TPM "}", NULL },
	{ "{" ID TPM ",\"iotHubs\":[\"" X(63) ".b\"]}", NULL },
	{ "{" ID TPM ",\"iotHubs\":[\"" X(64) ".b\"]}", "iotHubs" },
	{ "{" ID TPM ",\"iotHubs\":[\"a_.b\"]}", "iotHubs" },
	{ "{" ID TPM ",\"iotHubs\":[\"" X(254) "\"]}", "iotHubs" },
	{ "{" ID TPM ",\"iotHubs\":[]}", NULL },
	{ "{" ID TPM ",\"allocationPolicy\":\"static\",\"iotHubHostName\":\"a.b\"}", NULL },
	{ "{" ID TPM ",\"allocationPolicy\":\"static\"}", "iotHubs" },

	{ KEY(KEY16), NULL },
	{ KEY("AAECAwQFBgcICQoLDA0O"), "attestation.symmetricKey.primaryKey" }, /* 15 bytes */
	{ KEY(X(84) "AA=="), NULL },                                            /* 64 bytes */
	{ KEY(X(88)), "attestation.symmetricKey.primaryKey" },                  /* 66 bytes */
	{ TPM_OF("AToA", ""), NULL },
	{ TPM_OF("AToA", "AToA"), NULL },
	{ TPM_OF("AToA", "?"), "attestation.tpm.storageRootKey" },
	{ TPM_OF("", ""), "attestation.tpm.endorsementKey" },

	{ CERTIFICATE("AAAA"), "attestation.x509.clientCertificates.primary" },
	{ CERTIFICATE("  "), "attestation.x509.clientCertificates.primary" },
	{ CERTIFICATE("?"), "attestation.x509.clientCertificates.primary" },
	{ X509_OF("\"clientCertificates\":{\"primary\":{\"info\":{}}}"),
	  "attestation.x509.clientCertificates.primary.certificate" },
	{ X509_OF("\"caReferences\":{\"secondary\":\"root\"}"), NULL },
	{ X509_OF("\"caReferences\":{\"primary\":\"root\"},\"signingCertificates\":{}"),
	  "attestation.x509.signingCertificates" },
	{ "{\"registrationId\":\"" X(64) "\",\"attestation\":{\"type\":\"x509\",\"x509\":{"
					 "\"caReferences\":{\"primary\":\"root\"}}}}",
	  NULL },
	{ "{\"registrationId\":\"" X(65) "\",\"attestation\":{\"type\":\"x509\",\"x509\":{"
					 "\"caReferences\":{\"primary\":\"root\"}}}}",
	  "registrationId" },
	{ "{\"attestation\":{\"type\":\"x509\",\"x509\":{\"caReferences\":{\"primary\":\"root\"}}}}",
	  "registrationId" },

	{ WEBHOOK("http://x.y", "2018-09-01-preview"), NULL },
	{ WEBHOOK("https://x.y/" X(2036), "2021-10-01"), NULL },
	{ WEBHOOK("https://x.y/" X(2037), "2021-10-01"), "customAllocationDefinition.webhookUrl" },
	{ WEBHOOK("https://x.y/ z", "2021-10-01"), "customAllocationDefinition.webhookUrl" },
	{ WEBHOOK("https://x.y", "2018-08-31"), "customAllocationDefinition.apiVersion" },
	{ WEBHOOK("https://x.y", "2021-10"), "customAllocationDefinition.apiVersion" },
	{ WEBHOOK("https://x.y", "2021-1O-01"), "customAllocationDefinition.apiVersion" },
	{ WEBHOOK("https://x.y", "20210-10-1"), "customAllocationDefinition.apiVersion" },
	{ WEBHOOK("https://x.y", "2021-10101"), "customAllocationDefinition.apiVersion" },
};

static void check(const char *text, const struct dps_document_rules *rules,
		  struct dps_problems *problems)
{
	CLEANUP(cJSON_freep) cJSON *document = parse(text);

	*problems = (struct dps_problems){ 0 };
	dps_document_check(document, rules, problems);
}

static void each_rule_ends_where_it_says(void **state)
{
	const struct dps_document_rules rules = { 0 };
	struct dps_problems problems;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		CLEANUP(freep) char *text = text_format(edges[i].document, 0);
#pragma GCC diagnostic pop

		check(text, &rules, &problems);
		if (!edges[i].path != (problems.count == 0))
			fail_msg("%s: %zu problems: %s %s", text, problems.count,
				 problems.list[0].path, problems.list[0].message);
		if (edges[i].path)
			assert_string_equal(problems.list[0].path, edges[i].path);
	}
}

static bool takes_any(void *context, const uint8_t *ek, size_t size, struct muster_error *err)
{
	(void)context;
	(void)ek;
	(void)err;
	return size == 3;
}

static void rules_of_others_are_asked(void **state)
{
	const struct dps_document_rules any_ek = { .ek_check = takes_any };
	const struct dps_document_rules update = { .certificate_may_be_info = true,
						   .keys_must_be_there = true };
	const struct dps_document_rules group = { .kind = DPS_DOCUMENT_GROUP };
	struct dps_problems problems;

	(void)state;
	check(TPM_DOCUMENT, &any_ek, &problems);
	assert_int_equal(problems.count, 0);
	check(X509_OF("\"clientCertificates\":{\"primary\":{\"info\":{}}}"), &update, &problems);
	assert_int_equal(problems.count, 0);
	check(X509_OF("\"clientCertificates\":{\"primary\":{}}"), &update, &problems);
	assert_int_equal(problems.count, 1);
	check(KEY(KEY16), &update, &problems);
	assert_int_equal(problems.count, 0);
	check("{" ID "\"attestation\":{\"type\":\"symmetricKey\"}}", &update, &problems);
	assert_int_equal(problems.count, 1);
	assert_string_equal(problems.list[0].path, "attestation.symmetricKey");
	check("{\"enrollmentGroupId\":\"a b\",\"attestation\":{\"type\":\"symmetricKey\"}}", &group,
	      &problems);
	assert_int_equal(problems.count, 1);
	assert_string_equal(problems.list[0].path, "enrollmentGroupId");
}

static void device_ids_have_a_length(void **state)
{
	struct muster_error err;

	(void)state;
	assert_true(dps_device_id_check("a", &err));
	assert_fails(dps_device_id_check("", &err), err, CAUSE_DEVICE_ID_INVALID);
}

static void a_certificate_ends_where_its_base64_does(void **state)
{
	CLEANUP(freep) char *spaced = text_format("%s \n", certificates[0].base64);
	CLEANUP(freep) uint8_t *longer = malloc(certificates[0].der.size + 1);
	CLEANUP(freep) char *more = NULL;
	X509 *certificate = NULL;
	struct muster_error err;

	(void)state;
	assert_true(dps_certificate_decode(spaced, &certificate, &err));
	X509_free(certificate);
	assert_non_null(longer);
	memcpy(longer, certificates[0].der.data, certificates[0].der.size);
	longer[certificates[0].der.size] = 0;
	more = base64_encode(longer, certificates[0].der.size + 1);
	assert_fails(dps_certificate_decode(more, &certificate, &err), err, CAUSE_CLOUD_REFUSED);
}

#define PRIVATE_KEY "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"

/* As it is, and as base64. */
static void expect_certificate(const char *before, const char *pem, const char *after, size_t count)
{
	static const struct dps_document_rules rules = { 0 };
	CLEANUP(freep) char *text = text_format("%s%s%s", before, pem, after);
	CLEANUP(freep) char *encoded = base64_encode(text, strlen(text));
	const char *forms[] = { text, encoded };

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		CLEANUP(cJSON_freep) cJSON *document = parse(CERTIFICATE(""));
		struct dps_problems problems = { 0 };
		cJSON *member = json_get(json_get(document, "attestation"), "x509");

		member = json_get(json_get(member, "clientCertificates"), "primary");
		assert_true(cJSON_ReplaceItemInObject(member, "certificate",
						      cJSON_CreateString(forms[i])));
		dps_document_check(document, &rules, &problems);
		if (problems.count != count)
			fail_msg("%s: %zu problems: %s", forms[i], problems.count,
				 problems.list[0].message);
		if (count > 0)
			assert_non_null(strstr(problems.list[0].message, "holds more than"));
	}
}

static void a_certificate_comes_without_a_key_or_a_chain(void **state)
{
	const char *pem = certificates[0].pem;
	CLEANUP(freep) char *crlf = text_format("\r\n%.*s\r%s \r\n", 27, pem, pem + 27);
	CLEANUP(freep) char *longer = malloc(certificates[0].der.size + 1);
	CLEANUP(freep) char *hidden = NULL, *encoded = NULL;

	(void)state;
	expect_certificate("", pem, "", 0);
	expect_certificate("", crlf, "", 0);
	expect_certificate(PRIVATE_KEY, pem, "", 1);
	expect_certificate("", pem, PRIVATE_KEY, 1);
	expect_certificate("", pem, certificates[1].pem, 1);
	expect_certificate("", pem, pem, 1);
	expect_certificate("Bag Attributes\n", pem, "", 1);
	expect_certificate("", pem, "MIIB", 1);
	/* Behind it in its own block. */
	assert_non_null(longer);
	memcpy(longer, certificates[0].der.data, certificates[0].der.size);
	longer[certificates[0].der.size] = 'k';
	encoded = base64_encode(longer, certificates[0].der.size + 1);
	hidden = text_format("-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n",
			     encoded);
	expect_certificate("", hidden, "", 1);
}

static size_t doubts_of(const char *id, const char *kind, int64_t now_ms)
{
	struct dps_problems doubts = { 0 }, problems = { 0 };
	const struct dps_document_rules rules = { .doubts = &doubts, .now_ms = now_ms };
	CLEANUP(freep)
	char *text = text_format(
		"{\"registrationId\":\"%s\",\"attestation\":{\"type\":\"x509\",\"x509\":{\"%s\":{"
		"\"primary\":{\"certificate\":\"%s\"}}}}}",
		id, kind, certificates[0].base64);
	CLEANUP(cJSON_freep) cJSON *document = parse(text);

	dps_document_check(document, &rules, &problems);
	assert_int_equal(problems.count, 0);
	return doubts.count;
}

static void doubts_are_no_problems(void **state)
{
	const int64_t now_ms = clock_wall_ms(), day_ms = 24 * 3600 * (int64_t)1000;

	(void)state;
	assert_int_equal(doubts_of("DEV-1", "clientCertificates", now_ms), 0);
	assert_int_equal(doubts_of("dev-10", "clientCertificates", now_ms), 1);
	assert_int_equal(doubts_of("dev-1", "clientCertificates", now_ms + day_ms), 1);
	assert_int_equal(doubts_of("dev-1", "clientCertificates", now_ms - day_ms), 1);
	assert_int_equal(doubts_of("dev-2", "clientCertificates", now_ms - day_ms), 2);
	assert_int_equal(doubts_of("dev-2", "signingCertificates", now_ms - day_ms), 0);
}

static void a_webhook_without_a_query_is_printed_as_it_is(void **state)
{
	CLEANUP(cJSON_freep) cJSON *document = parse(WEBHOOK("https://x.y/z", "2021-10-01"));
	CLEANUP(freep) char *line = NULL;
	struct muster_error err;

	(void)state;
	assert_true(dps_document_redact(document, &err));
	line = json_print_line(document);
	assert_non_null(strstr(line, "\"https://x.y/z\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_ends_where_it_says),
		cmocka_unit_test(rules_of_others_are_asked),
		cmocka_unit_test(device_ids_have_a_length),
		cmocka_unit_test(a_certificate_ends_where_its_base64_does),
		cmocka_unit_test(a_certificate_comes_without_a_key_or_a_chain),
		cmocka_unit_test(doubts_are_no_problems),
		cmocka_unit_test(a_webhook_without_a_query_is_printed_as_it_is),
	};

	return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
