#include "evidence-index.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "evidence-lines.h"
#include "evidence-scan.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"

#define NOWHERE UINT32_MAX

/* Where a line is. */
struct place {
	uint64_t offset;
	uint32_t hash; /* of the registration ID */
	uint32_t next; /* with the same remainder of it */
	uint32_t file;
	uint32_t size : 31; /* without its newline, which the last one may have lost */
	uint32_t was_asked_for : 1;
};

struct evidence_index {
	const char *host;
	char **paths;
	size_t path_count;
	struct place *places;
	size_t count, room;
	uint32_t *heads; /* as many as places */
	size_t elsewhere;
	int fd; /* of the file that was read last */
	uint32_t open_file;
};

void evidence_index_free(struct evidence_index *index)
{
	if (!index)
		return;
	for (size_t i = 0; i < index->path_count; i++)
		free(index->paths[i]);
	free(index->paths);
	free(index->places);
	free(index->heads);
	closep(&index->fd);
	free(index);
}

size_t evidence_index_elsewhere(const struct evidence_index *index)
{
	return index->elsewhere;
}

/* FNV-1a. */
static uint32_t hash_of(const char *registration_id)
{
	uint32_t hash = 2166136261u;

	for (const char *c = registration_id; *c; c++)
		hash = (hash ^ (uint8_t)tolower((unsigned char)*c)) * 16777619u;
	return hash;
}

/* -- The files ------------------------------------------------------------------------------------------------ */

static bool add_path(struct evidence_index *index, const char *directory, const char *name,
		     struct muster_error *err)
{
	char **paths = reallocarray(index->paths, index->path_count + 1, sizeof(*paths));

	if (!paths)
		return muster_fail_memory(err);
	index->paths = paths;
	paths[index->path_count] = text_format("%s/%s", directory, name);
	return paths[index->path_count++] || muster_fail_memory(err);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool find_files(struct evidence_index *index, const char *directory,
		       struct muster_error *err)
{
	CLEANUP(closedirp) DIR *stream = opendir(directory);
	const struct dirent *entry;

	if (!stream)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno,
					 "evidence directory '%s'", PRINTABLE(directory));
	for (;;) {
		if (!directory_next(stream, directory, &entry, err))
			return false;
		if (!entry)
			break;
		if (evidence_lines_is_path(entry->d_name) &&
		    !add_path(index, directory, entry->d_name, err))
			return false;
	}
	if (index->path_count > 0)
		qsort(index->paths, index->path_count, sizeof(*index->paths), by_name);
	return true;
}

/* -- Their lines ---------------------------------------------------------------------------------------------- */

struct scan {
	struct evidence_index *index;
	uint32_t file;
};

static bool add_place(struct evidence_index *index, const struct place *place,
		      struct muster_error *err)
{
	if (index->count == index->room) {
		size_t room = index->room + index->room / 8 + 1024;
		struct place *places = reallocarray(index->places, room, sizeof(*places));

		if (!places)
			return muster_fail_memory(err);
		index->places = places;
		index->room = room;
	}
	if (index->count == NOWHERE)
		return muster_fail(err, CAUSE_INPUT_TOO_LARGE,
				   "there are more than %u lines of evidence", NOWHERE);
	index->places[index->count++] = *place;
	return true;
}

static bool take_line(void *context, struct evidence_line *line, struct muster_error *err)
{
	const struct scan *scan = context;
	struct evidence_index *index = scan->index;
	CLEANUP(evidence_kept_done) struct evidence_kept kept = { 0 };
	CLEANUP(freep) char *id = NULL;
	CLEANUP(freep)
	char *what =
		text_format("line %zu of '%s'", line->number, PRINTABLE(index->paths[scan->file]));

	if (!what)
		return muster_fail_memory(err);
	if (!line->text.data) {
		log_warning("%s is longer than %d bytes, going on", what, EVIDENCE_KEPT_MAX);
		return true;
	}
	kept.text = (struct bytes){ (uint8_t *)TAKE_PTR(line->text.data), line->text.length };
	if (!evidence_kept_judge(&kept, what, index->host, err) ||
	    !evidence_kept_id(&kept, &id, err))
		return false;
	index->elsewhere += kept.is_elsewhere;
	return !id || add_place(index,
				&(struct place){ .offset = line->offset,
						 .hash = hash_of(id),
						 .file = scan->file,
						 .size = (uint32_t)line->size },
				err);
}

/* A whole batch is in it: going on without it would leave all of that batch out. */
static bool scan_file(struct evidence_index *index, uint32_t file, struct muster_error *err)
{
	struct scan scan = { index, file };

	return evidence_scan(index->paths[file], take_line, &scan, err) ||
	       muster_error_prefix(err, "nothing is restored without the evidence of a batch");
}

/* From the last one to the first, so that each is found before what follows it. */
static bool link_places(struct evidence_index *index, struct muster_error *err)
{
	if (index->count == 0)
		return true;
	index->heads = reallocarray(NULL, index->count, sizeof(*index->heads));
	if (!index->heads)
		return muster_fail_memory(err);
	memset(index->heads, 0xff, index->count * sizeof(*index->heads));
	for (size_t i = index->count; i-- > 0;) {
		uint32_t *head = &index->heads[index->places[i].hash % index->count];

		index->places[i].next = *head;
		*head = (uint32_t)i;
	}
	return true;
}

bool evidence_index_read(const char *directory, const char *host, struct evidence_index **ret_index,
			 struct muster_error *err)
{
	CLEANUP(evidence_index_freep) struct evidence_index *index = calloc(1, sizeof(*index));

	if (!index)
		return muster_fail_memory(err);
	index->host = host;
	index->fd = -1;
	if (!find_files(index, directory, err))
		return false;
	for (size_t i = 0; i < index->path_count; i++)
		if (!scan_file(index, (uint32_t)i, err))
			return false;
	if (!link_places(index, err))
		return false;
	*ret_index = TAKE_PTR(index);
	return true;
}

/* -- Asking --------------------------------------------------------------------------------------------------- */

static bool open_file(struct evidence_index *index, uint32_t file)
{
	if (index->fd >= 0 && index->open_file == file)
		return true;
	closep(&index->fd);
	index->fd = open(index->paths[file], O_RDONLY | O_CLOEXEC);
	index->open_file = file;
	return index->fd >= 0;
}

static bool read_bytes(int fd, uint64_t offset, uint8_t *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t count = pread(fd, bytes + done, size - done, (off_t)(offset + done));

		if (count == 0)
			errno = ENODATA;
		if (count == 0 || (count < 0 && errno != EINTR))
			return false;
		done += count > 0 ? (size_t)count : 0;
	}
	return true;
}

static bool read_line(struct evidence_index *index, const struct place *place,
		      struct evidence_kept *ret_kept, struct muster_error *err)
{
	const char *path = index->paths[place->file];
	CLEANUP(evidence_kept_done) struct evidence_kept kept = { .path = strdup(path) };

	kept.text = (struct bytes){ calloc(1, (size_t)place->size + 2), (size_t)place->size + 1 };
	if (!kept.path || !kept.text.data)
		return muster_fail_memory(err);
	if (!open_file(index, place->file) ||
	    !read_bytes(index->fd, place->offset, kept.text.data, place->size))
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading '%s' again",
					 PRINTABLE(path));
	kept.text.data[place->size] = '\n';
	if (!evidence_kept_judge(&kept, PRINTABLE(path), index->host, err))
		return false;
	*ret_kept = kept;
	kept = (struct evidence_kept){ 0 };
	return true;
}

bool evidence_index_find(struct evidence_index *index, const char *registration_id,
			 struct evidence_list *list, struct muster_error *err)
{
	uint32_t hash = hash_of(registration_id);
	uint32_t i = index->count > 0 ? index->heads[hash % index->count] : NOWHERE;

	for (; i != NOWHERE; i = index->places[i].next) {
		CLEANUP(evidence_kept_done) struct evidence_kept kept = { 0 };

		if (index->places[i].hash != hash)
			continue;
		if (!read_line(index, &index->places[i], &kept, err))
			return false;
		if (!evidence_kept_is_of(&kept, registration_id))
			continue;
		index->places[i].was_asked_for = true;
		if (!evidence_list_add(list, &kept, err))
			return false;
	}
	return true;
}

bool evidence_index_next(struct evidence_index *index, size_t *at, struct evidence_kept *ret_kept,
			 struct muster_error *err)
{
	while (*at < index->count && index->places[*at].was_asked_for)
		(*at)++;
	if (*at == index->count) {
		*ret_kept = (struct evidence_kept){ 0 };
		return true;
	}
	return read_line(index, &index->places[(*at)++], ret_kept, err);
}
