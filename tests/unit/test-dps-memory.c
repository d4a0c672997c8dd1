/* Enrollment documents, credentials and tables while memory runs out: each job fails or ends, and nothing is left behind. */
#include "memory.h"

#include "document-fixture.h"

#include "muster/dps-http.h"
#include "muster/dps.h"

#include "../../src/dps/twin-text.h"

/* -- Credentials ------------------------------------------------------------------------------------------- */

static bool make_token(const void *context)
{
	static const struct dps_sas_terms terms = { "localhost", "policy", 1795421104 };
	CLEANUP(secret_done) struct secret key = { 0 };
	CLEANUP(secret_done) struct secret token = { 0 };
	struct muster_error err;

	(void)context;
	return secret_copy(&key, "0123456789abcdef", 16, &err) &&
	       dps_sas_make(&terms, &key, &token, &err);
}

static bool parse_login(const void *context)
{
	static const char text[] = "HostName=a.azure-devices-provisioning.net;"
				   "SharedAccessKeyName=p;SharedAccessKey=" KEY16;
	struct dps_login login = { 0 };
	struct muster_error err;
	bool good;

	(void)context;
	good = dps_login_parse(&login, text, strlen(text), &err);
	dps_login_done(&login);
	return good;
}

/* -- Requests --------------------------------------------------------------------------------------------------- */

static void never_called(void *context, struct http_answer *answer)
{
	(void)context;
	(void)answer;
	fail_msg("a request that never went was answered");
}

static bool prepare_request(const void *context)
{
	struct http_request request = { .method = HTTP_PUT, .content_type = "application/json" };
	CLEANUP(http_freep) struct http *http = NULL;
	struct http_transfer *transfer;
	struct muster_error err;

	(void)context;
	http = http_new(NULL, &err);
	if (!http)
		return false;
	text_add(&request.url, "https://localhost/enrollments/dev-1");
	if (!http_request_header(&request, "If-Match", "\"1\"", &err) ||
	    !secret_copy(&request.authorization, "token", 5, &err) ||
	    !secret_copy(&request.body, "{}", 2, &err)) {
		http_request_done(&request);
		return false;
	}
	transfer = http_prepare(http, &request, never_called, NULL, &err);
	if (!transfer)
		return false;
	http_cancel(http, transfer);
	return true;
}

static void requests(void **state)
{
	(void)state;
	each_allocation_fails_of("prepare", prepare_request, NULL);
}

/* -- Documents --------------------------------------------------------------------------------------------- */

#define FULL                                                                                      \
	"{" ID TPM ",\"deviceId\":\"d\",\"allocationPolicy\":\"custom\","                         \
	"\"customAllocationDefinition\":{\"webhookUrl\":\"https://f.net/api/x?code=1\","          \
	"\"apiVersion\":\"2021-10-01\"},\"iotHubs\":[\"a.azure-devices.net\"],"                   \
	"\"initialTwin\":{\"tags\":{\"a\":1},\"properties\":{\"desired\":{\"b\":[1,2]}}},"        \
	"\"optionalDeviceInformation\":{\"c\":{}},\"reprovisionPolicy\":{\"updateHubAssignment\"" \
	":true,\"migrateDeviceData\":false}}"
#define KEYED                                                                                  \
	"{" ID                                                                                 \
	"\"attestation\":{\"type\":\"symmetricKey\",\"symmetricKey\":{\"primaryKey\":\"" KEY16 \
	"\",\"secondaryKey\":\"" KEY16 "\"}}}"

static bool parse_document(const char *text, cJSON **ret_document)
{
	struct muster_error err;

	return json_parse(text, strlen(text), "the document", ret_document, &err);
}

static bool check_document(const void *context)
{
	static const struct dps_document_rules rules = { 0 };
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	struct dps_problems problems = { 0 };

	if (!parse_document(context, &document))
		return false;
	dps_document_check(document, &rules, &problems);
	dps_document_normalise(document);
	return problems.count == 0;
}

static bool check_certificate(const void *context)
{
	CLEANUP(freep)
	char *text = text_format("{" ID "\"attestation\":{\"type\":\"x509\",\"x509\":{"
				 "\"clientCertificates\":{\"primary\":{"
				 "\"certificate\":\"%s\"}}}}}",
				 (const char *)context);

	return text && check_document(text);
}

static bool mask_document(const void *context)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	CLEANUP(freep) char *text = NULL;
	struct muster_error err;

	if (!parse_document(context, &document))
		return false;
	if (!dps_document_redact(document, &err))
		return false;
	text = cJSON_PrintUnformatted(document);
	return text && !strstr(text, KEY16) && !strstr(text, "code=1");
}

static bool print_document(const void *context)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	CLEANUP(secret_done) struct secret body = { 0 };
	struct muster_error err;

	return parse_document(context, &document) && dps_document_body(document, &body, &err);
}

static bool compare_documents(const void *context)
{
	CLEANUP(cJSON_freep) cJSON *wanted = NULL;
	CLEANUP(cJSON_freep) cJSON *found = NULL;
	CLEANUP(text_done) struct text differences = { 0 };
	struct muster_error err;

	return parse_document(FULL, &wanted) && parse_document(context, &found) &&
	       dps_enrollment_compare(wanted, found, NULL, &differences, &err) &&
	       differences.length > 0;
}

static bool build_document(const void *context)
{
	static const char *const hubs[] = { "a.azure-devices.net" };
	const struct bytes ek = { (uint8_t[]){ 0, 1, 2 }, 3 };
	const struct bytes *certificate = context;
	CLEANUP(secret_done) struct secret key = { 0 };
	CLEANUP(cJSON_freep) cJSON *tags = cJSON_CreateObject();
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	struct dps_enrollment_terms terms = { .registration_id = "dev-1",
					      .device_id = "d",
					      .attestation = DPS_ATTESTATION_TPM,
					      .ek = &ek,
					      .allocation = DPS_ALLOCATION_STATIC,
					      .hubs = hubs,
					      .hub_count = 1,
					      .twin_tags = tags,
					      .twin_properties = tags,
					      .device_information = tags,
					      .attempt_id = "a" };
	struct muster_error err;

	if (!tags || !secret_copy(&key, "0123456789abcdef", 16, &err) ||
	    !dps_enrollment_build(&terms, &document, &err))
		return false;
	cJSON_Delete(TAKE_PTR(document));
	terms.attestation = DPS_ATTESTATION_X509;
	terms.certificate = terms.secondary_certificate = certificate;
	terms.allocation = DPS_ALLOCATION_CUSTOM;
	terms.webhook_url = "https://f.net/api/x?code=1";
	terms.webhook_api_version = "2021-10-01";
	if (!dps_enrollment_build(&terms, &document, &err))
		return false;
	cJSON_Delete(TAKE_PTR(document));
	terms.attestation = DPS_ATTESTATION_SYMMETRIC;
	terms.primary_key = terms.secondary_key = &key;
	terms.allocation = DPS_ALLOCATION_HASHED;
	return dps_enrollment_build(&terms, &document, &err);
}

static bool read_twin(const void *context)
{
	CLEANUP(text_done) struct text json = { 0 };
	struct twin_reading reading = { 0 };

	return twin_python_read(context, &json, &reading) && !json.failed;
}

static bool trust_document(const void *context)
{
	const struct bytes ek = { (uint8_t[]){ 1, 0x3a, 0 }, 3 };
	const struct dps_identity identity = { .ek = &ek };
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	struct muster_error err;

	(void)context;
	return parse_document(FULL, &document) && dps_enrollment_trusts(document, &identity, &err);
}

static void documents_and_credentials(void **state)
{
	(void)state;
	each_allocation_fails_of("make_token", make_token, NULL);
	each_allocation_fails_of("parse_login", parse_login, NULL);
	each_allocation_fails_of("check", check_document, FULL);
	each_allocation_fails_of("check keys", check_document, KEYED);
	each_allocation_fails_of("check PEM in base64", check_certificate,
				 certificates[0].base64_pem);
	each_allocation_fails_of("check DER in base64", check_certificate, certificates[0].base64);
	each_allocation_fails_of("mask", mask_document, FULL);
	each_allocation_fails_of("mask keys", mask_document, KEYED);
	each_allocation_fails_of("print", print_document, FULL);
	each_allocation_fails_of("compare", compare_documents, TPM_DOCUMENT);
	each_allocation_fails_of("build", build_document, &certificates[0].der);
	each_allocation_fails_of("twin", read_twin, "{'a': {'b': [1, True, None]}, 'c': 'd'}");
	each_allocation_fails_of("trust", trust_document, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(documents_and_credentials),
	};

	memory_begin();
	return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
