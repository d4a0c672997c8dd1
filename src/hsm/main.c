/* muster-hsm-worker: a line for the worker itself, and one more for each session that is asked for. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "muster/hsm.h"
#include "muster/log.h"
#include "muster/process.h"

#include "handlers.h"

/* A thread that serves one more socket in a session of its own. */
static struct line {
	pthread_t thread;
	int socket;
	struct hsm *session;
	bool is_used;
	atomic_bool is_over;
} lines[HSM_SESSIONS_MAX];

/* What comes with a descriptor cannot be asked twice: it is read by then. */
static bool recover(struct hsm *hsm, const struct worker_message *request,
		    const struct muster_error *failure, struct muster_error *err)
{
	struct muster_error reason;

	if (!hsm_is_lost(failure) || request->fd > 0)
		return false;
	if (hsm_recover(hsm, &reason))
		return true;
	*err = reason;
	return muster_error_prefix(err, "%s; going on", failure->message);
}

/* A request whose session or login was lost is asked once more in a new one. What it had done by then is not lost sight
 * of: a key that was made is found under its ID, and a second one of that ID is refused. */
static bool handle_in_session(void *context, const struct worker_message *request,
			      struct worker_message *reply, struct muster_error *err)
{
	bool (*handle)(void *, const struct worker_message *, struct worker_message *,
		       struct muster_error *) = NULL;
	struct muster_error failure;

	for (size_t i = 0; i < hsm_session_handler_count; i++)
		if (hsm_session_handlers[i].verb == request->verb)
			handle = hsm_session_handlers[i].handle;
	if (handle(context, request, reply, err))
		return true;
	failure = *err;
	if (!recover(context, request, &failure, err))
		return false;
	worker_message_done(reply);
	worker_reply_init(reply, request->verb);
	return handle(context, request, reply, err);
}

static void fill_handlers(struct worker_handler *handlers)
{
	for (size_t i = 0; i < hsm_session_handler_count; i++)
		handlers[i] =
			(struct worker_handler){ hsm_session_handlers[i].verb, handle_in_session };
}

static void *serve_line(void *context)
{
	struct worker_handler handlers[HSM_HANDLERS_MAX];
	struct line *line = context;

	fill_handlers(handlers);
	worker_serve_on(line->socket, handlers, hsm_session_handler_count, line->session);
	line->is_over = true;
	return NULL;
}

static void end_line(struct line *line)
{
	if (!line->is_used)
		return;
	shutdown(line->socket, SHUT_RDWR);
	pthread_join(line->thread, NULL);
	closep(&line->socket);
	hsm_session_free(line->session);
	line->is_used = false;
}

static struct line *free_line(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		if (lines[i].is_used && lines[i].is_over)
			end_line(&lines[i]);
		if (!lines[i].is_used)
			return &lines[i];
	}
	return NULL;
}

static HSM_HANDLER(handle_session)
{
	struct line *line = free_line();

	(void)reply;
	if (request->fd <= 0)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "no socket came with the session");
	if (!line)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "at most %d sessions at a time",
				   HSM_SESSIONS_MAX);
	line->is_over = false;
	line->socket = fcntl(request->fd, F_DUPFD_CLOEXEC, 0);
	if (line->socket < 0 || !hsm_session_new(context, &line->session, err)) {
		closep(&line->socket);
		return false;
	}
	line->is_used = pthread_create(&line->thread, NULL, serve_line, line) == 0;
	if (line->is_used)
		return true;
	closep(&line->socket);
	hsm_session_free(line->session);
	return muster_fail(err, CAUSE_HSM_COMMAND_FAILED, "starting a thread for a session");
}

/* The worker has one session of its own. */
static int serve(struct hsm *hsm)
{
	struct worker_handler handlers[HSM_HANDLERS_MAX];
	size_t count = hsm_own_handler_count;
	int status;

	memcpy(handlers, hsm_own_handlers, count * sizeof(*handlers));
	handlers[count++] = (struct worker_handler){ WORKER_HSM_SESSION, handle_session };
	fill_handlers(handlers + count);
	count += hsm_session_handler_count;
	status = worker_serve(handlers, count, hsm);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		end_line(&lines[i]);
	return status;
}

/* Modules print what they like, logging ones even the PIN: nothing of it goes anywhere. Only test runs keep standard error,
 * where sanitizers report. */
static bool silence_output(void)
{
	bool is_test_run = getenv("MUSTER_INSECURE_MEMORY") != NULL;
	int null = open("/dev/null", O_RDWR);

	if (null < 0)
		return false;
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    (!is_test_run && dup2(null, STDERR_FILENO) < 0))
		return false;
	if (null > STDERR_FILENO)
		close(null);
	return true;
}

/* A module that finds no place for what it keeps makes one where it stands. Here none can be made. */
static bool leave_folder(void)
{
	return chdir("/proc") == 0 || chdir("/") == 0;
}

int main(void)
{
	CLEANUP(hsm_freep) struct hsm *hsm = NULL;
	struct muster_error err;

	process_harden_worker();
	log_set_program("muster-hsm-worker");
	if (!silence_output() || !leave_folder() || !hsm_new(&hsm, &err))
		return MUSTER_E_INTERNAL;
	return serve(hsm);
}
