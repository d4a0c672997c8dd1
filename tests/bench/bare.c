/* The bare loops that `scripts/bench hsm` holds muster against. Each prints operations per second.
 *   bare openssl COUNT                       HMAC-SHA256 by OpenSSL
 *   bare pkcs11 MODULE PIN LABEL COUNT N     CKM_SHA256_HMAC by the token's key of that label, in N sessions
 *   bare keys MODULE PIN LABEL COUNT N       EC P-256 pairs made as the worker makes them, each with a signature by the
 *                                            private key of that label, in N sessions */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <p11-kit/pkcs11.h>

static CK_FUNCTION_LIST *calls;
static CK_SLOT_ID slot;
static const char *pin, *label;
static long count_per_thread;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bare: %s\n", what);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void check(CK_RV rv, const char *what)
{
	if (rv != CKR_OK)
		die(what);
}

/* -- OpenSSL ------------------------------------------------------------------------------------------------------ */

static double run_openssl(long count)
{
	unsigned char key[32] = "0123456789abcdef0123456789abcde", mac[32];
	double begin = now();

	for (long i = 0; i < count; i++) {
		char id[32];
		unsigned size = sizeof(mac);
		int length = snprintf(id, sizeof(id), "device-%ld", i);

		if (!HMAC(EVP_sha256(), key, sizeof(key), (const unsigned char *)id, (size_t)length,
			  mac, &size))
			die("HMAC");
	}
	return (double)count / (now() - begin);
}

/* -- PKCS#11 ------------------------------------------------------------------------------------------------------ */

static void load(const char *path)
{
	CK_C_INITIALIZE_ARGS arguments = { .flags = CKF_OS_LOCKING_OK };
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	void *symbol = handle ? dlsym(handle, "C_GetFunctionList") : NULL;
	CK_RV (*get_list)(CK_FUNCTION_LIST **);
	CK_SLOT_ID list[8];
	CK_ULONG slots = 8;

	if (!symbol)
		die("the module");
	memcpy(&get_list, &symbol, sizeof(get_list));
	check(get_list(&calls), "C_GetFunctionList");
	check(calls->C_Initialize(&arguments), "C_Initialize");
	if (calls->C_GetSlotList(CK_TRUE, list, &slots) != CKR_OK || slots == 0)
		die("C_GetSlotList");
	slot = list[0]; /* the one token of this bench; the empty one comes last */
}

static CK_SESSION_HANDLE open_session(void)
{
	CK_SESSION_HANDLE session;

	check(calls->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
	      "C_OpenSession");
	return session;
}

static CK_OBJECT_HANDLE find(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class)
{
	char name[64];
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) },
				    { CKA_LABEL, name, strlen(label) } };
	CK_OBJECT_HANDLE key;
	CK_ULONG found;

	snprintf(name, sizeof(name), "%s", label);
	check(calls->C_FindObjectsInit(session, template, 2), "C_FindObjectsInit");
	check(calls->C_FindObjects(session, &key, 1, &found), "C_FindObjects");
	check(calls->C_FindObjectsFinal(session), "C_FindObjectsFinal");
	if (found != 1)
		die("no such key");
	return key;
}

static void *sign_all(void *context)
{
	CK_SESSION_HANDLE session = open_session();
	CK_OBJECT_HANDLE key = find(session, CKO_SECRET_KEY);
	CK_MECHANISM mechanism = { CKM_SHA256_HMAC, NULL, 0 };

	(void)context;
	for (long i = 0; i < count_per_thread; i++) {
		unsigned char id[32], mac[64];
		CK_ULONG size = sizeof(mac);
		int length = snprintf((char *)id, sizeof(id), "device-%ld", i);

		check(calls->C_SignInit(session, &mechanism, key), "C_SignInit");
		check(calls->C_Sign(session, id, (CK_ULONG)length, mac, &size), "C_Sign");
	}
	return NULL;
}

/* -- Keys and signatures ------------------------------------------------------------------------------------------ */

/* SoftHSM now and then fails to make an object while another session makes or looks for one. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

/* What the worker reads back of a private key. */
static const CK_ATTRIBUTE_TYPE read_back[] = {
	CKA_TOKEN,
	CKA_PRIVATE,
	CKA_LOCAL,
	CKA_SENSITIVE,
	CKA_ALWAYS_SENSITIVE,
	CKA_EXTRACTABLE,
	CKA_NEVER_EXTRACTABLE,
	CKA_SIGN,
	CKA_SIGN_RECOVER,
	CKA_VERIFY,
	CKA_ENCRYPT,
	CKA_DECRYPT,
	CKA_WRAP,
	CKA_UNWRAP,
	CKA_DERIVE,
	CKA_ALWAYS_AUTHENTICATE,
	CKA_MODIFIABLE,
};

static void check_id_is_free(CK_SESSION_HANDLE session, unsigned char id[16])
{
	CK_ATTRIBUTE template = { CKA_ID, id, 16 };
	CK_OBJECT_HANDLE other;
	CK_ULONG found = 0;

	check(calls->C_FindObjectsInit(session, &template, 1), "C_FindObjectsInit");
	check(calls->C_FindObjects(session, &other, 1, &found), "C_FindObjects");
	check(calls->C_FindObjectsFinal(session), "C_FindObjectsFinal");
	if (found > 0)
		die("the ID is taken");
}

static void read_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
			   CK_ATTRIBUTE_TYPE type, CK_ULONG times)
{
	unsigned char value[256];
	CK_ATTRIBUTE attribute = { type, NULL, 0 };

	if (times == 2)
		calls->C_GetAttributeValue(session, object, &attribute, 1);
	attribute.pValue = value;
	attribute.ulValueLen = sizeof(value);
	calls->C_GetAttributeValue(session, object, &attribute, 1);
}

static void make_pair(CK_SESSION_HANDLE session)
{
	unsigned char curve[] = "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", id[16];
	unsigned char name[] = "a-device", yes = CK_TRUE, no = CK_FALSE;
	CK_MECHANISM mechanism = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
	CK_MECHANISM_INFO info;
	CK_SESSION_INFO state;
	CK_OBJECT_HANDLE public_half, private_half;
	CK_ATTRIBUTE public_template[] = {
		{ CKA_TOKEN, &yes, 1 },  { CKA_PRIVATE, &no, 1 },      { CKA_VERIFY, &yes, 1 },
		{ CKA_ENCRYPT, &no, 1 }, { CKA_WRAP, &no, 1 },         { CKA_ID, id, 16 },
		{ CKA_LABEL, name, 8 },  { CKA_EC_PARAMS, curve, 10 },
	};
	CK_ATTRIBUTE private_template[] = {
		{ CKA_TOKEN, &yes, 1 },      { CKA_PRIVATE, &yes, 1 }, { CKA_SENSITIVE, &yes, 1 },
		{ CKA_EXTRACTABLE, &no, 1 }, { CKA_SIGN, &yes, 1 },    { CKA_DECRYPT, &no, 1 },
		{ CKA_UNWRAP, &no, 1 },      { CKA_DERIVE, &no, 1 },   { CKA_ID, id, 16 },
		{ CKA_LABEL, name, 8 },
	};

	if (RAND_bytes(id, sizeof(id)) != 1)
		die("RAND_bytes");
	check(calls->C_GetSessionInfo(session, &state), "C_GetSessionInfo");
	check(calls->C_GetMechanismInfo(slot, CKM_EC_KEY_PAIR_GEN, &info), "C_GetMechanismInfo");
	pthread_mutex_lock(&making);
	check_id_is_free(session, id);
	check(calls->C_GenerateKeyPair(session, &mechanism, public_template, 8, private_template,
				       10, &public_half, &private_half),
	      "C_GenerateKeyPair");
	pthread_mutex_unlock(&making);
	for (size_t i = 0; i < sizeof(read_back) / sizeof(*read_back); i++)
		read_attribute(session, private_half, read_back[i], 1);
	read_attribute(session, public_half, CKA_KEY_TYPE, 1);
	read_attribute(session, public_half, CKA_EC_PARAMS, 2);
	read_attribute(session, public_half, CKA_EC_POINT, 2);
}

static void *make_all(void *context)
{
	CK_SESSION_HANDLE session = open_session();
	CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
	CK_OBJECT_HANDLE issuer;

	(void)context;
	pthread_mutex_lock(&making);
	issuer = find(session, CKO_PRIVATE_KEY);
	pthread_mutex_unlock(&making);
	for (long i = 0; i < count_per_thread; i++) {
		unsigned char digest[32] = { 0 }, signature[128];
		CK_ULONG size = sizeof(signature);
		CK_MECHANISM_INFO info;
		CK_SESSION_INFO state;

		make_pair(session);
		check(calls->C_GetSessionInfo(session, &state), "C_GetSessionInfo");
		check(calls->C_GetMechanismInfo(slot, CKM_ECDSA, &info), "C_GetMechanismInfo");
		check(calls->C_SignInit(session, &mechanism, issuer), "C_SignInit");
		check(calls->C_Sign(session, digest, sizeof(digest), signature, &size), "C_Sign");
	}
	return NULL;
}

static double run_pkcs11(char **arguments, void *(*run)(void *))
{
	long count = atol(arguments[3]), sessions = atol(arguments[4]);
	pthread_t threads[64];
	CK_SESSION_HANDLE first;
	char text[64];
	double begin;

	load(arguments[0]);
	pin = arguments[1];
	label = arguments[2];
	count_per_thread = count / sessions;
	first = open_session();
	snprintf(text, sizeof(text), "%s", pin);
	check(calls->C_Login(first, CKU_USER, (unsigned char *)text, strlen(text)), "C_Login");
	begin = now();
	for (long i = 0; i < sessions; i++)
		pthread_create(&threads[i], NULL, run, NULL);
	for (long i = 0; i < sessions; i++)
		pthread_join(threads[i], NULL);
	return (double)(count_per_thread * sessions) / (now() - begin);
}

int main(int argc, char **argv)
{
	double rate;

	if (argc == 3 && strcmp(argv[1], "openssl") == 0)
		rate = run_openssl(atol(argv[2]));
	else if (argc == 7 && strcmp(argv[1], "pkcs11") == 0)
		rate = run_pkcs11(argv + 2, sign_all);
	else if (argc == 7 && strcmp(argv[1], "keys") == 0)
		rate = run_pkcs11(argv + 2, make_all);
	else
		die("openssl COUNT | pkcs11 or keys MODULE PIN LABEL COUNT SESSIONS");
	printf("%.0f\n", rate);
	return 0;
}
