/* Where a PIN comes from. Nothing here reads one: what is opened goes to the worker. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "muster/file.h"
#include "muster/process.h"
#include "muster/secret.h"
#include "muster/station-token.h"

#include "login.h"

#define CREDENTIAL "hsm-pin"

/* -- A person ------------------------------------------------------------------------------------------------- */

/* True when a whole line lies in the terminal; false after a signal, which stays pending. */
static bool wait_for_line(int terminal, int signals, struct muster_error *err)
{
	struct pollfd waits[] = { { .fd = terminal, .events = POLLIN },
				  { .fd = signals, .events = POLLIN } };

	for (;;) {
		if (poll(waits, ARRAY_SIZE(waits), -1) < 0 && errno != EINTR)
			return muster_fail_errno(err, CAUSE_PIN_MISSING, errno,
						 "waiting for the PIN");
		if (waits[1].revents)
			return muster_fail(err, CAUSE_INTERRUPTED,
					   "stopped while asking for a PIN");
		if (waits[0].revents)
			return true;
	}
}

/* A terminal that does a part of what it is told says that it did it. */
static bool turn_echo_off(int terminal, const struct termios *before)
{
	struct termios silent = *before, now;

	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	silent.c_lflag |= ICANON | ISIG;
	return tcsetattr(terminal, TCSAFLUSH, &silent) == 0 && tcgetattr(terminal, &now) == 0 &&
	       !(now.c_lflag & ECHO);
}

static bool may_lie_there; /* a line was typed that a worker is to read */

void station_forget_typed(void)
{
	CLEANUP(closep) int terminal = -1;

	if (!may_lie_there)
		return;
	terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (terminal >= 0)
		tcflush(terminal, TCIFLUSH);
	may_lie_there = false;
}

static bool ask(int terminal, const char *question, int signals, struct muster_error *err)
{
	struct termios before;
	bool is_there;

	if (tcgetattr(terminal, &before) < 0)
		return muster_fail_errno(err, CAUSE_PIN_MISSING, errno, "asking for the PIN");
	if (!turn_echo_off(terminal, &before)) {
		tcsetattr(terminal, TCSANOW, &before);
		return muster_fail(
			err, CAUSE_PIN_MISSING,
			"a PIN is to be typed, and the terminal does not turn its echo off");
	}
	dprintf(terminal, "%s", question);
	may_lie_there = true;
	is_there = wait_for_line(terminal, signals, err);
	/* The line stays where it is: only what is typed from now on is echoed. */
	tcsetattr(terminal, TCSANOW, &before);
	dprintf(terminal, "\n");
	return is_there;
}

/* The terminal with the line that was typed still in it. A signal meanwhile is delivered when the echo is back. */
int login_ask(const char *question, struct muster_error *err)
{
	CLEANUP(closep) int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	CLEANUP(closep) int signals = -1;
	sigset_t watched, before;
	bool is_there;

	if (!isatty(STDIN_FILENO)) {
		muster_fail(err, CAUSE_PIN_MISSING, "no PIN was given, and nobody can be asked");
		return -1;
	}
	if (terminal < 0) {
		muster_fail_errno(err, CAUSE_PIN_MISSING, errno,
				  "opening the terminal to ask for a PIN");
		return -1;
	}
	sigemptyset(&watched);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGHUP);
	sigprocmask(SIG_BLOCK, &watched, &before);
	signals = signalfd(-1, &watched, SFD_CLOEXEC);
	is_there = signals >= 0
			   ? ask(terminal, question, signals, err)
			   : muster_fail_errno(err, CAUSE_INTERNAL, errno, "waiting for signals");
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (!is_there)
		return -1;
	return TAKE_FD(terminal);
}

/* -- Files and descriptors ------------------------------------------------------------------------------------ */

static int open_file(const char *path, struct muster_error *err)
{
	if (text_has_prefix(path, "file://"))
		path += strlen("file://");
	else if (text_has_prefix(path, "file:"))
		path += strlen("file:");
	return secret_open_file(path, err);
}

static int duplicate(int64_t fd, struct muster_error *err)
{
	int copy = fd > INT_MAX ? -1 : fcntl((int)fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	if (copy < 0)
		muster_fail(err, CAUSE_PIN_MISSING, "descriptor %lld is not open for reading a PIN",
			    (long long)fd);
	return copy;
}

/* The environment's file is for whatever token; what a URI says is for its own. */
static const char *file_of(const struct station_pin *pin, const struct token_uri *uri)
{
	bool is_asked_for = pin->file && !process_variable_gave(pin->file, "MUSTER_PIN_FILE");

	return uri->pin_source && !is_asked_for ? uri->pin_source : pin->file;
}

bool login_has_pin(const struct station_pin *pin, const struct token_uri *uri)
{
	CLEANUP(freep) char *credential = credential_path(CREDENTIAL);

	return pin->fd > 0 || pin->file || uri->pin_source || credential;
}

int login_open_pin(const struct station_pin *pin, const struct token_uri *uri, const char *question,
		   bool *ret_typed, struct muster_error *err)
{
	CLEANUP(freep) char *credential = credential_path(CREDENTIAL);

	*ret_typed = false;
	if (pin->fd > 0)
		return duplicate(pin->fd, err);
	if (file_of(pin, uri))
		return open_file(file_of(pin, uri), err);
	if (credential)
		return secret_open_credential(CREDENTIAL, "the PIN", err);
	*ret_typed = true;
	return login_ask(question, err);
}
