#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "hsm-internal.h"

#define SLOTS_MAX 256

/* -- Words ------------------------------------------------------------------------------------------------- */

char *hsm_field_text(char *out, size_t out_size, const unsigned char *field, size_t size)
{
	char plain[65] = { 0 };

	if (size > sizeof(plain) - 1)
		size = sizeof(plain) - 1;
	while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == 0))
		size--;
	memcpy(plain, field, size);
	text_printable(out, out_size, plain);
	return out;
}

#define FIELD_TEXT(out, field) hsm_field_text(out, sizeof(out), field, sizeof(field))

struct hsm_token hsm_token_of_seat(const struct seat *seat)
{
	struct hsm_token token = { .slot = seat->id, .flags = seat->token.flags };

	FIELD_TEXT(token.label, seat->token.label);
	FIELD_TEXT(token.serial, seat->token.serialNumber);
	FIELD_TEXT(token.manufacturer, seat->token.manufacturerID);
	FIELD_TEXT(token.model, seat->token.model);
	return token;
}

/* In the words of the standard; those that are always or never set are left out. */
static const struct {
	CK_FLAGS flag;
	const char *word;
} flag_words[] = {
	{ CKF_TOKEN_INITIALIZED, "initialized" },
	{ CKF_USER_PIN_INITIALIZED, "user-pin-set" },
	{ CKF_LOGIN_REQUIRED, "login-required" },
	{ CKF_WRITE_PROTECTED, "write-protected" },
	{ CKF_PROTECTED_AUTHENTICATION_PATH, "pin-pad" },
	{ CKF_RNG, "random-generator" },
	{ CKF_USER_PIN_COUNT_LOW, "user-pin-count-low" },
	{ CKF_USER_PIN_FINAL_TRY, "user-pin-final-try" },
	{ CKF_USER_PIN_LOCKED, "user-pin-locked" },
	{ CKF_USER_PIN_TO_BE_CHANGED, "user-pin-to-be-changed" },
	{ CKF_SO_PIN_COUNT_LOW, "so-pin-count-low" },
	{ CKF_SO_PIN_FINAL_TRY, "so-pin-final-try" },
	{ CKF_SO_PIN_LOCKED, "so-pin-locked" },
	{ CKF_SO_PIN_TO_BE_CHANGED, "so-pin-to-be-changed" },
};

void hsm_token_flag_words(const struct hsm_token *token, char words[HSM_FLAG_WORDS_SIZE])
{
	size_t length = 0;

	words[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(flag_words); i++)
		if (token->flags & flag_words[i].flag)
			length +=
				(size_t)snprintf(words + length, HSM_FLAG_WORDS_SIZE - length,
						 "%s%s", length > 0 ? " " : "", flag_words[i].word);
}

/* -- Looking, without a session -------------------------------------------------------------------------- */

static bool slot_ids_read(struct hsm *hsm, CK_SLOT_ID ids[SLOTS_MAX], CK_ULONG *ret_count,
			  struct muster_error *err)
{
	CK_ULONG count = 0;
	CK_RV rv = hsm->calls->C_GetSlotList(CK_TRUE, NULL, &count);

	if (rv != CKR_OK)
		return hsm_fail(err, rv, "listing the slots");
	if (count > SLOTS_MAX)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "the module says that it has %lu slots", count);
	*ret_count = SLOTS_MAX;
	rv = hsm->calls->C_GetSlotList(CK_TRUE, ids, ret_count);
	if (rv != CKR_OK)
		return hsm_fail(err, rv, "listing the slots");
	if (*ret_count > SLOTS_MAX)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "the module says that it has %lu slots", *ret_count);
	return true;
}

/* *ret_count is the number of seats; the caller frees the array. */
static bool seats_read(struct hsm *hsm, struct seat **ret_seats, size_t *ret_count,
		       struct muster_error *err)
{
	CLEANUP(freep) struct seat *seats = NULL;
	CK_SLOT_ID ids[SLOTS_MAX];
	CK_ULONG count;
	size_t used = 0;

	if (!slot_ids_read(hsm, ids, &count, err))
		return false;
	seats = calloc(count + 1, sizeof(*seats));
	if (!seats)
		return muster_fail_memory(err);
	for (CK_ULONG i = 0; i < count; i++) {
		struct seat *seat = &seats[used];
		CK_RV rv = hsm->calls->C_GetSlotInfo(ids[i], &seat->slot);

		seat->id = ids[i];
		if (rv == CKR_OK)
			rv = hsm->calls->C_GetTokenInfo(ids[i], &seat->token);
		if (rv == CKR_TOKEN_NOT_PRESENT || rv == CKR_TOKEN_NOT_RECOGNIZED)
			continue;
		if (rv != CKR_OK)
			return hsm_fail(err, rv, "looking at slot %lu", ids[i]);
		used++;
	}
	*ret_seats = TAKE_PTR(seats);
	*ret_count = used;
	return true;
}

bool hsm_token_look(struct hsm *hsm, size_t index, struct hsm_token *ret_token, size_t *ret_count,
		    struct muster_error *err)
{
	CLEANUP(freep) struct seat *seats = NULL;

	if (!seats_read(hsm, &seats, ret_count, err))
		return false;
	if (index < *ret_count)
		*ret_token = hsm_token_of_seat(&seats[index]);
	return true;
}

/* -- Choosing ---------------------------------------------------------------------------------------------- */

static bool seat_matches(struct hsm *hsm, const struct seat *seat, P11KitUri *uri)
{
	CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(uri);
	CK_SLOT_INFO slot = seat->slot;
	CK_TOKEN_INFO token = seat->token;
	CK_INFO module = { 0 };

	if (wanted != (CK_SLOT_ID)-1 && wanted != seat->id)
		return false;
	return hsm->calls->C_GetInfo(&module) == CKR_OK &&
	       p11_kit_uri_match_module_info(uri, &module) &&
	       p11_kit_uri_match_slot_info(uri, &slot) && p11_kit_uri_match_token_info(uri, &token);
}

static bool is_usable(const struct seat *seat)
{
	CK_FLAGS flags = seat->token.flags;

	return (flags & CKF_TOKEN_INITIALIZED) &&
	       ((flags & CKF_USER_PIN_INITIALIZED) || !(flags & CKF_LOGIN_REQUIRED));
}

bool hsm_fail_ambiguous(struct muster_error *err, const struct seat *seats, size_t count)
{
	CLEANUP(text_done) struct text list = TEXT_MAX(4096);

	for (size_t i = 0; i < count; i++) {
		struct hsm_token token = hsm_token_of_seat(&seats[i]);

		text_addf(&list, "%sserial=%s label=%s", i > 0 ? ", " : "", token.serial,
			  token.label);
	}
	return muster_fail(err, CAUSE_TOKEN_AMBIGUOUS, "%zu tokens match the URI: %s", count,
			   list.data);
}

bool hsm_seats_of_uri(struct hsm *hsm, const char *text, struct seat **ret_seats, size_t *ret_count,
		      struct muster_error *err)
{
	CLEANUP(p11_kit_uri_freep) P11KitUri *uri = hsm_uri_new(text, err);
	CLEANUP(freep) struct seat *seats = NULL;
	size_t count, matching = 0;

	if (!uri || !seats_read(hsm, &seats, &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (seat_matches(hsm, &seats[i], uri))
			seats[matching++] = seats[i];
	if (matching == 0)
		return muster_fail(err, CAUSE_TOKEN_NOT_FOUND, "no token of '%s' matches '%s'",
				   PRINTABLE(hsm->module_path), PRINTABLE(text));
	*ret_seats = TAKE_PTR(seats);
	*ret_count = matching;
	return true;
}

/* Moves the usable seats to the front. The others only count when there is no usable one: soft tokens always show an
 * empty one beside the real ones. */
static size_t seats_select(struct seat *seats, size_t count)
{
	size_t usable = 0;

	for (size_t i = 0; i < count; i++) {
		struct seat moved = seats[i];

		if (!is_usable(&moved))
			continue;
		seats[i] = seats[usable];
		seats[usable++] = moved;
	}
	return usable > 0 ? usable : count;
}

static bool seat_find(struct hsm *hsm, const char *text, struct seat *ret_seat,
		      struct muster_error *err)
{
	CLEANUP(freep) struct seat *seats = NULL;
	size_t count;

	if (!hsm_seats_of_uri(hsm, text, &seats, &count, err))
		return false;
	count = seats_select(seats, count);
	if (!is_usable(&seats[0]))
		return muster_fail(
			err, CAUSE_TOKEN_UNINITIALISED,
			"the token in slot %lu (label '%s') is not initialised or has no user PIN",
			seats[0].id, HSM_LABEL(&seats[0].token));
	if (count > 1)
		return hsm_fail_ambiguous(err, seats, count);
	*ret_seat = seats[0];
	return true;
}

/* -- Opening ----------------------------------------------------------------------------------------------- */

static CK_FLAGS session_flags(const CK_TOKEN_INFO *token)
{
	return CKF_SERIAL_SESSION | (token->flags & CKF_WRITE_PROTECTED ? 0 : CKF_RW_SESSION);
}

bool hsm_session_open(struct hsm *hsm, struct muster_error *err)
{
	CK_SESSION_HANDLE session;
	CK_RV rv = hsm->calls->C_OpenSession(hsm->slot_id, session_flags(&hsm->token), NULL, NULL,
					     &session);

	if (rv != CKR_OK)
		return hsm_fail(err, rv, "opening a session with token '%s'",
				HSM_LABEL(&hsm->token));
	hsm->session = session;
	return true;
}

bool hsm_token_open(struct hsm *hsm, const char *uri, struct hsm_token *ret_token,
		    struct muster_error *err)
{
	struct seat seat;

	if (!hsm->is_initialised)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "no module is loaded");
	hsm_token_close(hsm);
	if (!seat_find(hsm, uri, &seat, err))
		return false;
	hsm->slot_id = seat.id;
	hsm->token = seat.token;
	hsm->is_open = hsm_session_open(hsm, err);
	if (!hsm->is_open)
		return false;
	*ret_token = hsm_token_of_seat(&seat);
	return true;
}

void hsm_token_close(struct hsm *hsm)
{
	if (!hsm->is_open)
		return;
	hsm_keys_forget(hsm);
	secret_done(&hsm->pin);
	if (hsm->is_logged_in)
		hsm->calls->C_Logout(hsm->session);
	hsm->calls->C_CloseAllSessions(hsm->slot_id);
	hsm->is_open = false;
	hsm->is_logged_in = false;
	hsm->forms = 0;
}

bool hsm_require_token(const struct hsm *hsm, struct muster_error *err)
{
	return hsm->is_open || muster_fail(err, CAUSE_WORKER_PROTOCOL, "no token is open");
}

static bool is_user_state(CK_STATE state)
{
	return state == CKS_RW_USER_FUNCTIONS || state == CKS_RO_USER_FUNCTIONS;
}

bool hsm_require_login(const struct hsm *hsm, struct muster_error *err)
{
	CK_SESSION_INFO info = { 0 };
	CK_RV rv;

	if (!hsm_require_token(hsm, err))
		return false;
	if (!(hsm->token.flags & CKF_LOGIN_REQUIRED))
		return true;
	if (!hsm->is_logged_in)
		return muster_fail(err, CAUSE_PIN_MISSING, "nobody is logged in to token '%s'",
				   HSM_LABEL(&hsm->token));
	rv = hsm->calls->C_GetSessionInfo(hsm->session, &info);
	if (rv == CKR_OK && !is_user_state(info.state))
		rv = CKR_USER_NOT_LOGGED_IN;
	return rv == CKR_OK || hsm_fail(err, rv, "using token '%s'", HSM_LABEL(&hsm->token));
}

/* -- More sessions ------------------------------------------------------------------------------------------- */

bool hsm_session_new(struct hsm *hsm, struct hsm **ret_session, struct muster_error *err)
{
	CLEANUP(freep) struct hsm *session = malloc(sizeof(*session));

	if (!session)
		return muster_fail_memory(err);
	if (!hsm_require_login(hsm, err))
		return false;
	*session = *hsm;
	session->owner = hsm;
	session->pin = (struct secret){ 0 };
	session->signing = session->made = session->shared = (struct hsm_signing){ 0 };
	session->deriving = (struct hsm_deriving){ 0 };
	if (!hsm_session_open(session, err))
		return false;
	*ret_session = TAKE_PTR(session);
	return true;
}

void hsm_session_free(struct hsm *session)
{
	if (!session)
		return;
	hsm_keys_forget(session);
	session->calls->C_CloseSession(session->session);
	free(session);
}
