/* The services of vendors that hand out an EK certificate for a key: where to ask for which, and what they answer. Pure; the
 * asking is done by who has the network. */
#pragma once

#include <openssl/x509.h>

#include "muster/ek.h"

/* How a key is named in the URL. */
enum ek_service_form {
	EK_SERVICE_INTEL, /* base64url of SHA-256(modulus, exponent in three bytes), "=" as %3D */
	EK_SERVICE_AMD, /* hex of the first 16 bytes of SHA-256(00002222, exponent in four, modulus) */
};

struct ek_service {
	const char *vendor; /* as in the TCG's registry: "INTC" */
	enum ek_service_form form;
	const char *url;
};

/* By what the chip says of its maker; NULL when that vendor's service is not known. */
const struct ek_service *ek_service_find(const char *manufacturer);
/* `base` with or without a slash at its end. NULL when out of memory, or the key is no RSA key. Caller frees. */
char *ek_service_url(const char *base, enum ek_service_form form, const struct ek_public *ek);
/* A certificate in DER, or in JSON as Intel wraps it. */
bool ek_service_answer(const void *data, size_t size, X509 **ret_certificate,
		       struct muster_error *err) MUST_CHECK;
