/* Help screens and the dump, from the tables. */
#include <string.h>

#include "muster/json.h"

#include "cli-internal.h"

enum { NAME_WIDTH = 20, OPTION_WIDTH = 30 };

void help_short(FILE *stream)
{
	fputs("muster " MUSTER_VERSION " enrolls devices in Azure DPS and proves it\n\n"
	      "  muster provision --profile FILE   make a device a verified enrollment\n"
	      "  muster doctor                     check this station\n"
	      "  muster --help                     all commands\n",
	      stream);
}

static void print_command(FILE *stream, const char *name, const char *summary)
{
	fprintf(stream, "  %-*s %s\n", NAME_WIDTH, name, summary);
}

void help_main(FILE *stream)
{
	fputs("Usage: muster COMMAND [OPTIONS]\n\nCommands:\n", stream);
	for (size_t i = 0; verbs[i]; i++)
		print_command(stream, verb_full_name(verbs[i]), verbs[i]->summary);
	print_command(stream, "help COMMAND", "Show the help of a command");
	fputs("\nOptions:\n"
	      "  -h, --help                   Show this help and exit\n"
	      "  -V, --version                Show the version and exit\n"
	      "\nExit status and environment: man muster. An error's number: muster explain CODE.\n",
	      stream);
}

void help_noun(FILE *stream, const struct noun *noun)
{
	fprintf(stream, "Usage: muster %s VERB [OPTIONS]\n\n%s.\n\nVerbs:\n", noun->name,
		noun->summary);
	for (size_t i = 0; verbs[i]; i++) {
		if (verbs[i]->noun && strcmp(verbs[i]->noun, noun->name) == 0)
			print_command(stream, verbs[i]->name, verbs[i]->summary);
	}
}

/* Where people come from az, they look for its short names. */
static void print_option(FILE *stream, const struct option_row *row, bool with_aliases)
{
	char left[128], aliases[64] = "";
	int used;

	if (row->flags & OPTION_HIDDEN)
		return;
	for (const char *alias = row->aliases; with_aliases && alias && *alias;) {
		int length = (int)strcspn(alias, ",");
		size_t end = strlen(aliases);

		snprintf(aliases + end, sizeof(aliases) - end, ", --%.*s", length, alias);
		alias += length + (alias[length] == ',');
	}
	used = row->letter ? snprintf(left, sizeof(left), "-%c, --%s%s", row->letter, row->name,
				      aliases)
			   : snprintf(left, sizeof(left), "    --%s%s", row->name, aliases);
	if (row->placeholder)
		snprintf(left + used, sizeof(left) - (size_t)used,
			 row->kind == OPTION_BOOL    ? "[=%s]"
			 : row->kind == OPTION_WORDS ? " %s..."
						     : "=%s",
			 row->placeholder);
	fprintf(stream, "  %-*s", OPTION_WIDTH - 2, left);
	if (strlen(left) > OPTION_WIDTH - 2)
		fprintf(stream, "\n%*s", OPTION_WIDTH, "");
	fprintf(stream, " %s", row->help);
	if (row->environment)
		fprintf(stream, " [%s]", row->environment);
	fputc('\n', stream);
}

void help_verb(FILE *stream, const struct verb *verb)
{
	fprintf(stream, "Usage: muster %s [OPTIONS]%s%s\n\n%s\n\nOptions:\n", verb_full_name(verb),
		verb->operands ? " " : "", verb->operands ? verb->operands : "", verb->description);
	for (const struct option_row *row = verb->options; row && row->name; row++)
		print_option(stream, row, verb->is_as_az);
	for (const struct option_row *row = common_rows; row->name; row++)
		print_option(stream, row, verb->is_as_az);
}

/* -- The dump --------------------------------------------------------------------------------------------- */

static const char *const kind_names[] = {
	[OPTION_FLAG] = "flag",     [OPTION_COUNT] = "count",     [OPTION_TEXT] = "text",
	[OPTION_NUMBER] = "number", [OPTION_NUMBER_0] = "number", [OPTION_FD] = "number",
	[OPTION_CHOICE] = "choice", [OPTION_ONE_OF] = "choice",   [OPTION_BOOL] = "bool",
	[OPTION_LIST] = "list",     [OPTION_WORDS] = "words",
};

/* Every row has every member, so that readers need not ask. */
static bool add_text(cJSON *object, const char *name, const char *value)
{
	return value ? json_add_text(object, name, value)
		     : cJSON_AddNullToObject(object, name) != NULL;
}

static bool add_words(cJSON *object, const char *name, const char *const *words)
{
	cJSON *array = cJSON_AddArrayToObject(object, name);

	for (; array && words && *words; words++) {
		if (!cJSON_AddItemToArray(array, cJSON_CreateString(*words)))
			return false;
	}
	return array;
}

static bool add_aliases(cJSON *object, const char *aliases)
{
	CLEANUP(freep) char *copy = strdup(aliases ? aliases : "");
	const char *words[32] = { NULL };
	char *state = NULL;
	size_t count = 0;

	if (!copy)
		return false;
	for (char *word = strtok_r(copy, ",", &state); word && count + 1 < ARRAY_SIZE(words);
	     word = strtok_r(NULL, ",", &state))
		words[count++] = word;
	return add_words(object, "aliases", words);
}

static bool dump_option(cJSON *array, const struct option_row *row)
{
	const char letter[2] = { row->letter, '\0' };
	cJSON *object = cJSON_CreateObject();

	return object && cJSON_AddItemToArray(array, object) &&
	       add_text(object, "letter", row->letter ? letter : NULL) &&
	       json_add_text(object, "name", row->name) && add_aliases(object, row->aliases) &&
	       json_add_text(object, "kind", kind_names[row->kind]) &&
	       add_text(object, "placeholder", row->placeholder) &&
	       json_add_text(object, "help", row->help) &&
	       add_text(object, "environment", row->environment) &&
	       add_words(object, "choices", row->choices) &&
	       json_add_bool(object, "hidden", row->flags & OPTION_HIDDEN) &&
	       json_add_bool(object, "secret", row->flags & OPTION_SECRET);
}

static bool dump_options(cJSON *object, const struct option_row *rows)
{
	cJSON *array = cJSON_AddArrayToObject(object, "options");

	for (; array && rows && rows->name; rows++) {
		if (!dump_option(array, rows))
			return false;
	}
	return array;
}

static bool dump_columns(cJSON *object, const struct verb *verb)
{
	cJSON *array = cJSON_AddArrayToObject(object, "columns");

	for (size_t i = 0; array && i < verb->column_count; i++) {
		if (!cJSON_AddItemToArray(array, cJSON_CreateString(verb->columns[i].key)))
			return false;
	}
	return array && add_text(object, "rows", verb->rows);
}

static bool dump_verb(cJSON *array, const struct verb *verb)
{
	cJSON *object = cJSON_CreateObject();

	return object && cJSON_AddItemToArray(array, object) &&
	       json_add_text(object, "name", verb_full_name(verb)) &&
	       add_text(object, "operands", verb->operands) &&
	       json_add_text(object, "summary", verb->summary) &&
	       json_add_text(object, "output", output_formats[verb->default_output]) &&
	       dump_columns(object, verb) && json_add_bool(object, "prefixes", verb->is_as_az) &&
	       dump_options(object, verb->options);
}

static bool dump_nouns(cJSON *root)
{
	cJSON *array = cJSON_AddArrayToObject(root, "nouns");

	for (const struct noun *noun = nouns; array && noun->name; noun++) {
		cJSON *object = cJSON_CreateObject();

		if (!object || !cJSON_AddItemToArray(array, object) ||
		    !json_add_text(object, "name", noun->name) ||
		    !json_add_text(object, "summary", noun->summary))
			return false;
	}
	return array;
}

bool help_dump(FILE *stream, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *root = cJSON_CreateObject();
	cJSON *array = root ? cJSON_AddArrayToObject(root, "verbs") : NULL;

	if (!array || !dump_options(root, common_rows) || !dump_nouns(root))
		return muster_fail_memory(err);
	for (size_t i = 0; verbs[i]; i++) {
		if (!dump_verb(array, verbs[i]))
			return muster_fail_memory(err);
	}
	return output_print(stream, OUTPUT_JSON, root, NULL, 0, err);
}
