/* Whose the enrollment is that a device which is to be retired has at the service. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/dps-client.h"
#include "retire-past.h"

struct retire_found {
	const struct retire_past *past; /* borrowed */
	cJSON *enrollment;              /* NULL: the service has none, or was not asked */
	bool is_as_released; /* but for whether it is enabled; true where no evidence tells */
};

void retire_found_done(struct retire_found *found);
/* At the service of the login. */
bool retire_found_read(struct retire_found *found, struct dps_client *client,
		       struct muster_error *err) MUST_CHECK;
/* As an earlier end left it: there is nothing to do, unless what was kept disabled is not to be kept any longer. */
bool retire_is_as_ended(const struct retire_found *found);
/* As muster left it: it may be ended unasked. */
bool retire_is_ours(const struct retire_found *found);
/* Another device's by now: a board that replaced this one. */
bool retire_is_of_another(const struct retire_found *found);
