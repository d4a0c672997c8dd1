/* What the two ends of the worker protocol share. Private to this room. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/worker.h"

enum field_kind { KIND_U64, KIND_TEXT, KIND_BYTES };

struct field_row {
	enum worker_field field;
	const char *name;
	enum field_kind kind;
	size_t max;
};

struct field_use {
	enum worker_field field; /* 0 ends the list */
	bool is_optional;
	bool is_repeated;
};

#define FIELD_USES_MAX 12

enum deadline { DEADLINE_NORMAL, DEADLINE_LONG, DEADLINE_KEYGEN };

struct verb_row {
	enum worker_verb verb;
	const char *name;
	enum deadline deadline;
	struct field_use request[FIELD_USES_MAX];
	struct field_use reply[FIELD_USES_MAX];
};

/* NULL when the number is unknown. */
const struct field_row *worker_field_find(unsigned number);
const struct verb_row *worker_verb_find(unsigned number);

/* Frames on a stream socket: a 32-bit big-endian length, then the message, a descriptor beside its first byte. */
#define WORKER_SOCKET_FD 3

struct frame_reader {
	uint8_t *data; /* WORKER_MESSAGE_MAX + 4 bytes */
	size_t used;
	int fd; /* a descriptor that came along, or -1 */
};

enum frame_state {
	FRAME_COMPLETE,
	FRAME_PARTIAL,
	FRAME_CLOSED,
	FRAME_TOO_LARGE,
	FRAME_FAILED,
	FRAME_NO_MEMORY
};

bool frame_send(int socket, const struct text *message, int fd, struct muster_error *err)
	MUST_CHECK;
/* Reads what is there. On FRAME_COMPLETE the message is data + 4, used - 4 bytes; frame_reader_next drops it. */
enum frame_state frame_receive(int socket, struct frame_reader *reader);
void frame_reader_next(struct frame_reader *reader);
