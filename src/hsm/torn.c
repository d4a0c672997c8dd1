/* What a token whose module was killed in the middle of C_GenerateKeyPair or C_CreateObject can hold: an object of its class
 * without the material that would make it one, or not even of a class (SoftHSM writes a new object's attributes one by one). It
 * is of no use to anybody. */
#include <stdlib.h>
#include <string.h>

#include "hsm-internal.h"

enum { TORN_OBJECTS_MAX = 65536 };

/* An object of the class that has no name, no label and none of these is torn. */
static const struct {
	CK_OBJECT_CLASS class;
	CK_ATTRIBUTE_TYPE material[2];
} classes[] = {
	{ CKO_PUBLIC_KEY, { CKA_EC_POINT, CKA_MODULUS } },
	{ CKO_PRIVATE_KEY, { CKA_EC_PARAMS, CKA_MODULUS } },
	{ CKO_CERTIFICATE, { CKA_VALUE, CKA_URL } },
};

/* Other keys have other material; one that was torn may not have its type yet. */
static const CK_KEY_TYPE our_types[] = { CKK_EC, CKK_EC_EDWARDS, CKK_RSA };

static bool is_empty(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
		     bool *is_torn, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes value = { 0 };

	if (!hsm_attribute_bytes(hsm, object, type, 16384, &value, err))
		return false;
	*is_torn = *is_torn && value.size == 0;
	return true;
}

/* Of such an object no attribute can be read, by anybody. */
static bool lacks_class(struct hsm *hsm, CK_OBJECT_HANDLE object, bool *ret_torn,
			struct muster_error *err)
{
	CK_OBJECT_CLASS class;

	if (!hsm_class_read(hsm, object, &class, err))
		return false;
	*ret_torn = class == CK_UNAVAILABLE_INFORMATION;
	return true;
}

static bool is_nameless(struct hsm *hsm, CK_OBJECT_HANDLE object, bool *is_torn,
			struct muster_error *err)
{
	return is_empty(hsm, object, CKA_ID, is_torn, err) &&
	       (!*is_torn || is_empty(hsm, object, CKA_LABEL, is_torn, err));
}

static bool may_be_ours(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_OBJECT_CLASS class,
			bool *is_torn, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes value = { 0 };

	if (class == CKO_CERTIFICATE)
		return true;
	if (!hsm_attribute_bytes(hsm, object, CKA_KEY_TYPE, sizeof(CK_KEY_TYPE), &value, err))
		return false;
	if (value.size == 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(our_types); i++)
		if (value.size == sizeof(our_types[i]) &&
		    memcmp(value.data, &our_types[i], value.size) == 0)
			return true;
	*is_torn = false;
	return true;
}

static bool lacks_all(struct hsm *hsm, CK_OBJECT_HANDLE object, size_t row, bool *ret_torn,
		      struct muster_error *err)
{
	const CK_ATTRIBUTE_TYPE *material = classes[row].material;

	*ret_torn = true;
	return is_nameless(hsm, object, ret_torn, err) &&
	       (!*ret_torn || is_empty(hsm, object, material[0], ret_torn, err)) &&
	       (!*ret_torn || is_empty(hsm, object, material[1], ret_torn, err)) &&
	       (!*ret_torn || may_be_ours(hsm, object, classes[row].class, ret_torn, err));
}

static bool destroy(struct hsm *hsm, CK_OBJECT_HANDLE object, bool *swept, struct muster_error *err)
{
	CK_RV rv;

	hsm_objects_lock(hsm);
	rv = hsm->calls->C_DestroyObject(hsm->session, object);
	hsm_objects_unlock(hsm);
	*swept = *swept || rv == CKR_OK;
	return rv == CKR_OK || rv == CKR_OBJECT_HANDLE_INVALID ||
	       hsm_fail(err, rv, "destroying a half-made object on token '%s'",
			HSM_LABEL(&hsm->token));
}

/* The objects of a row's class; without a row, those that have none. */
static bool sweep(struct hsm *hsm, size_t row, CK_OBJECT_HANDLE *handles, bool *swept,
		  struct muster_error *err)
{
	bool of_class = row < ARRAY_SIZE(classes);
	CK_OBJECT_CLASS class = of_class ? classes[row].class : 0;
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) } };
	size_t count;

	if (!hsm_objects_find(hsm, template, of_class, handles, TORN_OBJECTS_MAX, &count, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		bool torn;

		if (!(of_class ? lacks_all(hsm, handles[i], row, &torn, err)
			       : lacks_class(hsm, handles[i], &torn, err))) {
			if (hsm_has_gone(err))
				continue;
			return false;
		}
		if (torn && !destroy(hsm, handles[i], swept, err))
			return false;
	}
	return true;
}

bool hsm_torn_sweep(struct hsm *hsm, bool *ret_swept, struct muster_error *err)
{
	CLEANUP(freep) CK_OBJECT_HANDLE *handles = calloc(TORN_OBJECTS_MAX, sizeof(*handles));
	bool swept = false;

	if (!handles)
		return muster_fail_memory(err);
	if (!hsm_require_login(hsm, err))
		return false;
	for (size_t i = 0; i <= ARRAY_SIZE(classes); i++)
		if (!sweep(hsm, i, handles, &swept, err))
			return false;
	*ret_swept = swept;
	return true;
}
