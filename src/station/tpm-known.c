/* Is this key, or this serial, known already? */
#include "muster/clock.h"

#include "known.h"
#include "tpm-doctor.h"

static bool look_up(struct visit *visit, struct muster_error *err)
{
	struct known_claim claim = { .serial = visit->request->serial };
	struct ek_findings *findings = &visit->judgement.findings;
	CLEANUP(journal_device_done) struct journal_device known = { 0 };
	char when[RFC3339_SIZE];
	bool found = false;

	known_claim_ek(&claim, &visit->judgement.presented);
	if (!known_find_key(visit->journal, &claim, &known, &found, err))
		return false;
	if (found)
		ek_find(findings, "journal", EK_NOTED, CAUSE_NONE,
			"this key is known as serial '%s' (registration ID '%s', %s since %s)",
			known.serial ? PRINTABLE(known.serial) : "none",
			PRINTABLE(known.registration_id), journal_state_name(known.state),
			rfc3339_format(when, known.updated_ms));
	else
		ek_find(findings, "journal", EK_PASSED, CAUSE_NONE, "this key is not known yet");
	return !claim.serial || known_check(visit->journal, &claim, err);
}

/* A certificate for another key than the TPM's: for that of a device that is known? */
static bool look_up_certificate(struct visit *visit, struct muster_error *err)
{
	const struct ek_finding *worst = ek_findings_worst(&visit->judgement.findings);
	struct known_claim claim = { .serial = visit->request->serial };

	if (!worst || worst->cause != CAUSE_EK_CERTIFICATE_MISMATCH)
		return true;
	known_claim_ek(&claim, &visit->judgement.presented);
	return known_check_certificate(visit->journal, &claim, visit->judgement.certificate, err);
}

static bool is_finding(enum muster_cause cause)
{
	return cause == CAUSE_SERIAL_TAKEN || cause == CAUSE_KEY_TAKEN ||
	       cause == CAUSE_EK_CERTIFICATE_TAKEN;
}

bool visit_look_up(struct visit *visit, struct muster_error *err)
{
	if (!visit->journal || !visit->judgement.has_presented ||
	    (look_up(visit, err) && look_up_certificate(visit, err)))
		return true;
	if (!is_finding(err->cause))
		return false;
	ek_find_error(&visit->judgement.findings, "journal", EK_REFUSED, err);
	return true;
}
