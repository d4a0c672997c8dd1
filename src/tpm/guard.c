#include "guard.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tss2/tss2_tpm2_types.h>

#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/secret.h"

#define GUARD_MAGIC 0x6d75737465720001u
#define WAIT_FIRST_MS 50
#define WAIT_MAX_MS 2000

struct guard {
	TSS2_TCTI_CONTEXT_COMMON_V2 common; /* first: the library casts to it */
	TSS2_TCTI_CONTEXT *inner;
	struct guard_time time;
	int64_t deadline_ms;
	const char *complaint;
	size_t command_size;
	uint8_t command[GUARD_MESSAGE_MAX];
};

static struct guard *guard_of(TSS2_TCTI_CONTEXT *context)
{
	return (struct guard *)(void *)context;
}

/* -- Patience ---------------------------------------------------------------------------------------------- */

static bool asks_for_patience(const uint8_t *response)
{
	TPM2_RC rc = (TPM2_RC)response[6] << 24 | (TPM2_RC)response[7] << 16 |
		     (TPM2_RC)response[8] << 8 | response[9];
	return rc == TPM2_RC_RETRY || rc == TPM2_RC_YIELDED || rc == TPM2_RC_TESTING ||
	       rc == TPM2_RC_NV_RATE;
}

/* Half of the step, and a random part of the other half. */
static int64_t with_jitter(int64_t step_ms)
{
	struct muster_error ignored;
	uint8_t random = 128;
	(void)!random_bytes(&random, 1, &ignored);
	return step_ms / 2 + step_ms / 2 * random / 255;
}

/* False when there is no time left to wait. */
static bool wait_before_retry(struct guard *guard, int64_t *step_ms)
{
	int64_t wait_ms = with_jitter(*step_ms);
	if (guard->time.now_ms() + wait_ms >= guard->deadline_ms)
		return false;
	guard->time.sleep_ms(wait_ms);
	*step_ms = *step_ms * 2 < WAIT_MAX_MS ? *step_ms * 2 : WAIT_MAX_MS;
	return true;
}

/* -- The TCTI ---------------------------------------------------------------------------------------------- */

static TSS2_RC send_command(struct guard *guard)
{
	return TSS2_TCTI_TRANSMIT(guard->inner)(guard->inner, guard->command_size, guard->command);
}

static TSS2_RC guard_transmit(TSS2_TCTI_CONTEXT *context, size_t size, uint8_t const *command)
{
	struct guard *guard = guard_of(context);
	if (!command || size > sizeof(guard->command))
		return TSS2_TCTI_RC_BAD_VALUE;
	memcpy(guard->command, command, size);
	guard->command_size = size;
	guard->complaint = NULL;
	return send_command(guard);
}

static TSS2_RC receive_checked(struct guard *guard, uint8_t response[GUARD_MESSAGE_MAX],
			       size_t *ret_size, int32_t timeout)
{
	size_t size = GUARD_MESSAGE_MAX;
	TSS2_RC rc = TSS2_TCTI_RECEIVE(guard->inner)(guard->inner, &size, response, timeout);
	if (rc == TSS2_TCTI_RC_INSUFFICIENT_BUFFER)
		guard->complaint = "is longer than any can be";
	else if (rc != TSS2_RC_SUCCESS)
		return rc;
	else
		guard->complaint =
			guard_check_response(guard->command, guard->command_size, response, size);
	if (guard->complaint)
		return TSS2_TCTI_RC_MALFORMED_RESPONSE;
	*ret_size = size;
	return TSS2_RC_SUCCESS;
}

static TSS2_RC receive_patiently(struct guard *guard, uint8_t response[GUARD_MESSAGE_MAX],
				 size_t *ret_size, int32_t timeout)
{
	int64_t step_ms = 2 * WAIT_FIRST_MS;
	for (;;) {
		TSS2_RC rc = receive_checked(guard, response, ret_size, timeout);
		if (rc != TSS2_RC_SUCCESS || !asks_for_patience(response) ||
		    !wait_before_retry(guard, &step_ms))
			return rc;
		rc = send_command(guard);
		if (rc != TSS2_RC_SUCCESS)
			return rc;
	}
}

static TSS2_RC guard_receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response,
			     int32_t timeout)
{
	struct guard *guard = guard_of(context);
	uint8_t buffer[GUARD_MESSAGE_MAX];
	size_t received = 0;
	if (!size)
		return TSS2_TCTI_RC_BAD_REFERENCE;
	if (!response) { /* a question for the size needed */
		*size = GUARD_MESSAGE_MAX;
		return TSS2_RC_SUCCESS;
	}
	TSS2_RC rc = receive_patiently(guard, buffer, &received, timeout);
	if (rc == TSS2_RC_SUCCESS && received > *size)
		rc = TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
	if (rc == TSS2_RC_SUCCESS) {
		memcpy(response, buffer, received);
		*size = received;
	}
	secret_wipe(buffer, sizeof(buffer));
	return rc;
}

static void guard_finalize(TSS2_TCTI_CONTEXT *context)
{
	(void)context; /* guard_free ends it; ESYS never does */
}

/* -- Its life ---------------------------------------------------------------------------------------------- */

/* Less, when a signal comes: then the TPM is asked again a little sooner. */
static void sleep_really(int64_t ms)
{
	struct timespec wait = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	nanosleep(&wait, NULL);
}

static const struct guard_time real_time = { clock_now_ms, sleep_really };

TSS2_TCTI_CONTEXT *guard_new(TSS2_TCTI_CONTEXT *inner, const struct guard_time *time)
{
	struct guard *guard = calloc(1, sizeof(*guard));
	if (!guard)
		return NULL;
	guard->common = (TSS2_TCTI_CONTEXT_COMMON_V2){
		.v1 = {
			.magic = GUARD_MAGIC,
			.version = 2,
			.transmit = guard_transmit,
			.receive = guard_receive,
			.finalize = guard_finalize,
		},
	};
	guard->inner = inner;
	guard->time = time ? *time : real_time;
	return (TSS2_TCTI_CONTEXT *)(void *)guard;
}

void guard_free(TSS2_TCTI_CONTEXT *context)
{
	if (!context)
		return;
	secret_wipe(guard_of(context)->command, GUARD_MESSAGE_MAX);
	free(guard_of(context));
}

void guard_set_patience(TSS2_TCTI_CONTEXT *context, int64_t patience_ms)
{
	struct guard *guard = guard_of(context);
	guard->deadline_ms = guard->time.now_ms() + patience_ms;
}

const char *guard_complaint(const TSS2_TCTI_CONTEXT *context)
{
	return ((const struct guard *)(const void *)context)->complaint;
}
