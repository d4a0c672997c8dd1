#include "counter-trail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muster/encoding.h"

void counter_trail_done(struct counter_trail *trail)
{
	free(trail->points);
	*trail = (struct counter_trail){ 0 };
}

static struct counter_point *find(const struct counter_trail *trail, const char *index)
{
	for (size_t i = 0; i < trail->count; i++)
		if (strcmp(trail->points[i].index, index) == 0)
			return &trail->points[i];
	return NULL;
}

const struct counter_point *counter_trail_find(const struct counter_trail *trail, const char *index)
{
	return find(trail, index);
}

static struct counter_point *add(struct counter_trail *trail)
{
	struct counter_point *points =
		realloc(trail->points, (trail->count + 1) * sizeof(*trail->points));

	if (!points)
		return NULL;
	trail->points = points;
	return &points[trail->count++];
}

bool counter_trail_take(struct counter_trail *trail, int64_t entry, const cJSON *body,
			const struct counter_point **ret_point, struct muster_error *err)
{
	struct counter_point named = { .entry = entry }, *before;

	*ret_point = NULL;
	if (!counter_of_entry(body, named.index, &named.value))
		return true;
	before = find(trail, named.index);
	if (before && named.value != before->value && named.value - 1 != before->value)
		return muster_fail(
			err, CAUSE_JOURNAL_CUT,
			"entry %lld takes counter %s to %lld, and entry %lld before it to %lld: an older copy was put back between them, and signed on",
			(long long)entry, PRINTABLE(named.index), (long long)named.value,
			(long long)before->entry, (long long)before->value);
	if (!before)
		before = add(trail);
	if (!before)
		return muster_fail_memory(err);
	*before = named;
	*ret_point = before;
	return true;
}
