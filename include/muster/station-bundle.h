/* Spooled devices on a stick: one station signs them, another with the credential sends them, and its receipt comes back.
 * No file holds a key. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/station.h"

/* All borrowed. */
struct station_bundle_request {
	const char *journal_path;
	const char *path;          /* the bundle or the receipt */
	const char *key;           /* export: as station_checkpoint_request.key */
	const char *public_key;    /* of the other station, PEM */
	const char *out_directory; /* accept: where evidence goes */
	const char *operator_name; /* NULL: the login user */
};

/* Writes a bundle of what is spooled, and says so in the journal. *ret_count devices; none is CAUSE_NOT_WAITING. */
bool station_bundle_export(const struct station_bundle_request *request, size_t *ret_count,
			   struct muster_error *err) MUST_CHECK;

/* Takes the devices of a bundle into this station's journal, where they are spooled, and hands out their registration IDs
 * (an array of texts). Profiles are files that devices of the bundle were begun with; each is kept. A device that is here
 * as another one is CAUSE_RECEIPT_DIFFERS, and nothing is taken. */
bool station_bundle_take(const struct station_bundle_request *request, const char *const *profiles,
			 size_t profile_count, cJSON **ret_ids, struct muster_error *err)
	MUST_CHECK;
/* What became of them, signed by this station; of the bundle at request->path to `receipt`. */
bool station_bundle_answer(const struct station_bundle_request *request, const char *receipt,
			   struct muster_error *err) MUST_CHECK;

/* Takes a receipt in: devices that the other station has released are released here, with evidence that names the receipt.
 * *ret_rows has an object for each: registrationId, state, verified, hub, cause. */
bool station_bundle_accept(const struct station_bundle_request *request, cJSON **ret_rows,
			   struct muster_error *err) MUST_CHECK;
