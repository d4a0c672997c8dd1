/* muster hsm check: what profiles need of a token, tried with keys of the session alone. */
#include "muster/station-token.h"

#include <stdio.h>
#include <string.h>

#include "guard.h"
#include "muster/json.h"
#include "muster/profile.h"
#include "token.h"
#include "visit.h"

enum { TRIAL_MS = 300 };

/* -- What is needed ----------------------------------------------------------------------------------------------- */

/* Larger RSA keys take long to make: they are tried for a profile that wants them. */
static const char *const key_types[] = { "ec-p256", "ec-p384", "ec-p521", "ed25519", "rsa-2048" };

/* What the worker tries. */
struct need {
	const char *trial, *unit;
	size_t types; /* how many of the key types are tried without a profile; 0: the trial has none */
	const char *before, *after; /* the key type, in words */
	/* NULL: every profile needs it. */
	bool (*is_needed)(const struct profile *profile);
};

static bool for_certificates(const struct profile *profile)
{
	return profile->attestation == PROFILE_X509;
}

static bool for_wrapping(const struct profile *profile)
{
	return for_certificates(profile) && profile->x509.key_leaves;
}

static bool for_deriving(const struct profile *profile)
{
	return profile->attestation == PROFILE_SYMMETRIC_KEY &&
	       (profile->master.primary.uri || profile->master.secondary.uri);
}

static const struct need needs[] = {
	{ "key", "keys/s", ARRAY_SIZE(key_types), "make ", " keys that stay", for_certificates },
	{ "sign", "signatures/s", ARRAY_SIZE(key_types), "sign with ", " keys", for_certificates },
	{ "derive", "derivations/s", 0, "derive device keys from a master (HMAC-SHA256)", "",
	  for_deriving },
	{ "wrap", "keys/s", 1, "wrap ", " keys out for a device", for_wrapping },
	{ "keep", NULL, 0, "keep what is not extractable", "", NULL },
};

/* -- Trying it ------------------------------------------------------------------------------------------------------ */

struct check {
	struct visit visit;
	const struct profile *profile; /* NULL: everything */
	cJSON *rows;
	size_t unmet;
	struct muster_error over; /* the worker is no more */
};

/* What such a failure says of the token. */
static const char *state_after(enum muster_cause cause)
{
	switch (cause) {
	case CAUSE_NONE:
		return "present";
	case CAUSE_HSM_UNSUPPORTED:
	case CAUSE_HSM_COMMAND_FAILED:
		return "missing";
	default:
		return "not-trusted";
	}
}

static bool ask(struct check *check, const char *trial, struct worker_message *ret_reply,
		struct muster_error *ret_failure)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	*ret_failure = check->over;
	if (check->over.code != MUSTER_OK)
		return false;
	worker_request_init(&request, WORKER_HSM_TRIAL);
	worker_add_text(&request, FIELD_WORD, trial);
	worker_add_u64(&request, FIELD_MILLISECONDS, TRIAL_MS);
	if (worker_call(check->visit.worker, &request, ret_reply, ret_failure))
		return true;
	if (!worker_is_alive(check->visit.worker))
		check->over = *ret_failure;
	return false;
}

static bool add_measured(cJSON *row, const struct need *need, const struct worker_message *reply)
{
	double count = (double)worker_u64(reply, FIELD_COUNT);
	double seconds = (double)worker_u64(reply, FIELD_NANOSECONDS) / 1e9;
	char rate[32];

	if (need->unit && seconds > 0) {
		snprintf(rate, sizeof(rate), count / seconds < 10 ? "%.1f" : "%.0f",
			 count / seconds);
		if (!json_add_item(row, "rate", cJSON_CreateRaw(rate)) ||
		    !json_add_text(row, "unit", need->unit))
			return false;
	}
	return json_add_text(row, "attributes", worker_text(reply, FIELD_ATTRIBUTES)) &&
	       json_add_text(row, "method", worker_text(reply, FIELD_METHOD));
}

static bool add_row(struct check *check, const struct need *need, const char *type,
		    struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	CLEANUP(cJSON_freep) cJSON *row = cJSON_CreateObject();
	struct muster_error failure = { 0 };
	char trial[64], words[128];
	bool was_tried = check->over.code == MUSTER_OK;
	bool good;

	snprintf(trial, sizeof(trial), "%s%s%s", need->trial, *type ? " " : "", type);
	snprintf(words, sizeof(words), "%s%s%s", need->before, type, need->after);
	good = ask(check, trial, &reply, &failure);
	check->unmet += !good;
	if (!row || !json_add_text(row, "need", words) ||
	    !json_add_text(row, "state",
			   was_tried ? state_after(good ? CAUSE_NONE : failure.cause)
				     : "not-tried") ||
	    (good && !add_measured(row, need, &reply)) ||
	    (!good && !json_add_text(row, "reason", failure.message)) ||
	    !cJSON_AddItemToArray(check->rows, row))
		return muster_fail_memory(err);
	TAKE_PTR(row);
	return true;
}

static bool try_need(struct check *check, const struct need *need, struct muster_error *err)
{
	if (check->profile && need->is_needed && !need->is_needed(check->profile))
		return true;
	if (need->types == 0)
		return add_row(check, need, "", err);
	if (check->profile)
		return add_row(check, need, check->profile->x509.key_type, err);
	for (size_t i = 0; i < need->types; i++)
		if (!add_row(check, need, key_types[i], err))
			return false;
	return true;
}

/* -- Keys that are there already -------------------------------------------------------------------------------------- */

/* One that is not found is the business of who uses it; one in another token is not this one's. */
static bool look_at_key(struct check *check, const char *kind, enum worker_verb verb,
			const char *uri, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	struct muster_error failure;
	bool is_elsewhere;

	if (!uri || check->over.code != MUSTER_OK)
		return true;
	if (!token_is_elsewhere(&check->visit.token, &check->visit.module, uri, &is_elsewhere, err))
		return false;
	if (is_elsewhere)
		return true;
	worker_request_init(&request, verb);
	worker_add_text(&request, FIELD_KEY_URI, uri);
	if (worker_call(check->visit.worker, &request, &reply, &failure))
		guard_warn(kind, uri, worker_text(&reply, FIELD_ATTRIBUTES));
	return true;
}

static bool look_at_keys(struct check *check, struct muster_error *err)
{
	const struct profile *profile = check->profile;

	if (!profile)
		return true;
	return look_at_key(check, "master", WORKER_HSM_MASTER_FIND, profile->master.primary.uri,
			   err) &&
	       look_at_key(check, "master", WORKER_HSM_MASTER_FIND, profile->master.secondary.uri,
			   err) &&
	       look_at_key(check, "private", WORKER_HSM_KEY_FIND, profile->x509.issuer_key, err);
}

/* -- All of it ------------------------------------------------------------------------------------------------------ */

static bool load(const char *path, struct profile *profile, struct profile_report *report,
		 struct muster_error *err)
{
	if (!profile_load(path, profile, report, err))
		return false;
	return for_certificates(profile) || for_deriving(profile) ||
	       muster_fail(err, CAUSE_USAGE, "profile '%s' needs no token",
			   PRINTABLE(profile->name));
}

static bool run(struct check *check, const char *token_uri,
		const struct station_token_check *request, cJSON *document,
		struct muster_error *err)
{
	cJSON *token = cJSON_AddObjectToObject(document, "token");

	check->rows = cJSON_AddArrayToObject(document, "needs");
	if (!token || !check->rows ||
	    (check->profile && !json_add_text(document, "profile", check->profile->name)))
		return muster_fail_memory(err);
	if (!visit_open(&check->visit, token_uri, err) ||
	    !visit_login(&check->visit, &request->pin, err) ||
	    !visit_describe(&check->visit.module, &check->visit.token, token, err))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		if (!try_need(check, &needs[i], err))
			return false;
	if (!look_at_keys(check, err))
		return false;
	return json_add_int64(document, "unmet", (int64_t)check->unmet) || muster_fail_memory(err);
}

bool station_token_check(const char *token_uri, const struct station_token_check *request,
			 struct profile_report *report, cJSON **ret_document,
			 struct muster_error *err)
{
	CLEANUP(profile_done) struct profile profile = { 0 };
	CLEANUP(cJSON_freep) cJSON *document = cJSON_CreateObject();
	struct check check = { 0 };
	bool good;

	if (!document)
		return muster_fail_memory(err);
	if (request->profile_path && !load(request->profile_path, &profile, report, err))
		return false;
	check.profile = request->profile_path ? &profile : NULL;
	good = run(&check, token_uri, request, document, err);
	visit_done(&check.visit);
	if (good)
		*ret_document = TAKE_PTR(document);
	return good;
}
