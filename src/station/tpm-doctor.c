/* The doctor: what the chip holds, the judgement on it, the proof that it is this chip, and what the journal knows. */
#include "tpm-doctor.h"

#include <unistd.h>

#include "muster/file.h"
#include "muster/pki.h"

#include "network.h"
#include "tpm-fetch.h"

#define CERTIFICATE_FILE_MAX (64 * 1024)

static void visit_done(struct visit *visit)
{
	ek_judgement_done(&visit->judgement);
	ek_holdings_done(&visit->holdings);
	chip_close(&visit->chip);
	journal_close(visit->journal);
	X509_free(visit->certificate);
	tpm_terms_done(&visit->terms);
}

/* -- Before the chip is touched ------------------------------------------------------------------------------- */

static bool load_terms(struct visit *visit, struct profile_report *mistakes,
		       struct muster_error *err)
{
	const struct station_tpm_request *request = visit->request;
	CLEANUP(profile_done) struct profile profile = { 0 };
	bool has_profile = request->profile_path != NULL;

	if (has_profile && !profile_load(request->profile_path, &profile, mistakes, err))
		return false;
	if (has_profile && profile.attestation != PROFILE_TPM)
		return muster_fail(err, CAUSE_USAGE, "profile '%s' is not for TPM devices",
				   PRINTABLE(profile.name));
	return tpm_terms_load(has_profile ? &profile : NULL, request->roots, request->crls,
			      &visit->terms, err);
}

static bool load_certificate(struct visit *visit, struct muster_error *err)
{
	const char *path = visit->request->ek_certificate;
	CLEANUP(bytes_done) struct bytes content = { 0 };

	visit->certificate_place = "the file";
	return !path ||
	       (file_read(path, CERTIFICATE_FILE_MAX, &content, err) &&
		pki_certificate_read(content.data, content.size, path, &visit->certificate, err));
}

/* A journal that is named has to be there; the usual one need not. */
static bool open_journal(struct visit *visit, struct muster_error *err)
{
	const struct station_tpm_request *request = visit->request;
	CLEANUP(freep) char *path = NULL;

	if (!journal_path_choose(request->journal_path, NULL, &path, err))
		return err->cause == CAUSE_JOURNAL_UNSET && !request->persist;
	if (!request->persist && !request->journal_path && access(path, F_OK) != 0)
		return true;
	return journal_open(path, request->persist ? JOURNAL_WRITE : JOURNAL_READ, &visit->journal,
			    err);
}

/* -- The chip -------------------------------------------------------------------------------------------------- */

static bool survey(struct visit *visit, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	const struct bytes *holdings;
	struct ek_public ek;
	bool found = false;

	ek_holdings_done(&visit->holdings);
	worker_request_init(&request, WORKER_TPM_SURVEY);
	worker_add_u64(&request, FIELD_WITH_NV, visit->terms.need != EK_CERTIFICATE_IGNORED);
	if (!chip_ask(&visit->chip, &request, &reply, err))
		return false;
	holdings = worker_bytes(&reply, FIELD_HOLDINGS);
	if (!ek_holdings_parse(holdings->data, holdings->size, &visit->holdings, err) ||
	    !ek_holdings_public(&visit->holdings, EK_HANDLE, &found, &ek, err))
		return false;
	roll_call_of_survey(&reply, found ? &ek : NULL, &visit->start);
	return true;
}

static void judge(struct visit *visit)
{
	struct ek_case facts = {
		.holdings = &visit->holdings,
		.certificate = visit->certificate,
		.certificate_place = visit->certificate_place,
		.why_missing =
			visit->fetch_failure.code != MUSTER_OK ? &visit->fetch_failure : NULL,
		.manufacturer = visit->chip.manufacturer,
		.was_tried = visit->was_tried,
		.made = visit->made,
		.made_count = visit->made_count,
	};

	ek_judgement_done(&visit->judgement);
	ek_judge(&facts, visit->terms.need, &visit->terms.terms, &visit->judgement);
}

/* -- The vendor's service ---------------------------------------------------------------------------------------- */

static bool ask_service(struct visit *visit, const struct fetch *fetch, struct muster_error *err)
{
	const struct http_terms terms =
		network_terms(&(struct http_terms){ 0 }, &visit->terms.config);
	CLEANUP(http_freep) struct http *http = http_new(&terms, err);
	CLEANUP(http_request_done) struct http_request request = { 0 };
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };

	return http && fetch_request(fetch, &request, err) &&
	       http_fetch(http, &request, &answer, err) &&
	       fetch_take(fetch, &answer, &visit->certificate, err);
}

/* That the vendor has none, or cannot be asked, is a finding. */
static bool fetch_certificate(struct visit *visit, struct muster_error *err)
{
	const struct tpm_terms *terms = &visit->terms;
	CLEANUP(fetch_done) struct fetch fetch = { 0 };
	bool is_known = false;

	if (!terms->fetch || terms->need == EK_CERTIFICATE_IGNORED ||
	    visit->judgement.certificate || !visit->judgement.has_presented)
		return true;
	if (!fetch_plan(&terms->config, visit->chip.manufacturer, &visit->judgement.presented,
			&fetch, &is_known, err))
		return false;
	if (!is_known)
		return true;
	visit->certificate = fetch_recall(&fetch);
	visit->certificate_place = "the vendor's answer";
	if (!visit->certificate)
		(void)!ask_service(visit, &fetch, &visit->fetch_failure);
	judge(visit);
	return true;
}

/* What a chip cannot make is no failure: few can make all. */
static bool try_template(struct visit *visit, enum ek_template which, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct ek_made *made = &visit->made[visit->made_count];
	const struct bytes *public;
	struct ek_public template;

	if (!ek_template_make(which, &visit->holdings, &template, err))
		return false;
	worker_request_init(&request, WORKER_TPM_EK_TRY);
	worker_add_bytes(&request, FIELD_TEMPLATE, template.data, template.size);
	if (!chip_ask(&visit->chip, &request, &reply, err))
		return err->cause == CAUSE_TPM_COMMAND_FAILED;
	public = worker_bytes(&reply, FIELD_PUBLIC);
	if (!ek_public_parse(public->data, public->size, &made->public, err))
		return false;
	made->which = which;
	visit->made_count++;
	return true;
}

static bool is_wanted(const struct visit *visit, enum ek_template which)
{
	return visit->request->deep || which == EK_TEMPLATE_L1 || which == EK_TEMPLATE_AZURE ||
	       (which == EK_TEMPLATE_H1 && visit->judgement.needs_templates);
}

/* Making keys takes seconds each; only when what is persisted does not answer the question. */
static bool try_templates(struct visit *visit, struct muster_error *err)
{
	if (!visit->request->deep && !visit->judgement.needs_templates &&
	    visit->judgement.has_presented)
		return true;
	for (enum ek_template which = 0; which < EK_TEMPLATE_COUNT; which++)
		if (is_wanted(visit, which) && !try_template(visit, which, err))
			return muster_error_prefix(err, "making the key of %s",
						   ek_template_name(which));
	visit->was_tried = true;
	judge(visit);
	return true;
}

static void find_made(struct visit *visit)
{
	for (size_t i = 0; visit->request->deep && i < visit->made_count; i++) {
		const struct ek_made *made = &visit->made[i];
		uint8_t digest[SHA256_SIZE];
		char hex[SHA256_HEX_SIZE];
		bool is_presented = visit->judgement.has_presented &&
				    ek_public_equal(&made->public, &visit->judgement.presented);

		ek_public_digest(&made->public, digest);
		ek_find(&visit->judgement.findings, "template", EK_NOTED, CAUSE_NONE,
			"%s makes %s%s", ek_template_name(made->which),
			hex_encode(hex, digest, sizeof(digest)),
			is_presented ? ", the key that is presented" : "");
	}
}

/* -- Proof ------------------------------------------------------------------------------------------------------ */

/* Over the SRK as DPS will do it; where none is persisted, making one would take seconds. */
static enum proof_witness choose_witness(const struct visit *visit)
{
	struct ek_public srk;
	struct muster_error ignored;
	bool found;

	return ek_holdings_public(&visit->holdings, SRK_HANDLE, &found, &srk, &ignored) && found &&
			       ek_check_srk(&srk, &ignored)
		       ? PROOF_BY_SRK
		       : PROOF_BY_AK;
}

static bool open_session(struct visit *visit, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	proof_session_request(&visit->judgement.presented, &request);
	return chip_ask(&visit->chip, &request, &reply, err);
}

static bool activate(struct visit *visit, struct proof *proof, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message witness_request = { 0 };
	CLEANUP(worker_message_done) struct worker_message witness_reply = { 0 };
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	proof_witness_request(proof->witness, &witness_request);
	return open_session(visit, err) &&
	       chip_ask(&visit->chip, &witness_request, &witness_reply, err) &&
	       proof_challenge(proof, &visit->judgement.presented, &witness_reply, &request, err) &&
	       chip_ask(&visit->chip, &request, &reply, err) && proof_check(proof, &reply, err);
}

static bool call_roll(struct visit *visit, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct ek_witness now;

	roll_call_request(&request);
	if (!chip_ask(&visit->chip, &request, &reply, err))
		return false;
	roll_call_take(&reply, &now);
	return ek_witness_check(&visit->start, &now, err);
}

/* A chip that was swapped fails in many ways; that it was is the reason to give. */
static void prove(struct visit *visit)
{
	CLEANUP(proof_done) struct proof proof = { .witness = choose_witness(visit) };
	struct ek_findings *findings = &visit->judgement.findings;
	struct muster_error err, failure = { 0 };
	bool is_proven = activate(visit, &proof, &failure);
	bool is_same = call_roll(visit, &err);

	if (!is_same)
		ek_find_error(findings, "same chip", EK_REFUSED, &err);
	else if (!is_proven && !proof_fail(&failure, &err))
		ek_find_error(findings, "possession", EK_REFUSED, &err);
	else
		ek_find(findings, "possession", EK_PASSED, CAUSE_NONE,
			"the TPM holds the private half of its endorsement key (over %s)",
			proof.witness == PROOF_BY_SRK ? "the storage root key, as DPS does it"
						      : "an attestation key");
	if (is_proven && is_same)
		ek_find(findings, "same chip", EK_PASSED, CAUSE_NONE,
			"key, reset count and clock agree from start to end");
}

static bool can_prove(const struct visit *visit)
{
	struct muster_error ignored;

	return visit->terms.prove && visit->judgement.has_presented &&
	       ek_check_dps(&visit->judgement.presented, &ignored);
}

/* -- The visit ---------------------------------------------------------------------------------------------------- */

static bool examine(struct visit *visit, struct muster_error *err)
{
	if (!chip_greet(&visit->chip, err) || !survey(visit, err))
		return false;
	if (visit->request->persist && (!visit_persist(visit, err) || !survey(visit, err)))
		return false;
	judge(visit);
	if (!fetch_certificate(visit, err) || !try_templates(visit, err))
		return false;
	find_made(visit);
	if (can_prove(visit))
		prove(visit);
	return visit_look_up(visit, err);
}

bool station_tpm_doctor(const struct station_tpm_request *request, struct profile_report *mistakes,
			struct station_tpm_report *ret_report, struct muster_error *err)
{
	CLEANUP(visit_done) struct visit visit = { .request = request };

	return chip_start(request->tpm, &visit.chip, err) && load_terms(&visit, mistakes, err) &&
	       load_certificate(&visit, err) && open_journal(&visit, err) && examine(&visit, err) &&
	       visit_report(&visit, ret_report, err);
}
