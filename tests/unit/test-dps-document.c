/* Enrollment documents: checked, built, masked. */
#include "document-fixture.h"

/* -- Checking ------------------------------------------------------------------------------------------ */

static size_t check(const char *text, struct dps_problems *problems)
{
	static const struct dps_document_rules rules = { 0 };
	CLEANUP(cJSON_freep) cJSON *document = parse(text);

	*problems = (struct dps_problems){ 0 };
	dps_document_check(document, &rules, problems);
	return problems->count;
}

static void takes_what_the_service_takes(void **state)
{
	static const char *const documents[] = {
		TPM_DOCUMENT,
		"{\"registrationId\":\"dev-1\",\"deviceId\":null," TPM "}",
		"{\"registrationId\":\"A.b_c:d-\",\"attestation\":{\"type\":\"symmetricKey\"}}",
		"{\"registrationId\":\"d\",\"attestation\":{\"type\":\"SYMMETRICKEY\",\"symmetricKey\""
		":{\"primaryKey\":\"" KEY16 "\",\"secondaryKey\":\"" KEY16 "\"}}}",
		"{\"registrationId\":\"d\"," TPM ",\"allocationPolicy\":\"geolatency\",\"iotHubs\":"
		"[\"a.azure-devices.net\",\"b.azure-devices.net\"]}",
		"{\"registrationId\":\"d\"," TPM ",\"allocationPolicy\":\"static\",\"iotHubs\":"
		"[\"a.azure-devices.net\"]}",
		"{\"registrationId\":\"d\"," TPM ",\"allocationPolicy\":\"custom\","
		"\"customAllocationDefinition\":{\"webhookUrl\":\"https://f.net/api/x?code=1\","
		"\"apiVersion\":\"2021-10-01\"}}",
		"{\"registrationId\":\"d\"," TPM ",\"capabilities\":{\"iotEdge\":true},"
		"\"provisioningStatus\":\"Disabled\",\"initialTwin\":{\"tags\":{\"a\":1},"
		"\"properties\":{\"desired\":{\"b\":[1,2]}}},\"optionalDeviceInformation\":{\"c\":{}},"
		"\"reprovisionPolicy\":{\"updateHubAssignment\":true,\"migrateDeviceData\":false}}",
		"{\"registrationId\":\"d\"," TPM ",\"registrationState\":null,\"etag\":\"Ij\","
		"\"createdDateTimeUtc\":\"2026-11-23T12:00:00.0000000Z\"}",
	};
	struct dps_problems problems;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(documents); i++)
		if (check(documents[i], &problems) > 0)
			fail_msg("%s: %s: %s", documents[i], problems.list[0].path,
				 problems.list[0].message);
}

/* Each with the place of its first problem. */
static const struct {
	const char *document, *path;
} wrong[] = {
	{ "[]", "" },
	{ "{" TPM "}", "registrationId" },
	{ "{\"registrationId\":7," TPM "}", "registrationId" },
	{ "{\"registrationId\":\"\"," TPM "}", "registrationId" },
	{ "{\"registrationId\":\"a b\"," TPM "}", "registrationId" },
	{ "{\"registrationId\":\"a.\"," TPM "}", "registrationId" },
	{ "{\"registrationId\":\"d\",\"deviceId\":\"a/b\"," TPM "}", "deviceId" },
	{ "{\"registrationId\":\"d\"}", "attestation" },
	{ "{\"registrationId\":\"d\",\"attestation\":{}}", "attestation.type" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"tmp\"}}", "attestation.type" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"tpm\"}}", "attestation.tpm" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"tpm\",\"tpm\":{}}}",
	  "attestation.tpm.endorsementKey" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"tpm\",\"tpm\":{"
	  "\"endorsementKey\":\"?\"}}}",
	  "attestation.tpm.endorsementKey" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"x509\"}}", "attestation.x509" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"x509\",\"x509\":{}}}",
	  "attestation.x509" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"x509\",\"x509\":{"
	  "\"clientCertificates\":{}}}}",
	  "attestation.x509.clientCertificates" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"x509\",\"x509\":{"
	  "\"clientCertificates\":{\"primary\":{}}}}}",
	  "attestation.x509.clientCertificates.primary.certificate" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"x509\",\"x509\":{"
	  "\"clientCertificates\":{\"primary\":{\"certificate\":\"AAAA\"}}}}}",
	  "attestation.x509.clientCertificates.primary" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"symmetricKey\",\"symmetricKey\":{"
	  "\"primaryKey\":\"AAEC\"}}}",
	  "attestation.symmetricKey.primaryKey" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"symmetricKey\",\"symmetricKey\":{"
	  "\"secondaryKey\":\"no base64\"}}}",
	  "attestation.symmetricKey.secondaryKey" },
	{ "{\"registrationId\":\"d\",\"attestation\":{\"type\":\"symmetricKey\",\"tpm\":{"
	  "\"endorsementKey\":\"AToA\"}}}",
	  "attestation.tpm" },
	{ "{\"registrationId\":\"d\"," TPM ",\"allocationPolicy\":\"random\"}",
	  "allocationPolicy" },
	{ "{\"registrationId\":\"d\"," TPM ",\"iotHubs\":\"a.b\"}", "iotHubs" },
	{ "{\"registrationId\":\"d\"," TPM ",\"iotHubs\":[\"a.b\",1]}", "iotHubs" },
	{ "{\"registrationId\":\"d\"," TPM ",\"iotHubs\":[\"a.b/x\"]}", "iotHubs" },
	{ "{\"registrationId\":\"d\"," TPM ",\"allocationPolicy\":\"static\"}", "iotHubs" },
	{ "{\"registrationId\":\"d\"," TPM
	  ",\"allocationPolicy\":\"static\",\"iotHubs\":[\"a.b\",\"c.d\"]}",
	  "iotHubs" },
	{ "{\"registrationId\":\"d\"," TPM ",\"allocationPolicy\":\"custom\"}",
	  "customAllocationDefinition" },
	{ "{\"registrationId\":\"d\"," TPM
	  ",\"customAllocationDefinition\":{\"webhookUrl\":\"ftp://x\""
	  ",\"apiVersion\":\"2021-10-01\"}}",
	  "customAllocationDefinition.webhookUrl" },
	{ "{\"registrationId\":\"d\"," TPM ",\"customAllocationDefinition\":{\"webhookUrl\":"
	  "\"https://x.y\",\"apiVersion\":\"2018-04-01\"}}",
	  "customAllocationDefinition.apiVersion" },
	{ "{\"registrationId\":\"d\"," TPM ",\"capabilities\":{}}", "capabilities.iotEdge" },
	{ "{\"registrationId\":\"d\"," TPM ",\"capabilities\":{\"iotEdge\":\"true\"}}",
	  "capabilities.iotEdge" },
	{ "{\"registrationId\":\"d\"," TPM ",\"reprovisionPolicy\":{\"migrateDeviceData\":true}}",
	  "reprovisionPolicy.updateHubAssignment" },
	{ "{\"registrationId\":\"d\"," TPM ",\"initialTwin\":{\"tags\":[]}}", "initialTwin.tags" },
	{ "{\"registrationId\":\"d\"," TPM ",\"provisioningStatus\":\"on\"}",
	  "provisioningStatus" },
	{ "{\"registrationId\":\"d\"," TPM ",\"iotHub\":\"a.b\"}", "iotHub" },
	{ "{\"registrationId\":\"d\"," TPM ",\"capabilities\":{\"iotEdge\":true,\"edge\":1}}",
	  "capabilities.edge" },
};

static void names_the_place_of_each_mistake(void **state)
{
	struct dps_problems problems;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (check(wrong[i].document, &problems) == 0)
			fail_msg("taken: %s", wrong[i].document);
		assert_string_equal(problems.list[0].path, wrong[i].path);
	}
}

static void never_quotes_a_key(void **state)
{
	struct dps_problems problems;

	(void)state;
	assert_int_equal(
		check("{\"registrationId\":\"d\",\"attestation\":{\"type\":\"symmetricKey\","
		      "\"symmetricKey\":{\"primaryKey\":\"Q2FuYXJ5\",\"secondaryKey\":\"Canary!\"}}}",
		      &problems),
		2);
	assert_null(strstr(problems.list[0].message, "Q2Fu"));
	assert_null(strstr(problems.list[1].message, "Canary"));
}

static void stops_counting_at_the_maximum(void **state)
{
	CLEANUP(text_done) struct text text = { 0 };
	struct dps_problems problems;

	(void)state;
	text_add(&text, "{\"registrationId\":\"d\"," TPM);
	for (int i = 0; i < 2 * DPS_PROBLEMS_MAX; i++)
		text_addf(&text, ",\"unknown%d\":0", i);
	text_add(&text, "}");
	assert_int_equal(check(text.data, &problems), DPS_PROBLEMS_MAX);
}

static bool refuse_ek(void *context, const uint8_t *ek, size_t size, struct muster_error *err)
{
	(void)context;
	assert_int_equal(size, 3);
	assert_int_equal(ek[0], 0x01);
	return muster_fail(err, CAUSE_EK_UNSUPPORTED, "it is no RSA key");
}

static void asks_about_the_endorsement_key(void **state)
{
	struct dps_document_rules rules = { .ek_check = refuse_ek };
	CLEANUP(cJSON_freep) cJSON *document = parse(TPM_DOCUMENT);
	struct dps_problems problems = { 0 };

	(void)state;
	dps_document_check(document, &rules, &problems);
	assert_int_equal(problems.count, 1);
	assert_string_equal(problems.list[0].message,
			    "Endorsement key is invalid: it is no RSA key");
}

static void other_rules_for_groups_and_updates(void **state)
{
	struct dps_document_rules group = { .kind = DPS_DOCUMENT_GROUP };
	struct dps_document_rules update = { .unknown_members_pass = true,
					     .certificate_may_be_info = true };
	CLEANUP(cJSON_freep)
	cJSON *group_document =
		parse("{\"enrollmentGroupId\":\"g\",\"attestation\":{\"type\":\"x509\",\"x509\":{"
		      "\"caReferences\":{\"primary\":\"my root\"}}}}");
	CLEANUP(cJSON_freep)
	cJSON *update_document = parse(
		"{\"registrationId\":\"d\",\"new\":1,\"attestation\":{\"type\":\"x509\",\"x509\""
		":{\"clientCertificates\":{\"primary\":{\"certificate\":null,\"info\":{}}}}}}");
	struct dps_problems problems = { 0 };

	(void)state;
	dps_document_check(group_document, &group, &problems);
	dps_document_check(update_document, &update, &problems);
	assert_int_equal(problems.count, 0);
	dps_document_check(group_document, &update, &problems);
	assert_int_equal(problems.count, 1);
}

static void normalises_words_and_nulls(void **state)
{
	CLEANUP(cJSON_freep)
	cJSON *document = parse(
		"{\"registrationId\":\"D\",\"deviceId\":null,\"attestation\":{\"type\":\"TPM\","
		"\"tpm\":{\"endorsementKey\":\"AToA\",\"storageRootKey\":null}},"
		"\"allocationPolicy\":\"GEOLATENCY\",\"optionalDeviceInformation\":{\"a\":null}}");
	CLEANUP(freep) char *line = NULL;

	(void)state;
	dps_document_normalise(document);
	line = json_print_line(document);
	assert_string_equal(line,
			    "{\"registrationId\":\"D\",\"attestation\":{\"type\":\"tpm\",\"tpm\":{"
			    "\"endorsementKey\":\"AToA\"}},\"allocationPolicy\":\"geoLatency\","
			    "\"optionalDeviceInformation\":{\"a\":null}}");
}

/* The check says the same as a document that normalising leaves as it is. */
static void says_whether_normalising_would_change_something(void **state)
{
	static const struct {
		const char *rest;
		bool is_normal;
	} rows[] = {
		{ "", true },
		{ ",\"allocationPolicy\":\"geoLatency\"", true },
		{ ",\"allocationPolicy\":\"GeoLatency\"", false },
		{ ",\"deviceId\":null", false },
		{ ",\"registrationState\":null", false },
		{ ",\"initialTwin\":{\"tags\":null}", false },
		{ ",\"initialTwin\":{\"tags\":{\"a\":null}}", true },
		{ ",\"capabilities\":{\"iotEdge\":true}", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct dps_document_rules rules = { 0 };
		CLEANUP(text_done) struct text text = TEXT_MAX(1024);
		CLEANUP(cJSON_freep) cJSON *document = NULL;
		CLEANUP(cJSON_freep) cJSON *before = NULL;
		struct dps_problems problems = { 0 };

		text_addf(
			&text,
			"{\"registrationId\":\"d\",\"attestation\":{\"type\":\"symmetricKey\"}%s}",
			rows[i].rest);
		document = parse(text.data);
		before = cJSON_Duplicate(document, true);
		dps_document_check(document, &rules, &problems);
		assert_int_equal(problems.count, 0);
		assert_int_equal(problems.is_normal, rows[i].is_normal);
		dps_document_normalise(document);
		assert_int_equal(json_equal(before, document), rows[i].is_normal);
	}
}

static void reads_certificates_in_three_forms(void **state)
{
	const char *forms[] = { certificates[0].pem, certificates[0].base64,
				certificates[0].base64_pem };
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		X509 *certificate = NULL;

		assert_true(dps_certificate_decode(forms[i], &certificate, &err));
		X509_free(certificate);
	}
	for (size_t i = 0; i < 3; i++) {
		static const char *const bad[] = { "", "AAAA",
						   "-----BEGIN CERTIFICATE-----\nAAAA\n" };
		X509 *certificate = NULL;

		assert_false(dps_certificate_decode(bad[i], &certificate, &err));
		assert_null(certificate);
	}
}

static void knows_host_names(void **state)
{
	(void)state;
	assert_true(dps_hub_name_is_valid("a.azure-devices.net"));
	assert_true(dps_hub_name_is_valid("localhost"));
	assert_false(dps_hub_name_is_valid(""));
	assert_false(dps_hub_name_is_valid("hub"));
	assert_false(dps_hub_name_is_valid("a..b"));
	assert_false(dps_hub_name_is_valid(".a.b"));
	assert_false(dps_hub_name_is_valid("a.b."));
	assert_false(dps_hub_name_is_valid("-a.b"));
	assert_false(dps_hub_name_is_valid("a-.b"));
	assert_false(dps_hub_name_is_valid("a_b.c"));
}

/* -- Building ------------------------------------------------------------------------------------------ */

static void builds_a_tpm_enrollment(void **state)
{
	static const char *const hubs[] = { "a.azure-devices.net" };
	uint8_t ek_bytes[] = { 1, 2, 3 };
	struct bytes ek = { ek_bytes, sizeof(ek_bytes) };
	CLEANUP(cJSON_freep) cJSON *tags = parse("{\"line\":3}");
	struct dps_enrollment_terms terms = {
		.registration_id = "dev-1",
		.device_id = "Dev-1",
		.attestation = DPS_ATTESTATION_TPM,
		.ek = &ek,
		.allocation = DPS_ALLOCATION_STATIC,
		.hubs = hubs,
		.hub_count = 1,
		.update_hub_assignment = true,
		.iot_edge = true,
		.twin_tags = tags,
		.attempt_id = "00ff",
	};
	CLEANUP(cJSON_freep) cJSON *enrollment = NULL;
	CLEANUP(secret_done) struct secret body = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(dps_enrollment_build(&terms, &enrollment, &err));
	assert_true(dps_document_body(enrollment, &body, &err));
	assert_string_equal(
		(char *)body.data,
		"{\"registrationId\":\"dev-1\",\"deviceId\":\"Dev-1\",\"attestation\":{\"type\":\"tpm\","
		"\"tpm\":{\"endorsementKey\":\"AQID\"}},\"capabilities\":{\"iotEdge\":true},"
		"\"reprovisionPolicy\":{\"updateHubAssignment\":true,\"migrateDeviceData\":false},"
		"\"provisioningStatus\":\"enabled\",\"allocationPolicy\":\"static\",\"iotHubs\":["
		"\"a.azure-devices.net\"],\"initialTwin\":{\"tags\":{\"line\":3},\"properties\":{}},"
		"\"optionalDeviceInformation\":{\"musterAttempt\":\"00ff\"}}");
	assert_string_equal(dps_enrollment_attempt(enrollment), "00ff");
}

static void builds_the_other_attestations(void **state)
{
	CLEANUP(secret_done) struct secret key = { 0 };
	struct dps_enrollment_terms x509 = { .registration_id = "dev-1",
					     .attestation = DPS_ATTESTATION_X509,
					     .certificate = &certificates[0].der,
					     .secondary_certificate = &certificates[1].der };
	struct dps_enrollment_terms symmetric = { .registration_id = "dev-1",
						  .attestation = DPS_ATTESTATION_SYMMETRIC,
						  .primary_key = &key };
	CLEANUP(cJSON_freep) cJSON *one = NULL, *two = NULL;
	struct muster_error err;

	(void)state;
	assert_true(secret_copy(&key, "0123456789abcdef", 16, &err));
	assert_true(dps_enrollment_build(&x509, &one, &err));
	assert_string_equal(json_text(json_at(one, "attestation", "x509", "clientCertificates",
					      "secondary", NULL),
				      "certificate"),
			    certificates[1].base64);
	assert_true(dps_enrollment_build(&symmetric, &two, &err));
	assert_string_equal(
		json_text(json_at(two, "attestation", "symmetricKey", NULL), "primaryKey"),
		"MDEyMzQ1Njc4OWFiY2RlZg==");
}

static void builds_nothing_that_the_service_would_refuse(void **state)
{
	CLEANUP(secret_done) struct secret key = { 0 };
	const struct dps_enrollment_terms bad[] = {
		{ .registration_id = "a b", .attestation = DPS_ATTESTATION_SYMMETRIC },
		{ .registration_id = "d", .attestation = DPS_ATTESTATION_TPM },
		{ .registration_id = "d", .attestation = DPS_ATTESTATION_X509 },
		{ .registration_id = "d",
		  .attestation = DPS_ATTESTATION_SYMMETRIC,
		  .primary_key = &key },
		{ .registration_id = "d",
		  .attestation = DPS_ATTESTATION_SYMMETRIC,
		  .allocation = DPS_ALLOCATION_CUSTOM },
	};
	struct muster_error err;

	(void)state;
	assert_true(secret_copy(&key, "short", 5, &err));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cJSON *enrollment = NULL;

		assert_false(dps_enrollment_build(&bad[i], &enrollment, &err));
		assert_int_equal(err.cause, CAUSE_PROFILE_VALUE);
		assert_null(enrollment);
	}
}

/* -- Masking ------------------------------------------------------------------------------------------- */

static void masks_keys_wherever_they_stand(void **state)
{
	CLEANUP(cJSON_freep)
	cJSON *document = parse(
		"{" ID "\"attestation\":{\"type\":\"symmetricKey\",\"symmetricKey\":{"
		"\"primaryKey\":\"Canary1\",\"secondaryKey\":\"C\"}},\"registrationState\":{\"tpm\""
		":{\"authenticationKey\":\"Canary3\"}},\"customAllocationDefinition\":{"
		"\"webhookUrl\":\"https://f.net/a?code=Canary4\"}}");
	CLEANUP(freep) char *line = NULL;
	struct muster_error err;

	(void)state;
	assert_true(dps_document_redact(document, &err));
	line = json_print_line(document);
	assert_null(strstr(line, "Canary"));
	assert_non_null(strstr(line, "\"secondaryKey\":\"***\""));
	assert_non_null(strstr(line, "\"https://f.net/a?***\""));
	assert_non_null(strstr(line, "\"registrationId\":\"dev-1\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_the_service_takes),
		cmocka_unit_test(names_the_place_of_each_mistake),
		cmocka_unit_test(never_quotes_a_key),
		cmocka_unit_test(stops_counting_at_the_maximum),
		cmocka_unit_test(asks_about_the_endorsement_key),
		cmocka_unit_test(other_rules_for_groups_and_updates),
		cmocka_unit_test(normalises_words_and_nulls),
		cmocka_unit_test(says_whether_normalising_would_change_something),
		cmocka_unit_test(reads_certificates_in_three_forms),
		cmocka_unit_test(knows_host_names),
		cmocka_unit_test(builds_a_tpm_enrollment),
		cmocka_unit_test(builds_the_other_attestations),
		cmocka_unit_test(builds_nothing_that_the_service_would_refuse),
		cmocka_unit_test(masks_keys_wherever_they_stand),
	};

	return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
