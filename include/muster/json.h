/* The only door for JSON from outside: a strict reader in front of cJSON. It refuses duplicate keys, trailing
 * text, \u0000, invalid UTF-8, raw control characters, too deep nesting and too large input, which cJSON itself lets
 * pass. Numbers are kept as written: in the tree they are cJSON_Raw items that print as they came. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/text.h"

#define JSON_DEPTH_MAX 32
#define JSON_SIZE_MAX (1024 * 1024)

DEFINE_FREEP(cJSON_freep, cJSON *, cJSON_Delete)

/* `what` names the input in the message ("the reply", "initialTwin.json"); the error is CAUSE_JSON_INVALID with
 * line and column. Size is at most JSON_SIZE_MAX. *ret_root is the caller's (cJSON_Delete). */
bool json_parse(const char *data, size_t size, const char *what, cJSON **ret_root,
		struct muster_error *err) MUST_CHECK;
/* The same for what thousands of devices make that long. */
bool json_parse_large(const char *data, size_t size, size_t max, const char *what, cJSON **ret_root,
		      struct muster_error *err) MUST_CHECK;
/* As json_parse(), but of a name that stands twice in an object the last value counts, as elsewhere: for what people write
 * themselves. *ret_dropped values were of no account. */
bool json_parse_last(const char *data, size_t size, const char *what, cJSON **ret_root,
		     size_t *ret_dropped, struct muster_error *err) MUST_CHECK;
/* Whether json_parse() would take it; for json-edit.h, which needs no tree. */
bool json_check(const char *data, size_t size, const char *what, struct muster_error *err)
	MUST_CHECK;

/* Exact, case-sensitive member of an object; NULL when missing or `object` is not one. Borrowed. */
cJSON *json_get(const cJSON *object, const char *name);
/* By path of at most 8 names, NULL-terminated: json_at(root, "x509", "clientCertificates", NULL). */
cJSON *json_at(const cJSON *object, ...) __attribute__((sentinel));
/* The bytes that a string member has in base64; false when it has none. */
bool json_base64(const cJSON *object, const char *name, struct bytes *ret_bytes) MUST_CHECK;
/* Text of a string member; NULL when missing or not a string. Borrowed. */
const char *json_text(const cJSON *object, const char *name);
bool json_bool(const cJSON *object, const char *name, bool fallback);
/* False when missing, not a number or outside int64. */
bool json_int64(const cJSON *object, const char *name, int64_t *ret_value) MUST_CHECK;
/* True for a number, however it came into the tree. */
bool json_is_number(const cJSON *item);

/* Adding; each returns false when out of memory. The value NULL adds nothing and succeeds. json_add_item() takes `item` over, also
 * on failure. A name that is a literal is referred to, every other one copied. */
#define json_add_text(object, name, value) \
	json_put_text(object, name, __builtin_constant_p(name), value)
#define json_add_bool(object, name, value) \
	json_put_bool(object, name, __builtin_constant_p(name), value)
#define json_add_int64(object, name, value) \
	json_put_int64(object, name, __builtin_constant_p(name), value)
#define json_add_item(object, name, item) \
	json_put_item(object, name, __builtin_constant_p(name), item)
bool json_put_text(cJSON *object, const char *name, bool is_literal, const char *value) MUST_CHECK;
bool json_put_bool(cJSON *object, const char *name, bool is_literal, bool value) MUST_CHECK;
bool json_put_int64(cJSON *object, const char *name, bool is_literal, int64_t value) MUST_CHECK;
bool json_put_item(cJSON *object, const char *name, bool is_literal, cJSON *item) MUST_CHECK;

/* Same content: objects compared without regard to order, numbers by text. */
bool json_equal(const cJSON *a, const cJSON *b);
/* Sorts all objects in the tree by name (bytewise), for printing and for digests. */
void json_sort(cJSON *root);
/* One line, or indented by two spaces. Caller frees; NULL when out of memory. */
char *json_print_line(const cJSON *root);
char *json_print_pretty(const cJSON *root);
/* A string as a JSON literal with quotes. Caller frees. */
char *json_quote(const char *value);
void text_add_json(struct text *out, const char *value);
