/* What a good profile becomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "muster/json.h"
#include "muster/profile.h"

static void parse(const char *yaml, struct profile *profile, size_t warnings)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	struct muster_error err = { 0 };

	if (!profile_parse("/etc/line/p.yaml", yaml, strlen(yaml), profile, &report, &err))
		fail_msg("%s: %s", err.message, report.count ? report.rows[0].message : "");
	assert_int_equal(report.mistakes, 0);
	assert_int_equal(report.count, warnings);
}

static void the_least_gets_defaults(void **state)
{
	CLEANUP(profile_done) struct profile p = { 0 };

	(void)state;
	parse("profile: a\nattestation: {type: tpm}\n", &p, 0);
	assert_string_equal(p.path, "/etc/line/p.yaml");
	assert_string_equal(p.name, "a");
	assert_int_equal(p.version, 1);
	assert_null(p.id_scope);
	assert_int_equal(p.attestation, PROFILE_TPM);
	assert_int_equal(p.tpm.certificate, PROFILE_EK_OPTIONAL);
	assert_true(p.tpm.persist);
	assert_string_equal(p.registration_id, "{ek.sha256.base32}");
	assert_null(p.device_id);
	assert_false(p.is_disabled);
	assert_int_equal(p.allocation, PROFILE_ALLOCATION_UNSET);
	assert_int_equal(p.reprovision, PROFILE_MIGRATE);
	assert_true(p.update_hub_assignment && p.migrate_device_data);
	assert_int_equal(p.verify, PROFILE_VERIFY_REGISTER);
	assert_false(profile_needs_serial(&p));
}

static void second_certificate(void **state)
{
	static const struct {
		const char *lines;
		int64_t days;
		bool own;
	} rows[] = {
		{ "", 0, false },
		{ "    secondaryValidDays: 9\n", 9, false },
		{ "    secondaryKey: same\n", 0, false },
		{ "    secondaryKey: own\n", 30, true },
		{ "    secondaryKey: own\n    secondaryValidDays: 9\n", 9, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(profile_done) struct profile p = { 0 };
		CLEANUP(text_done) struct text text = TEXT_MAX(512);

		text_addf(&text,
			  "profile: a\nattestation:\n  type: x509\n  x509:\n    validDays: 30\n%s",
			  rows[i].lines);
		parse(text.data, &p, 0);
		assert_int_equal(p.x509.secondary_valid_days, rows[i].days);
		assert_int_equal(p.x509.own_secondary_key, rows[i].own);
	}
}

static void x509(void **state)
{
	CLEANUP(profile_done) struct profile p = { 0 };

	(void)state;
	parse("profile: a\n"
	      "attestation:\n"
	      "  type: x509\n"
	      "  x509:\n"
	      "    keyType: rsa-3072\n"
	      "    token: pkcs11:token=line-3\n"
	      "    subject: CN={registrationId}, O=B\xc3\xa4r\n"
	      "    validDays: 30\n"
	      "    issuer: {key: \"pkcs11:object=ca\", certificate: ca.pem}\n"
	      "deviceId: gw-{serial}\n"
	      "allocationPolicy: static\n"
	      "iotHubs: [hub-1.azure-devices.net]\n"
	      "reprovisionPolicy: reset\n"
	      "provisioningStatus: disabled\n"
	      "iotEdge: true\n",
	      &p, 0);
	assert_string_equal(profile_attestation_word(p.attestation), "x509");
	assert_string_equal(p.x509.key_type, "rsa-3072");
	assert_string_equal(p.x509.token, "pkcs11:token=line-3");
	assert_string_equal(p.x509.key_label, "{registrationId}");
	assert_int_equal(p.x509.valid_days, 30);
	assert_string_equal(p.x509.issuer_certificate, "/etc/line/ca.pem");
	assert_string_equal(p.registration_id, "{serial.lower}");
	assert_string_equal(p.device_id, "gw-{serial}");
	assert_int_equal(p.allocation, PROFILE_STATIC);
	assert_int_equal(p.iot_hubs.count, 1);
	assert_string_equal(p.iot_hubs.items[0], "hub-1.azure-devices.net");
	assert_true(p.update_hub_assignment && !p.migrate_device_data);
	assert_true(p.is_disabled && p.iot_edge);
	assert_true(profile_needs_serial(&p));
}

static void master_keys(void **state)
{
	CLEANUP(profile_done) struct profile p = { 0 };

	(void)state;
	parse("{\"profile\": \"a\", \"attestation\": {\"type\": \"symmetricKey\", \"symmetricKey\": {\n"
	      "\t\"primaryMaster\": {\"file\": \"/run/keys/primary.key\"},\n"
	      "\t\"secondaryMaster\": {\"key\": \"pkcs11:object=secondary\"}}}}\n",
	      &p, 0);
	assert_string_equal(p.master.primary.file, "/run/keys/primary.key");
	assert_null(p.master.primary.uri);
	assert_null(p.master.secondary.file);
	assert_string_equal(p.master.secondary.uri, "pkcs11:object=secondary");
}

static void twins_keep_numbers_and_quotes(void **state)
{
	CLEANUP(profile_done) struct profile p = { 0 };
	CLEANUP(freep) char *tags = NULL;
	CLEANUP(freep) char *desired = NULL;

	(void)state;
	parse("profile: a\n"
	      "attestation: {type: tpm}\n"
	      "initialTwin:\n"
	      "  tags:\n"
	      "    batch: \"012\"\n"
	      "    big: 12345678901234567890123\n"
	      "    rate: 1.50e+3\n"
	      "    no: no\n"
	      "    on: true\n"
	      "    none:\n"
	      "    list: [1, \"2\", {a: ~}]\n"
	      "  properties:\n"
	      "    desired: {interval: 60}\n",
	      &p, 0);
	tags = json_print_line(p.twin_tags);
	desired = json_print_line(p.twin_desired);
	assert_string_equal(tags, "{\"batch\":\"012\",\"big\":12345678901234567890123,"
				  "\"rate\":1.50e+3,\"no\":\"no\",\"on\":true,\"none\":null,"
				  "\"list\":[1,\"2\",{\"a\":null}]}");
	assert_string_equal(desired, "{\"interval\":60}");
}

static void no_twin_is_none(void **state)
{
	CLEANUP(profile_done) struct profile p = { 0 };

	(void)state;
	parse("profile: a\nattestation: {type: tpm}\n", &p, 0);
	assert_null(p.twin_tags);
	assert_null(p.twin_desired);
}

static void lasting_verification_draws_a_warning(void **state)
{
	static const struct {
		const char *lines;
		size_t warnings;
	} rows[] = {
		{ "allocationPolicy: geoLatency\n", 1 },
		{ "allocationPolicy: geoLatency\nverify: none\n", 0 },
		{ "allocationPolicy: geoLatency\nprovisioningStatus: disabled\n", 0 },
		{ "allocationPolicy: hashed\n", 0 },
		{ "reprovisionPolicy: never\n", 1 },
		{ "reprovisionPolicy: {updateHubAssignment: false, migrateDeviceData: true}\n", 1 },
		{ "reprovisionPolicy: {updateHubAssignment: true, migrateDeviceData: true}\n", 0 },
		{ "allocationPolicy: custom\n"
		  "customAllocation: {webhookUrl: \"https://x/\", apiVersion: \"2021-10-01\"}\n",
		  1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(profile_done) struct profile p = { 0 };
		CLEANUP(freep)
		char *yaml = text_format("profile: a\nattestation: {type: tpm}\n%s", rows[i].lines);

		parse(yaml, &p, rows[i].warnings);
	}
}

static void a_value_that_looks_like_another_type(void **state)
{
	CLEANUP(profile_done) struct profile p = { 0 };

	(void)state;
	parse("profile: \"5\"\nattestation: {type: tpm}\nidScope: '0123'\n"
	      "customAllocation: {webhookUrl: 'https://x/', apiVersion: 2021-10-01}\n"
	      "allocationPolicy: custom\nverify: none\n",
	      &p, 0);
	assert_string_equal(p.name, "5");
	assert_string_equal(p.id_scope, "0123");
	assert_string_equal(p.webhook_api_version, "2021-10-01");
}

static void the_digest_is_of_the_bytes(void **state)
{
	static const char yaml[] = "profile: a\nattestation: {type: tpm}\n";
	CLEANUP(profile_done) struct profile p = { 0 };
	char digest[SHA256_HEX_SIZE];

	(void)state;
	parse(yaml, &p, 0);
	assert_string_equal(p.digest, sha256_hex(digest, yaml, strlen(yaml)));
}

static void the_examples_are_good(void **state)
{
	static const char *const names[] = { "tpm", "hsm-x509", "derived-key", "hsm-derived-key" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CLEANUP(profile_done) struct profile p = { 0 };
		CLEANUP(profile_report_done) struct profile_report report = { 0 };
		CLEANUP(freep)
		char *path = text_format(MUSTER_SOURCE_DIR "/profiles/%s.yaml", names[i]);
		struct muster_error err = { 0 };

		if (!profile_load(path, &p, &report, &err))
			fail_msg("%s", err.message);
		assert_int_equal(report.count, 0);
		assert_string_equal(p.name, names[i]);
	}
}

static void a_file_that_is_not_there(void **state)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	struct profile p = { 0 };
	struct muster_error err;

	(void)state;
	assert_false(profile_load("/nonexistent/p.yaml", &p, &report, &err));
	assert_int_equal(err.cause, CAUSE_INPUT_NOT_FOUND);
	assert_int_equal(report.count, 0);
}

static void the_schema_is_json(void **state)
{
	CLEANUP(text_done) struct text schema = TEXT_MAX(256 * 1024);
	CLEANUP(cJSON_freep) cJSON *root = NULL;
	struct muster_error err;

	(void)state;
	assert_true(profile_schema(&schema, &err));
	assert_true(json_parse(schema.data, schema.length, "the schema", &root, &err));
	assert_string_equal(json_text(json_at(root, "properties", "attestation", "properties",
					      "x509", "properties", "keyType", NULL),
				      "default"),
			    "ec-p256");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_least_gets_defaults),
		cmocka_unit_test(second_certificate),
		cmocka_unit_test(x509),
		cmocka_unit_test(master_keys),
		cmocka_unit_test(twins_keep_numbers_and_quotes),
		cmocka_unit_test(no_twin_is_none),
		cmocka_unit_test(lasting_verification_draws_a_warning),
		cmocka_unit_test(a_value_that_looks_like_another_type),
		cmocka_unit_test(the_digest_is_of_the_bytes),
		cmocka_unit_test(the_examples_are_good),
		cmocka_unit_test(a_file_that_is_not_there),
		cmocka_unit_test(the_schema_is_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
