/* What certificates and requests say, and whether they verify. No token is touched. */
#include "custody.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"

enum { INPUT_MAX = 1024 * 1024 };

/* -- Describing --------------------------------------------------------------------------------------------------- */

/* "ec-p256", "rsa-2048", ...: as profiles name them. */
static bool add_key_type(cJSON *result, const EVP_PKEY *key)
{
	static const struct {
		const char *group, *name;
	} curves[] = {
		{ "prime256v1", "ec-p256" },
		{ "secp384r1", "ec-p384" },
		{ "secp521r1", "ec-p521" },
	};
	char group[64] = "", type[80];
	size_t size;

	snprintf(type, sizeof(type), "%s",
		 key && EVP_PKEY_is_a(key, "ED25519") ? "ed25519" : "unknown");
	if (key && EVP_PKEY_is_a(key, "RSA"))
		snprintf(type, sizeof(type), "rsa-%d", EVP_PKEY_get_bits(key));
	if (key && EVP_PKEY_is_a(key, "EC") &&
	    EVP_PKEY_get_group_name(key, group, sizeof(group), &size) == 1)
		snprintf(type, sizeof(type), "%s", group);
	for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
		if (strcmp(curves[i].group, group) == 0)
			snprintf(type, sizeof(type), "%s", curves[i].name);
	return json_add_text(result, "keyType", type);
}

static bool add_hex(cJSON *result, const char *name, const ASN1_OCTET_STRING *value)
{
	char hex[2 * 64 + 1];
	int size = value ? ASN1_STRING_length(value) : 0;

	return size <= 0 || size > 64 ||
	       json_add_text(result, name,
			     hex_encode(hex, ASN1_STRING_get0_data(value), (size_t)size));
}

/* "digitalSignature, clientAuth" and so on, as OpenSSL prints the extension. */
static bool add_extension(cJSON *result, const char *name, const X509 *certificate, int nid)
{
	int at = X509_get_ext_by_NID(certificate, nid, -1);
	BIO *bio = at >= 0 ? BIO_new(BIO_s_mem()) : NULL;
	char *data = NULL, words[1024], printable[1024];
	long size;
	bool good;

	if (!bio)
		return true;
	good = X509V3_EXT_print(bio, X509_get_ext(certificate, at), 0, 0) == 1;
	size = BIO_get_mem_data(bio, &data);
	if (size > (long)sizeof(words) - 1)
		size = sizeof(words) - 1;
	snprintf(words, sizeof(words), "%.*s", (int)(size > 0 ? size : 0), size > 0 ? data : "");
	BIO_free(bio);
	return !good ||
	       json_add_text(result, name, text_printable(printable, sizeof(printable), words));
}

static bool add_words(const X509 *certificate, const struct pki_certificate_info *info,
		      cJSON *result)
{
	X509 *own = (X509 *)(uintptr_t)certificate;

	return json_add_text(result, "subject", info->subject) &&
	       json_add_text(result, "issuer", info->issuer) &&
	       json_add_text(result, "serial", info->serial) &&
	       json_add_text(result, "sha256", info->sha256) &&
	       json_add_text(result, "notBefore", info->not_before) &&
	       json_add_text(result, "notAfter", info->not_after) &&
	       (json_get(result, "keyType") ||
		add_key_type(result, X509_get0_pubkey(certificate))) &&
	       json_add_bool(result, "isAuthority", X509_check_ca(own) == 1) &&
	       add_extension(result, "basicConstraints", certificate, NID_basic_constraints) &&
	       add_extension(result, "keyUsage", certificate, NID_key_usage) &&
	       add_extension(result, "extendedKeyUsage", certificate, NID_ext_key_usage) &&
	       add_hex(result, "subjectKeyIdentifier", X509_get0_subject_key_id(own)) &&
	       add_hex(result, "authorityKeyIdentifier", X509_get0_authority_key_id(own));
}

bool certificate_describe(const X509 *certificate, cJSON *result, struct muster_error *err)
{
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };

	if (!pki_certificate_info(certificate, &info, err))
		return false;
	return add_words(certificate, &info, result) || muster_fail_memory(err);
}

/* -- Showing ------------------------------------------------------------------------------------------------------ */

static bool show_certificate(const X509 *certificate, cJSON *result, struct muster_error *err)
{
	struct muster_error weakness;
	bool is_good = pki_key_check(X509_get0_pubkey(certificate), &weakness);

	if (!json_add_text(result, "kind", "certificate") ||
	    (!is_good && !json_add_text(result, "weakness", weakness.message)))
		return muster_fail_memory(err);
	return certificate_describe(certificate, result, err);
}

static bool show_request(const X509_REQ *request, cJSON *result, struct muster_error *err)
{
	CLEANUP(freep) char *subject = NULL;

	if (!pki_name_print(X509_REQ_get_subject_name(request), &subject, err))
		return false;
	return (json_add_text(result, "kind", "request") &&
		json_add_text(result, "subject", subject) &&
		add_key_type(result, X509_REQ_get0_pubkey((X509_REQ *)(uintptr_t)request))) ||
	       muster_fail_memory(err);
}

/* What is wrong with a request is of interest where it is one. */
static bool fail_unread(const char *path, const struct bytes *file, const struct muster_error *why,
			struct muster_error *err)
{
	static const char mark[] = "CERTIFICATE REQUEST-----";

	*err = *why;
	return memmem(file->data, file->size, mark, strlen(mark)) == NULL &&
	       muster_fail(err, CAUSE_CERTIFICATE_UNREADABLE,
			   "'%s' holds neither a certificate nor a certificate request",
			   PRINTABLE(path));
}

bool station_certificate_show(const char *path, cJSON **ret_result, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes file = { 0 };
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(X509_REQ_freep) X509_REQ *request = NULL;
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();
	struct muster_error unread;

	if (!file_read(path, INPUT_MAX, &file, err))
		return false;
	if (!result || !json_add_text(result, "file", path))
		return muster_fail_memory(err);
	if (pki_certificate_read(file.data, file.size, path, &certificate, &unread)) {
		if (!show_certificate(certificate, result, err))
			return false;
	} else if (!pki_request_read(file.data, file.size, path, &request, &unread)) {
		return fail_unread(path, &file, &unread, err);
	} else if (!show_request(request, result, err)) {
		return false;
	}
	*ret_result = TAKE_PTR(result);
	return true;
}

/* -- Verifying ---------------------------------------------------------------------------------------------------- */

static bool read_certificates(const char *path, STACK_OF(X509) **ret_certificates,
			      struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes file = { 0 };

	return file_read(path, INPUT_MAX, &file, err) &&
	       pki_certificates_read(file.data, file.size, path, ret_certificates, err);
}

static bool add_chain(cJSON *result, const STACK_OF(X509) *chain, struct muster_error *err)
{
	cJSON *array = cJSON_AddArrayToObject(result, "chain");

	for (int i = 0; array && i < sk_X509_num(chain); i++) {
		CLEANUP(freep) char *subject = NULL;
		cJSON *item;

		if (!pki_name_print(X509_get_subject_name(sk_X509_value(chain, i)), &subject, err))
			return false;
		item = cJSON_CreateString(subject);
		if (!item || !cJSON_AddItemToArray(array, item))
			return muster_fail_memory(err);
	}
	return array || muster_fail_memory(err);
}

bool station_certificate_verify(const struct station_certificate_check *request, cJSON **ret_result,
				struct muster_error *err)
{
	CLEANUP(X509_stack_freep) STACK_OF(X509) *roots = NULL;
	CLEANUP(X509_stack_freep) STACK_OF(X509) *certificates = NULL;
	CLEANUP(X509_stack_freep) STACK_OF(X509) *chain = NULL;
	CLEANUP(bytes_done) struct bytes crl = { 0 };
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();
	struct pki_chain_check check = { .at_ms = clock_wall_ms() };

	if (!read_certificates(request->path, &certificates, err) ||
	    !read_certificates(request->roots, &roots, err) ||
	    (request->crl && !file_read(request->crl, INPUT_MAX, &crl, err)))
		return false;
	check.certificate = sk_X509_value(certificates, 0);
	check.others = certificates;
	check.roots = roots;
	check.crl = request->crl ? &crl : NULL;
	if (!pki_chain_verify(&check, &chain, err))
		return muster_error_prefix(err, "verifying '%s'", PRINTABLE(request->path));
	if (!result || !json_add_text(result, "file", request->path) ||
	    !json_add_bool(result, "verified", true) ||
	    !json_add_bool(result, "revocationChecked", request->crl != NULL))
		return muster_fail_memory(err);
	if (!certificate_describe(check.certificate, result, err) || !add_chain(result, chain, err))
		return false;
	*ret_result = TAKE_PTR(result);
	return true;
}
