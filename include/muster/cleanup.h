/* Ownership by attribute: what ends with its scope, what must be looked at, what leaves. */
#pragma once

#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text_, first_) __attribute__((format(printf, text_, first_)))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Hands the pointer over and leaves NULL behind, so that its cleanup does nothing. */
#define TAKE_PTR(pointer)                           \
	({                                          \
		typeof(pointer) taken_ = (pointer); \
		(pointer) = NULL;                   \
		taken_;                             \
	})

#define TAKE_FD(fd)                \
	({                         \
		int taken_ = (fd); \
		(fd) = -1;         \
		taken_;            \
	})

/* A cleanup function `name` for variables of pointer type `type`. */
#define DEFINE_FREEP(name, type, release)      \
	static inline void name(type *pointer) \
	{                                      \
		if (*pointer)                  \
			release(*pointer);     \
	}

/* For CLEANUP on variables of any object pointer type obtained from malloc. */
void freep(void *pointer_to_pointer);
/* For CLEANUP on descriptors; -1 is "none". errno is kept. */
void closep(int *fd);
void fclosep(FILE **stream);
void closedirp(DIR **directory);
