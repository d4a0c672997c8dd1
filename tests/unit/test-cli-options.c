/* The line and the environment, by the rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/cli/cli-internal.h"
#include "temporary.h"

struct options {
	const char *profile;
	const char *login;
	bool dry_run;
	int64_t count, behind, fd;
	int state;
	const char *word;
	int edge; /* enum option_bool */
	struct option_list hubs;
	struct option_list tags;
	const char *folder;
	struct option_list keys;
};

static const char *const states[] = { "enabled", "disabled", NULL };

/* clang-format off */
static const struct option_row rows[] = {
	{ 'p', "profile", "prof-file,pf", OPTION_TEXT, "FILE", "", offsetof(struct options, profile), "MUSTER_TEST_PROFILE", NULL, 0 },
	{ 0, "login", NULL, OPTION_TEXT, "TEXT", "", offsetof(struct options, login), NULL, NULL, OPTION_SECRET },
	{ 0, "loud", NULL, OPTION_FLAG, NULL, "", offsetof(struct options, dry_run), NULL, NULL, 0 },
	{ 0, "login-file", NULL, OPTION_TEXT, "FILE", "", offsetof(struct options, login), NULL, NULL, 0 },
	{ 0, "dry-run", NULL, OPTION_FLAG, NULL, "", offsetof(struct options, dry_run), NULL, NULL, 0 },
	{ 0, "behind", NULL, OPTION_NUMBER_0, "N", "", offsetof(struct options, behind), NULL, NULL, 0 },
	{ 0, "fd", NULL, OPTION_FD, "N", "", offsetof(struct options, fd), NULL, NULL, 0 },
	{ 'c', "count", NULL, OPTION_NUMBER, "N", "", offsetof(struct options, count), "MUSTER_TEST_COUNT", NULL, 0 },
	{ 0, "state", NULL, OPTION_CHOICE, "STATE", "", offsetof(struct options, state), NULL, states, 0 },
	{ 0, "word", NULL, OPTION_ONE_OF, "WORD", "", offsetof(struct options, word), NULL, states, 0 },
	{ 0, "edge-enabled", "ee", OPTION_BOOL, "true|false", "", offsetof(struct options, edge), NULL, NULL, 0 },
	{ 0, "iot-hubs", "ih", OPTION_WORDS, "HUB", "", offsetof(struct options, hubs), NULL, NULL, 0 },
	{ 0, "state-tag", NULL, OPTION_LIST, "TAG", "", offsetof(struct options, tags), NULL, NULL, 0 },
	{ 0, "folder", NULL, OPTION_TEXT, "DIR", "", offsetof(struct options, folder), "MUSTER_TEST_FOLDER", NULL, OPTION_ONCE },
	{ 0, "station-key", NULL, OPTION_LIST, "FILE|URI", "", offsetof(struct options, keys), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static const struct verb exact = {
	.noun = "test",
	.name = "exact",
	.operands = "FILE",
	.operands_max = 2,
	.options = rows,
};

static const struct verb lenient = {
	.name = "lenient",
	.operands_max = 2,
	.options = rows,
	.is_as_az = true,
};

static struct options options;
static struct common_options common;
static struct option_files files;
static const char *operands[32];
static size_t operand_count;
static struct muster_error err;

/* The words stay until the next call: values point into them. */
static bool parse(const struct verb *verb, ...)
{
	static char copies[32][160];
	char *argv[32] = { copies[0] };
	int argc = 1;
	va_list words;

	va_start(words, verb);
	for (const char *word; (word = va_arg(words, const char *)); argc++)
		argv[argc] = strcpy(copies[argc], word);
	va_end(words);
	memset(&options, 0, sizeof(options));
	common = (struct common_options){ .output = -1 };
	operand_count = 0;
	option_files_done(&files);
	return options_parse(verb, argc, argv, &options, &common, &files, operands, &operand_count,
			     &err);
}

static void refuses(const char *sentence_part)
{
	assert_int_equal(err.cause, CAUSE_USAGE);
	assert_int_equal(err.code, MUSTER_E_USAGE);
	if (!strstr(err.message, sentence_part))
		fail_msg("'%s' has no '%s'", err.message, sentence_part);
}

static void takes_letters_names_and_aliases(void **state)
{
	(void)state;
	assert_true(parse(&exact, "-p", "a", NULL));
	assert_string_equal(options.profile, "a");
	assert_true(parse(&exact, "-pb", NULL));
	assert_string_equal(options.profile, "b");
	assert_true(parse(&exact, "--profile", "c", NULL));
	assert_string_equal(options.profile, "c");
	assert_true(parse(&exact, "--pf=d", NULL));
	assert_string_equal(options.profile, "d");
	assert_true(parse(&exact, "--dry-run", "-vvq", NULL));
	assert_true(options.dry_run);
	assert_int_equal(common.verbose, 2);
	assert_true(common.quiet);
}

static void takes_operands_anywhere(void **state)
{
	(void)state;
	assert_true(parse(&exact, "one", "-p", "x", "--", "--two", NULL));
	assert_int_equal(operand_count, 2);
	assert_string_equal(operands[0], "one");
	assert_string_equal(operands[1], "--two");
	assert_false(parse(&exact, "one", "two", "three", NULL));
	refuses("'three'");
}

static void refuses_abbreviations_but_where_they_are_allowed(void **state)
{
	(void)state;
	assert_false(parse(&exact, "--prof", "x", NULL));
	refuses("did you mean '--profile'");
	assert_true(parse(&lenient, "--profi", "x", NULL));
	assert_string_equal(options.profile, "x");
	assert_true(parse(&lenient, "--pro", "x", NULL));
	assert_false(parse(&lenient, "--lo", "x", NULL));
	refuses("could be");
}

static void takes_abbreviations_of_what_longer_names_begin_with(void **state)
{
	(void)state;
	assert_true(parse(&lenient, "--log", "x", "--logi=y", NULL));
	assert_string_equal(options.login, "y");
	assert_true(parse(&lenient, "--login-", "z", NULL));
	assert_string_equal(options.login, "z");
	assert_false(parse(&exact, "--log", "x", NULL));
	assert_false(parse(&lenient, "--log", NULL));
	refuses("'--log' needs a value: TEXT");
}

static void takes_letters_with_an_equals_sign_where_az_does(void **state)
{
	(void)state;
	assert_true(parse(&lenient, "-p=x", NULL));
	assert_string_equal(options.profile, "x");
	assert_true(parse(&lenient, "-p", "=x", NULL));
	assert_string_equal(options.profile, "=x");
	assert_false(parse(&exact, "-p=x", NULL));
	refuses("there is no '=' behind '-p': it is -p ");
	assert_true(parse(&exact, "-p", "=x", NULL));
	assert_string_equal(options.profile, "=x");
}

static void names_what_is_wrong(void **state)
{
	(void)state;
	assert_false(parse(&exact, "--profle", "x", NULL));
	refuses("did you mean '--profile'");
	assert_false(parse(&exact, "--zzzzzzzz", NULL));
	refuses("unknown option '--zzzzzzzz' (see muster test exact --help)");
	assert_false(parse(&exact, "-Z", NULL));
	refuses("unknown option '-Z'");
	assert_false(parse(&exact, "--profile", NULL));
	refuses("'--profile' needs a value: FILE");
	assert_false(parse(&exact, "-p", NULL));
	refuses("'-p' needs a value: FILE");
	assert_false(parse(&exact, "--dry-run=yes", NULL));
	refuses("'--dry-run' takes no value");
	assert_false(parse(&exact, "--\x1b[2J", NULL));
	assert_null(strchr(err.message, '\x1b'));
}

static void refuses_places_without_a_name(void **state)
{
	(void)state;
	assert_false(parse(&exact, "--folder", "", NULL));
	refuses("option '--folder' needs a value: DIR; what is given is empty");
	assert_false(parse(&exact, "--folder=", NULL));
	refuses("option '--folder' needs a value: DIR");
	assert_false(parse(&exact, "-p", "", NULL));
	refuses("option '-p' needs a value: FILE");
	assert_false(parse(&exact, "--station-key", "a", "--station-key", "", NULL));
	refuses("option '--station-key' needs a value: FILE|URI");
	assert_true(parse(&exact, "--login", "", NULL));
	assert_string_equal(options.login, "");
	assert_true(parse(&lenient, "-p", "", NULL));
	assert_string_equal(options.profile, "");
}

static void refuses_twice_what_is_given_once(void **state)
{
	(void)state;
	assert_false(parse(&exact, "--folder", "a", "--folder=b", NULL));
	refuses("option '--folder' is given twice; it takes one DIR");
	setenv("MUSTER_TEST_FOLDER", "a", 1);
	assert_true(parse(&exact, "--folder", "b", NULL));
	unsetenv("MUSTER_TEST_FOLDER");
	assert_string_equal(options.folder, "b");
	assert_true(parse(&exact, "-p", "a", "-p", "b", NULL));
	assert_string_equal(options.profile, "b");
}

static void never_takes_an_option_for_the_value_of_another(void **state)
{
	(void)state;
	assert_false(parse(&lenient, "-p", "--dry-run", NULL));
	refuses("'-p' needs a value: FILE; one that begins with a dash is written --profile=FILE");
	assert_false(parse(&lenient, "--prof", "-q", NULL));
	refuses("'--prof' needs a value");
	assert_false(parse(&lenient, "--profile", "--dry-rum", NULL));
	assert_false(parse(&lenient, "--ih", "--ee=true", NULL));
	assert_true(parse(&lenient, "-p=--dry-run", "--login", "- - x", NULL));
	assert_string_equal(options.profile, "--dry-run");
	assert_true(parse(&lenient, "-p", "-1", "--login", "-", NULL));
	assert_string_equal(options.profile, "-1");
	assert_false(parse(&exact, "-p", "--count=1", NULL));
	refuses("'-p' needs a value");
	assert_false(parse(&exact, "-vp", "-c", NULL));
	refuses("'-p' needs a value");
	assert_true(parse(&exact, "-p", "-A17", "--login=--dry-run", NULL));
	assert_string_equal(options.profile, "-A17");
	assert_string_equal(options.login, "--dry-run");
}

/* Of every command: the script's variable was empty. */
static void no_option_of_any_command_takes_the_next(void **state)
{
	size_t count = 0;

	(void)state;
	for (const struct verb *const *verb = verbs; *verb; verb++) {
		CLEANUP(freep) void *values = calloc(1, (*verb)->options_size + 1);

		for (const struct option_row *row = (*verb)->options; row && row->name; row++) {
			CLEANUP(freep) char *name = text_format("--%s", row->name);
			char next[] = "--verbose", first[] = "muster";
			char *argv[] = { first, name, next, NULL };

			if (row->kind == OPTION_FLAG || row->kind == OPTION_COUNT ||
			    row->kind == OPTION_BOOL)
				continue;
			assert_false(options_parse(*verb, 3, argv, values, &common, &files,
						   operands, &operand_count, &err));
			refuses("needs a value");
			count++;
		}
	}
	assert_true(count > 100);
}

static void checks_numbers_and_choices(void **state)
{
	(void)state;
	assert_true(parse(&exact, "--count=12", "--state", "disabled", "-ojson", NULL));
	assert_int_equal(options.count, 12);
	assert_int_equal(options.state, 1);
	assert_int_equal(common.output, OUTPUT_JSON);
	assert_false(parse(&exact, "--count=x", NULL));
	refuses("--count 'x' is not a number");
	assert_false(parse(&exact, "--count=-1", NULL));
	assert_false(parse(&exact, "--count=0", NULL));
	refuses("--count is 1 at least");
	assert_true(parse(&exact, "--behind=0", NULL));
	assert_int_equal(options.behind, 0);
	assert_false(parse(&exact, "--behind=-1", NULL));
	assert_true(parse(&exact, "--fd=2", NULL));
	assert_int_equal(options.fd, 2);
	assert_true(parse(&exact, "--fd=0", NULL));
	assert_true(options.fd > 2);
	close((int)options.fd);
	assert_false(parse(&exact, "--fd=77", NULL));
	refuses("--fd '77' is not an open descriptor");
	assert_false(parse(&exact, "--fd=4294967296", NULL));
	assert_false(parse(&exact, "--state=disable", NULL));
	refuses("did you mean 'disabled'");
	assert_false(parse(&exact, "-o", "xml", NULL));
	refuses("json, jsonl, yaml, table, tsv, none");
}

static void takes_words_up_to_the_next_option(void **state)
{
	(void)state;
	assert_true(parse(&lenient, "--ih", "h1", "h2", "--ee", "--state-tag", "a", "--state-tag",
			  "b", NULL));
	assert_int_equal(options.hubs.count, 2);
	assert_string_equal(options.hubs.words[1], "h2");
	assert_int_equal(options.edge, OPTION_TRUE);
	assert_int_equal(options.tags.count, 2);
	assert_int_equal(operand_count, 0);
	assert_true(parse(&lenient, "--ee", "False", "operand", NULL));
	assert_int_equal(options.edge, OPTION_FALSE);
	assert_int_equal(operand_count, 1);
	assert_true(parse(&lenient, "--ee=true", "operand", NULL));
	assert_int_equal(options.edge, OPTION_TRUE);
	assert_int_equal(operand_count, 1);
	assert_false(parse(&lenient, "one", "two", "--ee", "yes", NULL));
	refuses("--ee 'yes' is neither true nor false");
	assert_false(parse(&lenient, "--ee=maybe", NULL));
	refuses("neither true nor false");
	assert_true(parse(&lenient, NULL));
	assert_int_equal(options.edge, OPTION_UNSET);
}

static void takes_choices_in_any_case_where_az_does(void **state)
{
	(void)state;
	assert_true(parse(&lenient, "--state", "DISABLED", "--word=Disabled", NULL));
	assert_int_equal(options.state, 1);
	assert_string_equal(options.word, "disabled");
	assert_true(parse(&lenient, NULL));
	assert_null(options.word);
	assert_false(parse(&exact, "--word", "Disabled", NULL));
	refuses("did you mean 'disabled'");
	assert_false(parse(&lenient, "--word", "off", NULL));
	refuses("'off' is none of enabled, disabled");
}

static void reads_values_from_files_where_az_does(void **state)
{
	CLEANUP(freep) char *path = temporary_file(*state, "v", "one\ntwo\n\n", 0644);
	CLEANUP(freep) char *named = text_format("@%s", path);
	CLEANUP(freep) char *missing = text_format("--profile=@%s.not", path);

	assert_true(parse(&lenient, "-p", named, "--ih", named, "h2", NULL));
	assert_string_equal(options.profile, "one\ntwo");
	assert_string_equal(options.hubs.words[0], "one\ntwo");
	assert_int_equal(options.hubs.count, 2);
	assert_true(parse(&lenient, "-p", "@", NULL));
	assert_string_equal(options.profile, "@");
	assert_true(parse(&exact, "-p", named, NULL));
	assert_string_equal(options.profile, named);
	assert_false(parse(&lenient, missing, NULL));
	assert_int_equal(err.cause, CAUSE_INPUT_NOT_FOUND);
	assert_non_null(strstr(err.message, "--profile"));
	option_files_done(&files);
}

/* As they come from another system's editors and shells. */
static void reads_files_as_az_does(void **state)
{
	static const struct {
		const char *content, *value, *sentence;
	} files_of[] = {
		{ "\xef\xbb\xbf{}\r\n", "{}", NULL },
		{ "one\r\n\r\n", "one", NULL },
		{ "\r\n", "", NULL },
		{ "", "", NULL },
		{ "\xff\xfe{", NULL, "UTF-16" },
		{ "\xfe\xff{", NULL, "UTF-16" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(files_of); i++) {
		CLEANUP(freep)
		char *path = temporary_file(*state, "v", files_of[i].content, 0644);
		CLEANUP(freep) char *named = text_format("@%s", path);

		assert_int_equal(parse(&lenient, "-p", named, NULL), files_of[i].value != NULL);
		if (files_of[i].value)
			assert_string_equal(options.profile, files_of[i].value);
		else
			refuses(files_of[i].sentence);
	}
	CLEANUP(freep) char *ignored = temporary_file(*state, "home.txt", "x\n", 0644);
	CLEANUP(freep) char *home = strndup(ignored, strlen(ignored) - strlen("/home.txt"));

	setenv("HOME", home, 1);
	assert_true(parse(&lenient, "-p", "@~/home.txt", NULL));
	assert_string_equal(options.profile, "x");
	option_files_done(&files);
}

static void takes_no_secret_from_a_file_of_all(void **state)
{
	CLEANUP(freep) char *own = temporary_file(*state, "own", "k\r\n", 0600);
	CLEANUP(freep) char *shared = temporary_file(*state, "shared", "k\n", 0644);
	CLEANUP(freep) char *from_own = text_format("@%s", own);
	CLEANUP(freep) char *from_shared = text_format("@%s", shared);

	assert_true(parse(&lenient, "--login", from_own, NULL));
	assert_string_equal(options.login, "k");
	assert_false(parse(&lenient, "--login", from_shared, NULL));
	assert_int_equal(err.cause, CAUSE_SECRET_FILE_MODE);
	assert_non_null(strstr(err.message, "--login"));
	option_files_done(&files);
}

static void reads_the_environment_behind_the_line(void **state)
{
	(void)state;
	setenv("MUSTER_TEST_PROFILE", "from-env", 1);
	assert_true(parse(&exact, NULL));
	assert_string_equal(options.profile, "from-env");
	assert_true(parse(&exact, "-p", "from-line", NULL));
	assert_string_equal(options.profile, "from-line");
	setenv("MUSTER_TEST_PROFILE", "", 1);
	assert_true(parse(&exact, NULL));
	assert_null(options.profile);
	unsetenv("MUSTER_TEST_PROFILE");
	setenv("MUSTER_TEST_COUNT", "many", 1);
	assert_false(parse(&exact, NULL));
	refuses("MUSTER_TEST_COUNT 'many' is not a number");
	unsetenv("MUSTER_TEST_COUNT");
}

static void stops_at_help(void **state)
{
	(void)state;
	assert_true(parse(&exact, "--help", "--nonsense", NULL));
	assert_true(common.help);
	assert_true(parse(&exact, "-h", NULL));
	assert_true(common.help);
}

static void takes_common_options_in_front(void **state)
{
	char program[] = "muster", verbose[] = "-v", word[] = "provision", bad[] = "--profile";
	char *argv[] = { program, verbose, word, bad, NULL };
	int next = 0;

	(void)state;
	common = (struct common_options){ .output = -1 };
	assert_true(options_parse_front(4, argv, &common, &next, &err));
	assert_int_equal(next, 2);
	assert_int_equal(common.verbose, 1);
	argv[2] = bad;
	assert_false(options_parse_front(4, argv, &common, &next, &err));
	refuses("unknown option '--profile'");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_letters_names_and_aliases),
		cmocka_unit_test(takes_operands_anywhere),
		cmocka_unit_test(refuses_abbreviations_but_where_they_are_allowed),
		cmocka_unit_test(takes_abbreviations_of_what_longer_names_begin_with),
		cmocka_unit_test(takes_letters_with_an_equals_sign_where_az_does),
		cmocka_unit_test(names_what_is_wrong),
		cmocka_unit_test(refuses_places_without_a_name),
		cmocka_unit_test(refuses_twice_what_is_given_once),
		cmocka_unit_test(never_takes_an_option_for_the_value_of_another),
		cmocka_unit_test(no_option_of_any_command_takes_the_next),
		cmocka_unit_test(checks_numbers_and_choices),
		cmocka_unit_test(takes_words_up_to_the_next_option),
		cmocka_unit_test(takes_choices_in_any_case_where_az_does),
		test_with_directory(reads_values_from_files_where_az_does),
		test_with_directory(reads_files_as_az_does),
		test_with_directory(takes_no_secret_from_a_file_of_all),
		cmocka_unit_test(reads_the_environment_behind_the_line),
		cmocka_unit_test(stops_at_help),
		cmocka_unit_test(takes_common_options_in_front),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
