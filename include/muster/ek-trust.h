/* Whether to believe what a TPM shows: findings, the strength of its key, the profile of its certificate, the chain to
 * pinned roots, and whether it is still the same chip. Nothing here talks to a chip; time is a parameter. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>
#include <openssl/x509.h>

#include "muster/ek-holdings.h"

/* -- Findings ------------------------------------------------------------------------------------------------ */

enum ek_verdict {
	EK_PASSED,
	EK_NOTED,   /* worth knowing, nothing to do */
	EK_WARNED,  /* somebody should look; the terms let it pass */
	EK_REFUSED, /* not to be enrolled */
};

struct ek_finding {
	const char *check; /* "certificate", "chain", ...; static */
	enum ek_verdict verdict;
	enum muster_cause cause; /* CAUSE_NONE unless warned or refused */
	char text[512];
};

#define EK_FINDINGS_MAX 40
struct ek_findings {
	size_t count;
	struct ek_finding rows[EK_FINDINGS_MAX];
};

/* Device-supplied text must be printable. What does not fit any more is dropped, unless it refuses: then it takes the
 * place of the last. */
void ek_find(struct ek_findings *findings, const char *check, enum ek_verdict verdict,
	     enum muster_cause cause, const char *format, ...) PRINTF_LIKE(5, 6);
void ek_find_error(struct ek_findings *findings, const char *check, enum ek_verdict verdict,
		   const struct muster_error *err);
/* False with the first refusal, in its words and with its cause. */
bool ek_findings_settle(const struct ek_findings *findings, struct muster_error *err) MUST_CHECK;
/* The first refusal, else the first warning, else NULL. */
const struct ek_finding *ek_findings_worst(const struct ek_findings *findings);

/* -- Terms: what the profile asks for -------------------------------------------------------------------------- */

enum ek_revocation { EK_REVOCATION_OFF, EK_REVOCATION_IF_PRESENT, EK_REVOCATION_REQUIRED };

/* Pinned roots and an offline cache of revocation lists. */
struct ek_trust;

/* Every certificate in the PEM files (*.pem) of `roots`: self-signed ones are trusted, others help to build chains.
 * `crls` (or NULL) is a folder of lists, *.pem or *.crl in PEM or DER. CAUSE_VENDOR_ROOTS when a file is not what it
 * should be, or there is no root at all. */
bool ek_trust_load(const char *roots, const char *crls, struct ek_trust **ret_trust,
		   struct muster_error *err) MUST_CHECK;
void ek_trust_free(struct ek_trust *trust);
DEFINE_FREEP(ek_trust_freep, struct ek_trust *, ek_trust_free)

struct ek_terms {
	const struct ek_trust *trust; /* NULL: who issued the certificate is not judged */
	enum ek_revocation revocation;
	bool allow_expired; /* certificates and lists */
	int64_t now_ms;
};

/* -- Checks; each adds its findings ----------------------------------------------------------------------------- */

/* Minimum sizes, and the fingerprint of the broken generator of CVE-2017-15361 (ROCA). */
void ek_check_strength(const struct ek_public *public, struct ek_findings *findings);
/* The same of the key in a certificate, and the TCG EK Credential Profile: not a CA, key usage, EKU 2.23.133.8.1, the
 * TPM's maker in the alternative name, dates. */
void ek_check_certificate(X509 *certificate, const struct ek_terms *terms,
			  struct ek_findings *findings);
/* To a pinned root, over `helpers` (may be NULL; not trusted), with revocation as the terms say. */
void ek_check_chain(X509 *certificate, STACK_OF(X509) *helpers, const struct ek_terms *terms,
		    struct ek_findings *findings);

/* -- The same chip ---------------------------------------------------------------------------------------------- */

/* What a chip said of itself at one moment. */
struct ek_witness {
	uint64_t reset_count;
	uint64_t restart_count;
	uint64_t clock_ms;
	int64_t at_ms; /* the station's monotonic clock */
	bool has_key;
	uint8_t key[SHA256_SIZE]; /* digest of the EK's public area */
};
/* CAUSE_TPM_SWAPPED when `later` is another chip, CAUSE_TPM_RESET when it is the same one after a reset. */
bool ek_witness_check(const struct ek_witness *earlier, const struct ek_witness *later,
		      struct muster_error *err) MUST_CHECK;

/* -- Possession -------------------------------------------------------------------------------------------------- */

/* The other writing of the same RSA key (exponent 0 or 65537), whose digest is another: one key must not be enrolled
 * twice under two digests. False for keys that have none. */
bool ek_public_twin(const struct ek_public *public, struct ek_public *ret_twin);
