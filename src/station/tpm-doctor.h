/* One examination of one TPM by the doctor. Private to the station. */
#pragma once

#include "muster/journal.h"
#include "muster/station-tpm.h"
#include "tpm-chip.h"
#include "tpm-proof.h"
#include "tpm-terms.h"

struct visit {
	const struct station_tpm_request *request;
	struct tpm_terms terms;
	X509 *certificate; /* from a file, or fetched */
	const char *certificate_place;
	struct muster_error fetch_failure;
	struct journal *journal; /* NULL when there is none */
	struct chip chip;
	struct ek_holdings holdings;
	struct ek_witness start;
	struct ek_made made[EK_TEMPLATE_COUNT];
	size_t made_count;
	bool was_tried;
	struct ek_judgement judgement;
};

/* tpm-persist.c: the TCG's EK at 0x81010001, recorded before and after. The visit has surveyed the chip. */
bool visit_persist(struct visit *visit, struct muster_error *err) MUST_CHECK;
/* tpm-known.c: what the journal knows of this key and this serial, as findings "journal". */
bool visit_look_up(struct visit *visit, struct muster_error *err) MUST_CHECK;
/* tpm-report.c */
bool visit_report(struct visit *visit, struct station_tpm_report *ret_report,
		  struct muster_error *err) MUST_CHECK;
