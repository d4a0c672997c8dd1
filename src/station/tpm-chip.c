#include "tpm-chip.h"

#include <stdio.h>
#include <string.h>

#include "muster/text.h"

static void copy_words(const struct worker_message *reply, enum worker_field field, char out[65])
{
	snprintf(out, 65, "%s", worker_text(reply, field));
}

bool chip_check_name(const char *tcti, struct muster_error *err)
{
	return text_is_utf8(tcti, strlen(tcti)) ||
	       muster_fail(err, CAUSE_TPM_TCTI_REFUSED, "the name of TPM '%s' is not UTF-8",
			   PRINTABLE(tcti));
}

struct worker_deadlines chip_deadlines(const struct config *config)
{
	return (struct worker_deadlines){
		.normal_ms = 1000 * config->tpm_deadlines.command,
		.long_ms = 1000 * config->tpm_deadlines.activation,
		.keygen_ms = 1000 * config->tpm_deadlines.key_creation,
	};
}

bool chip_spawn(const struct worker_deadlines *deadlines, struct worker **ret_worker,
		struct muster_error *err)
{
	if (!worker_spawn("muster-tpm-worker", NULL, ret_worker, err))
		return false;
	worker_set_deadlines(*ret_worker, deadlines);
	return true;
}

void chip_open_request(const char *tcti, const struct worker_deadlines *deadlines,
		       struct worker_message *ret_request)
{
	worker_request_init(ret_request, WORKER_TPM_OPEN);
	worker_add_text(ret_request, FIELD_TCTI, tcti);
	worker_add_u64(ret_request, FIELD_NORMAL_MS, (uint64_t)deadlines->normal_ms);
	worker_add_u64(ret_request, FIELD_LONG_MS, (uint64_t)deadlines->long_ms);
	worker_add_u64(ret_request, FIELD_KEYGEN_MS, (uint64_t)deadlines->keygen_ms);
}

static bool load_deadlines(struct worker_deadlines *ret_deadlines, struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report ignored = { 0 };
	CLEANUP(config_done) struct config config = { 0 };

	if (!config_load(&config, &ignored, err))
		return false;
	*ret_deadlines = chip_deadlines(&config);
	return true;
}

bool chip_start(const char *tcti, struct chip *ret_chip, struct muster_error *err)
{
	CLEANUP(chip_close) struct chip chip = { 0 };

	snprintf(chip.tcti, sizeof(chip.tcti), "%s", tcti);
	if (!chip_check_name(tcti, err) || !load_deadlines(&chip.deadlines, err) ||
	    !chip_spawn(&chip.deadlines, &chip.worker, err))
		return false;
	*ret_chip = chip;
	chip.worker = NULL;
	return true;
}

bool chip_greet(struct chip *chip, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	chip_open_request(chip->tcti, &chip->deadlines, &request);
	if (!worker_call(chip->worker, &request, &reply, err))
		return muster_error_prefix(err, "opening the TPM at '%s'", PRINTABLE(chip->tcti));
	copy_words(&reply, FIELD_MANUFACTURER, chip->manufacturer);
	copy_words(&reply, FIELD_FIRMWARE, chip->firmware);
	copy_words(&reply, FIELD_MODEL, chip->model);
	return true;
}

bool chip_open(const char *tcti, struct chip *ret_chip, struct muster_error *err)
{
	CLEANUP(chip_close) struct chip chip = { 0 };

	if (!chip_start(tcti, &chip, err) || !chip_greet(&chip, err))
		return false;
	*ret_chip = chip;
	chip.worker = NULL;
	return true;
}

void chip_leave(struct worker *worker)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
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
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
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
