/* Approvals: what is going to be done is written down and signed by who asks for it, other people sign that they agree, and the
 * station does it only when enough of those whom its configuration names have. One file, which holds no secret. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/config.h"
#include "muster/station-custody.h"
#include "muster/station.h"

#define STATION_APPROVAL_HOURS_MAX 720

/* All borrowed. */
struct station_approval_terms {
	const char *path;          /* the file */
	const char *key;           /* as station_checkpoint_request.key */
	const char *operator_name; /* NULL: the login user */
	int64_t hours;             /* until it expires, 1 to STATION_APPROVAL_HOURS_MAX */
};

/* What is asked for, granted, or shown: {"approval", "verb", "devices", "words", "needed", "counting",
 * "subjects": [{"subject", "sha256", "words"}], "signatures": [{"role", "name", "keySha256", "at", "until", "state"}]}. */

/* Writes the file: this manifest by this profile. Checks both as provisioning would, and touches nothing else. */
bool station_approval_request(const struct station_approval_terms *terms,
			      const struct station_request *request, struct profile_report *report,
			      cJSON **ret_result, struct muster_error *err) MUST_CHECK;
/* Likewise, certificates for these serials by this profile. */
bool station_approval_request_produce(const struct station_approval_terms *terms,
				      const struct station_produce *produce, cJSON **ret_result,
				      struct muster_error *err) MUST_CHECK;
/* Adds a signature. `words` have to be those of the request: who looked at another one signs nothing. Refuses the key that asked (CAUSE_APPROVAL_OWN), one
 * that has granted it (CAUSE_APPROVAL_TWICE), and one that the configuration does not name, where it names any. */
bool station_approval_grant(const struct station_approval_terms *terms, const char *words,
			    const struct config *config, cJSON **ret_result,
			    struct muster_error *err) MUST_CHECK;
bool station_approval_show(const char *path, const struct config *config, cJSON **ret_result,
			   struct muster_error *err) MUST_CHECK;
