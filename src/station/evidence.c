#include "evidence.h"

#include <stdlib.h>
#include <string.h>

#include "evidence-kept.h"
#include "evidence-lines.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/process.h"
#include "muster/station-journal.h"
#include "spool.h"
#include "steps.h"
#include "terms.h"
#include "tpm-findings.h"

#define EVIDENCE_SCHEMA "muster.evidence/1"

/* What the evidence has besides the enrollment, certificates mostly; and what the entry has besides the evidence. */
enum { EVIDENCE_REST_MAX = 12 * 1024, ENTRY_REST_MAX = 256 };

#define EVIDENCE_ROOM (JOURNAL_BODY_MAX - EVIDENCE_REST_MAX)

/* Sticks and other systems want no colon in a file's name, and no registration ID has a plus. */
char *station_evidence_path(const char *directory, const char *registration_id, const char *suffix)
{
	char *path = text_format("%s/%s.%s", directory, registration_id, suffix);

	for (char *c = path ? strrchr(path, '/') : NULL; c && *c; c++)
		if (*c == ':')
			*c = '+';
	return path;
}

char *evidence_path(const struct job *job, const char *suffix)
{
	return station_evidence_path(job->run->out_directory, job->registration_id, suffix);
}

static cJSON *profile_part(const struct profile *profile)
{
	CLEANUP(cJSON_freep) cJSON *part = cJSON_CreateObject();

	if (!part || !json_add_text(part, "name", profile->name) ||
	    !json_add_int64(part, "version", profile->version) ||
	    !json_add_text(part, "sha256", profile->digest))
		return NULL;
	return TAKE_PTR(part);
}

static bool add_base64(cJSON *part, const char *name, const void *data, size_t size)
{
	CLEANUP(freep) char *text = size > 0 ? base64_encode(data, size) : NULL;

	return size == 0 || (text && json_add_text(part, name, text));
}

/* What is said of each key, and by which names. */
static const struct key_names {
	const char *certificate, *certificate_sha256, *request, *id, *attributes, *wrapped, *same;
} key_names[ATTEST_KEYS] = {
	[ATTEST_PRIMARY] = { "certificate", "certificateSha256", "certificateRequest", "keyId",
			     "keyAttributes", "wrappedKey", "sameLabelKeyIds" },
	[ATTEST_SECONDARY] = { "secondaryCertificate", "secondaryCertificateSha256",
			       "secondaryCertificateRequest", "secondaryKeyId",
			       "secondaryKeyAttributes", "secondaryWrappedKey",
			       "secondarySameLabelKeyIds" },
};

static bool add_hex_id(cJSON *part, const char *name, const struct bytes *id)
{
	char hex[2 * 64 + 1];

	return id->size == 0 || id->size > 64 ||
	       json_add_text(part, name, hex_encode(hex, id->data, id->size));
}

static bool add_certificate(cJSON *part, const struct key_names *names,
			    const struct bytes *certificate)
{
	char digest[SHA256_HEX_SIZE];

	return certificate->size == 0 ||
	       (add_base64(part, names->certificate, certificate->data, certificate->size) &&
		json_add_text(part, names->certificate_sha256,
			      sha256_hex(digest, certificate->data, certificate->size)));
}

/* A key that left its token says so in a line of its own. */
static bool add_wrapped(cJSON *part, const struct key_names *names, const struct attest_key *key)
{
	cJSON *wrapped;

	if (!key->wrapped.file)
		return true;
	wrapped = cJSON_AddObjectToObject(part, names->wrapped);
	return wrapped && json_add_text(wrapped, "file", key->wrapped.file) &&
	       json_add_text(wrapped, "sha256", key->wrapped.digest) &&
	       json_add_text(wrapped, "method", key->wrapped.method) &&
	       json_add_text(wrapped, "recipientSha256", key->wrapped.recipient) &&
	       json_add_bool(wrapped, "destroyedInToken", key->is_gone);
}

static bool add_keys(cJSON *part, const struct job *job)
{
	for (size_t i = 0; i < ATTEST_KEYS; i++) {
		const struct key_names *names = &key_names[i];
		const struct attest_key *key = &job->keys[i];

		if (!add_certificate(part, names, &key->certificate) ||
		    !add_base64(part, names->request, key->request.data, key->request.size) ||
		    !add_hex_id(part, names->id, &key->id) ||
		    !json_add_text(part, names->attributes, key->attributes) ||
		    !add_wrapped(part, names, key) ||
		    (key->namesakes &&
		     !json_add_item(part, names->same, cJSON_Duplicate(key->namesakes, true))))
			return false;
	}
	return !job->keys[ATTEST_PRIMARY].wrapped.file ||
	       json_add_text(part, "keyLives", "wrapped-to-device");
}

/* What was written down when the device was here; its key may have been destroyed since. This journal may be another station's,
 * which knows nothing of a key that was destroyed before. */
static cJSON *spooled_attestation(const struct job *job)
{
	CLEANUP(cJSON_freep)
	cJSON *part = cJSON_Duplicate(json_get(job->spooled, "attestation"), true);

	for (size_t i = 0; i < ATTEST_KEYS; i++) {
		cJSON *wrapped = json_get(part, key_names[i].wrapped);
		bool is_gone =
			job->keys[i].is_gone || json_bool(wrapped, "destroyedInToken", false);

		cJSON_DeleteItemFromObjectCaseSensitive(wrapped, "destroyedInToken");
		if (wrapped && !json_add_bool(wrapped, "destroyedInToken", is_gone))
			return NULL;
	}
	return TAKE_PTR(part);
}

cJSON *evidence_attestation(const struct job *job)
{
	CLEANUP(cJSON_freep) cJSON *part = cJSON_CreateObject();

	if (job_is_absent(job) && job->spooled)
		return spooled_attestation(job);
	if (!part ||
	    !json_add_text(part, "type", profile_attestation_word(job->run->profile.attestation)) ||
	    !add_base64(part, "endorsementKey", job->ek.data, job->has_ek ? job->ek.size : 0) ||
	    (job->has_ek && (!json_add_text(part, "ekSha256", job->key_digest) ||
			     !json_add_bool(part, "ekMadeByStation", job->ek_was_created) ||
			     !json_add_text(part, "workerSandbox", job->sandbox))) ||
	    !add_base64(part, "ekCertificate", job->ek_certificate.data,
			job->ek_certificate.size) ||
	    (job->has_ek && !json_add_item(part, "ekChecks", findings_json(&job->findings))) ||
	    !json_add_text(part, "token", job->token.label) ||
	    !json_add_text(part, "tokenSerial", job->token.serial) || !add_keys(part, job) ||
	    (attest_is_derived_again(job) && !json_add_bool(part, "derivedAgain", true)))
		return NULL;
	return TAKE_PTR(part);
}

static cJSON *enrollment_part(const struct job *job, struct muster_error *err)
{
	CLEANUP(cJSON_freep)
	cJSON *part = cJSON_Duplicate(job->found ? job->found : job->enrollment, true);

	if (!part || !dps_document_redact(part, err))
		return NULL;
	/* What changes from reading to reading says nothing about what was enrolled. */
	cJSON_DeleteItemFromObjectCaseSensitive(part, "registrationState");
	json_sort(part);
	return TAKE_PTR(part);
}

bool evidence_has_enrollment(const struct job *job)
{
	CLEANUP(cJSON_freep) cJSON *wanted = cJSON_Duplicate(job->enrollment, true);
	CLEANUP(cJSON_freep) cJSON *evidence = NULL;
	struct muster_error unread;

	if (!job->evidence || !wanted || !dps_document_redact(wanted, &unread) ||
	    !json_parse(job->evidence, strlen(job->evidence), "the evidence", &evidence, &unread))
		return false;
	json_sort(wanted);
	return json_equal(wanted, json_get(evidence, "enrollment"));
}

static bool is_later(const cJSON *found, const char *member, int64_t than_ms)
{
	const char *at = json_text(found, member);
	int64_t at_ms;

	return at && rfc3339_parse(at, &at_ms) && at_ms > than_ms;
}

bool evidence_is_of_former(const struct job *job, const cJSON *found)
{
	CLEANUP(cJSON_freep) cJSON *evidence = NULL;
	const char *mark = dps_enrollment_attempt(found), *known, *at;
	struct muster_error unread;
	int64_t at_ms;

	if (!job->evidence ||
	    !json_parse(job->evidence, strlen(job->evidence), "the evidence", &evidence, &unread))
		return false;
	known = evidence_attempt(evidence);
	if (!known != !mark || (known && strcmp(known, mark) != 0))
		return true;
	at = json_text(evidence, "at");
	if (!at || !rfc3339_parse(at, &at_ms))
		return false;
	/* It is the station's clock, which may be so far behind. */
	at_ms += CLOCK_SKEW_MAX_MS;
	return is_later(found, "createdDateTimeUtc", at_ms) ||
	       is_later(found, "lastUpdatedDateTimeUtc", at_ms);
}

/* A device is verified when it has registered with each of its certificates. */
static bool add_shown(cJSON *part, const struct job *job)
{
	cJSON *shown = NULL;

	for (size_t i = 0; job->verified && i < ATTEST_KEYS; i++) {
		if (job->keys[i].certificate.size == 0)
			continue;
		if (!shown)
			shown = cJSON_AddArrayToObject(part, "registeredWith");
		if (!shown ||
		    !cJSON_AddItemToArray(shown, cJSON_CreateString(key_names[i].certificate)))
			return false;
	}
	return true;
}

static cJSON *verification_part(const struct job *job)
{
	CLEANUP(cJSON_freep) cJSON *part = cJSON_CreateObject();

	if (!part || !json_add_bool(part, "verified", job->verified) ||
	    !json_add_text(part, "result",
			   job->verification        ? job->verification
			   : verify_is_put_off(job) ? SPOOL_NOT_VERIFIED
						    : "not asked for") ||
	    !json_add_text(part, "hub", job->hub) || !add_shown(part, job))
		return NULL;
	return TAKE_PTR(part);
}

const char *evidence_verification(const cJSON *evidence)
{
	const cJSON *part = json_get(evidence, "verification");
	const char *result = json_text(part, "result");

	if (!evidence)
		return NULL;
	if (json_bool(part, "verified", false))
		return JOURNAL_VERIFIED;
	return result && strcmp(result, SPOOL_NOT_VERIFIED) == 0 ? JOURNAL_PUT_OFF
								 : JOURNAL_NOT_ASKED;
}

static cJSON *chain_part(struct job *job, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *part = cJSON_CreateObject();
	struct journal_head head;
	char digest[2 * JOURNAL_DIGEST_SIZE + 1];

	if (!journal_head(job->run->journal, &head, err))
		return NULL;
	if (!part || !json_add_int64(part, "entry", head.seq) ||
	    !json_add_text(part, "digest", hex_encode(digest, head.digest, sizeof(head.digest))))
		return NULL;
	return TAKE_PTR(part);
}

/* Who did the hardware's work, and when, where that was another day. */
static bool add_spooled(cJSON *root, const struct job *job)
{
	CLEANUP(cJSON_freep) cJSON *part = cJSON_CreateObject();
	static const char *const names[] = { "at", "operator", "station" };

	if (!job->spooled)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!part || !json_add_text(part, names[i], json_text(job->spooled, names[i])))
			return false;
	return json_add_item(root, "spooled", TAKE_PTR(part));
}

/* Who approved the batch that the device was made in, where it had to be. */
static const cJSON *approval_of(const struct job *job)
{
	return job->run->approval ? job->run->approval : json_get(terms_of(job), "approval");
}

static bool add_approval(cJSON *root, const struct job *job)
{
	const cJSON *approval = approval_of(job);

	return !approval || json_add_item(root, "approval", cJSON_Duplicate(approval, true));
}

/* As a text within the body of an entry. */
static bool fits_an_entry(const char *text, size_t room, bool *ret_fits, struct muster_error *err)
{
	char *quoted;

	/* A character takes six at most. */
	*ret_fits = strlen(text) <= room / 6;
	if (*ret_fits)
		return true;
	quoted = json_quote(text);
	if (!quoted)
		return muster_fail_memory(err);
	*ret_fits = strlen(quoted) <= room;
	wiping_free(quoted);
	return true;
}

/* No shorter than what is printed of it on one line. */
static size_t printed_size_at_most(const cJSON *item)
{
	/* A number, a word, or brackets; quotes twice, a colon and a comma. */
	size_t size = 32 + (item->string ? 6 * strlen(item->string) : 0);

	if (item->valuestring)
		size += 6 * strlen(item->valuestring);
	for (const cJSON *child = item->child; child; child = child->next)
		size += printed_size_at_most(child);
	return size;
}

static bool measure(const cJSON *enrollment, const cJSON *approval, bool *ret_fits,
		    struct muster_error *err)
{
	char *line = json_print_line(enrollment);
	char *approved = approval ? json_print_line(approval) : strdup("");
	char *both = line && approved ? text_format("%s%s", line, approved) : NULL;
	bool is_measured =
		both ? fits_an_entry(both, EVIDENCE_ROOM, ret_fits, err) : muster_fail_memory(err);

	/* The enrollment may have keys. */
	wiping_free(line);
	wiping_free(approved);
	wiping_free(both);
	return is_measured;
}

bool evidence_check_room(const struct job *job, struct muster_error *err)
{
	const cJSON *approval = approval_of(job);
	size_t size = printed_size_at_most(job->enrollment) +
		      (approval ? printed_size_at_most(approval) : 0);
	bool fits = size <= EVIDENCE_ROOM / 6;

	if (!fits && !measure(job->enrollment, approval, &fits, err))
		return false;
	return fits ||
	       muster_fail(err, CAUSE_INPUT_TOO_LARGE,
			   "the enrollment of '%s' is too large to be recorded as evidence; make "
			   "its initial twin smaller",
			   PRINTABLE(job->registration_id));
}

bool evidence_fits(const char *text, bool *ret_fits, struct muster_error *err)
{
	return fits_an_entry(text, JOURNAL_BODY_MAX - ENTRY_REST_MAX, ret_fits, err);
}

bool evidence_print_line(const cJSON *root, char **ret_text, struct muster_error *err)
{
	CLEANUP(freep) char *printed = json_print_line(root);

	*ret_text = printed ? text_format("%s\n", printed) : NULL;
	return *ret_text || muster_fail_memory(err);
}

bool evidence_print(const cJSON *root, char **ret_text, struct muster_error *err)
{
	CLEANUP(freep) char *printed = json_print_pretty(root);
	bool fits;

	if (!printed)
		return muster_fail_memory(err);
	if (!evidence_fits(printed, &fits, err))
		return false;
	if (!fits)
		return evidence_print_line(root, ret_text, err);
	*ret_text = text_format("%s\n", printed);
	return *ret_text || muster_fail_memory(err);
}

bool evidence_compose(struct job *job, char **ret_text, struct muster_error *err)
{
	const struct run *run = job->run;
	CLEANUP(cJSON_freep) cJSON *root = cJSON_CreateObject();
	char now[RFC3339_SIZE];

	muster_fail_memory(err);
	if (!root || !json_add_text(root, "schema", EVIDENCE_SCHEMA) ||
	    !json_add_text(root, "serial", job->serial) ||
	    !json_add_text(root, "registrationId", job->registration_id) ||
	    !json_add_text(root, "deviceId",
			   job->device_id ? job->device_id : job->registration_id) ||
	    !json_add_text(root, "at", rfc3339_format(now, clock_wall_ms())) ||
	    !json_add_text(root, "operator", run->who.operator_name) ||
	    !json_add_text(root, "station", run->who.station) ||
	    !json_add_text(root, "service", job_host(job)) ||
	    !json_add_text(root, "idScope", run->id_scope) ||
	    !json_add_text(root, "attemptId", job->attempt_id) ||
	    !json_add_bool(root, "created", job->created) ||
	    !json_add_item(root, "profile", profile_part(&run->profile)) ||
	    !json_add_item(root, "attestation", evidence_attestation(job)) ||
	    !add_spooled(root, job) || !add_approval(root, job) ||
	    !json_add_item(root, "enrollment", enrollment_part(job, err)) ||
	    !json_add_text(root, "confirmed", job->found ? "read back" : "by the answer") ||
	    !json_add_item(root, "verification", verification_part(job)) ||
	    !json_add_item(root, "journal", chain_part(job, err)))
		return false;
	return evidence_lines_apply(job) ? evidence_print_line(root, ret_text, err)
					 : evidence_print(root, ret_text, err);
}

static bool take_release(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	cJSON **evidence = context;
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	const char *text;

	if (strcmp(entry->stage, stage_name(STAGE_RELEASE)) != 0 || entry->kind != JOURNAL_OUTCOME)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	text = json_text(body, "evidence");
	if (!text)
		return true;
	cJSON_Delete(TAKE_PTR(*evidence));
	return json_parse(text, strlen(text), "the evidence", evidence, err);
}

bool evidence_find(struct journal *journal, const char *registration_id, cJSON **ret_evidence,
		   struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *evidence = NULL;

	if (!journal_entries_all(journal, registration_id, take_release, &evidence, err))
		return false;
	*ret_evidence = TAKE_PTR(evidence);
	return true;
}

const char *evidence_key_digest(const cJSON *attestation)
{
	const char *digest = json_text(attestation, "ekSha256");

	return digest ? digest : json_text(attestation, "certificateSha256");
}

bool evidence_names_key(const struct job *job, enum attest_which which)
{
	CLEANUP(freep) char *path = evidence_path(job, "evidence.json");
	CLEANUP(bytes_done) struct bytes text = { 0 };
	CLEANUP(cJSON_freep) cJSON *evidence = NULL;
	struct muster_error unread;
	char hex[2 * 64 + 1];
	const char *id;

	if (!path || !file_read(path, EVIDENCE_KEPT_MAX, &text, &unread) ||
	    !json_parse((const char *)text.data, text.size, path, &evidence, &unread))
		return false;
	id = json_text(json_get(evidence, "attestation"), key_names[which].id);
	hex_encode(hex, job->keys[which].id.data, job->keys[which].id.size);
	return id && strcmp(id, hex) == 0;
}

const char *evidence_attempt(const cJSON *evidence)
{
	const cJSON *enrollment = json_get(evidence, "enrollment");

	return enrollment ? dps_enrollment_attempt(enrollment) : json_text(evidence, "attemptId");
}

/* Which key of the token an outcome is about. */
static bool add_key(cJSON *body, const cJSON *attestation, enum attest_which which)
{
	return json_add_text(body, "keyId", json_text(attestation, key_names[which].id)) &&
	       (which == ATTEST_PRIMARY ||
		json_add_text(body, "secondaryOf", json_text(attestation, "keyId"))) &&
	       json_add_text(body, "tokenSerial", json_text(attestation, "tokenSerial"));
}

/* The secondary certificate is recorded with the key that it is for. */
static bool add_outcome(cJSON *body, const cJSON *attestation, enum attest_which which)
{
	const struct key_names *names = &key_names[which], *other = &key_names[ATTEST_SECONDARY];
	bool has_own = json_text(attestation, other->id) != NULL;

	return json_add_text(body, "certificate", json_text(attestation, names->certificate)) &&
	       (has_own || json_add_text(body, "secondaryCertificate",
					 json_text(attestation, other->certificate))) &&
	       (has_own != (which == ATTEST_SECONDARY) ||
		json_add_text(body, other->certificate_sha256,
			      json_text(attestation, other->certificate_sha256))) &&
	       json_add_text(body, "request", json_text(attestation, names->request)) &&
	       add_key(body, attestation, which) &&
	       json_add_text(body, "attributes", json_text(attestation, names->attributes));
}

bool evidence_attest_outcome(const cJSON *attestation, enum attest_which which, cJSON **ret_body,
			     struct muster_error *err)
{
	const char *needed = which == ATTEST_PRIMARY ? "certificate" : key_names[which].id;
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	if (json_text(attestation, needed)) {
		body = cJSON_CreateObject();
		if (!body || !add_outcome(body, attestation, which))
			return muster_fail_memory(err);
	}
	*ret_body = TAKE_PTR(body);
	return true;
}

bool evidence_wrap_outcome(const cJSON *attestation, enum attest_which which, cJSON **ret_body,
			   struct muster_error *err)
{
	static const char *const steps[ATTEST_KEYS] = { "wrap-out", "secondary-wrap-out" };
	const cJSON *wrapped = json_get(attestation, key_names[which].wrapped);
	CLEANUP(cJSON_freep) cJSON *body = wrapped ? cJSON_CreateObject() : NULL;

	if (wrapped &&
	    (!body || !json_add_text(body, "step", steps[which]) ||
	     !add_key(body, attestation, which) ||
	     !json_add_text(body, "file", json_text(wrapped, "file")) ||
	     !json_add_text(body, "fileSha256", json_text(wrapped, "sha256")) ||
	     !json_add_text(body, "recipientSha256", json_text(wrapped, "recipientSha256")) ||
	     !json_add_text(body, "method", json_text(wrapped, "method"))))
		return muster_fail_memory(err);
	*ret_body = TAKE_PTR(body);
	return true;
}

bool evidence_destroy_outcome(const cJSON *attestation, enum attest_which which, cJSON **ret_body,
			      struct muster_error *err)
{
	static const char *const steps[ATTEST_KEYS] = { "key-destroy", "secondary-key-destroy" };
	const cJSON *wrapped = json_get(attestation, key_names[which].wrapped);
	bool is_gone = json_bool(wrapped, "destroyedInToken", false);
	CLEANUP(cJSON_freep) cJSON *body = is_gone ? cJSON_CreateObject() : NULL;

	if (is_gone &&
	    (!body || !json_add_text(body, "step", steps[which]) ||
	     !add_key(body, attestation, which) || !json_add_bool(body, "wasThere", true)))
		return muster_fail_memory(err);
	*ret_body = TAKE_PTR(body);
	return true;
}
