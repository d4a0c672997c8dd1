#include "restore.h"

#include <string.h>

#include "evidence.h"
#include "life.h"
#include "muster/clock.h"
#include "muster/dps-document.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/text.h"

/* -- The key ------------------------------------------------------------------------------------------------ */

/* What the evidence's and the enrollment's keys are compared by; "" when they cannot be. */
static void key_of_evidence(const cJSON *evidence, char ret_digest[SHA256_HEX_SIZE])
{
	const char *digest = evidence_key_digest(json_get(evidence, "attestation"));

	snprintf(ret_digest, SHA256_HEX_SIZE, "%s", digest ? digest : "");
}

static void key_of_enrollment(const cJSON *enrollment, char ret_digest[SHA256_HEX_SIZE])
{
	char trusted[DPS_TRUSTED_MAX][SHA256_HEX_SIZE];
	size_t count = dps_enrollment_digests(enrollment, trusted);

	snprintf(ret_digest, SHA256_HEX_SIZE, "%s", count > 0 ? trusted[0] : "");
}

static bool same_attempt(const struct remains *remains)
{
	const char *evidence = evidence_attempt(remains->evidence);
	const char *enrollment = dps_enrollment_attempt(remains->enrollment);

	return evidence && enrollment ? strcmp(evidence, enrollment) == 0 : evidence == enrollment;
}

/* The enrollment is the one of the evidence. Keys that the service does not list say nothing: there the attempt does. */
static bool is_its_enrollment(const struct remains *remains)
{
	const char *wanted = json_text(json_get(remains->evidence, "attestation"), "type");
	const char *found = json_text(json_get(remains->enrollment, "attestation"), "type");
	char evidence[SHA256_HEX_SIZE], enrollment[SHA256_HEX_SIZE];

	key_of_evidence(remains->evidence, evidence);
	key_of_enrollment(remains->enrollment, enrollment);
	return wanted && found && text_equal_folded(wanted, found) &&
	       strcmp(evidence, enrollment) == 0 && (evidence[0] || same_attempt(remains));
}

static bool is_disabled(const cJSON *enrollment)
{
	const char *status = json_text(enrollment, "provisioningStatus");

	return status && text_equal_folded(status, "disabled");
}

/* Retired, and kept disabled. */
static bool was_disabled_since(const struct remains *remains)
{
	return remains->evidence && is_disabled(remains->enrollment) &&
	       !is_disabled(json_get(remains->evidence, "enrollment")) &&
	       is_its_enrollment(remains);
}

enum journal_state restore_state(const struct remains *remains)
{
	if (!remains->enrollment || was_disabled_since(remains))
		return JOURNAL_RETIRED;
	return remains->evidence && !remains->key_is_taken && is_its_enrollment(remains)
		       ? JOURNAL_RELEASED
		       : JOURNAL_PARKED;
}

/* -- Entries ------------------------------------------------------------------------------------------------ */

static bool append(struct journal *journal, const struct remains *remains, const struct who *who,
		   const char *stage, enum journal_kind kind, cJSON *body, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *owned = body;
	CLEANUP(freep) char *line = NULL;
	struct journal_entry entry = {
		.registration_id = remains->registration_id,
		.at_ms = clock_wall_ms(),
		.stage = stage,
		.kind = kind,
		.attempt = 1,
		.operator= who->operator_name,
		.station = who->station,
	};

	if (!owned || !json_add_bool(owned, "reconciled", true))
		return muster_fail_memory(err);
	entry.body = line = json_print_line(owned);
	return line ? journal_append(journal, &entry, err) : muster_fail_memory(err);
}

/* So that its keys are known again as this device's: those in a token, and those that left it. */
static bool append_keys(struct journal *journal, const struct remains *remains,
			const struct who *who, struct muster_error *err)
{
	static const struct {
		const char *stage;
		bool (*make)(const cJSON *attestation, enum attest_which which, cJSON **ret_body,
			     struct muster_error *err);
	} outcomes[] = {
		{ "attest", evidence_attest_outcome },
		{ "attest", evidence_wrap_outcome },
		{ "release", evidence_destroy_outcome },
	};
	const cJSON *attestation = json_get(remains->evidence, "attestation");

	for (size_t i = 0; i < ARRAY_SIZE(outcomes) * ATTEST_KEYS; i++) {
		cJSON *body;

		if (!outcomes[i / ATTEST_KEYS].make(attestation, i % ATTEST_KEYS, &body, err) ||
		    (body && !append(journal, remains, who, outcomes[i / ATTEST_KEYS].stage,
				     JOURNAL_OUTCOME, body, err)))
			return false;
	}
	return true;
}

static bool append_release(struct journal *journal, const struct remains *remains,
			   const struct who *who, struct muster_error *err)
{
	const char *verification = evidence_verification(remains->evidence);
	bool is_put_off = verification && strcmp(verification, JOURNAL_PUT_OFF) == 0;
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (!body || !json_add_bool(body, "released", true) ||
	    (is_put_off && !json_add_bool(body, "unverified", true)) ||
	    !json_add_text(body, "evidence", remains->evidence_text))
		return muster_fail_memory(err);
	return append(journal, remains, who, "release", JOURNAL_OUTCOME, TAKE_PTR(body), err);
}

static bool append_end(struct journal *journal, const struct remains *remains,
		       const struct who *who, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	bool is_kept = !remains->is_former && was_disabled_since(remains);
	const char *reason = remains->is_former ? "the evidence is that of an earlier life"
			     : is_kept
				     ? "the enrollment was disabled since the evidence was written"
				     : "there is no enrollment of it";

	if (!body || !json_add_text(body, "reason", reason) ||
	    (is_kept && (!json_add_text(body, "enrollment", "disabled") ||
			 !json_add_text(body, "etag", json_text(remains->enrollment, "etag")))))
		return muster_fail_memory(err);
	return append(journal, remains, who, RETIRE_STAGE, JOURNAL_OUTCOME, TAKE_PTR(body), err);
}

/* An announced sending without an outcome: the next run reads back before it sends anything. */
static bool append_intent(struct journal *journal, const struct remains *remains,
			  const struct who *who, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (!body || !json_add_text(body, "operation", "create") ||
	    !json_add_text(body, "host", remains->host) ||
	    !json_add_text(body, "attemptId", dps_enrollment_attempt(remains->enrollment)))
		return muster_fail_memory(err);
	return append(journal, remains, who, "enroll", JOURNAL_INTENT, TAKE_PTR(body), err);
}

/* -- The row ------------------------------------------------------------------------------------------------ */

static const char *key_kind(const char *attestation, const char *digest)
{
	if (!digest[0])
		return NULL;
	return text_equal_folded(attestation, "tpm") ? "ek" : "certificate";
}

static int64_t time_of(const cJSON *evidence, int64_t fallback)
{
	const char *at = json_text(evidence, "at");
	int64_t ms;

	return at && rfc3339_parse(at, &ms) ? ms : fallback;
}

static enum muster_cause cause_of(const struct remains *remains)
{
	if (restore_state(remains) != JOURNAL_PARKED)
		return CAUSE_NONE;
	if (remains->key_is_taken)
		return CAUSE_KEY_TAKEN;
	return remains->evidence ? CAUSE_ENROLLED_OTHERWISE : CAUSE_NONE;
}

/* The version that muster had last, so that what others wrote since is known as theirs. An answer of a bulk had none to keep: that
 * is known again while nobody wrote it. */
static const char *etag_of(const struct remains *remains)
{
	const char *kept = json_text(json_get(remains->evidence, "enrollment"), "etag");

	if (kept)
		return kept;
	return !remains->evidence || (same_attempt(remains) &&
				      dps_enrollment_is_unwritten(remains->enrollment))
		       ? json_text(remains->enrollment, "etag")
		       : NULL;
}

/* A run writes the registration ID where there is none. */
static const char *device_id_of(const struct remains *remains)
{
	const char *id =
		json_text(remains->evidence ? remains->evidence : remains->enrollment, "deviceId");

	return id ? id : remains->registration_id;
}

static bool put_row(struct journal *journal, const struct remains *remains, const struct who *who,
		    struct muster_error *err)
{
	const cJSON *evidence = remains->evidence, *enrollment = remains->enrollment;
	const char *type =
		json_text(json_get(evidence ? evidence : enrollment, "attestation"), "type");
	const char *operator_name = json_text(evidence, "operator");
	const char *station = json_text(evidence, "station");
	const char *attempt = json_text(evidence, "attemptId");
	int64_t now = clock_wall_ms();
	char key[SHA256_HEX_SIZE], digest[SHA256_HEX_SIZE];
	struct journal_device row = {
		.registration_id = remains->registration_id,
		.serial = json_text(evidence, "serial"),
		.device_id = device_id_of(remains),
		.service = json_text(evidence, "idScope"),
		.attestation = type,
		.key_digest = key,
		.key_id = json_text(json_get(evidence, "attestation"), "keyId"),
		.key_place = type && strcmp(type, "tpm") == 0 ? "tpm:0x81010001" : NULL,
		.profile_name = json_text(json_get(evidence, "profile"), "name"),
		.profile_digest = json_text(json_get(evidence, "profile"), "sha256"),
		.operator= operator_name ? operator_name : who->operator_name,
		.station = station ? station : who->station,
		.state = restore_state(remains),
		.stage = evidence ? "release" : "enroll",
		.attempt = 1,
		.attempt_id = attempt ? attempt : dps_enrollment_attempt(enrollment),
		.cause = cause_of(remains),
		.hub = json_text(json_get(evidence, "verification"), "hub"),
		.verification = evidence_verification(evidence),
		.etag = etag_of(remains),
		.evidence_path = remains->evidence_path,
		.created_ms = time_of(evidence, now),
		.updated_ms = now,
	};

	if (evidence)
		key_of_evidence(evidence, key);
	else
		key_of_enrollment(enrollment, key);
	row.key_kind = type ? key_kind(type, key) : NULL;
	if (!key[0] || remains->key_is_taken)
		row.key_digest = NULL;
	if (remains->evidence_text)
		row.evidence_digest =
			sha256_hex(digest, remains->evidence_text, strlen(remains->evidence_text));
	return journal_device_put(journal, &row, err);
}

bool restore_device(struct journal *journal, const struct remains *remains, const struct who *who,
		    struct muster_error *err)
{
	/* The row first: nothing was written when its key is taken. */
	if (!put_row(journal, remains, who, err))
		return false;
	if (remains->evidence)
		return append_keys(journal, remains, who, err) &&
		       append_release(journal, remains, who, err) &&
		       (!(remains->is_former || restore_state(remains) == JOURNAL_RETIRED) ||
			append_end(journal, remains, who, err));
	return append_intent(journal, remains, who, err);
}
