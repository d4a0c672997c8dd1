/* Preloaded: the program is loaded once and runs many times, each time in a child of its own and from its first line on, so that
 * a run costs no loading of libraries. FORK_SERVER names the descriptor of a socket; a message there carries the descriptors that
 * become the run's standard ones, and the answer is its wait status. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STANDARD = 3 };

/* False at the end of the socket. */
static int receive(int socket, int fds[STANDARD])
{
	char byte, control[CMSG_SPACE(STANDARD * sizeof(int))] = { 0 };
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &data,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message) ||
	    CMSG_FIRSTHDR(&message)->cmsg_len != CMSG_LEN(STANDARD * sizeof(int)))
		return 0;
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), STANDARD * sizeof(int));
	return 1;
}

static void become(int socket, const int fds[STANDARD])
{
	for (int i = 0; i < STANDARD; i++)
		if (dup2(fds[i], i) < 0)
			_exit(125);
	for (int i = 0; i < STANDARD; i++)
		close(fds[i]);
	close(socket);
	unsetenv("FORK_SERVER");
	unsetenv("LD_PRELOAD");
}

__attribute__((constructor)) static void serve(void)
{
	const char *name = getenv("FORK_SERVER");
	int socket = name ? atoi(name) : -1, fds[STANDARD], status;

	while (socket >= 0) {
		if (!receive(socket, fds))
			_exit(0);
		pid_t child = fork();
		if (child == 0) {
			become(socket, fds);
			return;
		}
		for (int i = 0; i < STANDARD; i++)
			close(fds[i]);
		if (child < 0 || waitpid(child, &status, 0) != child ||
		    send(socket, &status, sizeof(status), MSG_NOSIGNAL) != sizeof(status))
			_exit(125);
	}
}
