#include "evidence.h"

#include <stdlib.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/station-journal.h"
#include "spool.h"
#include "steps.h"
#include "tpm-findings.h"

#define EVIDENCE_SCHEMA "muster.evidence/1"

char *station_evidence_path(const char *directory, const char *registration_id, const char *suffix)
{
	char *path = text_format("%s/%s.%s", directory, registration_id, suffix);

	for (char *c = path ? strrchr(path, '/') : NULL; c && *c; c++)
		if (*c == ':')
			*c = '_';
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

static bool add_hex_id(cJSON *part, const struct bytes *id)
{
	char hex[2 * 64 + 1];

	return id->size == 0 || id->size > 64 ||
	       json_add_text(part, "keyId", hex_encode(hex, id->data, id->size));
}

static bool add_second(cJSON *part, const struct bytes *certificate)
{
	char digest[SHA256_HEX_SIZE];

	return certificate->size == 0 ||
	       (add_base64(part, "secondaryCertificate", certificate->data, certificate->size) &&
		json_add_text(part, "secondaryCertificateSha256",
			      sha256_hex(digest, certificate->data, certificate->size)));
}

/* A key that left its token says so in a line of its own. */
static bool add_wrapped(cJSON *part, const struct job *job)
{
	cJSON *wrapped;

	if (!job->wrapped.file)
		return true;
	wrapped = cJSON_AddObjectToObject(part, "wrappedKey");
	return wrapped && json_add_text(part, "keyLives", "wrapped-to-device") &&
	       json_add_text(wrapped, "file", job->wrapped.file) &&
	       json_add_text(wrapped, "sha256", job->wrapped.digest) &&
	       json_add_text(wrapped, "method", job->wrapped.method) &&
	       json_add_text(wrapped, "recipientSha256", job->wrapped.recipient) &&
	       json_add_bool(wrapped, "destroyedInToken", job->key_is_gone);
}

/* What was written down when the device was here; its key may have been destroyed since. */
static cJSON *spooled_attestation(const struct job *job)
{
	CLEANUP(cJSON_freep)
	cJSON *part = cJSON_Duplicate(json_get(job->spooled, "attestation"), true);
	cJSON *wrapped = json_get(part, "wrappedKey");

	cJSON_DeleteItemFromObjectCaseSensitive(wrapped, "destroyedInToken");
	if (wrapped && !json_add_bool(wrapped, "destroyedInToken", job->key_is_gone))
		return NULL;
	return TAKE_PTR(part);
}

cJSON *evidence_attestation(const struct job *job)
{
	CLEANUP(cJSON_freep) cJSON *part = cJSON_CreateObject();
	char digest[SHA256_HEX_SIZE];

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
	    !add_base64(part, "certificate", job->certificate.data, job->certificate.size) ||
	    (job->certificate.size > 0 &&
	     !json_add_text(part, "certificateSha256",
			    sha256_hex(digest, job->certificate.data, job->certificate.size))) ||
	    !add_second(part, &job->second_certificate) || !add_hex_id(part, &job->key_id) ||
	    !json_add_text(part, "token", job->token.label) ||
	    !json_add_text(part, "tokenSerial", job->token.serial) ||
	    !json_add_text(part, "keyAttributes", job->key_attributes) || !add_wrapped(part, job))
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

static cJSON *verification_part(const struct job *job)
{
	CLEANUP(cJSON_freep) cJSON *part = cJSON_CreateObject();

	if (!part || !json_add_bool(part, "verified", job->verified) ||
	    !json_add_text(part, "result",
			   job->verification        ? job->verification
			   : verify_is_put_off(job) ? SPOOL_NOT_VERIFIED
						    : "not asked for") ||
	    !json_add_text(part, "hub", job->hub))
		return NULL;
	return TAKE_PTR(part);
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

bool evidence_compose(struct job *job, char **ret_text, struct muster_error *err)
{
	const struct run *run = job->run;
	CLEANUP(cJSON_freep) cJSON *root = cJSON_CreateObject();
	CLEANUP(freep) char *printed = NULL;
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
	    !add_spooled(root, job) ||
	    !json_add_item(root, "enrollment", enrollment_part(job, err)) ||
	    !json_add_text(root, "confirmed", job->found ? "read back" : "by the answer") ||
	    !json_add_item(root, "verification", verification_part(job)) ||
	    !json_add_item(root, "journal", chain_part(job, err)))
		return false;
	printed = json_print_pretty(root);
	*ret_text = printed ? text_format("%s\n", printed) : NULL;
	return *ret_text != NULL;
}

cJSON *evidence_attest_outcome(const cJSON *attestation)
{
	static const struct {
		const char *recorded, *shown;
	} members[] = {
		{ "certificate", "certificate" },
		{ "secondaryCertificate", "secondaryCertificate" },
		{ "keyId", "keyId" },
		{ "tokenSerial", "tokenSerial" },
		{ "attributes", "keyAttributes" },
	};
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	for (size_t i = 0; body && i < ARRAY_SIZE(members); i++)
		if (!json_add_text(body, members[i].recorded,
				   json_text(attestation, members[i].shown)))
			return NULL;
	return TAKE_PTR(body);
}
