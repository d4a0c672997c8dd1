#include "replay.h"

#include <stdlib.h>
#include <string.h>

#include "emulator-internal.h"

struct replay {
	struct emulator *emulator;
	struct request request;
	char *copies[8];
	size_t copy_count;
	void *body;
};

static const char *keep(struct replay *replay, const char *text)
{
	if (!text)
		return NULL;
	return replay->copies[replay->copy_count++] = strdup(text);
}

static void replay_free(struct replay *replay)
{
	for (size_t i = 0; i < replay->copy_count; i++)
		free(replay->copies[i]);
	free(replay->body);
	free(replay);
}

static void serve_again(void *context)
{
	struct replay *replay = context;
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	if (exchange) {
		replay->request.now_ms = emulator_now_ms(replay->emulator);
		exchange_begin_unfaulted(exchange, replay->emulator, &replay->request);
		exchange->fault.action = FAULT_REPLAY;
		exchange_serve(exchange);
		exchange_done(exchange);
		free(exchange);
	}
	replay_free(replay);
}

void replay_schedule(const struct exchange *exchange, struct timer *timer, int64_t wait_ms)
{
	const struct request *request = exchange->request;
	struct replay *replay = calloc(1, sizeof(*replay));

	if (!replay)
		return;
	replay->emulator = exchange->emulator;
	replay->body = malloc(request->body_size + 1);
	if (replay->body)
		memcpy(replay->body, request->body, request->body_size);
	replay->request = (struct request){
		.method = keep(replay, request->method),
		.path = keep(replay, request->path),
		.api_version = keep(replay, request->api_version),
		.host = keep(replay, request->host),
		.authorization = keep(replay, request->authorization),
		.if_match = keep(replay, request->if_match),
		.content_type = keep(replay, request->content_type),
		.body = replay->body,
		.body_size = request->body_size,
	};
	if (!replay->body || !replay->request.host ||
	    !timer_add(timer, wait_ms, serve_again, replay))
		replay_free(replay);
}
