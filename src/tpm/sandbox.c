#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <seccomp.h>

#include "muster/cleanup.h"
#include "muster/encoding.h"
#include "muster/text.h"

#ifdef MUSTER_NO_SANDBOX
#define IS_SANDBOXED false
#else
#define IS_SANDBOXED true
#endif

DEFINE_FREEP(seccomp_freep, scmp_filter_ctx, seccomp_release)

enum sandbox_class sandbox_class_of(const char *tcti)
{
	if (text_has_prefix(tcti, "device:"))
		return SANDBOX_DEVICE;
	return text_has_prefix(tcti, "swtpm:path=") ? SANDBOX_SOCKET : SANDBOX_NETWORK;
}

static const char *const class_names[] = { "device", "socket", "network" };

/* -- What is needed later is loaded now ---------------------------------------------------------------------- */

/* The TCTI's library stays loaded, so that the loader finds it again without opening a file. */
static void load_libraries(const char *tcti)
{
	char name[64];
	uint8_t random;
	struct muster_error ignored;

	snprintf(name, sizeof(name), "libtss2-tcti-%.*s.so.0", (int)strcspn(tcti, ":"), tcti);
	(void)!dlopen(name, RTLD_NOW);
	OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	(void)!random_bytes(&random, 1, &ignored);
}

/* -- Root of its own ------------------------------------------------------------------------------------------ */

/* Nothing but name spaces keeps a program from the UNIX sockets of others: its root becomes the directory of the socket,
 * and sockets whose names are no paths are those of a network that has none. Where we are not root, that is root's
 * privilege in a user name space of our own. */
static bool leave_network(void)
{
	if (unshare(CLONE_NEWNET) == 0)
		return true;
	return errno == EPERM && unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

static bool change_root(const char *directory)
{
	if (chroot(directory) < 0 &&
	    (errno != EPERM || unshare(CLONE_NEWUSER) < 0 || chroot(directory) < 0))
		return false;
	/* Credentials that changed took these back. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0);
	return chdir("/") == 0;
}

/* What it got, in words. */
static const char *enter_directory(const char *tcti, struct sandbox *sandbox)
{
	const char *path = tcti + strlen("swtpm:path="), *slash = strrchr(path, '/');
	char directory[257];
	bool has_network;

	if (!slash || strchr(path, ','))
		return "";
	snprintf(directory, sizeof(directory), "%.*s/", (int)(slash - path), path);
	has_network = leave_network();
	if (!change_root(directory))
		return has_network ? ", own network" : "";
	snprintf(sandbox->tcti, sizeof(sandbox->tcti), "swtpm:path=%s", slash);
	return has_network ? ", own root and network" : ", own root";
}

/* -- Landlock ------------------------------------------------------------------------------------------------- */

#define LANDLOCK_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* All of ABI 1: each kernel with Landlock has it. */
#define LANDLOCK_ALL ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static bool allow_path(int rules, const char *path, uint64_t access)
{
	CLEANUP(closep) int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr beneath = { access, fd };

	/* What is not there need not be reached. */
	return fd < 0 ||
	       syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0;
}

static bool allow_paths(int rules, enum sandbox_class class, const char *tcti)
{
	switch (class) {
	case SANDBOX_DEVICE:
		return allow_path(rules, tcti + strlen("device:"),
				  LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
	case SANDBOX_SOCKET:
		return true;
	case SANDBOX_NETWORK:
		return allow_path(rules, "/etc", LANDLOCK_READ) &&
		       allow_path(rules, "/usr", LANDLOCK_READ) &&
		       allow_path(rules, "/run", LANDLOCK_READ);
	}
	return false;
}

static bool restrict_files(enum sandbox_class class, const char *tcti, bool *ret_is_on,
			   struct muster_error *err)
{
	const struct landlock_ruleset_attr all = { .handled_access_fs = LANDLOCK_ALL };

	*ret_is_on =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
	if (!*ret_is_on)
		return true;
	CLEANUP(closep)
	int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
	if (rules < 0 || !allow_paths(rules, class, tcti) ||
	    syscall(SYS_landlock_restrict_self, rules, 0) != 0)
		return muster_fail_errno(err, CAUSE_SANDBOX, errno, "giving up the file system");
	return true;
}

/* -- System calls --------------------------------------------------------------------------------------------- */

static const int always_allowed[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(lseek),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(shutdown),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(mlock),
	SCMP_SYS(mlock2),
	SCMP_SYS(munlock),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

static const int network_allowed[] = {
	SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
	SCMP_SYS(bind),        SCMP_SYS(uname),       SCMP_SYS(sendmmsg),
};

/* Others could make a descriptor send signals to any process of the user. */
static const int fcntl_allowed[] = { F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL };
static const int ioctl_allowed[] = { FIONREAD, FIONBIO };

static bool allow_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			return false;
	return true;
}

static bool allow_when(scmp_filter_ctx filter, int call, const struct scmp_arg_cmp *when)
{
	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, when) == 0;
}

static bool allow_commands(scmp_filter_ctx filter, int call, const int *commands, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct scmp_arg_cmp when = { .arg = 1,
						   .op = SCMP_CMP_EQ,
						   .datum_a = (scmp_datum_t)commands[i] };

		if (!allow_when(filter, call, &when))
			return false;
	}
	return true;
}

static bool allow_socket(scmp_filter_ctx filter, int family)
{
	const struct scmp_arg_cmp when = { .arg = 0,
					   .op = SCMP_CMP_EQ,
					   .datum_a = (scmp_datum_t)family };

	return allow_when(filter, SCMP_SYS(socket), &when);
}

static bool allow(scmp_filter_ctx filter, int call)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) == 0;
}

/* Pages are never both written and run; those of the network class may have to load a resolver. */
static bool allow_memory(scmp_filter_ctx filter, enum sandbox_class class)
{
	const struct scmp_arg_cmp when = { .arg = 2,
					   .op = SCMP_CMP_MASKED_EQ,
					   .datum_a = class == SANDBOX_NETWORK ? 0 : PROT_EXEC,
					   .datum_b = 0 };

	return allow_when(filter, SCMP_SYS(mmap), &when) &&
	       allow_when(filter, SCMP_SYS(mprotect), &when);
}

static bool allow_for_class(scmp_filter_ctx filter, enum sandbox_class class)
{
	switch (class) {
	case SANDBOX_DEVICE:
		return allow(filter, SCMP_SYS(openat));
	case SANDBOX_SOCKET:
		return allow_socket(filter, AF_UNIX) && allow(filter, SCMP_SYS(connect));
	case SANDBOX_NETWORK:
		return allow_socket(filter, AF_UNIX) && allow_socket(filter, AF_INET) &&
		       allow_socket(filter, AF_INET6) && allow_socket(filter, AF_NETLINK) &&
		       allow(filter, SCMP_SYS(connect)) && allow(filter, SCMP_SYS(openat)) &&
		       allow_all(filter, network_allowed, ARRAY_SIZE(network_allowed)) &&
		       allow_commands(filter, SCMP_SYS(ioctl), ioctl_allowed,
				      ARRAY_SIZE(ioctl_allowed));
	}
	return false;
}

static bool restrict_calls(enum sandbox_class class, struct muster_error *err)
{
	CLEANUP(seccomp_freep) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	if (!filter || !allow_all(filter, always_allowed, ARRAY_SIZE(always_allowed)) ||
	    !allow_commands(filter, SCMP_SYS(fcntl), fcntl_allowed, ARRAY_SIZE(fcntl_allowed)) ||
	    !allow_memory(filter, class) || !allow_for_class(filter, class))
		return muster_fail(err, CAUSE_SANDBOX, "composing the filter of system calls");
	int rc = seccomp_load(filter);
	return rc == 0 ||
	       muster_fail_errno(err, CAUSE_SANDBOX, -rc, "loading the filter of system calls");
}

/* -- All of it ------------------------------------------------------------------------------------------------- */

static bool enter(const char *tcti, struct sandbox *sandbox, struct muster_error *err)
{
	enum sandbox_class class = sandbox_class_of(tcti);
	const char *spaces = "";
	bool has_landlock = false;

	load_libraries(tcti);
	if (class == SANDBOX_SOCKET)
		spaces = enter_directory(tcti, sandbox);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return muster_fail_errno(err, CAUSE_SANDBOX, errno, "giving up new privileges");
	if (!restrict_files(class, tcti, &has_landlock, err) || !restrict_calls(class, err))
		return false;
	snprintf(sandbox->words, sizeof(sandbox->words), "%s: seccomp%s%s", class_names[class],
		 has_landlock ? ", Landlock" : "", spaces);
	return true;
}

static bool stay_outside(const char *tcti, struct sandbox *sandbox)
{
	snprintf(sandbox->words, sizeof(sandbox->words), "%s: none in this build",
		 class_names[sandbox_class_of(tcti)]);
	return true;
}

bool sandbox_enter(const char *tcti, struct sandbox *ret_sandbox, struct muster_error *err)
{
	static struct sandbox sandbox;
	static char entered_for[sizeof(sandbox.tcti)];

	if (entered_for[0] && strcmp(entered_for, tcti) != 0)
		return muster_fail(err, CAUSE_SANDBOX, "this worker can reach '%s' alone",
				   PRINTABLE(entered_for));
	if (!entered_for[0]) {
		snprintf(sandbox.tcti, sizeof(sandbox.tcti), "%s", tcti);
		if (!(IS_SANDBOXED ? enter(tcti, &sandbox, err) : stay_outside(tcti, &sandbox)))
			return false;
		if (IS_SANDBOXED)
			snprintf(entered_for, sizeof(entered_for), "%s", tcti);
	}
	*ret_sandbox = sandbox;
	return true;
}
