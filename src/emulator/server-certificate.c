#include "server-certificate.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/file.h"
#include "muster/pki.h"

#define AUTHORITY_DAYS 3650
#define SERVER_DAYS 365
#define PEM_MAX (64 * 1024)

struct authority {
	EVP_PKEY *key;
	X509 *certificate;
};

static void authority_done(struct authority *authority)
{
	EVP_PKEY_free(authority->key);
	X509_free(authority->certificate);
}

/* The key is written first: with a certificate there is always its key. */
static bool make_authority(const char *ca_file, const char *key_file, int64_t now_ms,
			   struct authority *authority, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret pem = { 0 };
	CLEANUP(freep) char *text = NULL;

	return pki_authority_make("muster emulator authority", AUTHORITY_DAYS, now_ms,
				  &authority->key, &authority->certificate, err) &&
	       pki_private_key_pem(authority->key, &pem, err) &&
	       file_write(key_file, pem.data, pem.size, 0600, true, err) &&
	       pki_certificate_pem(authority->certificate, &text, err) &&
	       file_write(ca_file, text, strlen(text), 0644, true, err);
}

static bool read_authority(const char *ca_file, const char *key_file, struct authority *authority,
			   struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	CLEANUP(secret_done) struct secret pem = { 0 };

	return secret_read_file(&pem, key_file, PEM_MAX, err) &&
	       pki_private_key_read(&pem, &authority->key, err) &&
	       file_read(ca_file, PEM_MAX, &bytes, err) &&
	       pki_certificate_read(bytes.data, bytes.size, ca_file, &authority->certificate, err);
}

static bool make_server(const struct authority *authority, const char *const *names,
			size_t name_count, int64_t now_ms, struct server_certificate *certificate,
			struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(X509_freep) X509 *leaf = NULL;
	CLEANUP(freep) char *leaf_pem = NULL;
	CLEANUP(freep) char *ca_pem = NULL;
	CLEANUP(secret_done) struct secret pem = { 0 };

	if (!pki_server_certificate_make(authority->key, authority->certificate, names, name_count,
					 SERVER_DAYS, now_ms, &key, &leaf, err) ||
	    !pki_private_key_pem(key, &pem, err) || !pki_certificate_pem(leaf, &leaf_pem, err) ||
	    !pki_certificate_pem(authority->certificate, &ca_pem, err))
		return false;
	/* The TLS library wants the key as a C string. */
	if (!secret_new(&certificate->key_pem, pem.size + 1, err))
		return false;
	memcpy(certificate->key_pem.data, pem.data, pem.size);
	certificate->pem = text_format("%s%s", leaf_pem, ca_pem);
	return certificate->pem || muster_fail_memory(err);
}

bool server_certificate_open(const char *directory, const char *const *names, size_t name_count,
			     int64_t now_ms, struct server_certificate *ret_certificate,
			     struct muster_error *err)
{
	CLEANUP(authority_done) struct authority authority = { 0 };
	CLEANUP(server_certificate_done) struct server_certificate certificate = { 0 };
	CLEANUP(freep) char *key_file = text_format("%s/ca.key", directory);

	certificate.ca_file = text_format("%s/ca.pem", directory);
	if (!key_file || !certificate.ca_file)
		return muster_fail_memory(err);
	bool is_there = access(certificate.ca_file, F_OK) == 0;
	bool is_good =
		is_there ? read_authority(certificate.ca_file, key_file, &authority, err)
			 : make_authority(certificate.ca_file, key_file, now_ms, &authority, err);
	if (!is_good || !make_server(&authority, names, name_count, now_ms, &certificate, err))
		return muster_error_prefix(err, "the emulator's certificates in '%s'",
					   PRINTABLE(directory));
	*ret_certificate = certificate;
	certificate = (struct server_certificate){ 0 };
	return true;
}

void server_certificate_done(struct server_certificate *certificate)
{
	free(certificate->ca_file);
	free(certificate->pem);
	secret_done(&certificate->key_pem);
	*certificate = (struct server_certificate){ 0 };
}
