/* Making a token: for soft tokens and for benches. A token that has been made already is not touched by mistake. */
#include <string.h>

#include "hsm-internal.h"

/* How a token that was left without a user PIN gets one. */
#define NAME_IT "name it, 'pkcs11:token=%s', and pass --yes %s"

enum { LABEL_MAX = 32 };

/* Of several matching seats the only one that is not initialised: soft tokens always show one. */
static bool choose(const struct seat *seats, size_t count, const struct seat **ret_seat,
		   struct muster_error *err)
{
	const struct seat *fresh = NULL;
	size_t fresh_count = 0;

	for (size_t i = 0; i < count; i++) {
		if (seats[i].token.flags & CKF_TOKEN_INITIALIZED)
			continue;
		fresh = &seats[i];
		fresh_count++;
	}
	if (count > 1 && fresh_count != 1)
		return hsm_fail_ambiguous(err, seats, count);
	*ret_seat = count == 1 ? &seats[0] : fresh;
	return true;
}

/* The security officer's tries are as few as the user's. */
static bool check_seat(const struct seat *seat, const char *confirmation, bool accept_low_count,
		       struct muster_error *err)
{
	CK_FLAGS flags = seat->token.flags;

	if (!(flags & CKF_TOKEN_INITIALIZED))
		return true;
	if (!confirmation || strcmp(confirmation, HSM_LABEL(&seat->token)) != 0)
		return muster_fail(
			err, CAUSE_TOKEN_IN_USE,
			"token '%s' is initialised already, and all that is on it would be lost",
			HSM_LABEL(&seat->token));
	if (flags & CKF_SO_PIN_LOCKED)
		return muster_fail(err, CAUSE_PIN_LOCKED, "the SO-PIN of token '%s' is locked",
				   HSM_LABEL(&seat->token));
	if (flags & CKF_SO_PIN_FINAL_TRY)
		return muster_fail(err, CAUSE_PIN_FINAL_TRY,
				   "the SO-PIN of token '%s' has one try left; it was not tried",
				   HSM_LABEL(&seat->token));
	return !(flags & CKF_SO_PIN_COUNT_LOW) || accept_low_count ||
	       muster_fail(
		       err, CAUSE_PIN_COUNT_LOW,
		       "the SO-PIN of token '%s' was entered wrongly since the last right one; none was tried",
		       HSM_LABEL(&seat->token));
}

/* A token that is wiped may keep its label. */
static bool check_label(struct hsm *hsm, const struct seat *chosen, const char *label,
			struct muster_error *err)
{
	CLEANUP(freep) struct seat *seats = NULL;
	size_t count;

	if (!hsm_seats_of_uri(hsm, "pkcs11:", &seats, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct hsm_token token = hsm_token_of_seat(&seats[i]);

		if (seats[i].id == chosen->id || !(token.flags & CKF_TOKEN_INITIALIZED) ||
		    strcmp(token.label, label) != 0)
			continue;
		if (token.flags & CKF_USER_PIN_INITIALIZED)
			return muster_fail(err, CAUSE_LABEL_TAKEN,
					   "token '%s' (serial %s) has this label already",
					   token.label, token.serial);
		return muster_fail(
			err, CAUSE_LABEL_TAKEN,
			"token '%s' (serial %s) has this label and no user PIN; if it is meant, " NAME_IT,
			token.label, token.serial, token.label, token.label);
	}
	return true;
}

/* CKR_PIN_INCORRECT, too: SoftHSM says so of one that is too short. */
static bool fail_new_pin(CK_RV rv, const char *what, struct muster_error *err)
{
	const struct hsm_error_row *row = hsm_error_find(rv);

	if (row->cause != CAUSE_PIN_REFUSED)
		return hsm_fail(err, rv, "%s of the new token", what);
	return muster_fail_native(err, CAUSE_NEW_PIN_REFUSED, ORIGIN_PKCS11, rv,
				  "%s of the new token: the token does not take it (%s)", what,
				  row->name);
}

/* As the token tells it; some do not. */
static bool check_new_pin(const struct seat *seat, const struct secret *pin, const char *what,
			  struct muster_error *err)
{
	CK_ULONG least = seat->token.ulMinPinLen, most = seat->token.ulMaxPinLen;

	if (pin->size == 0)
		return muster_fail(err, CAUSE_PIN_MISSING, "the new %s is empty", what);
	if (!hsm_pin_is_text(pin))
		return muster_fail(
			err, CAUSE_SECRET_INVALID,
			"the %s has several lines, a control character or a byte order mark", what);
	if (most == 0 || most == CK_UNAVAILABLE_INFORMATION || least > most ||
	    (pin->size >= least && pin->size <= most))
		return true;
	return muster_fail(err, CAUSE_NEW_PIN_REFUSED,
			   "the %s of the new token: the token takes %lu to %lu bytes", what, least,
			   most);
}

/* That of some tokens (NSS) is empty until it is set. */
static bool check_so_pin(const struct seat *seat, const struct secret *pin,
			 struct muster_error *err)
{
	return pin->size == 0 || check_new_pin(seat, pin, "SO-PIN", err);
}

static bool set_pin(struct hsm *hsm, CK_SESSION_HANDLE session, const struct secret *so_pin,
		    const struct secret *pin, struct muster_error *err)
{
	CK_RV rv = hsm->calls->C_Login(session, CKU_SO, so_pin->data, so_pin->size);

	if (rv != CKR_OK)
		return hsm_fail(err, rv, "logging the security officer in to the new token");
	rv = hsm->calls->C_InitPIN(session, pin->data, pin->size);
	if (rv != CKR_OK)
		return fail_new_pin(rv, "setting the user PIN", err);
	hsm->calls->C_Logout(session);
	return true;
}

/* In a session that ends with it. */
static bool give_pin(struct hsm *hsm, CK_SLOT_ID slot, const struct secret *so_pin,
		     const struct secret *pin, struct muster_error *err)
{
	CK_SESSION_HANDLE session;
	CK_RV rv = hsm->calls->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
					     &session);
	bool is_set;

	if (rv != CKR_OK)
		return hsm_fail(err, rv, "opening a session with the new token");
	is_set = set_pin(hsm, session, so_pin, pin, err);
	hsm->calls->C_CloseSession(session);
	return is_set;
}

static bool look_again(struct hsm *hsm, CK_SLOT_ID slot, struct hsm_token *ret_token,
		       struct muster_error *err)
{
	struct seat seat = { .id = slot };
	CK_RV rv = hsm->calls->C_GetTokenInfo(slot, &seat.token);

	if (rv != CKR_OK)
		return hsm_fail(err, rv, "looking at the new token");
	*ret_token = hsm_token_of_seat(&seat);
	return true;
}

/* Caller frees *ret_seats, of which *ret_seat is one. */
static bool find_seat(struct hsm *hsm, const char *uri, const char *label, const char *confirmation,
		      bool accept_low_count, struct seat **ret_seats, const struct seat **ret_seat,
		      struct muster_error *err)
{
	size_t length = strlen(label), count;

	hsm_token_close(hsm);
	if (length == 0 || length > LABEL_MAX)
		return muster_fail(err, CAUSE_USAGE, "a token's label has 1 to %d bytes",
				   LABEL_MAX);
	return hsm_seats_of_uri(hsm, uri, ret_seats, &count, err) &&
	       choose(*ret_seats, count, ret_seat, err) &&
	       check_seat(*ret_seat, confirmation, accept_low_count, err) &&
	       check_label(hsm, *ret_seat, label, err);
}

bool hsm_token_to_initialise(struct hsm *hsm, const char *uri, const char *label,
			     const char *confirmation, struct hsm_token *ret_token,
			     struct muster_error *err)
{
	CLEANUP(freep) struct seat *seats = NULL;
	const struct seat *seat = NULL;

	if (!find_seat(hsm, uri, label, confirmation, true, &seats, &seat, err))
		return false;
	*ret_token = hsm_token_of_seat(seat);
	return true;
}

bool hsm_token_initialise(struct hsm *hsm, const char *uri, const char *label,
			  const char *confirmation, bool accept_low_count,
			  const struct secret *so_pin, const struct secret *pin,
			  struct hsm_token *ret_token, struct muster_error *err)
{
	CLEANUP(freep) struct seat *seats = NULL;
	const struct seat *seat = NULL;
	unsigned char padded[LABEL_MAX];
	CK_RV rv;

	if (!find_seat(hsm, uri, label, confirmation, accept_low_count, &seats, &seat, err) ||
	    !check_so_pin(seat, so_pin, err) || !check_new_pin(seat, pin, "user PIN", err))
		return false;
	memset(padded, ' ', sizeof(padded));
	memcpy(padded, label, strlen(label));
	rv = hsm->calls->C_InitToken(seat->id, so_pin->data, so_pin->size, padded);
	if (rv != CKR_OK && !(seat->token.flags & CKF_TOKEN_INITIALIZED))
		return fail_new_pin(rv, "setting the SO-PIN", err);
	if (rv != CKR_OK)
		return hsm_fail(err, rv, "initialising the token in slot %lu", seat->id);
	if (!give_pin(hsm, seat->id, so_pin, pin, err))
		return muster_error_prefix(err, "it has no user PIN yet; " NAME_IT, label, label);
	return look_again(hsm, seat->id, ret_token, err);
}
