#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <malloc.h>
#include <openssl/crypto.h>

#include "muster/log.h"
#include "muster/process.h"
#include "muster/secret.h"
#include "muster/text.h"

/* -- Wiping allocators --------------------------------------------------------------------------------- */

void *wiping_malloc(size_t size)
{
	return malloc(size);
}

void *wiping_calloc(size_t count, size_t size)
{
	return calloc(count, size);
}

void wiping_free(void *pointer)
{
	if (pointer)
		secret_wipe(pointer, malloc_usable_size(pointer));
	free(pointer);
}

void *wiping_realloc(void *pointer, size_t size)
{
	size_t old_size = pointer ? malloc_usable_size(pointer) : 0;
	void *moved;

	if (!pointer)
		return malloc(size);
	if (size == 0) {
		wiping_free(pointer);
		return NULL;
	}
	if (size <= old_size && size > old_size / 2)
		return pointer;
	/* realloc would leave the old copy behind. */
	moved = malloc(size);
	if (!moved)
		return NULL;
	memcpy(moved, pointer, size < old_size ? size : old_size);
	wiping_free(pointer);
	return moved;
}

char *wiping_strdup(const char *text)
{
	return strdup(text);
}

static void *openssl_malloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return size > 0 ? malloc(size) : NULL;
}

static void *openssl_realloc(void *pointer, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return wiping_realloc(pointer, size);
}

static void openssl_free(void *pointer, const char *file, int line)
{
	(void)file;
	(void)line;
	wiping_free(pointer);
}

/* -- Environment --------------------------------------------------------------------------------------- */

/* What stays besides MUSTER_*. Everything else could change what a library does behind our back. */
static const char *const allowed_variables[] = {
	"PATH",
	"HOME",
	"USER",
	"LOGNAME",
	"LANG",
	"LC_ALL",
	"TZ",
	"TERM",
	"COLUMNS",
	"NO_COLOR",
	"CLICOLOR_FORCE",
	"PAGER",
	"EDITOR",
	"TMPDIR",
	"XDG_CONFIG_HOME",
	"XDG_STATE_HOME",
	"XDG_RUNTIME_DIR",
	"CREDENTIALS_DIRECTORY",
	"AZURE_CONFIG_DIR",
	"NOTIFY_SOCKET",
	"JOURNAL_STREAM",
	"SYSTEMD_EXEC_PID",
	"SOFTHSM2_CONF",
	"TPM2TOOLS_TCTI",
	"SSL_CERT_FILE",
	"SOURCE_DATE_EPOCH",
	/* Read before main(); removing them here would change nothing but the reports of test runs. */
	"ASAN_OPTIONS",
	"UBSAN_OPTIONS",
	"LSAN_OPTIONS",
};

/* Worth a word to the operator when they were set. */
static const char *const telling_variables[] = {
	"SSLKEYLOGFILE",   "TSS2_LOG",        "PKCS11SPY",       "PKCS11SPY_OUTPUT",
	"OPENSSL_CONF",    "OPENSSL_MODULES", "OPENSSL_ENGINES", "LD_PRELOAD",
	"LD_LIBRARY_PATH", "P11_KIT_DEBUG",   "HTTPS_PROXY",     "https_proxy",
	"ALL_PROXY",       "all_proxy",       "CURL_HOME",       "LD_AUDIT",
};

static const char *removed_variables[ARRAY_SIZE(telling_variables) + 1];
static char **given_variables; /* all of them, as at the start; NULL: nothing was removed */

static bool is_allowed(const char *variable, size_t name_length)
{
	if (text_has_prefix(variable, "MUSTER_"))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(allowed_variables); i++)
		if (strlen(allowed_variables[i]) == name_length &&
		    strncmp(allowed_variables[i], variable, name_length) == 0)
			return true;
	return false;
}

static void give_up(const char *what)
{
	fprintf(stderr, "%smuster: [E%u] %s: %s\n", log_priority(LOG_ERROR),
		errno == ENOMEM ? CAUSE_MEMORY : CAUSE_INTERNAL, what, strerror(errno));
	_exit(MUSTER_E_INTERNAL);
}

static void remember_environment(void)
{
	size_t count = 0;

	while (environ[count])
		count++;
	given_variables = calloc(count + 1, sizeof(*given_variables));
	if (!given_variables)
		give_up("remembering the environment");
	memcpy(given_variables, environ, count * sizeof(*given_variables));
}

static void scrub_environment(void)
{
	char **kept = environ;
	size_t removed = 0;

	remember_environment();
	for (size_t i = 0; i < ARRAY_SIZE(telling_variables); i++)
		if (getenv(telling_variables[i]))
			removed_variables[removed++] = telling_variables[i];
	for (char **variable = environ; *variable; variable++)
		if (is_allowed(*variable, strcspn(*variable, "=")))
			*kept++ = *variable;
	*kept = NULL;
}

bool process_ignores(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

const char *const *process_removed_variables(void)
{
	return removed_variables;
}

const char *process_variable_given(const char *name)
{
	size_t length = strlen(name);

	if (!given_variables)
		return getenv(name);
	for (char **variable = given_variables; *variable; variable++)
		if (strncmp(*variable, name, length) == 0 && (*variable)[length] == '=')
			return *variable + length + 1;
	return NULL;
}

bool process_variable_gave(const char *value, const char *variable)
{
	return value && value == getenv(variable);
}

const char *process_removed_proxy(void)
{
	for (const char *const *name = removed_variables; *name; name++)
		if (strcasestr(*name, "_proxy"))
			return *name;
	return NULL;
}

bool process_is_main(void)
{
	const char *main_process = getenv("SYSTEMD_EXEC_PID");
	char own[16];

	snprintf(own, sizeof(own), "%d", (int)getpid());
	return getpid() == 1 || (main_process && strcmp(main_process, own) == 0);
}

/* -- All of it ----------------------------------------------------------------------------------------- */

/* A file opened later must not become standard output by accident. Each is the wrong way round: what is written to one that was
 * closed is lost, and has to fail. */
static void fill_standard_descriptors(void)
{
	static const int modes[] = {
		[STDIN_FILENO] = O_WRONLY,
		[STDOUT_FILENO] = O_RDONLY,
		[STDERR_FILENO] = O_RDONLY,
	};

	for (int fd = 0; fd < (int)ARRAY_SIZE(modes); fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
			give_up("opening /dev/null");
}

void process_harden(void)
{
	scrub_environment();
	process_harden_worker();
}

void process_harden_worker(void)
{
	static cJSON_Hooks hooks = { .malloc_fn = wiping_malloc, .free_fn = wiping_free };
	struct rlimit none = { 0, 0 };

	log_set_stream(getenv("JOURNAL_STREAM"));
	fill_standard_descriptors();
	/* The TSS library writes to standard error by itself, at higher levels with secrets in hex. An empty
	 * configuration shuts the system's OpenSSL modules out. */
	if (setenv("TSS2_LOG", "all+none", 1) < 0 || setenv("OPENSSL_CONF", "/dev/null", 1) < 0)
		give_up("setting the environment");
	umask(077);
	/* What cannot be written is an error of the writer, not its end. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (!secret_wiping_is_off()) {
		if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
			give_up("switching core dumps off");
	}
	if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
		give_up("putting a wiping allocator under OpenSSL");
	cJSON_InitHooks(&hooks);
}
