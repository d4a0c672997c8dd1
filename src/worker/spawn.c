#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "muster/file.h"
#include "worker-internal.h"

enum { ENVIRONMENT_MAX = 32 };

static bool is_program(const char *path)
{
	return access(path, X_OK) == 0;
}

static bool is_socket(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISSOCK(status.st_mode);
}

static bool find_beside_us(const char *program, char path[PATH_MAX])
{
	char own[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
	const char *slash;

	if (length <= 0)
		return false;
	own[length] = 0;
	slash = strrchr(own, '/');
	return slash &&
	       snprintf(path, PATH_MAX, "%.*s/%s", (int)(slash - own), own, program) < PATH_MAX &&
	       is_program(path);
}

static bool find_program(const char *program, char path[PATH_MAX], struct muster_error *err)
{
	const char *directory = getenv("MUSTER_WORKER_DIR");

	if (directory && *directory) {
		if (snprintf(path, PATH_MAX, "%s/%s", directory, program) < PATH_MAX &&
		    (is_program(path) || is_socket(path)))
			return is_socket(path) || file_check_trusted(path, err);
		return muster_fail(err, CAUSE_WORKER_START, "no program %s in '%s'", program,
				   PRINTABLE(directory));
	}
	if (find_beside_us(program, path))
		return true;
	snprintf(path, PATH_MAX, "%s/%s", MUSTER_WORKER_DIR, program);
	return is_program(path) ||
	       muster_fail(err, CAUSE_WORKER_START, "no program %s beside muster or in %s", program,
			   MUSTER_WORKER_DIR);
}

/* What every worker gets of our environment; a module's own variables come on top. */
static bool fill_environment(const char *const *additions, const char *environment[ENVIRONMENT_MAX],
			     struct muster_error *err)
{
	static const char *const kept[] = {
		"PATH=",         "LANG=",          "TZ=",           "JOURNAL_STREAM=",
		"ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS=", "MUSTER_INSECURE_MEMORY="
	};
	size_t count = 0;

	for (char **variable = environ; *variable; variable++)
		for (size_t i = 0; i < ARRAY_SIZE(kept) && count < ENVIRONMENT_MAX / 2; i++)
			if (text_has_prefix(*variable, kept[i]))
				environment[count++] = *variable;
	for (; additions && *additions; additions++) {
		if (count == ENVIRONMENT_MAX - 1)
			return muster_fail(err, CAUSE_WORKER_START,
					   "more than %d environment variables for a worker",
					   ENVIRONMENT_MAX - 1);
		environment[count++] = *additions;
	}
	environment[count] = NULL;
	return true;
}

/* Nothing but standard error (as it is), /dev/null as 0 and 1, and the socket as 3. */
static bool place_descriptors(int socket)
{
	int high = fcntl(socket, F_DUPFD_CLOEXEC, WORKER_SOCKET_FD + 1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* dup2 of a descriptor onto itself would leave it closed on exec. */
	if (null == STDIN_FILENO || null == STDOUT_FILENO)
		null = fcntl(null, F_DUPFD_CLOEXEC, WORKER_SOCKET_FD + 1);
	return high >= 0 && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	       dup2(null, STDOUT_FILENO) >= 0 && dup2(high, WORKER_SOCKET_FD) >= 0 &&
	       close_range(WORKER_SOCKET_FD + 1, ~0U, 0) == 0;
}

/* Signals as in a fresh program, and none from the terminal: the station alone decides what Ctrl-C means. A
 * worker never outlives the station: its socket closes, and should it hang, it is killed. */
static bool place_signals(pid_t station)
{
	sigset_t none;

	sigemptyset(&none);
	setsid();
	return sigprocmask(SIG_SETMASK, &none, NULL) == 0 &&
	       prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == station;
}

/* Between fork and exec: only async-signal-safe calls. */
static _Noreturn void become_worker(const char *path, const char *program, int socket,
				    const char *const *environment, pid_t station)
{
	const char *const arguments[] = { program, NULL };

	if (!place_descriptors(socket) || !place_signals(station))
		_exit(WORKER_EXIT_UNSTARTED);
	execve(path, (char *const *)(uintptr_t)arguments, (char *const *)(uintptr_t)environment);
	_exit(WORKER_EXIT_UNSTARTED);
}

/* A service manager that listens there starts a worker for each connection, in a unit of its own. */
static bool connect_worker(const char *path, int *ret_socket, struct muster_error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!file_check_trusted(path, err))
		return false;
	if (strlen(path) >= sizeof(address.sun_path))
		return muster_fail(err, CAUSE_WORKER_START, "'%s' is too long for a socket",
				   PRINTABLE(path));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return muster_fail_errno(err, CAUSE_WORKER_START, errno, "connecting to '%s'",
					 PRINTABLE(path));
	*ret_socket = TAKE_FD(fd);
	return true;
}

static bool start_program(const char *path, const char *program, const char *const *additions,
			  pid_t *ret_pid, int *ret_socket, struct muster_error *err)
{
	const char *environment[ENVIRONMENT_MAX];
	int sockets[2];
	pid_t pid, station = getpid();

	if (!fill_environment(additions, environment, err))
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return muster_fail_errno(err, CAUSE_WORKER_START, errno, "making a socket for %s",
					 program);
	pid = fork();
	if (pid == 0)
		become_worker(path, program, sockets[1], environment, station);
	close(sockets[1]);
	if (pid < 0) {
		close(sockets[0]);
		return muster_fail_errno(err, CAUSE_WORKER_START, errno, "starting %s", program);
	}
	fcntl(sockets[0], F_SETFL, O_NONBLOCK);
	*ret_pid = pid;
	*ret_socket = sockets[0];
	return true;
}

bool worker_start_process(const char *program, const char *const *additions, pid_t *ret_pid,
			  int *ret_socket, struct muster_error *err)
{
	char path[PATH_MAX];

	if (!find_program(program, path, err))
		return false;
	*ret_pid = 0;
	return is_socket(path) ? connect_worker(path, ret_socket, err)
			       : start_program(path, program, additions, ret_pid, ret_socket, err);
}
