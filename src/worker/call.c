#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster/clock.h"
#include "spawn.h"
#include "worker-internal.h"

struct worker {
	pid_t pid;
	int socket;
	bool is_dead;
	const struct verb_row *verb; /* the request under way, or NULL */
	int64_t deadline_ms;
	struct frame_reader reader;
	char program[64];
};

bool worker_spawn(const char *program, const char *const *environment, struct worker **ret_worker,
		  struct muster_error *err)
{
	CLEANUP(worker_freep) struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return muster_fail_memory(err);
	worker->socket = -1;
	worker->reader.fd = -1;
	snprintf(worker->program, sizeof(worker->program), "%s", program);
	if (!worker_start_process(program, environment, &worker->pid, &worker->socket, err))
		return false;
	*ret_worker = TAKE_PTR(worker);
	return true;
}

static void end_process(struct worker *worker)
{
	if (worker->pid > 0) {
		kill(worker->pid, SIGKILL);
		while (waitpid(worker->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	worker->pid = 0;
	worker->is_dead = true;
	worker->verb = NULL;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
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

static bool is_tpm_verb(const struct verb_row *verb)
{
	return verb->verb >= WORKER_TPM_OPEN && verb->verb <= WORKER_TPM_RELEASE;
}

bool worker_send(struct worker *worker, const struct worker_message *request,
		 struct muster_error *err)
{
	CLEANUP(text_done) struct text message = TEXT_MAX(WORKER_MESSAGE_MAX);

	if (worker->is_dead || worker->verb)
		return muster_fail(err, CAUSE_INTERNAL, "%s is %s", worker->program,
				   worker->is_dead ? "gone" : "busy");
	if (!worker_message_encode(request, &message, err) ||
	    !frame_send(worker->socket, &message, request->fd, err))
		return false;
	worker->verb = worker_verb_find(request->verb);
	worker->deadline_ms = clock_now_ms() + worker->verb->deadline_ms;
	return true;
}

static bool fail_dead(struct worker *worker, struct muster_error *err)
{
	const char *verb = worker->verb ? worker->verb->name : "nothing";

	muster_fail(err, CAUSE_WORKER_DIED, "%s ended while it was doing %s", worker->program,
		    verb);
	end_process(worker);
	return false;
}

static bool fail_late(struct worker *worker, struct muster_error *err)
{
	bool is_tpm = is_tpm_verb(worker->verb);

	muster_fail(err, is_tpm ? CAUSE_TPM_HANGS : CAUSE_MODULE_HANGS,
		    "%s did not finish %s within %lld s and was ended", worker->program,
		    worker->verb->name, (long long)worker->verb->deadline_ms / 1000);
	end_process(worker);
	return false;
}

static void error_of(const struct worker_message *reply, struct muster_error *err)
{
	muster_fail_native(err, (enum muster_cause)worker_u64(reply, FIELD_ERROR_CAUSE),
			   (enum muster_origin)worker_u64(reply, FIELD_ERROR_ORIGIN),
			   (unsigned long)worker_u64(reply, FIELD_ERROR_NATIVE), "%s",
			   worker_text(reply, FIELD_ERROR_MESSAGE));
}

static bool take_reply(struct worker *worker, struct worker_message *ret_reply,
		       struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	enum worker_verb asked = worker->verb->verb;
	bool good = worker_message_decode(worker->reader.data + 4, worker->reader.used - 4, &reply,
					  err);

	frame_reader_next(&worker->reader);
	worker->verb = NULL;
	if (!good)
		return false;
	if (reply.is_reply && reply.verb == WORKER_ERROR) {
		error_of(&reply, err);
		return false;
	}
	if (!reply.is_reply || reply.verb != asked)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "%s answered verb %u with verb %u",
				   worker->program, asked, reply.verb);
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
	case FRAME_CLOSED:
	case FRAME_FAILED:
		break;
	}
	return fail_dead(worker, err);
}

bool worker_call(struct worker *worker, const struct worker_message *request,
		 struct worker_message *ret_reply, struct muster_error *err)
{
	bool done = false;

	if (!worker_send(worker, request, err))
		return false;
	while (!done) {
		struct pollfd wait = { .fd = worker->socket, .events = POLLIN };
		int64_t left = worker->deadline_ms - clock_now_ms();

		poll(&wait, 1, left > 0 ? (int)left : 0);
		if (!worker_receive(worker, ret_reply, &done, err))
			return false;
	}
	return true;
}
