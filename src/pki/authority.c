/* A local authority and server certificates under it. */
#include "pki-internal.h"

#include <arpa/inet.h>
#include <string.h>

static bool make_key(EVP_PKEY **ret_key, struct muster_error *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	if (!key)
		return pki_fail(err, CAUSE_CRYPTO, "making a key pair");
	*ret_key = key;
	return true;
}

static bool make_name(const char *common_name, X509_NAME **ret_name, struct muster_error *err)
{
	CLEANUP(X509_NAME_freep) X509_NAME *name = X509_NAME_new();

	if (!name || X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
						(const unsigned char *)common_name, -1, -1, 0) != 1)
		return pki_fail(err, CAUSE_CERTIFICATE_INVALID, "the common name '%s'",
				PRINTABLE(common_name));
	*ret_name = TAKE_PTR(name);
	return true;
}

bool pki_authority_make(const char *common_name, unsigned valid_days, int64_t now_ms,
			EVP_PKEY **ret_key, X509 **ret_certificate, struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(X509_NAME_freep) X509_NAME *name = NULL;
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct pki_certificate_base base = { .valid_days = valid_days,
					     .skew_minutes = PKI_SKEW_MINUTES,
					     .now_ms = now_ms };

	if (!make_key(&key, err) || !make_name(common_name, &name, err))
		return false;
	base.key = key;
	base.subject = name;
	if (!pki_certificate_begin(&base, &certificate, err) ||
	    !pki_extension_add(certificate, NULL, NID_basic_constraints, "critical,CA:TRUE", err) ||
	    !pki_extension_add(certificate, NULL, NID_key_usage, "critical,keyCertSign,cRLSign",
			       err) ||
	    !pki_x509_sign_and_read(certificate, key, ret_certificate, err))
		return false;
	*ret_key = TAKE_PTR(key);
	return true;
}

static bool is_address(const char *name)
{
	struct in6_addr address;

	return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

/* "DNS:localhost,IP:127.0.0.1"; a comma in a name would smuggle another one in. */
static bool join_names(const char *const *names, size_t count, struct text *out,
		       struct muster_error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (!*names[i] || strpbrk(names[i], ", "))
			return muster_fail(err, CAUSE_CERTIFICATE_INVALID,
					   "'%s' is no name of a server", PRINTABLE(names[i]));
		text_addf(out, "%s%s:%s", i ? "," : "", is_address(names[i]) ? "IP" : "DNS",
			  names[i]);
	}
	if (count == 0)
		return muster_fail(err, CAUSE_CERTIFICATE_INVALID, "a server needs a name");
	return text_ok(out, err);
}

bool pki_server_certificate_make(EVP_PKEY *authority_key, X509 *authority, const char *const *names,
				 size_t name_count, unsigned valid_days, int64_t now_ms,
				 EVP_PKEY **ret_key, X509 **ret_certificate,
				 struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(X509_NAME_freep) X509_NAME *name = NULL;
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(text_done) struct text joined = TEXT_MAX(8192);
	struct pki_certificate_base base = { .issuer = authority,
					     .valid_days = valid_days,
					     .skew_minutes = PKI_SKEW_MINUTES,
					     .now_ms = now_ms };

	if (!join_names(names, name_count, &joined, err) || !make_key(&key, err) ||
	    !make_name("muster local server", &name, err))
		return false;
	base.key = key;
	base.subject = name;
	if (!pki_certificate_begin(&base, &certificate, err) ||
	    !pki_extension_add(certificate, authority, NID_basic_constraints, "critical,CA:FALSE",
			       err) ||
	    !pki_extension_add(certificate, authority, NID_key_usage, "critical,digitalSignature",
			       err) ||
	    !pki_extension_add(certificate, authority, NID_ext_key_usage, "serverAuth", err) ||
	    !pki_extension_add(certificate, authority, NID_subject_alt_name, joined.data, err) ||
	    !pki_x509_sign_and_read(certificate, authority_key, ret_certificate, err))
		return false;
	*ret_key = TAKE_PTR(key);
	return true;
}
