#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/log.h"

static enum log_level current_level = LOG_NOTICE;
static const char *program_name = "muster";
static const char *journal_stream;

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

void log_set_stream(const char *stream)
{
	journal_stream = stream;
}

/* Standard error may have been put elsewhere since. */
static bool is_journal(int fd)
{
	struct stat status;
	char own[64];

	if (!journal_stream || fstat(fd, &status) < 0)
		return false;
	snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
	return strcmp(journal_stream, own) == 0;
}

const char *log_priority(enum log_level level)
{
	static const char *const marks[] = {
		[LOG_ERROR] = "<3>", [LOG_WARNING] = "<4>", [LOG_NOTICE] = "<5>",
		[LOG_INFO] = "<6>",  [LOG_DEBUG] = "<7>",
	};

	return is_journal(STDERR_FILENO) ? marks[level] : "";
}

void log_message(enum log_level level, const char *format, ...)
{
	static const char *const words[] = { "error: ", "warning: ", "", "", "debug: " };
	char line[2048];
	va_list args;
	int used;

	if (level > current_level)
		return;
	used = snprintf(line, sizeof(line), "%s%s: %s", log_priority(level), program_name,
			words[level]);
	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - (size_t)used, format, args);
	va_end(args);
	fprintf(stderr, "%s\n", line);
}
