/* Enrollment documents against each other, and against the device that they are for. */
#include "document-fixture.h"

/* -- Comparing ----------------------------------------------------------------------------------------- */

static void expect_lines(const char *wanted, const char *found, const char *mechanism,
			 const char *lines)
{
	CLEANUP(cJSON_freep) cJSON *wanted_document = parse(wanted);
	CLEANUP(cJSON_freep) cJSON *found_document = parse(found);
	CLEANUP(cJSON_freep) cJSON *keys = mechanism ? parse(mechanism) : NULL;
	CLEANUP(text_done) struct text differences = { 0 };
	struct muster_error err;

	assert_true(
		dps_enrollment_compare(wanted_document, found_document, keys, &differences, &err));
	assert_string_equal(differences.data ? differences.data : "", lines);
}

static void what_counts_the_same_is_the_same(void **state)
{
	(void)state;
	expect_lines(
		TPM_DOCUMENT,
		"{\"registrationId\":\"DEV-1\",\"deviceId\":\"dev-1\"," TPM
		",\"allocationPolicy\":\"hashed\",\"provisioningStatus\":\"enabled\","
		"\"capabilities\":{\"iotEdge\":false},\"etag\":\"Ij\",\"initialTwin\":{\"tags\":{},"
		"\"properties\":{\"desired\":{}}},\"reprovisionPolicy\":{\"updateHubAssignment\":"
		"true,\"migrateDeviceData\":true},\"lastUpdatedDateTimeUtc\":\"x\","
		"\"registrationState\":{\"status\":\"assigned\"}}",
		NULL, "");
	expect_lines("{" ID TPM ",\"iotHubs\":[\"a.b\",\"c.d\"]}",
		     "{" ID TPM ",\"iotHubs\":[\"C.D\",\"a.b\"],\"iotHubHostName\":\"a.b\"}", NULL,
		     "");
	expect_lines("{" ID TPM ",\"optionalDeviceInformation\":{\"a\":1,\"musterAttempt\":\"x\"}}",
		     "{" ID TPM ",\"optionalDeviceInformation\":{\"musterAttempt\":\"y\",\"a\":1,"
		     "\"$version\":1}}",
		     NULL, "");
}

static void names_each_difference_with_both_values(void **state)
{
	(void)state;
	expect_lines("{" ID TPM ",\"allocationPolicy\":\"hashed\"}",
		     "{" ID TPM ",\"allocationPolicy\":\"static\"}", NULL,
		     "allocationPolicy: wanted \"hashed\", found \"static\"");
	expect_lines(TPM_DOCUMENT, "{" ID TPM ",\"allocationPolicy\":\"custom\"}", NULL,
		     "allocationPolicy: wanted nothing, found \"custom\"");
	expect_lines("{" ID TPM ",\"deviceId\":\"a\"}", TPM_DOCUMENT, NULL,
		     "deviceId: wanted \"a\", found nothing");
	expect_lines(TPM_DOCUMENT,
		     "{" ID TPM ",\"provisioningStatus\":\"disabled\",\"iotHubs\":[\"a.b\"],"
		     "\"capabilities\":{\"iotEdge\":true}}",
		     NULL,
		     "provisioningStatus: wanted nothing, found \"disabled\"\n"
		     "iotHubs: wanted nothing, found [\"a.b\"]\n"
		     "capabilities.iotEdge: wanted nothing, found true");
	expect_lines("{" ID TPM
		     ",\"reprovisionPolicy\":{\"updateHubAssignment\":false,\"migrateDeviceData\""
		     ":true}}",
		     TPM_DOCUMENT, NULL,
		     "reprovisionPolicy.updateHubAssignment: wanted false, found nothing");
	expect_lines("{" ID TPM ",\"initialTwin\":{\"tags\":{\"a\":1}}}", TPM_DOCUMENT, NULL,
		     "initialTwin.tags: wanted {\"a\":1}, found {}");
	expect_lines("{" ID TPM ",\"optionalDeviceInformation\":{\"version\":2}}", TPM_DOCUMENT,
		     NULL, "optionalDeviceInformation: wanted {\"version\":2}, found {}");
	expect_lines(TPM_DOCUMENT, "{" ID "\"attestation\":{\"type\":\"symmetricKey\"}}", NULL,
		     "attestation.type: wanted \"tpm\", found \"symmetricKey\"");
}

static void never_shows_the_key_of_a_webhook(void **state)
{
	static const char wanted[] =
		"{" ID TPM ",\"allocationPolicy\":\"custom\",\"customAllocationDefinition\":{"
		"\"webhookUrl\":\"https://f.net/a?code=Canary1\",\"apiVersion\":\"2021-10-01\"}}";
	static const char found[] =
		"{" ID TPM ",\"allocationPolicy\":\"custom\",\"customAllocationDefinition\":{"
		"\"webhookUrl\":\"https://f.net/a?code=Canary2\",\"apiVersion\":\"2021-10-01\"}}";

	(void)state;
	expect_lines(wanted, wanted, NULL, "");
	expect_lines(wanted, found, NULL, "customAllocationDefinition.webhookUrl: differs");
}

static void compares_endorsement_keys_by_their_bytes(void **state)
{
	char digests[2][SHA256_HEX_SIZE];
	CLEANUP(freep) char *line = NULL;

	(void)state;
	sha256_hex(digests[0], "\x01\x3a\x00", 3);
	sha256_hex(digests[1], "\x00\x00\x00", 3);
	line = text_format(
		"attestation.tpm.endorsementKey: wanted the key with SHA-256 %s, found %s",
		digests[0], digests[1]);
	expect_lines(TPM_DOCUMENT,
		     "{" ID
		     "\"attestation\":{\"type\":\"tpm\",\"tpm\":{\"endorsementKey\":\"AAAA\"}}}",
		     NULL, line);
}

static char *x509_document(const char *primary, const char *secondary)
{
	return text_format("{" ID "\"attestation\":{\"type\":\"x509\",\"x509\":{"
			   "\"clientCertificates\":{\"primary\":%s,\"secondary\":%s}}}}",
			   primary, secondary);
}

static void compares_certificates_by_thumbprint(void **state)
{
	CLEANUP(freep) char *sent = text_format("{\"certificate\":\"%s\"}", certificates[0].base64);
	CLEANUP(freep)
	char *told =
		text_format("{\"info\":{\"sha256Thumbprint\":\"%s\"}}", certificates[0].thumbprint);
	CLEANUP(freep)
	char *other =
		text_format("{\"info\":{\"sha256Thumbprint\":\"%s\"}}", certificates[1].thumbprint);
	CLEANUP(freep) char *wanted = x509_document(sent, "null");
	CLEANUP(freep) char *same = x509_document(told, "null");
	CLEANUP(freep) char *different = x509_document(other, "null");
	CLEANUP(freep) char *extra = x509_document(told, other);
	CLEANUP(freep)
	char *line =
		text_format("attestation.x509.clientCertificates.primary: wanted the certificate "
			    "with SHA-256 %s, found %s",
			    certificates[0].thumbprint, certificates[1].thumbprint);
	CLEANUP(freep)
	char *extra_line =
		text_format("attestation.x509.clientCertificates.secondary: wanted the certificate "
			    "with SHA-256 nothing, found %s",
			    certificates[1].thumbprint);

	(void)state;
	for (char *c = strstr(same, certificates[0].thumbprint); *c != '"'; c++)
		*c = (char)(*c >= 'a' ? *c - 32 : *c);
	expect_lines(wanted, same, NULL, "");
	expect_lines(wanted, different, NULL, line);
	expect_lines(wanted, extra, NULL, extra_line);
}

#define SYMMETRIC(keys) "{" ID "\"attestation\":{\"type\":\"symmetricKey\"" keys "}}"
#define KEYS(primary) ",\"symmetricKey\":{\"primaryKey\":\"" primary "\"}"
#define OTHER16 "EAECAwQFBgcICQoLDA0ODw=="

static void compares_keys_by_the_mechanism(void **state)
{
	static const char wanted[] = SYMMETRIC(KEYS(KEY16));
	static const char got[] = SYMMETRIC("");

	(void)state;
	expect_lines(wanted, got, "{\"type\":\"symmetricKey\"" KEYS(KEY16) "}", "");
	expect_lines(wanted, wanted, NULL, "");
	expect_lines(wanted, got, "{\"type\":\"symmetricKey\"" KEYS(OTHER16) "}",
		     "attestation.symmetricKey.primaryKey: the keys differ");
	expect_lines(wanted, got, NULL,
		     "attestation.symmetricKey.primaryKey: not told by the service");
	expect_lines(got, got, NULL, "");
}

static void knows_when_the_mechanism_is_needed(void **state)
{
	CLEANUP(cJSON_freep) cJSON *with_keys = parse(SYMMETRIC(KEYS(KEY16)));
	CLEANUP(cJSON_freep) cJSON *without = parse(SYMMETRIC(""));
	CLEANUP(cJSON_freep) cJSON *tpm = parse(TPM_DOCUMENT);

	(void)state;
	assert_true(dps_enrollment_needs_mechanism(with_keys, without));
	assert_false(dps_enrollment_needs_mechanism(with_keys, with_keys));
	assert_false(dps_enrollment_needs_mechanism(without, without));
	assert_false(dps_enrollment_needs_mechanism(with_keys, tpm));
	assert_null(dps_enrollment_attempt(tpm));
}

static void knows_what_nobody_wrote_since_it_was_created(void **state)
{
	static const struct {
		const char *text;
		bool is_unwritten;
	} cases[] = {
		{ "{\"createdDateTimeUtc\":\"2026-11-23T08:00:00.1Z\",\"lastUpdatedDateTimeUtc\":\"2026-11-23T08:00:00.1Z\"}",
		  true },
		{ "{\"createdDateTimeUtc\":\"2026-11-23T08:00:00.1Z\",\"lastUpdatedDateTimeUtc\":\"2026-11-23T08:00:00.2Z\"}",
		  false },
		{ "{\"createdDateTimeUtc\":\"2026-11-23T08:00:00.9999999Z\",\"lastUpdatedDateTimeUtc\":\"2026-11-23T08:00:01.0000001Z\"}",
		  true },
		{ "{\"createdDateTimeUtc\":\"2026-11-23T08:00:00.1234567Z\",\"lastUpdatedDateTimeUtc\":\"2026-11-23T08:00:00.1434567Z\"}",
		  true },
		{ "{\"createdDateTimeUtc\":\"2026-11-23T08:00:00.1234567Z\",\"lastUpdatedDateTimeUtc\":\"2026-11-23T08:00:00.1444567Z\"}",
		  false },
		{ "{\"createdDateTimeUtc\":\"2026-11-23T08:00:00.1444567Z\",\"lastUpdatedDateTimeUtc\":\"2026-11-23T08:00:00.1234567Z\"}",
		  false },
		{ "{\"createdDateTimeUtc\":\"2026-11-23T08:00:00Z\",\"lastUpdatedDateTimeUtc\":\"2026-11-23T10:00:00.01+02:00\"}",
		  true },
		{ "{\"createdDateTimeUtc\":\"never\",\"lastUpdatedDateTimeUtc\":\"never\"}",
		  false },
		{ "{\"createdDateTimeUtc\":\"2026-11-23T08:00:00.1Z\",\"lastUpdatedDateTimeUtc\":\"\"}",
		  false },
		{ "{\"createdDateTimeUtc\":\"2026-11-23T08:00:00.1Z\"}", false },
		{ "{}", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(cJSON_freep) cJSON *found = parse(cases[i].text);

		assert_int_equal(dps_enrollment_is_unwritten(found), cases[i].is_unwritten);
	}
}

/* -- Trusting ------------------------------------------------------------------------------------------ */

static void expect_trust(const char *enrollment, const struct dps_identity *identity, bool trusts)
{
	CLEANUP(cJSON_freep) cJSON *document = parse(enrollment);
	struct muster_error err = { 0 };
	bool good = dps_enrollment_trusts(document, identity, &err);

	if (good != trusts)
		fail_msg("%s: %s", enrollment, good ? "trusts" : err.message);
	if (!good)
		assert_int_equal(err.cause, CAUSE_ENROLLED_FOR_ANOTHER);
}

/* NULL: it trusts no more. */
static void expect_digests(const char *enrollment, const char *first, const char *second)
{
	CLEANUP(cJSON_freep) cJSON *document = parse(enrollment);
	char digests[DPS_TRUSTED_MAX][SHA256_HEX_SIZE];
	size_t count = dps_enrollment_digests(document, digests);

	assert_int_equal(count, !!first + !!second);
	if (first)
		assert_string_equal(digests[0], first);
	if (second)
		assert_string_equal(digests[1], second);
}

static void trusts_the_enrolled_endorsement_key_alone(void **state)
{
	uint8_t own[] = { 0x01, 0x3a, 0x00 }, other[] = { 0x01, 0x3a, 0x01 };
	struct bytes keys[] = { { own, sizeof(own) }, { other, sizeof(other) } };
	struct dps_identity identity = { .ek = &keys[0] }, stranger = { .ek = &keys[1] };
	char digest[SHA256_HEX_SIZE];

	(void)state;
	expect_trust(TPM_DOCUMENT, &identity, true);
	expect_trust(TPM_DOCUMENT, &stranger, false);
	expect_digests(TPM_DOCUMENT, sha256_hex(digest, own, sizeof(own)), NULL);
	expect_digests(SYMMETRIC(""), NULL, NULL);
	expect_trust("{" ID "\"attestation\":{\"type\":\"tpm\"}}", &identity, false);
	expect_trust("{" ID "\"attestation\":{\"type\":\"tpm\",\"tpm\":{\"endorsementKey\":"
		     "\"not base64\"}}}",
		     &identity, false);
}

static void trusts_either_certificate_alone(void **state)
{
	CLEANUP(freep) char *sent = text_format("{\"certificate\":\"%s\"}", certificates[0].base64);
	CLEANUP(freep)
	char *told =
		text_format("{\"info\":{\"sha256Thumbprint\":\"%s\"}}", certificates[0].thumbprint);
	CLEANUP(freep)
	char *other =
		text_format("{\"info\":{\"sha256Thumbprint\":\"%s\"}}", certificates[1].thumbprint);
	CLEANUP(freep) char *first = x509_document(sent, "null");
	CLEANUP(freep) char *second = x509_document(other, told);
	CLEANUP(freep) char *neither = x509_document(other, "null");
	CLEANUP(freep) char *none = x509_document("null", "null");
	const unsigned char *der = certificates[0].der.data;
	X509 *certificate = d2i_X509(NULL, &der, (long)certificates[0].der.size);
	struct dps_identity identity = { .certificate = certificate };

	(void)state;
	assert_non_null(certificate);
	expect_digests(first, certificates[0].thumbprint, NULL);
	expect_digests(second, certificates[1].thumbprint, certificates[0].thumbprint);
	expect_digests(none, NULL, NULL);
	expect_trust(first, &identity, true);
	expect_trust(second, &identity, true);
	expect_trust(neither, &identity, false);
	expect_trust(none, &identity, false);
	expect_trust("{" ID "\"attestation\":{\"type\":\"x509\",\"x509\":{\"caReferences\":"
		     "{\"primary\":\"line\"}}}}",
		     &identity, true);
	X509_free(certificate);
}

static void trusts_either_key_alone(void **state)
{
	CLEANUP(secret_done) struct secret key = { 0 };
	struct dps_identity identity = { .key = &key };
	struct muster_error err;

	(void)state;
	assert_true(secret_from_base64(&key, KEY16, strlen(KEY16), "the key", &err));
	expect_trust(SYMMETRIC(KEYS(KEY16)), &identity, true);
	expect_trust(SYMMETRIC(",\"symmetricKey\":{\"primaryKey\":\"" OTHER16
			       "\",\"secondaryKey\":\"" KEY16 "\"}"),
		     &identity, true);
	expect_trust(SYMMETRIC(KEYS(OTHER16)), &identity, false);
	expect_trust(SYMMETRIC(""), &identity, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_counts_the_same_is_the_same),
		cmocka_unit_test(names_each_difference_with_both_values),
		cmocka_unit_test(never_shows_the_key_of_a_webhook),
		cmocka_unit_test(compares_endorsement_keys_by_their_bytes),
		cmocka_unit_test(compares_certificates_by_thumbprint),
		cmocka_unit_test(compares_keys_by_the_mechanism),
		cmocka_unit_test(knows_when_the_mechanism_is_needed),
		cmocka_unit_test(knows_what_nobody_wrote_since_it_was_created),
		cmocka_unit_test(trusts_the_enrolled_endorsement_key_alone),
		cmocka_unit_test(trusts_either_certificate_alone),
		cmocka_unit_test(trusts_either_key_alone),
	};

	return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
