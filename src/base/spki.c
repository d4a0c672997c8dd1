#include "muster/spki.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/x509.h>

#include "muster/cleanup.h"

DEFINE_FREEP(EVP_PKEY_freep, EVP_PKEY *, EVP_PKEY_free)
DEFINE_FREEP(EVP_PKEY_CTX_freep, EVP_PKEY_CTX *, EVP_PKEY_CTX_free)

#define HEADER(text) (const uint8_t *)(text), sizeof(text) - 1

/* RFC 5480 2: everything up to the point, which is not compressed. */
static const struct curve {
	const char *group;
	const uint8_t *header;
	size_t header_size, point_size;
} curves[] = {
	{ "prime256v1",
	  HEADER("\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d"
		 "\x03\x01\x07\x03\x42\x00"),
	  65 },
	{ "secp384r1",
	  HEADER("\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22"
		 "\x03\x62\x00"),
	  97 },
	{ "secp521r1",
	  HEADER("\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00"
		 "\x23\x03\x81\x86\x00"),
	  133 },
};

enum { HEADER_MAX = 26, POINT_MAX = 133 };

/* -- Reading -------------------------------------------------------------------------------------------------------- */

static const struct curve *curve_of_bytes(const struct bytes *spki)
{
	for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
		if (spki->size == curves[i].header_size + curves[i].point_size &&
		    memcmp(spki->data, curves[i].header, curves[i].header_size) == 0 &&
		    spki->data[curves[i].header_size] == POINT_CONVERSION_UNCOMPRESSED)
			return &curves[i];
	return NULL;
}

/* OpenSSL refuses a point that is not on its curve. */
static EVP_PKEY *read_point(const struct curve *curve, const uint8_t *point)
{
	CLEANUP(EVP_PKEY_CTX_freep)
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
						 (char *)(uintptr_t)curve->group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point,
						  curve->point_size),
		OSSL_PARAM_construct_end(),
	};

	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		return NULL;
	return TAKE_PTR(key);
}

EVP_PKEY *spki_read(const struct bytes *spki)
{
	const struct curve *curve = curve_of_bytes(spki);
	const uint8_t *cursor = spki->data;
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;

	if (curve)
		return read_point(curve, spki->data + curve->header_size);
	key = d2i_PUBKEY(NULL, &cursor, (long)spki->size);
	if (key && cursor != spki->data + spki->size)
		return NULL;
	return TAKE_PTR(key);
}

/* -- Writing -------------------------------------------------------------------------------------------------------- */

static bool has_text(const EVP_PKEY *key, const char *parameter, const char *wanted)
{
	char text[64] = "";
	size_t size;

	return EVP_PKEY_get_utf8_string_param(key, parameter, text, sizeof(text), &size) == 1 &&
	       strcmp(text, wanted) == 0;
}

/* Of a key whose curve is written by its name. */
static const struct curve *curve_of_key(const EVP_PKEY *key)
{
	if (!EVP_PKEY_is_a(key, "EC") ||
	    !has_text(key, OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_GROUP))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
		if (has_text(key, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group))
			return &curves[i];
	return NULL;
}

/* False when the key would rather have its point compressed. */
static bool write_point(const struct curve *curve, const EVP_PKEY *key, uint8_t *der)
{
	uint8_t *point = der + curve->header_size;
	size_t size = 0;

	memcpy(der, curve->header, curve->header_size);
	return EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point,
					       curve->point_size, &size) == 1 &&
	       size == curve->point_size && *point == POINT_CONVERSION_UNCOMPRESSED;
}

static bool write_by_openssl(const EVP_PKEY *key, struct bytes *ret_spki)
{
	struct muster_error no_memory;
	uint8_t *der = NULL;
	int size = i2d_PUBKEY(key, &der);
	bool good = size > 0 && bytes_copy(ret_spki, der, (size_t)size, &no_memory);

	OPENSSL_free(der);
	return good;
}

bool spki_write(const EVP_PKEY *key, struct bytes *ret_spki)
{
	const struct curve *curve = curve_of_key(key);
	uint8_t der[HEADER_MAX + POINT_MAX];
	struct muster_error no_memory;

	if (!curve || !write_point(curve, key, der))
		return write_by_openssl(key, ret_spki);
	return bytes_copy(ret_spki, der, curve->header_size + curve->point_size, &no_memory);
}
