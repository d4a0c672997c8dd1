#include "worker-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "muster/secret.h"

enum { LENGTH_SIZE = 4 };

/* The descriptor rides beside the first bytes of the frame. */
static ssize_t send_with_fd(int socket, const void *data, size_t size, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .space = { 0 } };
	struct iovec part = { .iov_base = (char *)(uintptr_t)data, .iov_len = size };
	struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *item;

	if (fd > 0) {
		header.msg_control = control.space;
		header.msg_controllen = sizeof(control.space);
		item = CMSG_FIRSTHDR(&header);
		item->cmsg_level = SOL_SOCKET;
		item->cmsg_type = SCM_RIGHTS;
		item->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(item), &fd, sizeof(int));
	}
	return sendmsg(socket, &header, MSG_NOSIGNAL);
}

bool frame_send(int socket, const struct text *message, int fd, struct muster_error *err)
{
	CLEANUP(text_done) struct text frame = TEXT_MAX(WORKER_MESSAGE_MAX + LENGTH_SIZE);
	size_t sent = 0;

	for (int shift = 24; shift >= 0; shift -= 8)
		text_add_char(&frame, (char)(message->length >> shift));
	text_add_bytes(&frame, message->data, message->length);
	if (!text_ok(&frame, err))
		return false;
	while (sent < frame.length) {
		ssize_t count = send_with_fd(socket, frame.data + sent, frame.length - sent,
					     sent == 0 ? fd : 0);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return muster_fail_errno(err, CAUSE_WORKER_DIED, errno,
						 "sending to a worker");
		sent += (size_t)count;
	}
	return true;
}

static void keep_fd(struct frame_reader *reader, struct msghdr *header)
{
	for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item; item = CMSG_NXTHDR(header, item)) {
		if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS)
			continue;
		/* The padding of the control buffer leaves room for a second one. */
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= item->cmsg_len;
		     at += sizeof(int)) {
			closep(&reader->fd);
			memcpy(&reader->fd, (uint8_t *)item + at, sizeof(int));
		}
	}
}

static size_t wanted(const struct frame_reader *reader)
{
	const uint8_t *data = reader->data;

	if (reader->used < LENGTH_SIZE)
		return LENGTH_SIZE;
	return LENGTH_SIZE + ((size_t)data[0] << 24 | (size_t)data[1] << 16 | (size_t)data[2] << 8 |
			      (size_t)data[3]);
}

enum frame_state frame_receive(int socket, struct frame_reader *reader)
{
	if (!reader->data) {
		reader->data = malloc(WORKER_MESSAGE_MAX + LENGTH_SIZE);
		if (!reader->data)
			return FRAME_NO_MEMORY;
		reader->fd = -1;
	}
	while (reader->used < LENGTH_SIZE || reader->used < wanted(reader)) {
		union {
			char space[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} control;
		size_t needed = wanted(reader);
		struct iovec part = { reader->data + reader->used, needed - reader->used };
		struct msghdr header = { .msg_iov = &part,
					 .msg_iovlen = 1,
					 .msg_control = control.space,
					 .msg_controllen = sizeof(control.space) };
		ssize_t count;

		if (needed > WORKER_MESSAGE_MAX + LENGTH_SIZE)
			return FRAME_TOO_LARGE;
		count = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? FRAME_PARTIAL
								       : FRAME_FAILED;
		if (count == 0)
			return FRAME_CLOSED;
		keep_fd(reader, &header);
		reader->used += (size_t)count;
	}
	return FRAME_COMPLETE;
}

void frame_reader_next(struct frame_reader *reader)
{
	if (reader->data)
		secret_wipe(reader->data, reader->used);
	reader->used = 0;
	closep(&reader->fd);
	reader->fd = -1;
}
