/* From inside the sandbox of each class: what a taken-over worker would try next is denied, and what it needs works.
 * Only in builds without a sanitizer; a story runs it on the release build. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/tpm/sandbox.h"
#include "muster/cleanup.h"

static char place[32], own_socket[64], other_socket[64], secret_file[64];
static int own_listener;

/* -- What is tried: true when it succeeded ---------------------------------------------------------------------- */

static bool can_open(const char *path, int flags)
{
	CLEANUP(closep) int fd = open(path, flags, 0600);
	return fd >= 0;
}

static bool reads_a_file(void)
{
	return can_open("/etc/passwd", O_RDONLY) || can_open(secret_file, O_RDONLY) ||
	       can_open("/proc/self/maps", O_RDONLY);
}

static bool writes_a_file(void)
{
	char path[80];
	snprintf(path, sizeof(path), "%s/new", place);
	return can_open("/new", O_WRONLY | O_CREAT) || can_open(path, O_WRONLY | O_CREAT) ||
	       mkdir("/made", 0700) == 0 || unlink(secret_file) == 0 ||
	       rename(secret_file, path) == 0;
}

static bool runs_a_program(void)
{
	char name[] = "true", *const arguments[] = { name, NULL };
	execve("/bin/true", arguments,
	       NULL); /* does not come back when it succeeds, with status 0 */
	return false;
}

static bool makes_a_process(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return pid > 0;
}

static bool touches_another_process(void)
{
	char byte;
	struct iovec local = { &byte, 1 }, remote = { place, 1 };
	return kill(getppid(), 0) == 0 || ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0 ||
	       process_vm_readv(getppid(), &local, 1, &remote, 1, 0) >= 0;
}

static bool leaves_its_place(void)
{
	return chroot(".") == 0 || chdir("..") == 0 || mount("none", "/", "tmpfs", 0, NULL) == 0 ||
	       unshare(CLONE_NEWNS) == 0 || setuid(0) == 0;
}

static bool runs_written_pages(void)
{
	void *pages = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return mprotect(pages, 4096, PROT_READ | PROT_EXEC) == 0 ||
	       mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		       MAP_FAILED;
}

static bool reaches_the_network(void)
{
	CLEANUP(closep) int tcp = socket(AF_INET, SOCK_STREAM, 0);
	CLEANUP(closep) int udp = socket(AF_INET6, SOCK_DGRAM, 0);
	CLEANUP(closep) int raw = socket(AF_PACKET, SOCK_RAW, 0);
	return tcp >= 0 || udp >= 0 || raw >= 0;
}

static bool can_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	return fd >= 0 &&
	       (size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) <
		       sizeof(address.sun_path) &&
	       connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static bool reaches_another_socket(void)
{
	char path[96];
	snprintf(path, sizeof(path), "/..%s", other_socket);
	return can_connect(other_socket) || can_connect(path);
}

/* A name that is no path. */
static struct sockaddr_un abstract_address(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s", place);
	return address;
}

static bool reaches_an_abstract_socket(void)
{
	struct sockaddr_un address = abstract_address();
	CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

/* What then happens to the descriptor would raise a signal there, and which one can be chosen. */
static bool directs_signals_at_another_process(void)
{
	int owner = getppid();
	return fcntl(own_listener, F_SETOWN, owner) == 0 ||
	       fcntl(own_listener, F_SETSIG, SIGUSR1) == 0 ||
	       ioctl(own_listener, FIOSETOWN, &owner) == 0;
}

static const struct attempt {
	const char *what;
	bool (*succeeds)(void);
	bool network_may;
} attempts[] = {
	{ "reading a file", reads_a_file, true },
	{ "writing a file", writes_a_file, false },
	{ "running a program", runs_a_program, false },
	{ "making a process", makes_a_process, false },
	{ "touching another process", touches_another_process, false },
	{ "leaving its place", leaves_its_place, false },
	{ "running written pages", runs_written_pages, true },
	{ "reaching the network", reaches_the_network, true },
	{ "reaching another UNIX socket", reaches_another_socket, true },
	{ "reaching an abstract UNIX socket", reaches_an_abstract_socket, true },
	{ "directing signals at another process", directs_signals_at_another_process, false },
};

/* -- Trying it in a process of its own ------------------------------------------------------------------------------ */

/* The index of the first attempt that succeeded, or 100 when none did. */
static int escape_from(const char *tcti)
{
	struct sandbox sandbox;
	struct muster_error err;
	bool is_networked = sandbox_class_of(tcti) == SANDBOX_NETWORK;
	if (!sandbox_enter(tcti, &sandbox, &err)) {
		fprintf(stderr, "%s\n", err.message);
		return 101;
	}
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		if ((!is_networked || !attempts[i].network_may) && attempts[i].succeeds())
			return (int)i;
	if (sandbox_class_of(tcti) == SANDBOX_SOCKET &&
	    !can_connect(sandbox.tcti + strlen("swtpm:path=")))
		return 102;
	if (sandbox_class_of(tcti) == SANDBOX_DEVICE && !can_open("/dev/null", O_RDWR))
		return 103;
	return sandbox_enter("device:/dev/zero", &sandbox, &err) ? 104 : 100;
}

static void expect_no_escape(const char *tcti)
{
	int status = 0;
	pid_t pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0)
		_exit(escape_from(tcti));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status))
		fail_msg("%s: ended by signal %d", tcti, WTERMSIG(status));
	if (WEXITSTATUS(status) < (int)ARRAY_SIZE(attempts))
		fail_msg("%s: %s succeeded", tcti, attempts[WEXITSTATUS(status)].what);
	assert_int_equal(WEXITSTATUS(status), 100);
}

static void nothing_escapes_from_a_device(void **state)
{
	(void)state;
	expect_no_escape("device:/dev/null");
}

static void nothing_escapes_from_a_socket(void **state)
{
	char tcti[96];
	(void)state;
	snprintf(tcti, sizeof(tcti), "swtpm:path=%s", own_socket);
	expect_no_escape(tcti);
}

static void nothing_but_the_network_is_left_to_a_network(void **state)
{
	(void)state;
	expect_no_escape("swtpm:host=127.0.0.1,port=1");
}

/* Each attempt can succeed where nothing forbids it, or it would prove nothing. */
static void outside_each_attempt_that_can_do_no_harm_succeeds(void **state)
{
	(void)state;
	assert_true(reads_a_file());
	assert_true(makes_a_process());
	assert_true(touches_another_process());
	assert_true(runs_written_pages());
	assert_true(reaches_the_network());
	assert_true(reaches_another_socket());
	assert_true(reaches_an_abstract_socket());
	assert_true(directs_signals_at_another_process());
}

/* -- Set-up ------------------------------------------------------------------------------------------------------- */

static int listen_at(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static int listen_at_path(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return listen_at(&address);
}

static int make_place(void **state)
{
	struct sockaddr_un abstract;
	char directory[64];
	(void)state;
	snprintf(place, sizeof(place), "/tmp/mu-XXXXXX");
	assert_non_null(mkdtemp(place));
	snprintf(directory, sizeof(directory), "%s/own", place);
	assert_int_equal(mkdir(directory, 0700), 0);
	snprintf(own_socket, sizeof(own_socket), "%s/own/s", place);
	snprintf(other_socket, sizeof(other_socket), "%s/o", place);
	snprintf(secret_file, sizeof(secret_file), "%s/secret", place);
	own_listener = listen_at_path(own_socket);
	listen_at_path(other_socket);
	abstract = abstract_address();
	listen_at(&abstract);
	CLEANUP(closep) int fd = open(secret_file, O_CREAT | O_WRONLY, 0600);
	return fd >= 0 ? 0 : -1;
}

static int remove_place(void **state)
{
	char own[64];
	(void)state;
	snprintf(own, sizeof(own), "%s/own", place);
	unlink(own_socket);
	unlink(other_socket);
	unlink(secret_file);
	rmdir(own);
	return rmdir(place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outside_each_attempt_that_can_do_no_harm_succeeds),
		cmocka_unit_test(nothing_escapes_from_a_device),
		cmocka_unit_test(nothing_escapes_from_a_socket),
		cmocka_unit_test(nothing_but_the_network_is_left_to_a_network),
	};
	return cmocka_run_group_tests(tests, make_place, remove_place);
}
