/* Enrollments in files, one a row: CSV and JSON Lines, read row by row with the place of every mistake, and written. Nothing
 * here talks to anybody; a file of any length takes the memory of a row. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/dps-bulk.h"
#include "muster/dps-document.h"
#include "muster/encoding.h"
#include "muster/error.h"
#include "muster/text.h"

#define DPS_TABLE_ROW_MAX (256 * 1024)
#define DPS_TABLE_ROWS_MAX 10000000

enum dps_table_format { DPS_TABLE_CSV, DPS_TABLE_JSONL };
/* ".jsonl", ".ndjson" and ".json" are JSON Lines, all else is CSV. */
enum dps_table_format dps_table_format_of(const char *path);

/* A mistake in the file; column counts characters from 1. `message` is printable and holds no key. */
struct dps_table_place {
	size_t line;
	size_t column;
};
typedef void dps_table_mistake(void *context, const struct dps_table_place *place,
			       const char *message);

/* -- Reading ---------------------------------------------------------------------------------------------- */

struct dps_table;

/* A regular file. CAUSE_INPUT_NOT_FOUND, CAUSE_USAGE. */
bool dps_table_open(const char *path, enum dps_bulk_mode mode, struct dps_table **ret_table,
		    struct muster_error *err) MUST_CHECK;
void dps_table_close(struct dps_table *table);
DEFINE_FREEP(dps_table_freep, struct dps_table *, dps_table_close)

/* Before the check: what judges endorsement keys, with no context. */
void dps_table_set_ek_check(struct dps_table *table, dps_ek_check *check);

/* Before the check: who is told what the service takes and the device would fail with, at this time. */
void dps_table_set_doubt(struct dps_table *table, int64_t now_ms, dps_table_mistake *doubt,
			 void *context);

struct dps_table_facts {
	size_t rows;
	size_t mistakes;
	bool shows_keys; /* it holds symmetric keys, and others than its owner may read or write it */
	uint8_t digest[SHA256_SIZE]; /* of the whole file, where there are no mistakes */
};
/* Reads it all: every mistake, registration IDs that come twice, or differ by letter case only, and rows that are longer than
 * a request, included. False when it could
 * not be read to the end; mistakes are true. */
bool dps_table_check(struct dps_table *table, dps_table_mistake *mistake, void *context,
		     struct dps_table_facts *ret_facts, struct muster_error *err) MUST_CHECK;

/* After a check without mistakes: the rows from the first on. item->tag tells where it stood; *ret_has false: the end.
 * CAUSE_TABLE_CHANGED when the file is not the one that was checked. */
bool dps_table_next(struct dps_table *table, struct dps_bulk_item *ret_item, bool *ret_has,
		    struct muster_error *err) MUST_CHECK;

/* Of a row's tag: its number from 0, and the line where it begins. */
static inline size_t dps_table_row_of(uint64_t tag)
{
	return (size_t)(tag & UINT32_MAX);
}
static inline size_t dps_table_line_of(uint64_t tag)
{
	return (size_t)(tag >> 32);
}

/* -- Writing ---------------------------------------------------------------------------------------------- */

/* The row with the names; nothing for JSON Lines. */
void dps_table_write_head(enum dps_table_format format, FILE *stream);
#define DPS_TABLE_PATH_MAX 96
/* Does a row of this format hold all but what only the service sets? CSV keeps what has a column; the first member that is lost
 * is in ret_lost. */
bool dps_table_holds(enum dps_table_format format, const cJSON *enrollment,
		     char ret_lost[DPS_TABLE_PATH_MAX]);
bool dps_table_write(enum dps_table_format format, const cJSON *enrollment, FILE *stream,
		     struct muster_error *err) MUST_CHECK;
