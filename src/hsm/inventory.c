/* What a token has: mechanisms that matter, and every object. For people and for audits; jobs look for what they know. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muster/spki.h"

#include "hsm-internal.h"

#define OBJECTS_MAX (1024 * 1024)
#define LABEL_MAX 256

/* -- Mechanisms ---------------------------------------------------------------------------------------------- */

#define MECHANISM(name)     \
	{                   \
		name, #name \
	}

/* Making keys, signing requests and certificates and TLS, deriving, and taking keys out wrapped. */
static const struct {
	CK_MECHANISM_TYPE type;
	const char *name;
} mechanisms[] = {
	MECHANISM(CKM_EC_KEY_PAIR_GEN),
	MECHANISM(CKM_ECDSA),
	MECHANISM(CKM_RSA_PKCS_KEY_PAIR_GEN),
	MECHANISM(CKM_RSA_PKCS),
	MECHANISM(CKM_RSA_PKCS_PSS),
	MECHANISM(CKM_RSA_PKCS_OAEP),
	MECHANISM(CKM_EC_EDWARDS_KEY_PAIR_GEN),
	MECHANISM(CKM_EDDSA),
	MECHANISM(CKM_GENERIC_SECRET_KEY_GEN),
	MECHANISM(CKM_SHA256_HMAC),
	MECHANISM(CKM_AES_KEY_GEN),
	MECHANISM(CKM_AES_KEY_WRAP),
	MECHANISM(CKM_AES_KEY_WRAP_PAD),
	MECHANISM(CKM_AES_KEY_WRAP_KWP),
};

static const struct {
	CK_FLAGS flag;
	const char *word;
} uses[] = {
	{ CKF_GENERATE, "generate" }, { CKF_GENERATE_KEY_PAIR, "generate-pair" },
	{ CKF_SIGN, "sign" },         { CKF_VERIFY, "verify" },
	{ CKF_ENCRYPT, "encrypt" },   { CKF_DECRYPT, "decrypt" },
	{ CKF_WRAP, "wrap" },         { CKF_UNWRAP, "unwrap" },
	{ CKF_DERIVE, "derive" },
};

bool hsm_mechanism_look(struct hsm *hsm, size_t index, struct hsm_mechanism *ret_mechanism,
			size_t *ret_count, struct muster_error *err)
{
	CK_MECHANISM_INFO info = { 0 };
	struct hsm_mechanism mechanism = { 0 };
	size_t length = 0;
	CK_RV rv;

	*ret_count = ARRAY_SIZE(mechanisms);
	if (index >= ARRAY_SIZE(mechanisms))
		return true;
	if (!hsm_require_token(hsm, err))
		return false;
	mechanism.name = mechanisms[index].name;
	rv = hsm->calls->C_GetMechanismInfo(hsm->slot_id, mechanisms[index].type, &info);
	if (rv != CKR_OK && rv != CKR_MECHANISM_INVALID)
		return hsm_fail(err, rv, "asking token '%s' for %s", HSM_LABEL(&hsm->token),
				mechanism.name);
	for (size_t i = 0; rv == CKR_OK && i < ARRAY_SIZE(uses); i++)
		if (info.flags & uses[i].flag)
			length += (size_t)snprintf(mechanism.uses + length,
						   sizeof(mechanism.uses) - length, "%s%s",
						   length > 0 ? " " : "", uses[i].word);
	mechanism.minimum = info.ulMinKeySize;
	mechanism.maximum = info.ulMaxKeySize;
	*ret_mechanism = mechanism;
	return true;
}

/* -- Objects ------------------------------------------------------------------------------------------------- */

static const struct {
	CK_OBJECT_CLASS class;
	const char *kind;
	bool is_key, is_guarded; /* guarded keys have attributes that must hold */
} kinds[] = {
	{ CKO_PRIVATE_KEY, "private-key", true, true },
	{ CKO_PUBLIC_KEY, "public-key", true, false },
	{ CKO_SECRET_KEY, "secret-key", true, true },
	{ CKO_CERTIFICATE, "certificate", false, false },
	{ CKO_DATA, "data", false, false },
};

static bool collect(struct hsm *hsm, const CK_ATTRIBUTE *template, size_t template_count,
		    struct muster_error *err)
{
	if (!hsm->objects)
		hsm->objects = calloc(OBJECTS_MAX, sizeof(*hsm->objects));
	if (!hsm->objects)
		return muster_fail_memory(err);
	hsm->object_count = 0;
	if (!hsm_objects_find(hsm, template, template_count, hsm->objects, OBJECTS_MAX,
			      &hsm->object_count, err))
		return false;
	return hsm->object_count < OBJECTS_MAX ||
	       muster_fail(err, CAUSE_HSM_UNSUPPORTED,
			   "token '%s' has more than %d objects, too many to look at",
			   HSM_LABEL(&hsm->token), OBJECTS_MAX - 1);
}

bool hsm_objects_collect(struct hsm *hsm, size_t *ret_count, struct muster_error *err)
{
	if (!hsm_require_token(hsm, err) || !collect(hsm, NULL, 0, err))
		return false;
	*ret_count = hsm->object_count;
	return true;
}

void hsm_object_done(struct hsm_object *object)
{
	hsm_key_done(&object->key);
	bytes_done(&object->certificate);
}

/* -1 for an object that is none of ours, such as a mechanism object. */
static int row_of(CK_OBJECT_CLASS class)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].class == class)
			return (int)i;
	return -1;
}

bool hsm_names_read(struct hsm *hsm, CK_OBJECT_HANDLE handle, struct hsm_object *object,
		    struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes label = { 0 };
	CLEANUP(freep) char *text = NULL;

	if (!hsm_attribute_bytes(hsm, handle, CKA_LABEL, LABEL_MAX, &label, err) ||
	    !hsm_id_read(hsm, handle, &object->key.id, err))
		return false;
	if (label.size > 0) {
		text = strndup((const char *)label.data, label.size);
		if (!text)
			return muster_fail_memory(err);
		text_printable(object->label, HSM_LABEL_SIZE, text);
	}
	return true;
}

/* The public half is shown where it can be read; what is wrong with it is the object's note, and no reason to show nothing
 * of the token. */
static bool key_read(struct hsm *hsm, CK_OBJECT_HANDLE handle, bool is_guarded,
		     struct hsm_object *object, struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *public_half = NULL;
	const struct hsm_key_type *type = NULL;
	struct muster_error wrong;

	if (is_guarded && !hsm_attributes_read(hsm, handle, object->key.attributes, err))
		return false;
	if (!(is_guarded ? hsm_public_of(hsm, handle, &object->key.id, &public_half, &type, &wrong)
			 : hsm_public_read(hsm, handle, &public_half, &type, &wrong))) {
		snprintf(object->note, sizeof(object->note), "%s", wrong.message);
		return true;
	}
	snprintf(object->key.type, sizeof(object->key.type), "%s", type ? type->name : "");
	return !public_half || hsm_spki_of(public_half, &object->key.spki, err);
}

/* Of an object without a class the module tells nothing else either. */
static bool read_more(struct hsm *hsm, CK_OBJECT_HANDLE handle, int row, struct hsm_object *object,
		      struct muster_error *err)
{
	if (!hsm_names_read(hsm, handle, object, err))
		return false;
	if (row < 0)
		return true;
	object->kind = kinds[row].kind;
	if (kinds[row].is_key)
		return key_read(hsm, handle, kinds[row].is_guarded, object, err);
	return kinds[row].class != CKO_CERTIFICATE ||
	       hsm_attribute_bytes(hsm, handle, CKA_VALUE, HSM_CERTIFICATE_MAX,
				   &object->certificate, err);
}

static bool handle_of(const struct hsm *hsm, size_t index, CK_OBJECT_HANDLE *ret_handle,
		      struct muster_error *err)
{
	if (!hsm_require_token(hsm, err))
		return false;
	if (index >= hsm->object_count)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "no object has the index %zu",
				   index);
	*ret_handle = hsm->objects[index];
	return true;
}

bool hsm_object_look(struct hsm *hsm, size_t index, struct hsm_object *ret_object, bool *ret_found,
		     struct muster_error *err)
{
	CLEANUP(hsm_object_done) struct hsm_object object = { .kind = "other" };
	CK_OBJECT_HANDLE handle = 0;
	CK_OBJECT_CLASS class;

	if (!handle_of(hsm, index, &handle, err))
		return false;
	*ret_found = hsm_class_read(hsm, handle, &class, err);
	if (!*ret_found)
		return hsm_has_gone(err);
	if (class != CK_UNAVAILABLE_INFORMATION &&
	    !read_more(hsm, handle, row_of(class), &object, err))
		return false;
	*ret_object = object;
	object = (struct hsm_object){ 0 };
	return true;
}

/* -- Halves that belong together ------------------------------------------------------------------------------ */

static bool is_of_type(EVP_PKEY *public_half, CK_KEY_TYPE type)
{
	static const struct {
		int public_half;
		CK_KEY_TYPE private_half;
	} types[] = {
		{ EVP_PKEY_EC, CKK_EC },
		{ EVP_PKEY_RSA, CKK_RSA },
		{ EVP_PKEY_ED25519, CKK_EC_EDWARDS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].public_half == EVP_PKEY_get_base_id(public_half))
			return types[i].private_half == type;
	return true;
}

/* What a refusal to sign says of the halves is nothing: a token has many reasons to refuse. */
static bool judge(const struct muster_error *failure, enum hsm_proof *ret_proof,
		  struct muster_error *err)
{
	if (hsm_is_lost(failure)) {
		*err = *failure;
		return false;
	}
	*ret_proof = failure->cause == CAUSE_SIGNATURE_INVALID ||
				     failure->cause == CAUSE_HSM_ANSWER_INVALID
			     ? HSM_PROOF_OTHER
			     : HSM_PROOF_NONE;
	return true;
}

bool hsm_object_prove(struct hsm *hsm, size_t index, const struct bytes *spki,
		      enum hsm_proof *ret_proof, char note[MUSTER_ERROR_MESSAGE_SIZE],
		      struct muster_error *err)
{
	CLEANUP(EVP_PKEY_freep) EVP_PKEY *public_half = spki_read(spki);
	struct muster_error failure = { 0 };
	CK_OBJECT_HANDLE handle = 0;
	CK_KEY_TYPE type;
	bool was_tried;

	if (!public_half)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "no public key came to prove");
	if (!hsm_require_login(hsm, err) || !handle_of(hsm, index, &handle, err) ||
	    !hsm_key_type_read(hsm, handle, &type, err))
		return false;
	if (!is_of_type(public_half, type)) {
		snprintf(note, MUSTER_ERROR_MESSAGE_SIZE, "it is a key of another type");
		*ret_proof = HSM_PROOF_OTHER;
		return true;
	}
	if (hsm_sign_random(hsm, handle, public_half, &was_tried, &failure)) {
		*ret_proof = was_tried ? HSM_PROOF_GOOD : HSM_PROOF_NONE;
		return true;
	}
	snprintf(note, MUSTER_ERROR_MESSAGE_SIZE, "%s", failure.message);
	return judge(&failure, ret_proof, err);
}

/* -- Names of keys --------------------------------------------------------------------------------------------------- */

enum { ANY_LABEL_MAX = 65536, NAMED_LABEL_MAX = 255, NAMES_AT_ONCE = 100 };
#define NAME_MAX_SIZE (2 + HSM_ID_MAX + NAMED_LABEL_MAX)

/* A label that no key of ours could have is as none. */
static bool name_add(struct hsm *hsm, CK_OBJECT_HANDLE handle, struct text *names,
		     struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes label = { 0 };
	struct hsm_id id;
	uint8_t sizes[2];

	if (!hsm_attribute_bytes(hsm, handle, CKA_LABEL, ANY_LABEL_MAX, &label, err) ||
	    !hsm_id_read(hsm, handle, &id, err))
		return hsm_has_gone(err);
	if (label.size > NAMED_LABEL_MAX)
		label.size = 0;
	sizes[0] = (uint8_t)id.size;
	sizes[1] = (uint8_t)label.size;
	text_add_bytes(names, sizes, sizeof(sizes));
	text_add_bytes(names, id.data, id.size);
	text_add_bytes(names, label.data, label.size);
	return text_ok(names, err);
}

bool hsm_key_names(struct hsm *hsm, size_t *index, struct text *names, size_t *ret_count,
		   struct muster_error *err)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	const CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) } };
	size_t stop;

	if (!hsm_require_login(hsm, err) || (*index == 0 && !collect(hsm, template, 1, err)))
		return false;
	if (*index > hsm->object_count)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "no key has the index %zu", *index);
	stop = *index + NAMES_AT_ONCE < hsm->object_count ? *index + NAMES_AT_ONCE
							  : hsm->object_count;
	for (; *index < stop && names->length + NAME_MAX_SIZE <= HSM_KEY_NAMES_MAX; ++*index)
		if (!name_add(hsm, hsm->objects[*index], names, err))
			return false;
	*ret_count = hsm->object_count;
	return true;
}
