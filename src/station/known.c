#include "known.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/ek-trust.h"
#include "muster/log.h"

void known_claim_ek(struct known_claim *claim, const struct ek_public *ek)
{
	struct ek_public twin;
	uint8_t digest[SHA256_SIZE];

	ek_public_digest(ek, digest);
	hex_encode(claim->key_digest, digest, sizeof(digest));
	claim->twin_digest[0] = '\0';
	if (!ek_public_twin(ek, &twin))
		return;
	ek_public_digest(&twin, digest);
	hex_encode(claim->twin_digest, digest, sizeof(digest));
}

/* *ret_found is false too when the device is no longer live. */
static bool find_live(struct journal *journal, enum journal_key key, const char *value,
		      struct journal_device *ret_device, bool *ret_found, struct muster_error *err)
{
	*ret_found = false;
	if (!value || !*value)
		return true;
	if (!journal_device_find(journal, key, value, ret_device, ret_found, err))
		return false;
	if (*ret_found && !journal_state_is_live(ret_device->state)) {
		journal_device_done(ret_device);
		*ret_found = false;
	}
	return true;
}

bool known_find_key(struct journal *journal, const struct known_claim *claim,
		    struct journal_device *ret_device, bool *ret_found, struct muster_error *err)
{
	return find_live(journal, JOURNAL_BY_KEY_DIGEST, claim->key_digest, ret_device, ret_found,
			 err) &&
	       (*ret_found || find_live(journal, JOURNAL_BY_KEY_DIGEST, claim->twin_digest,
					ret_device, ret_found, err));
}

/* " with key DIGEST", for devices that are known by one. */
static const char *key_words(const char *digest, char words[40])
{
	words[0] = '\0';
	if (digest && *digest)
		snprintf(words, 40, " with key %.16s...", digest);
	return words;
}

bool known_fail(const struct known_claim *claim, const struct journal_device *other,
		enum muster_cause cause, struct muster_error *err)
{
	char when[RFC3339_SIZE], ours[40], theirs[40];

	return muster_fail(
		err, cause,
		"serial '%s'%s (registration ID '%s') clashes with the journal's serial '%s'%s (registration ID '%s', %s since %s)",
		claim->serial ? PRINTABLE(claim->serial) : "none",
		key_words(claim->key_digest, ours),
		claim->registration_id ? PRINTABLE(claim->registration_id) : "none",
		other->serial ? PRINTABLE(other->serial) : "none",
		key_words(other->key_digest, theirs), PRINTABLE(other->registration_id),
		journal_state_name(other->state), rfc3339_format(when, other->updated_ms));
}

/* The same device: by its registration ID, or, where that is not known, by its key and no other serial. */
static bool is_same(const struct known_claim *claim, const struct journal_device *other)
{
	if (claim->registration_id)
		return strcmp(other->registration_id, claim->registration_id) == 0;
	return other->key_digest &&
	       (strcmp(other->key_digest, claim->key_digest) == 0 ||
		strcmp(other->key_digest, claim->twin_digest) == 0) &&
	       (!other->serial || !claim->serial || strcmp(other->serial, claim->serial) == 0);
}

/* Devices of two services, or of hubs that are known to be others, may be called alike. */
static bool is_elsewhere(const struct known_claim *claim, const struct journal_device *other)
{
	if (claim->service && other->service && strcmp(claim->service, other->service) != 0)
		return true;
	for (size_t i = 0; i < claim->hub_count; i++)
		if (other->hub && text_equal_folded(claim->hubs[i], other->hub))
			return false;
	return other->hub && claim->hub_count > 0;
}

/* The hub has one device of that name, by its letters' case, whichever of the two comes there last. */
static bool check_other(void *context, const struct journal_device *other, struct muster_error *err)
{
	const struct known_claim *claim = context;
	char when[RFC3339_SIZE];

	return !journal_state_is_live(other->state) || is_same(claim, other) ||
	       is_elsewhere(claim, other) ||
	       muster_fail(err, CAUSE_DEVICE_ID_TAKEN,
			   "device '%s' is to have the device ID '%s', which is that of the "
			   "journal's device '%s' (serial '%s', %s since %s)",
			   PRINTABLE(claim->registration_id), PRINTABLE(claim->device_id),
			   PRINTABLE(other->registration_id),
			   other->serial ? PRINTABLE(other->serial) : "none",
			   journal_state_name(other->state),
			   rfc3339_format(when, other->updated_ms));
}

static bool check_device_id(struct journal *journal, const struct known_claim *claim,
			    struct muster_error *err)
{
	struct known_claim copy = *claim;

	return !claim->registration_id || !claim->device_id || !*claim->device_id ||
	       journal_device_find_each(journal, JOURNAL_BY_DEVICE_ID, claim->device_id,
					check_other, &copy, err);
}

bool known_check(struct journal *journal, const struct known_claim *claim, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device by_serial = { 0 };
	CLEANUP(journal_device_done) struct journal_device by_key = { 0 };
	bool found;

	if (!find_live(journal, JOURNAL_BY_SERIAL, claim->serial, &by_serial, &found, err))
		return false;
	if (found && !is_same(claim, &by_serial))
		return known_fail(claim, &by_serial, CAUSE_SERIAL_TAKEN, err);
	if (!known_find_key(journal, claim, &by_key, &found, err))
		return false;
	if (found && !is_same(claim, &by_key))
		return known_fail(claim, &by_key, CAUSE_KEY_TAKEN, err);
	return check_device_id(journal, claim, err);
}

static bool check_turned(struct journal *journal, const struct known_claim *claim, int (*turn)(int),
			 bool is_refused, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device other = { 0 };
	CLEANUP(freep) char *turned = strdup(claim->serial);
	struct muster_error clash;
	bool found = false;

	if (!turned)
		return muster_fail_memory(err);
	for (char *c = turned; *c; c++)
		*c = (char)turn((unsigned char)*c);
	if (strcmp(turned, claim->serial) == 0)
		return true;
	if (!find_live(journal, JOURNAL_BY_SERIAL, turned, &other, &found, err))
		return false;
	if (!found || is_same(claim, &other))
		return true;
	known_fail(claim, &other, CAUSE_SERIAL_TAKEN, &clash);
	muster_error_prefix(&clash, "they differ only by letter case");
	if (is_refused)
		*err = clash;
	else
		log_warning("%s, going on", clash.message);
	return !is_refused;
}

bool known_check_letters(struct journal *journal, const struct known_claim *claim,
			 enum profile_lookalikes what, struct muster_error *err)
{
	bool is_refused = what == PROFILE_LOOKALIKES_REFUSE;

	return !claim->serial || what == PROFILE_LOOKALIKES_PASS ||
	       (check_turned(journal, claim, tolower, is_refused, err) &&
		check_turned(journal, claim, toupper, is_refused, err));
}

bool known_check_certificate(struct journal *journal, const struct known_claim *claim,
			     const X509 *certificate, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device other = { 0 };
	struct known_claim certified = { 0 };
	struct ek_public key;
	struct muster_error ignored;
	bool found;

	if (!ek_certificate_public(certificate, &key, &ignored))
		return true;
	known_claim_ek(&certified, &key);
	return known_find_key(journal, &certified, &other, &found, err) &&
	       (!found || known_fail(claim, &other, CAUSE_EK_CERTIFICATE_TAKEN, err));
}

bool known_state(struct journal *journal, const char *registration_id, const char **ret_state,
		 struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	bool is_found = false;

	*ret_state = NULL;
	if (!journal || !registration_id)
		return true;
	if (!journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, registration_id, &device,
				 &is_found, err))
		return false;
	if (is_found)
		*ret_state = journal_state_name(device.state);
	return true;
}

bool known_look(struct journal *journal, const struct known_claim *claim,
		enum journal_state *ret_state, bool *ret_found, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device device = { 0 };

	*ret_found = false;
	if (claim->registration_id
		    ? !journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID,
					   claim->registration_id, &device, ret_found, err)
		    : !find_live(journal, JOURNAL_BY_SERIAL, claim->serial, &device, ret_found,
				 err))
		return false;
	*ret_state = device.state;
	return true;
}
