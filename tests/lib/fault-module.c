/* A PKCS#11 module that misbehaves on request: SoftHSM with one function bent, named by MUSTER_FAULT. Each C_Login is
 * noted as a byte in the file MUSTER_FAULT_LOGINS. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

#define REAL_MODULE "/usr/lib/softhsm/libsofthsm2.so"

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST bent;

static bool is_asked(const char *fault)
{
	const char *asked = getenv("MUSTER_FAULT");

	return asked && strcmp(asked, fault) == 0;
}

static CK_RV get_slot_list(unsigned char present, CK_SLOT_ID *slots, CK_ULONG *count)
{
	CK_RV rv = real->C_GetSlotList(present, slots, count);

	if (is_asked("many-slots"))
		*count = (CK_ULONG)1 << 62;
	return rv;
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	static unsigned calls;
	CK_RV rv = real->C_GetTokenInfo(slot, info);

	calls++;
	if (is_asked("count-low"))
		info->flags |= CKF_USER_PIN_COUNT_LOW;
	if (is_asked("final-try"))
		info->flags |= CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY;
	if (is_asked("locked"))
		info->flags |= CKF_USER_PIN_LOCKED;
	if (is_asked("expired"))
		info->flags |= CKF_USER_PIN_TO_BE_CHANGED;
	/* The four seats are looked at twice by us and by libp11 on opening; the next look is the login's. */
	if (is_asked("exchanged") && calls > 8)
		memcpy(info->serialNumber, "another token    ", sizeof(info->serialNumber));
	if (is_asked("removed") && calls > 8)
		return CKR_TOKEN_NOT_PRESENT;
	return rv;
}

static CK_RV get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
	if (is_asked("no-hmac") && type == CKM_SHA256_HMAC)
		return CKR_MECHANISM_INVALID;
	if (is_asked("no-curves") && type == CKM_EC_KEY_PAIR_GEN)
		return CKR_MECHANISM_INVALID;
	return real->C_GetMechanismInfo(slot, type, info);
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *data, CK_NOTIFY notify,
			  CK_SESSION_HANDLE *session)
{
	if (is_asked("no-session"))
		return CKR_DEVICE_ERROR;
	return real->C_OpenSession(slot, flags, data, notify, session);
}

static CK_RV note_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin,
			CK_ULONG size)
{
	const char *path = getenv("MUSTER_FAULT_LOGINS");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	if (fd >= 0) {
		if (write(fd, "x", 1) != 1)
			abort();
		close(fd);
	}
	if (is_asked("pin-locked"))
		return CKR_PIN_LOCKED;
	if (is_asked("pin-refused"))
		return CKR_PIN_INCORRECT;
	return real->C_Login(session, user, pin, size);
}

/* Bends one attribute of an answer that the module gave. */
static void bend(CK_ATTRIBUTE *attribute)
{
	unsigned char *value = attribute->pValue;

	if (is_asked("extractable") && attribute->type == CKA_EXTRACTABLE && value)
		*value = CK_TRUE;
	if (is_asked("may-decrypt") && attribute->type == CKA_DECRYPT && value)
		*value = CK_TRUE;
	if (is_asked("not-boolean") && attribute->type == CKA_SENSITIVE && value)
		*value = 42;
	if (is_asked("huge-attribute") && attribute->type == CKA_EC_POINT)
		attribute->ulValueLen = (CK_ULONG)1 << 62;
	if (attribute->type != CKA_EC_POINT || !value || attribute->ulValueLen != 67)
		return;
	if (is_asked("off-curve"))
		value[66] ^= 1;
	if (is_asked("bare-point")) {
		memmove(value, value + 2, 65);
		attribute->ulValueLen = 65;
	}
	if (is_asked("cut-point"))
		attribute->ulValueLen = 66;
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
				 CK_ATTRIBUTE *attributes, CK_ULONG count)
{
	CK_RV rv = real->C_GetAttributeValue(session, object, attributes, count);

	for (CK_ULONG i = 0; i < count; i++) {
		if (is_asked("nothing-known") && attributes[i].type == CKA_LOCAL) {
			attributes[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
			return CKR_ATTRIBUTE_TYPE_INVALID;
		}
		bend(&attributes[i]);
	}
	return rv;
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects, CK_ULONG max,
			  CK_ULONG *count)
{
	CK_RV rv = real->C_FindObjects(session, objects, max, count);

	if (is_asked("many-objects"))
		*count = (CK_ULONG)1 << 62;
	return rv;
}

static CK_RV sign(CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG data_size,
		  unsigned char *signature, CK_ULONG *size)
{
	CK_RV rv = real->C_Sign(session, data, data_size, signature, size);

	if (is_asked("crash"))
		_exit(99);
	if (is_asked("bad-signature") && signature)
		signature[0] ^= 1;
	if (is_asked("huge-signature"))
		*size = (CK_ULONG)1 << 62;
	if (is_asked("sign-refused"))
		return CKR_DEVICE_ERROR;
	return rv;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
	CK_RV (*get_list)(CK_FUNCTION_LIST **);
	void *handle = dlopen(REAL_MODULE, RTLD_NOW | RTLD_LOCAL);
	void *symbol = handle ? dlsym(handle, "C_GetFunctionList") : NULL;
	const char words[] = "a module that talks\n";

	if (!symbol)
		return CKR_GENERAL_ERROR;
	if (write(STDOUT_FILENO, words, strlen(words)) < 0)
		return CKR_GENERAL_ERROR;
	memcpy(&get_list, &symbol, sizeof(get_list));
	if (get_list(&real) != CKR_OK)
		return CKR_GENERAL_ERROR;
	bent = *real;
	bent.C_GetFunctionList = C_GetFunctionList;
	bent.C_GetSlotList = get_slot_list;
	bent.C_GetTokenInfo = get_token_info;
	bent.C_GetMechanismInfo = get_mechanism_info;
	bent.C_OpenSession = open_session;
	bent.C_Login = note_login;
	bent.C_GetAttributeValue = get_attribute_value;
	bent.C_FindObjects = find_objects;
	bent.C_Sign = sign;
	*list = &bent;
	return CKR_OK;
}
