/* Requests and certificates whose keys lie in tokens. */
#include "certify.h"

#include <stdlib.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"

enum { VALID_DAYS_MAX = 36500, PATH_LENGTH_MAX = 10 };

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

static bool check_label(const char *label, struct muster_error *err)
{
	return !label || (*label && text_is_utf8(label, strlen(label)) && is_printable(label)) ||
	       muster_fail(err, CAUSE_USAGE, "--label '%s' is %s", PRINTABLE(label),
			   *label ? "no printable text" : "empty");
}

static bool check_choice(const struct station_key_choice *key, struct muster_error *err)
{
	if (!check_label(key->label, err))
		return false;
	if (!key->uri == !key->type)
		return muster_fail(
			err, CAUSE_USAGE,
			"a key is needed: --key URI for one that is there, or --key-type to make one");
	if (key->uri && key->label)
		return muster_fail(err, CAUSE_USAGE, "--label is for a key to be made");
	return key->uri || key->label ||
	       muster_fail(err, CAUSE_USAGE, "a key to be made needs a --label");
}

static bool check_subject(const char *subject, struct muster_error *err)
{
	struct muster_error why;

	return pki_name_check(subject, &why) ||
	       muster_fail(
		       err, CAUSE_USAGE,
		       "--subject '%s': %s; write it as CN=dev-1,O=Maker, of CN, O, OU, C, ST, L "
		       "and serialNumber",
		       PRINTABLE(subject), why.message);
}

/* What signs for itself is found by its name. */
static bool check_own_subject(const char *subject, struct muster_error *err)
{
	struct muster_error why;

	if (!check_subject(subject, err))
		return false;
	return pki_name_check_common(subject, &why) ||
	       muster_fail(err, CAUSE_USAGE, "--subject '%s': %s", PRINTABLE(subject), why.message);
}

static enum custody_effect effect_of(const struct station_key_choice *key)
{
	return key->uri ? CUSTODY_LOOKS : CUSTODY_CHANGES;
}

/* -- Requests ----------------------------------------------------------------------------------------------------- */

static bool request_write(const struct station_certificate_request *request, const X509_REQ *made,
			  cJSON *result, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };
	CLEANUP(freep) char *pem = NULL;

	if (!pki_request_pem(made, &pem, err) || !pki_request_der(made, &der, err))
		return false;
	if (!json_add_text(result, "pem", pem) ||
	    (request->out && !json_add_text(result, "file", request->out)))
		return muster_fail_memory(err);
	if (!request->out)
		return true;
	return request->is_der ? file_write(request->out, der.data, der.size, 0644, false, err)
			       : file_write(request->out, pem, strlen(pem), 0644, false, err);
}

bool station_certificate_request(const struct station_certificate_request *request,
				 cJSON **ret_result, struct muster_error *err)
{
	CLEANUP(custody_done) struct custody custody = { 0 };
	CLEANUP(custody_key_done) struct custody_key key = { 0 };
	CLEANUP(X509_REQ_freep) X509_REQ *made = NULL;
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();

	if (!check_choice(&request->key, err) || !check_subject(request->subject, err) ||
	    (request->out && !file_check_absent(request->out, err)) ||
	    !custody_open(&custody, &request->custody, request->key.uri, effect_of(&request->key),
			  err) ||
	    !custody_key_take(&custody, &request->key, &key, err))
		return false;
	if (!pki_request_make(key.key, request->subject, &made, err) ||
	    !custody_key_settle(&custody, &request->key, &key, err))
		return custody_key_drop(&custody, &request->key, &key, err);
	if (!result || !json_add_text(result, "subject", request->subject) ||
	    !custody_key_describe(&custody, &key, result))
		return muster_fail_memory(err);
	if (!request_write(request, made, result, err))
		return false;
	*ret_result = TAKE_PTR(result);
	return true;
}

/* -- Certificates: lint, announce, sign, record, write ---------------------------------------------------------- */

/* `path` may be NULL. */
static bool check_new_file(const char *path, struct muster_error *err)
{
	return !path || (file_check_absent(path, err) && file_check_place(path, err));
}

bool certify_check_output(const struct station_certificate_output *output, struct muster_error *err)
{
	if (output->out && output->chain && file_is_same_place(output->out, output->chain))
		return muster_fail(err, CAUSE_USAGE, "--out and --chain are both '%s'",
				   PRINTABLE(output->out));
	return check_new_file(output->out, err) && check_new_file(output->chain, err);
}

/* What is going to be signed is on disk before it is: a cut leaves evidence of it. */
bool certify_announce(struct custody *custody, const struct pki_linted *linted,
		      const struct bytes *signer_id, struct muster_error *err)
{
	const struct bytes *tbs = pki_linted_tbs(linted);
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };
	CLEANUP(cJSON_freep)
	cJSON *body = custody_entry(custody, "certify", "signerId", signer_id);
	char digest[SHA256_HEX_SIZE];

	if (!pki_certificate_info(pki_linted_certificate(linted), &info, err))
		return false;
	if (!body || !json_add_text(body, "subject", info.subject) ||
	    !json_add_text(body, "serial", info.serial) ||
	    !json_add_text(body, "toBeSignedSha256", sha256_hex(digest, tbs->data, tbs->size)))
		return muster_fail_memory(err);
	return custody_append(custody, JOURNAL_INTENT, TAKE_PTR(body), err);
}

static bool add_device(cJSON *body, const struct certify_device *device)
{
	char hex[2 * 64 + 1];

	return json_add_text(body, "registrationId", device->registration_id) &&
	       json_add_text(body, "terms", device->terms) &&
	       json_add_text(body, "production", device->production) &&
	       json_add_text(body, "madeKeyId",
			     hex_encode(hex, device->key_id->data, device->key_id->size)) &&
	       (!device->is_secondary || json_add_bool(body, "secondary", true));
}

bool certify_keep(struct custody *custody, const struct bytes *certificate,
		  const struct bytes *signer_id, const struct certify_device *device,
		  struct muster_error *err)
{
	CLEANUP(cJSON_freep)
	cJSON *body = custody_entry(custody, "certify", "signerId", signer_id);
	CLEANUP(freep) char *base64 = base64_encode(certificate->data, certificate->size);

	if (!body || !base64 || !json_add_text(body, "certificate", base64) ||
	    (device && !add_device(body, device)))
		return muster_fail_memory(err);
	return custody_append(custody, JOURNAL_OUTCOME, TAKE_PTR(body), err);
}

bool certify_make(struct custody *custody, const struct pki_plan *plan,
		  const struct custody_key *signer, X509 **ret_certificate,
		  struct muster_error *err)
{
	CLEANUP(pki_linted_freep) struct pki_linted *linted = NULL;
	CLEANUP(bytes_done) struct bytes der = { 0 };

	return pki_certificate_lint(plan, &linted, err) && journal_begin(custody->journal, err) &&
	       certify_announce(custody, linted, &signer->id, err) &&
	       journal_commit(custody->journal, err) &&
	       pki_certificate_sign(linted, ret_certificate, err) &&
	       pki_certificate_der(*ret_certificate, &der, err) &&
	       journal_begin(custody->journal, err) &&
	       certify_keep(custody, &der, &signer->id, NULL, err) &&
	       journal_commit(custody->journal, err);
}

static bool write_chain(const char *path, const char *pem, const struct bytes *issuers,
			struct muster_error *err)
{
	CLEANUP(text_done) struct text chain = TEXT_MAX(1024 * 1024);

	text_add(&chain, pem);
	if (issuers)
		text_add_bytes(&chain, issuers->data, issuers->size);
	return text_ok(&chain, err) && file_write(path, chain.data, chain.length, 0644, false, err);
}

static bool write_out(const struct station_certificate_output *output, const X509 *certificate,
		      const char *pem, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };

	if (!output->is_der)
		return file_write(output->out, pem, strlen(pem), 0644, false, err);
	return pki_certificate_der(certificate, &der, err) &&
	       file_write(output->out, der.data, der.size, 0644, false, err);
}

static bool describe(const struct station_certificate_output *output, const X509 *certificate,
		     const char *pem, cJSON *result, struct muster_error *err)
{
	return certificate_describe(certificate, result, err) &&
	       ((json_add_text(result, "pem", pem) &&
		 (!output->out || json_add_text(result, "file", output->out)) &&
		 (!output->chain || json_add_text(result, "chainFile", output->chain))) ||
		muster_fail_memory(err));
}

/* `issuers`: the issuer's file in PEM, or NULL. */
bool certify_deliver(const struct station_certificate_output *output, const X509 *certificate,
		     const struct bytes *issuers, cJSON *result, struct muster_error *err)
{
	CLEANUP(freep) char *pem = NULL;

	return pki_certificate_pem(certificate, &pem, err) &&
	       describe(output, certificate, pem, result, err) &&
	       (!output->out || write_out(output, certificate, pem, err)) &&
	       (!output->chain || write_chain(output->chain, pem, issuers, err));
}

struct pki_plan certify_plan(const struct station_certificate_terms *terms)
{
	return (struct pki_plan){
		.role = terms->is_authority ? PKI_AUTHORITY : PKI_DEVICE,
		.path_length = (int)terms->path_length,
		.valid_days = (unsigned)terms->valid_days,
		.skew_minutes = PKI_SKEW_MINUTES,
		.crl_url = terms->crl_url,
		.now_ms = clock_wall_ms(),
	};
}

bool certify_check_terms(const struct station_certificate_terms *terms, struct muster_error *err)
{
	if (terms->valid_days < 1 || terms->valid_days > VALID_DAYS_MAX)
		return muster_fail(err, CAUSE_USAGE,
				   "how long is it to be valid? pass --days, 1 to %d",
				   VALID_DAYS_MAX);
	if (terms->path_length > PATH_LENGTH_MAX)
		return muster_fail(err, CAUSE_USAGE, "--path-length is at most %d",
				   PATH_LENGTH_MAX);
	return terms->is_authority || terms->path_length == 0 ||
	       muster_fail(err, CAUSE_USAGE, "--path-length is for an authority: --ca");
}

/* -- Self-signed ------------------------------------------------------------------------------------------------- */

static bool store(struct custody *custody, const struct custody_key *key, const char *label,
		  const X509 *certificate, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	CLEANUP(bytes_done) struct bytes der = { 0 };

	worker_request_init(&request, WORKER_HSM_CERTIFICATE_STORE);
	if (!pki_certificate_der(certificate, &der, err))
		return false;
	worker_add_bytes(&request, FIELD_KEY_ID, key->id.data, key->id.size);
	worker_add_text(&request, FIELD_LABEL, label);
	worker_add_bytes(&request, FIELD_CERTIFICATE, der.data, der.size);
	return worker_call(custody->hsm, &request, &reply, err) ||
	       muster_error_prefix(err, "storing the certificate in token '%s'",
				   PRINTABLE(custody->token.label));
}

static bool self_sign(struct custody *custody, const struct station_self_sign *request,
		      const struct custody_key *key, cJSON *result, struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct pki_plan plan = certify_plan(&request->terms);

	plan.key = key->key;
	plan.subject = request->subject;
	if (!certify_make(custody, &plan, key, &certificate, err) ||
	    !custody_key_settle(custody, &request->key, key, err))
		return custody_key_drop(custody, &request->key, key, err);
	if (request->is_stored && !store(custody, key, request->subject, certificate, err))
		return false;
	return certify_deliver(&request->output, certificate, NULL, result, err);
}

bool station_certificate_self_sign(const struct station_self_sign *request, cJSON **ret_result,
				   struct muster_error *err)
{
	CLEANUP(custody_done) struct custody custody = { 0 };
	CLEANUP(custody_key_done) struct custody_key key = { 0 };
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();

	if (!check_choice(&request->key, err) || !certify_check_terms(&request->terms, err) ||
	    !check_own_subject(request->subject, err) ||
	    !certify_check_output(&request->output, err) ||
	    !custody_open(&custody, &request->custody, request->key.uri, CUSTODY_CHANGES, err) ||
	    !custody_key_take(&custody, &request->key, &key, err))
		return false;
	if (!result || !custody_key_describe(&custody, &key, result))
		return muster_fail_memory(err);
	if (!self_sign(&custody, request, &key, result, err))
		return false;
	*ret_result = TAKE_PTR(result);
	return true;
}
