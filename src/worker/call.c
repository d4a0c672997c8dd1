#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster/clock.h"
#include "spawn.h"
#include "worker-internal.h"

struct worker {
	pid_t pid;            /* 0: ended, or a service manager's */
	struct worker *owner; /* of whose process this is one more line; NULL: of its own */
	int socket;
	bool is_dead;
	int status;                                /* of waitpid(), when it is */
	const struct verb_row *verb;               /* the request under way, or NULL */
	const struct verb_row *queued;             /* the one sent behind it, or NULL */
	int64_t allowed_ms;                        /* for that request */
	int64_t deadline_ms;                       /* when they are over */
	int64_t deadlines_ms[DEADLINE_KEYGEN + 1]; /* by the verb's kind */
	struct frame_reader reader;
	void (*told)(void *context, struct muster_error *failure); /* or NULL */
	void *told_context;
	char program[64];
};

static struct worker *make(const char *program)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	worker->socket = -1;
	worker->reader.fd = -1;
	/* As the configuration's table says, too. */
	worker_set_deadlines(worker, WORKER_DEADLINES(5000, 30000, 120000));
	snprintf(worker->program, sizeof(worker->program), "%s", program);
	return worker;
}

bool worker_spawn(const char *program, const char *const *environment, struct worker **ret_worker,
		  struct muster_error *err)
{
	CLEANUP(worker_freep) struct worker *worker = make(program);

	if (!worker)
		return muster_fail_memory(err);
	if (!worker_start_process(program, environment, &worker->pid, &worker->socket, err))
		return false;
	*ret_worker = TAKE_PTR(worker);
	return true;
}

/* Returns the status of waitpid(); a worker that had ended already keeps its own, and one that is not ours has none. */
static int end_process(struct worker *worker)
{
	if (worker->owner)
		worker->status = end_process(worker->owner);
	if (worker->pid > 0) {
		kill(worker->pid, SIGKILL);
		while (waitpid(worker->pid, &worker->status, 0) < 0 && errno == EINTR)
			;
	}
	shutdown(worker->socket, SHUT_RDWR);
	worker->pid = 0;
	worker->is_dead = true;
	worker->verb = worker->queued = NULL;
	return worker->status;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	if (!worker->owner)
		end_process(worker);
	closep(&worker->socket);
	frame_reader_next(&worker->reader);
	free(worker->reader.data);
	free(worker);
}

int worker_fd(const struct worker *worker)
{
	return worker->socket;
}

int64_t worker_deadline_ms(const struct worker *worker)
{
	return worker->verb ? worker->deadline_ms : INT64_MAX;
}

bool worker_is_alive(const struct worker *worker)
{
	return !worker->is_dead;
}

void worker_set_deadlines(struct worker *worker, const struct worker_deadlines *deadlines)
{
	const int64_t given[] = { deadlines->normal_ms, deadlines->long_ms, deadlines->keygen_ms };

	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		if (given[i] > 0)
			worker->deadlines_ms[i] = given[i];
}

static bool is_tpm_verb(const struct verb_row *verb)
{
	return verb->verb >= WORKER_TPM_OPEN && verb->verb < WORKER_HSM_OPEN;
}

static bool fail_dead(struct worker *worker, struct muster_error *err)
{
	const char *verb = worker->verb->name;
	bool is_ours = worker->owner ? worker->owner->pid > 0 : worker->pid > 0;
	int status = end_process(worker);

	if (!is_ours)
		return muster_fail(err, CAUSE_WORKER_DIED,
				   "%s closed its connection while it was doing %s",
				   worker->program, verb);
	if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_UNSTARTED)
		return muster_fail(err, CAUSE_WORKER_START, "%s could not be run", worker->program);
	if (WIFEXITED(status))
		return muster_fail(err, CAUSE_WORKER_DIED,
				   "%s ended with status %d while it was doing %s", worker->program,
				   WEXITSTATUS(status), verb);
	return muster_fail(err, CAUSE_WORKER_DIED,
			   "%s was ended by signal %d while it was doing %s", worker->program,
			   WTERMSIG(status), verb);
}

/* It is what the worker is doing from now on. */
static void begin(struct worker *worker, const struct verb_row *verb)
{
	worker->verb = verb;
	if (!verb)
		return;
	worker->allowed_ms = worker->deadlines_ms[verb->deadline];
	worker->deadline_ms = clock_now_ms() + worker->allowed_ms;
}

bool worker_queue(struct worker *worker, const struct worker_message *request,
		  struct muster_error *err)
{
	CLEANUP(text_done) struct text message = TEXT_MAX(WORKER_MESSAGE_MAX);

	if (worker->is_dead || worker->queued)
		return muster_fail(err, CAUSE_INTERNAL, "%s is %s", worker->program,
				   worker->is_dead ? "gone" : "busy");
	if (!worker_message_encode(request, &message, err))
		return false;
	if (worker->verb)
		worker->queued = worker_verb_find(request->verb);
	else
		begin(worker, worker_verb_find(request->verb));
	if (frame_send(worker->socket, &message, request->fd, err))
		return true;
	if (err->cause == CAUSE_MEMORY) {
		/* Nothing of it was sent. */
		*(worker->queued ? &worker->queued : &worker->verb) = NULL;
		return false;
	}
	if (!worker->queued)
		return fail_dead(worker, err);
	shutdown(worker->socket, SHUT_RDWR); /* who waits for the reply before it is told first */
	return true;
}

bool worker_send(struct worker *worker, const struct worker_message *request,
		 struct muster_error *err)
{
	if (worker->verb)
		return muster_fail(err, CAUSE_INTERNAL, "%s is busy", worker->program);
	return worker_queue(worker, request, err);
}

static bool fail_late(struct worker *worker, struct muster_error *err)
{
	bool is_tpm = is_tpm_verb(worker->verb);

	muster_fail(err, is_tpm ? CAUSE_TPM_HANGS : CAUSE_MODULE_HANGS,
		    "%s did not finish %s within %g s and was ended", worker->program,
		    worker->verb->name, (double)worker->allowed_ms / 1000);
	end_process(worker);
	return false;
}

/* The other end holds a chip's or a module's code: its words are not for the terminal as they are. */
static void error_of(const struct worker_message *reply, struct muster_error *err)
{
	uint64_t cause = worker_u64(reply, FIELD_ERROR_CAUSE);
	uint64_t origin = worker_u64(reply, FIELD_ERROR_ORIGIN);
	char words[MUSTER_ERROR_MESSAGE_SIZE];

	muster_fail_native(
		err, cause <= UINT16_MAX ? (enum muster_cause)cause : CAUSE_INTERNAL,
		origin <= ORIGIN_SQLITE ? (enum muster_origin)origin : ORIGIN_NONE,
		(unsigned long)worker_u64(reply, FIELD_ERROR_NATIVE), "%s",
		text_printable(words, sizeof(words), worker_text(reply, FIELD_ERROR_MESSAGE)));
}

/* A worker that breaks the protocol is not asked again. */
static bool fail_protocol(struct worker *worker, const char *verb, struct muster_error *err)
{
	end_process(worker);
	return muster_error_prefix(err, "%s answered %s", worker->program, verb);
}

void worker_watch(struct worker *worker, void (*told)(void *context, struct muster_error *failure),
		  void *context)
{
	worker->told = told;
	worker->told_context = context;
}

static void tell(const struct worker *worker, struct muster_error *failure)
{
	const struct worker *first = worker->owner ? worker->owner : worker;

	if (first->told)
		first->told(first->told_context, failure);
}

static bool take_reply(struct worker *worker, struct worker_message *ret_reply,
		       struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	const struct verb_row *asked = worker->verb;
	bool good = worker_message_decode(worker->reader.data + 4, worker->reader.used - 4, &reply,
					  err);

	frame_reader_next(&worker->reader);
	begin(worker, TAKE_PTR(worker->queued));
	if (!good)
		return fail_protocol(worker, asked->name, err);
	if (reply.is_reply && reply.verb == WORKER_ERROR) {
		error_of(&reply, err);
		tell(worker, err);
		return false;
	}
	if (!reply.is_reply || reply.verb != asked->verb) {
		muster_fail(err, CAUSE_WORKER_PROTOCOL, "a message of verb %u", reply.verb);
		return fail_protocol(worker, asked->name, err);
	}
	*ret_reply = reply;
	reply = (struct worker_message){ 0 };
	return true;
}

bool worker_receive(struct worker *worker, struct worker_message *ret_reply, bool *ret_done,
		    struct muster_error *err)
{
	*ret_done = true;
	if (!worker->verb)
		return muster_fail(err, CAUSE_INTERNAL, "%s was not asked anything",
				   worker->program);
	switch (frame_receive(worker->socket, &worker->reader)) {
	case FRAME_COMPLETE:
		return take_reply(worker, ret_reply, err);
	case FRAME_PARTIAL:
		if (clock_now_ms() >= worker->deadline_ms)
			return fail_late(worker, err);
		*ret_done = false;
		return true;
	case FRAME_TOO_LARGE:
		muster_fail(err, CAUSE_WORKER_PROTOCOL, "a message of more than %d bytes",
			    WORKER_MESSAGE_MAX);
		return fail_protocol(worker, worker->verb->name, err);
	case FRAME_NO_MEMORY:
		end_process(worker);
		return muster_fail_memory(err);
	case FRAME_CLOSED:
	case FRAME_FAILED:
		break;
	}
	return fail_dead(worker, err);
}

bool worker_call(struct worker *worker, const struct worker_message *request,
		 struct worker_message *ret_reply, struct muster_error *err)
{
	return worker_send(worker, request, err) && worker_wait(worker, ret_reply, err);
}

bool worker_wait(struct worker *worker, struct worker_message *ret_reply, struct muster_error *err)
{
	bool done = false;

	while (!done) {
		struct pollfd wait = { .fd = worker->socket, .events = POLLIN };
		int64_t left = worker->deadline_ms - clock_now_ms();

		poll(&wait, 1, left > 0 ? (int)left : 0);
		if (!worker_receive(worker, ret_reply, &done, err))
			return false;
	}
	return true;
}

bool worker_join(struct worker *owner, struct worker **ret_worker, struct muster_error *err)
{
	CLEANUP(worker_freep) struct worker *worker = make(owner->program);
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	int sockets[2];

	if (!worker)
		return muster_fail_memory(err);
	worker->owner = owner;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return muster_fail_errno(err, CAUSE_WORKER_START, errno, "making a socket for %s",
					 owner->program);
	worker->socket = sockets[0];
	fcntl(worker->socket, F_SETFL, O_NONBLOCK);
	worker_request_init(&request, WORKER_HSM_SESSION);
	request.fd = sockets[1];
	if (!worker_call(owner, &request, &reply, err))
		return false;
	*ret_worker = TAKE_PTR(worker);
	return true;
}
