/* From argv and the environment into a verb's option struct, by its rows. getopt_long walks the line; what it lets pass
 * (abbreviations) or cannot say (why a line is wrong) is done here. */
#include <getopt.h>
#include <string.h>

#include "muster/log.h"
#include "muster/process.h"
#include "muster/text.h"

#include "option-values.h"

enum { ROWS_MAX = 96, LONGS_MAX = 192, NAMES_SIZE = 4096, LONG_BASE = 256 };

struct parse {
	const struct verb *verb; /* NULL in front of it */
	void *options;
	struct common_options *common;
	struct option_files *files; /* NULL in front of the verb */
	const struct option_row *rows[ROWS_MAX];
	bool is_common[ROWS_MAX], is_seen[ROWS_MAX];
	size_t row_count;
	struct option longs[LONGS_MAX]; /* .val = LONG_BASE + row */
	size_t long_count;
	char names[NAMES_SIZE]; /* of aliases */
	size_t names_used;
	char letters[2 * ROWS_MAX + 4];
	int open_row;                        /* WORDS or BOOL whose words may follow; -1 */
	char open_name[128];                 /* as it was typed */
	char shown[OPTION_SECRETS_MAX][128]; /* secrets of the line, as they were typed */
	size_t shown_count;
	const char **operands;
	size_t operand_count;
};

const struct option_row common_rows[] = {
	{ .letter = 'o',
	  .name = "output",
	  .kind = OPTION_CHOICE,
	  .placeholder = "FORMAT",
	  .help = "json, jsonl, yaml, table, tsv or none",
	  .offset = offsetof(struct common_options, output),
	  .environment = "MUSTER_OUTPUT",
	  .choices = output_formats },
	{ .letter = 'v',
	  .name = "verbose",
	  .aliases = "debug",
	  .kind = OPTION_COUNT,
	  .help = "Say more on standard error; twice: say everything",
	  .offset = offsetof(struct common_options, verbose) },
	{ .letter = 'q',
	  .name = "quiet",
	  .aliases = "only-show-errors",
	  .kind = OPTION_FLAG,
	  .help = "Say nothing but errors",
	  .offset = offsetof(struct common_options, quiet) },
	{ .letter = 'h',
	  .name = "help",
	  .kind = OPTION_FLAG,
	  .help = "Show this help and exit",
	  .offset = offsetof(struct common_options, help) },
	{ 0 },
};

const char *verb_full_name(const struct verb *verb)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s%s%s", verb->noun ? verb->noun : "", verb->noun ? " " : "",
		 verb->name);
	return name;
}

/* -- The tables, as getopt wants them --------------------------------------------------------------------- */

static int argument_of(const struct option_row *row)
{
	switch (row->kind) {
	case OPTION_FLAG:
	case OPTION_COUNT:
		return no_argument;
	case OPTION_BOOL:
		return optional_argument;
	default:
		return required_argument;
	}
}

static void add_long(struct parse *parse, const char *name, size_t length, size_t row)
{
	char *copy = parse->names + parse->names_used;

	if (parse->long_count + 1 >= LONGS_MAX || parse->names_used + length + 1 > NAMES_SIZE)
		abort(); /* the tables have outgrown the limits above */
	memcpy(copy, name, length);
	copy[length] = '\0';
	parse->names_used += length + 1;
	parse->longs[parse->long_count++] = (struct option){
		.name = copy,
		.has_arg = argument_of(parse->rows[row]),
		.val = LONG_BASE + (int)row,
	};
}

static void add_row(struct parse *parse, const struct option_row *row, bool is_common)
{
	size_t index = parse->row_count++;
	char *letters = parse->letters + strlen(parse->letters);

	if (index >= ROWS_MAX)
		abort();
	parse->rows[index] = row;
	parse->is_common[index] = is_common;
	if (row->letter) {
		*letters++ = row->letter;
		if (argument_of(row) == required_argument)
			*letters = ':';
	}
	add_long(parse, row->name, strlen(row->name), index);
	for (const char *alias = row->aliases; alias && *alias;) {
		size_t length = strcspn(alias, ",");

		add_long(parse, alias, length, index);
		alias += length + (alias[length] == ',');
	}
}

static void add_rows(struct parse *parse, const struct option_row *rows, bool is_common)
{
	for (; rows && rows->name; rows++)
		add_row(parse, rows, is_common);
}

static int row_of(const struct parse *parse, int code)
{
	if (code >= LONG_BASE)
		return code - LONG_BASE;
	for (size_t i = 0; i < parse->row_count; i++) {
		if (parse->rows[i]->letter == code)
			return (int)i;
	}
	return -1;
}

/* -- Fields ----------------------------------------------------------------------------------------------- */

static void *field_of(const struct parse *parse, int index)
{
	void *base = parse->is_common[index] ? (void *)parse->common : parse->options;

	return (char *)base + parse->rows[index]->offset;
}

static bool is_as_az(const struct parse *parse)
{
	return parse->verb && parse->verb->is_as_az;
}

static bool store(const struct parse *parse, int index, const char *named, const char *value,
		  struct muster_error *err)
{
	return option_store(parse->verb, parse->rows[index], named, value, field_of(parse, index),
			    err);
}

static bool is_file_value(const struct parse *parse, const char *value)
{
	return is_as_az(parse) && value && value[0] == '@' && value[1];
}

/* -- The line --------------------------------------------------------------------------------------------- */

/* "--name" of "--name=value", "-x" of "-xvalue": what the operator typed, for messages. */
static const char *typed_name(char out[128], const char *word, int letter)
{
	char name[128];

	if (text_has_prefix(word, "--"))
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	else
		snprintf(name, sizeof(name), "-%c", letter);
	return text_printable(out, 128, name);
}

/* What other commands take as an option stands without a name here. */
static bool is_operand(const struct parse *parse, const char *name)
{
	const char *operands = parse->verb ? parse->verb->operands : NULL;
	char first[32];

	if (!operands)
		return false;
	operands += strspn(operands, "[");
	snprintf(first, sizeof(first), "%.*s", (int)strcspn(operands, ". ]"), operands);
	return text_equal_folded(name, first);
}

static bool fail_unknown(const struct parse *parse, const char *word, struct muster_error *err)
{
	const char *candidates[LONGS_MAX], *nearest;
	const struct option *first = NULL, *second = NULL;
	size_t length = strcspn(word + 2, "=");
	CLEANUP(freep) char *name = strndup(word + 2, length);

	if (!name)
		return muster_fail_memory(err);
	for (size_t i = 0; i < parse->long_count; i++) {
		const struct option *row = &parse->longs[i];

		candidates[i] = row->name;
		if (strncmp(name, row->name, length) != 0)
			continue;
		if (!first)
			first = row;
		else if (row->val != first->val)
			second = row;
	}
	if (first && second)
		return option_fail(parse->verb, err, "option '--%s' could be '--%s' or '--%s'",
				   PRINTABLE(name), first->name, second->name);
	if (is_as_az(parse) && strcmp(name, "query") == 0)
		return option_fail(
			parse->verb, err,
			"there is no --query: 'muster enrollment list' has conditions and "
			"--fields NAMES, for all else there is jq(1)");
	if (!first && is_operand(parse, name))
		return option_fail(parse->verb, err,
				   "there is no --%s: it stands without a name, 'muster %s %s'",
				   PRINTABLE(name), verb_full_name(parse->verb),
				   parse->verb->operands);
	nearest = first ? first->name : text_nearest(name, candidates, parse->long_count);
	if (nearest)
		return option_fail(parse->verb, err, "unknown option '--%s'; did you mean '--%s'?",
				   PRINTABLE(name), nearest);
	return option_fail(parse->verb, err, "unknown option '--%s'", PRINTABLE(name));
}

/* "--log" is --login although there is --login-file too: the name that all others begin with. -1: none is. */
static int find_shortest(const struct parse *parse, const char *word)
{
	const struct option *shortest = NULL;
	size_t length = strcspn(word + 2, "=");

	for (size_t i = 0; i < parse->long_count; i++) {
		const struct option *row = &parse->longs[i];

		if (strncmp(row->name, word + 2, length) == 0 &&
		    (!shortest || strlen(row->name) < strlen(shortest->name)))
			shortest = row;
	}
	for (size_t i = 0; shortest && i < parse->long_count; i++) {
		const struct option *row = &parse->longs[i];

		if (strncmp(row->name, word + 2, length) == 0 && row->val != shortest->val &&
		    !text_has_prefix(row->name, shortest->name))
			return -1;
	}
	return shortest ? shortest->val : -1;
}

static bool is_long_name(const struct parse *parse, const char *word)
{
	size_t length = strcspn(word + 2, "=");

	for (size_t i = 0; i < parse->long_count; i++) {
		if (strlen(parse->longs[i].name) == length &&
		    strncmp(parse->longs[i].name, word + 2, length) == 0)
			return true;
	}
	return false;
}

/* getopt's '?' and ':'. */
static bool fail_option(const struct parse *parse, int code, const char *word,
			struct muster_error *err)
{
	char typed[128];
	int row = row_of(parse, optopt);

	typed_name(typed, word, optopt < LONG_BASE ? optopt : 0);
	if (code == ':' && row >= 0)
		return option_fail(parse->verb, err, "option '%s' needs a value: %s", typed,
				   parse->rows[row]->placeholder);
	if (!text_has_prefix(word, "--"))
		return option_fail(parse->verb, err, "unknown option '%s'", typed);
	if (is_long_name(parse, word))
		return option_fail(parse->verb, err, "option '%s' takes no value", typed);
	return fail_unknown(parse, word, err);
}

/* An empty variable of a script names no file, and the folder where it was started is not meant. az has a meaning for some. */
static bool is_no_place(const struct parse *parse, const struct option_row *row, const char *value)
{
	return value && !*value && !is_as_az(parse) &&
	       (text_has_prefix(row->placeholder, "FILE") || strcmp(row->placeholder, "DIR") == 0);
}

/* A value as it stands on the line. */
static bool store_word(struct parse *parse, int index, const char *named, const char *value,
		       struct muster_error *err)
{
	bool is_secret = parse->rows[index]->flags & OPTION_SECRET;

	return (!is_file_value(parse, value) ||
		option_files_read(parse->files, value + 1, named, is_secret, &value, err)) &&
	       store(parse, index, named, value, err);
}

/* "--ih h1 h2": words behind such an option belong to it. */
static bool take_word(struct parse *parse, const char *word, bool *ret_is_taken,
		      struct muster_error *err)
{
	int row = parse->open_row;

	*ret_is_taken = false;
	if (row < 0)
		return true;
	if (parse->rows[row]->kind == OPTION_BOOL) {
		parse->open_row = -1;
		/* What is neither may be an operand, where there is room for one. */
		if (!text_equal_folded(word, "true") && !text_equal_folded(word, "false") &&
		    parse->operand_count < parse->verb->operands_max)
			return true;
	}
	*ret_is_taken = true;
	return store_word(parse, row, parse->open_name, word, err);
}

/* What stands where a value was to come: an empty variable of a script leaves the next option there. As az has it all that
 * begins with a dash is one, but for numbers and what has spaces; elsewhere a serial may begin so. */
static bool is_option(const struct parse *parse, const char *word)
{
	size_t length = strlen(word);

	if (length < 2 || word[0] != '-')
		return false;
	if (is_as_az(parse) && word[1] == '-' &&
	    (is_long_name(parse, word) || find_shortest(parse, word) >= 0))
		return true;
	if (is_as_az(parse))
		return !strchr(word, ' ') && strspn(word + 1, "0123456789.") < length - 1;
	return word[1] == '-' ? is_long_name(parse, word)
			      : length == 2 && row_of(parse, word[1]) >= 0;
}

static bool take_option(struct parse *parse, int code, const char *word, const char *value,
			struct muster_error *err)
{
	int index = row_of(parse, code);
	const struct option_row *row = parse->rows[index];
	bool may_shorten = is_as_az(parse);
	bool is_next_word = value && (value < word || value > word + strlen(word));
	char typed[128];

	if (code >= LONG_BASE && !may_shorten && !is_long_name(parse, word))
		return fail_unknown(parse, word, err);
	typed_name(typed, word, row->letter);
	if (is_next_word && is_option(parse, value))
		return option_fail(parse->verb, err,
				   "option '%s' needs a value: %s; one that begins with a dash is "
				   "written --%s=%s",
				   typed, row->placeholder, row->name, row->placeholder);
	if (code < LONG_BASE && value && value == strchr(word, '=')) {
		if (!may_shorten)
			return option_fail(parse->verb, err,
					   "there is no '=' behind '%s': it is %s %s, or --%s=%s",
					   typed, typed, row->placeholder, row->name,
					   row->placeholder);
		value++;
	}
	if (is_no_place(parse, row, value))
		return option_fail(parse->verb, err,
				   "option '%s' needs a value: %s; what is given is empty", typed,
				   row->placeholder);
	if ((row->flags & OPTION_ONCE) && parse->is_seen[index])
		return option_fail(parse->verb, err, "option '%s' is given twice; it takes one %s",
				   typed, row->placeholder);
	if ((row->flags & OPTION_SECRET) && !parse->is_seen[index] &&
	    !is_file_value(parse, value) && parse->shown_count < OPTION_SECRETS_MAX)
		memcpy(parse->shown[parse->shown_count++], typed, sizeof(typed));
	parse->is_seen[index] = true;
	parse->open_row =
		row->kind == OPTION_WORDS || (row->kind == OPTION_BOOL && !value) ? index : -1;
	memcpy(parse->open_name, typed, sizeof(parse->open_name));
	return store_word(parse, index, typed, value, err);
}

/* An abbreviation that getopt finds ambiguous and az would not. */
static bool take_abbreviation(struct parse *parse, int argc, char **argv, const char *word,
			      bool *ret_is_taken, struct muster_error *err)
{
	int code = is_as_az(parse) && text_has_prefix(word, "--") ? find_shortest(parse, word) : -1;
	const char *value = strchr(word, '=');

	*ret_is_taken = code >= 0 && !is_long_name(parse, word);
	if (!*ret_is_taken)
		return true;
	value = value ? value + 1 : NULL;
	if (!value && argument_of(parse->rows[row_of(parse, code)]) == required_argument) {
		if (optind == argc)
			return option_fail(parse->verb, err, "option '%s' needs a value: %s",
					   PRINTABLE(word),
					   parse->rows[row_of(parse, code)]->placeholder);
		value = argv[optind++];
	}
	return take_option(parse, code, word, value, err);
}

/* Walks until the end, --help, or (in front of the verb) the first word that is no option. */
static bool walk(struct parse *parse, int argc, char **argv, int *ret_next,
		 struct muster_error *err)
{
	optind = 0; /* glibc: start anew */
	opterr = 0;
	for (;;) {
		/* The first call of getopt sets optind; until then the word is the first. */
		int at = optind == 0 ? 1 : optind;
		int code = getopt_long(argc, argv, parse->letters, parse->longs, NULL);
		const char *word = at < argc ? argv[at] : "";
		bool is_taken = false;

		if (code == -1)
			break;
		if (code == '?' && !take_abbreviation(parse, argc, argv, word, &is_taken, err))
			return false;
		if (code == ':' || (code == '?' && !is_taken))
			return fail_option(parse, code, word, err);
		if (code != 1) {
			if (code != '?' && !take_option(parse, code, word, optarg, err))
				return false;
			if (parse->common->help)
				break;
			continue;
		}
		if (!parse->verb) {
			*ret_next = optind - 1;
			return true;
		}
		if (!take_word(parse, optarg, &is_taken, err))
			return false;
		if (!is_taken)
			parse->operands[parse->operand_count++] = optarg;
	}
	*ret_next = optind;
	return true;
}

bool option_is_from(const char *value, const char *variable)
{
	return process_variable_gave(value, variable);
}

const char *option_named(const char *value, const char *option, const char *variable)
{
	return option_is_from(value, variable) ? variable : option;
}

static bool is_output(const struct parse *parse, size_t index)
{
	return parse->is_common[index] &&
	       parse->rows[index]->offset == offsetof(struct common_options, output);
}

/* Before the verb's name. */
static bool is_in_front(const struct parse *parse, size_t index)
{
	return is_output(parse, index) && parse->common->output >= 0;
}

static bool take_environment(struct parse *parse, struct muster_error *err)
{
	for (size_t i = 0; i < parse->row_count; i++) {
		const char *variable = parse->rows[i]->environment;
		const char *value = variable && !parse->is_seen[i] ? getenv(variable) : NULL;

		if (!value || !*value || is_in_front(parse, i))
			continue;
		if (!store(parse, (int)i, variable, value, err))
			return false;
		if (is_output(parse, i))
			parse->common->output_is_environment = true;
	}
	return true;
}

/* When all of the line was read: --quiet may stand at its end. */
static void warn_of_shown(const struct parse *parse)
{
	for (size_t i = 0; i < parse->shown_count && !parse->common->quiet; i++)
		log_warning("'%s' shows its value to every user of this machine while it runs; "
			    "use a file instead",
			    parse->shown[i]);
}

static bool check_operands(const struct parse *parse, struct muster_error *err)
{
	const struct verb *verb = parse->verb;

	if (parse->operand_count < verb->operands_min)
		return option_fail(parse->verb, err, "'muster %s' needs %s", verb_full_name(verb),
				   verb->operands);
	if (parse->operand_count > verb->operands_max)
		return option_fail(parse->verb, err, "'muster %s' does not take '%s'",
				   verb_full_name(verb),
				   PRINTABLE(parse->operands[verb->operands_max]));
	return true;
}

bool options_parse(const struct verb *verb, int argc, char **argv, void *options,
		   struct common_options *common, struct option_files *files, const char **operands,
		   size_t *ret_operand_count, struct muster_error *err)
{
	struct parse parse = { .verb = verb,
			       .options = options,
			       .common = common,
			       .files = files,
			       .letters = "-:",
			       .open_row = -1,
			       .operands = operands };
	int next = argc;
	bool is_read;

	add_rows(&parse, verb->options, false);
	add_rows(&parse, common_rows, true);
	is_read = walk(&parse, argc, argv, &next, err);
	warn_of_shown(&parse);
	if (!is_read)
		return false;
	if (common->help)
		return true;
	while (next < argc)
		operands[parse.operand_count++] = argv[next++];
	if (!take_environment(&parse, err) || !check_operands(&parse, err))
		return false;
	*ret_operand_count = parse.operand_count;
	return true;
}

bool options_parse_front(int argc, char **argv, struct common_options *common, int *ret_next,
			 struct muster_error *err)
{
	struct parse parse = { .common = common, .letters = "-:", .open_row = -1 };

	add_rows(&parse, common_rows, true);
	return walk(&parse, argc, argv, ret_next, err);
}
