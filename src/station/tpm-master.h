/* A master in the station's own TPM: "tpm:handle=0x81000010;tcti=device:/dev/tpmrm0". Private to the station. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "muster/signer.h"
#include "tpm-chip.h"

struct tpm_master {
	struct chip chip;
	uint32_t handle;
	struct hmac_key key;  /* does one at a time; points to this struct */
	char attributes[257]; /* as the TPM told them; "" before the first use */
	bool is_borrowed;     /* the chip is of another that was opened before */
};

bool tpm_master_is(const char *uri);
/* Opens the TPM and a session salted to its EK at 0x81010001, in which the keys come back encrypted. `opened` (or NULL) is one
 * that was opened before: of the same TPM there is only one at a time. */
bool tpm_master_open(const char *uri, const struct tpm_master *opened,
		     struct tpm_master *ret_master, struct muster_error *err) MUST_CHECK;
void tpm_master_done(struct tpm_master *master);
/* 32 bytes for each text. Blocks for some milliseconds each. */
bool tpm_master_derive(struct tpm_master *master, const char *const *texts, size_t count,
		       uint8_t *macs, struct muster_error *err) MUST_CHECK;
