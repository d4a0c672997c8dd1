#include "retire-found.h"

#include <string.h>

#include "evidence.h"
#include "muster/dps-document.h"
#include "muster/dps-enrollment.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/profile.h"
#include "muster/text.h"

void retire_found_done(struct retire_found *found)
{
	cJSON_Delete(found->enrollment);
}

/* -- Reading ------------------------------------------------------------------------------------------------------------- */

/* Without what says nothing: keys, which a GET leaves out and evidence masks, and whether it is enabled. */
static cJSON *copy_content(const cJSON *enrollment, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *copy = cJSON_Duplicate(enrollment, true);

	muster_fail_memory(err);
	if (!copy || !dps_document_redact(copy, err))
		return NULL;
	cJSON_DeleteItemFromObjectCaseSensitive(json_get(copy, "attestation"), "symmetricKey");
	cJSON_DeleteItemFromObjectCaseSensitive(copy, "provisioningStatus");
	return TAKE_PTR(copy);
}

static bool compare(struct retire_found *found, struct muster_error *err)
{
	const cJSON *evidence = json_get(found->past->end.evidence, "enrollment");
	CLEANUP(cJSON_freep) cJSON *before = NULL;
	CLEANUP(cJSON_freep) cJSON *now = NULL;
	CLEANUP(text_done) struct text changes = TEXT_MAX(64 * 1024);

	found->is_as_released = true;
	if (!evidence || !found->enrollment)
		return true;
	before = copy_content(evidence, err);
	now = before ? copy_content(found->enrollment, err) : NULL;
	if (!now || !dps_enrollment_changes(before, now, &changes, err))
		return false;
	found->is_as_released = changes.length == 0;
	return true;
}

bool retire_found_read(struct retire_found *found, struct dps_client *client,
		       struct muster_error *err)
{
	return (dps_enrollment_fetch(client, found->past->device->registration_id,
				     &found->enrollment, err) ||
		err->cause == CAUSE_ENROLLMENT_NOT_FOUND) &&
	       compare(found, err);
}

/* -- Ours ---------------------------------------------------------------------------------------------------------------- */

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* That of the enrollment as it was released, or sent. */
static const char *attempt_known(const struct retire_past *past)
{
	const char *sent = past->end.place.attempt;

	return past->end.evidence ? evidence_attempt(past->end.evidence)
	       : *sent            ? sent
				  : past->device->attempt_id;
}

/* Beside what was kept: that was deleted by others, and what came then was left. */
static bool is_of_left_attempt(const struct retire_found *found)
{
	const char *attempt = dps_enrollment_attempt(found->enrollment);

	return found->past->end.is_left && attempt &&
	       strcmp(attempt, found->past->end.left_attempt) == 0;
}

static bool is_of_our_attempt(const struct retire_found *found)
{
	return is_same_text(dps_enrollment_attempt(found->enrollment),
			    attempt_known(found->past)) ||
	       is_of_left_attempt(found);
}

/* Most who write an enrollment keep the mark in it. */
static bool is_marked_ours(const struct retire_found *found)
{
	return attempt_known(found->past) && is_of_our_attempt(found);
}

static bool has_etag(const struct retire_found *found, const char *etag)
{
	return is_same_text(json_text(found->enrollment, "etag"), etag);
}

static bool is_disabled(const struct retire_found *found)
{
	const char *status = json_text(found->enrollment, "provisioningStatus");

	return status && strcmp(status, "disabled") == 0;
}

/* NULL, or "": not known. */
static const char *version_known(const struct retire_past *past)
{
	return past->end.is_former ? past->end.etag : past->device->etag;
}

/* The version that the row names; of an enrollment that was not the evidence's then, that says nothing. */
static bool is_of_our_version(const struct retire_found *found)
{
	const char *known = version_known(found->past);

	return known && *known && has_etag(found, known) &&
	       (!json_get(found->past->end.evidence, "enrollment") || is_of_our_attempt(found));
}

/* A bulk's answer has no etags. There the service says that nobody wrote it since, symmetric keys as well as what can be read; of one
 * that was deleted it says no more than that it is there again. */
static bool is_as_sent(const struct retire_found *found)
{
	const char *known = version_known(found->past);

	return (!known || !*known) && !retire_past_is_over(found->past) && is_marked_ours(found) &&
	       found->is_as_released && dps_enrollment_is_unwritten(found->enrollment);
}

/* Nobody wrote it since, but for the run that was cut off; what that has disabled has another etag. */
static bool is_as_begun(const struct retire_found *found)
{
	const struct retire_past *past = found->past;

	return past->is_begun && is_marked_ours(found) &&
	       ((past->begun_etag && has_etag(found, past->begun_etag)) ||
		(past->begun_keeps && is_disabled(found) && found->is_as_released));
}

/* Which version was kept is not known of one that an older muster disabled, or found disabled. */
static bool is_still_kept(const struct retire_found *found)
{
	if (found->past->end.kept_etag)
		return has_etag(found, found->past->end.kept_etag);
	return is_disabled(found) && is_marked_ours(found) && found->is_as_released;
}

static bool is_as_left(const struct retire_found *found)
{
	return is_of_left_attempt(found) && (has_etag(found, version_known(found->past)) ||
					     dps_enrollment_is_unwritten(found->enrollment));
}

bool retire_is_ours(const struct retire_found *found)
{
	if (found->past->end.is_kept)
		return is_still_kept(found) || is_as_left(found) || is_as_begun(found);
	return is_of_our_version(found) || is_as_sent(found) || is_as_begun(found);
}

/* -- Another's ----------------------------------------------------------------------------------------------------------- */

/* Another attempt wrote it, or others an attestation of another kind. Without a mark they may have written over ours. */
static bool is_marked_otherwise(const struct retire_found *found)
{
	const char *type = json_text(json_get(found->enrollment, "attestation"), "type");
	const char *own = found->past->device->attestation;

	if (is_of_our_attempt(found))
		return false;
	return dps_enrollment_attempt(found->enrollment) ||
	       (type && own && !text_equal_folded(type, own));
}

/* By its row, which has the key of its last attempt, or by the evidence of its release. */
static bool is_own_key(const struct retire_past *past, const char *digest)
{
	static const char *const names[] = { "ekSha256", "certificateSha256",
					     "secondaryCertificateSha256" };
	const cJSON *attestation = json_get(past->end.evidence, "attestation");

	if (strcmp(digest, past->device->key_digest) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (is_same_text(digest, json_text(attestation, names[i])))
			return true;
	return false;
}

/* A certificate that was renewed at the service keeps our mark; another TPM is another board even so. */
static bool may_be_renewed(const struct retire_found *found)
{
	const char *type = json_text(json_get(found->enrollment, "attestation"), "type");

	return type && text_equal_folded(type, profile_attestation_word(PROFILE_X509)) &&
	       is_marked_ours(found);
}

/* Where there is no key to tell, the mark does. */
bool retire_is_of_another(const struct retire_found *found)
{
	char trusted[DPS_TRUSTED_MAX][SHA256_HEX_SIZE];
	size_t count = found->enrollment ? dps_enrollment_digests(found->enrollment, trusted) : 0;

	if (!found->enrollment || retire_is_ours(found))
		return false;
	if (count == 0 || !found->past->device->key_digest)
		return is_marked_otherwise(found);
	for (size_t i = 0; i < count; i++)
		if (is_own_key(found->past, trusted[i]))
			return false;
	return !may_be_renewed(found);
}

bool retire_is_as_ended(const struct retire_found *found)
{
	const struct retire_past *past = found->past;

	if (past->is_begun || past->device->state != JOURNAL_RETIRED)
		return false;
	if (past->end.is_kept)
		return found->enrollment && is_still_kept(found);
	return !past->end.is_left && (!found->enrollment || retire_is_of_another(found));
}
