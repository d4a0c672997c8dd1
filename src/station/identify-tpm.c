/* Who is it: the endorsement key of a TPM and its certificate. */
#include "steps.h"

#include <stdio.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/log.h"

#include "known.h"
#include "tpm-chip.h"

bool tpm_applies(const struct job *job)
{
	return job->run->profile.attestation == PROFILE_TPM && !job_is_absent(job);
}

bool tpm_ek_is_missing(const struct job *job)
{
	return tpm_applies(job) && !job->has_ek;
}

bool tpm_open_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	chip_open_request(job->tcti, &job->run->tpm_deadlines, &request);
	return chip_spawn(&job->run->tpm_deadlines, &job->tpm, err) &&
	       job_ask(job, job->tpm, &request, err);
}

/* A worker with more reach than its TPM is on the record. */
static bool record_sandbox(struct job *job, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (!run_is_networked(job->tcti) || job_is_dry(job))
		return true;
	if (!body || !json_add_text(body, "step", "tpm-open") ||
	    !json_add_text(body, "tpm", job->tcti) || !json_add_text(body, "sandbox", job->sandbox))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_IDENTIFY, TAKE_PTR(body), err);
}

bool tpm_open_finish(struct job *job, const struct muster_error *outcome, struct muster_error *err)
{
	const char *sandbox = worker_text(&job->reply, FIELD_SANDBOX);

	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "opening the TPM at '%s'", PRINTABLE(job->tcti));
	}
	snprintf(job->manufacturer, sizeof(job->manufacturer), "%s",
		 worker_text(&job->reply, FIELD_MANUFACTURER));
	job->sandbox = strdup(sandbox ? sandbox : "unknown");
	if (!job->sandbox)
		return muster_fail_memory(err);
	log_info("%s: worker is sandboxed as %s", job_name(job), PRINTABLE(job->sandbox));
	return record_sandbox(job, err);
}

/* -- What it holds --------------------------------------------------------------------------------- */

bool tpm_survey_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_TPM_SURVEY);
	worker_add_u64(&request, FIELD_WITH_NV, job->run->tpm_terms.need != EK_CERTIFICATE_IGNORED);
	return job_ask(job, job->tpm, &request, err);
}

static void take_ek(struct job *job, const struct ek_public *ek)
{
	uint8_t digest[SHA256_SIZE];

	job->ek = *ek;
	ek_public_digest(&job->ek, digest);
	hex_encode(job->key_digest, digest, sizeof(digest));
	job->has_ek = true;
}

static bool take_holdings(struct job *job, struct muster_error *err)
{
	const struct bytes *holdings = worker_bytes(&job->reply, FIELD_HOLDINGS);
	struct ek_public ek;
	bool found = false;

	if (!ek_holdings_parse(holdings->data, holdings->size, &job->holdings, err) ||
	    !ek_holdings_public(&job->holdings, EK_HANDLE, &found, &ek, err))
		return false;
	roll_call_of_survey(&job->reply, found ? &ek : NULL, &job->first_seen);
	if (found)
		take_ek(job, &ek);
	return true;
}

/* A certificate for another key: that of a device that is known? Then both are to be looked at. */
static void explain_mismatch(const struct job *job, const X509 *certificate,
			     struct muster_error *err)
{
	struct known_claim claim = { .serial = job->serial };
	struct muster_error taken;

	if (err->cause != CAUSE_EK_CERTIFICATE_MISMATCH || !job->run->journal)
		return;
	known_claim_ek(&claim, &job->ek);
	if (!known_check_certificate(job->run->journal, &claim, certificate, &taken))
		*err = taken;
}

/* By the profile's terms; the first refusal is the job's. */
static bool judge(struct job *job, struct muster_error *err)
{
	const struct tpm_terms *terms = &job->run->tpm_terms;
	CLEANUP(ek_judgement_done) struct ek_judgement judgement = { 0 };
	struct ek_case facts = {
		.holdings = &job->holdings,
		.presented = job->has_ek ? &job->ek : NULL,
		.certificate = job->fetched,
		.certificate_place = "the vendor's answer",
		.why_missing = job->fetch_failure.code != MUSTER_OK ? &job->fetch_failure : NULL,
		.manufacturer = job->manufacturer,
		.was_tried = job->tried_count > 0,
		.made = job->made,
		.made_count = job->made_count,
	};

	ek_judge(&facts, terms->need, &terms->terms, &judgement);
	job->findings = judgement.findings;
	job->needs_templates = judgement.needs_templates && judgement.has_presented;
	job->needs_fetch = terms->fetch && terms->need != EK_CERTIFICATE_IGNORED &&
			   !judgement.certificate && !job->was_fetched;
	if (job->needs_templates || job->needs_fetch)
		return true; /* judged again when they are tried */
	if (!ek_findings_settle(&judgement.findings, err)) {
		explain_mismatch(job, judgement.certificate, err);
		return muster_error_prefix(err, "looking at the endorsement key of the TPM at '%s'",
					   PRINTABLE(job->tcti));
	}
	bytes_done(&job->ek_certificate);
	job->ek_certificate = judgement.certificate_bytes;
	judgement.certificate_bytes = (struct bytes){ 0 };
	return true;
}

bool tpm_survey_finish(struct job *job, const struct muster_error *outcome,
		       struct muster_error *err)
{
	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "reading what the TPM holds");
	}
	if (!take_holdings(job, err) || !judge(job, err))
		return false;
	if (job->has_ek)
		return true;
	if (!job->run->profile.tpm.persist)
		return muster_fail(
			err, CAUSE_EK_NOT_PERSISTED,
			"the TPM at '%s' has no endorsement key at 0x%08x and the profile makes none",
			PRINTABLE(job->tcti), EK_HANDLE);
	if (job_is_dry(job))
		return muster_fail(
			err, CAUSE_EK_NOT_PERSISTED,
			"the TPM at '%s' has no endorsement key at 0x%08x; a real run would make and persist it",
			PRINTABLE(job->tcti), EK_HANDLE);
	return true;
}

/* -- The vendor's service ---------------------------------------------------------------------------------- */

bool tpm_fetch_applies(const struct job *job)
{
	return tpm_applies(job) && job->needs_fetch && job->has_ek;
}

bool tpm_fetch_start(struct job *job, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };
	bool is_known = false;

	job->was_fetched = true;
	if (!fetch_plan(&job->run->tpm_terms.config, job->manufacturer, &job->ek, &job->fetch,
			&is_known, err))
		return false;
	if (!is_known || (job->fetched = fetch_recall(&job->fetch)))
		return true;
	return fetch_request(&job->fetch, &request, err) && job_send(job, &request, err);
}

/* That the vendor has none, or cannot be asked, is judged too. */
bool tpm_fetch_finish(struct job *job, const struct muster_error *outcome, struct muster_error *err)
{
	*err = *outcome;
	if (outcome->code != MUSTER_OK)
		return false;
	if (job->fetch.url && !job->fetched)
		(void)!fetch_take(&job->fetch, &job->answer, &job->fetched, &job->fetch_failure);
	return judge(job, err);
}

/* -- Templates ------------------------------------------------------------------------------------------- */

/* The TCG's RSA-2048 keys: one of them is what the vendor has certified. */
static const enum ek_template tried[] = { EK_TEMPLATE_L1, EK_TEMPLATE_H1 };

bool tpm_template_applies(const struct job *job)
{
	return tpm_applies(job) && job->needs_templates;
}

bool tpm_template_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	struct ek_public template;

	worker_request_init(&request, WORKER_TPM_EK_TRY);
	if (!ek_template_make(tried[job->tried_count], &job->holdings, &template, err))
		return false;
	worker_add_bytes(&request, FIELD_TEMPLATE, template.data, template.size);
	return job_ask(job, job->tpm, &request, err);
}

/* What a chip cannot make is no failure. */
bool tpm_template_finish(struct job *job, const struct muster_error *outcome,
			 struct muster_error *err)
{
	const struct bytes *public = worker_bytes(&job->reply, FIELD_PUBLIC);
	struct ek_made *made = &job->made[job->made_count];

	*err = *outcome;
	if (outcome->code != MUSTER_OK && outcome->cause != CAUSE_TPM_COMMAND_FAILED)
		return false;
	if (outcome->code == MUSTER_OK) {
		if (!ek_public_parse(public->data, public->size, &made->public, err))
			return false;
		made->which = tried[job->tried_count];
		job->made_count++;
	}
	if (++job->tried_count == ARRAY_SIZE(tried))
		return judge(job, err);
	job_again(job, 0);
	return true;
}

/* -- The endorsement key ----------------------------------------------------------------------------------- */

bool tpm_ek_make_intend(struct job *job, cJSON *body, struct muster_error *err)
{
	char handle[16];

	snprintf(handle, sizeof(handle), "0x%08x", EK_HANDLE);
	return (json_add_text(body, "handle", handle) &&
		json_add_text(body, "template", "TCG L-1 RSA-2048") &&
		json_add_text(body, "tpm", job->tcti)) ||
	       muster_fail_memory(err);
}

bool tpm_ek_make_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	struct ek_public template;

	worker_request_init(&request, WORKER_TPM_EK_CREATE);
	/* With what the maker has left in NV: its certificate is for that key. */
	if (!ek_template_make(EK_TEMPLATE_L1, &job->holdings, &template, err))
		return false;
	worker_add_u64(&request, FIELD_HANDLE, EK_HANDLE);
	worker_add_bytes(&request, FIELD_TEMPLATE, template.data, template.size);
	return job_ask(job, job->tpm, &request, err);
}

bool tpm_ek_make_finish(struct job *job, const struct muster_error *outcome,
			struct muster_error *err)
{
	const struct bytes *public = worker_bytes(&job->reply, FIELD_PUBLIC);
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	struct ek_public ek;

	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "making and persisting the endorsement key");
	}
	if (!ek_public_parse(public->data, public->size, &ek, err))
		return false;
	take_ek(job, &ek);
	job->ek_was_created = true;
	/* From now on this key has to be there. */
	job->first_seen.has_key = true;
	ek_public_digest(&ek, job->first_seen.key);
	if (!body || !json_add_text(body, "step", "tpm-ek-make") ||
	    !json_add_text(body, "ekSha256", job->key_digest))
		return muster_fail_memory(err);
	return job_record(job, JOURNAL_OUTCOME, STAGE_IDENTIFY, TAKE_PTR(body), err) &&
	       judge(job, err);
}
