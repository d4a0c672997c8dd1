/* What the files about tables share: a reader of bytes that knows where it is, rows of cells, and mistakes. */
#pragma once

#include <csv.h>
#include <sys/stat.h>

#include <openssl/evp.h>

#include "muster/dps-document.h"
#include "muster/dps-rows.h"
#include "muster/dps-table.h"

#define CELLS_MAX 64

/* -- The same bytes each time (table-digest.c) -------------------------------------------------------------- */

/* What is read a second time has to be what was read the first time, whatever the file system says of its times: of each
 * block the digest of all up to its end is kept. */
struct table_digest {
	EVP_MD_CTX *running;
	uint8_t (*prefixes)[SHA256_SIZE];
	size_t count, room;
	size_t at;     /* the block that comes next */
	bool is_whole; /* the end was seen: all prefixes are known */
};

DEFINE_FREEP(EVP_MD_CTX_freep, EVP_MD_CTX *, EVP_MD_CTX_free)

/* From the first byte on. */
bool table_digest_begin(struct table_digest *digest, struct muster_error *err) MUST_CHECK;
void table_digest_done(struct table_digest *digest);
/* The next block; size 0 is the end. *ret_is_same false: another stood there before. */
bool table_digest_add(struct table_digest *digest, const void *data, size_t size, bool *ret_is_same,
		      struct muster_error *err) MUST_CHECK;
/* SHA-256 of it all; false as long as the end was not seen. */
bool table_digest_whole(const struct table_digest *digest, uint8_t whole[SHA256_SIZE]) MUST_CHECK;

/* -- Bytes with a place (table-input.c) ------------------------------------------------------------------- */

struct table_input {
	int fd;
	char path[256]; /* printable, for messages */
	char buffer[64 * 1024];
	size_t filled, used;
	struct table_digest digest;
	size_t refills;               /* how often the buffer was filled */
	struct dps_table_place place; /* of the next byte */
	bool after_return;            /* the last byte was CR */
};

/* Adds the rest of the line, without its LF, to *line. *ret_has false: there is none. */
bool input_line(struct table_input *input, struct text *line, bool *ret_has,
		struct muster_error *err) MUST_CHECK;
/* -1: the end; -2: *err. */
int input_next(struct table_input *input, struct muster_error *err);
bool input_rewind(struct table_input *input, struct muster_error *err) MUST_CHECK;

/* -- Mistakes --------------------------------------------------------------------------------------------- */

struct table_report {
	dps_table_mistake *mistake; /* NULL: only counted */
	void *context;
	size_t count;
};

void report_mistake(struct table_report *report, const struct dps_table_place *place,
		    const char *format, ...) PRINTF_LIKE(3, 4);

/* There is no such `what` ("column"): did you mean `nearest` (or NULL), and which there are. */
void report_unknown(struct table_report *report, const struct dps_table_place *place,
		    const char *what, const char *name, const char *nearest,
		    const char *const *names, size_t count);

/* -- CSV (table-csv.c) ------------------------------------------------------------------------------------ */

struct cell {
	struct dps_table_place place;
	size_t offset; /* into row.text; NUL-terminated there */
	size_t length;
};

struct csv_row {
	struct text text;
	size_t count;
	struct cell cells[CELLS_MAX];
	size_t dropped; /* cells beyond CELLS_MAX */
};

struct csv_reader {
	struct csv_parser parser;
	struct csv_row row;
	struct dps_table_place cell_place;
	bool is_in_cell, is_complete, has_ended, is_begun;
};

bool csv_reader_begin(struct csv_reader *reader, struct muster_error *err) MUST_CHECK;
void csv_reader_done(struct csv_reader *reader);
/* The next row, in reader->row. A row that breaks the format is a mistake, and the end: what follows cannot be told apart. */
bool csv_reader_next(struct csv_reader *reader, struct table_input *input,
		     struct table_report *report, bool *ret_has, struct muster_error *err)
	MUST_CHECK;
const char *csv_cell(const struct csv_row *row, size_t number);

/* -- A file that is read twice (table-file.c) --------------------------------------------------------------- */

struct table_file {
	enum dps_table_format format;
	struct table_input input;
	struct stat status; /* as it was opened */
	struct csv_reader csv;
	struct text line; /* JSON Lines: the row */
	bool has_lines;   /* a row was read */
	struct dps_table_place row_place;
};

/* A regular file; zero-initialised before. */
bool table_file_open(struct table_file *file, const char *path, struct muster_error *err)
	MUST_CHECK;
void table_file_close(struct table_file *file);
/* Goes to the first row. */
bool table_file_begin(struct table_file *file, struct muster_error *err) MUST_CHECK;
/* CAUSE_TABLE_CHANGED when it is not as it was opened. An early word: reading what is not as it was read before fails, too. */
bool table_file_check_unchanged(const struct table_file *file, struct muster_error *err) MUST_CHECK;
/* CAUSE_TABLE_CHANGED, said of this file. */
bool table_fail_changed(const struct table_input *input, struct muster_error *err);
/* CSV: the next row, in file->csv.row. */
bool table_file_next_cells(struct table_file *file, struct table_report *report, bool *ret_has,
			   struct muster_error *err) MUST_CHECK;
/* JSON Lines: the next row; *ret_object NULL at the end. Empty lines are no rows. One that is no JSON object is a mistake
 * and an empty object. */
bool table_file_next_object(struct table_file *file, struct table_report *report,
			    cJSON **ret_object, struct muster_error *err) MUST_CHECK;
/* JSON Lines: the next row as text, in file->line; what it says is not looked at. */
bool table_file_next_line(struct table_file *file, struct table_report *report, bool *ret_has,
			  struct muster_error *err) MUST_CHECK;

/* -- Columns (table-columns.c) ---------------------------------------------------------------------------- */

/* Which column of ours each cell is; from the first row. */
struct table_head {
	size_t count;
	size_t columns[CELLS_MAX];
};

/* False when there is a mistake: then nothing below can be understood. */
bool head_read(struct table_head *head, const struct csv_row *row, struct table_report *report);
/* The document that a row stands for. Mistakes go to the report; NULL only for memory. */
cJSON *columns_document(const struct table_head *head, const struct csv_row *row,
			struct table_report *report);
/* Where in the row a problem at this path of the document belongs. */
struct dps_table_place columns_place(const struct table_head *head, const struct csv_row *row,
				     const char *path);

/* -- JSON Lines (table-place.c) --------------------------------------------------------------------------- */

/* The column, in characters from 1, of the member at this path ("a.b.c") in a line that is valid JSON; of the last
 * part of the path that is there. */
size_t json_line_column(const char *line, const char *path);

/* -- Texts seen (table-ids.c) ------------------------------------------------------------------ */

struct id_seen {
	uint64_t folded; /* digest of the ID in lower case; 0: free */
	uint32_t exact;
	uint32_t line;
};
