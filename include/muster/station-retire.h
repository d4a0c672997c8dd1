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
	bool force; /* also what was written by others, or is gone, elsewhere or another device's without our doing */
};

/* What became of an enrollment that an earlier end had not deleted, or that came back. */
struct station_retired {
	const char *
		before; /* "kept disabled", "there again", or "left" where a person had given the device up; NULL: there was none */
	const char *now; /* "deleted", "gone", "replaced", "disabled", "elsewhere" */
};

/* The journal is open for writing, outside of a transaction. A device that is retired already is looked for at the service, if it
 * was ever sent, and left as it is where its end is still so; but for an enrollment that was kept disabled and is not to be kept any
 * longer, or that nobody looked at when a person gave the device up or ended it with the login of another service: *ret_end says then
 * what became of it. One that has not ended and is not released is
 * CAUSE_NOT_RELEASED, one that was released into another service CAUSE_SERVICE_CHANGED. An enrollment that is not as muster last
 * read it is CAUSE_ETAG_MISMATCH, one that the service does not have CAUSE_ENROLLMENT_NOT_FOUND, one that is another device's by
 * now CAUSE_ENROLLED_FOR_ANOTHER, unless forced; that last one, and what is in another service, is left as it is even so. The
 * intent is journalled before anything is sent, so that after a cut the same call goes on. Blocks for the network, each request
 * with its deadline. */
bool station_retire(struct journal *journal, const struct journal_device *device,
		    const struct station_retirement *terms, struct dps_client *client,
		    struct station_retired *ret_end, struct muster_error *err) MUST_CHECK;
