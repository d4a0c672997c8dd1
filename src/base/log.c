#include <stdarg.h>
#include <stdio.h>

#include "muster/log.h"

static enum log_level current_level = LOG_WARNING;
static const char *program_name = "muster";

void log_set_level(enum log_level level)
{
	current_level = level;
}

enum log_level log_get_level(void)
{
	return current_level;
}

void log_set_program(const char *name)
{
	program_name = name;
}

void log_message(enum log_level level, const char *format, ...)
{
	static const char *const words[] = { "error: ", "warning: ", "", "debug: " };
	char line[2048];
	va_list args;
	int used;

	if (level > current_level)
		return;
	used = snprintf(line, sizeof(line), "%s: %s", program_name, words[level]);
	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - (size_t)used, format, args);
	va_end(args);
	fprintf(stderr, "%s\n", line);
}
