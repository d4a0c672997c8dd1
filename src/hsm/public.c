#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "hsm-internal.h"
#include "muster/spki.h"

#define PARAMETERS_MAX 64
#define POINT_MAX 256
#define MODULUS_MAX 1024
#define EXPONENT_MAX 32

DEFINE_FREEP(BN_freep, BIGNUM *, BN_free)
DEFINE_FREEP(OSSL_PARAM_BLD_freep, OSSL_PARAM_BLD *, OSSL_PARAM_BLD_free)
DEFINE_FREEP(OSSL_PARAM_freep, OSSL_PARAM *, OSSL_PARAM_free)

/* Builds and checks: for a curve, that the point lies on it (with a cofactor of 1 it is of the right order then); for
 * RSA, that the modulus is odd, composite and has no small factors. */
static bool key_from_parameters(const char *algorithm, OSSL_PARAM *parameters, EVP_PKEY **ret_key,
				struct muster_error *err)
{
	CLEANUP(EVP_PKEY_CTX_freep)
	EVP_PKEY_CTX *making = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
	CLEANUP(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *checking = NULL;
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = NULL;

	if (!making || EVP_PKEY_fromdata_init(making) != 1 ||
	    EVP_PKEY_fromdata(making, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		return hsm_fail_openssl(err, CAUSE_HSM_ANSWER_INVALID,
					"reading the public key that the token shows");
	checking = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	if (!checking || EVP_PKEY_public_check_quick(checking) != 1)
		return hsm_fail_openssl(err, CAUSE_HSM_ANSWER_INVALID,
					"checking the public key that the token shows");
	*ret_key = TAKE_PTR(key);
	return true;
}

/* CKA_EC_POINT is a DER OCTET STRING by the standard and the bare point with some modules. The known size of the
 * point decides, for a bare point also begins with 04. Returns NULL when it is neither. */
static const uint8_t *point_of(const struct bytes *value, const struct hsm_key_type *type)
{
	size_t header = type->point_size < 128 ? 2 : 3;

	if (value->size == type->point_size)
		return value->data;
	if (value->size != type->point_size + header || value->data[0] != 0x04)
		return NULL;
	if (header == 3 ? value->data[1] != 0x81 || value->data[2] != type->point_size
			: value->data[1] != type->point_size)
		return NULL;
	return value->data + header;
}

static bool curve_key_build(const struct hsm_key_type *type, uint8_t *point, EVP_PKEY **ret_key,
			    struct muster_error *err)
{
	char group[8] = "";
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, type->point_size),
		OSSL_PARAM_construct_end(),
	};

	snprintf(group, sizeof(group), "%s", type->group);
	parameters[0].data_size = strlen(group);
	return key_from_parameters("EC", parameters, ret_key, err);
}

/* OpenSSL checks nothing of such a key; whoever uses it has to (pki does). */
static bool edwards_key_build(const uint8_t *point, size_t size, EVP_PKEY **ret_key,
			      struct muster_error *err)
{
	*ret_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point, size);
	return *ret_key || hsm_fail_openssl(err, CAUSE_HSM_ANSWER_INVALID,
					    "reading the public key that the token shows");
}

static bool curve_key_read(struct hsm *hsm, CK_OBJECT_HANDLE object, EVP_PKEY **ret_key,
			   const struct hsm_key_type **ret_type, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes curve = { 0 }, value = { 0 };
	const struct hsm_key_type *type;
	const uint8_t *point;

	if (!hsm_attribute_bytes(hsm, object, CKA_EC_PARAMS, PARAMETERS_MAX, &curve, err) ||
	    !hsm_attribute_bytes(hsm, object, CKA_EC_POINT, POINT_MAX, &value, err))
		return false;
	type = hsm_key_type_by_curve(&curve);
	if (!type || value.size == 0)
		return true;
	point = point_of(&value, type);
	if (!point)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "the token shows a point of %zu bytes for an %s key", value.size,
				   type->name);
	*ret_type = type;
	return type->key_type == CKK_EC_EDWARDS
		       ? edwards_key_build(point, type->point_size, ret_key, err)
		       : curve_key_build(type, value.data + (point - value.data), ret_key, err);
}

static bool rsa_key_build(const struct bytes *modulus, const struct bytes *exponent,
			  EVP_PKEY **ret_key, const struct hsm_key_type **ret_type,
			  struct muster_error *err)
{
	CLEANUP(BN_freep) BIGNUM *n = BN_bin2bn(modulus->data, (int)modulus->size, NULL);
	CLEANUP(BN_freep) BIGNUM *e = BN_bin2bn(exponent->data, (int)exponent->size, NULL);
	CLEANUP(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	CLEANUP(OSSL_PARAM_freep) OSSL_PARAM *parameters = NULL;

	if (!n || !e || !builder || !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) ||
	    !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e))
		return muster_fail_memory(err);
	parameters = OSSL_PARAM_BLD_to_param(builder);
	if (!parameters)
		return muster_fail_memory(err);
	*ret_type = hsm_key_type_by_modulus((unsigned)BN_num_bits(n));
	return key_from_parameters("RSA", parameters, ret_key, err);
}

static bool rsa_key_read(struct hsm *hsm, CK_OBJECT_HANDLE object, EVP_PKEY **ret_key,
			 const struct hsm_key_type **ret_type, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes modulus = { 0 }, exponent = { 0 };

	if (!hsm_attribute_bytes(hsm, object, CKA_MODULUS, MODULUS_MAX, &modulus, err) ||
	    !hsm_attribute_bytes(hsm, object, CKA_PUBLIC_EXPONENT, EXPONENT_MAX, &exponent, err))
		return false;
	if (modulus.size == 0 || exponent.size == 0)
		return true;
	return rsa_key_build(&modulus, &exponent, ret_key, ret_type, err);
}

bool hsm_key_type_read(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_KEY_TYPE *ret_type,
		       struct muster_error *err)
{
	CK_ATTRIBUTE attribute = { CKA_KEY_TYPE, ret_type, sizeof(*ret_type) };
	CK_RV rv = hsm->calls->C_GetAttributeValue(hsm->session, object, &attribute, 1);

	if (rv != CKR_OK)
		return hsm_fail(err, rv, "reading the type of a key");
	return attribute.ulValueLen == sizeof(*ret_type) ||
	       muster_fail(err, CAUSE_HSM_ANSWER_INVALID, "a key's type has %lu bytes",
			   attribute.ulValueLen);
}

bool hsm_public_read(struct hsm *hsm, CK_OBJECT_HANDLE object, EVP_PKEY **ret_key,
		     const struct hsm_key_type **ret_type, struct muster_error *err)
{
	CK_KEY_TYPE type;

	*ret_key = NULL;
	*ret_type = NULL;
	if (!hsm_key_type_read(hsm, object, &type, err))
		return false;
	if (type == CKK_EC || type == CKK_EC_EDWARDS)
		return curve_key_read(hsm, object, ret_key, ret_type, err);
	if (type == CKK_RSA)
		return rsa_key_read(hsm, object, ret_key, ret_type, err);
	return true;
}

bool hsm_public_of(struct hsm *hsm, CK_OBJECT_HANDLE private_key, const struct hsm_id *id,
		   EVP_PKEY **ret_key, const struct hsm_key_type **ret_type,
		   struct muster_error *err)
{
	CK_OBJECT_HANDLE handles[2];
	size_t count = 0;

	if (id->size > 0 &&
	    !hsm_objects_of_id(hsm, CKO_PUBLIC_KEY, id, handles, ARRAY_SIZE(handles), &count, err))
		return false;
	if (count > 1)
		return muster_fail(err, CAUSE_KEY_AMBIGUOUS,
				   "several public keys on token '%s' have the private key's ID",
				   HSM_LABEL(&hsm->token));
	return hsm_public_read(hsm, count == 1 ? handles[0] : private_key, ret_key, ret_type, err);
}

bool hsm_spki_of(EVP_PKEY *public_half, struct bytes *ret_spki, struct muster_error *err)
{
	return spki_write(public_half, ret_spki) ||
	       hsm_fail_openssl(err, CAUSE_HSM_ANSWER_INVALID, "encoding a public key");
}
