/* A service by its name: the management API says where it is and gives out a policy's key. */
#include <stdlib.h>
#include <string.h>

#include "muster/json.h"
#include "muster/log.h"

#include "credential-internal.h"
#include "management.h"

struct lookup {
	struct dps_client *client;
	struct management_target target;
	struct management_service service;
	const char *page; /* URL; NULL: the first */
	bool wants_keys;
};

static void name_deed(const struct lookup *lookup, char *out, size_t size)
{
	snprintf(out, size, "%s provisioning service '%s'",
		 lookup->wants_keys ? "asking for the keys of" : "looking for",
		 lookup->target.name);
}

static bool build(void *context, const char *host, struct http_request *ret_request,
		  struct muster_error *err)
{
	const struct lookup *lookup = context;

	(void)host;
	if (lookup->page) {
		ret_request->method = lookup->wants_keys ? HTTP_POST : HTTP_GET;
		text_add(&ret_request->url, lookup->page);
		return text_ok(&ret_request->url, err);
	}
	return lookup->wants_keys
		       ? management_list_keys(&lookup->target, &lookup->service, ret_request, err)
		       : management_find(&lookup->target, ret_request, err);
}

/* Looks at pages until `look` has seen enough or there are no more. */
static bool walk_pages(struct lookup *lookup,
		       bool (*look)(void *context, struct lookup *lookup, const cJSON *page,
				    bool *ret_is_enough, struct muster_error *err),
		       void *context, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *page = NULL;
	char what[160];

	name_deed(lookup, what, sizeof(what));
	lookup->page = NULL;
	for (unsigned i = 0; i < MANAGEMENT_PAGES_MAX; i++) {
		CLEANUP(http_answer_done) struct http_answer answer = { 0 };
		bool is_enough = false;

		if (!dps_client_fetch(lookup->client, build, lookup, false, &answer, err))
			return muster_error_prefix(err, "%s", what);
		cJSON_Delete(TAKE_PTR(page));
		if (!management_read(&answer, what, &page, err) ||
		    !look(context, lookup, page, &is_enough, err) ||
		    !management_next_page(&lookup->target, page, &lookup->page, err))
			return false;
		if (is_enough || !lookup->page)
			return true;
	}
	return muster_fail(err, CAUSE_MANAGEMENT_ANSWER, "%s: the list has no end after %d pages",
			   what, MANAGEMENT_PAGES_MAX);
}

/* -- The service --------------------------------------------------------------------------------------- */

static bool look_for_service(void *context, struct lookup *lookup, const cJSON *page,
			     bool *ret_is_enough, struct muster_error *err)
{
	*ret_is_enough = lookup->target.group != NULL;
	return management_match(&lookup->target, page, &lookup->service, context, err);
}

static bool find_service(struct lookup *lookup, struct muster_error *err)
{
	size_t count = 0;

	if (!walk_pages(lookup, look_for_service, &count, err))
		return false;
	if (count == 0)
		return muster_fail(err, CAUSE_SERVICE_NOT_FOUND,
				   "subscription '%s' has no provisioning service '%s'",
				   lookup->target.subscription, lookup->target.name);
	if (count > 1)
		return muster_fail(err, CAUSE_SERVICE_AMBIGUOUS,
				   "subscription '%s' has %zu provisioning services '%s'",
				   lookup->target.subscription, count, lookup->target.name);
	return true;
}

/* -- The key ------------------------------------------------------------------------------------------- */

static bool look_for_policy(void *context, struct lookup *lookup, const cJSON *page,
			    bool *ret_is_enough, struct muster_error *err)
{
	return management_pick_policy(page, lookup->service.host, context, ret_is_enough, err);
}

static bool find_key(struct lookup *lookup, struct dps_login *ret_login, struct muster_error *err)
{
	lookup->wants_keys = true;
	if (!walk_pages(lookup, look_for_policy, ret_login, err))
		return false;
	if (!ret_login->host[0])
		return muster_fail(err, CAUSE_POLICY_NOT_FOUND,
				   "no policy of provisioning service '%s' has the rights "
				   "ServiceConfig and EnrollmentWrite",
				   lookup->target.name);
	log_info("provisioning service '%s' is '%s', policy '%s'", lookup->target.name,
		 ret_login->host, PRINTABLE(ret_login->policy));
	return true;
}

/* -- The credential ------------------------------------------------------------------------------------ */

/* The subscription that the az session works in. */
static bool ask_session(struct named *named, struct http *http, struct muster_error *err)
{
	struct dps_tokens *tokens = named->manager->tokens;
	struct management_target target = { "", dps_tokens_subscription(tokens), named->group,
					    named->name };
	const struct secret *token;

	if (!dps_tokens_get(tokens, http, named->manager->resource, &token, err))
		return false;
	if (!*target.subscription)
		return muster_fail(err, CAUSE_SIGN_IN_INCOMPLETE,
				   "looking a service up by name needs --subscription");
	if (!management_target_check(&target, err))
		return false;
	named->subscription = strdup(target.subscription);
	return named->subscription || muster_fail_memory(err);
}

static bool connect_named(struct dps_credential *credential, struct http *http,
			  struct muster_error *err)
{
	struct named *named = credential->named;
	CLEANUP(dps_client_freep) struct dps_client *client = NULL;
	CLEANUP(dps_login_done) struct dps_login found = { 0 };

	if (credential->login.host[0] && !named->is_refused)
		return true;
	if (!named->subscription && !ask_session(named, http, err))
		return false;
	client = dps_client_new(http, named->manager, err);
	if (!client)
		return false;
	struct lookup lookup = {
		.client = client,
		.target = { dps_tokens_endpoints(named->manager->tokens)->management,
			    named->subscription, named->group, named->name },
	};
	if (!find_service(&lookup, err) || !find_key(&lookup, &found, err))
		return false;
	dps_login_done(&credential->login);
	credential->login = found;
	found = (struct dps_login){ 0 };
	named->is_refused = false;
	return true;
}

static bool authorize_named(struct dps_credential *credential, struct http *http,
			    struct http_request *request, struct muster_error *err)
{
	return connect_named(credential, http, err) &&
	       credential_authorize_by_key(credential, http, request, err);
}

/* Its key may have been regenerated since it was looked up. */
static bool forget_named(struct dps_credential *credential)
{
	credential->named->is_refused = true;
	return credential_forget_key_token(credential);
}

static void free_named(struct dps_credential *credential)
{
	struct named *named = credential->named;

	if (!named)
		return;
	dps_credential_free(named->manager);
	free(named->subscription);
	free(named->group);
	free(named->name);
	free(named);
}

static const struct credential_kind by_name = {
	.connect = connect_named,
	.authorize = authorize_named,
	.forget = forget_named,
	.free = free_named,
};

static bool copy(char **ret_copy, const char *value)
{
	*ret_copy = value ? strdup(value) : NULL;
	return !value || *ret_copy;
}

static bool fill_named(struct named *named, struct dps_tokens *tokens,
		       const struct dps_service_name *service, struct muster_error *err)
{
	named->manager = credential_new_for(tokens, dps_tokens_endpoints(tokens)->management, err);
	if (!named->manager)
		return false;
	return (copy(&named->subscription, service->subscription) &&
		copy(&named->group, service->resource_group) &&
		copy(&named->name, service->name)) ||
	       muster_fail_memory(err);
}

struct dps_credential *dps_credential_new_named(struct dps_tokens *tokens,
						const struct dps_service_name *service,
						struct muster_error *err)
{
	CLEANUP(dps_tokens_freep) struct dps_tokens *owned = tokens;
	const struct management_target target = { "", service->subscription,
						  service->resource_group, service->name };
	CLEANUP(dps_credential_freep) struct dps_credential *credential = NULL;

	if (!management_target_check(&target, err) || !(credential = credential_new(&by_name, err)))
		return NULL;
	credential->named = calloc(1, sizeof(*credential->named));
	if (!credential->named) {
		muster_fail_memory(err);
		return NULL;
	}
	if (!fill_named(credential->named, TAKE_PTR(owned), service, err))
		return NULL;
	return TAKE_PTR(credential);
}
