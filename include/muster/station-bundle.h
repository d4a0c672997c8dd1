/* Spooled devices on a stick: one station signs them, another with the credential sends them, and its receipt comes back.
 * No file holds a key. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/config.h"
#include "muster/station.h"

/* All borrowed. */
struct station_bundle_request {
	const char *journal_path;
	const char *path;            /* the bundle or the receipt */
	const char *key;             /* export: as station_checkpoint_request.key */
	const char *public_key;      /* of the other station, PEM */
	const char *out_directory;   /* accept: where evidence goes */
	const char *operator_name;   /* NULL: the login user */
	const struct config *config; /* accept: whose hooks are told */
};

/* Writes a bundle of what is spooled, and says so in the journal. *ret_count devices; none is CAUSE_NOT_WAITING. */
bool station_bundle_export(const struct station_bundle_request *request, size_t *ret_count,
			   struct muster_error *err) MUST_CHECK;

struct station_bundle_taken {
	cJSON *ids;     /* registration IDs of the devices that are here now, an array of texts */
	cJSON *refused; /* an object for each of the others: registrationId, cause, detail */
};

void station_bundle_taken_done(struct station_bundle_taken *taken);

/* Takes the devices of a bundle into this station's journal, where they are spooled. Profiles are files that devices of the
 * bundle were begun with; each is kept. A device that is another one here, was retired here since, or has the serial or the key of
 * another is refused by itself. A bundle that cannot be of a muster is CAUSE_BUNDLE_INVALID, and nothing of it is taken. */
bool station_bundle_take(const struct station_bundle_request *request, const char *const *profiles,
			 size_t profile_count, struct station_bundle_taken *ret_taken,
			 struct muster_error *err) MUST_CHECK;
/* What became of them, signed by this station; of the bundle at request->path to `receipt`. */
bool station_bundle_answer(const struct station_bundle_request *request, const char *receipt,
			   struct muster_error *err) MUST_CHECK;

/* Takes a receipt in: devices that the other station has released are released here, with evidence that names the receipt, and hooks
 * are told as by a sync.
 * *ret_rows has an object for each: registrationId, state, verified, hub, cause, detail. It is there, too, when it fails because
 * some are not enrolled: with the status that they share, else CAUSE_DEVICES_FAILED. */
bool station_bundle_accept(const struct station_bundle_request *request, cJSON **ret_rows,
			   struct muster_error *err) MUST_CHECK;
