/* Golden reports: what is found, where, and how it reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "muster/profile.h"

static void expect_report(const char *yaml, const char *expected)
{
	CLEANUP(profile_done) struct profile profile = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(text_done) struct text printed = TEXT_MAX(64 * 1024);
	struct muster_error err = { 0 };

	assert_false(profile_parse("p.yaml", yaml, strlen(yaml), &profile, &report, &err));
	assert_int_equal(err.cause, CAUSE_PROFILE_INVALID);
	for (size_t i = 0; i < report.count; i++)
		profile_mistake_print(&report, i, &printed);
	assert_string_equal(printed.data, expected);
	assert_null(profile.name);
}

static void every_mistake_at_once(void **state)
{
	(void)state;
	expect_report(
		"profile: gateway r5\n"
		"verson: 1\n"
		"idScope: 123\n"
		"attestation:\n"
		"  type: tpn\n"
		"iotEdge: maybe\n",
		"p.yaml:1:10: error E1205: profile has to be letters, digits, '.', '_' and '-', "
		"beginning with a letter or digit\n"
		"profile: gateway r5\n"
		"         ^~~~~~~~~~\n"
		"p.yaml:2:1: error E1202: unknown key 'verson' (did you mean 'version'?)\n"
		"verson: 1\n"
		"^~~~~~\n"
		"p.yaml:3:10: error E1204: idScope is a number, not a text; put it in quotes\n"
		"idScope: 123\n"
		"         ^~~\n"
		"p.yaml:5:9: error E1205: type cannot be 'tpn' (did you mean 'tpm'?); there are "
		"tpm, x509, symmetricKey\n"
		"  type: tpn\n"
		"        ^~~\n"
		"p.yaml:6:10: error E1204: iotEdge is a text, not true or false\n"
		"iotEdge: maybe\n"
		"         ^~~~~\n");
}

/* What would judge less than it looks like is no profile. */
static void terms_of_a_tpm_that_judge_nothing(void **state)
{
	static const char head[] = "profile: a\nversion: 1\nregistrationId: '{serial}'\n"
				   "attestation:\n  type: tpm\n  tpm:\n";
	static const struct {
		const char *terms, *says;
	} rows[] = {
		{ "    certificate: ignore\n    roots: r\n", "roots do not belong here" },
		{ "    roots: r\n    crls: c\n    revocation: required\n",
		  "attestation.tpm.certificate has to be required" },
		{ "    certificate: ignore\n", NULL },
		{ "    certificate: required\n    roots: r\n    crls: c\n    revocation: required\n",
		  NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(profile_done) struct profile profile = { 0 };
		CLEANUP(profile_report_done) struct profile_report report = { 0 };
		CLEANUP(text_done) struct text printed = TEXT_MAX(64 * 1024);
		CLEANUP(freep) char *yaml = text_format("%s%s", head, rows[i].terms);
		struct muster_error err = { 0 };
		bool is_good = profile_parse("p.yaml", yaml, strlen(yaml), &profile, &report, &err);

		for (size_t j = 0; j < report.count; j++)
			profile_mistake_print(&report, j, &printed);
		if (is_good != !rows[i].says ||
		    (rows[i].says && !strstr(printed.data, rows[i].says)))
			fail_msg("%s: %s", rows[i].terms, printed.data ? printed.data : "taken");
	}
}

static void templates_point_at_the_placeholder(void **state)
{
	(void)state;
	expect_report(
		"profile: a\n"
		"attestation: {type: tpm}\n"
		"deviceId: \"gw-{serail}\"\n",
		"p.yaml:3:15: error E1205: deviceId: nothing stands for {serail}; there are "
		"{serial}, {serial.lower}, {ek.sha256.base32}, {registrationId} (without blanks "
		"inside)\n"
		"deviceId: \"gw-{serail}\"\n"
		"              ^~~~~~~~\n");
}

static void contradictions(void **state)
{
	(void)state;
	expect_report(
		"profile: a\n"
		"attestation: {type: x509, tpm: {}}\n"
		"registrationId: \"{ek.sha256.base32}\"\n"
		"allocationPolicy: static\n"
		"iotHubs: [a.example, b.example]\n"
		"customAllocation: {webhookUrl: \"https://x/\", apiVersion: \"2021-10-01\"}\n",
		"p.yaml:2:27: error E1207: attestation is by certificate; tpm does not belong "
		"here\n"
		"attestation: {type: x509, tpm: {}}\n"
		"                          ^~~\n"
		"p.yaml:3:17: error E1207: only a TPM has an EK: {ek.sha256.base32} needs "
		"attestation type tpm\n"
		"registrationId: \"{ek.sha256.base32}\"\n"
		"                ^~~~~~~~~~~~~~~~~~~~\n"
		"p.yaml:5:1: error E1207: allocation is static: iotHubs has to name one hub\n"
		"iotHubs: [a.example, b.example]\n"
		"^~~~~~~\n"
		"p.yaml:6:1: error E1207: customAllocation needs allocationPolicy custom\n"
		"customAllocation: {webhookUrl: \"https://x/\", apiVersion: \"2021-10-01\"}\n"
		"^~~~~~~~~~~~~~~~\n");
}

static void what_is_missing(void **state)
{
	(void)state;
	expect_report(
		"profile: a\n"
		"attestation:\n"
		"  type: symmetricKey\n"
		"  symmetricKey:\n"
		"    primaryMaster: {file: a, key: \"pkcs11:a\"}\n"
		"allocationPolicy: custom\n",
		"p.yaml:4:3: error E1206: secondaryMaster is missing (The master from which the "
		"device's secondary key is derived.)\n"
		"  symmetricKey:\n"
		"  ^~~~~~~~~~~~\n"
		"p.yaml:5:5: error E1207: either file or key has to be here, not both\n"
		"    primaryMaster: {file: a, key: \"pkcs11:a\"}\n"
		"    ^~~~~~~~~~~~~\n"
		"p.yaml:6:19: error E1206: customAllocation is missing: allocation is custom, so "
		"the webhook has to be named\n"
		"allocationPolicy: custom\n"
		"                  ^~~~~~\n");
}

static void hubs_need_a_policy_and_static_needs_a_hub(void **state)
{
	(void)state;
	expect_report(
		"profile: a\nattestation: {type: tpm}\niotHubs: [h]\n",
		"p.yaml:3:1: error E1206: allocationPolicy is missing: hubs are named, so it has "
		"to be said how one is chosen\n"
		"iotHubs: [h]\n"
		"^~~~~~~\n");
	expect_report(
		"profile: a\nattestation: {type: tpm}\nallocationPolicy: static\n",
		"p.yaml:3:19: error E1206: iotHubs is missing: allocation is static, so the hub "
		"has to be named\n"
		"allocationPolicy: static\n"
		"                  ^~~~~~\n");
}

static void duplicates_and_what_yaml_has_too_much(void **state)
{
	(void)state;
	expect_report("profile: a\n"
		      "attestation: {type: tpm}\n"
		      "profile: b\n"
		      "initialTwin:\n"
		      "  tags: {\xc3\xa4: &x 1, b: *x, c: !!str 5, d: 012}\n",
		      "p.yaml:3:1: error E1203: 'profile' stands here a second time\n"
		      "profile: b\n"
		      "^~~~~~~\n"
		      "p.yaml:5:10: error E1201: anchors are not allowed\n"
		      "  tags: {\xc3\xa4: &x 1, b: *x, c: !!str 5, d: 012}\n"
		      "         ^\n"
		      "p.yaml:5:22: error E1201: aliases are not allowed; write the value out\n"
		      "  tags: {\xc3\xa4: &x 1, b: *x, c: !!str 5, d: 012}\n"
		      "                     ^~\n"
		      "p.yaml:5:29: error E1201: tags are not allowed; put a text in quotes\n"
		      "  tags: {\xc3\xa4: &x 1, b: *x, c: !!str 5, d: 012}\n"
		      "                            ^~~~~\n"
		      "p.yaml:5:41: error E1205: '012' can be read in more than one way; write the "
		      "number as JSON does, or put the text in quotes\n"
		      "  tags: {\xc3\xa4: &x 1, b: *x, c: !!str 5, d: 012}\n"
		      "                                        ^~~\n");
}

static void what_is_not_a_profile(void **state)
{
	(void)state;
	expect_report("", "p.yaml:1:1: error E1201: nothing is in here\n");
	expect_report(
		"- a\n",
		"p.yaml:1:1: error E1204: a profile is a mapping of keys to values, not a list\n"
		"- a\n"
		"^\n");
	expect_report(
		"a-key-that-was-given-for-a-profile\n",
		"p.yaml:1:1: error E1204: a profile is a mapping of keys to values, not a text\n");
	expect_report("profile: b: c\n",
		      "p.yaml:1:11: error E1201: invalid nested block mapping on the same line\n"
		      "profile: b: c\n"
		      "          ^\n");
	expect_report("profile: \xff\n", "p.yaml:1:10: error E1201: from here on it is not UTF-8 "
					 "text\n");
	expect_report("profile: a\nattestation: {type: tpm}\n---\nb\n",
		      "p.yaml:4:1: error E1201: a second document begins; a file holds one\n"
		      "b\n"
		      "^\n");
}

static void depth_is_limited(void **state)
{
	static const struct {
		unsigned levels; /* of lists in deviceInformation */
		bool is_good;
	} rows[] = { { 29, true }, { 31, false }, { 60, false }, { 5000, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(profile_done) struct profile profile = { 0 };
		CLEANUP(profile_report_done) struct profile_report report = { 0 };
		CLEANUP(text_done) struct text yaml = TEXT_MAX(64 * 1024);
		struct muster_error err = { 0 };

		text_add(&yaml, "profile: a\nattestation: {type: tpm}\ndeviceInformation:\n  a: ");
		for (unsigned j = 0; j < rows[i].levels; j++)
			text_add(&yaml, "[");
		for (unsigned j = 0; j < rows[i].levels; j++)
			text_add(&yaml, "]");
		if (profile_parse("p.yaml", yaml.data, yaml.length, &profile, &report, &err) !=
		    rows[i].is_good)
			fail_msg("%u levels: %s", rows[i].levels, err.message);
	}
}

static void size_is_limited(void **state)
{
	static char big[PROFILE_SIZE_MAX + 1];
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	struct profile profile = { 0 };
	struct muster_error err;

	(void)state;
	memset(big, '\n', sizeof(big));
	assert_false(profile_parse("p.yaml", big, sizeof(big), &profile, &report, &err));
	assert_int_equal(err.cause, CAUSE_INPUT_TOO_LARGE);
	assert_false(profile_parse("p.yaml", big, sizeof(big) - 1, &profile, &report, &err));
	assert_int_equal(err.cause, CAUSE_PROFILE_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mistake_at_once),
		cmocka_unit_test(terms_of_a_tpm_that_judge_nothing),
		cmocka_unit_test(templates_point_at_the_placeholder),
		cmocka_unit_test(contradictions),
		cmocka_unit_test(what_is_missing),
		cmocka_unit_test(hubs_need_a_policy_and_static_needs_a_hub),
		cmocka_unit_test(duplicates_and_what_yaml_has_too_much),
		cmocka_unit_test(what_is_not_a_profile),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(size_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
