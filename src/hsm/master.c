#include <stdio.h>
#include <string.h>

#include "hsm-internal.h"

#define MAC_SIZE 32

static bool master_find(struct hsm *hsm, const char *uri, CK_OBJECT_HANDLE *ret_key,
			struct muster_error *err)
{
	size_t count;

	if (!hsm_object_of_uri(hsm, CKO_SECRET_KEY, uri, ret_key, &count, err))
		return false;
	if (count == 0)
		return muster_fail(err, CAUSE_KEY_NOT_FOUND,
				   "no secret key on token '%s' matches '%s'",
				   HSM_LABEL(&hsm->token), PRINTABLE(uri));
	return count == 1 ||
	       muster_fail(err, CAUSE_KEY_AMBIGUOUS, "several secret keys on token '%s' match '%s'",
			   HSM_LABEL(&hsm->token), PRINTABLE(uri));
}

bool hsm_hmac(struct hsm *hsm, const char *uri, const struct bytes *data, uint8_t mac[32],
	      char attributes[HSM_ATTRIBUTES_SIZE], struct muster_error *err)
{
	CK_MECHANISM mechanism = { CKM_SHA256_HMAC, NULL, 0 };
	uint8_t answer[4 * MAC_SIZE];
	CK_ULONG size = sizeof(answer);
	CK_OBJECT_HANDLE key;
	CK_RV rv;

	if (!hsm_require_login(hsm, err) ||
	    !hsm_require_mechanism(hsm, CKM_SHA256_HMAC, CKF_SIGN, "HMAC-SHA256", err) ||
	    !master_find(hsm, uri, &key, err) ||
	    !hsm_attributes_read(hsm, key, false, attributes, err))
		return false;
	rv = hsm->calls->C_SignInit(hsm->session, &mechanism, key);
	if (rv == CKR_OK)
		rv = hsm->calls->C_Sign(hsm->session, data->data, data->size, answer, &size);
	if (rv != CKR_OK)
		return hsm_fail(err, rv, "computing an HMAC on token '%s'", HSM_LABEL(&hsm->token));
	if (size != MAC_SIZE)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "token '%s' gave an HMAC-SHA256 of %lu bytes",
				   HSM_LABEL(&hsm->token), size);
	memcpy(mac, answer, MAC_SIZE);
	return true;
}

/* CKM_SHA256_HMAC takes a generic secret everywhere; a CKK_SHA256_HMAC key some modules cannot make. */
static bool master_make(struct hsm *hsm, const struct hsm_id *id, const char *label, unsigned bits,
			CK_OBJECT_HANDLE *ret_key, struct muster_error *err)
{
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_ULONG size = bits / 8;
	struct hsm_id key_id = *id;
	char name[256];
	CK_ATTRIBUTE template[] = {
		{ CKA_KEY_TYPE, &type, sizeof(type) }, { CKA_VALUE_LEN, &size, sizeof(size) },
		{ CKA_TOKEN, &yes, sizeof(yes) },      { CKA_PRIVATE, &yes, sizeof(yes) },
		{ CKA_SENSITIVE, &yes, sizeof(yes) },  { CKA_EXTRACTABLE, &no, sizeof(no) },
		{ CKA_SIGN, &yes, sizeof(yes) },       { CKA_VERIFY, &no, sizeof(no) },
		{ CKA_ENCRYPT, &no, sizeof(no) },      { CKA_DECRYPT, &no, sizeof(no) },
		{ CKA_WRAP, &no, sizeof(no) },         { CKA_UNWRAP, &no, sizeof(no) },
		{ CKA_DERIVE, &no, sizeof(no) },       { CKA_ID, key_id.data, key_id.size },
		{ CKA_LABEL, name, strlen(label) },
	};
	CK_MECHANISM mechanism = { CKM_GENERIC_SECRET_KEY_GEN, NULL, 0 };
	CK_RV rv;

	snprintf(name, sizeof(name), "%s", label);
	rv = hsm->calls->C_GenerateKey(hsm->session, &mechanism, template, ARRAY_SIZE(template),
				       ret_key);
	return rv == CKR_OK ||
	       hsm_fail(err, rv, "making a master key on token '%s'", HSM_LABEL(&hsm->token));
}

bool hsm_master_generate(struct hsm *hsm, const struct hsm_id *id, const char *label, unsigned bits,
			 char attributes[HSM_ATTRIBUTES_SIZE], struct muster_error *err)
{
	CK_OBJECT_HANDLE key;

	if (!hsm_require_login(hsm, err))
		return false;
	if (bits < 256 || bits > 512 || bits % 8 != 0 || strlen(label) > 255)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL,
				   "a master key has 256 to 512 bits, its label at most 255 bytes");
	if (!hsm_require_mechanism(hsm, CKM_GENERIC_SECRET_KEY_GEN, CKF_GENERATE,
				   "making a generic secret", err) ||
	    !hsm_id_is_free(hsm, id, err) || !master_make(hsm, id, label, bits, &key, err))
		return false;
	if (!hsm_attributes_read(hsm, key, true, attributes, err)) {
		hsm->calls->C_DestroyObject(hsm->session, key);
		return false;
	}
	return true;
}
