#include "hook-spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"

enum { EVENT_FILE_MAX = 64 * 1024 };
#define SUFFIX ".json"
#define PROMISED_SUFFIX SUFFIX ".owed"

static char *path_of(const char *directory, const cJSON *event, const char *suffix)
{
	int64_t number = 0;

	if (!json_int64(event, "number", &number))
		return NULL;
	return text_format("%s/%013lld-%s%s", directory, (long long)number, json_text(event, "id"),
			   suffix);
}

static bool write_as(const char *directory, const cJSON *event, const char *suffix,
		     struct muster_error *err)
{
	CLEANUP(freep) char *path = path_of(directory, event, suffix);
	CLEANUP(freep) char *line = json_print_line(event);

	if (!path || !line)
		return muster_fail_memory(err);
	return file_write(path, line, strlen(line), 0600, true, err);
}

bool hook_spool_write(const char *directory, const cJSON *event, struct muster_error *err)
{
	return write_as(directory, event, SUFFIX, err);
}

bool hook_spool_promise(const char *directory, const cJSON *event, struct muster_error *err)
{
	return write_as(directory, event, PROMISED_SUFFIX, err);
}

static bool set_number(cJSON *event, int64_t number)
{
	cJSON_DeleteItemFromObjectCaseSensitive(event, "number");
	return json_add_int64(event, "number", number);
}

/* A power cut may take the new name away again: then it is promised as before. */
bool hook_spool_keep(const char *directory, cJSON *event, int64_t number, struct muster_error *err)
{
	CLEANUP(freep) char *promised = path_of(directory, event, PROMISED_SUFFIX);
	CLEANUP(freep) char *path = NULL;

	if (!promised || !set_number(event, number))
		return muster_fail_memory(err);
	path = path_of(directory, event, SUFFIX);
	if (!path)
		return muster_fail_memory(err);
	return rename(promised, path) == 0 ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "renaming '%s'",
				 PRINTABLE(promised));
}

void hook_spool_break(const char *directory, const cJSON *event)
{
	CLEANUP(freep) char *path = path_of(directory, event, PROMISED_SUFFIX);

	if (path)
		unlink(path);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct names {
	char **items;
	size_t count;
};

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->items[i]);
	free(names->items);
}

static bool add_name(struct names *names, const char *name)
{
	char **items = reallocarray(names->items, names->count + 1, sizeof(*items));

	if (!items)
		return false;
	names->items = items;
	items[names->count] = strdup(name);
	return items[names->count++] != NULL;
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t length = strlen(name), expected = strlen(suffix);

	return length > expected && strcmp(name + length - expected, suffix) == 0;
}

static bool names_with(const char *directory, const char *suffix, cJSON **ret_names,
		       struct muster_error *err)
{
	CLEANUP(closedirp) DIR *stream = opendir(directory);
	CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();
	CLEANUP(names_done) struct names names = { 0 };
	const struct dirent *entry;

	if (!stream && errno != ENOENT)
		return muster_fail_errno(err, CAUSE_HOOK_FAILED, errno, "reading '%s'",
					 PRINTABLE(directory));
	while (stream) {
		if (!directory_next(stream, directory, &entry, err))
			return false;
		if (!entry)
			break;
		if (entry->d_name[0] != '.' && ends_with(entry->d_name, suffix) &&
		    !add_name(&names, entry->d_name))
			return muster_fail_memory(err);
	}
	if (names.count > 0)
		qsort(names.items, names.count, sizeof(*names.items), compare);
	for (size_t i = 0; i < names.count; i++)
		if (!array || !cJSON_AddItemToArray(array, cJSON_CreateString(names.items[i])))
			return muster_fail_memory(err);
	*ret_names = TAKE_PTR(array);
	return *ret_names || muster_fail_memory(err);
}

bool hook_spool_names(const char *directory, cJSON **ret_names, struct muster_error *err)
{
	return names_with(directory, SUFFIX, ret_names, err);
}

bool hook_spool_promised(const char *directory, cJSON **ret_names, struct muster_error *err)
{
	return names_with(directory, PROMISED_SUFFIX, ret_names, err);
}

int64_t hook_spool_number(const char *name)
{
	char digits[19];
	int64_t number;

	snprintf(digits, sizeof(digits), "%.*s", (int)strspn(name, "0123456789"), name);
	return text_to_int64(digits, 0, INT64_MAX, &number) ? number : 0;
}

/* The name counts: a promise that is kept gets another, and what an earlier muster left has none inside. */
bool hook_spool_read(const char *directory, const char *name, cJSON **ret_event,
		     struct muster_error *err)
{
	CLEANUP(freep) char *path = text_format("%s/%s", directory, name);
	CLEANUP(bytes_done) struct bytes file = { 0 };
	CLEANUP(cJSON_freep) cJSON *event = NULL;

	if (!path)
		return muster_fail_memory(err);
	if (!file_read(path, EVENT_FILE_MAX, &file, err) ||
	    !json_parse((const char *)file.data, file.size, path, &event, err))
		return false;
	if (!set_number(event, hook_spool_number(name)))
		return muster_fail_memory(err);
	*ret_event = TAKE_PTR(event);
	return true;
}

void hook_spool_remove(const char *directory, const char *name)
{
	CLEANUP(freep) char *path = text_format("%s/%s", directory, name);

	if (path)
		unlink(path);
}

bool hook_spool_drop(const char *directory, const cJSON *event, struct muster_error *err)
{
	CLEANUP(freep) char *path = path_of(directory, event, SUFFIX);

	if (!path)
		return muster_fail_memory(err);
	return unlink(path) == 0 || errno == ENOENT ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "removing '%s'", PRINTABLE(path));
}

bool hook_spool_has(const char *directory, const char *name)
{
	CLEANUP(freep) char *path = text_format("%s/%s", directory, name);

	return path && access(path, F_OK) == 0;
}

/* -- Who writes ---------------------------------------------------------------------------------------------------- */

static int open_last(const char *directory, const char *journal)
{
	CLEANUP(freep) char *path = text_format("%s/.%s.last", directory, journal);

	return path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
}

int hook_spool_own(const char *directory, const char *journal, int64_t *ret_last)
{
	CLEANUP(closep) int fd = open_last(directory, journal);
	char text[32] = "";

	*ret_last = 0;
	while (fd >= 0 && flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return -1;
	if (fd >= 0 && pread(fd, text, sizeof(text) - 1, 0) > 0)
		*ret_last = hook_spool_number(text);
	return TAKE_FD(fd);
}

bool hook_spool_is_owned(const char *directory, const char *journal)
{
	CLEANUP(closep) int fd = open_last(directory, journal);

	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/* Not synced: after a power cut the newest event that is there has to do. */
void hook_spool_note_last(int fd, int64_t number)
{
	char text[32];
	int size = snprintf(text, sizeof(text), "%013lld\n", (long long)number);
	ssize_t unused = fd < 0 ? 0 : pwrite(fd, text, (size_t)size, 0);

	(void)unused;
}

/* -- Who changes what is there -------------------------------------------------------------------------------------- */

bool hook_spool_wait(int fd, struct muster_error *err)
{
	static bool was_told;

	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno == EWOULDBLOCK && !was_told)
		log_notice("another process is delivering to the hooks, waiting for it");
	was_told = true;
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return muster_fail_errno(err, CAUSE_HOOK_FAILED, errno,
						 "waiting for another delivery");
	return true;
}

bool hook_spool_lock(const char *directory, int *ret_fd, struct muster_error *err)
{
	CLEANUP(freep) char *path = text_format("%s/.work", directory);
	CLEANUP(closep) int fd = -1;

	if (!path)
		return muster_fail_memory(err);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return muster_fail_errno(err, CAUSE_HOOK_FAILED, errno, "opening '%s'",
					 PRINTABLE(path));
	if (!hook_spool_wait(fd, err))
		return false;
	*ret_fd = fd;
	fd = -1;
	return true;
}
