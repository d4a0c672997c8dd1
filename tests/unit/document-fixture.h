/* What the tests of enrollment documents share: texts of documents, and two certificates. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "muster/dps-document.h"
#include "muster/encoding.h"
#include "muster/json.h"

#define KEY16 "AAECAwQFBgcICQoLDA0ODw=="
#define ID "\"registrationId\":\"dev-1\","
#define TPM "\"attestation\":{\"type\":\"tpm\",\"tpm\":{\"endorsementKey\":\"AToA\"}}"
#define TPM_DOCUMENT "{" ID TPM "}"

/* Two certificates, made once: DER, PEM and base64 of each. */
static struct {
	struct bytes der;
	char *pem, *base64, *base64_pem;
	char thumbprint[SHA256_HEX_SIZE];
} certificates[2];

static void make_certificate(size_t which)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	BIO *bio = BIO_new(BIO_s_mem());
	uint8_t *der = NULL;
	char *data;
	int size;
	long length;

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"dev-1", -1, -1,
				   0);
	X509_set_issuer_name(certificate, name);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), (long)which + 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	size = i2d_X509(certificate, &der);
	assert_true(size > 0);
	certificates[which].der = (struct bytes){ der, (size_t)size };
	certificates[which].base64 = base64_encode(der, (size_t)size);
	sha256_hex(certificates[which].thumbprint, der, (size_t)size);
	PEM_write_bio_X509(bio, certificate);
	length = BIO_get_mem_data(bio, &data);
	certificates[which].pem = strndup(data, (size_t)length);
	certificates[which].base64_pem = base64_encode(data, (size_t)length);
	BIO_free(bio);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static int make_certificates(void **state)
{
	(void)state;
	make_certificate(0);
	make_certificate(1);
	return 0;
}

static int drop_certificates(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		OPENSSL_free(certificates[i].der.data);
		free(certificates[i].pem);
		free(certificates[i].base64);
		free(certificates[i].base64_pem);
	}
	return 0;
}

static inline cJSON *parse(const char *text)
{
	struct muster_error err;
	cJSON *root = NULL;

	if (!json_parse(text, strlen(text), "the test's document", &root, &err))
		fail_msg("%s: %s", text, err.message);
	return root;
}
