#include "response.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE (16 * 1024)

/* The body of a reply that is not sent in one piece. */
struct stream {
	char *data;
	size_t size;
	size_t end; /* where the connection is cut; size when it is not */
	struct MHD_Connection *connection;
	struct timer *timer;
	size_t chunk;        /* bytes at a time */
	int64_t interval_ms; /* between them; 0: at once */
	bool is_ready;
};

static void stream_free(void *context)
{
	struct stream *stream = context;

	free(stream->data);
	free(stream);
}

static void stream_resume(void *context)
{
	struct stream *stream = context;

	stream->is_ready = true;
	MHD_resume_connection(stream->connection);
}

/* True when the connection sleeps until the next bytes are due. */
static bool stream_pause(struct stream *stream)
{
	if (stream->interval_ms == 0 || stream->is_ready)
		return false;
	MHD_suspend_connection(stream->connection);
	if (timer_add(stream->timer, stream->interval_ms, stream_resume, stream))
		return true;
	stream->interval_ms = 0; /* ending: the rest at once */
	MHD_resume_connection(stream->connection);
	return true;
}

static ssize_t stream_read(void *context, uint64_t position, char *buffer, size_t max)
{
	struct stream *stream = context;

	if (position >= stream->end)
		return stream->end < stream->size ? MHD_CONTENT_READER_END_WITH_ERROR
						  : MHD_CONTENT_READER_END_OF_STREAM;
	if (stream_pause(stream))
		return 0;
	size_t size = stream->end - (size_t)position;
	if (size > max)
		size = max;
	if (stream->interval_ms > 0 && size > stream->chunk)
		size = stream->chunk;
	memcpy(buffer, stream->data + position, size);
	stream->is_ready = false;
	return (ssize_t)size;
}

static struct MHD_Response *stream_new(char *data, size_t size, const struct fault *fault,
				       struct MHD_Connection *connection, struct timer *timer)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	*stream = (struct stream){ data, size, size, connection, timer, 0, 0, true };
	if (fault->action == FAULT_TRUNCATED)
		stream->end = size / 2;
	if (fault->action == FAULT_TRICKLE) {
		stream->chunk = fault->value < 10 ? 1 : (size_t)fault->value / 10;
		stream->interval_ms = fault->value < 10 ? 1000 / fault->value : 100;
	}
	struct MHD_Response *response = MHD_create_response_from_callback(
		size, BLOCK_SIZE, stream_read, stream, stream_free);
	if (!response)
		free(stream);
	return response;
}

static struct MHD_Response *plain_new(char *data, size_t size)
{
	return MHD_create_response_from_buffer(size, data, MHD_RESPMEM_MUST_FREE);
}

struct MHD_Response *response_new(struct reply *reply, const struct fault *fault,
				  struct MHD_Connection *connection, struct timer *timer)
{
	struct muster_error err;
	size_t size = reply->body.length;
	char *data = text_take(&reply->body, &err);
	bool is_stream =
		size > 0 && (fault->action == FAULT_TRUNCATED || fault->action == FAULT_TRICKLE);

	if (!data)
		return NULL;
	struct MHD_Response *response = is_stream ? stream_new(data, size, fault, connection, timer)
						  : plain_new(data, size);
	if (!response) {
		free(data);
		return NULL;
	}
	if (size > 0)
		MHD_add_response_header(response, "Content-Type",
					"application/json; charset=utf-8");
	MHD_add_response_header(response, "Strict-Transport-Security",
				"max-age=31536000; includeSubDomains");
	for (size_t i = 0; i < reply->header_count; i++)
		MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
	return response;
}
