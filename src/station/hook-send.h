/* One event to one hook. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/config.h"
#include "muster/dps-http.h"
#include "muster/error.h"

/* The key that signs a hook's webhooks: base64, with or without the "whsec_" of Standard Webhooks before it. */
bool hook_secret_read(const struct config_hook *hook, struct secret *ret_key,
		      struct muster_error *err) MUST_CHECK;

/* `http` is made with the configuration's roots when the first webhook needs it. Blocks for the hook's time-out at most.
 * CAUSE_HOOK_REFUSED: it will not have this event; CAUSE_HOOK_FAILED: it is not there, or takes none. */
bool hook_send(const struct config *config, const struct config_hook *hook, const cJSON *event,
	       struct http **http, struct muster_error *err) MUST_CHECK;
