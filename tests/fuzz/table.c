/* Files of enrollments: the first byte chooses format and mode. What passes the check is read a second time, row by row. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fuzz.h"
#include "muster/dps-table.h"

static void take_mistake(void *context, const struct dps_table_place *place, const char *message)
{
	size_t *count = context;

	assert(place->line >= 1 && place->column >= 1 && *message);
	(*count)++;
}

static void read_rows(struct dps_table *table, size_t rows)
{
	struct muster_error err;

	for (size_t row = 0;; row++) {
		CLEANUP(dps_bulk_item_done) struct dps_bulk_item item = { 0 };
		bool has;

		assert(dps_table_next(table, &item, &has, &err));
		assert(has == (row < rows));
		if (!has)
			return;
		assert(dps_table_row_of(item.tag) == row && item.id);
	}
}

static void check(const char *path, enum dps_bulk_mode mode)
{
	CLEANUP(dps_table_freep) struct dps_table *table = NULL;
	struct dps_table_facts facts;
	struct muster_error err;
	size_t mistakes = 0;

	assert(dps_table_open(path, mode, &table, &err));
	if (!dps_table_check(table, take_mistake, &mistakes, &facts, &err))
		return;
	assert(facts.mistakes == mistakes);
	if (mistakes == 0)
		read_rows(table, facts.rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	int fd;

	if (size == 0)
		return 0;
	snprintf(path, sizeof(path), "/dev/shm/muster-fuzz-%ld%s", (long)getpid(),
		 data[0] & 1 ? ".jsonl" : ".csv");
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert(fd >= 0 && write(fd, data + 1, size - 1) == (ssize_t)size - 1);
	close(fd);
	check(path, (enum dps_bulk_mode)((data[0] >> 1) & 3));
	unlink(path);
	return 0;
}
