#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gnutls/gnutls.h>
#include <microhttpd.h>

#include "emulator-internal.h"
#include "garbage.h"
#include "replay.h"
#include "response.h"
#include "timer.h"

#define THREAD_COUNT 2
#define CONNECTION_MEMORY (128 * 1024)
#define IDLE_TIMEOUT_S 300
#define CERTIFICATE_COUNT_MAX 8
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct server {
	struct emulator *emulator;
	struct MHD_Daemon *daemon;
	struct timer *timer;
	bool is_plain, is_ending;
};

/* -- One request ------------------------------------------------------------------------------------------- */

enum phase { PHASE_READING, PHASE_DELAYED, PHASE_SERVED };

struct visit {
	struct server *server;
	struct MHD_Connection *connection;
	enum phase phase;
	struct text body;
	struct certificate certificates[CERTIFICATE_COUNT_MAX];
	struct request request;
	struct exchange exchange;
	char *path;
	char method[16];
};

static void visit_free(struct visit *visit)
{
	exchange_done(&visit->exchange);
	text_done(&visit->body);
	free(visit->path);
	free(visit);
}

static const char *header_of(struct visit *visit, const char *name)
{
	return MHD_lookup_connection_value(visit->connection, MHD_HEADER_KIND, name);
}

static size_t take_certificates(struct visit *visit)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(visit->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	unsigned count = 0;

	const gnutls_datum_t *peers =
		info ? gnutls_certificate_get_peers(info->tls_session, &count) : NULL;
	if (!peers)
		return 0;
	if (count > CERTIFICATE_COUNT_MAX)
		count = CERTIFICATE_COUNT_MAX;
	for (unsigned i = 0; i < count; i++)
		visit->certificates[i] = (struct certificate){ peers[i].data, peers[i].size };
	return count;
}

static void begin(struct visit *visit)
{
	struct emulator *emulator = visit->server->emulator;
	const char *host = header_of(visit, MHD_HTTP_HEADER_HOST);

	visit->request = (struct request){
		.method = visit->method,
		.path = visit->path,
		.api_version = MHD_lookup_connection_value(visit->connection, MHD_GET_ARGUMENT_KIND,
							   "api-version"),
		.host = host ? host : "localhost", /* HTTP/1.0 needs none */
		.authorization = header_of(visit, MHD_HTTP_HEADER_AUTHORIZATION),
		.if_match = header_of(visit, MHD_HTTP_HEADER_IF_MATCH),
		.content_type = header_of(visit, MHD_HTTP_HEADER_CONTENT_TYPE),
		.max_item_count = header_of(visit, "x-ms-max-item-count"),
		.continuation = header_of(visit, "x-ms-continuation"),
		.is_plain = visit->server->is_plain,
		.metadata = header_of(visit, "Metadata"),
		.resource = MHD_lookup_connection_value(visit->connection, MHD_GET_ARGUMENT_KIND,
							"resource"),
		.client_id = MHD_lookup_connection_value(visit->connection, MHD_GET_ARGUMENT_KIND,
							 "client_id"),
		.skip_token = MHD_lookup_connection_value(visit->connection, MHD_GET_ARGUMENT_KIND,
							  "$skiptoken"),
		.body = visit->body.data ? visit->body.data : "",
		.body_size = visit->body.length,
		.certificates = visit->certificates,
		.certificate_count = take_certificates(visit),
		.now_ms = emulator_now_ms(emulator),
	};
	exchange_begin(&visit->exchange, emulator, &visit->request);
}

/* -- Answering --------------------------------------------------------------------------------------------- */

static void add_date(struct visit *visit, const char *name, int64_t wall_ms)
{
	time_t seconds = wall_ms / 1000;
	char date[64];
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	reply_header(&visit->exchange.reply, name, "%s", date);
}

static enum MHD_Result send_reply(struct visit *visit)
{
	struct reply *reply = &visit->exchange.reply;

	add_date(visit, MHD_HTTP_HEADER_DATE, emulator_now_ms(visit->server->emulator));
	struct MHD_Response *response = response_new(reply, &visit->exchange.fault,
						     visit->connection, visit->server->timer);
	if (!response)
		return MHD_NO;
	enum MHD_Result result = MHD_queue_response(visit->connection, reply->status, response);
	MHD_destroy_response(response);
	return result;
}

static void resume(void *context)
{
	struct visit *visit = context;

	MHD_resume_connection(visit->connection);
}

/* Lets the connection sleep; the handler is called again afterwards. */
static enum MHD_Result delay(struct visit *visit, enum phase next)
{
	visit->phase = next;
	MHD_suspend_connection(visit->connection);
	if (!timer_add(visit->server->timer, visit->exchange.fault.value, resume, visit))
		MHD_resume_connection(visit->connection);
	return MHD_YES;
}

static void add_retry_after(struct visit *visit)
{
	const struct fault *fault = &visit->exchange.fault;
	struct reply *reply = &visit->exchange.reply;
	bool is_usual =
		fault->action == FAULT_THROTTLED || fault->value == 429 || fault->value == 503;

	if (strcmp(fault->retry_after, "date") == 0)
		add_date(visit, MHD_HTTP_HEADER_RETRY_AFTER,
			 emulator_now_ms(visit->server->emulator) + 2000);
	else if (fault->retry_after[0] == '\0' && is_usual)
		reply_header(reply, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	else if (fault->retry_after[0] != '\0' && strcmp(fault->retry_after, "none") != 0)
		reply_header(reply, MHD_HTTP_HEADER_RETRY_AFTER, "%s", fault->retry_after);
}

static enum MHD_Result refuse_before(struct visit *visit)
{
	struct exchange *exchange = &visit->exchange;

	if (exchange->fault.action == FAULT_REDIRECT) {
		exchange_refuse(exchange, MHD_HTTP_TEMPORARY_REDIRECT);
		reply_header(&exchange->reply, MHD_HTTP_HEADER_LOCATION,
			     "https://elsewhere.invalid%s", exchange->path);
	} else {
		exchange_refuse(exchange, (unsigned)exchange->fault.value);
		add_retry_after(visit);
	}
	exchange_record(exchange);
	return send_reply(visit);
}

static enum MHD_Result answer(struct visit *visit)
{
	struct exchange *exchange = &visit->exchange;

	switch (exchange->fault.action) {
	case FAULT_CUT_AFTER:
		return MHD_NO;
	case FAULT_STATUS_AFTER:
		exchange_refuse(exchange, (unsigned)exchange->fault.value);
		add_retry_after(visit);
		break;
	case FAULT_THROTTLED:
		add_retry_after(visit);
		break;
	case FAULT_GARBAGE:
		garbage_fill(&exchange->reply, (enum garbage_kind)exchange->fault.value);
		break;
	default:
		break;
	}
	return send_reply(visit);
}

static enum MHD_Result serve(struct visit *visit)
{
	struct exchange *exchange = &visit->exchange;

	exchange_serve(exchange);
	if (exchange->fault.action == FAULT_REPLAY)
		replay_schedule(exchange, visit->server->timer, exchange->fault.value);
	if (exchange->fault.action == FAULT_DELAY_AFTER)
		return delay(visit, PHASE_SERVED);
	return answer(visit);
}

static enum MHD_Result handle(struct visit *visit)
{
	if (__atomic_load_n(&visit->server->is_ending, __ATOMIC_RELAXED) &&
	    visit->phase != PHASE_READING)
		return MHD_NO;
	if (visit->phase == PHASE_SERVED)
		return answer(visit);
	if (visit->phase == PHASE_DELAYED)
		return serve(visit);
	begin(visit);
	switch (visit->exchange.fault.action) {
	case FAULT_CUT_BEFORE:
		exchange_record(&visit->exchange);
		return MHD_NO;
	case FAULT_STATUS:
	case FAULT_REDIRECT:
		return refuse_before(visit);
	case FAULT_DELAY:
		return delay(visit, PHASE_DELAYED);
	default:
		return serve(visit);
	}
}

/* -- libmicrohttpd's side ---------------------------------------------------------------------------------- */

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_size, void **request)
{
	struct visit *visit = *request;

	(void)url;
	(void)version;
	if (!visit)
		return MHD_NO;
	if (visit->phase == PHASE_READING && !visit->connection) {
		visit->server = context;
		visit->connection = connection;
		visit->body.max = BODY_MAX + 1;
		(void)snprintf(visit->method, sizeof(visit->method), "%s", method);
		return MHD_YES;
	}
	if (*data_size > 0) {
		/* One byte above the limit is kept: that is how a body too large is known. */
		size_t room = BODY_MAX + 1 - visit->body.length;
		text_add_bytes(&visit->body, data, *data_size < room ? *data_size : room);
		*data_size = 0;
		return visit->body.failed ? MHD_NO : MHD_YES;
	}
	return handle(visit);
}

/* The path as sent, before libmicrohttpd decodes it. Called once per request. */
static void *on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
	struct visit *visit = calloc(1, sizeof(*visit));

	(void)context;
	(void)connection;
	if (!visit)
		return NULL;
	visit->path = strndup(uri, strcspn(uri, "?"));
	if (!visit->path) {
		free(visit);
		return NULL;
	}
	return visit;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
			 enum MHD_RequestTerminationCode code)
{
	(void)context;
	(void)connection;
	(void)code;
	if (*request)
		visit_free(TAKE_PTR(*request));
}

/* Asks for a client certificate before the handshake, naming no authorities, so that every client shows what it has. */
static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	(void)context;
	(void)socket_context;
	if (code != MHD_CONNECTION_NOTIFY_STARTED)
		return;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	if (!info)
		return;
	gnutls_certificate_server_set_request(info->tls_session, GNUTLS_CERT_REQUEST);
	gnutls_certificate_send_x509_rdn_sequence(info->tls_session, 1);
}

/* -- Start and stop ---------------------------------------------------------------------------------------- */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool parse_address(const char *text, uint16_t port, union address *ret_address,
			  bool *ret_is_v6, struct muster_error *err)
{
	union address address = { 0 };

	*ret_is_v6 = strchr(text, ':') != NULL;
	if (*ret_is_v6) {
		address.v6.sin6_family = AF_INET6;
		address.v6.sin6_port = htons(port);
	} else {
		address.v4.sin_family = AF_INET;
		address.v4.sin_port = htons(port);
	}
	void *place = *ret_is_v6 ? (void *)&address.v6.sin6_addr : (void *)&address.v4.sin_addr;
	if (inet_pton(address.any.sa_family, text, place) != 1)
		return muster_fail(err, CAUSE_USAGE, "--address '%s': is not an IP address",
				   PRINTABLE(text));
	*ret_address = address;
	return true;
}

static bool start_daemon(struct server *server, const struct server_config *config,
			 struct muster_error *err)
{
	const unsigned flags = (server->is_plain ? 0 : MHD_USE_TLS) |
			       MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
			       MHD_USE_SUPPRESS_DATE_NO_CLOCK;
	struct MHD_OptionItem no_tls[] = { { MHD_OPTION_END, 0, NULL } };
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)config->certificate_pem },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)config->key_pem },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES },
		{ MHD_OPTION_END, 0, NULL },
	};
	union address address;
	bool is_v6;

	if (!parse_address(config->address, config->port, &address, &is_v6, err))
		return false;
	server->daemon = MHD_start_daemon(
		flags | (is_v6 ? MHD_USE_IPv6 : 0), config->port, NULL, NULL, on_request, server,
		MHD_OPTION_SOCK_ADDR, &address.any, MHD_OPTION_THREAD_POOL_SIZE,
		(unsigned)THREAD_COUNT, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL, MHD_OPTION_ARRAY,
		server->is_plain ? no_tls : tls, MHD_OPTION_END);
	if (!server->daemon)
		return muster_fail_errno(err, CAUSE_EMULATOR_START, errno,
					 "listening on %s port %u", config->address, config->port);
	return true;
}

bool server_start(const struct server_config *config, struct server **ret_server,
		  struct muster_error *err)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return muster_fail_memory(err);
	server->emulator = config->emulator;
	server->is_plain = !config->certificate_pem;
	server->timer = timer_new(err);
	if (!server->timer || !start_daemon(server, config, err)) {
		server_stop(server);
		return false;
	}
	*ret_server = server;
	return true;
}

uint16_t server_port(const struct server *server)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);

	return info ? info->port : 0;
}

void server_stop(struct server *server)
{
	if (!server)
		return;
	__atomic_store_n(&server->is_ending, true, __ATOMIC_RELAXED);
	timer_end(server->timer);
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
	timer_free(server->timer);
	free(server);
}
