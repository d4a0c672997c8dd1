/* An authority's key in a token signs for whoever made a request. */
#include "certify.h"

#include <stdlib.h>
#include <string.h>

#include "muster/file.h"
#include "muster/identity.h"
#include "muster/json.h"
#include "repeat.h"

enum { INPUT_MAX = 1024 * 1024 };

/* Everything that was read before the token was opened. */
struct issue {
	struct profile profile; /* zero when there is none */
	struct station_certificate_terms terms;
	unsigned skew_minutes;
	const char *issuer_key, *issuer_certificate;
	struct bytes issuers; /* the issuer's file */
	X509_REQ *request;
	X509 *issuer;
	char common_name[PKI_COMMON_NAME_SIZE];
};

static void issue_done(struct issue *issue)
{
	profile_done(&issue->profile);
	bytes_done(&issue->issuers);
	X509_REQ_free(issue->request);
	X509_free(issue->issuer);
}

/* -- What is asked for --------------------------------------------------------------------------------------------- */

static bool read_profile(struct issue *issue, const char *path, struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };

	if (!profile_load(path, &issue->profile, &report, err))
		return false;
	return issue->profile.attestation == PROFILE_X509 ||
	       muster_fail(err, CAUSE_USAGE, "profile '%s' is not for X.509 devices",
			   PRINTABLE(issue->profile.name));
}

static const char *first(const char *given, const char *otherwise)
{
	return given ? given : otherwise;
}

static bool take_terms(struct issue *issue, const struct station_issue *request,
		       struct muster_error *err)
{
	const struct profile *profile = &issue->profile;

	if (request->profile_path && !read_profile(issue, request->profile_path, err))
		return false;
	issue->terms = request->terms;
	issue->terms.crl_url = first(request->terms.crl_url, profile->x509.crl_url);
	issue->skew_minutes = PKI_SKEW_MINUTES;
	if (request->profile_path) {
		issue->skew_minutes = (unsigned)profile->x509.skew_minutes;
		if (issue->terms.valid_days == 0)
			issue->terms.valid_days = profile->x509.valid_days;
	}
	issue->issuer_key = first(request->issuer_key, profile->x509.issuer_key);
	issue->issuer_certificate =
		first(request->issuer_certificate, profile->x509.issuer_certificate);
	if (!issue->issuer_key || !issue->issuer_certificate)
		return muster_fail(
			err, CAUSE_USAGE,
			"who issues? pass --issuer-key URI and --issuer-certificate FILE, or a profile with an issuer");
	return certify_check_terms(&issue->terms, err);
}

/* A device's common name is its registration ID. */
static bool check_common_name(struct issue *issue, struct muster_error *err)
{
	const X509_NAME *subject = X509_REQ_get_subject_name(issue->request);

	if (!pki_name_common_name(subject, issue->common_name))
		return muster_fail(
			err, CAUSE_REQUEST_INVALID,
			"the request's subject needs one common name of at most 64 bytes");
	return issue->terms.is_authority ||
	       identity_registration_id_check(issue->common_name, REGISTRATION_ID_X509_MAX, err);
}

static bool read_files(struct issue *issue, const struct station_issue *request,
		       struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes file = { 0 };

	return file_read(request->request_path, INPUT_MAX, &file, err) &&
	       pki_request_read(file.data, file.size, request->request_path, &issue->request,
				err) &&
	       check_common_name(issue, err) &&
	       file_read(issue->issuer_certificate, INPUT_MAX, &issue->issuers, err) &&
	       pki_certificate_read(issue->issuers.data, issue->issuers.size,
				    issue->issuer_certificate, &issue->issuer, err);
}

/* -- Whose key it is ----------------------------------------------------------------------------------------------- */

struct owner {
	char *key_id; /* of the key that was made with that public half */
	char *name;   /* the device that it is the key of; NULL: of none */
};

static void owner_done(struct owner *owner)
{
	free(owner->key_id);
	free(owner->name);
}

static bool set(char **target, const char *value)
{
	free(*target);
	*target = value ? strdup(value) : NULL;
	return !value || *target;
}

/* A key that provision made is told of under its device's name. */
static bool take_maker(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	struct owner *owner = context;
	const char *name = entry->registration_id;

	if (owner->key_id)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	return (set(&owner->key_id, json_text(body, "keyId")) &&
		set(&owner->name, name && *name ? name : NULL)) ||
	       muster_fail_memory(err);
}

/* One that cert produce made, with the certificate. */
static bool take_produced(void *context, const struct journal_entry *entry,
			  struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	struct owner *owner = context;
	const char *id;

	if (entry->kind != JOURNAL_OUTCOME || !strstr(entry->body, owner->key_id))
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	id = json_text(body, "madeKeyId");
	return !id || strcmp(id, owner->key_id) != 0 ||
	       set(&owner->name, json_text(body, "registrationId")) || muster_fail_memory(err);
}

static bool find_owner(struct journal *journal, const struct bytes *spki, struct owner *owner,
		       struct muster_error *err)
{
	char digest[SHA256_HEX_SIZE];
	bool is_known;

	sha256_hex(digest, spki->data, spki->size);
	return repeat_find(journal, digest, take_maker, owner, &is_known, err) &&
	       (owner->name || !owner->key_id ||
		journal_entries_all(journal, "", take_produced, owner, err));
}

/* The life of a device of the journal may have ended; of one that was produced nothing says so. */
static bool is_living(struct journal *journal, const char *name, bool *ret_is,
		      struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	bool is_known;

	if (!journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, name, &device, &is_known,
				 err))
		return false;
	*ret_is = !is_known || journal_state_is_live(device.state);
	return true;
}

static bool check_owner(const struct issue *issue, struct journal *journal,
			const struct bytes *spki, struct muster_error *err)
{
	CLEANUP(owner_done) struct owner owner = { 0 };
	bool is_one;

	if (!find_owner(journal, spki, &owner, err))
		return false;
	if (!owner.name || strcasecmp(owner.name, issue->common_name) == 0)
		return true;
	if (!is_living(journal, owner.name, &is_one, err))
		return false;
	return !is_one ||
	       muster_fail(
		       err, CAUSE_REQUEST_INVALID,
		       "the request for '%s' has the key of device '%s', ID %s, which this journal knows; no certificate was made",
		       PRINTABLE(issue->common_name), PRINTABLE(owner.name), owner.key_id);
}

/* One key under two names is two that nobody can tell apart; the authority's own would be in a device's hand. */
static bool check_key(const struct issue *issue, struct journal *journal,
		      const struct custody_key *issuer, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes spki = { 0 };

	if (!pki_public_key_der(X509_REQ_get0_pubkey(issue->request), &spki, err))
		return false;
	if (bytes_equal(&spki, &issuer->spki))
		return muster_fail(
			err, CAUSE_REQUEST_INVALID,
			"the request for '%s' has the issuer's own key; no certificate was made",
			PRINTABLE(issue->common_name));
	return check_owner(issue, journal, &spki, err);
}

/* -- Issuing ------------------------------------------------------------------------------------------------------- */

static bool sign(struct custody *custody, const struct issue *issue, const struct custody_key *key,
		 X509 **ret_certificate, struct muster_error *err)
{
	struct pki_plan plan = certify_plan(&issue->terms);

	plan.skew_minutes = issue->skew_minutes;
	plan.key = X509_REQ_get0_pubkey(issue->request);
	plan.subject_name = X509_REQ_get_subject_name(issue->request);
	plan.issuer_key = key->key;
	plan.issuer_certificate = issue->issuer;
	return certify_make(custody, &plan, key, ret_certificate, err);
}

/* The chain file wants PEM, whatever the issuer's file was. */
static bool issuers_as_pem(const struct issue *issue, struct bytes *ret_pem,
			   struct muster_error *err)
{
	CLEANUP(X509_stack_freep) STACK_OF(X509) *issuers = NULL;
	CLEANUP(text_done) struct text all = TEXT_MAX(INPUT_MAX);

	if (!pki_certificates_read(issue->issuers.data, issue->issuers.size,
				   issue->issuer_certificate, &issuers, err))
		return false;
	for (int i = 0; i < sk_X509_num(issuers); i++) {
		CLEANUP(freep) char *pem = NULL;

		if (!pki_certificate_pem(sk_X509_value(issuers, i), &pem, err))
			return false;
		text_add(&all, pem);
	}
	return text_ok(&all, err) && bytes_copy(ret_pem, all.data, all.length, err);
}

bool station_certificate_issue(const struct station_issue *request, cJSON **ret_result,
			       struct muster_error *err)
{
	CLEANUP(issue_done) struct issue issue = { 0 };
	CLEANUP(custody_done) struct custody custody = { 0 };
	CLEANUP(custody_key_done) struct custody_key key = { 0 };
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(bytes_done) struct bytes issuers = { 0 };
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();
	struct station_key_choice choice = { 0 };

	if (!take_terms(&issue, request, err) || !read_files(&issue, request, err) ||
	    !issuers_as_pem(&issue, &issuers, err) || !certify_check_output(&request->output, err))
		return false;
	choice.uri = issue.issuer_key;
	if (!custody_open(&custody, &request->custody, issue.issuer_key, CUSTODY_CHANGES, err) ||
	    !custody_key_take(&custody, &choice, &key, err) ||
	    !check_key(&issue, custody.journal, &key, err) ||
	    !sign(&custody, &issue, &key, &certificate, err))
		return false;
	if (!result)
		return muster_fail_memory(err);
	if (!certify_deliver(&request->output, certificate, &issuers, result, err))
		return false;
	*ret_result = TAKE_PTR(result);
	return true;
}
