/* Every PKCS#11 module that is configured. Private to the station. */
#pragma once

#include <stddef.h>

#include "muster/station.h"

struct listed_module {
	struct station_module module;
	struct muster_error problem; /* why it cannot be asked; code MUSTER_OK: it can */
};
struct module_list {
	struct listed_module *modules;
	size_t count;
};
void module_list_done(struct module_list *list);
/* Those of muster.yaml. */
bool module_list_configured(struct module_list *ret_list, struct muster_error *err) MUST_CHECK;
/* The same, then those of p11-kit's configuration that are there; no library twice. */
bool module_list_read(struct module_list *ret_list, struct muster_error *err) MUST_CHECK;
/* One library may have a name and several paths. */
bool module_is_same(const struct station_module *a, const struct station_module *b);
