/* The endorsement key at its persistent handle, for whoever has the TPM open. Private to the station. */
#pragma once

#include "muster/ek.h"
#include "muster/worker.h"

void material_ek_request(struct worker_message *ret_request);
/* From the reply to that: CAUSE_EK_UNSUPPORTED when there is none, or DPS does not take it. */
bool material_ek_take(const struct worker_message *reply, const char *tcti,
		      struct ek_public *ret_ek, struct muster_error *err) MUST_CHECK;
