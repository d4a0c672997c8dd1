#include "management.h"

#include <ctype.h>
#include <string.h>

#include "muster/json.h"

#define API_VERSION "2021-10-15" /* the one that az uses */
#define COLLECTION "providers/Microsoft.Devices/provisioningServices"

/* -- Requests ------------------------------------------------------------------------------------------ */

static bool is_name(const char *text, const char *others, size_t max)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++)
		if (!isascii((unsigned char)text[i]) ||
		    (!isalnum((unsigned char)text[i]) && !strchr(others, text[i])))
			return false;
	return length > 0 && length <= max;
}

bool management_target_check(const struct management_target *target, struct muster_error *err)
{
	if (target->subscription && !is_name(target->subscription, "-", 64))
		return muster_fail(err, CAUSE_USAGE, "'%s' is not the ID of a subscription",
				   PRINTABLE(target->subscription));
	if (target->group && !is_name(target->group, "-_.()", 90))
		return muster_fail(err, CAUSE_USAGE, "'%s' is not the name of a resource group",
				   PRINTABLE(target->group));
	if (!is_name(target->name, "-", 64))
		return muster_fail(err, CAUSE_USAGE,
				   "'%s' is not the name of a provisioning service",
				   PRINTABLE(target->name));
	return true;
}

bool management_find(const struct management_target *target, struct http_request *ret_request,
		     struct muster_error *err)
{
	struct text *url = &ret_request->url;

	ret_request->method = HTTP_GET;
	text_addf(url, "%s/subscriptions/%s/", target->endpoint, target->subscription);
	if (target->group) {
		text_add(url, "resourceGroups/");
		text_add_url(url, target->group);
		text_addf(url, "/" COLLECTION "/%s", target->name);
	} else {
		text_add(url, COLLECTION);
	}
	text_add(url, "?api-version=" API_VERSION);
	return text_ok(url, err);
}

bool management_list_keys(const struct management_target *target,
			  const struct management_service *service,
			  struct http_request *ret_request, struct muster_error *err)
{
	ret_request->method = HTTP_POST;
	text_addf(&ret_request->url, "%s%s/listkeys?api-version=" API_VERSION, target->endpoint,
		  service->id);
	return text_ok(&ret_request->url, err);
}

/* -- Answers ------------------------------------------------------------------------------------------- */

static enum muster_cause cause_of(int status)
{
	switch (status) {
	case 401:
	case 403:
		return CAUSE_MANAGEMENT_REFUSED;
	case 404:
		return CAUSE_SERVICE_NOT_FOUND;
	case 429:
		return CAUSE_CLOUD_THROTTLED;
	default:
		return status >= 500 ? CAUSE_CLOUD_SERVER_ERROR : CAUSE_MANAGEMENT_REFUSED;
	}
}

/* {"error":{"code","message"}} or {"code","message"}. */
static void add_words(struct text *sentence, const cJSON *document)
{
	const cJSON *error = json_get(document, "error");
	const cJSON *place = cJSON_IsObject(error) ? error : document;
	const char *code = json_text(place, "code"), *message = json_text(place, "message");
	char words[320];

	if (code)
		text_addf(sentence, ", %s", PRINTABLE(code));
	if (message)
		text_addf(sentence, ": %s", text_printable(words, sizeof(words), message));
}

static bool fail(const struct http_answer *answer, const char *what, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	CLEANUP(text_done) struct text sentence = TEXT_MAX(1024);
	struct muster_error ignored;

	text_addf(&sentence, "%s: the management API answered %d", what, answer->status);
	if (answer->body.length > 0 &&
	    json_parse(answer->body.data, answer->body.length, "the answer", &document, &ignored))
		add_words(&sentence, document);
	if (!text_ok(&sentence, err))
		return false;
	return muster_fail_native(err, cause_of(answer->status), ORIGIN_HTTP,
				  (unsigned long)answer->status, "%s", sentence.data);
}

bool management_read(const struct http_answer *answer, const char *what, cJSON **ret_document,
		     struct muster_error *err)
{
	struct muster_error unread;

	if (answer->outcome != HTTP_ANSWERED) {
		*err = answer->error;
		return muster_error_prefix(err, "%s", what);
	}
	if (answer->status != 200)
		return fail(answer, what, err);
	if (!json_parse(answer->body.data, answer->body.length, "the answer", ret_document,
			&unread))
		return muster_fail(err, CAUSE_MANAGEMENT_ANSWER, "%s: %s", what, unread.message);
	return true;
}

/* The endpoint's port may be said. */
static bool is_below(const char *url, const char *endpoint)
{
	size_t length = strlen(endpoint);
	bool has_port = strchr(endpoint + strlen("https:"), ':') != NULL;

	if (strncasecmp(url, endpoint, length) != 0)
		return false;
	url += length;
	if (!has_port && text_has_prefix(url, ":443"))
		url += strlen(":443");
	return *url == '/';
}

bool management_next_page(const struct management_target *target, const cJSON *page,
			  const char **ret_url, struct muster_error *err)
{
	const char *url = json_text(page, "nextLink");

	*ret_url = NULL;
	if (!url || !*url)
		return true;
	if (!is_below(url, target->endpoint))
		return muster_fail(err, CAUSE_MANAGEMENT_ANSWER,
				   "the management API points to '%s' for its next page, which is "
				   "not below '%s'",
				   PRINTABLE(url), target->endpoint);
	*ret_url = url;
	return true;
}

/* -- The service --------------------------------------------------------------------------------------- */

/* It goes into a URL that carries the token: below this subscription, and nothing that means something there. */
static bool is_resource_id(const struct management_target *target, const char *id)
{
	CLEANUP(freep) char *begin = text_format("/subscriptions/%s/", target->subscription);
	size_t length = begin ? strlen(begin) : 0;

	return begin && strncasecmp(id, begin, length) == 0 &&
	       is_name(id, "/-_.()", MANAGEMENT_ID_MAX - 1) && !strstr(id, "..");
}

static bool take_service(const struct management_target *target, const cJSON *resource,
			 struct management_service *service, struct muster_error *err)
{
	const char *id = json_text(resource, "id");
	const char *host = json_text(json_get(resource, "properties"), "serviceOperationsHostName");
	struct muster_error unread;

	if (!id || !is_resource_id(target, id))
		return muster_fail(
			err, CAUSE_MANAGEMENT_ANSWER,
			"the management API gives service '%s' an ID that cannot be used",
			target->name);
	if (!host ||
	    !dps_host_parse(host, strlen(host), "the service's host", service->host, &unread))
		return muster_fail(err, CAUSE_MANAGEMENT_ANSWER,
				   "the management API gives service '%s' no host name",
				   target->name);
	snprintf(service->id, sizeof(service->id), "%s", id);
	return true;
}

static bool match_one(const struct management_target *target, const cJSON *resource,
		      struct management_service *service, size_t *count, struct muster_error *err)
{
	const char *name = json_text(resource, "name");

	if (!name || !text_equal_folded(name, target->name))
		return true;
	++*count;
	return take_service(target, resource, service, err);
}

bool management_match(const struct management_target *target, const cJSON *document,
		      struct management_service *service, size_t *count, struct muster_error *err)
{
	const cJSON *value = json_get(document, "value"), *resource;

	if (target->group)
		return match_one(target, document, service, count, err);
	if (!cJSON_IsArray(value))
		return muster_fail(err, CAUSE_MANAGEMENT_ANSWER,
				   "the management API's list of services has no 'value'");
	cJSON_ArrayForEach(resource, value)
	{
		if (!match_one(target, resource, service, count, err))
			return false;
	}
	return true;
}

/* -- Policies ------------------------------------------------------------------------------------------ */

/* "ServiceConfig, EnrollmentRead, ...": is this word there? */
static bool has_right(const char *rights, const char *right)
{
	size_t length;

	for (const char *at = rights; *at; at += length + (at[length] == ',')) {
		at += strspn(at, " ");
		length = strcspn(at, ",");
		if (length == strlen(right) && strncasecmp(at, right, length) == 0)
			return true;
	}
	return false;
}

static bool is_strong(const cJSON *policy)
{
	const char *rights = json_text(policy, "rights");

	return rights && has_right(rights, "ServiceConfig") && has_right(rights, "EnrollmentWrite");
}

/* By the same reader as a connection string, which knows what a policy and a key may be. */
static bool read_policy(const cJSON *policy, const char *host, struct dps_login *ret_login,
			struct muster_error *err)
{
	const char *name = json_text(policy, "keyName"), *key = json_text(policy, "primaryKey");
	CLEANUP(text_done) struct text text = TEXT_MAX(4096);
	struct muster_error unread;

	if (!name || !key || strchr(name, ';') || strchr(key, ';'))
		return muster_fail(err, CAUSE_MANAGEMENT_ANSWER,
				   "the management API lists a policy without name or key");
	text_addf(&text, "HostName=%s;SharedAccessKeyName=%s;SharedAccessKey=%s", host, name, key);
	if (!text_ok(&text, err))
		return false;
	return dps_login_parse(ret_login, text.data, text.length, &unread) ||
	       muster_fail(err, CAUSE_MANAGEMENT_ANSWER,
			   "the management API lists policy '%s', which cannot be used: %s",
			   PRINTABLE(name), unread.message);
}

bool management_pick_policy(const cJSON *page, const char *host, struct dps_login *ret_login,
			    bool *ret_found, struct muster_error *err)
{
	const cJSON *value = json_get(page, "value"), *policy;

	*ret_found = false;
	if (!cJSON_IsArray(value))
		return muster_fail(err, CAUSE_MANAGEMENT_ANSWER,
				   "the management API's list of keys has no 'value'");
	cJSON_ArrayForEach(policy, value)
	{
		if (!is_strong(policy))
			continue;
		*ret_found = true;
		return read_policy(policy, host, ret_login, err);
	}
	return true;
}
