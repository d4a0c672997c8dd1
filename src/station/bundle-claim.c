/* What a bundle says of a device: whether it can be so, and whether this journal has room for it. */
#include <string.h>

#include "bundle.h"
#include "evidence.h"
#include "known.h"
#include "muster/clock.h"
#include "muster/identity.h"
#include "muster/json.h"
#include "spool.h"

/* -- Can it be so? ---------------------------------------------------------------------------------------------------- */

enum { ATTEMPT_ID_HEX = 32, KEY_ID_HEX_MAX = 128 };

/* Members that are hex digits. */
static const struct hex_member {
	const char *name;
	size_t shortest, longest;
	bool is_needed;
} hex_members[] = {
	{ "profileSha256", SHA256_HEX_SIZE - 1, SHA256_HEX_SIZE - 1, true },
	{ "keySha256", SHA256_HEX_SIZE - 1, SHA256_HEX_SIZE - 1, false },
	{ "attemptId", ATTEMPT_ID_HEX, ATTEMPT_ID_HEX, true },
	{ "keyId", 1, KEY_ID_HEX_MAX, false },
};

static bool fail_broken(struct muster_error *err, const char *what)
{
	return muster_fail(err, CAUSE_BUNDLE_INVALID, "the bundle has a device %s", what);
}

static bool check_hex(const cJSON *object, struct muster_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(hex_members); i++) {
		const struct hex_member *member = &hex_members[i];
		const char *text = json_text(object, member->name);

		if (text ? !hex_is_lower(text, member->shortest, member->longest)
			 : member->is_needed)
			return muster_fail(err, CAUSE_BUNDLE_INVALID,
					   "the bundle has a device whose %s is none",
					   member->name);
	}
	return true;
}

static bool check_names(const cJSON *object, struct muster_error *err)
{
	const char *id = json_text(object, "registrationId");
	const char *serial = json_text(object, "serial"),
		   *device_id = json_text(object, "deviceId");
	const char *attestation = json_text(object, "attestation");
	size_t max = attestation && strcmp(attestation, "x509") == 0 ? REGISTRATION_ID_X509_MAX
								     : REGISTRATION_ID_MAX;
	char folded[REGISTRATION_ID_MAX + 1];
	struct muster_error why;

	if (!id)
		return fail_broken(err, "without its names");
	/* A journal has folded ones. */
	muster_fail(&why, CAUSE_REGISTRATION_ID_INVALID, "'%s' is not in lower case",
		    PRINTABLE(id));
	return (identity_registration_id_normalise(id, max, folded, &why) &&
		strcmp(id, folded) == 0 && (!serial || identity_serial_check(serial, &why)) &&
		(!device_id || identity_device_id_check(device_id, &why))) ||
	       muster_fail(err, CAUSE_BUNDLE_INVALID, "the bundle has a device of no such name: %s",
			   why.message);
}

bool bundle_check_device(const cJSON *object, struct muster_error *err)
{
	const cJSON *note = json_get(object, "spooled");
	const struct journal_device row = { .key_digest = json_text(object, "keySha256") };

	if (!cJSON_IsObject(note))
		return fail_broken(err, "that is not spooled");
	return check_names(object, err) && check_hex(object, err) &&
	       (spool_is_of(note, &row) || fail_broken(err, "that was spooled with another key"));
}

/* -- Is there room for it? --------------------------------------------------------------------------------------------- */

static struct known_claim claim_of(const cJSON *object)
{
	struct known_claim claim = { .serial = json_text(object, "serial"),
				     .registration_id = json_text(object, "registrationId"),
				     .device_id = json_text(object, "deviceId") };
	const char *digest = json_text(object, "keySha256");
	struct muster_error unread;
	struct ek_public ek;

	if (spool_ek(json_get(object, "spooled"), &ek, &unread))
		known_claim_ek(&claim, &ek);
	else
		snprintf(claim.key_digest, sizeof(claim.key_digest), "%s", digest ? digest : "");
	return claim;
}

/* A device that was made ready after it was retired here has begun anew. */
static bool was_spooled_before(const cJSON *object, const struct journal_device *known)
{
	const char *at = json_text(json_get(object, "spooled"), "at");
	int64_t at_ms;

	return !at || !rfc3339_parse(at, &at_ms) || at_ms <= known->updated_ms;
}

static bool check_known(const cJSON *object, const struct journal_device *known,
			struct muster_error *err)
{
	if (journal_state_is_live(known->state))
		return muster_fail(err, CAUSE_RECEIPT_DIFFERS,
				   "device '%s' of the bundle is %s here by another attempt",
				   PRINTABLE(known->registration_id),
				   journal_state_name(known->state));
	return known->state != JOURNAL_RETIRED || !was_spooled_before(object, known) ||
	       muster_fail(err, CAUSE_DEVICE_RETIRED,
			   "device '%s' of the bundle was retired here after it had been spooled",
			   PRINTABLE(known->registration_id));
}

bool bundle_judge_device(struct journal *journal, const cJSON *object, bool *ret_is_here,
			 struct muster_error *err)
{
	const char *id = json_text(object, "registrationId");
	const char *attempt = json_text(object, "attemptId");
	const struct known_claim claim = claim_of(object);
	CLEANUP(journal_device_done) struct journal_device known = { 0 };
	bool is_known;

	*ret_is_here = false;
	if (!journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, id, &known, &is_known, err))
		return false;
	if (is_known && known.attempt_id && strcmp(known.attempt_id, attempt) == 0) {
		*ret_is_here = true;
		return true;
	}
	return (!is_known || check_known(object, &known, err)) && known_check(journal, &claim, err);
}
