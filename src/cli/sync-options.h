/* What `muster sync` and `muster outbox retry` share: how they reach the service, and the run itself. */
#pragma once

#include "muster/station-sync.h"

#include "cli-internal.h"
#include "login-options.h"
#include "outage.h"
#include "provision-report.h"
#include "token-options.h"

struct sync_options {
	struct station_request request;
	struct login_options login;
};

/* For a table whose options struct `type` has a `struct sync_options sync`; the journal's row is the verb's own. */
/* clang-format off */
#define SYNC_ROWS(type) \
	TOKEN_ROWS(type, sync.request.token), \
	LOGIN_ROWS_LETTERED(0, 0, 0, type, sync.login), \
	RATE_ROW(type, sync.login), \
	PATIENCE_ROW(type, sync.login), \
	{ 0, "id-scope", NULL, OPTION_TEXT, "SCOPE", "ID scope of the DPS; holds over the profile's", \
	  offsetof(type, sync.request.id_scope), "MUSTER_ID_SCOPE", NULL, 0 }, \
	{ 0, "device-endpoint", NULL, OPTION_TEXT, "HOST", "Where devices register, HOST[:PORT]", \
	  offsetof(type, sync.request.device_endpoint), "MUSTER_DEVICE_ENDPOINT", NULL, 0 }, \
	{ 'j', "journal", NULL, OPTION_TEXT, "FILE", "Journal of this station", \
	  offsetof(type, sync.request.journal_path), "MUSTER_JOURNAL", NULL, 0 }, \
	{ 0, "out", NULL, OPTION_TEXT, "DIR", "Where evidence and key files go", \
	  offsetof(type, sync.request.out_directory), "MUSTER_OUT", NULL, 0 }, \
	OPERATOR_ROW(type, sync.request.operator_name)
/* clang-format on */

/* Registration IDs of the devices that were named. For CLEANUP(sync_choice_done). */
struct sync_choice {
	char **ids;
	size_t count;
	size_t for_device, for_person; /* of these: not sent as they are */
};
void sync_choice_done(struct sync_choice *choice);
bool sync_choice_add(struct sync_choice *choice, const char *id, struct muster_error *err)
	MUST_CHECK;
/* Tells of a device that no sync takes as it is, and counts it. */
void sync_tell_waiting(const struct invocation *call, struct sync_choice *choice, const char *id,
		       enum station_wait what);
/* Who named a device counts on it. CAUSE_WAITS_FOR_PERSON, CAUSE_DEVICE_NEEDED. */
bool sync_choice_check(const struct sync_choice *choice, struct muster_error *err) MUST_CHECK;

/* Sends what waits for the network and prints a row for each; `only` NULL: all. */
bool sync_run(const struct invocation *call, const struct sync_options *options,
	      const char *const *only, size_t only_count, struct muster_error *err) MUST_CHECK;
