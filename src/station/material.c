/* What an enrollment's attestation is made of. */
#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/ek.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/identity.h"
#include "muster/pki.h"
#include "muster/secret.h"
#include "muster/station.h"

#include "custody.h"
#include "login.h"
#include "master.h"
#include "material.h"
#include "tpm-chip.h"
#include "visit.h"

enum { CERTIFICATE_FILE_MAX = 256 * 1024 };

/* -- Certificates -------------------------------------------------------------------------------------------- */

void station_certificate_done(struct station_certificate *certificate)
{
	free(certificate->text);
	free(certificate->common_name);
	*certificate = (struct station_certificate){ 0 };
}

static char *pem_text(const X509 *leaf, struct muster_error *err)
{
	char *pem = NULL;

	if (!pki_certificate_pem(leaf, &pem, err))
		return NULL;
	while (*pem && pem[strlen(pem) - 1] == '\n')
		pem[strlen(pem) - 1] = '\0';
	return pem;
}

static char *base64_text(const X509 *leaf, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };
	char *text;

	if (!pki_certificate_der(leaf, &der, err))
		return NULL;
	text = base64_encode(der.data, der.size);
	if (!text)
		muster_fail_memory(err);
	return text;
}

/* DER begins with the tag of a sequence, no text does. */
static bool is_der(const struct bytes *content)
{
	return content->size > 0 && content->data[0] == 0x30;
}

static bool fill_certificate(const X509 *leaf, bool as_base64,
			     struct station_certificate *ret_certificate, struct muster_error *err)
{
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };
	CLEANUP(station_certificate_done) struct station_certificate certificate = { 0 };

	if (!pki_certificate_info(leaf, &info, err))
		return false;
	memcpy(certificate.not_before, info.not_before, sizeof(certificate.not_before));
	memcpy(certificate.not_after, info.not_after, sizeof(certificate.not_after));
	certificate.not_before_ms = info.not_before_ms;
	certificate.not_after_ms = info.not_after_ms;
	certificate.text = as_base64 ? base64_text(leaf, err) : pem_text(leaf, err);
	if (!certificate.text)
		return false;
	certificate.common_name = strdup(info.common_name);
	if (!certificate.common_name)
		return muster_fail_memory(err);
	*ret_certificate = certificate;
	certificate = (struct station_certificate){ 0 };
	return true;
}

static bool read_from_token(const char *uri, const struct station_token *token,
			    struct station_certificate *ret_certificate, struct muster_error *err)
{
	CLEANUP(visit_done) struct visit visit = { 0 };
	CLEANUP(bytes_done) struct bytes id = { 0 }, der = { 0 };
	CLEANUP(X509_freep) X509 *leaf = NULL;

	return visit_open(&visit, token->uri ? token->uri : uri, err) &&
	       (!login_has_pin(&token->pin, &visit.uri) || visit_login(&visit, &token->pin, err)) &&
	       token_certificate_find(visit.worker, uri, NULL, &id, &der, err) &&
	       pki_certificate_read(der.data, der.size, "the token's certificate", &leaf, err) &&
	       fill_certificate(leaf, false, ret_certificate, err);
}

bool material_certificate_read(const char *path, X509 **ret_leaf, bool *ret_is_der,
			       struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes content = { 0 };
	char what[200];
	bool is_read;

	snprintf(what, sizeof(what), "'%s'", PRINTABLE(path));
	if (!file_read(path, CERTIFICATE_FILE_MAX, &content, err))
		return false;
	is_read = pki_certificate_read(content.data, content.size, what, ret_leaf, err);
	*ret_is_der = is_der(&content);
	/* A private key may lie beside the certificate. */
	secret_wipe(content.data, content.size);
	return is_read;
}

static bool read_from_file(const char *path, struct station_certificate *ret_certificate,
			   struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *leaf = NULL;
	bool as_base64;

	return material_certificate_read(path, &leaf, &as_base64, err) &&
	       fill_certificate(leaf, as_base64, ret_certificate, err);
}

bool station_certificate_read(const char *source, const struct station_token *token,
			      struct station_certificate *ret_certificate, struct muster_error *err)
{
	return text_has_prefix(source, "pkcs11:")
		       ? read_from_token(source, token, ret_certificate, err)
		       : read_from_file(source, ret_certificate, err);
}

/* -- Endorsement keys ---------------------------------------------------------------------------------------- */

bool station_ek_check(void *context, const uint8_t *ek, size_t size, struct muster_error *err)
{
	struct ek_public public;

	(void)context;
	return ek_public_parse(ek, size, &public, err) && ek_check_dps(&public, err);
}

/* -- Out of hardware ----------------------------------------------------------------------------------------- */

void material_ek_request(struct worker_message *ret_request)
{
	worker_request_init(ret_request, WORKER_TPM_READ_PUBLIC);
	worker_add_u64(ret_request, FIELD_HANDLE, EK_HANDLE);
}

bool material_ek_take(const struct worker_message *reply, const char *tcti,
		      struct ek_public *ret_ek, struct muster_error *err)
{
	const struct bytes *public = worker_bytes(reply, FIELD_PUBLIC);

	if (!worker_u64(reply, FIELD_FOUND))
		return muster_fail(
			err, CAUSE_EK_NOT_PERSISTED,
			"the TPM at '%s' has no endorsement key at 0x%08x, and none is made "
			"here",
			PRINTABLE(tcti), EK_HANDLE);
	return (ek_public_parse(public->data, public->size, ret_ek, err) &&
		ek_check_dps(ret_ek, err)) ||
	       muster_error_prefix(err, "looking at the endorsement key of the TPM at '%s'",
				   PRINTABLE(tcti));
}

bool station_ek_read(const char *tcti, char **ret_base64, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	CLEANUP(chip_close) struct chip chip = { 0 };
	struct ek_public ek;

	material_ek_request(&request);
	if (!chip_open(tcti, &chip, err) || !chip_ask(&chip, &request, &reply, err))
		return muster_error_prefix(err, "reading the endorsement key of the TPM at '%s'",
					   PRINTABLE(tcti));
	if (!material_ek_take(&reply, tcti, &ek, err))
		return false;
	*ret_base64 = ek_public_to_base64(&ek);
	return *ret_base64 || muster_fail_memory(err);
}

static bool derive(struct hmac_key *master, const char *registration_id, struct secret *ret_base64,
		   struct muster_error *err)
{
	CLEANUP(secret_done) struct secret key = { 0 };
	CLEANUP(freep) char *id = strdup(registration_id);

	if (!id)
		return muster_fail_memory(err);
	text_fold(id);
	return identity_device_key_derive(master, id, &key, err) &&
	       secret_to_base64(ret_base64, key.data, key.size, err);
}

static bool derive_from_file(const char *path, const char *registration_id, bool is_new,
			     struct secret *ret_base64, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret master = { 0 };
	struct hmac_key key;

	if (!identity_master_read(path, &master, err) ||
	    (is_new && !master_check_random(&master, PRINTABLE(path), err)))
		return false;
	if (!is_new)
		master_warn_weak(&master, PRINTABLE(path));
	identity_hmac_key_from_secret(&key, &master);
	return derive(&key, registration_id, ret_base64, err);
}

/* A key that is in use shows by itself whether it is the right one. */
static bool derive_in_token(const char *uri, const struct station_token *token,
			    const char *registration_id, bool is_new, struct secret *ret_base64,
			    struct muster_error *err)
{
	const struct station_custody request = { .token = *token };
	CLEANUP(journal_freep) struct journal *journal = NULL;
	CLEANUP(custody_done) struct custody custody = { 0 };
	struct token_master master;

	if ((is_new && !custody_peek_journal(&request, &journal, err)) ||
	    !custody_open(&custody, &request, uri, CUSTODY_LOOKS, err) ||
	    !master_look(custody.hsm, &custody.token, uri, journal, err))
		return false;
	token_master_init(&master, custody.hsm, uri);
	return derive(&master.key, registration_id, ret_base64, err);
}

bool station_key_derive(const char *master, const struct station_token *token,
			const char *registration_id, bool is_new, struct secret *ret_base64,
			struct muster_error *err)
{
	bool is_derived =
		text_has_prefix(master, "pkcs11:")
			? derive_in_token(master, token, registration_id, is_new, ret_base64, err)
			: derive_from_file(master, registration_id, is_new, ret_base64, err);

	return is_derived ||
	       muster_error_prefix(err, "deriving the key of '%s'", PRINTABLE(registration_id));
}
