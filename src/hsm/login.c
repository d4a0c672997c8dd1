#include <string.h>

#include "hsm-internal.h"

/* What the token's flags say about its user PIN, the worst first. */
static const struct {
	CK_FLAGS flag;
	bool is_acceptable; /* when a person has accepted a low count */
	enum muster_cause cause;
	const char *words;
} pin_flags[] = {
	{ CKF_USER_PIN_LOCKED, false, CAUSE_PIN_LOCKED, "is locked" },
	{ CKF_USER_PIN_TO_BE_CHANGED, false, CAUSE_PIN_LOCKED, "has expired and must be changed" },
	{ CKF_USER_PIN_FINAL_TRY, false, CAUSE_PIN_FINAL_TRY, "has one try left" },
	{ CKF_USER_PIN_COUNT_LOW, true, CAUSE_PIN_COUNT_LOW,
	  "was entered wrongly since the last right one" },
};

static bool check_flags(const CK_TOKEN_INFO *token, bool accept_low_count, struct muster_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(pin_flags); i++)
		if ((token->flags & pin_flags[i].flag) &&
		    !(pin_flags[i].is_acceptable && accept_low_count))
			return muster_fail(err, pin_flags[i].cause,
					   "the user PIN of token '%s' %s; no login was tried",
					   HSM_LABEL(token), pin_flags[i].words);
	return true;
}

static bool is_same_token(const CK_TOKEN_INFO *a, const CK_TOKEN_INFO *b)
{
	return memcmp(a->label, b->label, sizeof(a->label)) == 0 &&
	       memcmp(a->serialNumber, b->serialNumber, sizeof(a->serialNumber)) == 0 &&
	       memcmp(a->manufacturerID, b->manufacturerID, sizeof(a->manufacturerID)) == 0 &&
	       memcmp(a->model, b->model, sizeof(a->model)) == 0;
}

/* The token as it is now: it may have been exchanged since it was opened, or lost a try to somebody else. */
bool hsm_login_check(struct hsm *hsm, bool accept_low_count, CK_TOKEN_INFO *ret_token,
		     struct muster_error *err)
{
	CK_RV rv = hsm->calls->C_GetTokenInfo(hsm->slot_id, ret_token);
	struct muster_error failure;

	if (rv != CKR_OK) {
		hsm_fail(&failure, rv, "looking at token '%s' before the login",
			 HSM_LABEL(&hsm->token));
		return muster_fail(err, CAUSE_TOKEN_GONE, "%s; no login was tried",
				   failure.message);
	}
	if (!is_same_token(&hsm->token, ret_token))
		return muster_fail(
			err, CAUSE_TOKEN_GONE,
			"another token (label '%s') is in the slot of token '%s'; no login was tried",
			HSM_LABEL(ret_token), HSM_LABEL(&hsm->token));
	return check_flags(ret_token, accept_low_count, err);
}

bool hsm_pin_is_text(const struct secret *pin)
{
	static const uint8_t mark[] = { 0xef, 0xbb, 0xbf };

	for (size_t i = 0; i < pin->size; i++)
		if (pin->data[i] < ' ' || pin->data[i] == 0x7f)
			return false;
	return pin->size < sizeof(mark) || memcmp(pin->data, mark, sizeof(mark)) != 0;
}

/* What cannot be right would cost a try. */
static bool check_pin(const CK_TOKEN_INFO *token, const struct secret *pin,
		      struct muster_error *err)
{
	CK_ULONG most = token->ulMaxPinLen;

	if (pin->size == 0)
		return muster_fail(err, CAUSE_PIN_MISSING, "the PIN for token '%s' is empty",
				   HSM_LABEL(token));
	if (!hsm_pin_is_text(pin))
		return muster_fail(
			err, CAUSE_SECRET_INVALID,
			"the PIN for token '%s' has several lines, a control character or a byte order mark; no login was tried",
			HSM_LABEL(token));
	if (most == 0 || most == CK_UNAVAILABLE_INFORMATION || token->ulMinPinLen > most)
		return true;
	if (pin->size < token->ulMinPinLen || pin->size > most)
		return muster_fail(
			err, CAUSE_SECRET_INVALID,
			"token '%s' takes PINs of %lu to %lu bytes, and this one is not; no login was tried",
			HSM_LABEL(token), token->ulMinPinLen, most);
	return true;
}

bool hsm_login(struct hsm *hsm, const struct secret *pin, bool accept_low_count, bool *ret_accepted,
	       struct muster_error *err)
{
	CK_TOKEN_INFO token;
	CK_RV rv;

	*ret_accepted = false;
	if (!hsm_require_token(hsm, err))
		return false;
	if (hsm->is_logged_in)
		return true;
	if (is_same_token(&hsm->refused, &hsm->token))
		return muster_fail(err, CAUSE_PIN_REMEMBERED,
				   "token '%s' has refused a PIN from this run",
				   HSM_LABEL(&hsm->token));
	if (!hsm_login_check(hsm, accept_low_count, &token, err) || !check_pin(&token, pin, err))
		return false;
	rv = hsm->calls->C_Login(hsm->session, CKU_USER, pin->data, pin->size);
	if (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN) {
		if (hsm_error_find(rv)->cause == CAUSE_PIN_REFUSED)
			hsm->refused = token;
		return hsm_fail(err, rv, "C_Login");
	}
	hsm->is_logged_in = true;
	/* Where somebody is logged in already, the PIN was not looked at. */
	*ret_accepted = rv == CKR_OK;
	return !*ret_accepted || secret_copy(&hsm->pin, pin->data, pin->size, err);
}
