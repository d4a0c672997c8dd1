/* After a session or a login was lost: the token was pulled and put back, or its module gave up. */
#include <pthread.h>

#include "hsm-internal.h"

/* A login is the whole process's, so one session logs in and the others find it done. */
static pthread_mutex_t recovering = PTHREAD_MUTEX_INITIALIZER;

/* With a login the handles of private objects go, too. */
bool hsm_is_lost(const struct muster_error *failure)
{
	static const CK_RV lost[] = { CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED,
				      CKR_DEVICE_REMOVED,         CKR_TOKEN_NOT_PRESENT,
				      CKR_USER_NOT_LOGGED_IN,     CKR_KEY_HANDLE_INVALID,
				      CKR_OBJECT_HANDLE_INVALID };

	if (failure->origin != ORIGIN_PKCS11)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(lost); i++)
		if (failure->native == lost[i])
			return true;
	return false;
}

static bool log_in_again(struct hsm *hsm, struct hsm *owner, struct muster_error *err)
{
	CK_RV rv = hsm->calls->C_Login(hsm->session, CKU_USER, owner->pin.data, owner->pin.size);

	if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
		return true;
	secret_done(&owner->pin);
	if (hsm_error_find(rv)->cause == CAUSE_PIN_REFUSED)
		owner->refused = owner->token;
	return hsm_fail(err, rv, "logging in to token '%s' again", HSM_LABEL(&hsm->token));
}

static bool recover(struct hsm *hsm, struct hsm *owner, struct muster_error *err)
{
	CK_SESSION_HANDLE before = hsm->session;
	struct muster_error nobody;
	CK_TOKEN_INFO token;

	if (owner->pin.size == 0)
		return muster_fail(err, CAUSE_PIN_MISSING,
				   "token '%s' has accepted no PIN that could be used again",
				   HSM_LABEL(&hsm->token));
	if (!hsm_login_check(hsm, false, &token, err))
		return false;
	if (!hsm_session_open(hsm, err))
		return false;
	hsm_keys_forget(hsm);
	hsm->calls->C_CloseSession(before); /* not earlier: with the last session a login ends */
	return hsm_require_login(hsm, &nobody) || log_in_again(hsm, owner, err);
}

bool hsm_recover(struct hsm *hsm, struct muster_error *err)
{
	bool good;

	pthread_mutex_lock(&recovering);
	good = recover(hsm, hsm->owner ? hsm->owner : hsm, err);
	pthread_mutex_unlock(&recovering);
	return good;
}
