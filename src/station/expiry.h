/* Certificates expire while their devices wait. Private to the station. */
#pragma once

#include "job.h"

/* When the first of the job's certificates expires, as a text too; "" and -1: it has none. */
bool expiry_read(const struct job *job, char text[RFC3339_SIZE], int64_t *ret_ms,
		 struct muster_error *err) MUST_CHECK;
/* CAUSE_CERTIFICATE_EXPIRED when that is over. When it is soon, and the device has waited, there is a warning. */
bool expiry_check(const struct job *job, struct muster_error *err) MUST_CHECK;
