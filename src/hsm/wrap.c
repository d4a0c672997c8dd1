/* A key leaves the token under an AES key of its own, which leaves under the recipient's RSA key. Both together are what
 * PKCS#11 calls CKM_RSA_AES_KEY_WRAP, made of parts, because few modules have it in one. */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "muster/encoding.h"

#include "hsm-internal.h"

enum { AES_SIZE = 32, WRAPPED_MAX = 16384, MODULUS_MAX = 1024, PROBE_SIZE = 20 };

DEFINE_FREEP(EVP_CIPHER_CTX_freep, EVP_CIPHER_CTX *, EVP_CIPHER_CTX_free)

/* An object of the session that goes when we are done. */
struct guest {
	struct hsm *hsm;
	CK_OBJECT_HANDLE handle;
};

static void guest_leave(struct guest *guest)
{
	if (!guest->handle)
		return;
	hsm_objects_lock(guest->hsm);
	guest->hsm->calls->C_DestroyObject(guest->hsm->session, guest->handle);
	hsm_objects_unlock(guest->hsm);
}

/* Makes it, by a mechanism or of the template alone (NULL), or has nothing to leave. */
static CK_RV guest_come(struct hsm *hsm, CK_MECHANISM *mechanism, CK_ATTRIBUTE *template,
			CK_ULONG count, struct guest *ret_guest)
{
	CK_OBJECT_HANDLE handle = 0;
	CK_RV rv;

	hsm_objects_lock(hsm);
	rv = mechanism
		     ? hsm->calls->C_GenerateKey(hsm->session, mechanism, template, count, &handle)
		     : hsm->calls->C_CreateObject(hsm->session, template, count, &handle);
	hsm_objects_unlock(hsm);
	*ret_guest = (struct guest){ hsm, rv == CKR_OK ? handle : 0 };
	return rv;
}

/* -- How the token wraps -------------------------------------------------------------------------------------------- */

static const struct {
	CK_MECHANISM_TYPE type;
	const char *name;
} wrappings[] = {
	{ CKM_AES_KEY_WRAP_KWP, "AES-256 CKM_AES_KEY_WRAP_KWP" },
	{ CKM_AES_KEY_WRAP_PAD, "AES-256 CKM_AES_KEY_WRAP_PAD" },
};

static bool offers(struct hsm *hsm, CK_MECHANISM_TYPE type)
{
	CK_MECHANISM_INFO info = { 0 };

	return hsm->calls->C_GetMechanismInfo(hsm->slot_id, type, &info) == CKR_OK &&
	       (info.flags & CKF_WRAP);
}

static bool choose(struct hsm *hsm, size_t *ret_row, struct muster_error *err)
{
	for (*ret_row = 0; *ret_row < ARRAY_SIZE(wrappings); ++*ret_row)
		if (offers(hsm, wrappings[*ret_row].type))
			return true;
	return muster_fail(
		err, CAUSE_HSM_UNSUPPORTED,
		"token '%s' offers neither CKM_AES_KEY_WRAP_KWP nor CKM_AES_KEY_WRAP_PAD",
		HSM_LABEL(&hsm->token));
}

bool hsm_require_wrapping(struct hsm *hsm, struct muster_error *err)
{
	size_t row;

	return choose(hsm, &row, err) &&
	       hsm_require_mechanism(hsm, CKM_RSA_PKCS_OAEP, CKF_WRAP, "wrapping by RSA-OAEP", err);
}

/* CKR_OK and the wrapped key, or why not. */
static CK_RV wrap(struct hsm *hsm, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping,
		  CK_OBJECT_HANDLE key, uint8_t *out, size_t max, size_t *ret_size)
{
	CK_ULONG size = max;
	CK_RV rv = hsm->calls->C_WrapKey(hsm->session, mechanism, wrapping, key, out, &size);

	*ret_size = size;
	return rv == CKR_OK && (size == 0 || size > max) ? CKR_BUFFER_TOO_SMALL : rv;
}

/* -- Does it wrap as RFC 5649 says? ------------------------------------------------------------------------------- */

/* A secret of the session with a value that we know. */
static bool put_secret(struct hsm *hsm, CK_KEY_TYPE type, const uint8_t *value, size_t size,
		       struct guest *ret_guest, struct muster_error *err)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_BBOOL wraps = type == CKK_AES;
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_KEY_TYPE, &type, sizeof(type) },
		BOOLEAN(CKA_TOKEN, &no),
		BOOLEAN(CKA_PRIVATE, &yes),
		BOOLEAN(CKA_EXTRACTABLE, &yes),
		BOOLEAN(CKA_WRAP, &wraps),
		{ CKA_VALUE, (void *)(uintptr_t)value, size },
	};
	CK_RV rv = guest_come(hsm, NULL, template, ARRAY_SIZE(template), ret_guest);

	return rv == CKR_OK ||
	       hsm_fail(err, rv, "trying how token '%s' wraps", HSM_LABEL(&hsm->token));
}

bool hsm_unwrap_in_software(const uint8_t *key, const uint8_t *wrapped, size_t size, uint8_t *out,
			    size_t *ret_size)
{
	CLEANUP(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int used = 0, last = 0;
	bool good;

	if (!context)
		return false;
	EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	good = EVP_DecryptInit_ex(context, EVP_aes_256_wrap_pad(), NULL, key, NULL) == 1 &&
	       EVP_DecryptUpdate(context, out, &used, wrapped, (int)size) == 1 &&
	       EVP_DecryptFinal_ex(context, out + used, &last) == 1;
	ERR_clear_error();
	*ret_size = (size_t)(used + last);
	return good;
}

/* Some modules fill up with zeros before they wrap; behind a key in DER that does no harm. */
static bool is_probe(const uint8_t *probe, const uint8_t *out, size_t size)
{
	static const uint8_t zeros[8];

	return size >= PROBE_SIZE && size - PROBE_SIZE < sizeof(zeros) &&
	       memcmp(out, probe, PROBE_SIZE) == 0 &&
	       memcmp(out + PROBE_SIZE, zeros, size - PROBE_SIZE) == 0;
}

static bool try_form(struct hsm *hsm, size_t row, struct muster_error *err)
{
	CK_MECHANISM mechanism = { wrappings[row].type, NULL, 0 };
	CLEANUP(guest_leave) struct guest wrapping = { 0 }, key = { 0 };
	uint8_t aes[AES_SIZE], probe[PROBE_SIZE], wrapped[64], out[64];
	size_t size, opened;
	CK_RV rv;

	if (!random_bytes(aes, sizeof(aes), err) || !random_bytes(probe, sizeof(probe), err) ||
	    !put_secret(hsm, CKK_AES, aes, sizeof(aes), &wrapping, err) ||
	    !put_secret(hsm, CKK_GENERIC_SECRET, probe, sizeof(probe), &key, err))
		return false;
	rv = wrap(hsm, &mechanism, wrapping.handle, key.handle, wrapped, sizeof(wrapped), &size);
	if (rv != CKR_OK)
		return hsm_fail(err, rv, "trying how token '%s' wraps", HSM_LABEL(&hsm->token));
	return (hsm_unwrap_in_software(aes, wrapped, size, out, &opened) &&
		is_probe(probe, out, opened)) ||
	       muster_fail(
		       err, CAUSE_HSM_UNSUPPORTED,
		       "token '%s' wraps otherwise than RFC 5649 says, and no device could unwrap it",
		       HSM_LABEL(&hsm->token));
}

/* PKCS#11 2.40 left open how WRAP_PAD pads, and modules differ. What the device cannot open is not wrapped. Tried once for
 * a token that is open. */
static bool check_form(struct hsm *hsm, size_t row, struct muster_error *err)
{
	struct hsm *owner = hsm->owner ? hsm->owner : hsm;

	if (owner->forms & 1u << row)
		return true;
	if (!try_form(hsm, row, err))
		return false;
	owner->forms |= 1u << row;
	return true;
}

/* -- The recipient ---------------------------------------------------------------------------------------------------- */

static size_t number_of(EVP_PKEY *key, const char *name, uint8_t *out, size_t max)
{
	BIGNUM *number = NULL;
	size_t size = 0;

	if (EVP_PKEY_get_bn_param(key, name, &number) == 1 && BN_num_bytes(number) <= (int)max)
		size = (size_t)BN_bn2bin(number, out);
	BN_free(number);
	ERR_clear_error();
	return size;
}

static bool put_recipient(struct hsm *hsm, const struct bytes *spki, struct guest *ret_guest,
			  struct muster_error *err)
{
	const unsigned char *at = spki->data;
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki->size);
	uint8_t modulus[MODULUS_MAX], exponent[16];
	size_t modulus_size = key ? number_of(key, "n", modulus, sizeof(modulus)) : 0;
	size_t exponent_size = key ? number_of(key, "e", exponent, sizeof(exponent)) : 0;
	CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
	CK_KEY_TYPE type = CKK_RSA;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_KEY_TYPE, &type, sizeof(type) },
		BOOLEAN(CKA_TOKEN, &no),
		BOOLEAN(CKA_PRIVATE, &no),
		BOOLEAN(CKA_WRAP, &yes),
		BOOLEAN(CKA_ENCRYPT, &no),
		BOOLEAN(CKA_VERIFY, &no),
		{ CKA_MODULUS, modulus, modulus_size },
		{ CKA_PUBLIC_EXPONENT, exponent, exponent_size },
	};
	CK_RV rv;

	ERR_clear_error();
	if (modulus_size < 256 || exponent_size == 0)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL,
				   "the recipient's key is not RSA of 2048 to 8192 bits");
	rv = guest_come(hsm, NULL, template, ARRAY_SIZE(template), ret_guest);
	return rv == CKR_OK || hsm_fail(err, rv, "bringing the recipient's key to token '%s'",
					HSM_LABEL(&hsm->token));
}

static bool make_aes(struct hsm *hsm, struct guest *ret_guest, struct muster_error *err)
{
	CK_MECHANISM mechanism = { CKM_AES_KEY_GEN, NULL, 0 };
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_ULONG size = AES_SIZE;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_KEY_TYPE, &type, sizeof(type) },
		{ CKA_VALUE_LEN, &size, sizeof(size) },
		BOOLEAN(CKA_TOKEN, &no),
		BOOLEAN(CKA_PRIVATE, &yes),
		BOOLEAN(CKA_SENSITIVE, &yes),
		BOOLEAN(CKA_EXTRACTABLE, &yes),
		BOOLEAN(CKA_WRAP, &yes),
		BOOLEAN(CKA_UNWRAP, &no),
		BOOLEAN(CKA_ENCRYPT, &no),
		BOOLEAN(CKA_DECRYPT, &no),
	};
	CK_RV rv = guest_come(hsm, &mechanism, template, ARRAY_SIZE(template), ret_guest);

	return rv == CKR_OK ||
	       hsm_fail(err, rv, "making a wrapping key on token '%s'", HSM_LABEL(&hsm->token));
}

/* -- Both layers ------------------------------------------------------------------------------------------------------ */

static bool is_about_parameters(CK_RV rv)
{
	return rv == CKR_ARGUMENTS_BAD || rv == CKR_MECHANISM_PARAM_INVALID ||
	       rv == CKR_MECHANISM_INVALID;
}

/* SHA-256 where the token can. */
static bool wrap_aes(struct hsm *hsm, CK_OBJECT_HANDLE recipient, CK_OBJECT_HANDLE aes,
		     uint8_t *out, size_t max, size_t *ret_size, const char **ret_name,
		     struct muster_error *err)
{
	static const struct {
		CK_MECHANISM_TYPE hash;
		CK_RSA_PKCS_MGF_TYPE mask;
		const char *name;
	} rows[] = {
		{ CKM_SHA256, CKG_MGF1_SHA256, "RSA-OAEP SHA-256" },
		{ CKM_SHA_1, CKG_MGF1_SHA1, "RSA-OAEP SHA-1" },
	};
	CK_RV rv = CKR_OK;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CK_RSA_PKCS_OAEP_PARAMS parameters = { .hash_alg = rows[i].hash,
						       .mgf = rows[i].mask,
						       .source = CKZ_DATA_SPECIFIED };
		CK_MECHANISM mechanism = { CKM_RSA_PKCS_OAEP, &parameters, sizeof(parameters) };

		*ret_name = rows[i].name;
		rv = wrap(hsm, &mechanism, recipient, aes, out, max, ret_size);
		if (!is_about_parameters(rv))
			break;
	}
	return rv == CKR_OK ||
	       hsm_fail(err, rv, "wrapping a wrapping key on token '%s'", HSM_LABEL(&hsm->token));
}

bool hsm_wrap_object(struct hsm *hsm, CK_OBJECT_HANDLE key, const struct bytes *recipient_spki,
		     uint8_t *out, size_t max, size_t *ret_size, char method[HSM_METHOD_SIZE],
		     struct muster_error *err)
{
	CLEANUP(guest_leave) struct guest recipient = { 0 }, aes = { 0 };
	CK_MECHANISM mechanism = { 0 };
	const char *oaep;
	size_t row, first, second;
	CK_RV rv;

	if (!hsm_require_wrapping(hsm, err) || !choose(hsm, &row, err) ||
	    !check_form(hsm, row, err) || !put_recipient(hsm, recipient_spki, &recipient, err) ||
	    !make_aes(hsm, &aes, err) ||
	    !wrap_aes(hsm, recipient.handle, aes.handle, out, max, &first, &oaep, err))
		return false;
	mechanism.mechanism = wrappings[row].type;
	rv = wrap(hsm, &mechanism, aes.handle, key, out + first, max - first, &second);
	if (rv != CKR_OK)
		return hsm_fail(err, rv, "wrapping a key out of token '%s'",
				HSM_LABEL(&hsm->token));
	*ret_size = first + second;
	snprintf(method, HSM_METHOD_SIZE, "%s, %s", oaep, wrappings[row].name);
	return true;
}

bool hsm_wrap_out(struct hsm *hsm, const struct hsm_id *id, const struct bytes *recipient_spki,
		  struct bytes *ret_wrapped, char method[HSM_METHOD_SIZE], struct muster_error *err)
{
	char attributes[HSM_ATTRIBUTES_SIZE];
	uint8_t wrapped[WRAPPED_MAX];
	CK_OBJECT_HANDLE key;
	size_t size;

	/* Without a login a private key is not to be seen, and would be missing for good. */
	return hsm_require_login(hsm, err) && hsm_private_key(hsm, id, &key, err) &&
	       hsm_attributes_hold(hsm, key, HSM_LEAVES, attributes, err) &&
	       hsm_wrap_object(hsm, key, recipient_spki, wrapped, sizeof(wrapped), &size, method,
			       err) &&
	       bytes_copy(ret_wrapped, wrapped, size, err);
}

/* -- What may not leave ------------------------------------------------------------------------------------------------ */

static const CK_MECHANISM_TYPE ways_out[] = { CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD,
					      CKM_AES_KEY_WRAP };

bool hsm_has_way_out(struct hsm *hsm)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways_out); i++)
		if (offers(hsm, ways_out[i]))
			return true;
	return false;
}

bool hsm_keeps(struct hsm *hsm, CK_OBJECT_HANDLE key, bool *ret_keeps, struct muster_error *err)
{
	CLEANUP(guest_leave) struct guest aes = { 0 };
	uint8_t wrapped[512];
	size_t size;

	*ret_keeps = true;
	for (size_t i = 0; i < ARRAY_SIZE(ways_out); i++) {
		CK_MECHANISM mechanism = { ways_out[i], NULL, 0 };

		if (!offers(hsm, ways_out[i]))
			continue;
		if (!aes.handle && !make_aes(hsm, &aes, err))
			return false;
		if (wrap(hsm, &mechanism, aes.handle, key, wrapped, sizeof(wrapped), &size) ==
		    CKR_OK)
			*ret_keeps = false;
	}
	secret_wipe(wrapped, sizeof(wrapped));
	return true;
}
