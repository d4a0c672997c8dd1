/* Secrets by descriptor, from the service manager and from a person at the terminal. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "muster/secret.h"
#include "muster/text.h"

static const char fd_scheme[] = "fd:", credential_scheme[] = "credential:",
		  prompt_word[] = "prompt";

bool secret_source_is_file(const char *source)
{
	return !text_has_prefix(source, fd_scheme) && !text_has_prefix(source, credential_scheme) &&
	       strcmp(source, prompt_word) != 0;
}

static bool read_all(struct secret *secret, int fd, size_t max, const char *what,
		     struct muster_error *err)
{
	if (!secret_read_fd(secret, fd, max, what, err))
		return false;
	secret_chomp(secret);
	return secret->size > 0 || muster_fail(err, CAUSE_SECRET_INVALID, "%s is empty", what);
}

/* -- Descriptors --------------------------------------------------------------------------------------- */

static bool read_descriptor(struct secret *secret, const char *number, size_t max, const char *what,
			    struct muster_error *err)
{
	int64_t fd;

	if (!text_to_int64(number, 0, INT_MAX, &fd) || fcntl((int)fd, F_GETFD) < 0)
		return muster_fail(err, CAUSE_SECRET_INVALID,
				   "%s: '%s' is not the number of an open descriptor", what,
				   PRINTABLE(number));
	return read_all(secret, (int)fd, max, what, err);
}

/* -- The service manager's credentials ----------------------------------------------------------------- */

static bool is_credential_name(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isascii((unsigned char)*c) ||
		    (!isalnum((unsigned char)*c) && !strchr("._-", *c)))
			return false;
	return *name && *name != '.';
}

/* The manager may let this user in by an access control list, whose mask shows as rights of the group. */
static bool is_private(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	       (status.st_uid == 0 || status.st_uid == geteuid()) && (status.st_mode & 027) == 0;
}

static bool open_credential(const char *name, const char *what, int *ret_fd,
			    struct muster_error *err)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	CLEANUP(freep) char *path = NULL;
	CLEANUP(closep) int fd = -1;

	if (!is_credential_name(name))
		return muster_fail(err, CAUSE_SECRET_INVALID,
				   "%s: '%s' cannot be the name of a credential", what,
				   PRINTABLE(name));
	if (!directory || directory[0] != '/')
		return muster_fail(err, CAUSE_INPUT_NOT_FOUND,
				   "%s: the service manager has given no credentials to this "
				   "program, so not '%s' either",
				   what, PRINTABLE(name));
	path = text_format("%s/%s", directory, name);
	if (!path)
		return muster_fail_memory(err);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno,
					 "%s: opening the credential '%s'", what, PRINTABLE(name));
	if (!is_private(fd))
		return muster_fail(err, CAUSE_SECRET_FILE_MODE,
				   "%s: the credential '%s' is readable by others", what,
				   PRINTABLE(name));
	*ret_fd = TAKE_FD(fd);
	return true;
}

int secret_open_credential(const char *name, const char *what, struct muster_error *err)
{
	int fd;

	return open_credential(name, what, &fd, err) ? fd : -1;
}

static bool read_credential(struct secret *secret, const char *name, size_t max, const char *what,
			    struct muster_error *err)
{
	CLEANUP(closep) int fd = secret_open_credential(name, what, err);

	return fd >= 0 && read_all(secret, fd, max, what, err);
}

/* -- The terminal -------------------------------------------------------------------------------------- */

enum { KEY_INTERRUPT = 3, KEY_END = 4, KEY_BACKSPACE = 8, KEY_KILL = 21, KEY_DELETE = 127 };
enum { SIGNAL_LOOK_MS = 200 };

static void say(int tty, const char *words)
{
	ssize_t ignored = write(tty, words, strlen(words));

	(void)ignored;
}

static bool is_asked_to_stop(const sigset_t *watched)
{
	sigset_t pending;

	if (sigpending(&pending) < 0)
		return true;
	for (int number = 1; number < NSIG; number++)
		if (sigismember(watched, number) == 1 && sigismember(&pending, number) == 1)
			return true;
	return false;
}

/* Keys as they are pressed, so that not even the terminal's own line buffer holds the secret. False: no more. */
static bool read_key(int tty, const sigset_t *watched, char *ret_key)
{
	struct pollfd wait = { .fd = tty, .events = POLLIN };

	while (!is_asked_to_stop(watched)) {
		int ready = poll(&wait, 1, SIGNAL_LOOK_MS);

		if (ready < 0 && errno != EINTR)
			return false;
		if (ready > 0)
			return read(tty, ret_key, 1) == 1 && *ret_key != KEY_INTERRUPT;
	}
	return false;
}

static bool read_line(struct secret *line, int tty, const sigset_t *watched)
{
	size_t used = 0, room = line->size;
	char key = 0;

	while (read_key(tty, watched, &key)) {
		if (key == '\n' || key == '\r' || key == KEY_END) {
			secret_shrink(line, used);
			return true;
		}
		if ((key == KEY_BACKSPACE || key == KEY_DELETE) && used > 0)
			used--;
		else if (key == KEY_KILL)
			used = 0;
		else if ((unsigned char)key >= ' ' && key != KEY_DELETE && used < room)
			line->data[used++] = (uint8_t)key;
	}
	return false;
}

static bool ask(struct secret *line, int tty, const char *what, const sigset_t *watched)
{
	bool is_read;

	say(tty, what);
	say(tty, ": ");
	is_read = read_line(line, tty, watched);
	say(tty, "\n");
	return is_read;
}

/* A terminal that does a part of what it is told says that it did it. */
static bool silence(int tty, const struct termios *before)
{
	struct termios silent = *before, now;

	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG);
	silent.c_cc[VMIN] = 1;
	silent.c_cc[VTIME] = 0;
	return tcsetattr(tty, TCSAFLUSH, &silent) == 0 && tcgetattr(tty, &now) == 0 &&
	       !(now.c_lflag & (ECHO | ICANON));
}

static bool ask_silently(struct secret *line, int tty, const char *what, struct muster_error *err)
{
	struct termios before;
	sigset_t watched, mask;
	bool is_silent, is_read;

	if (tcgetattr(tty, &before) < 0)
		return muster_fail_errno(err, CAUSE_PROMPT_UNAVAILABLE, errno,
					 "asking for %s at the terminal", what);
	/* A signal must not end the program while the terminal is silent. */
	sigemptyset(&watched);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGHUP);
	sigprocmask(SIG_BLOCK, &watched, &mask);
	is_silent = silence(tty, &before);
	is_read = is_silent && ask(line, tty, what, &watched);
	tcsetattr(tty, TCSAFLUSH, &before);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (!is_silent)
		return muster_fail(err, CAUSE_PROMPT_UNAVAILABLE,
				   "%s is to be typed, and the terminal does not turn its echo off",
				   what);
	return is_read || muster_fail(err, CAUSE_INTERRUPTED, "%s was not typed to the end", what);
}

static bool read_prompt(struct secret *secret, size_t max, const char *what,
			struct muster_error *err)
{
	CLEANUP(secret_done) struct secret line = { 0 };
	CLEANUP(closep) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (tty < 0)
		return muster_fail(err, CAUSE_PROMPT_UNAVAILABLE,
				   "%s is to be typed, and there is no terminal", what);
	if (!secret_new(&line, max, err) || !ask_silently(&line, tty, what, err))
		return false;
	if (line.size == 0)
		return muster_fail(err, CAUSE_SECRET_INVALID, "%s is empty", what);
	secret_done(secret);
	*secret = line;
	line = (struct secret){ 0 };
	return true;
}

/* -- Any of them --------------------------------------------------------------------------------------- */

bool secret_read_source(struct secret *secret, const char *source, size_t max, const char *what,
			struct muster_error *err)
{
	if (text_has_prefix(source, fd_scheme))
		return read_descriptor(secret, source + strlen(fd_scheme), max, what, err);
	if (text_has_prefix(source, credential_scheme))
		return read_credential(secret, source + strlen(credential_scheme), max, what, err);
	if (strcmp(source, prompt_word) == 0)
		return read_prompt(secret, max, what, err);
	return secret_read_file(secret, source, max, err) ||
	       muster_error_prefix(err, "reading %s", what);
}
