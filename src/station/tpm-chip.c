#include "tpm-chip.h"

#include <stdio.h>

static void copy_words(const struct worker_message *reply, enum worker_field field, char out[65])
{
	snprintf(out, 65, "%s", worker_text(reply, field));
}

bool chip_open(const char *tcti, struct chip *ret_chip, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request;
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	CLEANUP(chip_close) struct chip chip = { 0 };

	worker_request_init(&request, WORKER_TPM_OPEN);
	worker_add_text(&request, FIELD_TCTI, tcti);
	snprintf(chip.tcti, sizeof(chip.tcti), "%s", tcti);
	if (!worker_spawn("muster-tpm-worker", NULL, &chip.worker, err) ||
	    !worker_call(chip.worker, &request, &reply, err))
		return muster_error_prefix(err, "opening the TPM at '%s'", PRINTABLE(tcti));
	copy_words(&reply, FIELD_MANUFACTURER, chip.manufacturer);
	copy_words(&reply, FIELD_FIRMWARE, chip.firmware);
	copy_words(&reply, FIELD_MODEL, chip.model);
	*ret_chip = chip;
	chip.worker = NULL;
	return true;
}

void chip_leave(struct worker *worker)
{
	CLEANUP(worker_message_done) struct worker_message request;
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct muster_error ignored;

	worker_request_init(&request, WORKER_TPM_RELEASE);
	if (worker && worker_is_alive(worker))
		(void)!worker_call(worker, &request, &reply, &ignored);
	worker_free(worker);
}

void chip_close(struct chip *chip)
{
	chip_leave(TAKE_PTR(chip->worker));
}

bool chip_ask(struct chip *chip, const struct worker_message *request,
	      struct worker_message *ret_reply, struct muster_error *err)
{
	return worker_call(chip->worker, request, ret_reply, err) ||
	       muster_error_prefix(err, "asking the TPM at '%s'", PRINTABLE(chip->tcti));
}

bool chip_capability(struct chip *chip, unsigned capability, uint32_t first,
		     struct chip_numbers *ret_numbers, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request;
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	const struct bytes *numbers;

	worker_request_init(&request, WORKER_TPM_CAPABILITY);
	worker_add_u64(&request, FIELD_CAPABILITY, capability);
	worker_add_u64(&request, FIELD_FIRST, first);
	if (!chip_ask(chip, &request, &reply, err))
		return false;
	numbers = worker_bytes(&reply, FIELD_NUMBERS);
	ret_numbers->count = 0;
	for (size_t i = 0; i + 4 <= numbers->size && ret_numbers->count < CHIP_NUMBERS_MAX; i += 4)
		ret_numbers->values[ret_numbers->count++] =
			(uint32_t)numbers->data[i] << 24 | (uint32_t)numbers->data[i + 1] << 16 |
			(uint32_t)numbers->data[i + 2] << 8 | numbers->data[i + 3];
	return true;
}
