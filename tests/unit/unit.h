/* What unit tests of the ground floor share: cmocka, and words for the checks they make most. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "muster/error.h"

/* What should have gone well, with the error's words when it did not. */
#define assert_good(good, err)                                                      \
	do {                                                                        \
		if (!(good))                                                        \
			fail_msg("%s: E%u: %s", #good, (err).cause, (err).message); \
	} while (0)

/* What should have failed, for that cause. */
#define assert_fails(good, err, expected)                                                      \
	do {                                                                                   \
		(err) = (struct muster_error){ 0 };                                            \
		if (good)                                                                      \
			fail_msg("%s went well", #good);                                       \
		if ((err).cause != (expected))                                                 \
			fail_msg("%s: E%u instead of E%u: %s", #good, (err).cause, (expected), \
				 (err).message);                                               \
	} while (0)

#define assert_contains(text, part)                                      \
	do {                                                             \
		if (!strstr((text), (part)))                             \
			fail_msg("'%s' is not in '%s'", (part), (text)); \
	} while (0)
