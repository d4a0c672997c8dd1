#include "muster/ek-service.h"

#include <string.h>

#include <cjson/cJSON.h>

#include "ek-internal.h"
#include "muster/json.h"

#define EXPONENT 65537u

static const struct ek_service services[] = {
	{ "INTC", EK_SERVICE_INTEL, "https://ekop.intel.com/ekcertservice" },
	{ "AMD", EK_SERVICE_AMD, "https://ftpm.amd.com/pki/aia" },
};

const struct ek_service *ek_service_find(const char *manufacturer)
{
	for (size_t i = 0; i < ARRAY_SIZE(services); i++)
		if (strcmp(services[i].vendor, manufacturer) == 0)
			return &services[i];
	return NULL;
}

/* -- Where --------------------------------------------------------------------------------------------------------- */

static char *intel_name(const TPM2B_PUBLIC_KEY_RSA *modulus)
{
	CLEANUP(text_done) struct text hashed = TEXT_MAX(1024);
	CLEANUP(freep) char *name = NULL;
	uint8_t digest[SHA256_SIZE];

	text_add_bytes(&hashed, modulus->buffer, modulus->size);
	text_add_bytes(&hashed, "\x01\x00\x01", 3);
	if (hashed.failed)
		return NULL;
	sha256(digest, hashed.data, hashed.length);
	name = base64url_encode(digest, sizeof(digest));
	/* 32 bytes leave one place to fill, which the service wants filled. */
	return name ? text_format("%s%%3D", name) : NULL;
}

static char *amd_name(const TPM2B_PUBLIC_KEY_RSA *modulus)
{
	CLEANUP(text_done) struct text hashed = TEXT_MAX(1024);
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	text_add_bytes(&hashed, "\x00\x00\x22\x22\x00\x01\x00\x01", 8);
	text_add_bytes(&hashed, modulus->buffer, modulus->size);
	if (hashed.failed)
		return NULL;
	sha256(digest, hashed.data, hashed.length);
	return strdup(hex_encode(hex, digest, 16));
}

char *ek_service_url(const char *base, enum ek_service_form form, const struct ek_public *ek)
{
	CLEANUP(freep) char *name = NULL;
	struct muster_error ignored;
	size_t length = strlen(base);
	TPMT_PUBLIC area;

	if (!ek_public_unpack(ek, &area, &ignored) || area.type != TPM2_ALG_RSA ||
	    (area.parameters.rsaDetail.exponent != 0 &&
	     area.parameters.rsaDetail.exponent != EXPONENT))
		return NULL;
	name = form == EK_SERVICE_AMD ? amd_name(&area.unique.rsa) : intel_name(&area.unique.rsa);
	return name ? text_format("%s%s%s", base, length > 0 && base[length - 1] == '/' ? "" : "/",
				  name)
		    : NULL;
}

/* -- What ---------------------------------------------------------------------------------------------------------- */

/* The certificate is base64url with its fill, and that percent-encoded. */
static bool decode_text(const char *text, struct bytes *ret_der)
{
	size_t length = strlen(text);

	while (length >= 3 && memcmp(text + length - 3, "%3D", 3) == 0)
		length -= 3;
	while (length >= 1 && text[length - 1] == '=')
		length--;
	return base64url_decode(text, length, ret_der);
}

static bool answer_in_json(const void *data, size_t size, struct bytes *ret_der,
			   struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *root = NULL;
	const char *text;

	if (!json_parse(data, size, "the answer", &root, err))
		return false;
	text = json_text(root, "certificate");
	return (text && decode_text(text, ret_der)) ||
	       muster_fail(err, CAUSE_EK_CERTIFICATE_FETCH, "the answer has no certificate");
}

bool ek_service_answer(const void *data, size_t size, X509 **ret_certificate,
		       struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };
	bool is_json = size > 0 && *(const char *)data == '{';

	if (is_json && !answer_in_json(data, size, &der, err))
		return false;
	return ek_certificate_parse(is_json ? der.data : data, is_json ? der.size : size,
				    ret_certificate, NULL, err);
}
