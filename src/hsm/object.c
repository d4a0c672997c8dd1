#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hsm-internal.h"

static pthread_mutex_t one_by_one = PTHREAD_MUTEX_INITIALIZER;

void hsm_objects_lock(const struct hsm *hsm)
{
	if (hsm->is_one_by_one)
		pthread_mutex_lock(&one_by_one);
}

void hsm_objects_unlock(const struct hsm *hsm)
{
	if (hsm->is_one_by_one)
		pthread_mutex_unlock(&one_by_one);
}

bool hsm_id_set(struct hsm_id *ret_id, const struct bytes *bytes, struct muster_error *err)
{
	if (!bytes || bytes->size == 0 || bytes->size > HSM_ID_MAX)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL, "a key ID has 1 to %d bytes",
				   HSM_ID_MAX);
	memcpy(ret_id->data, bytes->data, bytes->size);
	ret_id->size = bytes->size;
	return true;
}

/* -- Finding ----------------------------------------------------------------------------------------------- */

static CK_RV take(struct hsm *hsm, CK_OBJECT_HANDLE *handles, size_t max, size_t *ret_count)
{
	*ret_count = 0;
	while (*ret_count < max) {
		CK_ULONG room = max - *ret_count, got = 0;
		CK_RV rv =
			hsm->calls->C_FindObjects(hsm->session, handles + *ret_count, room, &got);

		if (rv != CKR_OK)
			return rv;
		if (got > room)
			return CKR_BUFFER_TOO_SMALL;
		if (got == 0)
			break;
		*ret_count += got;
	}
	return CKR_OK;
}

static CK_RV collect(struct hsm *hsm, CK_ATTRIBUTE *wanted, CK_ULONG wanted_count,
		     CK_OBJECT_HANDLE *handles, size_t max, size_t *ret_count)
{
	CK_RV rv = hsm->calls->C_FindObjectsInit(hsm->session, wanted, wanted_count);

	if (rv != CKR_OK)
		return rv;
	rv = take(hsm, handles, max, ret_count);
	hsm->calls->C_FindObjectsFinal(hsm->session);
	return rv;
}

bool hsm_objects_find(struct hsm *hsm, const CK_ATTRIBUTE *template, size_t template_count,
		      CK_OBJECT_HANDLE *handles, size_t max, size_t *ret_count,
		      struct muster_error *err)
{
	CK_ATTRIBUTE wanted[HSM_TEMPLATE_MAX];
	CK_RV rv;

	if (template_count > ARRAY_SIZE(wanted))
		return muster_fail(err, CAUSE_INTERNAL, "too many attributes to look for");
	if (template_count > 0)
		memcpy(wanted, template, template_count * sizeof(*template));
	hsm_objects_lock(hsm);
	rv = collect(hsm, wanted, template_count, handles, max, ret_count);
	hsm_objects_unlock(hsm);
	return rv == CKR_OK || hsm_fail(err, rv, "looking for objects");
}

bool hsm_objects_of_id(struct hsm *hsm, CK_OBJECT_CLASS class, const struct hsm_id *id,
		       CK_OBJECT_HANDLE *handles, size_t max, size_t *ret_count,
		       struct muster_error *err)
{
	struct hsm_id wanted = *id;
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_ID, wanted.data, wanted.size },
	};

	return hsm_objects_find(hsm, template, ARRAY_SIZE(template), handles, max, ret_count, err);
}

bool hsm_id_is_free(struct hsm *hsm, const struct hsm_id *id, struct muster_error *err)
{
	struct hsm_id wanted = *id;
	CK_ATTRIBUTE template[] = { { CKA_ID, wanted.data, wanted.size } };
	CK_OBJECT_HANDLE handle;
	size_t count;

	if (!hsm_objects_find(hsm, template, 1, &handle, 1, &count, err))
		return false;
	return count == 0 ||
	       muster_fail(err, CAUSE_KEY_EXISTS,
			   "token '%s' already has an object with the ID of the new key",
			   HSM_LABEL(&hsm->token));
}

/* "id=%01%AB", as a URI has it, of each. */
static bool ids_of(struct hsm *hsm, const CK_OBJECT_HANDLE *handles, size_t count,
		   struct text *ret_ids, struct muster_error *err)
{
	struct hsm_id id;

	for (size_t i = 0; i < count; i++) {
		if (!hsm_id_read(hsm, handles[i], &id, err))
			return false;
		text_addf(ret_ids, "%s%s", i > 0 ? " and " : "",
			  id.size > 0 ? "id=" : "one without an ID");
		for (size_t k = 0; k < id.size; k++)
			text_addf(ret_ids, "%%%02X", id.data[k]);
	}
	return text_ok(ret_ids, err);
}

bool hsm_fail_several(struct hsm *hsm, const char *what, const CK_OBJECT_HANDLE *handles,
		      size_t count, struct muster_error *err)
{
	CLEANUP(text_done) struct text ids = { 0 };

	return ids_of(hsm, handles, count, &ids, err) &&
	       muster_fail(err, CAUSE_KEY_AMBIGUOUS, "several %s on token '%s' match, such as %s",
			   what, HSM_LABEL(&hsm->token), ids.data);
}

bool hsm_label_is_free(struct hsm *hsm, CK_OBJECT_CLASS class, const char *label,
		       struct muster_error *err)
{
	CLEANUP(text_done) struct text ids = { 0 };
	CK_OBJECT_HANDLE handles[2];
	char name[256];
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_LABEL, name, strlen(label) },
	};
	size_t count;

	snprintf(name, sizeof(name), "%s", label);
	if (!hsm_objects_find(hsm, template, ARRAY_SIZE(template), handles, ARRAY_SIZE(handles),
			      &count, err))
		return false;
	return count == 0 || (ids_of(hsm, handles, count, &ids, err) &&
			      muster_fail(err, CAUSE_LABEL_TAKEN,
					  "token '%s' has a key of the label '%s' already: %s",
					  HSM_LABEL(&hsm->token), PRINTABLE(label), ids.data));
}

/* The URI's own attributes and the class, which the URI must not contradict. */
static bool uri_template(P11KitUri *uri, CK_OBJECT_CLASS *class,
			 CK_ATTRIBUTE template[HSM_TEMPLATE_MAX], size_t *ret_count,
			 bool *ret_matches, struct muster_error *err)
{
	CK_ULONG count = 0;
	CK_ATTRIBUTE *attributes = p11_kit_uri_get_attributes(uri, &count);

	if (count + 1 > HSM_TEMPLATE_MAX)
		return muster_fail(err, CAUSE_INTERNAL, "too many attributes in the URI");
	template[0] = (CK_ATTRIBUTE){ CKA_CLASS, class, sizeof(*class) };
	*ret_count = 1;
	*ret_matches = true;
	for (CK_ULONG i = 0; i < count; i++) {
		if (attributes[i].type != CKA_CLASS)
			template[(*ret_count)++] = attributes[i];
		else if (memcmp(attributes[i].pValue, class, sizeof(*class)) != 0)
			*ret_matches = false;
	}
	return true;
}

bool hsm_objects_of_uri(struct hsm *hsm, CK_OBJECT_CLASS class, const char *text,
			CK_OBJECT_HANDLE *handles, size_t max, size_t *ret_count,
			struct muster_error *err)
{
	CLEANUP(p11_kit_uri_freep) P11KitUri *uri = hsm_uri_new(text, err);
	CK_ATTRIBUTE template[HSM_TEMPLATE_MAX];
	size_t template_count = 0;
	bool matches = false;

	if (!uri || !uri_template(uri, &class, template, &template_count, &matches, err))
		return false;
	*ret_count = 0;
	if (!matches || !p11_kit_uri_match_token_info(uri, &hsm->token))
		return true;
	return hsm_objects_find(hsm, template, template_count, handles, max, ret_count, err);
}

/* -- Reading ----------------------------------------------------------------------------------------------- */

/* Those two numbers mean "not here", and the length is then CK_UNAVAILABLE_INFORMATION. */
static bool is_absent(CK_RV rv)
{
	return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE;
}

bool hsm_attribute_bytes(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
			 size_t max, struct bytes *ret_bytes, struct muster_error *err)
{
	CK_ATTRIBUTE attribute = { type, NULL, 0 };
	CK_RV rv = hsm->calls->C_GetAttributeValue(hsm->session, object, &attribute, 1);
	CLEANUP(bytes_done) struct bytes value = { 0 };

	*ret_bytes = (struct bytes){ 0 };
	if (is_absent(rv) || (rv == CKR_OK && attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION))
		return true;
	if (rv != CKR_OK)
		return hsm_fail(err, rv, "reading attribute 0x%lx", type);
	if (attribute.ulValueLen == 0)
		return true;
	if (attribute.ulValueLen > max)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "attribute 0x%lx has %lu bytes; at most %zu can be true", type,
				   attribute.ulValueLen, max);
	value.size = attribute.ulValueLen;
	value.data = calloc(1, value.size);
	if (!value.data)
		return muster_fail_memory(err);
	attribute.pValue = value.data;
	rv = hsm->calls->C_GetAttributeValue(hsm->session, object, &attribute, 1);
	if (rv != CKR_OK)
		return hsm_fail(err, rv, "reading attribute 0x%lx", type);
	if (attribute.ulValueLen > value.size)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "attribute 0x%lx grew while it was read", type);
	value.size = attribute.ulValueLen;
	*ret_bytes = value;
	value = (struct bytes){ 0 };
	return true;
}

bool hsm_has_gone(const struct muster_error *failure)
{
	return failure->origin == ORIGIN_PKCS11 && failure->native == CKR_OBJECT_HANDLE_INVALID;
}

/* SoftHSM's number for an object that it has not written the class of. */
bool hsm_class_read(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_OBJECT_CLASS *ret_class,
		    struct muster_error *err)
{
	CK_OBJECT_CLASS class = CK_UNAVAILABLE_INFORMATION;
	CK_ATTRIBUTE attribute = { CKA_CLASS, &class, sizeof(class) };
	CK_RV rv = hsm->calls->C_GetAttributeValue(hsm->session, object, &attribute, 1);

	if (rv != CKR_OK && rv != CKR_ATTRIBUTE_VALUE_INVALID)
		return hsm_fail(err, rv, "reading the class of an object");
	*ret_class = rv == CKR_OK ? class : CK_UNAVAILABLE_INFORMATION;
	return true;
}

bool hsm_attribute_state(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
			 enum hsm_state *ret_state, struct muster_error *err)
{
	CK_BBOOL value = 0xff;
	CK_ATTRIBUTE attribute = { type, &value, sizeof(value) };
	CK_RV rv = hsm->calls->C_GetAttributeValue(hsm->session, object, &attribute, 1);

	if (is_absent(rv) || (rv == CKR_OK && attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION)) {
		*ret_state = HSM_UNKNOWN;
		return true;
	}
	if (rv != CKR_OK)
		return hsm_fail(err, rv, "reading attribute 0x%lx", type);
	if (attribute.ulValueLen != sizeof(value) || value > CK_TRUE)
		return muster_fail(err, CAUSE_HSM_ANSWER_INVALID,
				   "attribute 0x%lx is neither true nor false", type);
	*ret_state = value ? HSM_TRUE : HSM_FALSE;
	return true;
}
