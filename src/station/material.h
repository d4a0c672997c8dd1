/* Parts of what an attestation is made of, for whoever has the source open already. Private to the station. */
#pragma once

#include "muster/ek.h"
#include "muster/pki.h"
#include "muster/worker.h"

/* The leaf in a file, as station_certificate_read() finds it. */
bool material_certificate_read(const char *path, X509 **ret_leaf, bool *ret_is_der,
			       struct muster_error *err) MUST_CHECK;

/* The endorsement key at its persistent handle. */
void material_ek_request(struct worker_message *ret_request);
/* From the reply to that: CAUSE_EK_UNSUPPORTED when there is none, or DPS does not take it. */
bool material_ek_take(const struct worker_message *reply, const char *tcti,
		      struct ek_public *ret_ek, struct muster_error *err) MUST_CHECK;
