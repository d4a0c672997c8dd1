#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/json.h"

#include "bulk-internal.h"

#define POLL_MAX_MS 1000

/* -- Slots ----------------------------------------------------------------------------------------------- */

static void slot_done(struct slot *slot)
{
	if (slot->json)
		secret_wipe(slot->json, strlen(slot->json));
	free(slot->json);
	cJSON_Delete(slot->found);
	dps_bulk_item_done(&slot->item);
	*slot = (struct slot){ 0 };
}

void bulk_fail(struct dps_bulk *bulk, const struct muster_error *failure)
{
	if (!bulk->has_failed)
		bulk->failure = *failure;
	bulk->has_failed = true;
}

void bulk_finish(struct dps_bulk *bulk, struct slot *slot, enum dps_bulk_fate fate,
		 const struct muster_error *why)
{
	struct muster_error failure;

	slot->item.is_unclear = slot->is_unclear;
	if (!bulk->owner.done(bulk->owner.context, &slot->item, fate, why, &failure))
		bulk_fail(bulk, &failure);
	slot_done(slot);
}

static struct slot *slot_in(struct dps_bulk *bulk, enum slot_state state)
{
	for (size_t i = 0; i < bulk->slot_count; i++)
		if (bulk->slots[i].state == state)
			return &bulk->slots[i];
	return NULL;
}

static bool fill_slot(struct dps_bulk *bulk, struct slot *slot, struct muster_error *err)
{
	bool has = false;

	if (!bulk->owner.next(bulk->owner.context, &slot->item, &has, err))
		return false;
	bulk->has_source_ended = !has;
	if (!has)
		return true;
	slot->json = bulk_item_json(bulk->mode, &slot->item);
	slot->state = SLOT_SEND;
	return slot->json || muster_fail_memory(err);
}

/* Until so many may be sent, or there is no more room. */
static bool fill_slots(struct dps_bulk *bulk, size_t wanted, struct muster_error *err)
{
	size_t ready = bulk_count_in(bulk, SLOT_SEND);
	struct slot *slot;

	bulk->has_source_ended = false;
	while (ready++ < wanted && !bulk->is_stopped && !bulk->has_source_ended &&
	       (slot = slot_in(bulk, SLOT_FREE)))
		if (!fill_slot(bulk, slot, err))
			return false;
	return true;
}

/* -- Building -------------------------------------------------------------------------------------------- */

static void call_free(struct call *call)
{
	if (!call)
		return;
	http_request_done(&call->request);
	http_answer_done(&call->answer);
	free(call);
}
DEFINE_FREEP(call_freep, struct call *, call_free)

static bool build(struct call *call, struct http_request *ret_request, struct muster_error *err)
{
	const struct dps_bulk *bulk = call->bulk;
	const char *host = dps_client_host(bulk->client);

	switch (call->kind) {
	case CALL_BULK:
		return bulk_build(host, bulk->mode, call->slots, call->count, ret_request, err);
	case CALL_SINGLE:
		return bulk_build_single(host, bulk->mode, call->slots[0], ret_request, err);
	case CALL_READ:
		return dps_enrollment_get(host, call->slots[0]->item.id, ret_request, err);
	case CALL_READ_KEYS:
		return dps_enrollment_mechanism(host, call->slots[0]->item.id, ret_request, err);
	}
	return false;
}

/* Before there is a lane for it only a whole one: until then more may come, and what must be read goes first. */
static bool may_build_ahead(const struct dps_bulk *bulk)
{
	size_t whole = bulk_sends_singles(bulk) ? 1 : DPS_BULK_ITEMS_MAX;

	return bulk_count_in(bulk, SLOT_SEND) >= whole && bulk_count_in(bulk, SLOT_READ) == 0 &&
	       bulk_count_in(bulk, SLOT_READ_KEYS) == 0;
}

static bool build_next(struct dps_bulk *bulk, struct muster_error *err)
{
	CLEANUP(call_freep) struct call *call = NULL;

	if (bulk->next || bulk->is_stopped)
		return true;
	if (!fill_slots(bulk, DPS_BULK_ITEMS_MAX, err) || !bulk_choose(bulk, &call, err))
		return false;
	if (!call)
		return true;
	if (!build(call, &call->request, err))
		return false;
	for (size_t i = 0; i < call->count; i++)
		call->slots[i]->state = SLOT_UNDER_WAY;
	bulk->next = TAKE_PTR(call);
	return true;
}

static void give_turn_back(const struct call *call)
{
	struct dps_meter *meter = dps_client_meter(call->bulk->client);

	if (meter)
		dps_meter_answer(meter, &call->ticket, DPS_BUDGET_UNSENT, -1);
}

static void drop_next(struct dps_bulk *bulk)
{
	static const enum slot_state states[] = {
		[CALL_BULK] = SLOT_SEND,
		[CALL_SINGLE] = SLOT_SEND,
		[CALL_READ] = SLOT_READ,
		[CALL_READ_KEYS] = SLOT_READ_KEYS,
	};
	CLEANUP(call_freep) struct call *call = TAKE_PTR(bulk->next);

	bulk->drops++;
	if (!call)
		return;
	if (call->transfer) {
		http_cancel(dps_client_http(bulk->client), call->transfer);
		give_turn_back(call);
	}
	for (size_t i = 0; i < call->count; i++)
		call->slots[i]->state = states[call->kind];
}

/* -- Sending --------------------------------------------------------------------------------------------- */

static void call_remove(struct dps_bulk *bulk, struct call *call)
{
	struct call **link = &bulk->calls;

	while (*link != call) {
		assert(*link);
		link = &(*link)->next;
	}
	*link = call->next;
	bulk->call_count--;
}

static bool is_plain_success(const struct http_answer *answer)
{
	return answer->outcome == HTTP_ANSWERED && answer->status >= 200 && answer->status <= 299;
}

/* At once: items that were refused for the rate are the budget's, before it lets anything else go. */
static void read_items(struct call *call, const struct http_answer *answer)
{
	call->is_read = call->kind == CALL_BULK && is_plain_success(answer) &&
			bulk_read(answer, call->slots, call->count, call->errors);
	for (size_t i = 0; call->is_read && i < call->count; i++)
		call->ticket.refused += bulk_status_of(&call->errors[i]) == 429;
}

static void look_later(struct call *call, struct http_answer *answer)
{
	struct call **end = &call->bulk->answered;

	while (*end)
		end = &(*end)->next;
	call->answer = *answer;
	*answer = (struct http_answer){ 0 };
	call->next = NULL;
	*end = call;
}

static void take_answer(void *context, struct http_answer *answer)
{
	CLEANUP(call_freep) struct call *call = context;
	struct dps_bulk *bulk = call->bulk;
	struct dps_meter *meter = dps_client_meter(bulk->client);
	bool is_plain;

	dps_outage_answered(bulk->outage);
	call_remove(bulk, call);
	call->transfer = NULL;
	read_items(call, answer);
	is_plain = is_plain_success(answer) && call->ticket.refused == 0;
	if (meter)
		dps_meter_answer(meter, &call->ticket, dps_budget_fate_of(answer),
				 answer->retry_after_ms);
	/* What was ready to go was so for a service without trouble. */
	if (!is_plain)
		drop_next(bulk);
	if (bulk->looks_later && bulk->has_succeeded && is_plain)
		look_later(TAKE_PTR(call), answer);
	else
		bulk_take_answer(call, answer);
}

static void look_at_answers(struct dps_bulk *bulk)
{
	while (bulk->answered) {
		CLEANUP(call_freep) struct call *call = bulk->answered;

		bulk->answered = call->next;
		bulk_take_answer(call, &call->answer);
	}
}

static bool go(struct dps_bulk *bulk, struct muster_error *err)
{
	struct call *call = bulk->next;

	call->started_ms = clock_now_ms();
	call->number = ++bulk->sent;
	if (!http_go(dps_client_http(bulk->client), call->transfer, err))
		return false;
	dps_outage_ask(bulk->outage, call->started_ms);
	bulk->next = NULL;
	call->next = bulk->calls;
	bulk->calls = call;
	bulk->call_count++;
	return true;
}

/* A write that was tried before, and not for being too early, or as the one that looks whether the service is back. Reading back
 * is what makes the repetition needless. */
static bool is_repetition(const struct call *call)
{
	bool is_write = (call->kind == CALL_BULK || call->kind == CALL_SINGLE) &&
			!dps_outage_is_troubled(call->bulk->outage);

	for (size_t i = 0; i < call->count; i++)
		if (is_write && call->slots[i]->attempts > call->slots[i]->refusals)
			return true;
	return false;
}

static bool is_well(const struct dps_bulk *bulk)
{
	return bulk->has_succeeded && bulk->refusals == 0 && !dps_outage_is_troubled(bulk->outage);
}

/* One at a time until the first success, and while there is trouble. */
static size_t lanes_of(const struct dps_bulk *bulk)
{
	return is_well(bulk) ? bulk->lanes : 1;
}

static void take_turn(struct dps_bulk *bulk, struct call *call, int64_t *ret_wait_ms)
{
	struct dps_meter *meter = dps_client_meter(bulk->client);
	struct muster_error why;

	*ret_wait_ms = meter ? dps_meter_take(meter, (uint32_t)call->count, DPS_BUDGET_BACKLOG,
					      &call->ticket)
			     : 0;
	if (*ret_wait_ms > 0 || !meter || !is_repetition(call) || dps_meter_retry(meter))
		return;
	give_turn_back(call);
	muster_fail(&why, CAUSE_CLOUD_SERVER_ERROR,
		    "writing enrollments: too many requests had to be repeated");
	dps_bulk_stop(bulk, &why);
}

/* A credential that cannot be had ends the sending, not what is under way; one whose authority is away is waited for. While it is
 * asked for, others get their answers, and a bad one drops what is next: so that is kept aside until it is authorized. */
static bool authorize_next(struct dps_bulk *bulk)
{
	struct http_answer none = { .outcome = HTTP_NOT_SENT, .retry_after_ms = -1 };
	struct call *call = TAKE_PTR(bulk->next);
	size_t drops = bulk->drops;
	bool is_authorized = dps_credential_authorize(dps_client_credential(bulk->client),
						      dps_client_http(bulk->client), &call->request,
						      &none.error);

	bulk->next = call;
	if (is_authorized && bulk->drops == drops && !bulk->is_stopped)
		return true;
	give_turn_back(call);
	if (!is_authorized && dps_outage_may_be(bulk->outage, &none.error))
		bulk_note_trouble(bulk, &none, clock_now_ms());
	else if (!is_authorized)
		dps_bulk_stop(bulk, &none.error);
	drop_next(bulk);
	return false;
}

/* Gives it its turn and all that can be done before a lane is free. *ret_wait_ms > 0: it has to wait for its turn. */
static bool make_next_ready(struct dps_bulk *bulk, int64_t *ret_wait_ms, struct muster_error *err)
{
	struct call *call = bulk->next;

	*ret_wait_ms = 0;
	if (call->transfer)
		return true;
	take_turn(bulk, call, ret_wait_ms);
	if (*ret_wait_ms > 0 || bulk->is_stopped || !authorize_next(bulk))
		return true;
	call->transfer =
		http_prepare(dps_client_http(bulk->client), &call->request, take_answer, call, err);
	if (call->transfer || err->cause != CAUSE_PROXY_LOGIN)
		return call->transfer;
	/* A proxy that refused the password ends the sending, not what is under way. */
	give_turn_back(call);
	dps_bulk_stop(bulk, err);
	drop_next(bulk);
	return true;
}

/* *ret_wait_ms 0: one was started; -1: nothing to start. */
static bool start_next(struct dps_bulk *bulk, int64_t *ret_wait_ms, struct muster_error *err)
{
	*ret_wait_ms = -1;
	if (bulk->is_stopped || bulk->call_count >= lanes_of(bulk))
		return true;
	*ret_wait_ms = dps_outage_wait_ms(bulk->outage, clock_now_ms());
	if (*ret_wait_ms > 0)
		return true;
	*ret_wait_ms = -1;
	if (!build_next(bulk, err))
		return false;
	if (!bulk->next)
		return true;
	if (!make_next_ready(bulk, ret_wait_ms, err))
		return false;
	return !bulk->next || !bulk->next->transfer || go(bulk, err);
}

/* -- The engine ------------------------------------------------------------------------------------------ */

/* More than needed would only be looked through, and fall out of the processor's cache before its turn. */
static void set_lanes(struct dps_bulk *bulk, size_t lanes)
{
	bulk->lanes = lanes;
	bulk->slot_count = (lanes + 2) * DPS_BULK_ITEMS_MAX;
}

struct dps_bulk *dps_bulk_new(struct dps_client *client, enum dps_bulk_mode mode,
			      const struct dps_bulk_owner *owner, struct muster_error *err)
{
	struct dps_bulk *bulk = calloc(1, sizeof(*bulk));

	if (!bulk) {
		muster_fail_memory(err);
		return NULL;
	}
	bulk->client = client;
	bulk->mode = mode;
	set_lanes(bulk, DPS_BULK_LANES);
	bulk->owner = *owner;
	bulk->outage = dps_client_outage(client);
	if (!bulk->outage)
		bulk->outage = &bulk->own_outage;
	return bulk;
}

void dps_bulk_free(struct dps_bulk *bulk)
{
	if (!bulk)
		return;
	while (bulk->calls) {
		CLEANUP(call_freep) struct call *call = bulk->calls;

		call_remove(bulk, call);
		http_cancel(dps_client_http(bulk->client), call->transfer);
	}
	while (bulk->answered) {
		CLEANUP(call_freep) struct call *call = bulk->answered;

		bulk->answered = call->next;
	}
	drop_next(bulk);
	for (size_t i = 0; i < bulk->slot_count; i++)
		slot_done(&bulk->slots[i]);
	free(bulk);
}

void dps_bulk_set_form(struct dps_bulk *bulk, enum dps_bulk_form form)
{
	bulk->form = form;
}

void dps_bulk_set_lanes(struct dps_bulk *bulk, size_t lanes)
{
	assert(lanes >= 1 && lanes <= DPS_BULK_LANES_MAX && dps_bulk_is_idle(bulk));
	set_lanes(bulk, lanes);
}

void dps_bulk_stop(struct dps_bulk *bulk, const struct muster_error *why)
{
	if (!bulk->is_stopped)
		bulk->why = *why;
	bulk->is_stopped = true;
}

const struct muster_error *dps_bulk_stopped(const struct dps_bulk *bulk)
{
	return bulk->is_stopped ? &bulk->why : NULL;
}

bool dps_bulk_is_idle(const struct dps_bulk *bulk)
{
	for (size_t i = 0; i < bulk->slot_count; i++)
		if (bulk->slots[i].state != SLOT_FREE)
			return false;
	return true;
}

/* Once stopped, what is not under way stays for another run. */
static void give_up_waiting(struct dps_bulk *bulk)
{
	if (bulk->is_stopped)
		drop_next(bulk);
	for (size_t i = 0; i < bulk->slot_count && bulk->is_stopped; i++) {
		struct slot *slot = &bulk->slots[i];

		if (slot->state != SLOT_FREE && slot->state != SLOT_UNDER_WAY)
			bulk_finish(bulk, slot, DPS_BULK_OPEN, &bulk->why);
	}
}

bool dps_bulk_pump(struct dps_bulk *bulk, int64_t *ret_wait_ms, struct muster_error *err)
{
	do {
		if (!start_next(bulk, ret_wait_ms, err))
			return false;
	} while (*ret_wait_ms == 0);
	give_up_waiting(bulk);
	if (bulk->has_failed)
		*err = bulk->failure;
	return !bulk->has_failed;
}

static void cancel(struct dps_bulk *bulk)
{
	struct muster_error why;

	if (bulk->is_stopped)
		return;
	muster_fail(&why, CAUSE_INTERRUPTED, "stopped by a signal");
	dps_bulk_stop(bulk, &why);
}

/* So that it can go as soon as a lane is free. Not while there is trouble: its token would grow old. */
static bool get_ahead(struct dps_bulk *bulk, struct muster_error *err)
{
	int64_t ignored;

	if (!fill_slots(bulk, bulk->slot_count, err) ||
	    (may_build_ahead(bulk) && !build_next(bulk, err)))
		return false;
	return !bulk->next || !is_well(bulk) || make_next_ready(bulk, &ignored, err);
}

/* Sends what was started. While the service is busy with it, looks at the answers and gets the next request ready.
 * *ret_may_wait: nothing can be started before another answer comes. */
static bool send_started(struct dps_bulk *bulk, bool *ret_may_wait, struct muster_error *err)
{
	size_t under_way = bulk->call_count;
	bool has_answers;

	if (!http_perform(dps_client_http(bulk->client), err))
		return false;
	has_answers = bulk->answered;
	look_at_answers(bulk);
	if (!get_ahead(bulk, err))
		return false;
	*ret_may_wait = bulk->call_count == under_way &&
			(!has_answers || bulk->call_count >= lanes_of(bulk));
	return true;
}

/* Not for long: a signal that came just before the wait would not end it. */
static int poll_ms(int64_t wait_ms)
{
	return wait_ms < 0 || wait_ms > POLL_MAX_MS ? POLL_MAX_MS : (int)wait_ms;
}

bool dps_bulk_run(struct dps_bulk *bulk, bool (*is_cancelled)(void), struct muster_error *err)
{
	struct http *http = dps_client_http(bulk->client);
	int64_t wait_ms;
	bool may_wait;

	bulk->looks_later = true;
	for (;;) {
		if (is_cancelled && is_cancelled())
			cancel(bulk);
		if (!dps_bulk_pump(bulk, &wait_ms, err))
			return false;
		if (dps_bulk_is_idle(bulk) && (bulk->has_source_ended || bulk->is_stopped))
			break;
		if (!send_started(bulk, &may_wait, err))
			return false;
		if (may_wait &&
		    (!http_poll(http, NULL, 0, poll_ms(wait_ms), err) || !http_perform(http, err)))
			return false;
	}
	if (bulk->is_stopped)
		*err = bulk->why;
	return !bulk->is_stopped;
}
