/* A worker that behaves as the test asks: TPM_OPEN names an oddity instead of a TCTI, TPM_NV_READ tells about the
 * process, HSM_LOGIN tells what it read from the descriptor. */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/worker/worker-internal.h"
#include "muster/worker.h"
#include "odd-worker.h"

static _Noreturn void hang(void)
{
	for (;;)
		pause();
}

static void send_raw(const void *data, size_t size)
{
	if (write(WORKER_SOCKET_FD, data, size) < 0)
		_exit(1);
}

static void send_message(const struct worker_message *message)
{
	CLEANUP(text_done) struct text wire = TEXT_MAX(WORKER_MESSAGE_MAX);
	struct muster_error err;

	if (!worker_message_encode(message, &wire, &err) ||
	    !frame_send(WORKER_SOCKET_FD, &wire, 0, &err))
		_exit(1);
}

/* -- Oddities ------------------------------------------------------------------------------------------ */

static void be_killed(void)
{
	raise(SIGKILL);
}

static void leave(void)
{
	_exit(3);
}

static void close_socket(void)
{
	close(WORKER_SOCKET_FD);
	hang();
}

static void send_half(void)
{
	send_raw("\0\0\0\x10\0\x64", 6);
	hang();
}

static void trickle(void)
{
	send_raw("\0\0\x7f\xff", 4);
	for (;;) {
		send_raw("x", 1);
		usleep(2000);
	}
}

static void send_garbage(void)
{
	send_raw("\0\0\0\x04zzzz", 8);
	hang();
}

static void send_empty(void)
{
	send_raw("\0\0\0\0", 4);
	hang();
}

static void send_huge(void)
{
	send_raw("\xff\xff\xff\xff", 4);
	hang();
}

static void answer_another_verb(void)
{
	struct worker_message reply;

	worker_reply_init(&reply, WORKER_HELLO);
	worker_add_text(&reply, FIELD_VERSION, "1");
	send_message(&reply);
	hang();
}

static void answer_with_a_request(void)
{
	struct worker_message request;

	worker_request_init(&request, WORKER_TPM_OPEN);
	worker_add_text(&request, FIELD_TCTI, "x");
	send_message(&request);
	hang();
}

static void send_hostile_error(void)
{
	struct worker_message reply;

	worker_reply_init(&reply, WORKER_ERROR);
	worker_add_u64(&reply, FIELD_ERROR_CAUSE, UINT64_C(0x1000000000) + CAUSE_PIN_LOCKED);
	worker_add_u64(&reply, FIELD_ERROR_ORIGIN, 4711);
	worker_add_u64(&reply, FIELD_ERROR_NATIVE, 7);
	worker_add_text(&reply, FIELD_ERROR_MESSAGE, "%s%n\x1b[31mred");
	send_message(&reply);
	hang();
}

/* Two descriptors where none is expected, beside a good answer. */
static void send_descriptors(void)
{
	static const char answer[] =
		"\0\0\0\x18\0\x64\1\3\0\x10\0\0\0\1m\0\x11\0\0\0\1f\0\x1e\0\0\0\0";
	union {
		char space[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { .space = { 0 } };
	struct iovec part = { (void *)(uintptr_t)answer, sizeof(answer) - 1 };
	struct msghdr header = { .msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.space,
				 .msg_controllen = sizeof(control.space) };
	struct cmsghdr *item = CMSG_FIRSTHDR(&header);

	item->cmsg_level = SOL_SOCKET;
	item->cmsg_type = SCM_RIGHTS;
	item->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(item), (int[]){ 0, 1 }, 2 * sizeof(int));
	if (sendmsg(WORKER_SOCKET_FD, &header, 0) < 0)
		_exit(1);
	hang();
}

static const struct {
	const char *name;
	void (*act)(void);
} oddities[] = {
	{ "hang", hang },
	{ "be-killed", be_killed },
	{ "leave", leave },
	{ "close-socket", close_socket },
	{ "half", send_half },
	{ "trickle", trickle },
	{ "garbage", send_garbage },
	{ "empty", send_empty },
	{ "huge", send_huge },
	{ "another-verb", answer_another_verb },
	{ "request", answer_with_a_request },
	{ "hostile-error", send_hostile_error },
	{ "descriptors", send_descriptors },
};

static bool handle_open(void *context, const struct worker_message *request,
			struct worker_message *reply, struct muster_error *err)
{
	const char *oddity = worker_text(request, FIELD_TCTI);

	(void)context;
	for (size_t i = 0; i < ARRAY_SIZE(oddities); i++)
		if (strcmp(oddities[i].name, oddity) == 0)
			oddities[i].act();
	if (strcmp(oddity, "error") == 0)
		return muster_fail_native(err, CAUSE_TPM_LOCKED_OUT, ORIGIN_TSS, 0x921,
					  "in lockout");
	if (strcmp(oddity, "strange-error") == 0)
		return muster_fail(err, CAUSE_TPM_COMMAND_FAILED, "it says \xff\x1b\xc3\xa4");
	worker_add_text(reply, FIELD_MANUFACTURER, oddity);
	if (strcmp(oddity, "incomplete") == 0)
		return true;
	worker_add_text(reply, FIELD_FIRMWARE, "1.2");
	worker_add_text(reply, FIELD_MODEL, "odd");
	return true;
}

/* -- About the process --------------------------------------------------------------------------------- */

static void tell_environment(struct text *out)
{
	for (char **variable = environ; *variable; variable++)
		text_addf(out, "%s\n", *variable);
}

static void tell_descriptors(struct text *out)
{
	DIR *stream = opendir("/proc/self/fd");
	const struct dirent *entry;
	char name[64], target[256];

	while ((entry = readdir(stream))) {
		ssize_t length;

		if (atoi(entry->d_name) == dirfd(stream) || *entry->d_name == '.')
			continue;
		snprintf(name, sizeof(name), "/proc/self/fd/%.10s", entry->d_name);
		length = readlink(name, target, sizeof(target));
		text_addf(out, "%s=%.*s\n", entry->d_name, (int)(length > 0 ? length : 0), target);
	}
	closedir(stream);
}

static void tell_signals(struct text *out)
{
	sigset_t blocked;
	bool any = false;

	sigprocmask(SIG_BLOCK, NULL, &blocked);
	for (int signal = 1; signal < 32; signal++)
		any |= sigismember(&blocked, signal) == 1;
	text_addf(out, "blocked=%d leader=%d", any, getsid(0) == getpid());
}

static bool handle_tell(void *context, const struct worker_message *request,
			struct worker_message *reply, struct muster_error *err)
{
	CLEANUP(text_done) struct text out = TEXT_MAX(8192);

	(void)context;
	switch (worker_u64(request, FIELD_HANDLE)) {
	case TELL_ENVIRONMENT:
		tell_environment(&out);
		break;
	case TELL_DESCRIPTORS:
		tell_descriptors(&out);
		break;
	default:
		tell_signals(&out);
	}
	if (!text_ok(&out, err))
		return false;
	worker_add_u64(reply, FIELD_FOUND, 1);
	worker_add_bytes(reply, FIELD_DATA, out.data, out.length);
	return true;
}

static bool handle_login(void *context, const struct worker_message *request,
			 struct worker_message *reply, struct muster_error *err)
{
	char pin[16] = { 0 };

	(void)context;
	(void)reply;
	if (request->fd <= 0)
		return muster_fail(err, CAUSE_PIN_MISSING, "no descriptor");
	if (read(request->fd, pin, sizeof(pin) - 1) < 0)
		return muster_fail(err, CAUSE_PIN_MISSING, "cannot read it");
	return muster_fail(err, CAUSE_PIN_REFUSED, "read '%s'", pin);
}

static bool handle_token(void *context, const struct worker_message *request,
			 struct worker_message *reply, struct muster_error *err)
{
	(void)context;
	(void)request;
	(void)reply;
	(void)err;
	hang();
}

int main(void)
{
	static const struct worker_handler handlers[] = {
		{ WORKER_TPM_OPEN, handle_open },
		{ WORKER_TPM_NV_READ, handle_tell },
		{ WORKER_HSM_LOGIN, handle_login },
		{ WORKER_HSM_TOKEN, handle_token },
	};

	return worker_serve(handlers, ARRAY_SIZE(handlers), NULL);
}
