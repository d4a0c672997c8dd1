/* A master that comes in components. Private to the station. */
#pragma once

#include "muster/secret.h"
#include "muster/station-custody.h"

/* One of them; a person who types has several tries. `name` is what it is called in messages; `check_value` NULL: not
 * compared. */
bool component_read(const char *source, const char *name, const char *check_value,
		    struct secret *ret_component, struct muster_error *err) MUST_CHECK;
/* Reads all of them, one after the other. CAUSE_COMPONENTS_UNFIT, CAUSE_CHECK_VALUE_DIFFERS. */
bool components_combine(const struct station_components *components, struct secret *ret_key,
			struct muster_error *err) MUST_CHECK;
