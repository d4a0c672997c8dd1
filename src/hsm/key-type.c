#include <string.h>

#include "hsm-internal.h"

#define OID(text) text, sizeof(text) - 1

/* Object identifiers of the curves: SEC 2, RFC 5480 2.1.1.1; RFC 8410 for Ed25519, which tokens may also
 * show by name. */
/* clang-format off */
static const struct hsm_key_type types[] = {
	{ "ec-p256",  CKK_EC,  CKM_EC_KEY_PAIR_GEN,       256,  "P-256", OID("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"), 65 },
	{ "ec-p384",  CKK_EC,  CKM_EC_KEY_PAIR_GEN,       384,  "P-384", OID("\x06\x05\x2b\x81\x04\x00\x22"), 97 },
	{ "ec-p521",  CKK_EC,  CKM_EC_KEY_PAIR_GEN,       521,  "P-521", OID("\x06\x05\x2b\x81\x04\x00\x23"), 133 },
	{ "ed25519",  CKK_EC_EDWARDS, CKM_EC_EDWARDS_KEY_PAIR_GEN, 255, "ED25519", OID("\x06\x03\x2b\x65\x70"), 32 },
	{ "ed25519",  CKK_EC_EDWARDS, CKM_EC_EDWARDS_KEY_PAIR_GEN, 255, "ED25519", OID("\x13\x0c""edwards25519"), 32 },
	{ "rsa-2048", CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN, 2048, NULL,    NULL, 0, 0 },
	{ "rsa-3072", CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN, 3072, NULL,    NULL, 0, 0 },
	{ "rsa-4096", CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN, 4096, NULL,    NULL, 0, 0 },
};
/* clang-format on */

const struct hsm_key_type *hsm_key_type_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i].name, name) == 0)
			return &types[i];
	return NULL;
}

const struct hsm_key_type *hsm_key_type_by_curve(const struct bytes *parameters)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].parameters && types[i].parameters_size == parameters->size &&
		    memcmp(types[i].parameters, parameters->data, parameters->size) == 0)
			return &types[i];
	return NULL;
}

const struct hsm_key_type *hsm_key_type_by_modulus(unsigned bits)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].key_type == CKK_RSA && types[i].bits == bits)
			return &types[i];
	return NULL;
}
