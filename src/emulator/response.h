/* A reply as libmicrohttpd sends it: whole, cut in the middle, or a few bytes at a time. */
#pragma once

#include <microhttpd.h>

#include "request.h"
#include "timer.h"

/* Empties the reply's body. NULL when out of memory. */
struct MHD_Response *response_new(struct reply *reply, const struct fault *fault,
				  struct MHD_Connection *connection, struct timer *timer);
