#include "pin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"

enum { MARKER_MAX = 4096 };

static bool find_directory(char **ret_directory, struct muster_error *err)
{
	CLEANUP(freep) char *state = NULL;

	if (!directory_state_find("refused PINs", &state, err))
		return false;
	*ret_directory = text_format("%s/pin-refusals", state);
	return *ret_directory || muster_fail_memory(err);
}

/* Of a token: what says that its PIN was refused, and the place that is held for that. */
struct paths {
	char *directory, *marker, *reserve;
};

static void paths_done(struct paths *paths)
{
	free(paths->directory);
	free(paths->marker);
	free(paths->reserve);
}

/* The file name is a digest of what identifies the token; its SO-PIN has one of its own. */
static bool find_paths(const struct pin_token *token, struct paths *paths, struct muster_error *err)
{
	CLEANUP(text_done) struct text identity = TEXT_MAX(4096);
	char digest[SHA256_HEX_SIZE];
	const char *role;

	if (!find_directory(&paths->directory, err))
		return false;
	text_addf(&identity, "%s\n%s\n%s\n%s", token->manufacturer, token->model, token->serial,
		  token->label);
	if (identity.failed)
		return muster_fail_memory(err);
	sha256_hex(digest, identity.data, identity.length);
	role = token->is_officer ? "-so" : "";
	paths->marker = text_format("%s/%.32s%s.json", paths->directory, digest, role);
	paths->reserve = text_format("%s/.%.32s%s.json", paths->directory, digest, role);
	return (paths->marker && paths->reserve) || muster_fail_memory(err);
}

/* Caller frees; NULL without memory. */
static char *marker_line(const struct pin_token *token, bool is_acknowledged, bool is_sent,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *marker = cJSON_CreateObject();
	char now[RFC3339_SIZE], *line = NULL;

	if (!marker || !json_add_text(marker, "token", token->label) ||
	    !json_add_text(marker, "serial", token->serial) ||
	    !json_add_text(marker, "manufacturer", token->manufacturer) ||
	    !json_add_text(marker, "model", token->model) ||
	    !json_add_bool(marker, "officer", token->is_officer) ||
	    !json_add_text(marker, "at", rfc3339_format(now, clock_wall_ms())) ||
	    !json_add_bool(marker, "acknowledged", is_acknowledged) ||
	    (is_sent && !json_add_bool(marker, "sent", true)) || !(line = json_print_line(marker)))
		muster_fail_memory(err);
	return line;
}

static bool write_marker(const char *path, const struct pin_token *token, bool is_acknowledged,
			 struct muster_error *err)
{
	CLEANUP(freep) char *line = marker_line(token, is_acknowledged, false, err);

	return line && file_write(path, line, strlen(line), 0600, true, err);
}

static bool read_marker(const char *path, cJSON **ret_marker, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes content = { 0 };

	return file_read(path, MARKER_MAX, &content, err) &&
	       json_parse((const char *)content.data, content.size, path, ret_marker, err);
}

/* -- What is remembered ---------------------------------------------------------------------------------------- */

/* A place that is held says that a PIN was sent to the token, and is locked by who waits for the answer. */
enum place { PLACE_FREE, PLACE_IN_USE, PLACE_LEFT };

/* One that is not whole was left before anything was sent; one that does not say so, by an older muster, too, mostly. */
static enum place what_is_left(const char *path)
{
	CLEANUP(cJSON_freep) cJSON *content = NULL;
	struct muster_error unreadable;

	return read_marker(path, &content, &unreadable) && json_bool(content, "sent", false)
		       ? PLACE_LEFT
		       : PLACE_FREE;
}

static enum place look_at_place(const char *path)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return PLACE_FREE;
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return PLACE_IN_USE;
	return what_is_left(path);
}

static enum pin_memory recall(const struct paths *paths, enum place place)
{
	CLEANUP(cJSON_freep) cJSON *marker = NULL;
	struct muster_error unreadable;

	if (access(paths->marker, F_OK) < 0 && errno == ENOENT)
		return place == PLACE_LEFT ? PIN_UNCERTAIN : PIN_NOTHING;
	/* A marker that cannot be read still says that there was a refusal. */
	return read_marker(paths->marker, &marker, &unreadable) &&
			       json_bool(marker, "acknowledged", false)
		       ? PIN_ACKNOWLEDGED
		       : PIN_REFUSED_BEFORE;
}

bool pin_recall(const struct pin_token *token, enum pin_memory *ret_memory,
		struct muster_error *err)
{
	CLEANUP(paths_done) struct paths paths = { 0 };

	if (!find_paths(token, &paths, err))
		return false;
	*ret_memory = recall(&paths, look_at_place(paths.reserve));
	return true;
}

bool pin_check(const struct pin_token *token, enum pin_memory memory, struct muster_error *err)
{
	const char *role = token->is_officer ? "SO-PIN" : "PIN";

	if (memory == PIN_UNCERTAIN)
		return muster_fail(
			err, CAUSE_PIN_UNCERTAIN,
			"token '%s' (serial %s) was sent a %s and its answer is not known, so no other is tried",
			PRINTABLE(token->label), PRINTABLE(token->serial), role);
	return memory != PIN_REFUSED_BEFORE ||
	       muster_fail(err, CAUSE_PIN_REMEMBERED,
			   "token '%s' (serial %s) refused its last %s, so no other is tried",
			   PRINTABLE(token->label), PRINTABLE(token->serial), role);
}

/* -- A try ----------------------------------------------------------------------------------------------------- */

/* Longer than a worker may take for a login. */
enum { TURN_MS = 35000, TURN_LOOK_MS = 20 };

static bool is_still_there(int fd, const char *path)
{
	struct stat held, named;

	return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_dev == named.st_dev &&
	       held.st_ino == named.st_ino;
}

/* False while another process waits for the token's answer. */
static bool take_turn(const char *path, int *ret_fd, struct muster_error *err)
{
	CLEANUP(closep)
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "writing '%s'",
					 PRINTABLE(path));
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		if (is_still_there(fd, path))
			*ret_fd = TAKE_FD(fd);
		return true;
	}
	return errno == EWOULDBLOCK || errno == EINTR ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "locking '%s'", PRINTABLE(path));
}

static bool wait_for_turn(const struct pin_token *token, const char *path, int *ret_fd,
			  struct muster_error *err)
{
	int64_t end_ms = clock_now_ms() + TURN_MS;

	*ret_fd = 0;
	for (;;) {
		if (!take_turn(path, ret_fd, err))
			return false;
		if (*ret_fd > 0)
			return true;
		if (clock_now_ms() >= end_ms)
			return muster_fail(err, CAUSE_LOGIN_BUSY,
					   "another process is logging in to token '%s'",
					   PRINTABLE(token->label));
		poll(NULL, 0, TURN_LOOK_MS);
	}
}

/* In place, under the lock. */
static bool fill_place(int fd, const char *path, const struct pin_token *token,
		       struct muster_error *err)
{
	CLEANUP(freep) char *line = marker_line(token, false, true, err);
	size_t length = line ? strlen(line) : 0;

	if (!line)
		return false;
	return (ftruncate(fd, 0) == 0 && pwrite(fd, line, length, 0) == (ssize_t)length &&
		fsync(fd) == 0) ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "writing '%s'", PRINTABLE(path));
}

static bool take_away(const char *path, struct muster_error *err)
{
	return unlink(path) == 0 || errno == ENOENT ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "removing '%s'", PRINTABLE(path));
}

/* What was left there from before says the same. An acknowledgement is spent before the PIN is sent: whatever happens then, it
 * allowed one try. */
static bool hold(const struct pin_token *token, const struct paths *paths,
		 const struct pin_try *attempt, struct muster_error *err)
{
	return (attempt->before == PIN_UNCERTAIN ||
		fill_place(attempt->lock, paths->reserve, token, err)) &&
	       (attempt->before != PIN_ACKNOWLEDGED || take_away(paths->marker, err)) &&
	       directory_sync(paths->directory, err);
}

static bool begin(const struct pin_token *token, bool is_typed, struct pin_try *attempt,
		  struct muster_error *err)
{
	CLEANUP(paths_done) struct paths paths = { 0 };

	if (!find_paths(token, &paths, err) || !directory_make(paths.directory, err) ||
	    !wait_for_turn(token, paths.reserve, &attempt->lock, err))
		return false;
	attempt->before = recall(&paths, what_is_left(paths.reserve));
	return (is_typed || pin_check(token, attempt->before, err)) &&
	       hold(token, &paths, attempt, err);
}

bool pin_try_begin(const struct pin_token *token, bool is_typed, struct pin_try *attempt,
		   struct muster_error *err)
{
	pin_try_done(attempt);
	if (begin(token, is_typed, attempt, err))
		return true;
	pin_try_done(attempt);
	return err->cause == CAUSE_PIN_REMEMBERED || err->cause == CAUSE_PIN_UNCERTAIN ||
	       err->cause == CAUSE_LOGIN_BUSY ||
	       muster_error_prefix(
		       err,
		       "no PIN is tried on token '%s', because its refusal could not be remembered",
		       PRINTABLE(token->label));
}

void pin_try_done(struct pin_try *attempt)
{
	if (attempt->lock > 0)
		close(attempt->lock);
	*attempt = (struct pin_try){ 0 };
}

/* As it was before. */
static bool take_back(const struct pin_token *token, const struct paths *paths,
		      enum pin_memory before, struct muster_error *err)
{
	if (before == PIN_UNCERTAIN)
		return true;
	return (before != PIN_ACKNOWLEDGED || write_marker(paths->marker, token, true, err)) &&
	       take_away(paths->reserve, err);
}

static bool end(const struct pin_token *token, const struct paths *paths,
		const struct pin_try *attempt, enum pin_answer answer, struct muster_error *err)
{
	switch (answer) {
	case PIN_WAS_ACCEPTED:
		return take_away(paths->marker, err) && take_away(paths->reserve, err);
	case PIN_WAS_REFUSED:
		return (rename(paths->reserve, paths->marker) == 0 &&
			directory_sync(paths->directory, err)) ||
		       write_marker(paths->marker, token, false, err);
	case PIN_WAS_NOT_TRIED:
		return take_back(token, paths, attempt->before, err);
	case PIN_ANSWER_UNKNOWN:
		break;
	}
	return true;
}

bool pin_try_end(const struct pin_token *token, struct pin_try *attempt, enum pin_answer answer,
		 struct muster_error *err)
{
	CLEANUP(paths_done) struct paths paths = { 0 };
	bool good = attempt->lock <= 0 ||
		    (find_paths(token, &paths, err) && end(token, &paths, attempt, answer, err));

	pin_try_done(attempt);
	return good || muster_error_prefix(err, "remembering what token '%s' said to the PIN",
					   PRINTABLE(token->label));
}

bool pin_remember_refusal(const struct pin_token *token, struct muster_error *err)
{
	CLEANUP(paths_done) struct paths paths = { 0 };

	return (find_paths(token, &paths, err) && directory_make(paths.directory, err) &&
		write_marker(paths.marker, token, false, err)) ||
	       muster_error_prefix(err, "remembering that token '%s' refused the PIN",
				   PRINTABLE(token->label));
}

bool pin_forget(const struct pin_token *token, struct muster_error *err)
{
	CLEANUP(paths_done) struct paths paths = { 0 };

	return find_paths(token, &paths, err) && take_away(paths.marker, err) &&
	       (look_at_place(paths.reserve) != PLACE_LEFT || take_away(paths.reserve, err));
}

/* -- Acknowledging ------------------------------------------------------------------------------------------- */

bool pin_allow(const struct pin_token *token, struct muster_error *err)
{
	CLEANUP(paths_done) struct paths paths = { 0 };

	return find_paths(token, &paths, err) && directory_make(paths.directory, err) &&
	       write_marker(paths.marker, token, true, err) &&
	       (look_at_place(paths.reserve) != PLACE_LEFT || take_away(paths.reserve, err));
}

/* A marker, or a place where an answer was waited for in vain. */
static bool says_something(const char *name, const char *path)
{
	return name[0] != '.' ||
	       (text_has_suffix(name, ".json") && look_at_place(path) == PLACE_LEFT);
}

static bool show_one(const char *path, pin_visit visit, void *context, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *marker = NULL;
	struct pin_token token;

	if (!read_marker(path, &marker, err))
		return false;
	token = (struct pin_token){
		.label = json_text(marker, "token"),
		.serial = json_text(marker, "serial"),
		.manufacturer = json_text(marker, "manufacturer"),
		.model = json_text(marker, "model"),
		.is_officer = json_bool(marker, "officer", false),
	};
	return visit(context, &token, err);
}

bool pin_remembered(pin_visit visit, void *context, struct muster_error *err)
{
	CLEANUP(freep) char *directory = NULL;
	CLEANUP(closedirp) DIR *stream = NULL;
	const struct dirent *item;

	if (!find_directory(&directory, err))
		return false;
	stream = opendir(directory);
	while (stream) {
		CLEANUP(freep) char *path = NULL;

		if (!directory_next(stream, directory, &item, err))
			return false;
		if (!item)
			break;
		path = text_format("%s/%s", directory, item->d_name);
		if (!path)
			return muster_fail_memory(err);
		if (says_something(item->d_name, path) && !show_one(path, visit, context, err))
			return false;
	}
	return true;
}
