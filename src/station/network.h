/* How servers are reached when a request does not say it. */
#pragma once

#include "muster/config.h"
#include "muster/dps-http.h"

/* What `given` leaves open as the configuration has it. All is borrowed. */
struct http_terms network_terms(const struct http_terms *given, const struct config *config);
