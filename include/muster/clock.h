/* Time: deadlines by CLOCK_BOOTTIME (a jump of the wall clock changes nothing), stamps by the wall clock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RFC3339_SIZE 32

/* More than this, and one of two clocks is wrong. */
enum { CLOCK_SKEW_MAX_MS = 5 * 60 * 1000 };

/* Milliseconds since boot, suspend included. */
int64_t clock_now_ms(void);
/* Milliseconds since 1970 UTC. */
int64_t clock_wall_ms(void);
/* "2026-11-23T10:41:07.123Z". Returns out. */
char *rfc3339_format(char out[RFC3339_SIZE], int64_t wall_ms);
/* RFC 3339 UTC ("Z" or offset), fraction of any length. False when it is not one. */
bool rfc3339_parse(const char *text, int64_t *ret_wall_ms);
/* IMF-fixdate of an HTTP Date header. False when it is not one. */
bool http_date_parse(const char *text, int64_t *ret_wall_ms);
