/* Another program, run to its end: what it wrote comes back, and it never gets a descriptor, an environment or more time
 * than it was given. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/process.h"
#include "muster/text.h"

/* LOOK_MS: how long it may take until a cancellation is noticed. */
enum { EXIT_UNSTARTED = 127, LOOK_MS = 200 };

struct child {
	pid_t pid;
	int output, errors; /* our ends */
};

static void child_done(struct child *child)
{
	closep(&child->output);
	closep(&child->errors);
	if (child->pid > 0) {
		kill(child->pid, SIGKILL);
		waitpid(child->pid, NULL, 0);
	}
}

/* Between fork and exec. */
static _Noreturn void become(const struct process_command *command, int output, int errors,
			     pid_t parent)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
	    dup2(errors, STDERR_FILENO) >= 0 && close_range(STDERR_FILENO + 1, ~0U, 0) == 0 &&
	    sigprocmask(SIG_SETMASK, &none, NULL) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
	    getppid() == parent)
		execvpe(command->arguments[0], (char *const *)(uintptr_t)command->arguments,
			(char *const *)(uintptr_t)command->environment);
	_exit(EXIT_UNSTARTED);
}

static bool start(const struct process_command *command, struct child *child,
		  struct muster_error *err)
{
	int output[2], errors[2];
	pid_t parent = getpid();

	if (pipe2(output, O_CLOEXEC) < 0)
		return muster_fail_errno(err, CAUSE_INTERNAL, errno, "making a pipe");
	if (pipe2(errors, O_CLOEXEC) < 0) {
		closep(&output[0]);
		closep(&output[1]);
		return muster_fail_errno(err, CAUSE_INTERNAL, errno, "making a pipe");
	}
	child->pid = fork();
	if (child->pid == 0)
		become(command, output[1], errors[1], parent);
	close(output[1]);
	close(errors[1]);
	child->output = output[0];
	child->errors = errors[0];
	return child->pid > 0 ||
	       muster_fail_errno(err, CAUSE_INTERNAL, errno, "starting %s", command->arguments[0]);
}

static bool is_wanted(const struct process_command *command, struct muster_error *err)
{
	return !command->is_cancelled || !command->is_cancelled(command->context) ||
	       muster_fail(err, CAUSE_INTERRUPTED, "stopped by a signal while %s ran",
			   command->arguments[0]);
}

/* *ret_wait_ms: how long to wait at most before this is asked again. */
static bool may_go_on(const struct process_command *command, int64_t until_ms, int *ret_wait_ms,
		      struct muster_error *err)
{
	int64_t left_ms = until_ms - clock_now_ms();

	if (!is_wanted(command, err))
		return false;
	if (left_ms <= 0)
		return muster_fail(err, CAUSE_PROGRAM_FAILED, "%s did not end within %lld seconds",
				   command->arguments[0], (long long)command->deadline_ms / 1000);
	*ret_wait_ms = left_ms < LOOK_MS ? (int)left_ms : LOOK_MS;
	return true;
}

/* *fd becomes -1 at the end. False when more came than `room` holds. */
static bool read_some(int *fd, char *data, size_t room, size_t *used)
{
	char surplus;
	ssize_t count =
		read(*fd, *used < room ? data + *used : &surplus, *used < room ? room - *used : 1);

	if (count < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (count <= 0) {
		closep(fd);
		*fd = -1;
		return true;
	}
	if (*used == room)
		return false;
	*used += (size_t)count;
	return true;
}

/* Until it has ended and what it wrote is read; a child of its own that still has its outputs is not waited for. Of errors the
 * beginning is kept, of output there must not be too much. */
static bool collect(const struct process_command *command, struct child *child, int64_t until_ms,
		    struct secret *output, struct process_result *result, struct muster_error *err)
{
	CLEANUP(closep) int end = pidfd_open(child->pid, 0);
	size_t used = 0, errors_used = 0;
	unsigned silences = 0;
	int wait_ms = 0;

	if (end < 0)
		return muster_fail_errno(err, CAUSE_INTERNAL, errno, "waiting for %s",
					 command->arguments[0]);
	/* Twice: a last word may come between the look for words and that for the end. */
	while (silences < 2) {
		struct pollfd ends[] = { { .fd = child->output, .events = POLLIN },
					 { .fd = child->errors, .events = POLLIN },
					 { .fd = end, .events = POLLIN } };
		int count;

		if (!may_go_on(command, until_ms, &wait_ms, err))
			return false;
		count = poll(ends, ARRAY_SIZE(ends), wait_ms);
		if (count < 0 && errno != EINTR)
			return muster_fail_errno(err, CAUSE_INTERNAL, errno, "waiting for %s",
						 command->arguments[0]);
		if (count <= 0)
			continue;
		if (ends[0].revents &&
		    !read_some(&child->output, (char *)output->data, output->size, &used))
			return muster_fail(err, CAUSE_PROGRAM_FAILED,
					   "%s wrote more than %zu bytes", command->arguments[0],
					   output->size);
		if (ends[1].revents)
			(void)read_some(&child->errors, result->errors, sizeof(result->errors) - 1,
					&errors_used);
		silences += !ends[0].revents && !ends[1].revents;
	}
	secret_shrink(output, used);
	return true;
}

bool process_run(const struct process_command *command, struct secret *ret_output,
		 struct process_result *ret_result, struct muster_error *err)
{
	CLEANUP(child_done) struct child child = { .output = -1, .errors = -1 };
	CLEANUP(secret_done) struct secret output = { 0 };
	int64_t until_ms = clock_now_ms() + command->deadline_ms;
	int status = 0;

	*ret_result = (struct process_result){ 0 };
	if (!secret_new(&output, command->output_max, err) || !start(command, &child, err) ||
	    !collect(command, &child, until_ms, &output, ret_result, err))
		return false;
	while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR)
		continue;
	child.pid = 0;
	/* A terminal's signal reaches it as well: its end says nothing then. */
	if (!is_wanted(command, err))
		return false;
	ret_result->was_started = !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_UNSTARTED;
	ret_result->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	secret_done(ret_output);
	*ret_output = output;
	output = (struct secret){ 0 };
	return true;
}
