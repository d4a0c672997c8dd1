/* What may stand next on a line, for the completion of shells: from the same tables as parsing and --help. */
#include <string.h>

#include "muster/text.h"

#include "cli-internal.h"

struct line {
	FILE *stream;
	int count; /* at least 1; the last word is the one to complete, maybe "" */
	char **words;
};

static const char *last(const struct line *line)
{
	return line->words[line->count - 1];
}

/* `lead` goes in front of the candidate and is part of what was typed. */
static void offer(const struct line *line, const char *lead, const char *candidate,
		  const char *typed)
{
	if (text_has_prefix(candidate, typed))
		fprintf(line->stream, "%s%s\n", lead, candidate);
}

/* -- Options ------------------------------------------------------------------------------------------------ */

static bool is_named(const struct option_row *row, const char *name, size_t length)
{
	const char *alias = row->aliases;

	if (strlen(row->name) == length && strncmp(row->name, name, length) == 0)
		return true;
	while (alias && *alias) {
		size_t alias_length = strcspn(alias, ",");

		if (alias_length == length && strncmp(alias, name, length) == 0)
			return true;
		alias += alias_length + (alias[alias_length] == ',');
	}
	return false;
}

/* The row of "--name", "--name=..." or "-x". */
static const struct option_row *find_row(const struct option_row *rows, const char *word)
{
	bool is_long = text_has_prefix(word, "--");

	for (; rows && rows->name; rows++) {
		if (is_long ? is_named(rows, word + 2, strcspn(word + 2, "="))
			    : word[0] == '-' && word[1] && !word[2] && word[1] == rows->letter)
			return rows;
	}
	return NULL;
}

static const struct option_row *row_of(const struct verb *verb, const char *word)
{
	const struct option_row *row = verb ? find_row(verb->options, word) : NULL;

	return row ? row : find_row(common_rows, word);
}

static bool needs_value(const struct option_row *row)
{
	return row && row->kind != OPTION_FLAG && row->kind != OPTION_COUNT &&
	       row->kind != OPTION_BOOL;
}

/* Where there is no choice nothing is offered, and the shell falls back to files. */
static void offer_values(const struct line *line, const struct option_row *row, const char *lead,
			 const char *typed)
{
	static const char *const booleans[] = { "true", "false", NULL };
	const char *const *choices = row->kind == OPTION_BOOL ? booleans : row->choices;

	for (; choices && *choices; choices++)
		offer(line, lead, *choices, typed);
}

static void offer_options(const struct line *line, const struct option_row *rows)
{
	for (; rows && rows->name; rows++)
		if (!(rows->flags & OPTION_HIDDEN))
			offer(line, "--", rows->name,
			      text_has_prefix(last(line), "--") ? last(line) + 2 : "");
}

/* -- Commands ----------------------------------------------------------------------------------------------- */

static void offer_commands(const struct line *line, const struct noun *noun)
{
	for (size_t i = 0; verbs[i]; i++)
		if (noun ? verbs[i]->noun && strcmp(verbs[i]->noun, noun->name) == 0
			 : !verbs[i]->noun)
			offer(line, "", verbs[i]->name, last(line));
	for (const struct noun *other = nouns; !noun && other->name; other++)
		offer(line, "", other->name, last(line));
	if (!noun)
		offer(line, "", "help", last(line));
}

/* What the words in front of the last name. */
static void find_command(const struct line *line, const struct noun **ret_noun,
			 const struct verb **ret_verb)
{
	const struct noun *noun = NULL;
	const struct verb *verb = NULL;

	for (int i = 0; i < line->count - 1 && !verb; i++) {
		const char *word = line->words[i];

		if (word[0] == '-')
			i += needs_value(row_of(NULL, word)) && !strchr(word, '=');
		else if (!noun && noun_find(word))
			noun = noun_find(word);
		else
			verb = verb_find(noun ? noun->name : NULL, word);
	}
	*ret_noun = noun;
	*ret_verb = verb;
}

/* -- The word ------------------------------------------------------------------------------------------------ */

/* The option whose value the last word is, when it stands in front of it; bash makes a word of "=". */
static const struct option_row *option_before(const struct line *line, const struct verb *verb)
{
	int at = line->count - 2;
	const struct option_row *row;

	if (at > 0 && strcmp(line->words[at], "=") == 0)
		return row_of(verb, line->words[at - 1]);
	row = at >= 0 && !strchr(line->words[at], '=') ? row_of(verb, line->words[at]) : NULL;
	return needs_value(row) ? row : NULL;
}

void complete_print(FILE *stream, int count, char **words)
{
	struct line line = { stream, count, words };
	const struct option_row *before, *row;
	const struct noun *noun;
	const struct verb *verb;
	const char *word, *equals;

	if (count < 1)
		return;
	find_command(&line, &noun, &verb);
	before = option_before(&line, verb);
	word = last(&line);
	equals = text_has_prefix(word, "--") ? strchr(word, '=') : NULL;
	row = equals ? row_of(verb, word) : NULL;
	if (before) {
		offer_values(&line, before, "", strcmp(word, "=") == 0 ? "" : word);
	} else if (row) {
		CLEANUP(freep) char *lead = strndup(word, (size_t)(equals + 1 - word));

		if (lead)
			offer_values(&line, row, lead, equals + 1);
	} else if (word[0] == '-') {
		offer_options(&line, verb ? verb->options : NULL);
		offer_options(&line, common_rows);
	} else if (!verb) {
		offer_commands(&line, noun);
	}
}
