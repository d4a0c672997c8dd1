/* Collecting mistakes with their places. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/profile.h"

#define MISTAKES_MAX 100

/* A stretch of the source, in bytes. */
struct span {
	size_t at;
	size_t length;
};

/* The text that is read, and what was found wrong with it. */
struct source {
	const char *path;
	const char *data;
	size_t size;
	struct profile_report *report;
	bool is_out_of_memory;
	bool names_beside; /* a file, relative to its own folder */
};

bool source_open(struct source *source, const char *path, const char *data, size_t size,
		 struct profile_report *report, struct muster_error *err) MUST_CHECK;
void mistake_add(struct source *source, enum muster_cause cause, struct span span,
		 const char *format, ...) PRINTF_LIKE(4, 5);
/* What may be a secret is not shown: without the line. */
void mistake_add_unseen(struct source *source, enum muster_cause cause, struct span span,
			const char *format, ...) PRINTF_LIKE(4, 5);
void warning_add(struct source *source, enum muster_cause cause, struct span span,
		 const char *format, ...) PRINTF_LIKE(4, 5);
/* Sorts by place. Fails with CAUSE_PROFILE_INVALID when there are mistakes, or without memory. */
bool source_close(struct source *source, struct muster_error *err) MUST_CHECK;
