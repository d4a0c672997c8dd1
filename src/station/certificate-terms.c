#include "certificate-terms.h"

#include <string.h>

#include "attest-key.h"
#include "issuer.h"
#include "muster/json.h"
#include "muster/log.h"
#include "resume.h"
#include "spool.h"

/* -- Of the profile -------------------------------------------------------------------------------------------------- */

/* By its name and its key: a certificate that was renewed for the same key issues as before. */
static char *describe_issuer(const X509 *issuer, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	CLEANUP(freep) char *name = NULL;
	char digest[SHA256_HEX_SIZE], *text;

	if (!pki_name_print(X509_get_subject_name(issuer), &name, err) ||
	    !pki_certificate_spki(issuer, &spki, err))
		return NULL;
	text = text_format("%s, key %s", name, sha256_hex(digest, spki.data, spki.size));
	if (!text)
		muster_fail_memory(err);
	return text;
}

/* A second certificate of the primary key is one of its terms; of a key of its own it has terms of its own. */
static int64_t second_days(const struct profile *profile, enum attest_which which)
{
	return which == ATTEST_PRIMARY && !profile->x509.own_secondary_key
		       ? profile->x509.secondary_valid_days
		       : 0;
}

bool certificate_terms_make(const struct job *job, enum attest_which which, const X509 *issuer,
			    cJSON **ret_terms, struct muster_error *err)
{
	const struct profile *profile = &job->run->profile;
	CLEANUP(cJSON_freep) cJSON *terms = cJSON_CreateObject();
	CLEANUP(freep) char *label = NULL, *subject = NULL, *issuer_text = NULL;
	int64_t days = which == ATTEST_PRIMARY ? profile->x509.valid_days
					       : profile->x509.secondary_valid_days;
	int64_t second = second_days(profile, which);

	if (!attest_expand(job, profile->x509.key_label, TEMPLATE_LABEL, &label, err) ||
	    !attest_expand(job, profile->x509.subject, TEMPLATE_SUBJECT, &subject, err))
		return false;
	if (issuer) {
		issuer_text = describe_issuer(issuer, err);
		if (!issuer_text)
			return false;
	}
	if (!terms || !json_add_text(terms, "keyType", profile->x509.key_type) ||
	    !json_add_text(terms, "keyLabel", label) || !json_add_text(terms, "subject", subject) ||
	    !json_add_int64(terms, "validDays", days) ||
	    (second > 0 && !json_add_int64(terms, "secondaryValidDays", second)) ||
	    !json_add_int64(terms, "skewMinutes", profile->x509.skew_minutes) ||
	    !json_add_text(terms, "issuer", issuer_text) ||
	    !json_add_text(terms, "crlUrl", profile->x509.crl_url))
		return muster_fail_memory(err);
	*ret_terms = TAKE_PTR(terms);
	return true;
}

/* -- Held against what was recorded ---------------------------------------------------------------------------------- */

static char *value_of(const cJSON *terms, const char *name)
{
	const cJSON *value = json_get(terms, name);

	return value ? json_print_line(value) : strdup("none");
}

static bool compare_one(const cJSON *recorded, const cJSON *wanted, const char *name,
			struct text *differences, struct muster_error *err)
{
	CLEANUP(freep) char *was = value_of(recorded, name);
	CLEANUP(freep) char *is = value_of(wanted, name);

	if (!was || !is)
		return muster_fail_memory(err);
	if (strcmp(was, is) != 0)
		text_addf(differences, "%s%s %s, not %s", differences->length > 0 ? "; " : "", name,
			  was, is);
	return true;
}

static bool compare(const cJSON *recorded, const cJSON *wanted, struct text *differences,
		    struct muster_error *err)
{
	static const char *const names[] = {
		"keyType",     "keyLabel", "subject", "validDays", "secondaryValidDays",
		"skewMinutes", "issuer",   "crlUrl"
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!compare_one(recorded, wanted, names[i], differences, err))
			return false;
	return true;
}

/* The issuer's certificate may be on another machine by now, and is not needed for what is certified. */
static bool keep_issuer(const cJSON *recorded, cJSON *wanted, struct muster_error *err)
{
	return json_add_text(wanted, "issuer", json_text(recorded, "issuer")) ||
	       muster_fail_memory(err);
}

/* What a key of its own takes the place of says nothing of the first one. */
static bool keep_second(const cJSON *recorded, cJSON *wanted, struct muster_error *err)
{
	int64_t days;

	return !json_int64(recorded, "secondaryValidDays", &days) ||
	       json_add_int64(wanted, "secondaryValidDays", days) || muster_fail_memory(err);
}

static bool compare_key(struct job *job, enum attest_which which, struct text *differences,
			struct muster_error *err)
{
	const cJSON *recorded = job->keys[which].terms;
	CLEANUP(cJSON_freep) cJSON *wanted = NULL;
	struct run *run = job->run;
	struct muster_error unread;
	bool is_issued = run->profile.x509.issuer_key != NULL;
	bool is_read = is_issued && issuer_read_certificate(run, &unread);

	return certificate_terms_make(job, which, is_read ? run->issuer_certificate : NULL, &wanted,
				      err) &&
	       (!is_issued || is_read || keep_issuer(recorded, wanted, err)) &&
	       (!run->profile.x509.own_secondary_key || keep_second(recorded, wanted, err)) &&
	       compare(recorded, wanted, differences, err);
}

/* How long a key lives, and which keys there are, is refused by what looks for them. */
static bool is_of_another_kind(const struct job *job)
{
	const struct profile *profile = &job->run->profile;
	const struct attest_key *keys = job->keys;

	return (keys[ATTEST_SECONDARY].id.size > 0 && !profile->x509.own_secondary_key) ||
	       attest_may_leave(&keys[ATTEST_PRIMARY]) != profile->x509.key_leaves;
}

static bool find_differences(struct job *job, struct text *differences, struct muster_error *err)
{
	for (size_t i = 0; i < ATTEST_KEYS; i++) {
		const struct attest_key *key = &job->keys[i];

		if (key->terms && key->id.size > 0 && key->certificate.size > 0 &&
		    !compare_key(job, i, differences, err))
			return false;
	}
	return true;
}

/* It is made beside the first one, which stays, where that is not in use yet. */
static bool lacks_second_key(const struct job *job)
{
	return job->run->profile.x509.own_secondary_key && job->keys[ATTEST_PRIMARY].terms &&
	       job->keys[ATTEST_SECONDARY].id.size == 0;
}

/* -- What becomes of it ---------------------------------------------------------------------------------------------- */

/* Another station may have sent what a bundle brought it, and a device may have got its key. */
bool certificate_terms_in_use(const struct job *job, bool *ret_is, struct muster_error *err)
{
	*ret_is = job->may_exist || attest_any_key_is_gone(job) ||
		  (job->spooled && job->run->profile.x509.key_leaves);
	return *ret_is || !job->spooled || spool_look_whether_bundled(job, ret_is, err);
}

/* Of one that was released this run makes and sends nothing. */
static void warn(const struct job *job, const char *differences)
{
	log_warning("[E%u] the certificate of device '%s', which is released, was made by "
		    "other terms than profile '%s' has: %s; going on",
		    CAUSE_CERTIFIED_OTHERWISE, PRINTABLE(job->registration_id),
		    PRINTABLE(job->run->profile.name), differences);
}

static bool refuse(const struct job *job, const char *differences, struct muster_error *err)
{
	return muster_fail(
		err, CAUSE_CERTIFIED_OTHERWISE,
		"the certificate of device '%s', %s, was made by other terms than profile '%s' has, and may be in use: %s",
		PRINTABLE(job->registration_id), journal_state_name(job->device.state),
		PRINTABLE(job->run->profile.name), differences);
}

static void begin_anew(struct job *job, const char *differences)
{
	log_warning(
		"the certificate of device '%s', which is not enrolled, was made by other terms "
		"than profile '%s' has: %s; key and certificate are made anew, going on",
		PRINTABLE(job->registration_id), PRINTABLE(job->run->profile.name), differences);
	resume_begin_anew(job);
}

/* One whose verification was put off is not at its end. */
static bool has_its_end(const struct job *job)
{
	return job->was_released && !(job->was_unverified && job->is_asked_late);
}

/* What differs is there. */
static bool decide(struct job *job, bool is_made_otherwise, const char *differences,
		   struct muster_error *err)
{
	bool is_in_use;

	if (has_its_end(job)) {
		warn(job, differences);
		return true;
	}
	if (!certificate_terms_in_use(job, &is_in_use, err))
		return false;
	if (is_in_use)
		return refuse(job, differences, err);
	if (is_made_otherwise)
		begin_anew(job, differences);
	return true;
}

/* Of which nothing is asked. */
static bool is_of_many_released(const struct job *job)
{
	return has_its_end(job) && job->run->batch;
}

bool certificate_terms_check(struct job *job, struct muster_error *err)
{
	CLEANUP(text_done) struct text differences = TEXT_MAX(16 * 1024);
	bool is_made_otherwise;

	if (job->run->profile.attestation != PROFILE_X509 || job_is_absent(job) ||
	    is_of_many_released(job) || is_of_another_kind(job))
		return true;
	if (!find_differences(job, &differences, err))
		return false;
	is_made_otherwise = differences.length > 0;
	if (lacks_second_key(job))
		text_addf(&differences, "%ssecondaryKey \"same\", not \"own\"",
			  is_made_otherwise ? "; " : "");
	return text_ok(&differences, err) &&
	       (differences.length == 0 ||
		decide(job, is_made_otherwise, text_one_line(&differences), err));
}
