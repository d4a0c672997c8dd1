#include <string.h>

#include "muster/encoding.h"

#include "table-internal.h"

#define CAPACITY_MIN 1024

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

static size_t place_of(const struct id_seen *table, size_t capacity, uint64_t folded)
{
	size_t at = folded & (capacity - 1);

	while (table[at].folded != 0 && table[at].folded != folded)
		at = (at + 1) & (capacity - 1);
	return at;
}

/* At most three quarters full. */
static bool make_room(struct id_set *set, struct muster_error *err)
{
	size_t capacity = set->capacity ? set->capacity * 2 : CAPACITY_MIN;
	struct id_seen *table;

	if (set->count * 4 < set->capacity * 3)
		return true;
	table = calloc(capacity, sizeof(*table));
	if (!table)
		return muster_fail_memory(err);
	for (size_t i = 0; i < set->capacity; i++)
		if (set->table[i].folded != 0)
			table[place_of(table, capacity, set->table[i].folded)] = set->table[i];
	free(set->table);
	set->table = table;
	set->capacity = capacity;
	return true;
}

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
	struct id_seen seen = { .line = line < UINT32_MAX ? (uint32_t)line : UINT32_MAX };
	struct id_seen *place;

	if (!begin(set, err) || !make_room(set, err) || !look(set, id, &seen, err))
		return false;
	place = &set->table[place_of(set->table, set->capacity, seen.folded)];
	*ret_line = place->folded ? place->line : 0;
	*ret_is_same = place->folded && place->exact == seen.exact;
	if (place->folded)
		return true;
	*place = seen;
	set->count++;
	return true;
}

void id_set_done(struct id_set *set)
{
	hmac_sha256_free(set->hmac);
	free(set->table);
	*set = (struct id_set){ 0 };
}
