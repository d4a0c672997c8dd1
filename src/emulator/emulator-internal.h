/* The parts of a running emulator, as its handlers see them. */
#pragma once

#include <pthread.h>

#include <cjson/cJSON.h>

#include "muster/emulator.h"

#include "allocation.h"
#include "auth.h"
#include "authority.h"
#include "fault.h"
#include "instance.h"
#include "ledger.h"
#include "store.h"
#include "throttle.h"

struct background;
struct device_code;

/* A service that the management API lists. */
struct listed {
	char name[64];
	char group[64];
};

struct emulator {
	struct instance instance;
	const char *names[EMULATOR_LIST_MAX + 4]; /* lower case; what sr may name */
	size_t name_count;
	struct hub hubs[EMULATOR_LIST_MAX];
	size_t hub_count;
	enum allocation_policy allocation;
	int64_t poll_delay_ms;
	int64_t clock_offset_ms;
	bool any_certificate_date;
	char run[GUID_SIZE]; /* this start; operations of an earlier one are not under way any more */

	struct authority *authority;             /* or NULL */
	struct listed listed[EMULATOR_LIST_MAX]; /* the first one is this service */
	size_t listed_count;
	int64_t code_interval_s;
	struct device_code *codes; /* under emulator->lock */
	int64_t page_size;         /* of that list; 0: pages are empty and never end */
	struct store *store;
	struct ledger *ledger;         /* or NULL */
	struct background *background; /* webhook calls under way */
	int64_t webhook_scale_percent;
	const char *webhook_ca_file; /* or NULL */
	struct sas_cache *sas_cache;

	pthread_mutex_t lock; /* for throttles and faults */
	struct throttle throttles[EMULATOR_LIST_MAX];
	size_t throttle_count;
	struct fault faults[EMULATOR_LIST_MAX];
	size_t fault_count;
};

/* Wall clock, moved by --clock-offset. */
int64_t emulator_now_ms(const struct emulator *emulator);
