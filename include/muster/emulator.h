/* A local provisioning service for benches, demonstrations and tests: the service API and the device API of
 * Azure IoT DPS over TLS, with a store that survives a restart. It is a stand-in: hub choices, throttle numbers and
 * everything the real service leaves undocumented are its own, and it never talks to Azure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

#define EMULATOR_LIST_MAX 64

/* Everything the command line says; plain data. The strings are borrowed and must outlive the emulator. */
struct emulator_config {
	const char *state;                    /* directory, made when missing */
	uint16_t port;                        /* 0: a free one */
	const char *address;                  /* numeric; NULL means 127.0.0.1 */
	const char *names[EMULATOR_LIST_MAX]; /* host names it answers to, beside localhost */
	size_t name_count;
	const char *hubs[EMULATOR_LIST_MAX]; /* HOST[,weight=N][,latency=MS][,allocate=no] */
	size_t hub_count;
	const char *policies[EMULATOR_LIST_MAX]; /* NAME=RIGHT[,RIGHT...] */
	size_t policy_count;
	const char *applications[EMULATOR_LIST_MAX]; /* see authority.h */
	size_t application_count;
	int64_t token_life_s;
	int64_t code_interval_s;               /* how often a device code may be asked for */
	int64_t metadata_port;                 /* plain, on 127.0.0.1; 0: a free one, -1: none */
	const char *listed[EMULATOR_LIST_MAX]; /* NAME[:group=GROUP] */
	size_t listed_count;
	int64_t page_size;                        /* of the management API's list */
	const char *throttles[EMULATOR_LIST_MAX]; /* see throttle.h */
	size_t throttle_count;
	const char *faults[EMULATOR_LIST_MAX]; /* see fault.h */
	size_t fault_count;
	const char *ledger;            /* file to append to, or NULL */
	bool ledger_bodies;            /* with whole requests in it */
	const char *allocation;        /* the instance's policy, NULL means hashed */
	int64_t poll_delay_ms;         /* a registration is "assigning" at least so long */
	int64_t clock_offset_s;        /* the emulator's clock runs so far ahead */
	int64_t webhook_scale_percent; /* of the service's retry waits; 100 is real time */
	const char *webhook_ca_file;   /* roots for webhooks over https, NULL: the system's */
	bool any_certificate_date;     /* take expired client certificates */
};

struct emulator;

/* Opens the state (made at the first start), binds and serves in threads of its own until emulator_stop().
 * Signals that end the program must be blocked by the caller before this. */
bool emulator_start(const struct emulator_config *config, struct emulator **ret_emulator,
		    struct muster_error *err) MUST_CHECK;
/* One line of JSON, without newline: url, connectionString, idScope, caFile, hubs, and with applications authority.
 * Caller frees; NULL: no memory. */
char *emulator_ready_line(const struct emulator *emulator);
/* Finishes the requests under way, closes everything and frees; accepts NULL. */
void emulator_stop(struct emulator *emulator);
DEFINE_FREEP(emulator_stopp, struct emulator *, emulator_stop)
