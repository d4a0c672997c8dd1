/* What the commands about enrollments do through a client, each to its end: read, create, update and delete, and what has to
 * be read before anything is sent again. Blocks; every request has its deadline (dps-http.h). */
#pragma once

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/dps-client.h"
#include "muster/dps-settings.h"
#include "muster/encoding.h"
#include "muster/error.h"

/* -- Twins --------------------------------------------------------------------------------------------- */

/* Tags, desired properties or device information as people write them: JSON, or else a Python literal; "" is {}. Members
 * that are null are dropped, but not inside arrays. `what` names the text ("--tags"); CAUSE_TWIN_TEXT_INVALID with line
 * and column. */
bool dps_twin_parse(const char *text, const char *what, cJSON **ret_object,
		    struct muster_error *err) MUST_CHECK;

/* -- Reading ------------------------------------------------------------------------------------------- */

/* Trees are the caller's, as the service sent them. CAUSE_ENROLLMENT_NOT_FOUND. */
bool dps_enrollment_fetch(struct dps_client *client, const char *id, cJSON **ret_enrollment,
			  struct muster_error *err) MUST_CHECK;
/* With symmetric keys: the `attestation` member is replaced by the answer of attestationmechanism. *ret_has_keys: the
 * attestation is of that kind. */
bool dps_enrollment_fetch_keys(struct dps_client *client, const char *id, cJSON *enrollment,
			       bool *ret_has_keys, struct muster_error *err) MUST_CHECK;

/* A device's registration record as the service sent it. CAUSE_REGISTRATION_NOT_FOUND. */
bool dps_record_fetch(struct dps_client *client, const char *id, cJSON **ret_record,
		      struct muster_error *err) MUST_CHECK;

/* All enrollments, or an enrollment group's registration records, page by page in the service's order. Zero-initialise;
 * for CLEANUP(dps_pager_done). */
struct dps_pager {
	const char *group; /* NULL: individual enrollments */
	unsigned
		page_size; /* rows asked for; 0: DPS_PAGE_SIZE. Halved when an answer is too large */
	struct text continuation;
	uint8_t page_digest[SHA256_SIZE]; /* of the page before */
	bool is_begun;
};

#define DPS_PAGE_SIZE 500

/* *ret_page is an array, the caller's; NULL at the end. No two pages are held at the same time. */
bool dps_pager_next(struct dps_pager *pager, struct dps_client *client, cJSON **ret_page,
		    struct muster_error *err) MUST_CHECK;
void dps_pager_done(struct dps_pager *pager);

/* -- Creating ------------------------------------------------------------------------------------------ */

/* `body` is JSON, sent as it is. CAUSE_ENROLLMENT_EXISTS when there is one. With if_not_exists one that has the same
 * content is a success (*ret_was_created false). After an answer that says nothing the enrollment is read: absent, the
 * create is sent again; there with the same content, it is ours; otherwise CAUSE_ENROLLED_OTHERWISE. What cannot be
 * read is CAUSE_OUTCOME_UNKNOWN. */
bool dps_enrollment_create(struct dps_client *client, const char *id, const struct text *body,
			   bool if_not_exists, bool *ret_was_created, cJSON **ret_enrollment,
			   struct muster_error *err) MUST_CHECK;

/* -- Updating ------------------------------------------------------------------------------------------ */

struct dps_update_terms {
	const char *id;
	const struct dps_settings *settings;
	const char *etag; /* If-Match, verbatim; NULL: the etag that is read */
	bool force;       /* If-Match: * */
};

/* An update that can be sent. For CLEANUP(dps_update_done). */
struct dps_update {
	struct text body; /* what was read, edited; holds keys, wiped */
	char *if_match;
	cJSON *before; /* as it was read, without keys */
};
void dps_update_done(struct dps_update *update);

/* Reads the enrollment, with symmetric keys its mechanism too, and edits it. Contradictions between the settings and what
 * is there are CAUSE_OPTIONS_CONTRADICT. */
bool dps_update_prepare(struct dps_client *client, const struct dps_update_terms *terms,
			struct dps_update *ret_update, struct muster_error *err) MUST_CHECK;
/* CAUSE_ETAG_MISMATCH says member by member what has changed since it was read. After an answer that says nothing the
 * enrollment is read: unchanged, the update is sent again; as it should be, it is done. */
bool dps_update_send(struct dps_client *client, const char *id, const struct dps_update *update,
		     cJSON **ret_enrollment, struct muster_error *err) MUST_CHECK;

/* -- Deleting ------------------------------------------------------------------------------------------ */

/* if_match: an etag or "*". After an unknown outcome the enrollment is read: gone is success, still there is
 * sent again. */
bool dps_enrollment_remove(struct dps_client *client, const char *id, const char *if_match,
			   struct muster_error *err) MUST_CHECK;
/* The same of a registration record. */
bool dps_record_remove(struct dps_client *client, const char *id, const char *if_match,
		       struct muster_error *err) MUST_CHECK;
