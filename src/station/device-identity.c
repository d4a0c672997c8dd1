#include "device-identity.h"

#include <string.h>

#include "material.h"

enum { KEY_FILE_MAX = 64 * 1024, SYMMETRIC_FILE_MAX = 1024 };

void device_identity_done(struct device_identity *identity)
{
	X509_free(identity->certificate);
	EVP_PKEY_free(identity->key);
	secret_done(&identity->symmetric_key);
	custody_done(&identity->custody);
	bytes_done(&identity->id);
	bytes_done(&identity->spki);
}

/* -- Of which kind --------------------------------------------------------------------------------------------- */

bool device_identity_kind(const struct station_material *material,
			  enum profile_attestation *ret_kind, struct muster_error *err)
{
	const struct {
		const char *value, *option;
		enum profile_attestation kind;
	} rows[] = {
		{ material->tpm, "--tpm", PROFILE_TPM },
		{ material->symmetric_key, "--primary-key", PROFILE_SYMMETRIC_KEY },
		{ material->symmetric_key_file, "--primary-key-file", PROFILE_SYMMETRIC_KEY },
		{ material->derive_from, "--derive-from", PROFILE_SYMMETRIC_KEY },
		{ material->certificate, "--certificate-path", PROFILE_X509 },
		{ material->key, "--key", PROFILE_X509 },
	};
	const char *first = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool is_of_this_kind = !first || rows[i].kind == *ret_kind;

		if (!rows[i].value)
			continue;
		if (!is_of_this_kind || (first && rows[i].kind == PROFILE_SYMMETRIC_KEY))
			return muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
					   "%s and %s exclude each other", first, rows[i].option);
		first = rows[i].option;
		*ret_kind = rows[i].kind;
	}
	/* By itself it is material, beside the others it says where they are. */
	if (!first && material->token.uri)
		*ret_kind = PROFILE_X509;
	return first || material->token.uri ||
	       muster_fail(
		       err, CAUSE_OPTIONS_CONTRADICT,
		       "what does the device prove its identity with? pass --tpm TCTI, --token URI, "
		       "--certificate-path with --key, --primary-key-file or --derive-from");
}

/* -- Symmetric keys ---------------------------------------------------------------------------------------------- */

static bool derive(const struct station_material *material, const char *registration_id,
		   struct secret *ret_key, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret base64 = { 0 };

	return station_key_derive(material->derive_from, &material->token, registration_id, false,
				  &base64, err) &&
	       secret_from_base64(ret_key, (const char *)base64.data, base64.size,
				  "the derived key", err);
}

static bool open_symmetric(const struct station_material *material, const char *registration_id,
			   struct secret *ret_key, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret text = { 0 };

	if (material->derive_from)
		return derive(material, registration_id, ret_key, err);
	if (material->symmetric_key_file)
		return secret_read_source(&text, material->symmetric_key_file, SYMMETRIC_FILE_MAX,
					  "--primary-key-file", err) &&
		       secret_from_base64(ret_key, (const char *)text.data, text.size,
					  "--primary-key-file", err);
	return secret_from_base64(ret_key, material->symmetric_key, strlen(material->symmetric_key),
				  "--primary-key", err);
}

/* -- Certificates ------------------------------------------------------------------------------------------------- */

static bool is_uri(const char *text)
{
	return text && text_has_prefix(text, "pkcs11:");
}

static bool read_key(const char *path, struct device_identity *identity, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret pem = { 0 };

	return (secret_read_file(&pem, path, KEY_FILE_MAX, err) &&
		pki_private_key_read(&pem, &identity->key, err) &&
		pki_public_key_der(identity->key, &identity->spki, err)) ||
	       muster_error_prefix(err, "reading the device's key in '%s'", PRINTABLE(path));
}

/* The object that a token's URI names by itself, else the one that provisioning stores: under the ID in lower case. */
static char *certificate_uri(const char *token_uri, const char *registration_id,
			     struct muster_error *err)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 };
	bool is_named;
	char *text;

	if (!token_uri_parse(token_uri, &uri, err))
		return NULL;
	is_named = uri.object || uri.id.size > 0;
	if (!is_named)
		uri.object = strdup(registration_id);
	if (uri.object && !is_named)
		text_fold(uri.object);
	text = is_named || uri.object ? token_uri_format(&uri) : NULL;
	if (!text)
		muster_fail_memory(err);
	return text;
}

static bool find_certificate(const struct station_material *material, const char *registration_id,
			     const struct bytes *digests, struct device_identity *identity,
			     struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };
	CLEANUP(freep)
	char *uri = is_uri(material->certificate)
			    ? strdup(material->certificate)
			    : certificate_uri(material->token.uri, registration_id, err);

	return uri &&
	       token_certificate_find(identity->custody.hsm, uri, digests, &identity->id, &der,
				      err) &&
	       pki_certificate_read(der.data, der.size, uri, &identity->certificate, err);
}

static bool find_key(const struct station_material *material, struct device_identity *identity,
		     struct muster_error *err)
{
	struct worker *worker = identity->custody.hsm;

	if (!is_uri(material->key) && identity->id.size == 0)
		return muster_fail(
			err, CAUSE_KEY_NOT_FOUND,
			"the token's certificate has no ID to find its key by: name it with "
			"--key pkcs11:...");
	if (is_uri(material->key)) {
		bytes_done(&identity->id);
		if (!token_key_find(worker, material->key, &identity->id, &identity->spki, NULL,
				    err))
			return false;
	} else if (!token_key_of_id(worker, &identity->id, &identity->spki, err)) {
		return false;
	}
	token_signer_init(&identity->signer, worker, &identity->id, &identity->spki);
	return pki_key_from_signer(&identity->signer.signer, &identity->key, err);
}

static bool check_pair(const struct device_identity *identity, struct muster_error *err)
{
	return pki_certificate_has_key(identity->certificate, &identity->spki) ||
	       muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
			   "the device's certificate is not for the device's key");
}

static bool open_certificate(const struct station_material *material,
			     struct device_identity *identity, struct muster_error *err)
{
	const struct station_custody request = { .token = material->token };
	bool in_file = material->certificate && !is_uri(material->certificate);
	bool key_in_file = in_file && !is_uri(material->key), is_der;
	const char *uri = is_uri(material->certificate) ? material->certificate : material->key;

	if (!in_file && material->key && !is_uri(material->key))
		return muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
				   "the certificate is in a token, and --key is a file");
	if (key_in_file && material->token.uri)
		return muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
				   "the certificate is in a file: name its key in the token with "
				   "--key pkcs11:...");
	if (in_file &&
	    !material_certificate_read(material->certificate, &identity->certificate, &is_der, err))
		return false;
	if (key_in_file)
		return read_key(material->key ? material->key : material->certificate, identity,
				err) &&
		       check_pair(identity, err);
	return custody_open(&identity->custody, &request, uri, CUSTODY_LOOKS, err);
}

/* -- The whole ----------------------------------------------------------------------------------------------------- */

bool device_identity_open(const struct station_material *material, const char *registration_id,
			  struct device_identity *identity, struct muster_error *err)
{
	enum profile_attestation kind;

	if (!device_identity_kind(material, &kind, err))
		return false;
	switch (kind) {
	case PROFILE_TPM:
		return true;
	case PROFILE_X509:
		return open_certificate(material, identity, err);
	case PROFILE_SYMMETRIC_KEY:
		break;
	}
	return open_symmetric(material, registration_id, &identity->symmetric_key, err);
}

bool device_identity_find(const struct station_material *material, const char *registration_id,
			  const struct bytes *digests, struct device_identity *identity,
			  struct muster_error *err)
{
	if (!identity->custody.hsm)
		return true;
	return (identity->certificate ||
		find_certificate(material, registration_id, digests, identity, err)) &&
	       find_key(material, identity, err) && check_pair(identity, err);
}
