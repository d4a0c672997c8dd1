#include "hook-send.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/identity.h"
#include "muster/json.h"

#include "network.h"

enum { TIMEOUT_DEFAULT_S = 10, REPLY_MAX = 64 * 1024, SECRET_FILE_MAX = 4096 };

static int64_t timeout_ms(const struct config_hook *hook)
{
	return (hook->timeout_s ? hook->timeout_s : TIMEOUT_DEFAULT_S) * 1000;
}

/* By CloudEvents' extension of that name: texts that sort. */
static char *sequence_of(const cJSON *event)
{
	int64_t number;

	return json_int64(event, "number", &number) ? text_format("%016lld", (long long)number)
						    : NULL;
}

/* As CloudEvents 1.0 has it. */
static char *compose(const cJSON *event)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) char *type = text_format("muster.%s", json_text(event, "event"));
	CLEANUP(freep) char *sequence = sequence_of(event);
	/* An event that an earlier muster left has none. */
	const char *source = json_text(event, "source");

	if (!object || !type || !sequence || !json_add_text(object, "specversion", "1.0") ||
	    !json_add_text(object, "id", json_text(event, "id")) ||
	    !json_add_text(object, "source", source ? source : "muster") ||
	    !json_add_text(object, "type", type) ||
	    !json_add_text(object, "time", json_text(event, "at")) ||
	    !json_add_text(object, "sequence", sequence) ||
	    !json_add_item(object, "data", cJSON_Duplicate(json_get(event, "data"), true)))
		return NULL;
	return json_print_line(object);
}

/* -- A command ----------------------------------------------------------------------------------------------------- */

/* The event as a file that nobody can keep waiting for its reader. */
static int open_input(const char *text)
{
	CLEANUP(closep) int fd = memfd_create("event", MFD_CLOEXEC);
	size_t size = strlen(text);
	int taken = fd;

	if (fd < 0 || write(fd, text, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	fd = -1;
	return taken;
}

/* Between fork and exec. */
static _Noreturn void become_command(char *const *arguments, int input)
{
	static const char *const variables[] = { "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL };
	const struct sigaction standard = { .sa_handler = SIG_DFL };
	int null = open("/dev/null", O_RDWR);

	setsid();
	sigaction(SIGPIPE, &standard, NULL);
	sigaction(SIGXFSZ, &standard, NULL);
	if (null < 0 || dup2(input, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
	    close_range(3, ~0U, 0) < 0)
		_exit(127);
	execve(arguments[0], arguments, (char *const *)(uintptr_t)variables);
	_exit(127);
}

/* A status of its own is about the event; 75 is what sysexits.h has for another time, 126 and 127 say that it did not run. */
static bool judge_end(const struct config_hook *hook, int status, struct muster_error *err)
{
	bool has_ended = WIFEXITED(status);
	int number = has_ended ? WEXITSTATUS(status) : WTERMSIG(status);
	bool is_refusal = has_ended && number < 126 && number != EX_TEMPFAIL;

	return (has_ended && number == 0) ||
	       muster_fail(err, is_refusal ? CAUSE_HOOK_REFUSED : CAUSE_HOOK_FAILED,
			   "hook '%s' ended with %s %d", PRINTABLE(hook->name),
			   has_ended ? "status" : "signal", number);
}

/* Whatever it started goes with it. */
static bool wait_for_command(const struct config_hook *hook, pid_t pid, struct muster_error *err)
{
	CLEANUP(closep) int fd = pidfd_open(pid, 0);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	int64_t deadline = clock_now_ms() + timeout_ms(hook);
	int status, ready;

	do {
		int64_t left = deadline - clock_now_ms();

		ready = poll(&wait, 1, left > 0 ? (int)left : 0);
	} while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		kill(-pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0)
		return muster_fail_errno(err, CAUSE_HOOK_FAILED, errno, "waiting for hook '%s'",
					 PRINTABLE(hook->name));
	if (ready <= 0)
		return muster_fail(err, CAUSE_HOOK_FAILED, "hook '%s' did not end in %lld seconds",
				   PRINTABLE(hook->name), (long long)timeout_ms(hook) / 1000);
	return judge_end(hook, status, err);
}

static bool run_command(const struct config_hook *hook, const char *text, struct muster_error *err)
{
	CLEANUP(closep) int input = open_input(text);
	CLEANUP(freep) char **arguments = calloc(hook->command.count + 1, sizeof(*arguments));
	pid_t pid;

	if (!arguments)
		return muster_fail_memory(err);
	memcpy(arguments, hook->command.items, hook->command.count * sizeof(*arguments));
	if (!file_check_trusted(arguments[0], err))
		return false;
	pid = input < 0 ? -1 : fork();
	if (pid == 0)
		become_command(arguments, input);
	if (pid < 0)
		return muster_fail_errno(err, CAUSE_HOOK_FAILED, errno, "starting hook '%s'",
					 PRINTABLE(hook->name));
	return wait_for_command(hook, pid, err);
}

/* -- A webhook ----------------------------------------------------------------------------------------------------- */

bool hook_secret_read(const struct config_hook *hook, struct secret *ret_key,
		      struct muster_error *err)
{
	static const char prefix[] = "whsec_";
	CLEANUP(secret_done) struct secret text = { 0 };

	if (!secret_read_file(&text, hook->secret_file, SECRET_FILE_MAX, err))
		return false;
	if (text.size >= strlen(prefix) && memcmp(text.data, prefix, strlen(prefix)) == 0) {
		memmove(text.data, text.data + strlen(prefix), text.size - strlen(prefix));
		secret_shrink(&text, text.size - strlen(prefix));
	}
	return identity_master_decode(&text, hook->secret_file, ret_key, err);
}

/* As Standard Webhooks has it: "v1," and the HMAC-SHA256 over id, time and body with dots between. */
static bool sign(const struct config_hook *hook, const char *id, const char *seconds,
		 const char *body, struct http_request *request, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret key = { 0 };
	CLEANUP(freep) char *signed_text = text_format("%s.%s.%s", id, seconds, body);
	CLEANUP(freep) char *encoded = NULL;
	CLEANUP(freep) char *value = NULL;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned size;

	if (!hook->secret_file)
		return true;
	if (!signed_text)
		return muster_fail_memory(err);
	if (!hook_secret_read(hook, &key, err))
		return false;
	if (!HMAC(EVP_sha256(), key.data, (int)key.size, (const uint8_t *)signed_text,
		  strlen(signed_text), digest, &size))
		return muster_fail(err, CAUSE_CRYPTO, "signing a webhook");
	encoded = base64_encode(digest, size);
	value = encoded ? text_format("v1,%s", encoded) : NULL;
	return value ? http_request_header(request, "webhook-signature", value, err)
		     : muster_fail_memory(err);
}

static bool fill_request(const struct config_hook *hook, const cJSON *event, const char *body,
			 struct http_request *request, struct muster_error *err)
{
	const char *id = json_text(event, "id");
	char seconds[24];

	snprintf(seconds, sizeof(seconds), "%lld", (long long)clock_wall_ms() / 1000);
	text_add(&request->url, hook->webhook);
	return text_ok(&request->url, err) &&
	       secret_copy(&request->body, body, strlen(body), err) &&
	       http_request_header(request, "webhook-id", id, err) &&
	       http_request_header(request, "webhook-timestamp", seconds, err) &&
	       sign(hook, id, seconds, body, request, err);
}

/* Of the others the next event would get the same. */
static bool is_about_event(int status)
{
	static const int statuses[] = { 400, 406, 409, 411, 412, 413, 414, 415, 422, 431 };

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (statuses[i] == status)
			return true;
	return false;
}

static bool call_webhook(const struct config_hook *hook, const cJSON *event, const char *body,
			 struct http *http, struct muster_error *err)
{
	CLEANUP(http_request_done)
	struct http_request request = { .method = HTTP_POST,
					.content_type =
						"application/cloudevents+json; charset=UTF-8",
					.deadline_ms = timeout_ms(hook),
					.connect_timeout_ms = timeout_ms(hook),
					.reply_max = REPLY_MAX };
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };

	if (!fill_request(hook, event, body, &request, err) ||
	    !http_fetch(http, &request, &answer, err))
		return false;
	if (answer.outcome != HTTP_ANSWERED)
		return muster_fail(err, CAUSE_HOOK_FAILED, "hook '%s': %s", PRINTABLE(hook->name),
				   answer.error.message);
	return (answer.status >= 200 && answer.status <= 299) ||
	       muster_fail(err,
			   is_about_event(answer.status) ? CAUSE_HOOK_REFUSED : CAUSE_HOOK_FAILED,
			   "hook '%s' was answered %d", PRINTABLE(hook->name), answer.status);
}

/* -- A folder ------------------------------------------------------------------------------------------------------ */

/* One that is there already was put there before, by a process that did not live to say so. */
static bool drop(const struct config_hook *hook, const cJSON *event, const char *text,
		 struct muster_error *err)
{
	CLEANUP(freep)
	char *path = text_format("%s/%s-%s.json", hook->folder, json_text(event, "event"),
				 json_text(event, "id"));

	if (!path)
		return muster_fail_memory(err);
	return file_write(path, text, strlen(text), 0640, false, err) ||
	       err->cause == CAUSE_OUTPUT_EXISTS;
}

bool hook_send(const struct config *config, const struct config_hook *hook, const cJSON *event,
	       struct http **http, struct muster_error *err)
{
	CLEANUP(freep) char *text = compose(event);

	if (!text)
		return muster_fail_memory(err);
	if (hook->folder)
		return drop(hook, event, text, err);
	if (hook->command.count > 0)
		return run_command(hook, text, err);
	if (!*http) {
		const struct http_terms terms = network_terms(&(struct http_terms){ 0 }, config);

		*http = http_new(&terms, err);
	}
	return *http && call_webhook(hook, event, text, *http, err);
}
