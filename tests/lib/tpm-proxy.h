/* Stands between a TPM worker and a software TPM: records what crosses, and misbehaves on request. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tpm_fault {
	FAULT_NONE,
	FAULT_CODE,       /* answers with that return code; the TPM never sees the command */
	FAULT_SHORT,      /* the last 5 bytes are missing and the size agrees */
	FAULT_LONG,       /* 5 bytes more, and the size agrees */
	FAULT_CUT,        /* ends after half of what the size says */
	FAULT_SIZE_SMALL, /* the size says 5 bytes less than come */
	FAULT_SIZE_HUGE,  /* the size says 4 GB */
	FAULT_INNER_SIZE, /* the first size behind the header says 65535 */
	FAULT_GARBAGE,    /* noise behind a header that holds */
	FAULT_FLIP,       /* one bit of the response, counted from its first byte's highest */
	FAULT_HANG,       /* no answer */
	FAULT_DEATH,      /* hangs up, now and ever after */
};

struct tpm_fault_plan {
	enum tpm_fault fault;
	uint32_t command; /* TPM2_CC_...; 0: any */
	unsigned after;   /* so many pass before */
	unsigned times;   /* then so many are hit; 0: all */
	uint32_t code;    /* FAULT_CODE */
	size_t bit;       /* FAULT_FLIP */
};

struct tpm_proxy;

/* Listens on `socket` (its control channel is that of the target) until tpm_proxy_stop. NULL when it cannot. */
struct tpm_proxy *tpm_proxy_start(const char *socket, const char *target);
void tpm_proxy_stop(struct tpm_proxy *proxy);
/* Forgets what the last plan counted. */
void tpm_proxy_plan(struct tpm_proxy *proxy, const struct tpm_fault_plan *plan);
/* From now on the commands go to this TPM. */
void tpm_proxy_retarget(struct tpm_proxy *proxy, const char *target);
/* How often the plan has struck. */
unsigned tpm_proxy_hits(struct tpm_proxy *proxy);
/* Bytes of the last response to that command, before any fault; 0 when there was none. */
size_t tpm_proxy_response_size(struct tpm_proxy *proxy, uint32_t command);
/* Everything that crossed in both directions since the start or the last call of it; caller frees. */
uint8_t *tpm_proxy_take_record(struct tpm_proxy *proxy, size_t *ret_size);
