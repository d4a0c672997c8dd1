/* Soft tokens and a worker program, for the tests of the HSM room. */
#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <p11-kit/pkcs11.h>

#include "hsm-bench.h"
#include "muster/file.h"

char directory[64];
char serials[3][64];
struct worker *worker;
struct muster_error error;

const char *module = MODULE;

static char configuration[128];

/* -- Tokens -------------------------------------------------------------------------------------------------- */

void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

int make_tokens(void **state)
{
	CLEANUP(bytes_done) struct bytes list = { 0 };
	char command[512];
	const char *at;

	(void)state;
	snprintf(directory, sizeof(directory), "/dev/shm/muster-hsm-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(configuration, sizeof(configuration), "SOFTHSM2_CONF=%s/softhsm2.conf", directory);
	snprintf(command, sizeof(command),
		 "mkdir %s/tokens && printf 'directories.tokendir = %s/tokens\\n"
		 "objectstore.backend = file\\nlog.level = ERROR\\n' > %s/softhsm2.conf",
		 directory, directory, directory);
	run(command);
	putenv(configuration);
	for (int i = 0; i < 3; i++) {
		snprintf(command, sizeof(command),
			 "softhsm2-util --init-token --free --label %s --so-pin 12345678 --pin %s "
			 "> %s/out && sed -n 's/.*slot //p' %s/out >/dev/null",
			 i < 2 ? "twin" : "lone", PIN, directory, directory);
		run(command);
	}
	snprintf(command, sizeof(command),
		 "softhsm2-util --show-slots | awk '/Serial number:/ {s=$3} "
		 "/Label:/ && $2 {print $2, s}' | sort -r > %s/list",
		 directory);
	run(command);
	snprintf(command, sizeof(command), "%s/list", directory);
	if (!file_read(command, 4096, &list, &error))
		return -1;
	at = (const char *)list.data;
	return sscanf(at, "twin %63s twin %63s lone %63s", serials[0], serials[1], serials[2]) == 3
		       ? 0
		       : -1;
}

int remove_tokens(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

/* -- Asking -------------------------------------------------------------------------------------------------- */

int start_worker(void **state)
{
	(void)state;
	return start_worker_with(NULL, NULL);
}

int start_worker_with(const char *variable, const char *another)
{
	const char *environment[] = { configuration, variable, another, NULL };

	worker = NULL;
	if (!worker_spawn("muster-hsm-worker", environment, &worker, &error)) {
		print_error("%s\n", error.message);
		return -1;
	}
	return 0;
}

int stop_worker(void **state)
{
	(void)state;
	worker_free(worker);
	worker = NULL;
	return 0;
}

/* The request is done for afterwards. */
bool ask(struct worker_message *request, struct worker_message *reply)
{
	bool good;

	memset(reply, 0, sizeof(*reply));
	good = worker_call(worker, request, reply, &error);
	worker_message_done(request);
	return good;
}

void must(bool good)
{
	if (!good)
		fail_msg("E%u %s", error.cause, error.message);
}

void must_fail(bool good, enum muster_cause cause)
{
	assert_false(good);
	if (error.cause != cause)
		fail_msg("E%u instead of E%u: %s", error.cause, cause, error.message);
}

bool open_uri(const char *uri, struct worker_message *reply)
{
	struct worker_message request = { 0 };

	worker_request_init(&request, WORKER_HSM_OPEN);
	worker_add_text(&request, FIELD_MODULE, module);
	worker_add_text(&request, FIELD_TOKEN_URI, uri);
	return ask(&request, reply);
}

bool login_in_state(const char *pin, uint64_t pin_state)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct worker_message request = { 0 };
	int ends[2];

	assert_return_code(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], pin, strlen(pin)), strlen(pin));
	close(ends[1]);
	worker_request_init(&request, WORKER_HSM_LOGIN);
	worker_add_u64(&request, FIELD_PIN_STATE, pin_state);
	request.fd = ends[0];
	return ask(&request, &reply);
}

bool login(const char *pin)
{
	return login_in_state(pin, 0);
}

const char *lone_uri(void)
{
	static char uri[256];

	snprintf(uri, sizeof(uri), "pkcs11:token=lone;serial=%s", serials[2]);
	return uri;
}

void open_and_login(void)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };

	must(open_uri(lone_uri(), &reply));
	must(login(PIN "\n"));
}

const char *twin_uri(void)
{
	static char uri[256];

	snprintf(uri, sizeof(uri), "pkcs11:token=twin;serial=%s", serials[0]);
	return uri;
}

/* -- Behind the worker's back --------------------------------------------------------------------------------- */

static CK_SLOT_ID slot_of_lone(CK_FUNCTION_LIST *calls)
{
	CK_SLOT_ID slots[8];
	CK_ULONG count = ARRAY_SIZE(slots);

	assert_int_equal(calls->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
	for (CK_ULONG i = 0; i < count; i++) {
		CK_TOKEN_INFO token;

		assert_int_equal(calls->C_GetTokenInfo(slots[i], &token), CKR_OK);
		if (memcmp(token.label, "lone ", 5) == 0)
			return slots[i];
	}
	fail_msg("no token 'lone'");
	return 0;
}

static void create_secret(CK_FUNCTION_LIST *calls, char *label, char *value)
{
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) }, { CKA_KEY_TYPE, &type, sizeof(type) },
		{ CKA_TOKEN, &yes, sizeof(yes) },     { CKA_PRIVATE, &yes, sizeof(yes) },
		{ CKA_SENSITIVE, &yes, sizeof(yes) }, { CKA_EXTRACTABLE, &no, sizeof(no) },
		{ CKA_SIGN, &yes, sizeof(yes) },      { CKA_LABEL, label, strlen(label) },
		{ CKA_VALUE, value, strlen(value) },
	};
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE object;
	unsigned char pin[] = PIN;

	assert_int_equal(calls->C_OpenSession(slot_of_lone(calls),
					      CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
					      &session),
			 CKR_OK);
	assert_int_equal(calls->C_Login(session, CKU_USER, pin, strlen(PIN)), CKR_OK);
	assert_int_equal(calls->C_CreateObject(session, template, ARRAY_SIZE(template), &object),
			 CKR_OK);
}

void import_secret(const char *label, const char *value)
{
	CK_RV (*get_list)(CK_FUNCTION_LIST **);
	void *handle = dlopen(MODULE, RTLD_NOW | RTLD_LOCAL);
	CK_FUNCTION_LIST *calls;
	char name[64], content[128];
	void *symbol;

	assert_non_null(handle);
	symbol = dlsym(handle, "C_GetFunctionList");
	memcpy(&get_list, &symbol, sizeof(get_list));
	assert_int_equal(get_list(&calls), CKR_OK);
	assert_int_equal(calls->C_Initialize(NULL), CKR_OK);
	snprintf(name, sizeof(name), "%s", label);
	snprintf(content, sizeof(content), "%s", value);
	create_secret(calls, name, content);
	assert_int_equal(calls->C_Finalize(NULL), CKR_OK);
	dlclose(handle);
}
