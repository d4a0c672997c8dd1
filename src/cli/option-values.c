#include "option-values.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "muster/text.h"

bool option_fail(const struct verb *verb, struct muster_error *err, const char *format, ...)
{
	char sentence[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	if (strstr(sentence, "did you mean"))
		return muster_fail(err, CAUSE_USAGE, "%s", sentence);
	return muster_fail(err, CAUSE_USAGE, "%s (see muster %s%s--help)", sentence,
			   verb ? verb_full_name(verb) : "", verb ? " " : "");
}

static bool find_choice(const struct verb *verb, const struct option_row *row, const char *named,
			const char *value, size_t *ret_index, struct muster_error *err)
{
	CLEANUP(text_done) struct text names = TEXT_MAX(512);
	bool is_coloured = text_equal_folded(value, "jsonc") || text_equal_folded(value, "yamlc");
	bool is_as_az = verb && verb->is_as_az;
	const char *nearest;
	size_t count = 0;

	if (is_as_az && row->choices == output_formats && is_coloured)
		value = tolower((unsigned char)*value) == 'j' ? "json" : "yaml";
	for (; row->choices[count]; count++) {
		if (is_as_az ? text_equal_folded(row->choices[count], value)
			     : strcmp(row->choices[count], value) == 0) {
			*ret_index = count;
			return true;
		}
		text_addf(&names, "%s%s", count > 0 ? ", " : "", row->choices[count]);
	}
	nearest = text_nearest(value, row->choices, count);
	if (nearest)
		return option_fail(verb, err, "%s '%s' is not known; did you mean '%s'?", named,
				   PRINTABLE(value), nearest);
	return option_fail(verb, err, "%s '%s' is none of %s", named, PRINTABLE(value), names.data);
}

static bool store_bool(const struct verb *verb, const char *named, const char *value,
		       enum option_bool *field, struct muster_error *err)
{
	if (!value || text_equal_folded(value, "true"))
		*field = OPTION_TRUE;
	else if (text_equal_folded(value, "false"))
		*field = OPTION_FALSE;
	else
		return option_fail(verb, err, "%s '%s' is neither true nor false", named,
				   PRINTABLE(value));
	return true;
}

static bool store_number(const struct verb *verb, const char *named, const char *value,
			 int64_t least, int64_t *field, struct muster_error *err)
{
	if (!text_to_int64(value, 0, INT64_MAX, field))
		return option_fail(verb, err, "%s '%s' is not a number", named, PRINTABLE(value));
	return *field >= least ||
	       option_fail(verb, err, "%s is %lld at least", named, (long long)least);
}

/* Before we open any of our own, which would be taken for it. */
static bool store_fd(const struct verb *verb, const char *named, const char *value, int64_t *field,
		     struct muster_error *err)
{
	if (!text_to_int64(value, 0, INT_MAX, field) || fcntl((int)*field, F_GETFD) < 0)
		return option_fail(verb, err, "%s '%s' is not an open descriptor", named,
				   PRINTABLE(value));
	if (*field == 0)
		*field = fcntl(0, F_DUPFD_CLOEXEC, 3);
	return *field > 0 || muster_fail_errno(err, CAUSE_INTERNAL, errno, "doubling a descriptor");
}

bool option_store(const struct verb *verb, const struct option_row *row, const char *named,
		  const char *value, void *field, struct muster_error *err)
{
	struct option_list *list = field;
	size_t choice;

	switch (row->kind) {
	case OPTION_FLAG:
		*(bool *)field = true;
		return true;
	case OPTION_COUNT:
		++*(int *)field;
		return true;
	case OPTION_TEXT:
		*(const char **)field = value;
		return true;
	case OPTION_NUMBER:
	case OPTION_NUMBER_0:
		return store_number(verb, named, value, row->kind == OPTION_NUMBER, field, err);
	case OPTION_FD:
		return store_fd(verb, named, value, field, err);
	case OPTION_CHOICE:
		if (!find_choice(verb, row, named, value, &choice, err))
			return false;
		*(int *)field = (int)choice;
		return true;
	case OPTION_ONE_OF:
		if (!find_choice(verb, row, named, value, &choice, err))
			return false;
		*(const char **)field = row->choices[choice];
		return true;
	case OPTION_BOOL:
		return store_bool(verb, named, value, field, err);
	case OPTION_LIST:
	case OPTION_WORDS:
		if (list->count == OPTION_LIST_MAX)
			return option_fail(verb, err, "%s is given more than %d times", named,
					   OPTION_LIST_MAX);
		list->words[list->count++] = value;
		return true;
	}
	abort();
}
