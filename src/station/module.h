/* Every PKCS#11 module that is configured. Private to the station. */
#pragma once

#include <stddef.h>

#include "muster/station.h"

struct module_list {
	struct station_module *modules;
	size_t count;
};
void module_list_done(struct module_list *list);
/* Those of muster.yaml, then those of p11-kit's configuration that are there; no library twice. */
bool module_list_read(struct module_list *ret_list, struct muster_error *err) MUST_CHECK;
