/* The command line as tables: one row per verb, one row per option. Parsing, --help, the option dump that completion and
 * the check of the manual read, and the environment all come from the same rows. A verb is a file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/secret.h"
#include "muster/text.h"

/* -- Options -------------------------------------------------------------------------------------------------- */

enum option_kind {
	OPTION_FLAG = 1, /* bool; no value */
	OPTION_COUNT,    /* int; each mention adds one */
	OPTION_TEXT,     /* const char * */
	OPTION_NUMBER,   /* int64_t; 1 and up, so that 0 is "not given" */
	OPTION_NUMBER_0, /* int64_t; 0 and up */
	OPTION_FD,     /* int64_t; an open descriptor, never 0: that one is given another number */
	OPTION_CHOICE, /* int; the index in `choices` */
	OPTION_ONE_OF, /* const char *; one of `choices`, spelled as there */
	OPTION_BOOL,   /* enum option_bool; "--ee", "--ee true", "--ee=false" */
	OPTION_LIST,   /* struct option_list; may be repeated */
	OPTION_WORDS,  /* struct option_list; takes every word up to the next option */
};

enum option_bool { OPTION_UNSET = 0, OPTION_FALSE, OPTION_TRUE };

#define OPTION_LIST_MAX 32
struct option_list {
	size_t count;
	const char *words[OPTION_LIST_MAX];
};

enum option_flags {
	OPTION_HIDDEN = 1, /* not in --help */
	OPTION_SECRET = 2, /* a secret in argv: accepted, with one warning */
	OPTION_ONCE = 4,   /* who gives it twice means both, and one alone would hold: refused */
};

/* A table ends with a row whose name is NULL. Texts are static; values point into argv, the environment or the files
 * of the common options. */
struct option_row {
	char letter; /* 0 for none */
	const char *name;
	const char *aliases; /* hidden other long names, "tcti,tcti-conf"; or NULL */
	enum option_kind kind;
	const char *placeholder; /* "FILE"; NULL for FLAG and COUNT */
	const char *help;
	size_t offset;              /* of the field in the verb's option struct */
	const char *environment;    /* variable that holds when the option is not given; or NULL */
	const char *const *choices; /* CHOICE, ONE_OF: names, NULL-terminated */
	unsigned flags;
};

/* What "@FILE" values were read from; wiped when freed. */
#define OPTION_FILES_MAX 32
#define OPTION_SECRETS_MAX 8
struct option_files {
	size_t count, secret_count;
	struct bytes contents[OPTION_FILES_MAX];
	struct secret secrets[OPTION_SECRETS_MAX];
};
/* The text stays in *files. A secret's file must be readable by its owner only. */
bool option_files_read(struct option_files *files, const char *path, const char *named,
		       bool is_secret, const char **ret_text, struct muster_error *err) MUST_CHECK;
void option_files_done(struct option_files *files);

/* Every verb has these, before or after its name. */
struct common_options {
	bool help;
	int verbose;
	bool quiet;
	int output;                 /* index in output_formats, -1: the verb's default */
	bool output_is_environment; /* by MUSTER_OUTPUT, for all commands alike */
};
extern const struct option_row common_rows[];

/* The row of whoever works here, for a member of the option struct. */
/* clang-format off */
#define OPERATOR_ROW(options, member) \
	{ 0, "operator", NULL, OPTION_TEXT, "NAME", "Who is working here; default: the login user", \
	  offsetof(options, member), "MUSTER_OPERATOR", NULL, 0 }
/* clang-format on */

/* -- Output --------------------------------------------------------------------------------------------------- */

enum output_format {
	OUTPUT_JSON,  /* one document, indented */
	OUTPUT_JSONL, /* one object per line */
	OUTPUT_YAML,
	OUTPUT_TABLE,
	OUTPUT_TSV, /* no header; tab, newline and backslash escaped */
	OUTPUT_NONE,
};
extern const char *const output_formats[]; /* names by number, NULL-terminated */

struct column {
	const char *key;   /* member of the row's object */
	const char *title; /* upper case, for the table */
	bool is_right;     /* numbers stand at the right */
	bool is_wrapped; /* prose may be broken into lines on a narrow terminal; names never are */
};

/* Prints a document: an array of objects, or one object. Table and tsv show `columns` of each; the others all of
 * it. CAUSE_OUTPUT_WRITE when `stream` does not take it. */
bool output_print(FILE *stream, enum output_format format, const cJSON *document,
		  const struct column *columns, size_t column_count, struct muster_error *err)
	MUST_CHECK;
/* The same in two parts, for documents that come many at a time: what was added is there when it was flushed. */
bool output_add(FILE *stream, enum output_format format, const cJSON *document,
		const struct column *columns, size_t column_count, struct muster_error *err)
	MUST_CHECK;
bool output_flush(FILE *stream, struct muster_error *err) MUST_CHECK;
/* The same for a document that comes in pages, which are not kept: zero-initialise and set the first three members. The
 * result is that of output_print() for the whole array; only a table's columns may widen from page to page. */
#define OUTPUT_COLUMNS_MAX 32
struct output_rows {
	FILE *stream;
	enum output_format format;
	const struct column *columns;
	size_t column_count;
	size_t printed;
	size_t widths[OUTPUT_COLUMNS_MAX];
};
/* `page` is an array. It is on its way when this returns. */
bool output_rows_page(struct output_rows *rows, const cJSON *page, struct muster_error *err)
	MUST_CHECK;
bool output_rows_end(struct output_rows *rows, struct muster_error *err) MUST_CHECK;

/* "muster: [E3107] sentence" and the remedy, on standard error; or one JSON object there for json and jsonl. */
void output_error(const struct muster_error *err, enum output_format format, int status);
/* Of one of several, by its name: the sentence alone, in any format. NULL: of the whole run. */
void output_failure(const char *name, const struct muster_error *failure);

/* -- Verbs ---------------------------------------------------------------------------------------------------- */

struct invocation {
	const struct verb *verb;
	const void *options; /* the verb's option struct, filled */
	enum output_format output;
	bool is_output_asked; /* it stands in the line */
	bool is_quiet;
	size_t operand_count;
	const char *const *operands;
};

struct verb {
	const char *noun; /* "profile"; NULL for a verb that stands alone */
	const char *name;
	const char *operands; /* "FILE", "[CODE...]" or NULL */
	size_t operands_min, operands_max;
	const char *summary;     /* a few words, for lists */
	const char *description; /* a paragraph or more, for --help */
	const struct option_row *options;
	size_t options_size;
	enum output_format default_output;
	/* What table and tsv show of the result; NULL where it has another form. COLUMNS() sets both. */
	const struct column *columns;
	size_t column_count;
	/* The member of the result that tsv has a line for each element of; NULL: none. */
	const char *rows;
	/* Lines as az's commands take them: unambiguous option prefixes, choices in any letter case, "@FILE" in
	 * place of a value. */
	bool is_as_az;
	/* Who reads its results and goes ends it, which it says: devices are under way. */
	bool is_missed;
	/* False: *err is printed and its code is the exit status. */
	bool (*run)(const struct invocation *call, struct muster_error *err);
};

/* What a verb found out or did, by its columns. */
bool result_print(const struct invocation *call, const cJSON *result, struct muster_error *err)
	MUST_CHECK;

#define COLUMNS(array) .columns = (array), .column_count = ARRAY_SIZE(array)

extern const struct verb *const verbs[]; /* in the order of --help, NULL-terminated */

struct noun {
	const char *name;
	const char *summary;
};
extern const struct noun nouns[]; /* ends with a NULL name */

#define VERB(name) extern const struct verb verb_##name;
#include "verbs.def"
#undef VERB

/* -- Parsing (options.c) -------------------------------------------------------------------------------------- */

/* argv[0] is not looked at. Fills `options`, `common` and operands (room for argc) from argv and then the environment.
 * Files named by "@FILE" stay in *files (option_files_done), in any case. A wrong line is CAUSE_USAGE with a sentence that
 * says what is wrong and, when near, "did you mean". With --help nothing behind it is looked at. */
bool options_parse(const struct verb *verb, int argc, char **argv, void *options,
		   struct common_options *common, struct option_files *files, const char **operands,
		   size_t *ret_operand_count, struct muster_error *err) MUST_CHECK;
/* The common options in front of the verb; *ret_next is the index of the first word that is none. */
bool options_parse_front(int argc, char **argv, struct common_options *common, int *ret_next,
			 struct muster_error *err) MUST_CHECK;

/* Whether a value of an option struct was borrowed from that environment variable: the option was not given. */
bool option_is_from(const char *value, const char *variable);
/* Which of the two a message is to name. */
const char *option_named(const char *value, const char *option, const char *variable);

/* "profile check", or "explain"; static buffer. */
const char *verb_full_name(const struct verb *verb);

/* -- Running (run.c) ------------------------------------------------------------------------------------------ */

/* The whole program behind main(): prints, and returns the exit status. */
int cli_run(int argc, char **argv);
const struct verb *verb_find(const char *noun, const char *name);
const struct noun *noun_find(const char *name);

/* -- Help (help.c) -------------------------------------------------------------------------------------------- */

void help_short(FILE *stream);
void help_main(FILE *stream);
void help_noun(FILE *stream, const struct noun *noun);
void help_verb(FILE *stream, const struct verb *verb);
/* Everything the tables know, as JSON, for completion and the check of the manual. */
bool help_dump(FILE *stream, struct muster_error *err) MUST_CHECK;

/* -- Completion (complete.c) ---------------------------------------------------------------------------------- */

/* What the last word of a line may become, one candidate a line; `words` are those behind the program's name. */
void complete_print(FILE *stream, int count, char **words);
