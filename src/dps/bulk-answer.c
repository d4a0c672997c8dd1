#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/json.h"

#include "bulk-internal.h"
#include "enrollment-internal.h"

#define REFUSALS_MAX 3 /* of all requests alike, in a row: then it is not the items */

/* -- Words ----------------------------------------------------------------------------------------------- */

static void name_of(const struct slot *slot, char what[200])
{
	snprintf(what, 200, "enrollment '%s'", PRINTABLE(slot->item.id));
}

static void finish_by_error(struct dps_bulk *bulk, struct slot *slot, enum dps_bulk_fate fate,
			    enum muster_cause cause, const struct item_error *error)
{
	struct muster_error why;

	muster_fail_native(&why, cause, ORIGIN_DPS, (unsigned long)error->code,
			   "enrollment '%s': the service answered errorCode %lld: %s",
			   PRINTABLE(slot->item.id), (long long)error->code, error->message);
	bulk_finish(bulk, slot, fate, &why);
}

static void refuse(struct dps_bulk *bulk, struct slot *slot, enum muster_cause cause,
		   const struct item_error *error)
{
	finish_by_error(bulk, slot, DPS_BULK_REFUSED, cause, error);
}

/* An answer about this one item that ends it, or leaves it open. */
static void finish_by_answer(struct dps_bulk *bulk, struct slot *slot, enum dps_bulk_fate fate,
			     const struct http_answer *answer)
{
	struct muster_error why;
	char what[200];

	name_of(slot, what);
	dps_answer_fail(answer, what, &why);
	bulk_finish(bulk, slot, fate, &why);
}

/* -- Again ----------------------------------------------------------------------------------------------- */

/* After a request that came to nothing; so many times, then the item waits for another run. What fails in the middle of a trouble
 * is not the item's fault. */
static void again(struct dps_bulk *bulk, struct slot *slot, enum slot_state state,
		  const struct http_answer *answer)
{
	slot->state = state;
	slot->refusals += dps_budget_fate_of(answer) == DPS_BUDGET_REFUSED;
	slot->attempts += !dps_outage_explains(answer) || bulk->outage->troubles <= 1;
	if (slot->attempts >= DPS_RETRY_ATTEMPTS)
		finish_by_answer(bulk, slot, DPS_BULK_OPEN, answer);
}

/* Read back and found undone. A service that fails every time and can still be read is not asked for ever. */
static void send_again(struct dps_bulk *bulk, struct slot *slot)
{
	struct muster_error why;

	slot->state = SLOT_SEND;
	if (slot->attempts < DPS_RETRY_ATTEMPTS)
		return;
	muster_fail(&why, CAUSE_CLOUD_SERVER_ERROR,
		    "enrollment '%s': sent %u times, and the service has not done it",
		    PRINTABLE(slot->item.id), slot->attempts);
	bulk_finish(bulk, slot, DPS_BULK_OPEN, &why);
}

void bulk_note_trouble(struct dps_bulk *bulk, const struct http_answer *answer, int64_t started_ms)
{
	struct muster_error failure;
	uint64_t random;

	if (!random_bytes(&random, sizeof(random), &failure)) {
		bulk_fail(bulk, &failure);
		return;
	}
	if (dps_outage_trouble(bulk->outage, answer, started_ms, clock_now_ms(), random))
		return;
	dps_answer_fail(answer, "writing enrollments", &failure);
	if (dps_outage_is_on(bulk->outage))
		muster_error_prefix(&failure, "%s stayed away", bulk->outage->what);
	dps_bulk_stop(bulk, &failure);
}

/* The same no to everything is nobody's fault among the items. Requests that were under way together meet the same no, perhaps to a
 * token that none will carry again: it counts once. */
static void note_refusal(struct call *call, const struct http_answer *answer)
{
	struct dps_bulk *bulk = call->bulk;
	struct muster_error why;

	if (call->number <= bulk->refused_number)
		return;
	bulk->refused_number = bulk->sent;
	/* A password that the proxy refused is tried once. */
	if (++bulk->refusals < REFUSALS_MAX && answer->error.cause != CAUSE_PROXY_LOGIN)
		return;
	dps_answer_fail(answer, "writing enrollments", &why);
	if (bulk->refusals == REFUSALS_MAX)
		muster_error_prefix(&why, "stopped after %d refusals in a row", REFUSALS_MAX);
	dps_bulk_stop(bulk, &why);
}

static void note_success(struct dps_bulk *bulk)
{
	bulk->has_succeeded = true;
	bulk->refusals = 0;
	dps_outage_well(bulk->outage, clock_now_ms());
}

static bool is_general_refusal(const struct http_answer *answer)
{
	return answer->outcome == HTTP_NOT_SENT || answer->status == 401 || answer->status == 403 ||
	       (answer->status >= 300 && answer->status <= 399);
}

/* -- Read back ------------------------------------------------------------------------------------------- */

static void take_same(struct dps_bulk *bulk, struct slot *slot)
{
	bulk_finish(bulk, slot, slot->is_unclear ? DPS_BULK_WRITTEN : DPS_BULK_ALREADY, NULL);
}

static void take_different(struct dps_bulk *bulk, struct slot *slot, const char *differences)
{
	const char *etag = json_text(slot->found, "etag");
	const char *id = slot->item.id;
	struct muster_error why;

	if (bulk->mode == DPS_BULK_UPDATE ||
	    (bulk->mode == DPS_BULK_UPDATE_IF_MATCH && !slot->is_refused && etag &&
	     strcmp(etag, slot->item.etag) == 0)) {
		send_again(bulk, slot);
		return;
	}
	muster_fail(&why,
		    bulk->mode == DPS_BULK_CREATE ? CAUSE_ENROLLED_OTHERWISE : CAUSE_ETAG_MISMATCH,
		    "enrollment '%s' is there with other content: %s", PRINTABLE(id), differences);
	bulk_finish(bulk, slot, DPS_BULK_DIFFERS, &why);
}

static void compare(struct dps_bulk *bulk, struct slot *slot, const cJSON *mechanism)
{
	CLEANUP(text_done) struct text differences = { 0 };
	struct muster_error failure;

	if (!dps_enrollment_compare(slot->item.document, slot->found, mechanism, &differences,
				    &failure)) {
		bulk_fail(bulk, &failure);
		return;
	}
	if (differences.length == 0) {
		take_same(bulk, slot);
		return;
	}
	for (char *c = differences.data; *c; c++)
		if (*c == '\n')
			*c = ';';
	take_different(bulk, slot, differences.data);
}

/* Whether what stands there is what was to be deleted. */
static bool is_to_be_deleted(const struct slot *slot, const struct http_answer *answer)
{
	const char *etag = json_text(slot->found, "etag"), *wanted = slot->item.etag;

	if (!wanted)
		return !slot->is_unclear ||
		       !enrollment_is_newcomer(slot->found, answer, slot->sent_ms);
	return !slot->is_refused && etag && strcmp(etag, wanted) == 0;
}

/* Whatever is there was to be deleted; from now on it is this, and nothing that comes behind. */
static bool pin(struct slot *slot, struct muster_error *err)
{
	const char *etag = json_text(slot->found, "etag");
	char *json;

	if (slot->item.etag || !slot->is_unclear || !etag)
		return true;
	slot->item.etag = strdup(etag);
	json = slot->item.etag ? bulk_item_json(DPS_BULK_DELETE, &slot->item) : NULL;
	if (!json)
		return muster_fail_memory(err);
	free(slot->json);
	slot->json = json;
	return true;
}

/* An enrollment that should be deleted is still there. */
static void take_undeleted(struct dps_bulk *bulk, struct slot *slot,
			   const struct http_answer *answer)
{
	struct muster_error why;

	if (is_to_be_deleted(slot, answer)) {
		if (pin(slot, &why))
			send_again(bulk, slot);
		else
			bulk_fail(bulk, &why);
		return;
	}
	muster_fail(
		&why, CAUSE_ETAG_MISMATCH,
		slot->item.etag
			? "enrollment '%s' has another etag than the one to be deleted"
			: "deleting enrollment '%s': the answer was lost, and somebody wrote it meanwhile",
		PRINTABLE(slot->item.id));
	bulk_finish(bulk, slot, DPS_BULK_DIFFERS, &why);
}

static void take_absent(struct dps_bulk *bulk, struct slot *slot)
{
	if (bulk->mode == DPS_BULK_DELETE) {
		take_same(bulk, slot);
		return;
	}
	/* What was in the way is gone, or what we sent never arrived. */
	slot->is_refused = false;
	send_again(bulk, slot);
}

/* Of what came as a line it is made when there is something to compare it with. */
static bool have_document(struct slot *slot, struct muster_error *err)
{
	return slot->item.document || json_parse(slot->json, strlen(slot->json), "the enrollment",
						 &slot->item.document, err);
}

static void take_found(struct dps_bulk *bulk, struct slot *slot, const struct http_answer *answer)
{
	struct muster_error ignored, failure;

	if (!dps_enrollment_read(answer, slot->item.id, &slot->found, &ignored)) {
		again(bulk, slot, SLOT_READ, answer);
		return;
	}
	if (bulk->mode == DPS_BULK_DELETE)
		take_undeleted(bulk, slot, answer);
	else if (!have_document(slot, &failure))
		bulk_fail(bulk, &failure);
	else if (dps_enrollment_needs_mechanism(slot->item.document, slot->found))
		slot->state = SLOT_READ_KEYS;
	else
		compare(bulk, slot, NULL);
}

static void take_keys(struct dps_bulk *bulk, struct slot *slot, const struct http_answer *answer)
{
	CLEANUP(cJSON_freep) cJSON *mechanism = NULL;
	struct muster_error ignored;

	if (dps_mechanism_read(answer, &mechanism, &ignored))
		compare(bulk, slot, mechanism);
	else
		again(bulk, slot, SLOT_READ_KEYS, answer);
}

static void take_read_answer(struct call *call, const struct http_answer *answer)
{
	struct dps_bulk *bulk = call->bulk;
	struct slot *slot = call->slots[0];
	enum slot_state state = call->kind == CALL_READ ? SLOT_READ : SLOT_READ_KEYS;

	switch (dps_next_step(answer, false)) {
	case DPS_NEXT_DONE:
		note_success(bulk);
		if (call->kind == CALL_READ)
			take_found(bulk, slot, answer);
		else
			take_keys(bulk, slot, answer);
		return;
	case DPS_NEXT_RETRY:
		if (dps_outage_explains(answer))
			bulk_note_trouble(bulk, answer, call->started_ms);
		again(bulk, slot, state, answer);
		return;
	case DPS_NEXT_RENEW:
		dps_credential_forget(dps_client_credential(bulk->client), answer);
		break;
	default:
		break;
	}
	if (answer->outcome == HTTP_ANSWERED && answer->status == 404) {
		note_success(bulk);
		take_absent(bulk, slot);
		return;
	}
	if (is_general_refusal(answer))
		note_refusal(call, answer);
	again(bulk, slot, state, answer);
}

/* -- Written --------------------------------------------------------------------------------------------- */

static void must_read(struct slot *slot, bool is_unclear, bool is_refused)
{
	slot->is_unclear |= is_unclear;
	slot->is_refused = is_refused;
	slot->attempts++;
	slot->state = SLOT_READ;
}

static void take_missing(struct dps_bulk *bulk, struct slot *slot, const struct item_error *error)
{
	if (bulk->mode == DPS_BULK_DELETE)
		take_same(bulk, slot);
	else
		refuse(bulk, slot, CAUSE_ENROLLMENT_NOT_FOUND, error);
}

/* One too many: the budget, which was told, says when it may go again. */
static void take_throttled(struct dps_bulk *bulk, struct slot *slot, const struct item_error *error)
{
	slot->state = SLOT_SEND;
	slot->refusals++;
	if (++slot->attempts >= DPS_RETRY_ATTEMPTS)
		finish_by_error(bulk, slot, DPS_BULK_OPEN, CAUSE_CLOUD_THROTTLED, error);
}

static void take_item_error(struct dps_bulk *bulk, struct slot *slot,
			    const struct item_error *error)
{
	int status = bulk_status_of(error);

	if (error->code == 0)
		bulk_finish(bulk, slot, DPS_BULK_WRITTEN, NULL);
	else if (status == 409 || status == 412)
		must_read(slot, false, true);
	else if (status == 404)
		take_missing(bulk, slot, error);
	else if (status == 429)
		take_throttled(bulk, slot, error);
	else if (status == 408 || status >= 500)
		must_read(slot, true, false);
	else
		refuse(bulk, slot, CAUSE_CLOUD_REFUSED, error);
}

/* Nobody knows what came of them. */
static void all_unclear(struct call *call)
{
	for (size_t i = 0; i < call->count; i++)
		must_read(call->slots[i], true, false);
}

static void take_bulk_success(struct call *call)
{
	if (!call->is_read) {
		all_unclear(call);
		return;
	}
	note_success(call->bulk);
	for (size_t i = 0; i < call->count; i++)
		take_item_error(call->bulk, call->slots[i], &call->errors[i]);
}

static void take_single_success(struct call *call, const struct http_answer *answer)
{
	struct slot *slot = call->slots[0];
	struct muster_error ignored;
	bool is_good = call->bulk->mode == DPS_BULK_DELETE
			       ? dps_delete_read(answer, &ignored)
			       : dps_enrollment_confirm(answer, slot->item.id, &ignored);

	if (!is_good) {
		all_unclear(call);
		return;
	}
	note_success(call->bulk);
	bulk_finish(call->bulk, slot, DPS_BULK_WRITTEN, NULL);
}

/* One item may have spoiled the bulk; or the service takes none. */
static void send_singly(struct call *call, const struct http_answer *answer)
{
	if (answer->status == 404 || answer->status == 405)
		call->bulk->form = DPS_BULK_SINGLES;
	for (size_t i = 0; i < call->count; i++) {
		call->slots[i]->is_single = true;
		call->slots[i]->state = SLOT_SEND;
	}
}

/* The request as a whole was found wrong; nothing of it was done. */
static void take_stop(struct call *call, const struct http_answer *answer)
{
	struct dps_bulk *bulk = call->bulk;
	struct slot *slot = call->slots[0];

	if (is_general_refusal(answer)) {
		note_refusal(call, answer);
		for (size_t i = 0; i < call->count; i++)
			again(bulk, call->slots[i], SLOT_SEND, answer);
		return;
	}
	if (call->kind == CALL_BULK) {
		send_singly(call, answer);
		return;
	}
	bulk->refusals = 0;
	if (answer->status == 404 && bulk->mode == DPS_BULK_DELETE)
		take_same(bulk, slot);
	else
		finish_by_answer(bulk, slot, DPS_BULK_REFUSED, answer);
}

static void take_write_answer(struct call *call, const struct http_answer *answer)
{
	struct dps_bulk *bulk = call->bulk;
	bool is_answered = answer->outcome == HTTP_ANSWERED;

	switch (dps_next_step(answer, true)) {
	case DPS_NEXT_DONE:
		if (call->kind == CALL_BULK)
			take_bulk_success(call);
		else
			take_single_success(call, answer);
		return;
	case DPS_NEXT_READ_BACK:
		if (is_answered && (answer->status == 409 || answer->status == 412)) {
			for (size_t i = 0; i < call->count; i++)
				must_read(call->slots[i], false, true);
			return;
		}
		bulk_note_trouble(bulk, answer, call->started_ms);
		all_unclear(call);
		return;
	case DPS_NEXT_RETRY:
		if (!is_answered)
			bulk_note_trouble(bulk, answer, call->started_ms);
		for (size_t i = 0; i < call->count; i++)
			again(bulk, call->slots[i], SLOT_SEND, answer);
		return;
	case DPS_NEXT_RENEW:
		dps_credential_forget(dps_client_credential(bulk->client), answer);
		take_stop(call, answer);
		return;
	case DPS_NEXT_STOP:
		take_stop(call, answer);
		return;
	}
}

void bulk_take_answer(struct call *call, const struct http_answer *answer)
{
	bool is_reading = call->kind == CALL_READ || call->kind == CALL_READ_KEYS;

	for (size_t i = 0; i < call->count; i++) {
		struct slot *slot = call->slots[i];

		if (!is_reading && !slot->is_unclear)
			slot->sent_ms = call->started_ms;
		if (call->kind != CALL_READ_KEYS) {
			cJSON_Delete(slot->found);
			slot->found = NULL;
		}
	}
	if (is_reading)
		take_read_answer(call, answer);
	else
		take_write_answer(call, answer);
}
