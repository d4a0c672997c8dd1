#include "request.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "muster/clock.h"
#include "muster/json.h"

#include "emulator-internal.h"
#include "handlers.h"
#include "routes.h"

/* What the vendors' SDKs send. */
static const char *const api_versions[] = {
	"2017-11-15",         "2018-04-01",         "2018-09-01-preview", "2018-11-01",
	"2019-01-15",         "2019-03-31",         "2019-04-15-preview", "2020-02-27-preview",
	"2020-09-01-preview", "2021-02-01-preview", "2021-06-01",         "2021-10-01",
};

static const char *const management_versions[] = {
	"2018-01-22", "2020-03-01", "2021-10-15", "2022-02-05", "2022-12-12",
};

int64_t emulator_now_ms(const struct emulator *emulator)
{
	return clock_wall_ms() + emulator->clock_offset_ms;
}

void reply_header(struct reply *reply, const char *name, const char *format, ...)
{
	va_list arguments;

	if (reply->header_count == REPLY_HEADER_COUNT_MAX)
		return;
	struct reply_header *header = &reply->headers[reply->header_count++];
	header->name = name;
	va_start(arguments, format);
	(void)vsnprintf(header->value, sizeof(header->value), format, arguments);
	va_end(arguments);
}

/* -- Beginning --------------------------------------------------------------------------------------------- */

static bool split_path(struct exchange *exchange)
{
	const char *rest = exchange->request->path;

	while (*rest == '/')
		rest++;
	while (*rest != '\0') {
		size_t length = strcspn(rest, "/");
		if (exchange->segment_count == SEGMENT_COUNT_MAX ||
		    !url_decode(rest, length, exchange->segments[exchange->segment_count],
				SEGMENT_MAX))
			return false;
		exchange->segment_count++;
		rest += length;
		while (*rest == '/')
			rest++;
	}
	return true;
}

static void compose_path(struct exchange *exchange)
{
	size_t used = 0;

	for (size_t i = 0; i < exchange->segment_count; i++)
		used += (size_t)snprintf(exchange->path + used, sizeof(exchange->path) - used,
					 "/%s", exchange->segments[i]);
	text_fold(exchange->path);
}

static void find_fault(struct exchange *exchange)
{
	struct emulator *emulator = exchange->emulator;

	if (emulator->fault_count == 0)
		return;
	pthread_mutex_lock(&emulator->lock);
	const struct fault *fault = fault_pick(
		emulator->faults, emulator->fault_count,
		exchange->route ? exchange->route->operation : OPERATION_NONE, exchange->id);
	if (fault)
		exchange->fault = *fault;
	pthread_mutex_unlock(&emulator->lock);
}

/* Without applications there is neither authority nor management API. The metadata service is the one thing that is
 * plain, and nothing else but plain. */
static bool is_offered(const struct exchange *exchange)
{
	if (exchange->request->is_plain != (exchange->route->handle == metadata_get))
		return false;
	return route_plane(exchange->route) == PLANE_DPS || exchange->emulator->authority;
}

void exchange_begin_unfaulted(struct exchange *exchange, struct emulator *emulator,
			      const struct request *request)
{
	bool is_known_path = false;

	exchange->emulator = emulator;
	exchange->request = request;
	exchange->reply.body.max = REPLY_MAX;
	if (split_path(exchange)) {
		compose_path(exchange);
		exchange->route = route_find(request->method, exchange->segments,
					     exchange->segment_count, &is_known_path);
	}
	if (exchange->route && !is_offered(exchange)) {
		exchange->route = NULL;
		is_known_path = false;
	}
	if (!exchange->route) {
		(void)refuse(&exchange->refusal, is_known_path ? NO_SUCH_METHOD : NO_SUCH_PATH,
			     is_known_path ? "Method not allowed" : "Resource not found");
	} else {
		const char *id = route_id(exchange->route, exchange->segments);
		(void)snprintf(exchange->id, sizeof(exchange->id), "%s", id ? id : "");
		text_fold(exchange->id);
	}
}

void exchange_begin(struct exchange *exchange, struct emulator *emulator,
		    const struct request *request)
{
	exchange_begin_unfaulted(exchange, emulator, request);
	find_fault(exchange);
}

/* -- Serving ----------------------------------------------------------------------------------------------- */

/* What each plane asks of a request. */
static const struct {
	const char *const *versions;
	size_t version_count; /* 0: none is asked for */
	const char *content_type;
} planes[] = {
	[PLANE_DPS] = { api_versions, ARRAY_SIZE(api_versions), "application/json" },
	[PLANE_TOKEN] = { NULL, 0, "application/x-www-form-urlencoded" },
	[PLANE_MANAGEMENT] = { management_versions, ARRAY_SIZE(management_versions),
			       "application/json" },
};

static bool check_version(struct exchange *exchange)
{
	const enum plane plane = route_plane(exchange->route);
	const char *version = exchange->request->api_version;

	for (size_t i = 0; version && i < planes[plane].version_count; i++)
		if (strcmp(planes[plane].versions[i], version) == 0)
			return true;
	return planes[plane].version_count == 0 ||
	       refuse(&exchange->refusal, BAD_REQUEST, "api-version is %s",
		      version ? "not supported" : "missing");
}

static bool check_content_type(struct exchange *exchange)
{
	const char *wanted = planes[route_plane(exchange->route)].content_type;
	const struct request *request = exchange->request;

	if (request->body_size == 0 || strcmp(request->method, "GET") == 0 ||
	    strcmp(request->method, "DELETE") == 0)
		return true;
	if (request->content_type &&
	    strncasecmp(request->content_type, wanted, strlen(wanted)) == 0)
		return true;
	return refuse(&exchange->refusal, NO_SUCH_MEDIA_TYPE, "Content-Type is not %s", wanted);
}

static enum throttle_scope scope_of(const struct exchange *exchange)
{
	if (exchange->route->operation == OPERATION_POLL)
		return THROTTLE_POLL;
	return exchange->route->right == RIGHT_NONE ? THROTTLE_REGISTER : THROTTLE_SERVICE;
}

/* How many items a bulk request has; counted roughly, before anything is judged. */
static int64_t items_of(const struct exchange *exchange)
{
	CLEANUP(cJSON_freep) cJSON *root = NULL;
	struct muster_error err;

	if (exchange->route->operation != OPERATION_BULK ||
	    !json_parse(exchange->request->body, exchange->request->body_size, "the body", &root,
			&err))
		return 1;
	int items = cJSON_GetArraySize(json_get(root, exchange->route->collection));
	return items > 1 ? items : 1;
}

static bool check_throttle(struct exchange *exchange)
{
	struct emulator *emulator = exchange->emulator;
	int64_t retry_after_s = 0;
	bool is_free = true;

	if (route_plane(exchange->route) != PLANE_DPS)
		return true;
	pthread_mutex_lock(&emulator->lock);
	for (size_t i = 0; is_free && i < emulator->throttle_count; i++) {
		struct throttle *throttle = &emulator->throttles[i];
		if (throttle->scope == scope_of(exchange))
			is_free = throttle_take(throttle, clock_now_ms(),
						throttle->counts_items ? items_of(exchange) : 1,
						&retry_after_s);
	}
	pthread_mutex_unlock(&emulator->lock);
	if (is_free)
		return true;
	reply_header(&exchange->reply, "Retry-After", "%lld", (long long)retry_after_s);
	return refuse(&exchange->refusal, THROTTLED,
		      "Operations are being throttled for this tenant.");
}

static bool check_size(struct exchange *exchange)
{
	return exchange->request->body_size <= BODY_MAX ||
	       refuse(&exchange->refusal, BODY_TOO_LARGE, "The request is larger than %d KB",
		      BODY_MAX / 1024);
}

static bool serve(struct exchange *exchange)
{
	const struct route *route = exchange->route;

	if (!route)
		return false;
	return check_size(exchange) && check_version(exchange) && check_content_type(exchange) &&
	       (route_plane(route) != PLANE_DPS || route->right == RIGHT_NONE ||
		auth_check_service(exchange, route->right)) &&
	       check_throttle(exchange) && route->handle(exchange);
}

/* -- Answering --------------------------------------------------------------------------------------------- */

static void describe_refusal(struct exchange *exchange, const char *guid, const char *message)
{
	const enum plane plane = exchange->route ? route_plane(exchange->route) : PLANE_DPS;
	const struct refusal *refusal = &exchange->refusal;
	bool is_ours = refusal_status(refusal) >= 500;
	struct text *body = &exchange->reply.body;
	char stamp[STAMP_SIZE];

	stamp_format(stamp, exchange->request->now_ms);
	switch (plane) {
	case PLANE_DPS:
		text_addf(
			body,
			"{\"errorCode\":%u,\"trackingId\":\"%s\",\"message\":%s,\"timestampUtc\":\"%s\"}",
			refusal->number, guid, message, stamp);
		reply_header(&exchange->reply, "x-ms-error-code", "%u", refusal->number);
		break;
	case PLANE_TOKEN:
		text_addf(
			body,
			"{\"error\":\"%s\",\"error_description\":%s,\"timestamp\":\"%s\",\"trace_id\":\"%s\"}",
			refusal->word ? refusal->word
			: is_ours     ? "temporarily_unavailable"
				      : "invalid_request",
			message, stamp, guid);
		break;
	case PLANE_MANAGEMENT:
		text_addf(body, "{\"error\":{\"code\":\"%s\",\"message\":%s}}",
			  refusal->word ? refusal->word
			  : is_ours     ? "InternalServerError"
					: "BadRequest",
			  message);
		break;
	}
}

static void answer_refusal(struct exchange *exchange)
{
	struct reply *reply = &exchange->reply;
	char guid[GUID_SIZE];
	CLEANUP(freep) char *message = json_quote(exchange->refusal.message);

	guid_new(guid);
	text_done(&reply->body);
	reply->body = (struct text)TEXT_MAX(REPLY_MAX);
	reply->status = refusal_status(&exchange->refusal);
	describe_refusal(exchange, guid, message ? message : "\"\"");
	reply_header(reply, "x-ms-request-id", "%s", guid);
}

void exchange_record(struct exchange *exchange)
{
	const struct route *route = exchange->route;

	ledger_append(
		exchange->emulator->ledger,
		&(struct ledger_line){
			.request = exchange->request,
			.wall_ms = exchange->request->now_ms,
			.operation = operation_name(route ? route->operation : OPERATION_NONE),
			.collection = route ? route->collection : "",
			.id = exchange->id,
			.etag = exchange->etag[0] ? exchange->etag : NULL,
			.effect = exchange->effect,
			.status = exchange->reply.status,
			.fault = fault_action_name(exchange->fault.action),
			.body = exchange->request->body,
			.body_size = exchange->request->body_size,
		},
		1);
}

void exchange_serve(struct exchange *exchange)
{
	exchange->reply.status = 200;
	if (!serve(exchange)) {
		answer_refusal(exchange);
	} else if (exchange->reply.body.failed) {
		(void)refuse(&exchange->refusal, SERVER_FAILED, "The answer is too large");
		answer_refusal(exchange);
	}
	exchange_record(exchange);
}

void exchange_refuse(struct exchange *exchange, unsigned status)
{
	(void)refuse(&exchange->refusal, status * 1000 + 1, "Injected fault");
	exchange->reply.header_count = 0;
	answer_refusal(exchange);
}

void exchange_done(struct exchange *exchange)
{
	text_done(&exchange->reply.body);
}
