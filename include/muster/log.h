/* Talk for people, on standard error. Silent about secrets by rule: nothing that holds one is ever passed here. */
#pragma once

#include "muster/cleanup.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

/* Default LOG_NOTICE. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* Prefix of each line, e.g. "muster"; static string. */
void log_set_program(const char *name);
/* JOURNAL_STREAM of a service: which file leads to the journal; borrowed. NULL: none. */
void log_set_stream(const char *stream);
void log_message(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
/* What a line on standard error begins with where that goes to the journal ("<4>", sd-daemon(3)); elsewhere "". */
const char *log_priority(enum log_level level);
#define log_debug(...) log_message(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_message(LOG_INFO, __VA_ARGS__)
#define log_notice(...) log_message(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
