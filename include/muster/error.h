/* One error type for the whole program: who must act, which known cause, whose number, one sentence.
 * It lives on the caller's stack, needs no freeing, works without memory and copies with `=`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/cleanup.h"

/* One value per exit code of the programs; frozen, scripts on the line depend on them. */
enum muster_code {
	MUSTER_OK = 0,
	MUSTER_E_UNIT = 1,      /* this device failed; the next may pass */
	MUSTER_E_USAGE = 2,     /* command line, profile or input file; nothing was touched */
	MUSTER_E_NOT_FOUND = 3, /* the named thing does not exist */
	MUSTER_E_HARDWARE = 4,  /* TPM, token or station hardware out of reach */
	MUSTER_E_REFUSED = 5,   /* PIN, 401, 403, policy, custody rule */
	MUSTER_E_AGAIN = 6,     /* cloud unreachable or throttled; the work is safe */
	MUSTER_E_CONFLICT = 7,  /* enrolled otherwise, duplicate key, 409, 412 */
	MUSTER_E_INTEGRITY = 8, /* journal or evidence does not verify */
	MUSTER_E_UNKNOWN = 9,   /* outcome unknown after a send */
	MUSTER_E_INTERNAL = 10, /* a bug, or no memory */
	MUSTER_E_STORAGE = 11,  /* journal or output not writable, or busy */
};

/* The known causes: CAUSE_NAME = the four digits of its E-code (causes.def). */
enum muster_cause {
	CAUSE_NONE = 0,
#define CAUSE(number, name, code, title, why, remedy) CAUSE_##name = number,
#include "muster/causes.def"
#undef CAUSE
};

/* Whose number `native` is. */
enum muster_origin {
	ORIGIN_NONE = 0,
	ORIGIN_ERRNO,
	ORIGIN_TSS,     /* TSS2_RC */
	ORIGIN_PKCS11,  /* CK_RV */
	ORIGIN_OPENSSL, /* ERR_get_error() */
	ORIGIN_CURL,    /* CURLcode */
	ORIGIN_HTTP,    /* status */
	ORIGIN_DPS,     /* errorCode of a DPS error body, or of a registration state */
	ORIGIN_SQLITE,  /* extended result code */
};

#define MUSTER_ERROR_MESSAGE_SIZE 768

struct muster_error {
	enum muster_code code;
	enum muster_cause cause;
	enum muster_origin origin;
	unsigned long native;
	char message[MUSTER_ERROR_MESSAGE_SIZE];
};

/* What the table knows about a cause. All strings are static. */
struct muster_cause_info {
	enum muster_cause cause;
	enum muster_code code;
	const char *name;
	const char *title;  /* a few words */
	const char *why;    /* what it means, one or two sentences */
	const char *remedy; /* what to do next, an imperative sentence */
};

/* All of these fill *err (never NULL) and return false, so that failing is one statement. The code follows
 * from the cause. Device- and user-supplied text in the message must already be printable (text_printable). */
bool muster_fail(struct muster_error *err, enum muster_cause cause, const char *format, ...)
	PRINTF_LIKE(3, 4);
bool muster_fail_native(struct muster_error *err, enum muster_cause cause,
			enum muster_origin origin, unsigned long native, const char *format, ...)
	PRINTF_LIKE(5, 6);
/* Appends ": " and the system's words for errnum. */
bool muster_fail_errno(struct muster_error *err, enum muster_cause cause, int errnum,
		       const char *format, ...) PRINTF_LIKE(4, 5);
bool muster_fail_memory(struct muster_error *err);

/* Puts what the caller was doing in front: "doing: message". When it does not fit, the front is cut, never
 * the cause. Returns false. */
bool muster_error_prefix(struct muster_error *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* NULL when the number is not a known cause. */
const struct muster_cause_info *muster_cause_find(unsigned number);
/* The whole table, ascending; *ret_count rows. */
const struct muster_cause_info *muster_causes(size_t *ret_count);
/* A short stable word, e.g. "usage"; used in JSON and in the manual. */
const char *muster_code_name(enum muster_code code);
