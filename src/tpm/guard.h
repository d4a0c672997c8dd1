/* A TCTI of our own between ESYS and the chip's: it lets only responses through whose lengths hold together
 * (tpm2-tss 3.2 takes some of them on trust), and waits out a TPM that asks for patience. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <tss2/tss2_tcti.h>

#define GUARD_MESSAGE_MAX 4096

/* Time as a parameter; NULL stands for the real one. */
struct guard_time {
	int64_t (*now_ms)(void);
	void (*sleep_ms)(int64_t ms);
};

/* What is wrong with the response to that command, in words that go on from "the response"; NULL when it may
 * be passed on. Pure. */
const char *guard_check_response(const uint8_t *command, size_t command_size,
				 const uint8_t *response, size_t size);

/* inner is borrowed and must outlive the guard. NULL when out of memory. */
TSS2_TCTI_CONTEXT *guard_new(TSS2_TCTI_CONTEXT *inner, const struct guard_time *time);
void guard_free(TSS2_TCTI_CONTEXT *guard);
/* Until then a RETRY, YIELDED, TESTING or NV_RATE is answered by waiting and sending again. */
void guard_set_patience(TSS2_TCTI_CONTEXT *guard, int64_t patience_ms);
/* Why the last response was not passed on, or NULL. Static. */
const char *guard_complaint(const TSS2_TCTI_CONTEXT *guard);
