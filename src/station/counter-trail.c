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

static void note_jump(const struct counter_point *before, struct counter_point *named)
{
	named->jump = before->jump;
	if (named->jump.entry != 0 || named->value == before->value ||
	    named->value - 1 == before->value)
		return;
	named->jump.value = named->value;
	named->jump.entry = named->entry;
	named->jump.value_before = before->value;
	named->jump.entry_before = before->entry;
}

bool counter_trail_take(struct counter_trail *trail, int64_t entry, const cJSON *body,
			const struct counter_point **ret_point, struct muster_error *err)
{
	struct counter_point named = { .entry = entry }, *before;

	*ret_point = NULL;
	if (!counter_of_entry(body, named.index, &named.value))
		return true;
	before = find(trail, named.index);
	if (before)
		note_jump(before, &named);
	else
		before = add(trail);
	if (!before)
		return muster_fail_memory(err);
	*before = named;
	*ret_point = before;
	return true;
}

bool counter_point_check(const struct counter_point *point, struct muster_error *err)
{
	return point->jump.entry == 0 ||
	       muster_fail(
		       err, CAUSE_JOURNAL_CUT,
		       "entry %lld takes counter %s to %lld, and entry %lld before it to %lld: an older copy was put back between them, and signed on, or the TPM was cleared or changed; this counter proves nothing here any more, and one of another index does",
		       (long long)point->jump.entry, PRINTABLE(point->index),
		       (long long)point->jump.value, (long long)point->jump.entry_before,
		       (long long)point->jump.value_before);
}
