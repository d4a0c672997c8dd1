/* From the line to the verb and to the exit status. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "muster/log.h"
#include "muster/process.h"
#include "muster/station-hooks.h"
#include "muster/station-token.h"
#include "muster/station.h"
#include "muster/text.h"

#include "cli-internal.h"
#include "interrupt.h"

enum { NAMES_MAX = 64 };

static bool fail_unknown_word(const char *noun, const char *word, struct muster_error *err)
{
	const char *candidates[NAMES_MAX], *nearest;
	size_t count = 0;

	for (size_t i = 0; verbs[i] && count < NAMES_MAX; i++) {
		if (noun ? verbs[i]->noun && strcmp(verbs[i]->noun, noun) == 0 : !verbs[i]->noun)
			candidates[count++] = verbs[i]->name;
	}
	for (const struct noun *other = nouns; !noun && other->name && count < NAMES_MAX; other++)
		candidates[count++] = other->name;
	nearest = text_nearest(word, candidates, count);
	return muster_fail(err, CAUSE_USAGE, "there is no command '%s%s%s'%s%s%s", noun ? noun : "",
			   noun ? " " : "", PRINTABLE(word),
			   nearest ? "; did you mean '" : " (see muster --help)",
			   nearest ? nearest : "", nearest ? "'?" : "");
}

/* What the words in front name: a verb, or a noun alone (then *ret_verb is NULL), or neither. Consumes one or two. */
static bool find_command(int argc, char **argv, const struct verb **ret_verb,
			 const struct noun **ret_noun, int *ret_used, struct muster_error *err)
{
	const struct noun *noun = noun_find(argv[0]);
	const struct verb *verb = verb_find(NULL, argv[0]);

	/* az has "enrollment registration show". */
	if (argc > 1 && strcmp(argv[0], "enrollment") == 0 &&
	    strcmp(argv[1], "registration") == 0) {
		if (!find_command(argc - 1, argv + 1, ret_verb, ret_noun, ret_used, err))
			return false;
		++*ret_used;
		return true;
	}

	if (!noun && !verb)
		return fail_unknown_word(NULL, argv[0], err);
	if (noun && argc > 1 && argv[1][0] != '-') {
		verb = verb_find(noun->name, argv[1]);
		if (!verb)
			return fail_unknown_word(noun->name, argv[1], err);
	}
	*ret_noun = noun;
	*ret_verb = verb;
	*ret_used = noun && verb ? 2 : 1;
	return true;
}

/* Who closes the terminal ends the run, and a signal to a pipeline ends who reads, too: what cannot be said there any more is no
 * failure of its own, whichever came first. */
static bool is_end_of_both(const struct muster_error *err, int signal)
{
	return err->cause == CAUSE_OUTPUT_WRITE &&
	       ((signal == SIGHUP && err->native == EIO) || (signal > 0 && err->native == EPIPE));
}

/* Who reads has gone ("| head"): the status says it, a sentence would only be in the way. */
static bool is_broken_pipe(const struct muster_error *err)
{
	return err->origin == ORIGIN_ERRNO && err->native == EPIPE && ferror(stdout);
}

static int finish(const struct muster_error *err, enum output_format format, bool is_missed)
{
	int number = station_signal() ? station_signal() : interrupt_signal();
	bool is_signal =
		(err->cause == CAUSE_INTERRUPTED && number > 0) || is_end_of_both(err, number);
	int status = is_signal ? 128 + number : (int)err->code;

	if (is_missed || !is_broken_pipe(err))
		output_error(err, format, status);
	return status;
}

static void set_levels(const struct common_options *common)
{
	if (common->quiet)
		log_set_level(LOG_ERROR);
	else if (common->verbose > 0)
		log_set_level(common->verbose > 1 ? LOG_DEBUG : LOG_INFO);
}

/* A proxy that somebody counts on, a trace that does not come. */
static void tell_removed_variables(void)
{
	for (const char *const *name = process_removed_variables(); *name; name++)
		log_info("the environment's %s is set, and ignored", *name);
}

/* -- How errors are to look ----------------------------------------------------------------------------------- */

/* -1: no format has that name. */
static int format_of(const char *name)
{
	for (int format = 0; output_formats[format]; format++)
		if (text_equal_folded(output_formats[format], name) ||
		    (text_equal_folded(name, "jsonc") && format == OUTPUT_JSON))
			return format;
	return -1;
}

/* What a word gives --output, in any spelling that somebody may try; NULL when it is another word. */
static const char *output_value(const char *word, const char *next, bool is_as_az)
{
	size_t length = strcspn(word, "=");

	if (text_has_prefix(word, "--")) {
		if (strncmp(word, "--output", length) != 0 ||
		    length < strlen(is_as_az ? "--o" : "--output"))
			return NULL;
		return word[length] ? word + length + 1 : next;
	}
	if (word[0] != '-')
		return NULL;
	word += 1 + strspn(word + 1, "vq");
	if (*word++ != 'o')
		return NULL;
	word += *word == '=';
	return *word ? word : next;
}

/* Of a line that was not understood: the format may stand behind the mistake. -1 when none is asked for, as `so_far`. */
static int find_output(int argc, char **argv, bool is_as_az, int so_far)
{
	const char *variable = getenv("MUSTER_OUTPUT");
	int found = so_far < 0 && variable ? format_of(variable) : so_far;

	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const char *value =
			output_value(argv[i], i + 1 < argc ? argv[i + 1] : "", is_as_az);
		int format = value ? format_of(value) : -1;

		if (format >= 0)
			found = format;
	}
	return found;
}

/* Of a line without a command that there is. */
static int finish_line(const struct muster_error *err, int argc, char **argv, int so_far)
{
	int format = find_output(argc, argv, false, so_far);

	return finish(err, format < 0 ? OUTPUT_TABLE : (enum output_format)format, false);
}

/* Also what was lost before the end. */
static bool flush_output(struct muster_error *err)
{
	return (fflush(stdout) == 0 && !ferror(stdout)) ||
	       muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "writing to standard output");
}

/* argv[0] is the last word of the verb's name. */
static int run_verb(const struct verb *verb, int argc, char **argv, struct common_options *common)
{
	CLEANUP(freep) void *options = calloc(1, verb->options_size + 1);
	CLEANUP(freep) const char **operands = calloc((size_t)argc + 1, sizeof(*operands));
	CLEANUP(option_files_done) struct option_files files = { 0 };
	struct invocation call = { .verb = verb, .options = options, .operands = operands };
	struct muster_error err = { 0 };
	bool is_done;

	if (!options || !operands) {
		muster_fail_memory(&err);
		return finish(&err, OUTPUT_TABLE, false);
	}
	is_done = options_parse(verb, argc, argv, options, common, &files, operands,
				&call.operand_count, &err);
	if (!is_done)
		common->output = find_output(argc, argv, verb->is_as_az, common->output);
	call.output =
		common->output < 0 ? verb->default_output : (enum output_format)common->output;
	call.is_output_asked = common->output >= 0 && !common->output_is_environment;
	call.is_quiet = common->quiet;
	if (is_done && common->help) {
		help_verb(stdout, verb);
		return 0;
	}
	set_levels(common);
	tell_removed_variables();
	is_done = is_done && verb->run(&call, &err);
	station_forget_typed();
	if (is_done && flush_output(&err))
		return 0;
	fflush(stdout);
	/* Who asked for no format gets a sentence, also from verbs whose results are JSON. */
	return finish(&err, common->output < 0 ? OUTPUT_TABLE : call.output, verb->is_missed);
}

static int run_help(int argc, char **argv, int output, struct muster_error *err)
{
	const struct verb *verb = NULL;
	const struct noun *noun = NULL;
	int used = 0;

	if (argc == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
		help_main(stdout);
		return 0;
	}
	if (!find_command(argc, argv, &verb, &noun, &used, err))
		return finish_line(err, argc, argv, output);
	if (verb)
		help_verb(stdout, verb);
	else
		help_noun(stdout, noun);
	return 0;
}

static int run_command(int argc, char **argv, struct common_options *common)
{
	const struct verb *verb = NULL;
	const struct noun *noun = NULL;
	struct muster_error err = { 0 };
	int used = 0;

	if (strcmp(argv[0], "help") == 0)
		return run_help(argc - 1, argv + 1, common->output, &err);
	if (!find_command(argc, argv, &verb, &noun, &used, &err))
		return finish_line(&err, argc, argv, common->output);
	if (verb)
		return run_verb(verb, argc - used + 1, argv + used - 1, common);
	if (argc == used || strcmp(argv[used], "-h") == 0 || strcmp(argv[used], "--help") == 0) {
		help_noun(stdout, noun);
		return 0;
	}
	muster_fail(&err, CAUSE_USAGE, "'%s' needs a verb (see muster %s --help)", noun->name,
		    noun->name);
	return finish_line(&err, argc, argv, common->output);
}

static int dump(void)
{
	struct muster_error err = { 0 };

	return help_dump(stdout, &err) ? 0 : finish(&err, OUTPUT_TABLE, false);
}

static int run_line(int argc, char **argv)
{
	struct common_options common = { .output = -1 };
	struct muster_error err = { 0 };
	int next = argc;

	if (argc < 2) {
		help_short(stdout);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--dump-options") == 0)
		return dump();
	if (argc > 2 && strcmp(argv[1], "--complete") == 0) {
		complete_print(stdout, argc - 2, argv + 2);
		return 0;
	}
	if (!options_parse_front(argc, argv, &common, &next, &err))
		return finish_line(&err, argc, argv, common.output);
	if (common.help) {
		help_main(stdout);
		return 0;
	}
	if (next >= argc) {
		muster_fail(&err, CAUSE_USAGE, "a command is needed (see muster --help)");
		return finish_line(&err, argc, argv, common.output);
	}
	return run_command(argc - next, argv + next, &common);
}

int cli_run(int argc, char **argv)
{
	struct muster_error err = { 0 };
	int status = run_line(argc, argv);

	if (status == 0 && !flush_output(&err))
		status = finish(&err, OUTPUT_TABLE, false);
	/* Who stops us wants an end. */
	hooks_linger(station_signal() == 0);
	return status;
}
