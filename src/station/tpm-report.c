/* The findings as a document, with one verdict and one remedy. */
#include "tpm-doctor.h"

#include "muster/json.h"
#include "tpm-findings.h"

static bool add_key(cJSON *document, const struct ek_judgement *judgement)
{
	CLEANUP(freep) char *id = NULL;
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	if (!judgement->has_presented)
		return true;
	id = ek_public_registration_id(&judgement->presented);
	ek_public_digest(&judgement->presented, digest);
	return id && json_add_text(document, "registrationId", id) &&
	       json_add_text(document, "ekSha256", hex_encode(hex, digest, sizeof(digest)));
}

static bool add_verdict(cJSON *document, const struct ek_findings *findings)
{
	const struct ek_finding *worst = ek_findings_worst(findings);

	if (!worst)
		return json_add_text(document, "verdict", findings_verdict(EK_PASSED)) &&
		       json_add_text(document, "seen", "nothing speaks against this TPM");
	return json_add_text(document, "verdict", findings_verdict(worst->verdict)) &&
	       json_add_text(document, "seen", worst->text) &&
	       findings_add_cause(document, worst->cause);
}

bool visit_report(struct visit *visit, struct station_tpm_report *ret_report,
		  struct muster_error *err)
{
	const struct ek_judgement *judgement = &visit->judgement;
	CLEANUP(station_tpm_report_done)
	struct station_tpm_report report = { .document = cJSON_CreateObject() };

	if (!report.document || !json_add_text(report.document, "tpm", visit->chip.tcti) ||
	    !add_verdict(report.document, &judgement->findings) ||
	    !add_key(report.document, judgement) ||
	    !json_add_item(report.document, "checks", findings_json(&judgement->findings)))
		return muster_fail_memory(err);
	(void)!ek_findings_settle(&judgement->findings, &report.refusal);
	*ret_report = report;
	report.document = NULL;
	return true;
}

void station_tpm_report_done(struct station_tpm_report *report)
{
	cJSON_Delete(report->document);
	report->document = NULL;
}
