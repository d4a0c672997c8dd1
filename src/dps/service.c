#include <string.h>

#include "muster/json-edit.h"
#include "muster/json.h"

#include "dps-internal.h"

#define JSON_TYPE "application/json; charset=utf-8"
#define URL_MAX 2048
#define QUERY_ALL "SELECT * FROM enrollments"

/* -- Building ------------------------------------------------------------------------------------------ */

bool dps_path_id_check(const char *id, struct muster_error *err)
{
	size_t length = strlen(id);

	if (length == 0 || length > DPS_REGISTRATION_ID_MAX)
		return muster_fail(
			err, CAUSE_REGISTRATION_ID_INVALID,
			"registration ID '%s' is %zu characters long, allowed are 1 to %d",
			PRINTABLE(id), length, DPS_REGISTRATION_ID_MAX);
	return true;
}

/* https://HOST/COLLECTION/ID/ACTION?api-version=..., the last two where given. */
static bool begin(struct http_request *request, enum http_method method, const char *host,
		  const char *collection, const char *id, const char *action,
		  struct muster_error *err)
{
	*request = (struct http_request){ .method = method, .url = TEXT_MAX(URL_MAX) };
	if (id && !dps_path_id_check(id, err))
		return false;
	text_addf(&request->url, "https://%s/%s", host, collection);
	if (id) {
		text_add(&request->url, "/");
		text_add_url(&request->url, id);
	}
	if (action)
		text_addf(&request->url, "/%s", action);
	text_add(&request->url, "?api-version=" DPS_SERVICE_API_VERSION);
	return text_ok(&request->url, err);
}

static bool add_if_match(struct http_request *request, const char *if_match,
			 struct muster_error *err)
{
	return !if_match || http_request_header(request, "If-Match", if_match, err);
}

/* Hands a whole request out, or drops a half-built one. */
static bool give(bool is_built, struct http_request *request, struct http_request *ret_request)
{
	if (is_built)
		*ret_request = *request;
	else
		http_request_done(request);
	return is_built;
}

bool dps_enrollment_put(const char *host, const char *id, const cJSON *enrollment,
			const char *if_match, struct http_request *ret_request,
			struct muster_error *err)
{
	struct http_request request;
	bool is_built = begin(&request, HTTP_PUT, host, "enrollments", id, NULL, err) &&
			add_if_match(&request, if_match, err) &&
			dps_document_body(enrollment, &request.body, err);

	request.content_type = JSON_TYPE;
	return give(is_built, &request, ret_request);
}

bool dps_enrollment_put_text(const char *host, const char *id, const struct text *enrollment,
			     const char *if_match, struct http_request *ret_request,
			     struct muster_error *err)
{
	struct http_request request;
	bool is_built = begin(&request, HTTP_PUT, host, "enrollments", id, NULL, err) &&
			add_if_match(&request, if_match, err) &&
			dps_text_body(enrollment->data, enrollment->length, &request.body, err);

	request.content_type = JSON_TYPE;
	return give(is_built, &request, ret_request);
}

bool dps_enrollment_get(const char *host, const char *id, struct http_request *ret_request,
			struct muster_error *err)
{
	struct http_request request;

	return give(begin(&request, HTTP_GET, host, "enrollments", id, NULL, err), &request,
		    ret_request);
}

bool dps_enrollment_delete(const char *host, const char *id, const char *if_match,
			   struct http_request *ret_request, struct muster_error *err)
{
	struct http_request request;
	bool is_built = begin(&request, HTTP_DELETE, host, "enrollments", id, NULL, err) &&
			add_if_match(&request, if_match, err);

	return give(is_built, &request, ret_request);
}

bool dps_enrollment_mechanism(const char *host, const char *id, struct http_request *ret_request,
			      struct muster_error *err)
{
	struct http_request request;
	bool is_built =
		begin(&request, HTTP_POST, host, "enrollments", id, "attestationmechanism", err);

	request.content_type = JSON_TYPE;
	return give(is_built, &request, ret_request);
}

static bool add_query(struct http_request *request, const char *query, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (!body || !json_add_text(body, "query", query ? query : QUERY_ALL))
		return muster_fail_memory(err);
	return dps_document_body(body, &request->body, err);
}

static bool add_page(struct http_request *request, unsigned page_size, const char *continuation,
		     struct muster_error *err)
{
	char size[16];

	snprintf(size, sizeof(size), "%u", page_size);
	return http_request_header(request, "x-ms-max-item-count", size, err) &&
	       (!continuation ||
		http_request_header(request, "x-ms-continuation", continuation, err));
}

bool dps_enrollment_query(const char *host, const char *query, unsigned page_size,
			  const char *continuation, struct http_request *ret_request,
			  struct muster_error *err)
{
	struct http_request request;
	bool is_built = begin(&request, HTTP_POST, host, "enrollments", NULL, "query", err) &&
			add_page(&request, page_size, continuation, err) &&
			add_query(&request, query, err);

	request.content_type = JSON_TYPE;
	return give(is_built, &request, ret_request);
}

bool dps_record_query(const char *host, const char *group, unsigned page_size,
		      const char *continuation, struct http_request *ret_request,
		      struct muster_error *err)
{
	struct http_request request;
	bool is_built = begin(&request, HTTP_POST, host, "registrations", group, "query", err) &&
			add_page(&request, page_size, continuation, err);

	request.content_type = JSON_TYPE;
	return give(is_built, &request, ret_request);
}

bool dps_record_get(const char *host, const char *id, struct http_request *ret_request,
		    struct muster_error *err)
{
	struct http_request request;

	return give(begin(&request, HTTP_GET, host, "registrations", id, NULL, err), &request,
		    ret_request);
}

bool dps_record_delete(const char *host, const char *id, const char *if_match,
		       struct http_request *ret_request, struct muster_error *err)
{
	struct http_request request;
	bool is_built = begin(&request, HTTP_DELETE, host, "registrations", id, NULL, err) &&
			add_if_match(&request, if_match, err);

	return give(is_built, &request, ret_request);
}

/* -- Reading ------------------------------------------------------------------------------------------- */

bool dps_answer_json(const struct http_answer *answer, const char *what, bool is_array,
		     cJSON **ret_root, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *root = NULL;
	struct muster_error error;

	if (!json_parse(answer->body.data ? answer->body.data : "", answer->body.length,
			"the service's answer", &root, &error))
		return muster_fail(err, CAUSE_CLOUD_ANSWER_INVALID, "%s: %s", what, error.message);
	if (is_array ? !cJSON_IsArray(root) : !cJSON_IsObject(root))
		return muster_fail(err, CAUSE_CLOUD_ANSWER_INVALID,
				   "%s: the service's answer is not a JSON %s", what,
				   is_array ? "array" : "object");
	*ret_root = TAKE_PTR(root);
	return true;
}

static bool is_status(const struct http_answer *answer, int status)
{
	return answer->outcome == HTTP_ANSWERED && answer->status == status;
}

bool dps_enrollment_read(const struct http_answer *answer, const char *id, cJSON **ret_enrollment,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *enrollment = NULL;
	char what[200];
	const char *found;

	snprintf(what, sizeof(what), "enrollment '%s'", PRINTABLE(id));
	if (!is_status(answer, 200))
		return dps_answer_fail(answer, what, err);
	if (!dps_answer_json(answer, what, false, &enrollment, err))
		return false;
	found = json_text(enrollment, "registrationId");
	if (!found || !text_equal_folded(found, id))
		return muster_fail(err, CAUSE_CLOUD_ANSWER_INVALID,
				   "%s: the service's answer is about '%s'", what,
				   PRINTABLE(found));
	if (!cJSON_IsObject(json_get(enrollment, "attestation")))
		return muster_fail(err, CAUSE_CLOUD_ANSWER_INVALID,
				   "%s: the service's answer has no attestation", what);
	*ret_enrollment = TAKE_PTR(enrollment);
	return true;
}

/* Seen without a tree; where this is not sure, the reader decides. */
static bool is_plainly_about(const struct text *body, const char *id)
{
	const char *found, *attestation;
	size_t length, attestation_length;
	struct muster_error ignored;
	char name[DPS_REGISTRATION_ID_MAX + 3];

	if (!body->data || !json_check(body->data, body->length, "the answer", &ignored) ||
	    !json_text_find(body->data, body->length, "registrationId", &found, &length) ||
	    !json_text_find(body->data, body->length, "attestation", &attestation,
			    &attestation_length) ||
	    length < 2 || length >= sizeof(name))
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)length - 2, found + 1);
	return found[0] == '"' && !strchr(name, '\\') && text_equal_folded(name, id) &&
	       attestation[0] == '{';
}

bool dps_enrollment_confirm(const struct http_answer *answer, const char *id,
			    struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *enrollment = NULL;

	return (is_status(answer, 200) && is_plainly_about(&answer->body, id)) ||
	       dps_enrollment_read(answer, id, &enrollment, err);
}

bool dps_mechanism_read(const struct http_answer *answer, cJSON **ret_mechanism,
			struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *mechanism = NULL;

	if (!is_status(answer, 200))
		return dps_answer_fail(answer, "reading the attestation's keys", err);
	if (!dps_answer_json(answer, "reading the attestation's keys", false, &mechanism, err))
		return false;
	if (!json_text(mechanism, "type"))
		return muster_fail(err, CAUSE_CLOUD_ANSWER_INVALID,
				   "reading the attestation's keys: the answer has no type");
	*ret_mechanism = TAKE_PTR(mechanism);
	return true;
}

bool dps_query_read(const struct http_answer *answer, cJSON **ret_array, struct muster_error *err)
{
	if (!is_status(answer, 200))
		return dps_answer_fail(answer, "listing enrollments", err);
	return dps_answer_json(answer, "listing enrollments", true, ret_array, err);
}

bool dps_delete_read(const struct http_answer *answer, struct muster_error *err)
{
	return is_status(answer, 204) || is_status(answer, 200) ||
	       dps_answer_fail(answer, "deleting", err);
}
