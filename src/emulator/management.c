/* The part of Azure Resource Manager that finds a provisioning service by name and gives out its keys. */
#include <stdlib.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/json.h"

#include "emulator-internal.h"
#include "handlers.h"

#define COLLECTION "providers/Microsoft.Devices/provisioningServices"
#define LOCATION "westeurope"

/* Segments of the path: subscriptions/S/resourceGroups/G/providers/... */
enum { SUBSCRIPTION = 1, GROUP_WORD = 2, GROUP = 3 };

static bool no_memory(struct exchange *exchange)
{
	return refuse_as(&exchange->refusal, SERVER_FAILED, "InternalServerError",
			 "The emulator is out of memory");
}

/* -- Who asks, and for what ----------------------------------------------------------------------------------- */

static const struct application *find_caller(const struct exchange *exchange)
{
	static const char *const audiences[] = { "https://management.azure.com",
						 "https://management.core.windows.net" };
	CLEANUP(freep) char *own = text_format("https://%s", exchange->request->host);
	const struct application *caller = own ? auth_application(exchange, own) : NULL;

	for (size_t i = 0; !caller && i < ARRAY_SIZE(audiences); i++)
		caller = auth_application(exchange, audiences[i]);
	return caller;
}

static bool check_caller(struct exchange *exchange, enum role role)
{
	const struct application *caller = find_caller(exchange);

	if (!caller)
		return refuse_as(&exchange->refusal, 401000, "InvalidAuthenticationToken",
				 "The access token is missing, invalid or expired.");
	return (caller->roles & role) ||
	       refuse_as(&exchange->refusal, 403000, "AuthorizationFailed",
			 "The client '%s' does not have authorization to perform the action.",
			 caller->client_id);
}

static bool has_group(const struct exchange *exchange)
{
	return text_equal_folded(exchange->segments[GROUP_WORD], "resourceGroups");
}

static bool check_place(struct exchange *exchange)
{
	const struct emulator *emulator = exchange->emulator;
	const char *group = exchange->segments[GROUP];

	if (!text_equal_folded(exchange->segments[SUBSCRIPTION], emulator->authority->subscription))
		return refuse_as(&exchange->refusal, 404000, "SubscriptionNotFound",
				 "The subscription '%s' could not be found.",
				 exchange->segments[SUBSCRIPTION]);
	for (size_t i = 0; i < emulator->listed_count; i++)
		if (!has_group(exchange) || text_equal_folded(emulator->listed[i].group, group))
			return true;
	return refuse_as(&exchange->refusal, 404000, "ResourceGroupNotFound",
			 "Resource group '%s' could not be found.", group);
}

static bool begin(struct exchange *exchange, enum role role)
{
	return check_caller(exchange, role) && check_place(exchange);
}

static bool is_in_place(const struct exchange *exchange, const struct listed *listed)
{
	return !has_group(exchange) || text_equal_folded(listed->group, exchange->segments[GROUP]);
}

static const struct listed *find_listed(struct exchange *exchange)
{
	const struct emulator *emulator = exchange->emulator;

	for (size_t i = 0; i < emulator->listed_count; i++)
		if (is_in_place(exchange, &emulator->listed[i]) &&
		    text_equal_folded(emulator->listed[i].name, exchange->id))
			return &emulator->listed[i];
	(void)refuse_as(&exchange->refusal, 404000, "ResourceNotFound",
			"The Resource 'Microsoft.Devices/ProvisioningServices/%s' was not found.",
			exchange->id);
	return NULL;
}

/* -- Instances ------------------------------------------------------------------------------------------------ */

/* The first one is this service; the others stand in the list only. */
static char *host_of(const struct exchange *exchange, const struct listed *listed)
{
	if (listed == exchange->emulator->listed)
		return strdup(exchange->request->host);
	return text_format("%s.azure-devices-provisioning.net", listed->name);
}

static cJSON *describe(const struct exchange *exchange, const struct listed *listed)
{
	const struct emulator *emulator = exchange->emulator;
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	cJSON *properties = object ? cJSON_AddObjectToObject(object, "properties") : NULL;
	CLEANUP(freep)
	char *id = text_format("/subscriptions/%s/resourceGroups/%s/" COLLECTION "/%s",
			       emulator->authority->subscription, listed->group, listed->name);
	CLEANUP(freep) char *host = host_of(exchange, listed);

	if (!properties || !id || !host || !json_add_text(object, "id", id) ||
	    !json_add_text(object, "name", listed->name) ||
	    !json_add_text(object, "type", "Microsoft.Devices/provisioningServices") ||
	    !json_add_text(object, "location", LOCATION) ||
	    !json_add_text(object, "resourcegroup", listed->group) ||
	    !json_add_text(object, "subscriptionid", emulator->authority->subscription) ||
	    !json_add_text(properties, "state", "Active") ||
	    !json_add_text(properties, "serviceOperationsHostName", host) ||
	    !json_add_text(properties, "idScope", emulator->instance.id_scope))
		return NULL;
	return TAKE_PTR(object);
}

static bool send(struct exchange *exchange, const cJSON *document)
{
	CLEANUP(freep) char *text = document ? json_print_line(document) : NULL;

	if (!text)
		return no_memory(exchange);
	text_add(&exchange->reply.body, text);
	return true;
}

static bool add_next(const struct exchange *exchange, cJSON *document, size_t skip)
{
	const struct request *request = exchange->request;
	CLEANUP(freep)
	char *link = text_format("https://%s%s?api-version=%s&%%24skiptoken=%zu", request->host,
				 request->path, request->api_version, skip);

	return link && json_add_text(document, "nextLink", link);
}

bool management_list(struct exchange *exchange)
{
	const struct emulator *emulator = exchange->emulator;
	CLEANUP(cJSON_freep) cJSON *document = cJSON_CreateObject();
	cJSON *value = document ? cJSON_AddArrayToObject(document, "value") : NULL;
	size_t size = (size_t)emulator->page_size, count = 0;
	int64_t skip = 0;

	if (!value)
		return no_memory(exchange);
	if (!begin(exchange, ROLE_MANAGEMENT_READER))
		return false;
	if (exchange->request->skip_token &&
	    !text_to_int64(exchange->request->skip_token, 0, EMULATOR_LIST_MAX, &skip))
		return refuse_as(&exchange->refusal, 400000, "BadRequest",
				 "The skip token is not one of ours.");
	size_t i = (size_t)skip;
	for (; i < emulator->listed_count && count < size; i++) {
		if (!is_in_place(exchange, &emulator->listed[i]))
			continue;
		count++;
		if (!cJSON_AddItemToArray(value, describe(exchange, &emulator->listed[i])))
			return no_memory(exchange);
	}
	if (i < emulator->listed_count && !add_next(exchange, document, i))
		return no_memory(exchange);
	return send(exchange, document);
}

bool management_get(struct exchange *exchange)
{
	const struct listed *listed;

	if (!begin(exchange, ROLE_MANAGEMENT_READER) || !(listed = find_listed(exchange)))
		return false;
	CLEANUP(cJSON_freep) cJSON *document = describe(exchange, listed);
	return send(exchange, document);
}

/* -- Keys ----------------------------------------------------------------------------------------------------- */

static bool add_policy(cJSON *array, const struct policy *policy)
{
	CLEANUP(text_done) struct text rights = { 0 };
	CLEANUP(freep) char *primary = base64_encode(policy->keys[0], POLICY_KEY_SIZE);
	CLEANUP(freep) char *secondary = base64_encode(policy->keys[1], POLICY_KEY_SIZE);
	cJSON *object = cJSON_CreateObject();

	policy_print_rights(policy, &rights);
	return object && cJSON_AddItemToArray(array, object) && primary && secondary &&
	       !rights.failed && json_add_text(object, "keyName", policy->name) &&
	       json_add_text(object, "primaryKey", primary) &&
	       json_add_text(object, "secondaryKey", secondary) &&
	       json_add_text(object, "rights", rights.data);
}

bool management_list_keys(struct exchange *exchange)
{
	const struct instance *instance = &exchange->emulator->instance;
	CLEANUP(cJSON_freep) cJSON *document = cJSON_CreateObject();
	cJSON *value = document ? cJSON_AddArrayToObject(document, "value") : NULL;

	if (!begin(exchange, ROLE_MANAGEMENT) || !find_listed(exchange))
		return false;
	for (size_t i = 0; i < instance->policy_count; i++)
		if (!value || !add_policy(value, &instance->policies[i]))
			return no_memory(exchange);
	return send(exchange, document);
}
