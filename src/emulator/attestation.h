/* The attestation member of an enrollment: as strict as the service about endorsement keys, certificates and keys. */
#pragma once

#include "document.h"

/* The caller deletes *ret_attestation, which has what is stored: with keys and certificates. */
bool attestation_build(const struct document_terms *terms, const cJSON *input,
		       cJSON **ret_attestation, struct refusal *refusal) MUST_CHECK;
/* Removes certificates (their info stays), and keys unless with_keys. */
void attestation_strip(cJSON *attestation, bool with_keys);
