#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "muster/pki.h"

#include "pki-soft-signer.h"

static const char *const types[] = { "ec-p256", "ec-p384", "ec-p521", "rsa-2048", "ed25519" };

struct device {
	struct soft_signer soft;
	EVP_PKEY *key;
	X509 *certificate;
};

static void device_init(struct device *device, const char *type)
{
	struct pki_plan request = {
		.subject = "CN=dev-1",
		.registration_id = "dev-1",
		.valid_days = 30,
		.now_ms = clock_wall_ms(),
	};
	struct muster_error err = { 0 };

	assert_true(soft_signer_init(&device->soft, type));
	if (!pki_key_from_signer(&device->soft.signer, &device->key, &err))
		fail_msg("%s: %s", type, err.message);
	request.key = device->key;
	if (!pki_certificate_make(&request, &device->certificate, &err))
		fail_msg("%s: %s", type, err.message);
	assert_int_equal(ERR_peek_error(), 0);
}

static void device_done(struct device *device)
{
	X509_free(device->certificate);
	EVP_PKEY_free(device->key);
	soft_signer_done(&device->soft);
}

static void certificates_are_signed_by_the_signer(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		CLEANUP(device_done) struct device device = { 0 };

		device_init(&device, types[i]);
		assert_int_equal(device.soft.calls, 1);
		assert_int_equal(X509_verify(device.certificate, device.soft.key), 1);
		assert_true(pki_certificate_has_key(device.certificate, &device.soft.signer.spki));
		assert_int_equal(X509_check_private_key(device.certificate, device.key), 1);
	}
}

/* The plan has public halves only; the signer is asked by whoever calls. */
static bool make_by_message(struct soft_signer *soft, struct bytes *ret_der,
			    struct muster_error *err)
{
	uint8_t data[SIGNER_SIGNATURE_MAX];
	struct bytes signature = { data, 0 };
	struct pki_wanted wanted = { 0 };
	struct pki_linted *linted = NULL;
	struct pki_plan plan = {
		.subject = "CN=dev-1",
		.registration_id = "dev-1",
		.valid_days = 30,
		.now_ms = clock_wall_ms(),
	};
	bool good;

	assert_true(pki_public_key_read(&soft->signer.spki, &plan.key, err));
	if (!pki_certificate_lint(&plan, &linted, err) || !pki_linted_wants(linted, &wanted, err) ||
	    !soft->signer.sign(&soft->signer, wanted.scheme, wanted.hash, wanted.digest.data,
			       wanted.digest.size, data, &signature.size, err))
		fail_msg("%s", err->message);
	good = pki_linted_sign(linted, &signature, ret_der, err);
	bytes_done(&wanted.digest);
	pki_linted_free(linted);
	EVP_PKEY_free(plan.key);
	return good;
}

static void signers_can_be_asked_by_message(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct soft_signer soft;
		struct bytes der = { 0 };
		struct muster_error err;
		X509 *certificate = NULL;

		assert_true(soft_signer_init(&soft, types[i]));
		assert_true(make_by_message(&soft, &der, &err));
		assert_true(pki_certificate_read(der.data, der.size, "it", &certificate, &err));
		assert_int_equal(X509_verify(certificate, soft.key), 1);
		X509_free(certificate);
		bytes_done(&der);
		soft.is_lying = true;
		assert_false(make_by_message(&soft, &der, &err));
		assert_int_equal(err.cause, CAUSE_SIGNATURE_INVALID);
		assert_null(der.data);
		soft_signer_done(&soft);
	}
}

static void requests_are_signed_by_the_signer(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		CLEANUP(device_done) struct device device = { 0 };
		X509_REQ *request = X509_REQ_new();
		bool is_ed = strcmp(types[i], "ed25519") == 0;

		device_init(&device, types[i]);
		assert_int_equal(X509_REQ_set_pubkey(request, device.key), 1);
		assert_true(X509_REQ_sign(request, device.key, is_ed ? NULL : EVP_sha256()) > 0);
		assert_int_equal(X509_REQ_verify(request, device.soft.key), 1);
		assert_int_equal(device.soft.calls, 2);
		X509_REQ_free(request);
	}
}

static void the_private_half_stays_where_it_is(void **state)
{
	CLEANUP(device_done) struct device device = { 0 };
	CLEANUP(secret_done) struct secret pem = { 0 };
	struct muster_error err;

	(void)state;
	device_init(&device, "ec-p256");
	assert_false(pki_private_key_pem(device.key, &pem, &err));
	assert_int_equal(ERR_peek_error(), 0);
}

/* -- TLS --------------------------------------------------------------------------------------------------------- */

static int accept_any(int ok, X509_STORE_CTX *ctx)
{
	(void)ok, (void)ctx;
	return 1;
}

static SSL *make_server(SSL_CTX *ctx, EVP_PKEY **key, X509 **certificate, EVP_PKEY **authority_key,
			X509 **authority)
{
	static const char *const names[] = { "localhost", "127.0.0.1" };
	struct muster_error err;

	assert_true(pki_authority_make("test authority", 10, clock_wall_ms(), authority_key,
				       authority, &err));
	assert_true(pki_server_certificate_make(*authority_key, *authority, names, 2, 10,
						clock_wall_ms(), key, certificate, &err));
	assert_int_equal(SSL_CTX_use_certificate(ctx, *certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, *key), 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, accept_any);
	return SSL_new(ctx);
}

static SSL *make_client(SSL_CTX *ctx, const struct device *device, X509 *authority, int version)
{
	SSL *client;

	assert_int_equal(SSL_CTX_set_min_proto_version(ctx, version), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version), 1);
	assert_int_equal(SSL_CTX_use_certificate(ctx, device->certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, device->key), 1);
	assert_int_equal(SSL_CTX_check_private_key(ctx), 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), authority);
	client = SSL_new(ctx);
	assert_int_equal(SSL_set1_host(client, "localhost"), 1);
	return client;
}

/* True when both sides finish and the server has seen the device's certificate. */
static bool shake_hands(SSL *client, SSL *server, X509 *certificate)
{
	BIO *client_end = NULL, *server_end = NULL;
	X509 *seen;
	bool is_seen;

	assert_int_equal(BIO_new_bio_pair(&client_end, 0, &server_end, 0), 1);
	SSL_set_bio(client, client_end, client_end);
	SSL_set_bio(server, server_end, server_end);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	seen = SSL_get1_peer_certificate(server);
	is_seen = SSL_is_init_finished(client) && SSL_is_init_finished(server) && seen &&
		  X509_cmp(seen, certificate) == 0;
	X509_free(seen);
	ERR_clear_error();
	return is_seen;
}

static bool connect_as(struct device *device, int version)
{
	SSL_CTX *server_ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
	EVP_PKEY *key = NULL, *authority_key = NULL;
	X509 *certificate = NULL, *authority = NULL;
	SSL *server = make_server(server_ctx, &key, &certificate, &authority_key, &authority);
	SSL *client = make_client(client_ctx, device, authority, version);
	bool is_connected = shake_hands(client, server, device->certificate);

	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(server_ctx);
	EVP_PKEY_free(key);
	EVP_PKEY_free(authority_key);
	X509_free(certificate);
	X509_free(authority);
	return is_connected;
}

static void tls_clients_sign_by_the_signer(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		CLEANUP(device_done) struct device device = { 0 };

		device_init(&device, types[i]);
		for (size_t j = 0; j < ARRAY_SIZE(versions); j++) {
			device.soft.calls = 0;
			if (!connect_as(&device, versions[j]))
				fail_msg("%s over %x", types[i], (unsigned)versions[j]);
			assert_int_equal(device.soft.calls, 1);
		}
	}
}

static void a_refusal_inside_tls_can_be_read(void **state)
{
	CLEANUP(device_done) struct device device = { 0 };
	struct muster_error err = { 0 };

	(void)state;
	device_init(&device, "ec-p256");
	assert_false(pki_key_last_error(device.key, &err));
	device.soft.is_broken = true;
	assert_false(connect_as(&device, TLS1_3_VERSION));
	assert_true(pki_key_last_error(device.key, &err));
	assert_int_equal(err.cause, CAUSE_PIN_LOCKED);
	device.soft.is_broken = false;
	assert_true(connect_as(&device, TLS1_3_VERSION));
	assert_false(pki_key_last_error(device.key, &err));
	assert_false(pki_key_last_error(device.soft.key, &err));
	assert_int_equal(ERR_peek_error(), 0);
}

static void a_wrong_signature_never_leaves(void **state)
{
	CLEANUP(device_done) struct device device = { 0 };
	struct muster_error err = { 0 };

	(void)state;
	device_init(&device, "rsa-2048");
	device.soft.is_lying = true;
	assert_false(connect_as(&device, TLS1_2_VERSION));
	assert_true(pki_key_last_error(device.key, &err));
	assert_int_equal(err.cause, CAUSE_SIGNATURE_INVALID);
}

/* -- Software keys ------------------------------------------------------------------------------------------------- */

static void software_keys_come_back(void **state)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *again = NULL;
	CLEANUP(secret_done) struct secret pem = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(pki_private_key_pem(key, &pem, &err));
	assert_true(pki_private_key_read(&pem, &again, &err));
	assert_int_equal(EVP_PKEY_eq(key, again), 1);
	secret_shrink(&pem, pem.size / 2);
	assert_false(pki_private_key_read(&pem, &again, &err));
	assert_int_equal(err.cause, CAUSE_SECRET_INVALID);
	assert_int_equal(ERR_peek_error(), 0);
}

static void bytes_behind_a_public_key_are_refused(void **state)
{
	CLEANUP(soft_signer_done) struct soft_signer soft = { 0 };
	CLEANUP(bytes_done) struct bytes longer = { 0 };
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	uint8_t data[512] = { 0 };
	struct muster_error err;

	(void)state;
	assert_true(soft_signer_init(&soft, "ec-p256"));
	memcpy(data, soft.signer.spki.data, soft.signer.spki.size);
	assert_true(bytes_copy(&longer, data, soft.signer.spki.size + 1, &err));
	assert_false(pki_public_key_read(&longer, &key, &err));
	assert_true(pki_public_key_read(&soft.signer.spki, &key, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificates_are_signed_by_the_signer),
		cmocka_unit_test(signers_can_be_asked_by_message),
		cmocka_unit_test(requests_are_signed_by_the_signer),
		cmocka_unit_test(the_private_half_stays_where_it_is),
		cmocka_unit_test(tls_clients_sign_by_the_signer),
		cmocka_unit_test(a_refusal_inside_tls_can_be_read),
		cmocka_unit_test(a_wrong_signature_never_leaves),
		cmocka_unit_test(software_keys_come_back),
		cmocka_unit_test(bytes_behind_a_public_key_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
