/* What the bulk engine asks next. */
#include <stdlib.h>

#include "bulk-internal.h"

size_t bulk_count_in(const struct dps_bulk *bulk, enum slot_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < bulk->slot_count; i++)
		count += bulk->slots[i].state == state;
	return count;
}

/* Another one each time while there is trouble: an item that alone makes it holds up no other. */
static struct slot *slot_in_turn(struct dps_bulk *bulk, enum slot_state state)
{
	size_t count = bulk_count_in(bulk, state);
	size_t skip = count > 0 ? bulk->outage->troubles % count : 0;

	for (size_t i = 0; i < bulk->slot_count; i++)
		if (bulk->slots[i].state == state && skip-- == 0)
			return &bulk->slots[i];
	return NULL;
}

static struct call *call_new(struct dps_bulk *bulk, enum call_kind kind)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call) {
		call->bulk = bulk;
		call->kind = kind;
	}
	return call;
}

static bool choose_read(struct dps_bulk *bulk, enum slot_state state, enum call_kind kind,
			struct call **ret_call, struct muster_error *err)
{
	struct slot *slot = slot_in_turn(bulk, state);

	if (!slot)
		return true;
	*ret_call = call_new(bulk, kind);
	if (!*ret_call)
		return muster_fail_memory(err);
	(*ret_call)->slots[(*ret_call)->count++] = slot;
	return true;
}

bool bulk_sends_singles(const struct dps_bulk *bulk)
{
	const struct dps_meter *meter = dps_client_meter(bulk->client);

	return bulk->form == DPS_BULK_SINGLES ||
	       (bulk->form == DPS_BULK_BY_BUDGET && meter && dps_meter_favours_singles(meter));
}

static bool goes_alone(const struct dps_bulk *bulk, const struct slot *slot)
{
	return bulk_sends_singles(bulk) || slot->is_single || bulk_room_of(slot->json) > BULK_ROOM;
}

static void gather(struct dps_bulk *bulk, struct call *call)
{
	size_t room = BULK_ROOM;

	for (size_t i = 0; i < bulk->slot_count && call->count < DPS_BULK_ITEMS_MAX; i++) {
		struct slot *slot = &bulk->slots[i];

		if (slot->state != SLOT_SEND)
			continue;
		if (goes_alone(bulk, slot)) {
			if (call->count > 0)
				continue;
			call->slots[call->count++] = slot;
			break;
		}
		if (bulk_room_of(slot->json) > room)
			continue;
		room -= bulk_room_of(slot->json);
		call->slots[call->count++] = slot;
	}
	call->kind = call->count == 1 ? CALL_SINGLE : CALL_BULK;
}

/* Ten, or what there is when nobody has more. */
static bool choose_write(struct dps_bulk *bulk, struct call **ret_call, struct muster_error *err)
{
	struct call *call;

	if (bulk_count_in(bulk, SLOT_SEND) == 0)
		return true;
	call = call_new(bulk, CALL_BULK);
	if (!call)
		return muster_fail_memory(err);
	gather(bulk, call);
	*ret_call = call;
	return true;
}

/* What must be read goes first: it frees its slot. But when that has just failed, a write shows whether it is the service that
 * fails. */
bool bulk_choose(struct dps_bulk *bulk, struct call **ret_call, struct muster_error *err)
{
	*ret_call = NULL;
	if (bulk->outage->troubles == 1 && bulk_count_in(bulk, SLOT_SEND) > 0)
		return choose_write(bulk, ret_call, err);
	return choose_read(bulk, SLOT_READ_KEYS, CALL_READ_KEYS, ret_call, err) &&
	       (*ret_call || choose_read(bulk, SLOT_READ, CALL_READ, ret_call, err)) &&
	       (*ret_call || choose_write(bulk, ret_call, err));
}
