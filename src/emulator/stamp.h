/* The service's own forms: time stamps with seven digits, GUIDs, etags, registration ids. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

#define STAMP_SIZE 32
#define GUID_SIZE 37
#define ETAG_SIZE 64
#define ID_MAX 128

/* "2026-11-23T10:41:07.1230000Z". Returns out. */
char *stamp_format(char out[STAMP_SIZE], int64_t wall_ms);
/* Random; aborts when there is no randomness. Returns out. */
char *guid_new(char out[GUID_SIZE]);
/* A new etag as JSON shows it: base64 of a quoted text. Returns out. */
char *etag_new(char out[ETAG_SIZE]);
/* The quoted text inside, as the webhook sees it; a copy of `etag` when it is not base64. Returns out. */
char *etag_inner(char out[ETAG_SIZE], const char *etag);
/* Does an If-Match header (bare, in quotes, or "*") name this etag? */
bool etag_matches(const char *if_match, const char *etag);

/* 1..128 letters, digits, '-' '.' '_' ':'; the last a letter, digit or dash. */
bool id_is_valid(const char *id);
/* What IoT Hub takes as a device id. */
bool device_id_is_valid(const char *id);
