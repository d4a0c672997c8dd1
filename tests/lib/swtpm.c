#include "swtpm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "muster/cleanup.h"

#define START_TRIES 500 /* of 10 ms */

static pid_t spawn(const char *const *arguments)
{
	pid_t pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that is killed leaves no TPM behind */
	int null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execvp(arguments[0], (char *const *)(uintptr_t)arguments);
	_exit(127);
}

void run_program(const char *const *arguments)
{
	int status = 0;
	pid_t pid = spawn(arguments);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s failed (status 0x%x); is it installed?", arguments[0],
			 (unsigned)status);
}

static void write_file(const char *directory, const char *name, const char *format, ...)
	PRINTF_LIKE(3, 4);

static void write_file(const char *directory, const char *name, const char *format, ...)
{
	char path[128];
	va_list arguments;
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	va_start(arguments, format);
	vfprintf(file, format, arguments);
	va_end(arguments);
	assert_int_equal(fclose(file), 0);
}

/* Nothing goes to the system's state directory. */
static void manufacture(const char *directory)
{
	char config[64];
	write_file(
		directory, "options",
		"--platform-manufacturer Bench\n--platform-version 1.0\n--platform-model Test\n");
	write_file(directory, "ca.conf",
		   "statedir = %s\nsigningkey = %s/sign.pem\nissuercert = %s/issuer.pem\n"
		   "certserial = %s/serial\n",
		   directory, directory, directory, directory);
	write_file(directory, "setup.conf",
		   "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = %s/ca.conf\n"
		   "create_certs_tool_options = %s/options\nactive_pcr_banks = sha256\n",
		   directory, directory);
	snprintf(config, sizeof(config), "%s/setup.conf", directory);
	RUN("swtpm_setup", "--tpm2", "--tpmstate", directory, "--config", config,
	    "--create-ek-cert", "--overwrite");
}

static bool answers(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static void wait_for(const char *path)
{
	for (int i = 0; i < START_TRIES; i++) {
		if (answers(path))
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	fail_msg("swtpm does not answer at %s; is it installed?", path);
}

void swtpm_start(struct swtpm *swtpm, bool with_ek)
{
	char state[64], server[96], control[96];
	if (swtpm->directory[0] == '\0') {
		snprintf(swtpm->directory, sizeof(swtpm->directory), "/tmp/mu-XXXXXX");
		assert_non_null(mkdtemp(swtpm->directory));
		if (with_ek)
			manufacture(swtpm->directory);
	}
	snprintf(swtpm->socket, sizeof(swtpm->socket), "%s/s", swtpm->directory);
	snprintf(swtpm->tcti, sizeof(swtpm->tcti), "swtpm:path=%s", swtpm->socket);
	snprintf(state, sizeof(state), "dir=%s", swtpm->directory);
	snprintf(server, sizeof(server), "type=unixio,path=%s", swtpm->socket);
	snprintf(control, sizeof(control), "type=unixio,path=%s.ctrl", swtpm->socket);
	const char *const arguments[] = { "swtpm",
					  "socket",
					  "--tpm2",
					  "--tpmstate",
					  state,
					  "--server",
					  server,
					  "--ctrl",
					  control,
					  "--flags",
					  "not-need-init,startup-clear",
					  NULL };
	swtpm->pid = spawn(arguments);
	wait_for(swtpm->socket);
}

static void end(struct swtpm *swtpm)
{
	if (swtpm->pid <= 0)
		return;
	kill(swtpm->pid, SIGKILL);
	waitpid(swtpm->pid, NULL, 0);
	swtpm->pid = 0;
}

void swtpm_reset(struct swtpm *swtpm)
{
	end(swtpm);
	RUN("rm", "-f", swtpm->socket);
	swtpm_start(swtpm, false);
}

void swtpm_stop(struct swtpm *swtpm)
{
	end(swtpm);
	if (swtpm->directory[0] != '\0')
		RUN("rm", "-rf", swtpm->directory);
	swtpm->directory[0] = '\0';
}
