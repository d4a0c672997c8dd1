#include "worker-internal.h"

#include <string.h>

static void answer_error(const struct muster_error *err, struct worker_message *reply)
{
	char words[MUSTER_ERROR_MESSAGE_SIZE];

	worker_message_done(reply);
	worker_reply_init(reply, WORKER_ERROR);
	worker_add_u64(reply, FIELD_ERROR_CAUSE, err->cause);
	worker_add_u64(reply, FIELD_ERROR_ORIGIN, err->origin);
	worker_add_u64(reply, FIELD_ERROR_NATIVE, err->native);
	/* The table takes nothing but text, and a library's words could be anything. */
	worker_add_text(reply, FIELD_ERROR_MESSAGE,
			text_printable(words, sizeof(words), err->message));
}

static const struct worker_handler *find_handler(const struct worker_handler *handlers,
						 size_t count, enum worker_verb verb)
{
	for (size_t i = 0; i < count; i++)
		if (handlers[i].verb == verb)
			return &handlers[i];
	return NULL;
}

static bool say_hello(void *context, const struct worker_message *request,
		      struct worker_message *reply, struct muster_error *err)
{
	(void)context;
	(void)request;
	(void)err;
	worker_add_text(reply, FIELD_VERSION, MUSTER_VERSION);
	return true;
}

/* Fills the reply to the message in the reader, be it an error. */
static void handle(const struct worker_handler *handlers, size_t count, void *context,
		   struct frame_reader *reader, struct worker_message *reply)
{
	static const struct worker_handler hello = { WORKER_HELLO, say_hello };
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	const struct worker_handler *handler;
	struct muster_error err;

	if (!worker_message_decode(reader->data + 4, reader->used - 4, &request, &err)) {
		answer_error(&err, reply);
		return;
	}
	request.fd = reader->fd > 0 ? TAKE_FD(reader->fd) : 0;
	handler =
		request.verb == WORKER_HELLO ? &hello : find_handler(handlers, count, request.verb);
	worker_reply_init(reply, request.verb);
	if (request.is_reply || !handler) {
		muster_fail(&err, CAUSE_WORKER_PROTOCOL, "this worker does not know verb %u",
			    request.verb);
		answer_error(&err, reply);
	} else if (!handler->handle(context, &request, reply, &err)) {
		answer_error(&err, reply);
	}
}

static bool answer(int socket, struct worker_message *reply)
{
	CLEANUP(text_done) struct text message = TEXT_MAX(WORKER_MESSAGE_MAX);
	struct muster_error err;

	if (!worker_message_encode(reply, &message, &err)) {
		answer_error(&err, reply);
		text_done(&message);
		if (!worker_message_encode(reply, &message, &err))
			return false;
	}
	return frame_send(socket, &message, 0, &err);
}

int worker_serve(const struct worker_handler *handlers, size_t count, void *context)
{
	return worker_serve_on(WORKER_SOCKET_FD, handlers, count, context);
}

int worker_serve_on(int socket, const struct worker_handler *handlers, size_t count, void *context)
{
	struct frame_reader reader = { .fd = -1 };
	enum frame_state state;
	bool good = true;

	while (good && (state = frame_receive(socket, &reader)) == FRAME_COMPLETE) {
		CLEANUP(worker_message_done) struct worker_message reply = { 0 };

		handle(handlers, count, context, &reader, &reply);
		frame_reader_next(&reader);
		good = answer(socket, &reply);
	}
	frame_reader_next(&reader);
	free(reader.data);
	return good && state == FRAME_CLOSED ? MUSTER_OK : MUSTER_E_INTERNAL;
}
