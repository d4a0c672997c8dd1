/* What an enrollment's attestation is made of. */
#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/ek.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/pki.h"
#include "muster/secret.h"
#include "muster/station.h"

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

bool station_certificate_read(const char *path, struct station_certificate *ret_certificate,
			      struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes content = { 0 };
	CLEANUP(X509_freep) X509 *leaf = NULL;
	char what[200];
	bool is_filled;

	snprintf(what, sizeof(what), "'%s'", PRINTABLE(path));
	if (!file_read(path, CERTIFICATE_FILE_MAX, &content, err))
		return false;
	is_filled = pki_certificate_read(content.data, content.size, what, &leaf, err) &&
		    fill_certificate(leaf, is_der(&content), ret_certificate, err);
	/* A private key may lie beside the certificate. */
	secret_wipe(content.data, content.size);
	return is_filled;
}

/* -- Endorsement keys ---------------------------------------------------------------------------------------- */

bool station_ek_check(void *context, const uint8_t *ek, size_t size, struct muster_error *err)
{
	struct ek_public public;

	(void)context;
	return ek_public_parse(ek, size, &public, err) && ek_check_dps(&public, err);
}
