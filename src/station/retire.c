#include "muster/station-retire.h"

#include <string.h>

#include "muster/clock.h"
#include "muster/dps-document.h"
#include "muster/dps-enrollment.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/text.h"

#include "evidence.h"
#include "life.h"
#include "retire-past.h"
#include "who.h"

struct retiring {
	struct journal *journal;
	const struct journal_device *device;
	const struct station_retirement *terms;
	struct dps_client *client;
	struct who who;
	struct retire_past past;
	cJSON *found;   /* the enrollment; NULL: the service has none */
	char *new_etag; /* with which this run keeps it */
};

static void retiring_done(struct retiring *retiring)
{
	who_done(&retiring->who);
	retire_past_done(&retiring->past);
	cJSON_Delete(retiring->found);
	free(retiring->new_etag);
}

/* -- What is there --------------------------------------------------------------------------------------------------- */

static size_t name_length(const char *host)
{
	return strcspn(host, ":");
}

/* A service may be at another port since, but not under another name. */
static bool is_elsewhere(const struct retiring *retiring)
{
	const char *here = retiring->past.host, *there = retiring->past.place.host;

	return *there && (name_length(there) != name_length(here) ||
			  strncasecmp(there, here, name_length(there)) != 0);
}

static bool read_enrollment(struct retiring *retiring, struct muster_error *err)
{
	return is_elsewhere(retiring) ||
	       dps_enrollment_fetch(retiring->client, retiring->device->registration_id,
				    &retiring->found, err) ||
	       err->cause == CAUSE_ENROLLMENT_NOT_FOUND;
}

/* That of the enrollment as it was released, or sent. */
static const char *attempt_known(const struct retiring *retiring)
{
	const char *sent = retiring->past.place.attempt;

	return retiring->past.evidence ? evidence_attempt(retiring->past.evidence)
	       : *sent                 ? sent
				       : retiring->device->attempt_id;
}

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Beside what was kept: that was deleted by others, and what came then was left. */
static bool is_of_left_attempt(const struct retiring *retiring)
{
	const char *attempt = dps_enrollment_attempt(retiring->found);

	return retiring->past.is_left && attempt &&
	       strcmp(attempt, retiring->past.left_attempt) == 0;
}

static bool is_of_our_attempt(const struct retiring *retiring)
{
	return is_same_text(dps_enrollment_attempt(retiring->found), attempt_known(retiring)) ||
	       is_of_left_attempt(retiring);
}

/* Which version was kept is not known of one that an older muster disabled, or that reconcile found so. */
static bool is_still_kept(const struct retiring *retiring)
{
	const char *status = json_text(retiring->found, "provisioningStatus");

	if (retiring->past.kept_etag)
		return is_same_text(json_text(retiring->found, "etag"), retiring->past.kept_etag);
	return status && strcmp(status, "disabled") == 0 && attempt_known(retiring) &&
	       is_of_our_attempt(retiring);
}

/* The version that the row names; of an enrollment that was not the evidence's then, that says nothing. */
static bool is_of_our_version(const struct retiring *retiring)
{
	return is_same_text(json_text(retiring->found, "etag"), retiring->device->etag) &&
	       (!json_get(retiring->past.evidence, "enrollment") || is_of_our_attempt(retiring));
}

/* Nobody wrote it since, but for the run that was cut off. */
static bool is_as_begun(const struct retiring *retiring)
{
	const char *status = json_text(retiring->found, "provisioningStatus");

	return !retiring->past.begun_etag ||
	       is_same_text(json_text(retiring->found, "etag"), retiring->past.begun_etag) ||
	       (retiring->past.begun_keeps && status && strcmp(status, "disabled") == 0);
}

/* A bulk's answer has no etags, and what the run that was cut off disabled has another one: there our attempt speaks. */
static bool is_ours(const struct retiring *retiring)
{
	const char *known = retiring->device->etag;
	bool has_no_etag = !known || !*known;

	if (retiring->past.is_kept)
		return is_still_kept(retiring) || is_of_left_attempt(retiring);
	if (!has_no_etag && is_of_our_version(retiring))
		return true;
	return (has_no_etag || retiring->past.is_begun) && attempt_known(retiring) &&
	       is_of_our_attempt(retiring) && (!retiring->past.is_begun || is_as_begun(retiring));
}

/* Another attempt wrote it, or others an attestation of another kind. Without a mark they may have written over ours. */
static bool is_marked_otherwise(const struct retiring *retiring)
{
	const char *type = json_text(json_get(retiring->found, "attestation"), "type");
	const char *own = retiring->device->attestation;

	if (is_of_our_attempt(retiring))
		return false;
	return dps_enrollment_attempt(retiring->found) ||
	       (type && own && !text_equal_folded(type, own));
}

/* By its row, which has the key of its last attempt, or by the evidence of its release. */
static bool is_own_key(const struct retiring *retiring, const char *digest)
{
	static const char *const names[] = { "ekSha256", "certificateSha256",
					     "secondaryCertificateSha256" };
	const cJSON *attestation = json_get(retiring->past.evidence, "attestation");

	if (strcmp(digest, retiring->device->key_digest) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (is_same_text(digest, json_text(attestation, names[i])))
			return true;
	return false;
}

/* A certificate that was renewed at the service keeps our mark; another TPM is another board even so. */
static bool may_be_renewed(const struct retiring *retiring)
{
	const char *type = json_text(json_get(retiring->found, "attestation"), "type");

	return type && text_equal_folded(type, profile_attestation_word(PROFILE_X509)) &&
	       attempt_known(retiring) && is_of_our_attempt(retiring);
}

/* The enrollment is another device's by now: a board that replaced this one. Where there is no key to tell, the mark does. */
static bool is_of_another(const struct retiring *retiring)
{
	char trusted[DPS_TRUSTED_MAX][SHA256_HEX_SIZE];
	size_t count = retiring->found ? dps_enrollment_digests(retiring->found, trusted) : 0;

	if (!retiring->found || is_ours(retiring))
		return false;
	if (count == 0 || !retiring->device->key_digest)
		return is_marked_otherwise(retiring);
	for (size_t i = 0; i < count; i++)
		if (is_own_key(retiring, trusted[i]))
			return false;
	return !may_be_renewed(retiring);
}

static bool fail_found(const struct retiring *retiring, struct muster_error *err)
{
	const char *id = retiring->device->registration_id;

	if (is_elsewhere(retiring))
		return muster_fail(
			err, CAUSE_SERVICE_CHANGED,
			"retiring device '%s': it was enrolled at %s, and the login is for %s; --force "
			"ends it here and leaves that enrollment as it is",
			PRINTABLE(id), PRINTABLE(retiring->past.place.host),
			PRINTABLE(retiring->past.host));
	if (!retiring->found)
		return muster_fail(
			err, CAUSE_ENROLLMENT_NOT_FOUND,
			"retiring device '%s': %s has no enrollment of it; if that is the service "
			"it was enrolled in, --force records that it is gone",
			PRINTABLE(id), PRINTABLE(retiring->past.host));
	if (is_of_another(retiring))
		return muster_fail(
			err, CAUSE_ENROLLED_FOR_ANOTHER,
			"retiring device '%s': its enrollment at %s is another device's by now; if "
			"that is the service it was enrolled in, --force records so and leaves the "
			"enrollment as it is",
			PRINTABLE(id), PRINTABLE(retiring->past.host));
	return muster_fail(
		err, CAUSE_ETAG_MISMATCH,
		"retiring device '%s': its enrollment was written by others since muster did, at %s; "
		"look at it with muster enrollment show, then use --force",
		PRINTABLE(id), PRINTABLE(json_text(retiring->found, "lastUpdatedDateTimeUtc")));
}

/* NULL: the service did not say. */
static const char *etag_found(const struct retiring *retiring)
{
	const char *etag = json_text(retiring->found, "etag");

	return etag && *etag ? etag : NULL;
}

/* Others could write it between reading and ending it, and nobody would be asked. */
static bool fail_unprotected(const struct retiring *retiring, struct muster_error *err)
{
	return muster_fail(
		err, CAUSE_CLOUD_READ_INVALID,
		"retiring device '%s': its enrollment was read without an etag, so that nothing "
		"protects what others write meanwhile%s",
		PRINTABLE(retiring->device->registration_id),
		retiring->terms->keeps_disabled ? "" : "; --force deletes it all the same");
}

static bool check_found(const struct retiring *retiring, struct muster_error *err)
{
	bool is_gone = !retiring->found && !is_elsewhere(retiring);
	bool is_known = retiring->past.place.host[0];
	bool is_settled = is_gone || (retiring->found && is_of_another(retiring));

	if (retiring->terms->force ||
	    (is_settled && (retiring->past.is_begun || retiring->past.is_kept)) ||
	    (is_gone && is_known && retiring->past.is_left))
		return true;
	if (retiring->found && !is_settled && !etag_found(retiring))
		return fail_unprotected(retiring, err);
	return (retiring->found && is_ours(retiring)) || fail_found(retiring, err);
}

/* -- The journal ----------------------------------------------------------------------------------------------------- */

static bool append(struct retiring *retiring, enum journal_kind kind, const cJSON *body,
		   struct muster_error *err)
{
	CLEANUP(freep) char *line = json_print_line(body);
	struct journal_entry entry = {
		.registration_id = retiring->device->registration_id,
		.at_ms = clock_wall_ms(),
		.stage = RETIRE_STAGE,
		.kind = kind,
		.attempt = retiring->device->attempt,
		.operator= retiring->who.operator_name,
		.station = retiring->who.station,
		.body = line,
	};

	if (!line)
		return muster_fail_memory(err);
	return journal_append(retiring->journal, &entry, err);
}

static const char *effect_of(const struct retiring *retiring)
{
	return is_elsewhere(retiring) || is_of_another(retiring) ? "none"
	       : retiring->terms->keeps_disabled                 ? "disable"
								 : "delete";
}

static const char *what_is_done(const struct retiring *retiring)
{
	return is_elsewhere(retiring)            ? "elsewhere"
	       : !retiring->found                ? "gone"
	       : is_of_another(retiring)         ? "replaced"
	       : retiring->terms->keeps_disabled ? "disabled"
						 : "deleted";
}

static bool intend(struct retiring *retiring, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (!body || !json_add_text(body, "effect", effect_of(retiring)) ||
	    !json_add_text(body, "host", retiring->past.host) ||
	    !json_add_text(body, "reason", retiring->terms->reason) ||
	    !json_add_text(body, "etag", json_text(retiring->found, "etag")) ||
	    (retiring->terms->force && !json_add_bool(body, "forced", true)))
		return muster_fail_memory(err);
	return journal_begin(retiring->journal, err) &&
	       append(retiring, JOURNAL_INTENT, body, err) &&
	       journal_commit(retiring->journal, err);
}

/* Whose it is, or how it is kept. */
static bool add_left(const struct retiring *retiring, cJSON *body)
{
	char trusted[DPS_TRUSTED_MAX][SHA256_HEX_SIZE];

	if (!is_of_another(retiring))
		return json_add_text(body, "etag", retiring->new_etag);
	return json_add_text(body, "etag", json_text(retiring->found, "etag")) &&
	       (dps_enrollment_digests(retiring->found, trusted) == 0 ||
		json_add_text(body, "keySha256", trusted[0]));
}

/* The outcome and the row that follows from it, together. One that is retired already has its row. */
static bool conclude(struct retiring *retiring, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	struct journal_device after = *retiring->device;

	if (!body || !json_add_text(body, "enrollment", what_is_done(retiring)) ||
	    !json_add_text(body, "reason", retiring->terms->reason) || !add_left(retiring, body))
		return muster_fail_memory(err);
	after.state = JOURNAL_RETIRED;
	after.cause = CAUSE_NONE;
	after.operator= retiring->who.operator_name;
	after.station = retiring->who.station;
	after.updated_ms = clock_wall_ms();
	return journal_begin(retiring->journal, err) &&
	       append(retiring, JOURNAL_OUTCOME, body, err) &&
	       (retiring->device->state == JOURNAL_RETIRED ||
		journal_device_put(retiring->journal, &after, err)) &&
	       journal_commit(retiring->journal, err);
}

/* -- The service ----------------------------------------------------------------------------------------------------- */

static bool disable(struct retiring *retiring, struct muster_error *err)
{
	const struct dps_settings settings = { .provisioning_status = "disabled" };
	const struct dps_update_terms terms = {
		.id = retiring->device->registration_id,
		.settings = &settings,
		.etag = etag_found(retiring),
	};
	CLEANUP(dps_update_done) struct dps_update update = { 0 };
	CLEANUP(cJSON_freep) cJSON *enrollment = NULL;

	if (!dps_update_prepare(retiring->client, &terms, &update, err) ||
	    !dps_update_send(retiring->client, terms.id, &update, &enrollment, err) ||
	    !retire_copy_etag(&retiring->new_etag, enrollment, err))
		return false;
	/* One that never registered, or whose record went by the profile's will, has none. */
	return dps_record_remove(retiring->client, terms.id, "*", err) ||
	       err->cause == CAUSE_REGISTRATION_NOT_FOUND;
}

static bool end_enrollment(struct retiring *retiring, struct muster_error *err)
{
	const char *id = retiring->device->registration_id;
	const char *etag = etag_found(retiring);

	if (is_elsewhere(retiring))
		log_warning("enrollment '%s' at %s is left as it is, going on", PRINTABLE(id),
			    PRINTABLE(retiring->past.place.host));
	if (!retiring->found)
		return true;
	if (is_of_another(retiring)) {
		log_warning("enrollment '%s' is another device's and is left as it is, going on",
			    PRINTABLE(id));
		return true;
	}
	if (retiring->terms->keeps_disabled)
		return disable(retiring, err);
	/* Without one it was asked for by force. */
	return dps_enrollment_remove(retiring->client, id, etag ? etag : "*", err);
}

/* -------------------------------------------------------------------------------------------------------------------- */

static bool check_state(const struct retiring *retiring, struct muster_error *err)
{
	const struct journal_device *device = retiring->device;

	return device->state == JOURNAL_RELEASED || retiring->past.is_kept ||
	       retiring->past.is_left ||
	       muster_fail(err, CAUSE_NOT_RELEASED, "retiring device '%s', which is %s",
			   PRINTABLE(device->registration_id), journal_state_name(device->state));
}

/* Nothing is left to be done. */
static bool is_over(const struct retiring *retiring)
{
	return retiring->device->state == JOURNAL_RETIRED &&
	       (retiring->past.is_kept ? retiring->terms->keeps_disabled : !retiring->past.is_left);
}

bool station_retire(struct journal *journal, const struct journal_device *device,
		    const struct station_retirement *terms, struct dps_client *client,
		    struct station_retired *ret_end, struct muster_error *err)
{
	CLEANUP(retiring_done)
	struct retiring retiring = {
		.journal = journal,
		.device = device,
		.terms = terms,
		.client = client,
		.past = { .device = device, .host = dps_client_host(client) },
	};

	*ret_end = (struct station_retired){ 0 };
	if (!journal_device_verify(journal, device, err) ||
	    !retire_past_read(journal, &retiring.past, err))
		return false;
	if (is_over(&retiring))
		return true;
	if (!(check_state(&retiring, err) &&
	      who_is_here(&retiring.who, terms->operator_name, NULL, err) &&
	      read_enrollment(&retiring, err) && check_found(&retiring, err) &&
	      intend(&retiring, err) && end_enrollment(&retiring, err) && conclude(&retiring, err)))
		return false;
	if (retiring.past.is_kept || retiring.past.is_left)
		*ret_end = (struct station_retired){
			.before = retiring.past.is_kept ? "kept disabled" : "left",
			.now = what_is_done(&retiring),
		};
	return true;
}
