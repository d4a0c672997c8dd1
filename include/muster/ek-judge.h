/* Which endorsement key is persisted, which is certified, which one the device's software will present, and whether to
 * enroll it. Pure: what the chip holds and what its templates gave was read before. */
#pragma once

#include "muster/ek-trust.h"

/* -- Templates --------------------------------------------------------------------------------------------------- */

/* TCG EK Credential Profile, annex B; the last is what Azure's older device SDKs make where nothing is persisted. */
enum ek_template {
	EK_TEMPLATE_L1, /* RSA-2048 */
	EK_TEMPLATE_L2, /* ECC P-256 */
	EK_TEMPLATE_H1, /* RSA-2048 */
	EK_TEMPLATE_H2, /* ECC P-256 */
	EK_TEMPLATE_H3, /* ECC P-384 */
	EK_TEMPLATE_H6, /* RSA-3072 */
	EK_TEMPLATE_AZURE,
};
#define EK_TEMPLATE_COUNT (EK_TEMPLATE_AZURE + 1)

/* "TCG L-1, RSA-2048"; static. */
const char *ek_template_name(enum ek_template which);
/* For TPM2_CreatePrimary under the endorsement hierarchy. A template or a nonce that the vendor has left in NV is taken
 * in, as the profile asks (2.2.1.4); holdings may be NULL. */
bool ek_template_make(enum ek_template which, const struct ek_holdings *holdings,
		      struct ek_public *ret_template, struct muster_error *err) MUST_CHECK;

/* -- The case ------------------------------------------------------------------------------------------------------ */

enum ek_certificate_need {
	EK_CERTIFICATE_REQUIRED,
	EK_CERTIFICATE_OPTIONAL,
	EK_CERTIFICATE_IGNORED
};

/* A key that the chip made of a template. */
struct ek_made {
	enum ek_template which;
	struct ek_public public;
};

/* All borrowed. */
struct ek_case {
	const struct ek_holdings *holdings;
	const struct ek_public
		*presented; /* made since the holdings were read; or NULL: what is at EK_HANDLE */
	X509 *certificate;  /* from elsewhere; holds over NV; or NULL */
	const char *certificate_place;          /* "the file"; NULL without one */
	const struct muster_error *why_missing; /* from elsewhere too; or NULL */
	const char *manufacturer;               /* as the chip spells it */
	bool was_tried; /* templates were asked for; those that worked are in `made` */
	const struct ek_made *made;
	size_t made_count;
};

struct ek_judgement {
	bool has_presented; /* something is persisted where every SDK looks first */
	struct ek_public presented;
	X509 *certificate;              /* the one that counts, or NULL; owned */
	struct bytes certificate_bytes; /* without fill */
	bool is_index_empty;            /* an index for a certificate holds only fill */
	bool needs_templates; /* no persisted key is what the certificate is for: ask for them, judge again */
	struct ek_findings findings;
};

/* Findings "endorsement key", "strength", "certificate", "profile", "chain", "revocation", in this order. Zero-initialise
 * *ret_judgement. */
void ek_judge(const struct ek_case *facts, enum ek_certificate_need need,
	      const struct ek_terms *terms, struct ek_judgement *ret_judgement);
/* For CLEANUP. */
void ek_judgement_done(struct ek_judgement *judgement);
