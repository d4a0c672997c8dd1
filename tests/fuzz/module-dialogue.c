/* A hostile module: every answer is made of the input, at best a good one, at worst a number, a length or a value that cannot
 * be true. Nothing that comes of it may harm the worker; no PIN goes to a token that is not the one that was opened, or
 * that says it must not be tried; and what is signed verifies with the key that was shown. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>

#include "../../src/hsm/hsm-internal.h"
#include "fuzz.h"

#define SLOT 7
#define SLOT_COUNT 3
#define PIN "246810"

/* -- The input ------------------------------------------------------------------------------------------------- */

static const uint8_t *input;
static size_t input_size;

static uint8_t take_byte(void)
{
	if (input_size == 0)
		return 0;
	input_size--;
	return *input++;
}

static void take_bytes(void *out, size_t size)
{
	for (uint8_t *at = out; size > 0; size--)
		*at++ = take_byte();
}

/* A good answer when the input is over. */
enum answer { GOOD, ODD_NUMBER, ODD_LENGTH, ODD_VALUE };

static enum answer take_answer(void)
{
	uint8_t byte = take_byte();

	return byte < 0xc0 ? GOOD : (enum answer)(1 + byte % 3);
}

static CK_RV take_number(void)
{
	static const CK_RV numbers[] = {
		CKR_GENERAL_ERROR,
		CKR_FUNCTION_FAILED,
		CKR_DEVICE_ERROR,
		CKR_DEVICE_REMOVED,
		CKR_TOKEN_NOT_PRESENT,
		CKR_SESSION_HANDLE_INVALID,
		CKR_USER_NOT_LOGGED_IN,
		CKR_PIN_INCORRECT,
		CKR_PIN_LOCKED,
		CKR_ATTRIBUTE_TYPE_INVALID,
		CKR_ATTRIBUTE_SENSITIVE,
		CKR_BUFFER_TOO_SMALL,
		CKR_OBJECT_HANDLE_INVALID,
		CKR_MECHANISM_INVALID,
		CKR_USER_ALREADY_LOGGED_IN,
		CKR_CRYPTOKI_NOT_INITIALIZED,
		CKR_VENDOR_DEFINED | 99,
		(CK_RV)-1,
	};

	return numbers[take_byte() % (sizeof(numbers) / sizeof(*numbers))];
}

static CK_ULONG take_length(CK_ULONG good)
{
	static const CK_ULONG odd[] = { 0,    1,         63,        65,
					4096, 1UL << 31, 1UL << 62, CK_UNAVAILABLE_INFORMATION };
	uint8_t byte = take_byte();

	return byte % 4 == 0 ? good : byte % 4 == 1 ? byte : odd[byte / 4 % 8];
}

/* -- The token --------------------------------------------------------------------------------------------------- */

static EVP_PKEY *pair;
static uint8_t point[2 + 65];
static CK_TOKEN_INFO shown[SLOT_COUNT]; /* what each slot showed last */
static bool is_logged_in, was_opened;
static CK_SLOT_ID opened_slot;
static CK_TOKEN_INFO opened; /* what it showed when a session was opened first */

static void fill(unsigned char *field, size_t size, const char *text)
{
	memset(field, ' ', size);
	memcpy(field, text, strlen(text));
}

static CK_RV get_info(CK_INFO *info)
{
	if (take_answer() == ODD_NUMBER)
		return take_number();
	memset(info, ' ', sizeof(*info));
	return CKR_OK;
}

static CK_RV get_slot_list(unsigned char present, CK_SLOT_ID *slots, CK_ULONG *count)
{
	enum answer answer = take_answer();
	CK_ULONG room = *count, there = 1 + take_byte() % SLOT_COUNT;

	(void)present;
	if (answer == ODD_NUMBER)
		return take_number();
	*count = answer == GOOD ? there : take_length(there);
	for (CK_ULONG i = 0; slots && i < room && i < there; i++)
		slots[i] = SLOT + i;
	return CKR_OK;
}

static CK_RV get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
	enum answer answer = take_answer();

	(void)slot;
	if (answer == ODD_NUMBER)
		return take_number();
	memset(info, answer == ODD_VALUE ? 0xff : ' ', sizeof(*info));
	info->flags = CKF_TOKEN_PRESENT;
	return CKR_OK;
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	enum answer answer = take_answer();

	if (slot < SLOT || slot >= SLOT + SLOT_COUNT)
		return CKR_SLOT_ID_INVALID;
	memset(info, 0, sizeof(*info));
	fill(info->label, sizeof(info->label), slot == SLOT ? "fuzz" : "other");
	fill(info->manufacturerID, sizeof(info->manufacturerID), "maker");
	fill(info->model, sizeof(info->model), "model");
	fill(info->serialNumber, sizeof(info->serialNumber), "1");
	info->flags = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED | CKF_LOGIN_REQUIRED;
	info->ulMinPinLen = 4;
	info->ulMaxPinLen = 255;
	if (answer == ODD_NUMBER)
		return take_number();
	if (answer == ODD_LENGTH)
		info->ulMinPinLen = take_length(4);
	if (answer == ODD_VALUE) {
		take_bytes(info->serialNumber, 2);
		info->flags ^= (CK_FLAGS)take_byte() << (8 * (take_byte() % 3));
	}
	shown[slot - SLOT] = *info;
	return CKR_OK;
}

static CK_RV get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
	(void)slot;
	(void)type;
	if (take_answer() == ODD_NUMBER)
		return take_number();
	*info = (CK_MECHANISM_INFO){ 256, 256, ~(CK_FLAGS)0 };
	return CKR_OK;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *data, CK_NOTIFY notify,
			  CK_SESSION_HANDLE *session)
{
	(void)flags;
	(void)data;
	(void)notify;
	if (take_answer() == ODD_NUMBER)
		return take_number();
	if (!was_opened) {
		opened = shown[slot - SLOT];
		opened_slot = slot;
	}
	assert(slot == opened_slot);
	was_opened = true;
	*session = take_byte();
	return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
	(void)session;
	return CKR_OK;
}

static CK_RV get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
	enum answer answer = take_answer();

	(void)session;
	if (answer == ODD_NUMBER)
		return take_number();
	*info = (CK_SESSION_INFO){ .slotID = SLOT };
	info->state = is_logged_in && answer == GOOD ? CKS_RW_USER_FUNCTIONS : take_byte() % 6;
	return CKR_OK;
}

/* What a PIN must never meet. */
static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin, CK_ULONG size)
{
	const CK_TOKEN_INFO *now = &shown[opened_slot - SLOT];

	(void)session;
	assert(user == CKU_USER && size == strlen(PIN) && memcmp(pin, PIN, size) == 0);
	assert(memcmp(now->serialNumber, opened.serialNumber, sizeof(now->serialNumber)) == 0);
	assert(memcmp(now->label, opened.label, sizeof(now->label)) == 0);
	assert(!(now->flags & (CKF_USER_PIN_LOCKED | CKF_USER_PIN_FINAL_TRY |
			       CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_TO_BE_CHANGED)));
	if (take_answer() != GOOD)
		return take_number();
	is_logged_in = true;
	return CKR_OK;
}

/* -- Objects ------------------------------------------------------------------------------------------------------- */

static CK_RV nothing_to_say(void)
{
	return take_answer() == GOOD ? CKR_OK : take_number();
}

static CK_RV find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count)
{
	(void)session;
	(void)template;
	(void)count;
	return nothing_to_say();
}

static CK_RV find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max,
		  CK_ULONG *count)
{
	enum answer answer = take_answer();
	CK_ULONG found = take_byte() % 3;

	(void)session;
	if (answer == ODD_NUMBER)
		return take_number();
	for (CK_ULONG i = 0; i < found && i < max; i++)
		objects[i] = i + 1;
	*count = answer == GOOD ? (found < max ? found : max) : take_length(found);
	return CKR_OK;
}

static CK_RV session_only(CK_SESSION_HANDLE session)
{
	(void)session;
	return nothing_to_say();
}

static CK_ULONG good_value(CK_ATTRIBUTE_TYPE type, uint8_t value[80])
{
	static const CK_ATTRIBUTE_TYPE always[] = {
		CKA_TOKEN, CKA_PRIVATE,          CKA_SENSITIVE,        CKA_LOCAL,
		CKA_SIGN,  CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE
	};
	CK_KEY_TYPE key_type = CKK_EC;
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;

	switch (type) {
	case CKA_KEY_TYPE:
		memcpy(value, &key_type, sizeof(key_type));
		return sizeof(key_type);
	case CKA_CLASS:
		memcpy(value, &class, sizeof(class));
		return sizeof(class);
	case CKA_EC_PARAMS:
		memcpy(value, "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10);
		return 10;
	case CKA_EC_POINT:
		memcpy(value, point, sizeof(point));
		return sizeof(point);
	case CKA_ID:
	case CKA_LABEL:
		memcpy(value, "id", 2);
		return 2;
	default:
		break;
	}
	value[0] = CK_FALSE;
	for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++)
		if (always[i] == type)
			value[0] = CK_TRUE;
	return 1;
}

static CK_RV get_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
			   CK_ATTRIBUTE *attributes, CK_ULONG count)
{
	CK_RV rv = CKR_OK;

	(void)session;
	(void)object;
	for (CK_ULONG i = 0; i < count; i++) {
		enum answer answer = take_answer();
		uint8_t value[80];
		CK_ULONG size = good_value(attributes[i].type, value);

		if (answer == ODD_NUMBER)
			rv = take_number();
		if (answer == ODD_VALUE)
			take_bytes(value, take_byte() % sizeof(value));
		if (attributes[i].pValue)
			memcpy(attributes[i].pValue, value,
			       size < attributes[i].ulValueLen ? size : attributes[i].ulValueLen);
		attributes[i].ulValueLen = answer == ODD_LENGTH ? take_length(size) : size;
	}
	return rv;
}

static CK_RV generate_pair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
			   CK_ATTRIBUTE *public_half, CK_ULONG public_count,
			   CK_ATTRIBUTE *private_half, CK_ULONG private_count,
			   CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
	(void)session;
	(void)mechanism;
	(void)public_half;
	(void)public_count;
	(void)private_half;
	(void)private_count;
	*public_key = *private_key = take_byte();
	return nothing_to_say();
}

static CK_RV generate_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
			  CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *key)
{
	(void)session;
	(void)mechanism;
	(void)template;
	(void)count;
	*key = take_byte();
	return nothing_to_say();
}

static CK_RV create(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count,
		    CK_OBJECT_HANDLE *object)
{
	return generate_key(session, NULL, template, count, object);
}

static CK_RV destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
	(void)object;
	return session_only(session);
}

static CK_MECHANISM_TYPE signing_with;

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	(void)key;
	signing_with = mechanism->mechanism;
	return session_only(session);
}

static bool sign_truly(const unsigned char *digest, CK_ULONG size, unsigned char raw[64])
{
	uint8_t der[128];
	const uint8_t *cursor = der;
	size_t der_size = sizeof(der);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pair, NULL);
	ECDSA_SIG *made = NULL;
	bool good = context && EVP_PKEY_sign_init(context) == 1 &&
		    EVP_PKEY_sign(context, der, &der_size, digest, size) == 1 &&
		    (made = d2i_ECDSA_SIG(NULL, &cursor, (long)der_size)) &&
		    BN_bn2binpad(ECDSA_SIG_get0_r(made), raw, 32) == 32 &&
		    BN_bn2binpad(ECDSA_SIG_get0_s(made), raw + 32, 32) == 32;

	ECDSA_SIG_free(made);
	EVP_PKEY_CTX_free(context);
	return good;
}

static CK_RV sign(CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG data_size,
		  unsigned char *signature, CK_ULONG *size)
{
	enum answer answer = take_answer();
	CK_ULONG room = *size, made = signing_with == CKM_ECDSA ? 64 : 32;

	(void)session;
	assert(room >= 64);
	memset(signature, 0x5a, room);
	if (answer == ODD_NUMBER)
		return take_number();
	if (made == 64 && !sign_truly(data, data_size, signature))
		return CKR_FUNCTION_FAILED;
	if (answer == ODD_VALUE)
		take_bytes(signature, take_byte() % 64);
	*size = answer == ODD_LENGTH ? take_length(made) : made;
	return CKR_OK;
}

static CK_FUNCTION_LIST fake = {
	.version = { 2, 40 },
	.C_GetInfo = get_info,
	.C_GetSlotList = get_slot_list,
	.C_GetSlotInfo = get_slot_info,
	.C_GetTokenInfo = get_token_info,
	.C_GetMechanismInfo = get_mechanism_info,
	.C_OpenSession = open_session,
	.C_CloseSession = close_session,
	.C_CloseAllSessions = close_session,
	.C_GetSessionInfo = get_session_info,
	.C_Login = login,
	.C_Logout = close_session,
	.C_FindObjectsInit = find_init,
	.C_FindObjects = find,
	.C_FindObjectsFinal = session_only,
	.C_GetAttributeValue = get_attribute,
	.C_GenerateKeyPair = generate_pair,
	.C_GenerateKey = generate_key,
	.C_CreateObject = create,
	.C_DestroyObject = destroy,
	.C_SignInit = sign_init,
	.C_Sign = sign,
};

/* -- What the worker is asked ------------------------------------------------------------------------------------- */

static struct hsm *hsm;
static struct muster_error err;
static const struct hsm_id id = { "id", 2 };

static void ask_generate(void)
{
	CLEANUP(hsm_key_done) struct hsm_key key = { 0 };

	if (!hsm_key_generate(hsm, &id, "label", "ec-p256", 0, &key, &err))
		return;
	assert(key.spki.size > 0 && strstr(key.attributes, "extractable=false"));
}

static void ask_sign(void)
{
	static const uint8_t digest[32] = "0123456789abcdef0123456789abcde";
	struct bytes data = { (uint8_t *)(uintptr_t)digest, sizeof(digest) };
	uint8_t signature[SIGNER_SIGNATURE_MAX];
	size_t size;

	if (hsm_sign(hsm, &id, SIGNER_ECDSA, SIGNER_SHA256, &data, signature, &size, &err)) {
		EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(hsm->signing.public_half, NULL);

		assert(context && EVP_PKEY_verify_init(context) == 1 &&
		       EVP_PKEY_verify(context, signature, size, digest, sizeof(digest)) == 1);
		EVP_PKEY_CTX_free(context);
	}
}

static void ask_find(void)
{
	CLEANUP(hsm_key_done) struct hsm_key key = { 0 };
	bool found;

	(void)!hsm_key_find(hsm, &id, NULL, &found, &key, &err);
}

static void ask_find_by_uri(void)
{
	CLEANUP(hsm_key_done) struct hsm_key key = { 0 };
	bool found;

	(void)!hsm_key_find(hsm, NULL, "pkcs11:object=label", &found, &key, &err);
}

static void ask_certificate(void)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };
	struct hsm_id found_id;
	bool found;

	(void)!hsm_certificate_find(hsm, "pkcs11:object=label", NULL, &found, &found_id, &der,
				    &err);
}

static void ask_list(void)
{
	struct hsm_id ids[HSM_KEYS_MAX];
	size_t count;

	if (hsm_keys_list(hsm, NULL, ids, &count, &err))
		assert(count <= HSM_KEYS_MAX);
	if (hsm_keys_list(hsm, "label", ids, &count, &err))
		assert(count <= HSM_KEYS_MAX);
}

static void ask_names(void)
{
	CLEANUP(text_done) struct text names = TEXT_MAX(HSM_KEY_NAMES_MAX);
	size_t index = 0, count;

	if (hsm_key_names(hsm, &index, &names, &count, &err))
		assert(index <= count);
}

static void ask_objects(void)
{
	size_t count;

	if (!hsm_objects_collect(hsm, &count, &err))
		return;
	for (size_t i = 0; i < count && i < 4; i++) {
		CLEANUP(hsm_object_done) struct hsm_object object = { 0 };
		bool found;

		(void)!hsm_object_look(hsm, i, &object, &found, &err);
	}
}

static void ask_hmac(void)
{
	struct bytes ids = { (uint8_t[]){ 'a', '\n', 'b', '\n' }, 4 };
	char attributes[HSM_ATTRIBUTES_SIZE];
	uint8_t macs[WORKER_IDS_MAX * 32];
	size_t count;

	(void)!hsm_derive(hsm, "pkcs11:object=master", &ids, macs, &count, attributes, &err);
}

static void ask_master(void)
{
	char attributes[HSM_ATTRIBUTES_SIZE];

	(void)!hsm_master_generate(hsm, &id, "master", 256, 0, attributes, &err);
}

static void ask_destroy(void)
{
	bool found;

	(void)!hsm_key_destroy(hsm, &id, &found, &err);
}

static void ask_sweep(void)
{
	bool swept;

	(void)!hsm_torn_sweep(hsm, &swept, &err);
}

static void ask_recover(void)
{
	(void)!hsm_recover(hsm, &err);
}

static void (*const questions[])(void) = {
	ask_generate, ask_sign,        ask_find,   ask_find_by_uri, ask_list,
	ask_objects,  ask_hmac,        ask_master, ask_destroy,     ask_sweep,
	ask_recover,  ask_certificate, ask_names,
};

static void talk(void)
{
	struct secret pin = { (uint8_t *)(uintptr_t)PIN, strlen(PIN), 0 };
	struct hsm_token token;
	bool is_accepted;
	size_t count;

	(void)!hsm_token_look(hsm, 0, &token, &count, &err);
	if (!hsm_token_open(hsm, "pkcs11:token=fuzz", &token, &err) ||
	    !hsm_login(hsm, &pin, false, &is_accepted, &err))
		return;
	for (size_t i = 0; i < 4 && input_size > 0; i++) {
		questions[take_byte() % (sizeof(questions) / sizeof(*questions))]();
		if (hsm_is_lost(&err))
			(void)!hsm_recover(hsm, &err);
	}
}

static void make_pair(void)
{
	size_t size;

	pair = EVP_EC_gen("P-256");
	point[0] = 0x04;
	point[1] = 65;
	assert(pair &&
	       EVP_PKEY_get_octet_string_param(pair, "encoded-pub-key", point + 2, 65, &size) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!pair)
		make_pair();
	input = data;
	input_size = size;
	is_logged_in = was_opened = false;
	err = (struct muster_error){ 0 };
	assert(hsm_new(&hsm, &err));
	hsm->calls = &fake;
	hsm->is_initialised = true;
	hsm->module_path = strdup("/fake.so");
	talk();
	ERR_clear_error();
	hsm_token_close(hsm);
	hsm->is_initialised = false; /* there is no module to be ended */
	hsm_free(hsm);
	return 0;
}
