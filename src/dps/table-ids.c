#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/log.h"

#include "table-internal.h"

#define CAPACITY_MIN 1024
#define CAPACITY_IN_MEMORY 65536
#define CAPACITY_OF_FILE (1 << 21) /* to begin with; what nobody wrote takes no room on disk */
#define PROBE 8                    /* slots that are read at a time */
#define MOVED 1024                 /* or moved */

static bool begin(struct id_set *set, struct muster_error *err)
{
	uint8_t key[SHA256_SIZE];

	if (set->hmac)
		return true;
	if (!random_bytes(key, sizeof(key), err))
		return false;
	set->hmac = hmac_sha256_new(key, sizeof(key), err);
	return set->hmac;
}

/* -- Slots, in memory or in a file ----------------------------------------------------------------------------- */

static bool read_slots(const struct id_set *set, size_t at, struct id_seen *slots, size_t count,
		       struct muster_error *err)
{
	const size_t size = count * sizeof(*slots);
	ssize_t got = pread(set->fd, slots, size, (off_t)(at * sizeof(*slots)));

	return got == (ssize_t)size ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, got < 0 ? errno : EIO,
				 "reading which IDs came before");
}

static bool put(const struct id_set *set, size_t at, const struct id_seen *seen,
		struct muster_error *err)
{
	ssize_t put;

	if (!set->is_in_file) {
		set->table[at] = *seen;
		return true;
	}
	put = pwrite(set->fd, seen, sizeof(*seen), (off_t)(at * sizeof(*seen)));
	return put == (ssize_t)sizeof(*seen) ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, put < 0 ? errno : ENOSPC,
				 "keeping which IDs came before");
}

/* The first slot from *at on that is free or of this digest, in so many that lie beside each other. */
static bool is_among(const struct id_seen *slots, size_t count, uint64_t folded, size_t *at,
		     struct id_seen *ret_seen)
{
	for (size_t i = 0; i < count; i++, ++*at) {
		*ret_seen = slots[i];
		if (slots[i].folded == 0 || slots[i].folded == folded)
			return true;
	}
	return false;
}

/* Where it is or belongs; a free slot's digest is 0. */
static bool find(const struct id_set *set, uint64_t folded, size_t *ret_at,
		 struct id_seen *ret_seen, struct muster_error *err)
{
	struct id_seen slots[PROBE];

	for (*ret_at = folded & (set->capacity - 1);; *ret_at &= set->capacity - 1) {
		size_t count = set->capacity - *ret_at;

		if (count > PROBE)
			count = PROBE;
		if (set->is_in_file && !read_slots(set, *ret_at, slots, count, err))
			return false;
		if (is_among(set->is_in_file ? slots : set->table + *ret_at, count, folded, ret_at,
			     ret_seen))
			return true;
	}
}

/* -- Room ------------------------------------------------------------------------------------------------------ */

static bool move(const struct id_set *set, struct id_set *larger, struct muster_error *err)
{
	struct id_seen slots[MOVED], free_slot;
	size_t at;

	for (size_t from = 0; from < set->capacity; from += MOVED) {
		const struct id_seen *moved = set->is_in_file ? slots : set->table + from;

		if (set->is_in_file && !read_slots(set, from, slots, MOVED, err))
			return false;
		for (size_t i = 0; i < MOVED; i++)
			if (moved[i].folded != 0 &&
			    (!find(larger, moved[i].folded, &at, &free_slot, err) ||
			     !put(larger, at, &moved[i], err)))
				return false;
	}
	larger->count = set->count;
	return true;
}

static void drop_slots(struct id_set *set)
{
	free(set->table);
	if (set->is_in_file)
		closep(&set->fd);
	set->table = NULL;
	set->is_in_file = false;
}

static bool make_in_memory(struct id_set *larger, struct muster_error *err)
{
	larger->table = calloc(larger->capacity, sizeof(*larger->table));
	return larger->table || muster_fail_memory(err);
}

/* False: there is no place for one. */
static bool make_in_file(struct id_set *larger)
{
	CLEANUP(freep) char *directory = directory_state();
	CLEANUP(closep) int fd = -1;
	size_t capacity = larger->capacity < CAPACITY_OF_FILE ? CAPACITY_OF_FILE : larger->capacity;
	struct muster_error ignored;

	if (larger->capacity <= CAPACITY_IN_MEMORY)
		return false;
	if (directory && directory_make(directory, &ignored))
		fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)(capacity * sizeof(struct id_seen))) < 0) {
		log_info("no place for a file of the IDs that came before, keeping them in memory");
		return false;
	}
	larger->fd = TAKE_FD(fd);
	larger->is_in_file = true;
	larger->capacity = capacity;
	return true;
}

/* At most three quarters full. */
static bool make_room(struct id_set *set, struct muster_error *err)
{
	struct id_set larger = { .hmac = set->hmac,
				 .capacity = set->capacity ? set->capacity * 2 : CAPACITY_MIN };

	if (set->count * 4 < set->capacity * 3)
		return true;
	if ((!make_in_file(&larger) && !make_in_memory(&larger, err)) || !move(set, &larger, err)) {
		drop_slots(&larger);
		return false;
	}
	drop_slots(set);
	*set = larger;
	return true;
}

/* -- Adding ---------------------------------------------------------------------------------------------------- */

static bool look(const struct id_set *set, const char *id, struct id_seen *ret_seen,
		 struct muster_error *err)
{
	char folded[ID_SET_TEXT_MAX + 1];
	uint8_t digest[SHA256_SIZE];

	if (!hmac_sha256_next(set->hmac, id, strlen(id), digest, err))
		return false;
	memcpy(&ret_seen->exact, digest, sizeof(ret_seen->exact));
	snprintf(folded, sizeof(folded), "%s", id);
	text_fold(folded);
	if (strcmp(folded, id) != 0 &&
	    !hmac_sha256_next(set->hmac, folded, strlen(folded), digest, err))
		return false;
	memcpy(&ret_seen->folded, digest, sizeof(ret_seen->folded));
	ret_seen->folded += ret_seen->folded == 0;
	return true;
}

bool id_set_add(struct id_set *set, const char *id, size_t line, size_t *ret_line,
		bool *ret_is_same, struct muster_error *err)
{
	struct id_seen seen = { .line = line < UINT32_MAX ? (uint32_t)line : UINT32_MAX }, found;
	size_t at;

	if (!begin(set, err) || !make_room(set, err) || !look(set, id, &seen, err) ||
	    !find(set, seen.folded, &at, &found, err))
		return false;
	*ret_line = found.folded ? found.line : 0;
	*ret_is_same = found.folded && found.exact == seen.exact;
	if (found.folded)
		return true;
	set->count++;
	return put(set, at, &seen, err);
}

void id_set_done(struct id_set *set)
{
	hmac_sha256_free(set->hmac);
	drop_slots(set);
	*set = (struct id_set){ 0 };
}
