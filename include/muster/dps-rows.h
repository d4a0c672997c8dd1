/* Rows of plain texts in files: CSV with the columns' names in its first row, or JSON Lines; read one at a time with the place
 * of every mistake. What a row means is the caller's; a file of any length takes the memory of a row. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/dps-table.h"
#include "muster/encoding.h"
#include "muster/error.h"

#define DPS_ROWS_NAMES_MAX 16

struct dps_rows;

/* A regular file with columns, or members, of these names, in any order and all of them optional; others are mistakes. All
 * borrowed. CAUSE_INPUT_NOT_FOUND, CAUSE_USAGE. */
bool dps_rows_open(const char *path, const char *const *names, size_t count,
		   struct dps_rows **ret_rows, struct muster_error *err) MUST_CHECK;
void dps_rows_close(struct dps_rows *rows);
DEFINE_FREEP(dps_rows_freep, struct dps_rows *, dps_rows_close)

/* SHA-256 of the whole file, when it was read to its end without a mistake. Whoever begins again then reads the same bytes, or
 * CAUSE_TABLE_CHANGED. */
bool dps_rows_digest(const struct dps_rows *rows, uint8_t digest[SHA256_SIZE],
		     struct muster_error *err) MUST_CHECK;
/* An early word of the file's size and time, before anything is read again. */
bool dps_rows_check_unchanged(const struct dps_rows *rows, struct muster_error *err) MUST_CHECK;

/* Goes to the first row; mistakes of the rows are told from there on. `mistake` may be NULL. */
bool dps_rows_begin(struct dps_rows *rows, dps_table_mistake *mistake, void *context,
		    struct muster_error *err) MUST_CHECK;
/* The next row. values: count of them, by the order of the names; NULL is empty or not there; borrowed until the next call.
 * A row with mistakes is given as far as it could be read. *ret_has false: the end. */
bool dps_rows_next(struct dps_rows *rows, const char **ret_values, bool *ret_has,
		   struct muster_error *err) MUST_CHECK;
/* A mistake that the caller found. */
void dps_rows_mistake(struct dps_rows *rows, const struct dps_table_place *place,
		      const char *message);
/* Mistakes told so far, since the beginning. */
size_t dps_rows_mistakes(const struct dps_rows *rows);
/* Where the value of that name stands in the present row; the row's own place when it is not there. */
struct dps_table_place dps_rows_place(const struct dps_rows *rows, size_t name);

/* -- Texts seen ------------------------------------------------------------------------------------------------ */

/* Which texts came before, and in which line: sixteen bytes a text, by keyed digests. From some ten thousand on they lie in a
 * file without a name in directory_state(), so that memory does not grow with their number. Zero-initialise. */
struct id_set {
	struct hmac_sha256 *hmac;
	struct id_seen *table; /* NULL: in the file */
	int fd;                /* of use while `is_in_file` */
	bool is_in_file;
	size_t capacity, count;
};

#define ID_SET_TEXT_MAX 512

/* *ret_line: 0 when it is new, else the line that had it, *ret_is_same false when only without regard to letter case. */
bool id_set_add(struct id_set *set, const char *id, size_t line, size_t *ret_line,
		bool *ret_is_same, struct muster_error *err) MUST_CHECK;
void id_set_done(struct id_set *set);
