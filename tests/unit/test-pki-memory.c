/* Keys, certificates and requests while memory runs out. */
#include "memory.h"

#include "muster/pki.h"

#include "pki-soft-signer.h"

static struct soft_signer ours, issuers;
static X509 *issuer;
static EVP_PKEY *issuer_key;

static bool read_certificate(const void *context)
{
	const struct bytes *input = context;
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(bytes_done) struct bytes der = { 0 }, spki = { 0 };
	CLEANUP(freep) char *pem = NULL;
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };
	struct muster_error err;

	return pki_certificate_read(input->data, input->size, "the input", &certificate, &err) &&
	       pki_certificate_info(certificate, &info, &err) &&
	       pki_certificate_der(certificate, &der, &err) &&
	       pki_certificate_pem(certificate, &pem, &err) &&
	       pki_certificate_spki(certificate, &spki, &err) &&
	       pki_key_check(X509_get0_pubkey(certificate), &err);
}

static bool read_request(const void *context)
{
	const struct bytes *input = context;
	CLEANUP(X509_REQ_freep) X509_REQ *request = NULL;
	CLEANUP(freep) char *subject = NULL, *pem = NULL;
	CLEANUP(bytes_done) struct bytes der = { 0 };
	struct muster_error err;

	return pki_request_read(input->data, input->size, "the input", &request, &err) &&
	       pki_name_print(X509_REQ_get_subject_name(request), &subject, &err) &&
	       pki_request_der(request, &der, &err) && pki_request_pem(request, &pem, &err);
}

static bool make_request(const void *context)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(X509_REQ_freep) X509_REQ *request = NULL;
	struct muster_error err;

	(void)context;
	return pki_key_from_signer(&ours.signer, &key, &err) &&
	       pki_request_make(key, "CN=dev-1,O=Example", &request, &err);
}

static bool make_certificate(const void *context)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct pki_plan plan = { .role = context ? PKI_AUTHORITY : PKI_DEVICE,
				 .subject = "CN=dev-1,O=Example",
				 .registration_id = context ? NULL : "dev-1",
				 .path_length = PKI_ANY_PATH_LENGTH,
				 .valid_days = 1,
				 .now_ms = clock_wall_ms(),
				 .crl_url = "http://example.com/crl",
				 .issuer_key = issuer_key,
				 .issuer_certificate = issuer };
	struct muster_error err;

	if (!pki_key_from_signer(&ours.signer, &key, &err))
		return false;
	plan.key = key;
	return pki_certificate_make(&plan, &certificate, &err);
}

static bool make_authority(const void *context)
{
	static const char *const names[] = { "localhost", "127.0.0.1" };
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL, *server_key = NULL, *again = NULL;
	CLEANUP(X509_freep) X509 *certificate = NULL, *server = NULL;
	CLEANUP(secret_done) struct secret pem = { 0 };
	struct muster_error err;

	(void)context;
	return pki_authority_make("CA", 1, clock_wall_ms(), &key, &certificate, &err) &&
	       pki_server_certificate_make(key, certificate, names, 2, 1, clock_wall_ms(),
					   &server_key, &server, &err) &&
	       pki_private_key_pem(server_key, &pem, &err) &&
	       pki_private_key_read(&pem, &again, &err);
}

static bool wrap_key(const void *context)
{
	CLEANUP(bytes_done) struct bytes message = { 0 };
	struct muster_error err;

	(void)context;
	return pki_wrap(issuer, "a key", 5, &message, &err);
}

static bool verify_chain(const void *context)
{
	CLEANUP(X509_stack_freep) STACK_OF(X509) *chain = NULL;
	STACK_OF(X509) *roots = sk_X509_new_null();
	struct pki_chain_check check = { .certificate = issuer,
					 .roots = roots,
					 .at_ms = clock_wall_ms() };
	struct muster_error err;
	bool good;

	(void)context;
	good = roots && sk_X509_push(roots, issuer) > 0 && pki_chain_verify(&check, &chain, &err);
	sk_X509_free(roots);
	return good;
}

static void what_comes_from_outside(void **state)
{
	(void)state;
	each_allocation_fails_for("certificate", read_certificate);
	each_allocation_fails_for("certificate-request", read_request);
	each_allocation_fails_of("chain", verify_chain, NULL);
}

/* OpenSSL frees what it embeds when it has no memory while signing a certificate, so here it has. */
static void what_is_made_here(void **state)
{
	(void)state;
	memory.is_ours_only = true;
	each_allocation_fails_of("request", make_request, NULL);
	each_allocation_fails_of("certificate", make_certificate, NULL);
	each_allocation_fails_of("authority", make_certificate, &issuer);
	each_allocation_fails_of("server", make_authority, NULL);
	each_allocation_fails_of("wrap", wrap_key, NULL);
	memory.is_ours_only = false;
}

static int make_issuer(void **state)
{
	struct pki_plan plan = { .role = PKI_AUTHORITY,
				 .subject = "CN=root",
				 .path_length = PKI_ANY_PATH_LENGTH,
				 .valid_days = 10,
				 .now_ms = clock_wall_ms() };
	struct muster_error err;

	(void)state;
	assert_true(soft_signer_init(&ours, "ec-p256"));
	assert_true(soft_signer_init(&issuers, "rsa-2048"));
	assert_good(pki_key_from_signer(&issuers.signer, &issuer_key, &err), err);
	plan.key = issuer_key;
	assert_good(pki_certificate_make(&plan, &issuer, &err), err);
	return 0;
}

static int drop_issuer(void **state)
{
	(void)state;
	X509_free(issuer);
	EVP_PKEY_free(issuer_key);
	soft_signer_done(&ours);
	soft_signer_done(&issuers);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_from_outside),
		cmocka_unit_test(what_is_made_here),
	};

	memory_begin();
	return cmocka_run_group_tests(tests, make_issuer, drop_issuer);
}
