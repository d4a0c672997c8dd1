/* What the files of the HSM room share. Private to this room. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libp11.h>
#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

#include "muster/hsm.h"

DEFINE_FREEP(EVP_PKEY_freep, EVP_PKEY *, EVP_PKEY_free)
DEFINE_FREEP(EVP_PKEY_CTX_freep, EVP_PKEY_CTX *, EVP_PKEY_CTX_free)

#ifndef CKM_AES_KEY_WRAP_KWP /* newer than Debian's header */
#define CKM_AES_KEY_WRAP_KWP 0x210bUL
#endif

/* A row of a template. */
#define BOOLEAN(type, value)                  \
	{                                     \
		type, value, sizeof(CK_BBOOL) \
	}

/* A key that is at hand: finding one can take a token as long as signing. */
struct hsm_signing {
	struct hsm_id id;
	CK_OBJECT_HANDLE private_half;
	EVP_PKEY *public_half; /* NULL: nothing is kept */
};
void hsm_signing_done(struct hsm_signing *signing);
/* A master that is at hand, with what it showed of itself. */
struct hsm_deriving {
	char *uri; /* NULL: nothing is kept */
	CK_OBJECT_HANDLE key;
	char attributes[HSM_ATTRIBUTES_SIZE];
};
struct hsm;
/* Keeps nothing at hand any more. */
void hsm_keys_forget(struct hsm *hsm);

/* libp11 owns the module: it loads, initialises and finalises it. What it cannot do in this version (search by ID, make
 * EC keys, read attributes, HMAC, sign without reading every key of the token, tell one token from another of the same
 * label, open a session without waiting for ever) goes to the same module by its function list. */
struct hsm {
	struct hsm *owner; /* of a session that is one more: who opened the token; else NULL */
	PKCS11_CTX *libp11;
	CK_TOKEN_INFO refused; /* the token that refused a PIN; all zero: none */
	bool is_initialised;   /* a module is loaded; what follows means nothing otherwise */
	char *module_path;
	void *module_handle;     /* our own reference to the library */
	CK_FUNCTION_LIST *calls; /* the module's, never NULL while it is loaded */
	bool is_one_by_one;      /* sessions may not make and look for objects at the same time */
	bool is_of_a_tpm;        /* public halves cannot be told what they are for */

	bool is_open; /* a token is; what follows means nothing otherwise */
	CK_SLOT_ID slot_id;
	CK_TOKEN_INFO token; /* as it was when it was opened */
	CK_SESSION_HANDLE session;
	bool is_logged_in;
	struct secret pin; /* the owner's: the one that was accepted, for hsm_recover */
	struct hsm_signing signing, made; /* what signed last, and what was made last */
	struct hsm_signing shared;        /* the owner's: what any session found last */
	struct hsm_deriving deriving;
	atomic_uint
		forms; /* the owner's: a bit for each way of wrapping that was tried and is good */
	CK_OBJECT_HANDLE *objects; /* what hsm_objects_collect found */
	size_t object_count;
};

/* -- error.c ----------------------------------------------------------------------------------------------- */

struct hsm_error_row {
	CK_RV rv;
	const char *name;
	enum muster_cause cause;
	const char *words;
};
/* A row for every number; unknown ones have the name NULL. */
const struct hsm_error_row *hsm_error_find(CK_RV rv);
/* "doing: CKR_NAME, words", with the cause of the table. Returns false. */
bool hsm_fail(struct muster_error *err, CK_RV rv, const char *doing, ...) PRINTF_LIKE(3, 4);
/* The same for a failed call of libp11 or OpenSSL: takes a CK_RV out of OpenSSL's error queue when there is one, and
 * leaves the queue empty. */
bool hsm_fail_openssl(struct muster_error *err, enum muster_cause cause, const char *doing, ...)
	PRINTF_LIKE(3, 4);

/* -- token.c ----------------------------------------------------------------------------------------------- */

/* Fails with CAUSE_WORKER_PROTOCOL when no token is open. */
bool hsm_require_token(const struct hsm *hsm, struct muster_error *err) MUST_CHECK;
/* Fails with CAUSE_PIN_MISSING without a login: a token then hides its private keys, and "none" would be a lie. The token
 * itself is asked, because a session or its login may be lost at any time. */
bool hsm_require_login(const struct hsm *hsm, struct muster_error *err) MUST_CHECK;
void hsm_token_close(struct hsm *hsm);
bool hsm_session_open(struct hsm *hsm, struct muster_error *err) MUST_CHECK;
/* Blank-padded text of a fixed field, for messages; returns out. */
char *hsm_field_text(char *out, size_t out_size, const unsigned char *field, size_t size);
/* A slot with a token in it, as the module shows it without a session. */
struct seat {
	CK_SLOT_ID id;
	CK_SLOT_INFO slot;
	CK_TOKEN_INFO token;
};
struct hsm_token hsm_token_of_seat(const struct seat *seat);
/* The seats that the URI matches, uninitialised ones too; free() the array. */
bool hsm_seats_of_uri(struct hsm *hsm, const char *uri, struct seat **ret_seats, size_t *ret_count,
		      struct muster_error *err) MUST_CHECK;
/* Fails with CAUSE_TOKEN_AMBIGUOUS and names them. */
bool hsm_fail_ambiguous(struct muster_error *err, const struct seat *seats, size_t count);
/* The token's label in a compound literal, for messages. */
#define HSM_LABEL(info) hsm_field_text((char[129]){ 0 }, 129, (info)->label, sizeof((info)->label))

/* -- login.c ----------------------------------------------------------------------------------------------- */

/* The token in the slot as it is now, when it still is the one that was opened and its flags let a PIN be sent. */
bool hsm_login_check(struct hsm *hsm, bool accept_low_count, CK_TOKEN_INFO *ret_token,
		     struct muster_error *err) MUST_CHECK;

/* Neither a byte order mark, nor a control character such as the end of a line: nobody's PIN has them. */
bool hsm_pin_is_text(const struct secret *pin);

/* -- uri.c ------------------------------------------------------------------------------------------------- */

DEFINE_FREEP(p11_kit_uri_freep, P11KitUri *, p11_kit_uri_free)
/* p11-kit's form of a URI that token_uri_parse takes. NULL on failure. */
P11KitUri *hsm_uri_new(const char *text, struct muster_error *err) MUST_CHECK;

/* -- object.c ---------------------------------------------------------------------------------------------- */

#define HSM_OBJECTS_MAX 16
#define HSM_CERTIFICATE_MAX 8192
#define HSM_TEMPLATE_MAX 16

/* Around each call that makes, changes or looks for objects, where a module wants them one by one. */
void hsm_objects_lock(const struct hsm *hsm);
void hsm_objects_unlock(const struct hsm *hsm);

/* At most `max` handles; a full array means that there may be more. */
bool hsm_objects_find(struct hsm *hsm, const CK_ATTRIBUTE *template, size_t template_count,
		      CK_OBJECT_HANDLE *handles, size_t max, size_t *ret_count,
		      struct muster_error *err) MUST_CHECK;
/* Objects of that class and ID. */
bool hsm_objects_of_id(struct hsm *hsm, CK_OBJECT_CLASS class, const struct hsm_id *id,
		       CK_OBJECT_HANDLE *handles, size_t max, size_t *ret_count,
		       struct muster_error *err) MUST_CHECK;
/* Objects of that class which the URI matches. */
bool hsm_objects_of_uri(struct hsm *hsm, CK_OBJECT_CLASS class, const char *uri,
			CK_OBJECT_HANDLE *handles, size_t max, size_t *ret_count,
			struct muster_error *err) MUST_CHECK;
/* CAUSE_KEY_AMBIGUOUS, naming the objects' IDs; `what` is "private keys". */
bool hsm_fail_several(struct hsm *hsm, const char *what, const CK_OBJECT_HANDLE *handles,
		      size_t count, struct muster_error *err);
/* Fails with CAUSE_KEY_EXISTS when any object of the token has the ID. */
bool hsm_id_is_free(struct hsm *hsm, const struct hsm_id *id, struct muster_error *err) MUST_CHECK;
/* Fails with CAUSE_LABEL_TAKEN when an object of that class has the label. */
bool hsm_label_is_free(struct hsm *hsm, CK_OBJECT_CLASS class, const char *label,
		       struct muster_error *err) MUST_CHECK;
/* CK_UNAVAILABLE_INFORMATION of an object that has none: it was cut off while it was made. */
bool hsm_class_read(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_OBJECT_CLASS *ret_class,
		    struct muster_error *err) MUST_CHECK;
/* Another session may have destroyed it since it was found. */
bool hsm_has_gone(const struct muster_error *failure);
/* Empty bytes when the object does not have the attribute or does not show it. */
bool hsm_attribute_bytes(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
			 size_t max, struct bytes *ret_bytes, struct muster_error *err) MUST_CHECK;

/* Its label, as it is printed, and its CKA_ID. */
bool hsm_names_read(struct hsm *hsm, CK_OBJECT_HANDLE handle, struct hsm_object *object,
		    struct muster_error *err) MUST_CHECK;

enum hsm_state { HSM_FALSE = 0, HSM_TRUE = 1, HSM_UNKNOWN };
bool hsm_attribute_state(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
			 enum hsm_state *ret_state, struct muster_error *err) MUST_CHECK;

/* -- attributes.c ------------------------------------------------------------------------------------------ */

/* The attributes of a private or secret key as words. */
bool hsm_attributes_read(struct hsm *hsm, CK_OBJECT_HANDLE key, char words[HSM_ATTRIBUTES_SIZE],
			 struct muster_error *err) MUST_CHECK;

/* The same, held against what a key of ours with those traits must be: CAUSE_KEY_ATTRIBUTES. */
bool hsm_attributes_hold(struct hsm *hsm, CK_OBJECT_HANDLE key, unsigned traits,
			 char words[HSM_ATTRIBUTES_SIZE], struct muster_error *err) MUST_CHECK;

/* -- key-type.c, public.c ---------------------------------------------------------------------------------- */

struct hsm_key_type {
	const char *name;
	CK_KEY_TYPE key_type;
	CK_MECHANISM_TYPE generation;
	unsigned bits;
	const char *group;      /* OpenSSL's name of the curve; NULL for RSA */
	const char *parameters; /* CKA_EC_PARAMS: the curve's object identifier in DER */
	size_t parameters_size;
	size_t point_size; /* uncompressed */
};
/* NULL when it is none of ours. */
const struct hsm_key_type *hsm_key_type_by_name(const char *name);
const struct hsm_key_type *hsm_key_type_by_curve(const struct bytes *parameters);
const struct hsm_key_type *hsm_key_type_by_modulus(unsigned bits);

bool hsm_key_type_read(struct hsm *hsm, CK_OBJECT_HANDLE object, CK_KEY_TYPE *ret_type,
		       struct muster_error *err) MUST_CHECK;
/* The public key in an object's attributes, checked (a point lies on its curve, a modulus is not obviously weak).
 * NULL and true when the object does not have it, or the curve is none of ours. */
bool hsm_public_read(struct hsm *hsm, CK_OBJECT_HANDLE object, EVP_PKEY **ret_key,
		     const struct hsm_key_type **ret_type, struct muster_error *err) MUST_CHECK;
/* The public half of a private key: from the public object of the same ID, else from the private one. */
bool hsm_public_of(struct hsm *hsm, CK_OBJECT_HANDLE private_key, const struct hsm_id *id,
		   EVP_PKEY **ret_key, const struct hsm_key_type **ret_type,
		   struct muster_error *err) MUST_CHECK;

/* DER. */
bool hsm_spki_of(EVP_PKEY *public_half, struct bytes *ret_spki, struct muster_error *err)
	MUST_CHECK;

/* -- sign.c ------------------------------------------------------------------------------------------------ */

/* A random digest, signed by the one half and verified with the other. *ret_tried is false where the token has no way to sign with
 * keys of that type. */
bool hsm_sign_random(struct hsm *hsm, CK_OBJECT_HANDLE private_half, EVP_PKEY *public_half,
		     bool *ret_tried, struct muster_error *err) MUST_CHECK;

/* -- key.c ------------------------------------------------------------------------------------------------- */

/* The object's CKA_ID; size 0 when it has none. */
bool hsm_id_read(struct hsm *hsm, CK_OBJECT_HANDLE object, struct hsm_id *ret_id,
		 struct muster_error *err) MUST_CHECK;
/* The one private key of that ID: CAUSE_KEY_NOT_FOUND, CAUSE_KEY_AMBIGUOUS. */
bool hsm_private_key(struct hsm *hsm, const struct hsm_id *id, CK_OBJECT_HANDLE *ret_key,
		     struct muster_error *err) MUST_CHECK;
/* Fails with CAUSE_HSM_UNSUPPORTED when the token does not offer the mechanism for that use (a CKF_ flag). */
bool hsm_require_mechanism(struct hsm *hsm, CK_MECHANISM_TYPE mechanism, CK_FLAGS use,
			   const char *what, struct muster_error *err) MUST_CHECK;

/* -- wrap.c ------------------------------------------------------------------------------------------------ */

/* Fails with CAUSE_HSM_UNSUPPORTED when the token could not wrap a key out for a device. */
bool hsm_require_wrapping(struct hsm *hsm, struct muster_error *err) MUST_CHECK;
/* As hsm_wrap_out, of any key. */
bool hsm_wrap_object(struct hsm *hsm, CK_OBJECT_HANDLE key, const struct bytes *recipient_spki,
		     uint8_t *out, size_t max, size_t *ret_size, char method[HSM_METHOD_SIZE],
		     struct muster_error *err) MUST_CHECK;
/* RFC 5649 with OpenSSL, as the recipient does it; `out` has room for `size`. */
bool hsm_unwrap_in_software(const uint8_t *key, const uint8_t *wrapped, size_t size, uint8_t *out,
			    size_t *ret_size) MUST_CHECK;
/* Can it wrap at all? */
bool hsm_has_way_out(struct hsm *hsm);
/* Does the token refuse to wrap this key, by whatever way it has? */
bool hsm_keeps(struct hsm *hsm, CK_OBJECT_HANDLE key, bool *ret_keeps, struct muster_error *err)
	MUST_CHECK;
