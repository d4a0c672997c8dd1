#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hsm-internal.h"

#define MAC_SIZE 32

static bool master_find(struct hsm *hsm, const char *uri, CK_OBJECT_HANDLE *ret_key,
			struct muster_error *err)
{
	CK_OBJECT_HANDLE handles[2] = { 0 };
	size_t count;

	if (!hsm_objects_of_uri(hsm, CKO_SECRET_KEY, uri, handles, 2, &count, err))
		return false;
	if (count == 0)
		return muster_fail(err, CAUSE_KEY_NOT_FOUND,
				   "no secret key on token '%s' matches '%s'",
				   HSM_LABEL(&hsm->token), PRINTABLE(uri));
	if (count > 1)
		return hsm_fail_several(hsm, "secret keys", handles, count, err);
	*ret_key = handles[0];
	return true;
}

/* Finds the key and reads what it is; once for all batches of a session. */
static bool master_prepare(struct hsm *hsm, const char *uri, struct muster_error *err)
{
	struct hsm_deriving *deriving = &hsm->deriving;
	CK_OBJECT_HANDLE key;

	if (deriving->uri && strcmp(deriving->uri, uri) == 0)
		return true;
	free(deriving->uri);
	deriving->uri = NULL;
	if (!master_find(hsm, uri, &key, err) ||
	    !hsm_attributes_read(hsm, key, deriving->attributes, err))
		return false;
	deriving->key = key;
	deriving->uri = strdup(uri);
	return deriving->uri || muster_fail_memory(err);
}

static bool master_take(struct hsm *hsm, const char *uri, CK_OBJECT_HANDLE *ret_key,
			char attributes[HSM_ATTRIBUTES_SIZE], struct muster_error *err)
{
	if (!hsm_require_login(hsm, err) ||
	    !hsm_require_mechanism(hsm, CKM_SHA256_HMAC, CKF_SIGN, "HMAC-SHA256", err) ||
	    !master_prepare(hsm, uri, err))
		return false;
	*ret_key = hsm->deriving.key;
	memcpy(attributes, hsm->deriving.attributes, HSM_ATTRIBUTES_SIZE);
	return true;
}

static bool compute(struct hsm *hsm, CK_OBJECT_HANDLE key, const uint8_t *data, size_t size,
		    uint8_t mac[MAC_SIZE], struct muster_error *err)
{
	CK_MECHANISM mechanism = { CKM_SHA256_HMAC, NULL, 0 };
	uint8_t answer[4 * MAC_SIZE];
	CK_ULONG answer_size = sizeof(answer);
	CK_RV rv = hsm->calls->C_SignInit(hsm->session, &mechanism, key);

	if (rv == CKR_OK)
		rv = hsm->calls->C_Sign(hsm->session, (CK_BYTE *)(uintptr_t)data, size, answer,
					&answer_size);
	if (rv != CKR_OK)
		return hsm_fail(err, rv, "computing an HMAC on token '%s'", HSM_LABEL(&hsm->token));
	if (answer_size != MAC_SIZE)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "token '%s' gave an HMAC-SHA256 of %lu bytes",
				   HSM_LABEL(&hsm->token), answer_size);
	memcpy(mac, answer, MAC_SIZE);
	secret_wipe(answer, sizeof(answer));
	return true;
}

bool hsm_hmac(struct hsm *hsm, const char *uri, const struct bytes *data, uint8_t mac[32],
	      char attributes[HSM_ATTRIBUTES_SIZE], struct muster_error *err)
{
	CK_OBJECT_HANDLE key;

	return master_take(hsm, uri, &key, attributes, err) &&
	       compute(hsm, key, data->data, data->size, mac, err);
}

bool hsm_master_find(struct hsm *hsm, const char *uri, struct hsm_object *ret_object,
		     struct muster_error *err)
{
	CK_OBJECT_HANDLE key;

	return master_take(hsm, uri, &key, ret_object->key.attributes, err) &&
	       hsm_names_read(hsm, key, ret_object, err);
}

bool hsm_derive(struct hsm *hsm, const char *uri, const struct bytes *ids,
		uint8_t macs[WORKER_IDS_MAX * 32], size_t *ret_count,
		char attributes[HSM_ATTRIBUTES_SIZE], struct muster_error *err)
{
	struct worker_ids each = { .all = ids };
	const uint8_t *id;
	CK_OBJECT_HANDLE key;
	size_t size;

	if (!master_take(hsm, uri, &key, attributes, err))
		return false;
	for (;;) {
		if (!worker_ids_next(&each, &id, &size, err))
			return false;
		if (!id)
			break;
		if (!compute(hsm, key, id, size, macs + (each.count - 1) * MAC_SIZE, err))
			return false;
	}
	*ret_count = each.count;
	return true;
}

/* CKM_SHA256_HMAC takes a generic secret everywhere; a CKK_SHA256_HMAC key some modules cannot make. What it is made of
 * is the caller's: a length or a value. */
static bool master_make(struct hsm *hsm, const struct hsm_id *id, const char *label,
			const CK_ATTRIBUTE *substance, unsigned traits, CK_OBJECT_HANDLE *ret_key,
			struct muster_error *err)
{
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE, stays = !(traits & HSM_SESSION);
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	struct hsm_id key_id = *id;
	char name[256];
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) }, { CKA_KEY_TYPE, &type, sizeof(type) },
		{ CKA_TOKEN, &stays, sizeof(stays) }, { CKA_PRIVATE, &yes, sizeof(yes) },
		{ CKA_SENSITIVE, &yes, sizeof(yes) }, { CKA_EXTRACTABLE, &no, sizeof(no) },
		{ CKA_SIGN, &yes, sizeof(yes) },      { CKA_VERIFY, &no, sizeof(no) },
		{ CKA_ENCRYPT, &no, sizeof(no) },     { CKA_DECRYPT, &no, sizeof(no) },
		{ CKA_WRAP, &no, sizeof(no) },        { CKA_UNWRAP, &no, sizeof(no) },
		{ CKA_DERIVE, &no, sizeof(no) },      { CKA_ID, key_id.data, key_id.size },
		{ CKA_LABEL, name, strlen(label) },   *substance,
	};
	CK_MECHANISM mechanism = { CKM_GENERIC_SECRET_KEY_GEN, NULL, 0 };
	CK_RV rv;

	snprintf(name, sizeof(name), "%s", label);
	hsm_objects_lock(hsm);
	rv = substance->type == CKA_VALUE
		     ? hsm->calls->C_CreateObject(hsm->session, template, ARRAY_SIZE(template),
						  ret_key)
		     : hsm->calls->C_GenerateKey(hsm->session, &mechanism, template,
						 ARRAY_SIZE(template), ret_key);
	hsm_objects_unlock(hsm);
	return rv == CKR_OK ||
	       hsm_fail(err, rv, "making a master key on token '%s'", HSM_LABEL(&hsm->token));
}

/* A master that cannot be used for what it is there for is destroyed. */
static bool master_check(struct hsm *hsm, CK_OBJECT_HANDLE key, unsigned traits,
			 char attributes[HSM_ATTRIBUTES_SIZE], struct muster_error *err)
{
	uint8_t mac[MAC_SIZE];
	bool good = hsm_attributes_hold(hsm, key, traits, attributes, err) &&
		    compute(hsm, key, (const uint8_t *)"muster", 6, mac, err);

	secret_wipe(mac, sizeof(mac));
	if (!good) {
		hsm_objects_lock(hsm);
		hsm->calls->C_DestroyObject(hsm->session, key);
		hsm_objects_unlock(hsm);
	}
	return good;
}

/* Masters are named by their labels; those of a trial by nobody. */
static bool master_check_place(struct hsm *hsm, const struct hsm_id *id, const char *label,
			       unsigned traits, struct muster_error *err)
{
	if (!hsm_require_login(hsm, err))
		return false;
	if (strlen(label) > 255)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "a label has at most 255 bytes");
	return hsm_require_mechanism(hsm, CKM_SHA256_HMAC, CKF_SIGN, "HMAC-SHA256", err) &&
	       hsm_id_is_free(hsm, id, err) &&
	       ((traits & HSM_SESSION) || hsm_label_is_free(hsm, CKO_SECRET_KEY, label, err));
}

bool hsm_master_generate(struct hsm *hsm, const struct hsm_id *id, const char *label, unsigned bits,
			 unsigned traits, char attributes[HSM_ATTRIBUTES_SIZE],
			 struct muster_error *err)
{
	CK_ULONG size = bits / 8;
	CK_ATTRIBUTE length = { CKA_VALUE_LEN, &size, sizeof(size) };
	CK_OBJECT_HANDLE key;

	if (bits < 256 || bits > 512 || bits % 8 != 0)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "a master key has 256 to 512 bits");
	return master_check_place(hsm, id, label, traits, err) &&
	       hsm_require_mechanism(hsm, CKM_GENERIC_SECRET_KEY_GEN, CKF_GENERATE,
				     "making a generic secret", err) &&
	       master_make(hsm, id, label, &length, traits, &key, err) &&
	       master_check(hsm, key, traits, attributes, err);
}

bool hsm_master_import(struct hsm *hsm, const struct hsm_id *id, const char *label,
		       const struct secret *value, unsigned traits,
		       char attributes[HSM_ATTRIBUTES_SIZE], struct muster_error *err)
{
	CK_ATTRIBUTE content = { CKA_VALUE, value->data, value->size };
	CK_OBJECT_HANDLE key;

	return master_check_place(hsm, id, label, traits, err) &&
	       master_make(hsm, id, label, &content, traits, &key, err) &&
	       master_check(hsm, key, traits | HSM_IMPORTED, attributes, err);
}
