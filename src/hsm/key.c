#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "hsm-internal.h"

/* A pair on its way: whatever goes wrong before it is known to be good, both halves go. */
struct pair {
	struct hsm *hsm;
	CK_OBJECT_HANDLE public_half, private_half;
	bool is_made;
};

static void pair_destroy(struct pair *pair)
{
	if (!pair->is_made)
		return;
	hsm_objects_lock(pair->hsm);
	pair->hsm->calls->C_DestroyObject(pair->hsm->session, pair->private_half);
	pair->hsm->calls->C_DestroyObject(pair->hsm->session, pair->public_half);
	hsm_objects_unlock(pair->hsm);
}

void hsm_key_done(struct hsm_key *key)
{
	bytes_done(&key->spki);
}

bool hsm_require_mechanism(struct hsm *hsm, CK_MECHANISM_TYPE mechanism, CK_FLAGS use,
			   const char *what, struct muster_error *err)
{
	CK_MECHANISM_INFO info = { 0 };
	CK_RV rv = hsm->calls->C_GetMechanismInfo(hsm->slot_id, mechanism, &info);

	if (rv == CKR_OK && (info.flags & use) == use)
		return true;
	if (rv != CKR_OK && rv != CKR_MECHANISM_INVALID)
		return hsm_fail(err, rv, "asking token '%s' for %s", HSM_LABEL(&hsm->token), what);
	return muster_fail_native(err, CAUSE_HSM_UNSUPPORTED, ORIGIN_PKCS11, rv,
				  "token '%s' does not offer %s", HSM_LABEL(&hsm->token), what);
}

/* -- Generating -------------------------------------------------------------------------------------------- */

static void add(CK_ATTRIBUTE *template, CK_ULONG *count, const CK_ATTRIBUTE *more,
		size_t more_count)
{
	memcpy(template + *count, more, more_count * sizeof(*more));
	*count += more_count;
}

/* The least that a device key needs: it lives on the token, never leaves (but as its traits say), and signs. */
static bool pair_make(struct hsm *hsm, const struct hsm_key_type *type, const struct hsm_id *id,
		      const char *label, unsigned traits, struct pair *pair,
		      struct muster_error *err)
{
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_BBOOL stays = !(traits & HSM_SESSION), leaves = (traits & HSM_LEAVES) != 0;
	CK_ULONG bits = type->bits;
	unsigned char exponent[] = { 1, 0, 1 };
	struct hsm_id key_id = *id;
	char name[256], curve[16];
	CK_ATTRIBUTE public_half[9] = {
		BOOLEAN(CKA_TOKEN, &stays),
		BOOLEAN(CKA_PRIVATE, &no),
		{ CKA_ID, key_id.data, key_id.size },
		{ CKA_LABEL, name, strlen(label) },
	};
	CK_ATTRIBUTE of_curve[] = { { CKA_EC_PARAMS, curve, type->parameters_size } };
	CK_ATTRIBUTE of_rsa[] = { { CKA_MODULUS_BITS, &bits, sizeof(bits) },
				  { CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent) } };
	CK_ATTRIBUTE rights[] = { BOOLEAN(CKA_VERIFY, &yes), BOOLEAN(CKA_ENCRYPT, &no),
				  BOOLEAN(CKA_WRAP, &no) };
	CK_ATTRIBUTE private_half[] = {
		BOOLEAN(CKA_TOKEN, &stays),
		BOOLEAN(CKA_PRIVATE, &yes),
		BOOLEAN(CKA_SENSITIVE, &yes),
		BOOLEAN(CKA_EXTRACTABLE, &leaves),
		BOOLEAN(CKA_SIGN, &yes),
		BOOLEAN(CKA_DECRYPT, &no),
		BOOLEAN(CKA_UNWRAP, &no),
		BOOLEAN(CKA_DERIVE, &no),
		{ CKA_ID, key_id.data, key_id.size },
		{ CKA_LABEL, name, strlen(label) },
	};
	CK_ULONG public_count = 4;
	CK_MECHANISM mechanism = { type->generation, NULL, 0 };
	CK_RV rv;

	snprintf(name, sizeof(name), "%s", label);
	if (type->parameters) {
		memcpy(curve, type->parameters, type->parameters_size);
		add(public_half, &public_count, of_curve, ARRAY_SIZE(of_curve));
	} else {
		add(public_half, &public_count, of_rsa, ARRAY_SIZE(of_rsa));
	}
	if (!hsm->is_of_a_tpm)
		add(public_half, &public_count, rights, ARRAY_SIZE(rights));
	hsm_objects_lock(hsm);
	rv = hsm->calls->C_GenerateKeyPair(hsm->session, &mechanism, public_half, public_count,
					   private_half, ARRAY_SIZE(private_half),
					   &pair->public_half, &pair->private_half);
	hsm_objects_unlock(hsm);
	if (rv != CKR_OK)
		return hsm_fail(err, rv, "making a key pair (%s) on token '%s'", type->name,
				HSM_LABEL(&hsm->token));
	pair->is_made = true;
	return true;
}

static void keep_for_signing(struct hsm *hsm, const struct pair *pair, const struct hsm_id *id,
			     EVP_PKEY *public_half)
{
	hsm_signing_done(&hsm->made);
	hsm->made = (struct hsm_signing){ .id = *id,
					  .private_half = pair->private_half,
					  .public_half = public_half };
}

static bool pair_check(struct hsm *hsm, const struct pair *pair, const struct hsm_key_type *type,
		       unsigned traits, struct hsm_key *key, struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *public_half = NULL;
	const struct hsm_key_type *made;

	if (!hsm_attributes_hold(hsm, pair->private_half, traits, key->attributes, err) ||
	    !hsm_public_read(hsm, pair->public_half, &public_half, &made, err))
		return false;
	if (!public_half || !made || strcmp(made->name, type->name) != 0)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "token '%s' was asked for an %s key and shows another",
				   HSM_LABEL(&hsm->token), type->name);
	if (!hsm_spki_of(public_half, &key->spki, err))
		return false;
	keep_for_signing(hsm, pair, &key->id, TAKE_PTR(public_half));
	return true;
}

bool hsm_key_generate(struct hsm *hsm, const struct hsm_id *id, const char *label,
		      const char *type_name, unsigned traits, struct hsm_key *ret_key,
		      struct muster_error *err)
{
	const struct hsm_key_type *type = hsm_key_type_by_name(type_name);
	CLEANUP(pair_destroy) struct pair pair = { .hsm = hsm };
	struct hsm_key key = { .id = *id };

	if (!hsm_require_login(hsm, err))
		return false;
	if (!type)
		return muster_fail(err, CAUSE_HSM_UNSUPPORTED, "'%s' is not a known key type",
				   PRINTABLE(type_name));
	if (strlen(label) > 255)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "a label has at most 255 bytes");
	if (!hsm_require_mechanism(hsm, type->generation, CKF_GENERATE_KEY_PAIR, type->name, err) ||
	    ((traits & HSM_LEAVES) && !hsm_require_wrapping(hsm, err)) ||
	    !hsm_id_is_free(hsm, id, err) ||
	    ((traits & HSM_LABEL_ONCE) && !hsm_label_is_free(hsm, CKO_PRIVATE_KEY, label, err)) ||
	    !pair_make(hsm, type, id, label, traits, &pair, err) ||
	    !pair_check(hsm, &pair, type, traits, &key, err))
		return false;
	pair.is_made = false;
	snprintf(key.type, sizeof(key.type), "%s", type->name);
	*ret_key = key;
	return true;
}

/* -- Finding ----------------------------------------------------------------------------------------------- */

bool hsm_private_key(struct hsm *hsm, const struct hsm_id *id, CK_OBJECT_HANDLE *ret_key,
		     struct muster_error *err)
{
	CK_OBJECT_HANDLE handles[2];
	size_t count;

	if (!hsm_objects_of_id(hsm, CKO_PRIVATE_KEY, id, handles, ARRAY_SIZE(handles), &count, err))
		return false;
	if (count == 0)
		return muster_fail(err, CAUSE_KEY_NOT_FOUND,
				   "token '%s' has no private key of that ID",
				   HSM_LABEL(&hsm->token));
	if (count > 1)
		return hsm_fail_several(hsm, "private keys", handles, count, err);
	*ret_key = handles[0];
	return true;
}

bool hsm_id_read(struct hsm *hsm, CK_OBJECT_HANDLE object, struct hsm_id *ret_id,
		 struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes value = { 0 };

	if (!hsm_attribute_bytes(hsm, object, CKA_ID, HSM_ID_MAX, &value, err))
		return false;
	*ret_id = (struct hsm_id){ .size = value.size };
	if (value.size > 0)
		memcpy(ret_id->data, value.data, value.size);
	return true;
}

static bool key_read(struct hsm *hsm, CK_OBJECT_HANDLE object, struct hsm_key *ret_key,
		     struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *public_half = NULL;
	const struct hsm_key_type *type;
	struct hsm_key key = { 0 };

	if (!hsm_id_read(hsm, object, &key.id, err) ||
	    !hsm_attributes_read(hsm, object, key.attributes, err) ||
	    !hsm_public_of(hsm, object, &key.id, &public_half, &type, err))
		return false;
	if (public_half && !hsm_spki_of(public_half, &key.spki, err))
		return false;
	snprintf(key.type, sizeof(key.type), "%s", type ? type->name : "");
	*ret_key = key;
	return true;
}

bool hsm_key_find(struct hsm *hsm, const struct hsm_id *id, const char *uri, bool *ret_found,
		  struct hsm_key *ret_key, struct muster_error *err)
{
	CK_OBJECT_HANDLE handles[2] = { 0 };
	size_t count = 0;

	if (!hsm_require_login(hsm, err))
		return false;
	if (id ? !hsm_objects_of_id(hsm, CKO_PRIVATE_KEY, id, handles, 2, &count, err)
	       : !hsm_objects_of_uri(hsm, CKO_PRIVATE_KEY, uri, handles, 2, &count, err))
		return false;
	if (count > 1)
		return hsm_fail_several(hsm, "private keys", handles, count, err);
	if (count == 1 && !key_read(hsm, handles[0], ret_key, err))
		return false;
	*ret_found = count == 1;
	return true;
}

bool hsm_keys_list(struct hsm *hsm, const char *label, struct hsm_id ids[HSM_KEYS_MAX],
		   size_t *ret_count, struct muster_error *err)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	char name[256];
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_LABEL, name, label ? strlen(label) : 0 },
	};
	CK_OBJECT_HANDLE handles[HSM_KEYS_MAX + 1];
	size_t count;

	if (label && strlen(label) > 255)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "a label has at most 255 bytes");
	snprintf(name, sizeof(name), "%s", label ? label : "");
	if (!hsm_require_login(hsm, err) || !hsm_objects_find(hsm, template, label ? 2 : 1, handles,
							      ARRAY_SIZE(handles), &count, err))
		return false;
	if (count > HSM_KEYS_MAX)
		return muster_fail(err, CAUSE_HSM_UNSUPPORTED,
				   "token '%s' has more than %d private keys%s%s, too many to list",
				   HSM_LABEL(&hsm->token), HSM_KEYS_MAX,
				   label ? " of the label " : "", label ? PRINTABLE(label) : "");
	for (size_t i = 0; i < count; i++)
		if (!hsm_id_read(hsm, handles[i], &ids[i], err))
			return false;
	*ret_count = count;
	return true;
}

/* -- Destroying -------------------------------------------------------------------------------------------- */

static bool destroy_class(struct hsm *hsm, CK_OBJECT_CLASS class, const struct hsm_id *id,
			  bool *found, struct muster_error *err)
{
	CK_OBJECT_HANDLE handles[HSM_OBJECTS_MAX];
	size_t count;

	if (!hsm_objects_of_id(hsm, class, id, handles, ARRAY_SIZE(handles), &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		CK_RV rv;

		hsm_objects_lock(hsm);
		rv = hsm->calls->C_DestroyObject(hsm->session, handles[i]);
		hsm_objects_unlock(hsm);
		if (rv != CKR_OK)
			return hsm_fail(err, rv, "destroying an object on token '%s'",
					HSM_LABEL(&hsm->token));
		*found = true;
	}
	return true;
}

bool hsm_key_destroy(struct hsm *hsm, const struct hsm_id *id, bool *ret_found,
		     struct muster_error *err)
{
	/* The private key last: as long as it is there, a broken run can be found and finished. */
	static const CK_OBJECT_CLASS classes[] = { CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
						   CKO_PRIVATE_KEY };
	bool found = false;

	if (!hsm_require_login(hsm, err))
		return false;
	hsm_keys_forget(hsm);
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (!destroy_class(hsm, classes[i], id, &found, err))
			return false;
	*ret_found = found;
	return true;
}
