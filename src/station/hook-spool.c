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

static char *path_of(const char *directory, const cJSON *event)
{
	int64_t at = 0;

	if (!json_int64(event, "atMs", &at))
		return NULL;
	return text_format("%s/%013lld-%s" SUFFIX, directory, (long long)at,
			   json_text(event, "id"));
}

bool hook_spool_write(const char *directory, const cJSON *event, struct muster_error *err)
{
	CLEANUP(freep) char *path = path_of(directory, event);
	CLEANUP(freep) char *line = json_print_line(event);

	if (!path || !line)
		return muster_fail_memory(err);
	return file_write(path, line, strlen(line), 0600, true, err);
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

bool hook_spool_names(const char *directory, cJSON **ret_names, struct muster_error *err)
{
	CLEANUP(closedirp) DIR *stream = opendir(directory);
	CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();
	CLEANUP(names_done) struct names names = { 0 };
	const struct dirent *entry;

	if (!stream && errno != ENOENT)
		return muster_fail_errno(err, CAUSE_HOOK_FAILED, errno, "reading '%s'",
					 PRINTABLE(directory));
	while (stream) {
		size_t length;

		if (!directory_next(stream, directory, &entry, err))
			return false;
		if (!entry)
			break;
		length = strlen(entry->d_name);
		if (entry->d_name[0] != '.' && length > strlen(SUFFIX) &&
		    strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX) == 0 &&
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

bool hook_spool_read(const char *directory, const char *name, cJSON **ret_event,
		     struct muster_error *err)
{
	CLEANUP(freep) char *path = text_format("%s/%s", directory, name);
	CLEANUP(bytes_done) struct bytes file = { 0 };

	if (!path)
		return muster_fail_memory(err);
	return file_read(path, EVENT_FILE_MAX, &file, err) &&
	       json_parse((const char *)file.data, file.size, path, ret_event, err);
}

void hook_spool_remove(const char *directory, const char *name)
{
	CLEANUP(freep) char *path = text_format("%s/%s", directory, name);

	if (path)
		unlink(path);
}

bool hook_spool_drop(const char *directory, const cJSON *event, struct muster_error *err)
{
	CLEANUP(freep) char *path = path_of(directory, event);

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
