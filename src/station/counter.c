#include "counter.h"

#include <stdio.h>

#include "muster/json.h"
#include "tpm-chip.h"

static bool read_with(struct chip *chip, uint32_t index, bool *ret_found, int64_t *ret_value,
		      struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	const struct bytes *data;
	uint64_t value = 0;

	worker_request_init(&request, WORKER_TPM_NV_READ);
	worker_add_u64(&request, FIELD_HANDLE, index);
	if (!chip_ask(chip, &request, &reply, err))
		return false;
	*ret_found = worker_u64(&reply, FIELD_FOUND);
	if (!*ret_found)
		return true;
	data = worker_bytes(&reply, FIELD_DATA);
	for (size_t i = 0; i < data->size && i < 8; i++)
		value = value << 8 | data->data[i];
	if (data->size != 8 || value >= INT64_MAX)
		return muster_fail(err, CAUSE_TPM_NO_COUNTER, "NV index 0x%08x is no counter",
				   index);
	*ret_value = (int64_t)value;
	return true;
}

static bool raise_with(struct chip *chip, uint32_t index, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };

	worker_request_init(&request, WORKER_TPM_COUNTER_RAISE);
	worker_add_u64(&request, FIELD_HANDLE, index);
	return chip_ask(chip, &request, &reply, err);
}

static bool read_found(struct chip *chip, uint32_t index, int64_t *ret_value,
		       struct muster_error *err)
{
	bool found;

	return read_with(chip, index, &found, ret_value, err) &&
	       (found ||
		muster_fail(err, CAUSE_TPM_NO_COUNTER, "the TPM has no NV index 0x%08x", index));
}

bool counter_find(const struct tpm_place *place, bool *ret_found, int64_t *ret_value,
		  struct muster_error *err)
{
	CLEANUP(chip_close) struct chip chip = { 0 };

	return chip_open(place->tcti, &chip, err) &&
	       read_with(&chip, place->handle, ret_found, ret_value, err);
}

bool counter_make(const struct tpm_place *place, int64_t *ret_value, struct muster_error *err)
{
	CLEANUP(chip_close) struct chip chip = { 0 };

	return chip_open(place->tcti, &chip, err) && raise_with(&chip, place->handle, err) &&
	       read_found(&chip, place->handle, ret_value, err);
}

bool counter_raise_to(const struct tpm_place *place, int64_t value, struct muster_error *err)
{
	CLEANUP(chip_close) struct chip chip = { 0 };
	int64_t raised;

	if (!chip_open(place->tcti, &chip, err) || !raise_with(&chip, place->handle, err) ||
	    !read_found(&chip, place->handle, &raised, err))
		return false;
	return raised == value ||
	       muster_fail(err, CAUSE_TPM_NO_COUNTER,
			   "counter 0x%08x is %lld and not %lld: somebody else raises it too",
			   place->handle, (long long)raised, (long long)value);
}

bool counter_read(const struct tpm_place *place, int64_t *ret_value, struct muster_error *err)
{
	CLEANUP(chip_close) struct chip chip = { 0 };

	return chip_open(place->tcti, &chip, err) &&
	       read_found(&chip, place->handle, ret_value, err);
}

const char *counter_index(const struct tpm_place *place, char out[COUNTER_INDEX_SIZE])
{
	snprintf(out, COUNTER_INDEX_SIZE, "0x%08x", place->handle);
	return out;
}

cJSON *counter_entry(const struct tpm_place *place, int64_t value)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	CLEANUP(cJSON_freep) cJSON *counter = cJSON_CreateObject();
	char index[COUNTER_INDEX_SIZE];

	if (!body || !counter || !json_add_text(counter, "index", counter_index(place, index)) ||
	    !json_add_int64(counter, "value", value) ||
	    !json_add_item(body, "counter", TAKE_PTR(counter)))
		return NULL;
	return TAKE_PTR(body);
}

bool counter_of_entry(const cJSON *body, char ret_index[COUNTER_INDEX_SIZE], int64_t *ret_value)
{
	const cJSON *counter = json_get(body, "counter");
	const char *index = json_text(counter, "index");

	if (!counter || !json_int64(counter, "value", ret_value) || *ret_value < 0)
		return false;
	snprintf(ret_index, COUNTER_INDEX_SIZE, "%s", index ? index : "");
	return true;
}
