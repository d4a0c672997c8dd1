/* Why the service says no: its error number, whose first three digits are the HTTP status, and its words. */
#pragma once

#include <stdbool.h>

#include "muster/cleanup.h"
#include "muster/error.h"

enum service_error {
	SERVICE_OK = 0,
	BAD_REQUEST = 400001,
	BAD_ARGUMENT = 400004,
	ALLOCATION_FAILED = 400207,
	ALLOCATION_NO_HUB = 400208,
	ALLOCATION_UNAUTHORIZED = 400209,
	UNAUTHORIZED = 401002,
	FORBIDDEN = 403001,
	NO_SUCH_SCOPE = 404001,
	NO_SUCH_PATH = 404002,
	NO_SUCH_ENROLLMENT = 404201,
	NO_SUCH_REGISTRATION = 404202,
	NO_SUCH_METHOD = 405001,
	ENROLLMENT_EXISTS = 409201,
	ETAG_MISMATCH = 412001,
	BODY_TOO_LARGE = 413001,
	NO_SUCH_MEDIA_TYPE = 415001,
	THROTTLED = 429001,
	SERVER_FAILED = 500001,
};

struct refusal {
	unsigned number;  /* enum service_error, or what a fault or an allocation asks for */
	const char *word; /* static; what a sign-in or management error is called there; or NULL */
	char message[320];
};

/* Fills *refusal and returns false. */
bool refuse(struct refusal *refusal, unsigned number, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same for sign-ins and the management API, which call their errors by words. */
bool refuse_as(struct refusal *refusal, unsigned number, const char *word, const char *format, ...)
	PRINTF_LIKE(4, 5);
/* 500: what went wrong inside. */
bool refuse_internal(struct refusal *refusal, const struct muster_error *err);
static inline unsigned refusal_status(const struct refusal *refusal)
{
	return refusal->number / 1000;
}
