/* A PKCS#11 module that misbehaves on request: SoftHSM with one function bent, named by MUSTER_FAULT. A fault is a word, or
 * "C_Sign=0x30@2": from its second call on, that function returns that number. Each C_Login is noted as a byte in the
 * file MUSTER_FAULT_LOGINS; with MUSTER_FAULT_TRIES, a file that holds the tries left, a wrong PIN costs one, is
 * reported in the token's flags, and the last one locks. "hangs-in-login" goes on when the file MUSTER_FAULT_GO is there. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
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

/* Whether this call of the function is to fail, and with what. */
static bool fails(const char *function, CK_RV *ret_rv)
{
	static struct {
		const char *function;
		unsigned long calls;
	} counts[32];
	const char *asked = getenv("MUSTER_FAULT");
	size_t length = strlen(function), row = 0;
	unsigned long first = 1;
	char *end;

	if (!asked || strncmp(asked, function, length) != 0 || asked[length] != '=')
		return false;
	*ret_rv = strtoul(asked + length + 1, &end, 0);
	if (*end == '@')
		first = strtoul(end + 1, NULL, 10);
	while (counts[row].function && strcmp(counts[row].function, function) != 0)
		row++;
	counts[row].function = function;
	return ++counts[row].calls >= first;
}

/* A function that is only bent by number. */
#define PLAIN(function, parameters, arguments)                                \
	static CK_RV bent_##function parameters                               \
	{                                                                     \
		CK_RV rv;                                                     \
                                                                              \
		return fails(#function, &rv) ? rv : real->function arguments; \
	}

PLAIN(C_Initialize, (void *arguments), (arguments))
PLAIN(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO *info), (slot, info))
PLAIN(C_FindObjectsInit, (CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count),
      (session, template, count))
PLAIN(C_GetSessionInfo, (CK_SESSION_HANDLE session, CK_SESSION_INFO *info), (session, info))
PLAIN(C_CreateObject,
      (CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object),
      (session, template, count, object))
PLAIN(C_DestroyObject, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object), (session, object))

/* P-256's generator: a point of the curve, and nobody's public key but of the private key 1. */
#define GENERATOR                                                          \
	"\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2" \
	"\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96" \
	"\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16" \
	"\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5"
#define P256 "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"

/* A template with what a created object needs beside it. */
static CK_RV create(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, CK_ATTRIBUTE *template,
		    CK_ULONG count, CK_ATTRIBUTE material, CK_OBJECT_HANDLE *object)
{
	CK_KEY_TYPE type = CKK_EC;
	char curve[] = P256;
	CK_ATTRIBUTE all[32] = { { CKA_CLASS, &class, sizeof(class) },
				 { CKA_KEY_TYPE, &type, sizeof(type) },
				 { CKA_EC_PARAMS, curve, sizeof(curve) - 1 },
				 material };
	CK_ULONG used = 4;

	for (CK_ULONG i = 0; i < count; i++)
		if (template[i].type != CKA_EC_PARAMS)
			all[used++] = template[i];
	return real->C_CreateObject(session, all, used, object);
}

/* A token whose random numbers are always the same. */
static CK_RV repeat(CK_SESSION_HANDLE session, CK_ATTRIBUTE *public_half, CK_ULONG public_count,
		    CK_ATTRIBUTE *private_half, CK_ULONG private_count,
		    CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
	char point[] = "\x04\x41\x04" GENERATOR, value[32] = { [31] = 1 };
	CK_ATTRIBUTE public_material = { CKA_EC_POINT, point, sizeof(point) - 1 };
	CK_ATTRIBUTE private_material = { CKA_VALUE, value, sizeof(value) };
	CK_RV rv = create(session, CKO_PUBLIC_KEY, public_half, public_count, public_material,
			  public_key);

	return rv == CKR_OK ? create(session, CKO_PRIVATE_KEY, private_half, private_count,
				     private_material, private_key)
			    : rv;
}

static bool is_labelled(const CK_ATTRIBUTE *template, CK_ULONG count, const char *label)
{
	for (CK_ULONG i = 0; i < count; i++)
		if (template[i].type == CKA_LABEL && template[i].ulValueLen == strlen(label))
			return memcmp(template[i].pValue, label, strlen(label)) == 0;
	return false;
}

static CK_RV generate_pair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
			   CK_ATTRIBUTE *public_half, CK_ULONG public_count,
			   CK_ATTRIBUTE *private_half, CK_ULONG private_count,
			   CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
	CK_RV rv;

	if (fails("C_GenerateKeyPair", &rv))
		return rv;
	if (is_asked("falls-for-bad") && is_labelled(public_half, public_count, "bad"))
		abort();
	if (is_asked("repeats"))
		return repeat(session, public_half, public_count, private_half, private_count,
			      public_key, private_key);
	return real->C_GenerateKeyPair(session, mechanism, public_half, public_count, private_half,
				       private_count, public_key, private_key);
}

/* -- The PIN counter ------------------------------------------------------------------------------------------- */

enum { TRIES = 3 };

/* -1: no counter. */
static int tries_left(void)
{
	const char *path = getenv("MUSTER_FAULT_TRIES");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char digit = '0' + TRIES;

	if (!path)
		return -1;
	if (fd >= 0 && read(fd, &digit, 1) != 1)
		digit = '0' + TRIES;
	if (fd >= 0)
		close(fd);
	return digit - '0';
}

static void set_tries(int tries)
{
	int fd = open(getenv("MUSTER_FAULT_TRIES"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char digit = (char)('0' + tries);

	if (fd < 0 || write(fd, &digit, 1) != 1)
		abort();
	close(fd);
}

static CK_FLAGS counter_flags(void)
{
	switch (tries_left()) {
	case 0:
		return CKF_USER_PIN_LOCKED;
	case 1:
		return CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY;
	case 2:
		return CKF_USER_PIN_COUNT_LOW;
	default:
		return 0;
	}
}

static CK_RV count_try(CK_RV rv)
{
	int left = tries_left();

	if (left < 0)
		return rv;
	if (rv == CKR_OK)
		set_tries(TRIES);
	else if (rv == CKR_PIN_INCORRECT)
		set_tries(left - 1);
	return rv;
}

/* -- Named faults ------------------------------------------------------------------------------------------------ */

static CK_RV get_slot_list(unsigned char present, CK_SLOT_ID *slots, CK_ULONG *count)
{
	CK_RV rv;

	if (fails("C_GetSlotList", &rv))
		return rv;
	rv = real->C_GetSlotList(present, slots, count);
	if (is_asked("many-slots"))
		*count = (CK_ULONG)1 << 62;
	return rv;
}

static bool opened; /* a session was */

/* Another process has logged in before. */
static bool was_used(void)
{
	const char *path = getenv("MUSTER_FAULT_LOGINS");

	return !opened && path && access(path, F_OK) == 0;
}

/* "lost", "lost-...": the first signature finds the token pulled, and put back, or another one in its place. */
static bool was_lost;

static bool is_lost_as(const char *fault)
{
	return was_lost && is_asked(fault);
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	static unsigned calls;
	CK_RV rv;

	if (fails("C_GetTokenInfo", &rv))
		return rv;
	rv = real->C_GetTokenInfo(slot, info);
	calls++;
	if (getenv("MUSTER_FAULT_TRIES"))
		info->flags =
			(info->flags & ~(CK_FLAGS)(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY |
						   CKF_USER_PIN_LOCKED)) |
			counter_flags();
	/* NSS, whose label is fixed. */
	if (is_asked("keeps-label"))
		memcpy(info->label, "Certificate DB                  ", sizeof(info->label));
	/* A maker that numbers no tokens. */
	if (is_asked("one-serial"))
		memcpy(info->serialNumber, "0000000000000001", sizeof(info->serialNumber));
	if (is_asked("not-text"))
		memset(info->label, 0xff, sizeof(info->label));
	if (is_asked("no-pin-length"))
		info->ulMinPinLen = info->ulMaxPinLen = CK_UNAVAILABLE_INFORMATION;
	if (is_asked("crossed-pin-length"))
		info->ulMinPinLen = 300;
	if (is_asked("long-pins"))
		info->ulMinPinLen = 64;
	/* After the opening, whatever it asks: another token sits in each slot. */
	if ((is_asked("reinserted") && opened) ||
	    (is_asked("hangs-and-is-exchanged") && was_used()))
		memcpy(info->serialNumber, "another token    ", sizeof(info->serialNumber));
	if (is_asked("count-low"))
		info->flags |= CKF_USER_PIN_COUNT_LOW;
	if (is_asked("final-try"))
		info->flags |= CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY;
	if (is_asked("locked"))
		info->flags |= CKF_USER_PIN_LOCKED;
	if (is_asked("expired"))
		info->flags |= CKF_USER_PIN_TO_BE_CHANGED;
	if (is_lost_as("lost-other"))
		memcpy(info->serialNumber, "another token    ", sizeof(info->serialNumber));
	if (is_lost_as("lost-low"))
		info->flags |= CKF_USER_PIN_COUNT_LOW;
	if (is_lost_as("lost-gone"))
		return CKR_TOKEN_NOT_PRESENT;
	/* The four seats are looked at on opening; the next look is the login's. */
	if (is_asked("exchanged") && calls > 4)
		memcpy(info->serialNumber, "another token    ", sizeof(info->serialNumber));
	if (is_asked("removed") && calls > 4)
		return CKR_TOKEN_NOT_PRESENT;
	return rv;
}

static CK_RV get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
	CK_RV rv;

	if (fails("C_GetMechanismInfo", &rv))
		return rv;
	if (is_asked("no-hmac") && type == CKM_SHA256_HMAC)
		return CKR_MECHANISM_INVALID;
	if (is_asked("no-curves") && type == CKM_EC_KEY_PAIR_GEN)
		return CKR_MECHANISM_INVALID;
	return real->C_GetMechanismInfo(slot, type, info);
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *data, CK_NOTIFY notify,
			  CK_SESSION_HANDLE *session)
{
	CK_RV rv;

	if (fails("C_OpenSession", &rv))
		return rv;
	if (is_asked("no-session"))
		return CKR_DEVICE_ERROR;
	opened = true;
	return real->C_OpenSession(slot, flags, data, notify, session);
}

/* What the module does when the token has answered. */
static CK_RV answer_login(CK_RV rv)
{
	const char *path = getenv("MUSTER_FAULT_GO");

	if (is_asked("dies-in-login"))
		abort();
	while (is_asked("hangs-in-login") && (!path || access(path, F_OK) < 0))
		usleep(10000);
	return is_asked("in-already") && rv == CKR_OK ? CKR_USER_ALREADY_LOGGED_IN : rv;
}

static CK_RV note_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin,
			CK_ULONG size)
{
	const char *path = getenv("MUSTER_FAULT_LOGINS");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	CK_RV rv;

	if (fd >= 0) {
		if (write(fd, "x", 1) != 1)
			abort();
		close(fd);
	}
	if (fails("C_Login", &rv))
		return rv;
	if (is_asked("pin-locked") || tries_left() == 0)
		return CKR_PIN_LOCKED;
	if (is_asked("pin-refused") || is_lost_as("lost-pin"))
		return CKR_PIN_INCORRECT;
	return answer_login(count_try(real->C_Login(session, user, pin, size)));
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
	if (is_asked("empty-point") && attribute->type == CKA_EC_POINT)
		attribute->ulValueLen = 0;
	if (is_asked("another-curve") && attribute->type == CKA_EC_PARAMS && value &&
	    attribute->ulValueLen == 10)
		value[9] = 6;
	if (is_asked("repeats") && value &&
	    (attribute->type == CKA_LOCAL || attribute->type == CKA_ALWAYS_SENSITIVE ||
	     attribute->type == CKA_NEVER_EXTRACTABLE))
		*value = CK_TRUE;
	if (is_asked("not-local") && attribute->type == CKA_LOCAL && value)
		*value = CK_FALSE;
	if (is_asked("was-extractable") && attribute->type == CKA_NEVER_EXTRACTABLE && value)
		*value = CK_FALSE;
	if (is_asked("may-wrap") && attribute->type == CKA_UNWRAP && value)
		*value = CK_TRUE;
	if (is_asked("huge-attribute") && attribute->type == CKA_EC_POINT)
		attribute->ulValueLen = (CK_ULONG)1 << 62;
	if (attribute->type != CKA_EC_POINT || !value || attribute->ulValueLen != 67)
		return;
	if (is_asked("wrong-key"))
		memcpy(value + 3, GENERATOR, 64);
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
	CK_RV rv;

	if (fails("C_GetAttributeValue", &rv))
		return rv;
	rv = real->C_GetAttributeValue(session, object, attributes, count);
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
	CK_RV rv;

	if (fails("C_FindObjects", &rv))
		return rv;
	rv = real->C_FindObjects(session, objects, max, count);
	if (is_asked("twice") && *count == 1 && max > 1)
		objects[(*count)++] = objects[0];
	if (is_asked("many-objects"))
		*count = (CK_ULONG)1 << 62;
	return rv;
}

static void lose(CK_SESSION_HANDLE session)
{
	const char *asked = getenv("MUSTER_FAULT");
	CK_SESSION_INFO info;

	if (was_lost || !asked || strncmp(asked, "lost", 4) != 0)
		return;
	was_lost = true;
	if (is_asked("lost-login"))
		real->C_Logout(session);
	else if (real->C_GetSessionInfo(session, &info) == CKR_OK)
		real->C_CloseAllSessions(info.slotID);
}

static bool is_bad(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
	char label[256];
	CK_ATTRIBUTE wanted = { CKA_LABEL, label, sizeof(label) };

	return real->C_GetAttributeValue(session, key, &wanted, 1) == CKR_OK &&
	       is_labelled(&wanted, 1, "bad");
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	CK_RV rv;

	lose(session);
	while ((is_asked("hangs-for-bad") || is_asked("hangs-and-is-exchanged")) &&
	       is_bad(session, key))
		pause();
	if (is_asked("lost-device") &&
	    real->C_GetSessionInfo(session, &(CK_SESSION_INFO){ 0 }) != CKR_OK)
		return CKR_DEVICE_REMOVED;
	return fails("C_SignInit", &rv) ? rv : real->C_SignInit(session, mechanism, key);
}

static CK_RV sign(CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG data_size,
		  unsigned char *signature, CK_ULONG *size)
{
	CK_RV rv;

	if (fails("C_Sign", &rv))
		return rv;
	rv = real->C_Sign(session, data, data_size, signature, size);
	if (is_asked("crash"))
		_exit(99);
	if (is_asked("abort"))
		abort();
	if (is_asked("hang"))
		for (;;)
			pause();
	if (is_asked("ends-well"))
		_exit(0);
	/* The worker's socket to the station. */
	if (is_asked("shuts-the-door"))
		close(3);
	if (is_asked("answers-itself") && write(3, "\1\0\0\0garbage", 11) != 11)
		abort();
	if (is_asked("empty-signature"))
		*size = 0;
	if (is_asked("short-signature"))
		*size = 63;
	if (is_asked("bad-signature") && signature)
		signature[0] ^= 1;
	if (is_asked("wrong-hmac") && signature && *size == 32)
		signature[31] ^= 1;
	if (is_asked("huge-signature"))
		*size = (CK_ULONG)1 << 62;
	if (is_asked("sign-refused"))
		return CKR_DEVICE_ERROR;
	return rv;
}

/* Hands out what is not extractable, as some modules do. */
static CK_RV wrap_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping,
		      CK_OBJECT_HANDLE key, unsigned char *out, CK_ULONG *size)
{
	CK_RV rv;

	if (fails("C_WrapKey", &rv))
		return rv;
	rv = real->C_WrapKey(session, mechanism, wrapping, key, out, size);
	if (rv != CKR_KEY_UNEXTRACTABLE || !is_asked("wraps-all"))
		return rv;
	*size = 40;
	memset(out, 1, *size);
	return CKR_OK;
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
	bent.C_Initialize = bent_C_Initialize;
	bent.C_GetSlotInfo = bent_C_GetSlotInfo;
	bent.C_FindObjectsInit = bent_C_FindObjectsInit;
	bent.C_SignInit = sign_init;
	bent.C_GetSessionInfo = bent_C_GetSessionInfo;
	bent.C_CreateObject = bent_C_CreateObject;
	bent.C_DestroyObject = bent_C_DestroyObject;
	bent.C_GenerateKeyPair = generate_pair;
	bent.C_GetSlotList = get_slot_list;
	bent.C_GetTokenInfo = get_token_info;
	bent.C_GetMechanismInfo = get_mechanism_info;
	bent.C_OpenSession = open_session;
	bent.C_Login = note_login;
	bent.C_GetAttributeValue = get_attribute_value;
	bent.C_FindObjects = find_objects;
	bent.C_Sign = sign;
	bent.C_WrapKey = wrap_key;
	*list = &bent;
	return CKR_OK;
}
