/* Requests and answers of both planes, without a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "muster/dps.h"
#include "muster/json.h"

#define HOST "localhost:8443"

static struct http_answer answer_of(int status, const char *body)
{
	struct http_answer answer = { .status = status, .retry_after_ms = -1, .date_ms = -1 };

	text_add(&answer.body, body);
	return answer;
}

/* -- Requests ------------------------------------------------------------------------------------------ */

static void puts_with_and_without_an_etag(void **state)
{
	CLEANUP(cJSON_freep) cJSON *document = cJSON_CreateObject();
	CLEANUP(http_request_done) struct http_request create = { 0 };
	CLEANUP(http_request_done) struct http_request update = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(json_add_text(document, "registrationId", "a:b"));
	assert_true(dps_enrollment_put(HOST, "a:b", document, NULL, &create, &err));
	assert_int_equal(create.method, HTTP_PUT);
	assert_string_equal(create.url.data,
			    "https://localhost:8443/enrollments/a%3Ab?api-version=2021-10-01");
	assert_string_equal((char *)create.body.data, "{\"registrationId\":\"a:b\"}");
	assert_int_equal(create.body.size, strlen((char *)create.body.data));
	assert_null(create.headers.data);
	assert_true(dps_enrollment_put(HOST, "a:b", document, "IjY5\"", &update, &err));
	assert_string_equal(update.headers.data, "If-Match: IjY5\"\r\n");
}

static void names_each_operation(void **state)
{
	CLEANUP(http_request_done) struct http_request get = { 0 }, delete = { 0 }, keys = { 0 };
	CLEANUP(http_request_done) struct http_request query = { 0 }, record = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(dps_enrollment_get(HOST, "d", &get, &err));
	assert_int_equal(get.method, HTTP_GET);
	assert_true(dps_enrollment_delete(HOST, "..", "*", &delete, &err));
	assert_int_equal(delete.method, HTTP_DELETE);
	assert_string_equal(delete.headers.data, "If-Match: *\r\n");
	assert_true(dps_enrollment_mechanism(HOST, "d", &keys, &err));
	assert_int_equal(keys.method, HTTP_POST);
	assert_string_equal(keys.url.data, "https://" HOST "/enrollments/d/attestationmechanism"
					   "?api-version=2021-10-01");
	assert_true(dps_enrollment_query(HOST, NULL, 100, "next", &query, &err));
	assert_string_equal((char *)query.body.data, "{\"query\":\"SELECT * FROM enrollments\"}");
	assert_string_equal(query.headers.data,
			    "x-ms-max-item-count: 100\r\nx-ms-continuation: next\r\n");
	assert_true(dps_record_get(HOST, "d", &record, &err));
	assert_string_equal(record.url.data,
			    "https://" HOST "/registrations/d?api-version=2021-10-01");
}

static void never_names_the_collection_by_an_empty_id(void **state)
{
	struct http_request request = { 0 };
	struct muster_error err;
	char long_id[DPS_REGISTRATION_ID_MAX + 2];

	(void)state;
	memset(long_id, 'a', sizeof(long_id) - 1);
	long_id[sizeof(long_id) - 1] = 0;
	assert_false(dps_enrollment_delete(HOST, "", NULL, &request, &err));
	assert_int_equal(err.cause, CAUSE_REGISTRATION_ID_INVALID);
	assert_false(dps_enrollment_get(HOST, long_id, &request, &err));
	assert_int_equal(err.cause, CAUSE_REGISTRATION_ID_INVALID);
}

static void keeps_line_ends_out_of_headers(void **state)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };
	struct muster_error err;

	(void)state;
	assert_false(dps_enrollment_delete(HOST, "d", "x\r\nHost: evil", &request, &err));
	assert_null(request.url.data);
}

static void registers_a_tpm_with_its_keys(void **state)
{
	uint8_t byte = 0;
	struct bytes key = { &byte, 1 };
	struct dps_device device = { HOST, "0ne0", "dev", &key, &key };
	CLEANUP(http_request_done) struct http_request request = { 0 }, poll = { 0 };
	CLEANUP(text_done) struct text resource = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(dps_register(&device, NULL, &request, &err));
	assert_string_equal(request.url.data, "https://" HOST "/0ne0/registrations/dev/register"
					      "?api-version=2021-06-01");
	assert_string_equal((char *)request.body.data,
			    "{\"registrationId\":\"dev\",\"tpm\":{\"endorsementKey\":\"AA==\","
			    "\"storageRootKey\":\"AA==\"}}");
	assert_true(dps_operation_get(&device, "5.ab/..", &poll, &err));
	assert_string_equal(poll.url.data,
			    "https://" HOST "/0ne0/registrations/dev/operations/5.ab%2F.."
			    "?api-version=2021-06-01");
	assert_true(dps_device_resource(&device, &resource, &err));
	assert_string_equal(resource.data, "0ne0/registrations/dev");
}

/* -- Answers of the service ---------------------------------------------------------------------------- */

static void takes_the_enrollment_that_was_asked_for(void **state)
{
	struct http_answer answer =
		answer_of(200, "{\"registrationId\":\"Dev-1\",\"attestation\":{\"type\":\"tpm\"}}");
	CLEANUP(cJSON_freep) cJSON *enrollment = NULL;
	struct muster_error err;

	(void)state;
	assert_true(dps_enrollment_read(&answer, "dev-1", &enrollment, &err));
	assert_string_equal(json_text(enrollment, "registrationId"), "Dev-1");
	assert_true(dps_enrollment_confirm(&answer, "dev-1", &err));
	http_answer_done(&answer);
}

static void never_takes_nonsense_for_success(void **state)
{
	static const char *const bodies[] = {
		"",
		"{",
		"[]",
		"<html>you must log in</html>",
		"{\"registrationId\":\"other\",\"attestation\":{}}",
		"{\"registrationId\":\"dev-1\"}",
		"{\"registrationId\":\"dev-1\",\"registrationId\":\"dev-1\",\"attestation\":{}}",
		"{\"registrationId\":\"dev-1\\u0000x\",\"attestation\":{}}",
		"{\"registrationId\":\"dev-1\",\"attestation\":{}} trailing",
	};
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct http_answer answer = answer_of(200, bodies[i]);
		cJSON *enrollment = NULL;

		assert_false(dps_enrollment_read(&answer, "dev-1", &enrollment, &err));
		assert_int_equal(err.cause, CAUSE_CLOUD_ANSWER_INVALID);
		assert_null(enrollment);
		assert_false(dps_enrollment_confirm(&answer, "dev-1", &err));
		assert_int_equal(err.cause, CAUSE_CLOUD_ANSWER_INVALID);
		http_answer_done(&answer);
	}
}

static void a_name_may_be_written_with_escapes(void **state)
{
	struct http_answer answer =
		answer_of(200, "{\"registrationId\":\"d\\u0065v-1\",\"attestation\":{}}");
	struct muster_error err;

	(void)state;
	assert_true(dps_enrollment_confirm(&answer, "dev-1", &err));
	assert_false(dps_enrollment_confirm(&answer, "d\\u0065v-1", &err));
	http_answer_done(&answer);
}

static void what_is_missing_is_an_enrollment(void **state)
{
	struct http_answer answer = answer_of(404, "{\"errorCode\":404202}");
	cJSON *enrollment = NULL;
	struct muster_error err;

	(void)state;
	assert_false(dps_enrollment_read(&answer, "d", &enrollment, &err));
	assert_int_equal(err.cause, CAUSE_ENROLLMENT_NOT_FOUND);
	assert_false(dps_delete_read(&answer, &err));
	answer.status = 204;
	assert_true(dps_delete_read(&answer, &err));
	http_answer_done(&answer);
}

/* -- Answers of the device API -------------------------------------------------------------------------- */

static void follows_a_registration_to_its_hub(void **state)
{
	struct http_answer working = answer_of(
		202, "{\"operationId\":\"5.1\",\"status\":\"assigning\",\"registrationState\":{"
		     "\"registrationId\":\"dev\",\"status\":\"assigning\"}}");
	struct http_answer done = answer_of(
		200, "{\"operationId\":\"5.1\",\"status\":\"assigned\",\"registrationState\":{"
		     "\"tpm\":{\"authenticationKey\":\"AAEC\"},\"registrationId\":\"dev\","
		     "\"assignedHub\":\"h.azure-devices.net\",\"deviceId\":\"Dev\","
		     "\"substatus\":\"initialAssignment\",\"etag\":\"Ij\"}}");
	CLEANUP(dps_registration_done) struct dps_registration first = { 0 }, last = { 0 };
	struct muster_error err;

	(void)state;
	working.retry_after_ms = 3000;
	assert_true(dps_registration_read(&working, "dev", &first, &err));
	assert_int_equal(first.status, DPS_STATUS_ASSIGNING);
	assert_int_equal(first.retry_after_ms, 3000);
	assert_string_equal(first.operation_id, "5.1");
	assert_true(dps_registration_read(&done, "DEV", &last, &err));
	assert_string_equal(last.assigned_hub, "h.azure-devices.net");
	assert_string_equal(last.device_id, "Dev");
	assert_string_equal(last.substatus, "initialAssignment");
	assert_int_equal(last.key_blob.size, 3);
	assert_true(dps_registration_check(&last, &err));
	http_answer_done(&working);
	http_answer_done(&done);
}

static void tells_a_challenge_from_a_refusal(void **state)
{
	struct http_answer challenge = answer_of(
		401, "{\"authenticationKey\":\"AAEC\",\"keyName\":\"registration\",\"message\":"
		     "\"Authorization required, resend request using supplied key\"}");
	struct http_answer refusal = answer_of(
		401, "{\"errorCode\":401002,\"message\":\"Unauthorized\",\"trackingId\":\"t\"}");
	CLEANUP(dps_registration_done) struct dps_registration registration = { 0 };
	struct dps_registration none = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(dps_registration_read(&challenge, "dev", &registration, &err));
	assert_int_equal(registration.status, DPS_STATUS_CHALLENGED);
	assert_int_equal(registration.key_blob.size, 3);
	assert_false(dps_registration_read(&refusal, "dev", &none, &err));
	assert_int_equal(err.cause, CAUSE_CLOUD_UNAUTHORIZED);
	assert_int_equal(err.native, 401002);
	http_answer_done(&challenge);
	http_answer_done(&refusal);
}

static void an_accepted_registration_may_still_fail(void **state)
{
	struct http_answer failed = answer_of(
		200, "{\"operationId\":\"5.1\",\"status\":\"failed\",\"registrationState\":{"
		     "\"errorCode\":400207,\"errorMessage\":\"Custom allocation failed\\n\"}}");
	struct http_answer disabled =
		answer_of(200, "{\"operationId\":\"5.1\",\"status\":\"disabled\"}");
	CLEANUP(dps_registration_done) struct dps_registration one = { 0 }, two = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(dps_registration_read(&failed, "dev", &one, &err));
	assert_false(dps_registration_check(&one, &err));
	assert_int_equal(err.cause, CAUSE_REGISTRATION_FAILED);
	assert_int_equal(err.native, 400207);
	assert_non_null(strstr(err.message, "Custom allocation failed\\x0a"));
	assert_true(dps_registration_read(&disabled, "dev", &two, &err));
	assert_false(dps_registration_check(&two, &err));
	assert_int_equal(err.cause, CAUSE_REGISTRATION_DISABLED);
	http_answer_done(&failed);
	http_answer_done(&disabled);
}

static void refuses_registrations_that_are_not_whole(void **state)
{
	static const char *const bodies[] = {
		"{}",
		"{\"status\":\"challenged\"}",
		"{\"status\":\"assigned\"}",
		"{\"status\":\"assigned\",\"registrationState\":{\"deviceId\":\"d\"}}",
		"{\"status\":\"assigned\",\"registrationState\":{\"assignedHub\":\"h.net\"}}",
		"{\"status\":\"assigned\",\"registrationState\":{\"assignedHub\":\"no hub\","
		"\"deviceId\":\"d\"}}",
		"{\"status\":\"assigned\",\"registrationState\":{\"assignedHub\":\"h.net\","
		"\"deviceId\":\"d\",\"registrationId\":\"other\"}}",
		"{\"status\":\"assigned\",\"registrationState\":{\"assignedHub\":\"h.net\","
		"\"deviceId\":\"d\",\"tpm\":{\"authenticationKey\":\"?\"}}}",
		"{\"status\":\"assigning\",\"operationId\":\"a\\u001bb\"}",
	};
	struct muster_error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct http_answer answer = answer_of(200, bodies[i]);
		struct dps_registration registration = { 0 };

		assert_false(dps_registration_read(&answer, "dev", &registration, &err));
		assert_int_equal(err.cause, CAUSE_CLOUD_ANSWER_INVALID);
		http_answer_done(&answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puts_with_and_without_an_etag),
		cmocka_unit_test(names_each_operation),
		cmocka_unit_test(never_names_the_collection_by_an_empty_id),
		cmocka_unit_test(keeps_line_ends_out_of_headers),
		cmocka_unit_test(registers_a_tpm_with_its_keys),
		cmocka_unit_test(takes_the_enrollment_that_was_asked_for),
		cmocka_unit_test(never_takes_nonsense_for_success),
		cmocka_unit_test(a_name_may_be_written_with_escapes),
		cmocka_unit_test(what_is_missing_is_an_enrollment),
		cmocka_unit_test(follows_a_registration_to_its_hub),
		cmocka_unit_test(tells_a_challenge_from_a_refusal),
		cmocka_unit_test(an_accepted_registration_may_still_fail),
		cmocka_unit_test(refuses_registrations_that_are_not_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
