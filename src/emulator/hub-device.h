/* The hub's side of an assignment: a device identity with its twin, so that moving and resetting can be told apart.
 * Shown to tests at /emulator/hubs/{hub}/devices/{deviceId}; a real hub is not part of this program. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"

#include "refusal.h"
#include "stamp.h"
#include "store.h"

#define HUB_KEY_SIZE 32

enum hub_change {
	HUB_FIRST,    /* new identity, initial twin */
	HUB_SAME,     /* stays as it is */
	HUB_MIGRATED, /* moved with its data */
	HUB_RESET,    /* moved, initial twin */
};

struct hub_device_write {
	struct store *store; /* locked, in a transaction */
	enum hub_change change;
	const char *old_hub; /* or NULL */
	const char *hub;
	const char *device_id;
	const char *registration_id;
	const cJSON *enrollment;
	const cJSON *initial_twin; /* or NULL */
	const char *certificate;   /* the device's leaf, base64 of DER, or NULL */
	const uint8_t *hub_key;    /* HUB_KEY_SIZE bytes that the TPM got, or NULL */
};
bool hub_device_write(const struct hub_device_write *write, struct refusal *refusal) MUST_CHECK;

/* The row's id: "hub/deviceId", the hub in lower case. */
#define HUB_DEVICE_ROW_SIZE 512
char *hub_device_row(char out[HUB_DEVICE_ROW_SIZE], const char *hub, const char *device_id);
