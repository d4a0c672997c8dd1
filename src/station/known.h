/* The duplicate guard: one serial has one key, one key one serial, over the whole journal, and one device ID of a hub one device.
 * Private to the station. */
#pragma once

#include "muster/ek.h"
#include "muster/journal.h"
#include "muster/profile.h"

/* Who says to be who. Texts borrowed; NULL or "" is "not known". */
struct known_claim {
	const char *serial;
	const char *registration_id;
	const char *device_id; /* that it will have; looked at where the registration ID is known */
	const char *service;   /* the ID scope */
	const char *const *hubs; /* one of which it will have; none: any */
	size_t hub_count;
	char key_digest[SHA256_HEX_SIZE];
	char twin_digest[SHA256_HEX_SIZE]; /* of the other writing of the same RSA key */
};

void known_claim_ek(struct known_claim *claim, const struct ek_public *ek);

/* The live device that has this key, however it was written. */
bool known_find_key(struct journal *journal, const struct known_claim *claim,
		    struct journal_device *ret_device, bool *ret_found, struct muster_error *err)
	MUST_CHECK;
/* Another live device with this serial is CAUSE_SERIAL_TAKEN, one with this key CAUSE_KEY_TAKEN, one with this device ID
 * CAUSE_DEVICE_ID_TAKEN; the message has both records. */
bool known_check(struct journal *journal, const struct known_claim *claim, struct muster_error *err)
	MUST_CHECK;
/* A scanner whose letters are turned the other way reads another board's serial: warns of a live device whose serial is this one in
 * capitals or small letters, or refuses (CAUSE_SERIAL_TAKEN). */
bool known_check_letters(struct journal *journal, const struct known_claim *claim,
			 enum profile_lookalikes what, struct muster_error *err) MUST_CHECK;
/* CAUSE_EK_CERTIFICATE_TAKEN when this certificate, which is not for the key of the claim, is for the key of a live
 * device. */
bool known_check_certificate(struct journal *journal, const struct known_claim *claim,
			     const X509 *certificate, struct muster_error *err) MUST_CHECK;
/* What the journal says of that registration ID: "released", ...; NULL: nothing. Neither needs to be there. */
bool known_state(struct journal *journal, const char *registration_id, const char **ret_state,
		 struct muster_error *err) MUST_CHECK;
/* Likewise of a device that failed before it was known who it is: by its registration ID, else by the serial that a live one has. */
bool known_look(struct journal *journal, const struct known_claim *claim,
		enum journal_state *ret_state, bool *ret_found, struct muster_error *err)
	MUST_CHECK;
/* Both records in one sentence. */
bool known_fail(const struct known_claim *claim, const struct journal_device *other,
		enum muster_cause cause, struct muster_error *err);
