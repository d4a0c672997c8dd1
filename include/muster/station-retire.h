/* A released device ends: its enrollment goes by decision, so that nothing registers with its key any more, and its serial is
 * free for what replaces it. */
#pragma once

#include "muster/dps-client.h"
#include "muster/journal.h"

/* Texts borrowed. */
struct station_retirement {
	const char *reason;
	const char *operator_name; /* NULL: the login user */
	bool keeps_disabled; /* the enrollment stays, disabled, and only the registration record goes */
	bool force; /* also what was written by others, or is gone or another device's without our doing */
};

/* The journal is open for writing, outside of a transaction. A device that is retired already is left as it is, but for an
 * enrollment that was kept disabled and is not to be kept any longer: *ret_end says then what became of it ("deleted", "gone",
 * "replaced"), and is NULL otherwise. One that is not released is CAUSE_NOT_RELEASED. An enrollment that is not as muster last
 * read it is CAUSE_ETAG_MISMATCH, one that the service does not have CAUSE_ENROLLMENT_NOT_FOUND, one that is another device's by
 * now CAUSE_ENROLLED_FOR_ANOTHER, unless forced; that last one is left as it is even so. The intent is journalled before anything
 * is sent, so that after a cut the same call goes on. Blocks for the network, each request with its deadline. */
bool station_retire(struct journal *journal, const struct journal_device *device,
		    const struct station_retirement *terms, struct dps_client *client,
		    const char **ret_end, struct muster_error *err) MUST_CHECK;
