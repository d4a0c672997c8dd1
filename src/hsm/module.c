#include <dlfcn.h>
#include <string.h>

#include <openssl/err.h>

#include "hsm-internal.h"
#include "muster/file.h"

bool hsm_new(struct hsm **ret_hsm, struct muster_error *err)
{
	struct hsm *hsm = calloc(1, sizeof(*hsm));

	if (!hsm)
		return muster_fail_memory(err);
	*ret_hsm = hsm;
	return true;
}

static void module_unload(struct hsm *hsm)
{
	if (!hsm->module_path)
		return;
	if (hsm->slots)
		PKCS11_release_all_slots(hsm->libp11, hsm->slots, hsm->slot_count);
	PKCS11_CTX_unload(hsm->libp11); /* C_Finalize for the whole process */
	dlclose(hsm->module_handle);
	freep(&hsm->module_path);
}

void hsm_free(struct hsm *hsm)
{
	if (!hsm)
		return;
	hsm_token_close(hsm);
	module_unload(hsm);
	if (hsm->libp11)
		PKCS11_CTX_free(hsm->libp11);
	ERR_clear_error();
	free(hsm);
}

/* libp11 shows no function list; the library that it has loaded is asked for it once more. */
static bool module_calls(struct hsm *hsm, const char *path, struct muster_error *err)
{
	CK_RV (*get_list)(CK_FUNCTION_LIST **);
	CK_FUNCTION_LIST *calls = NULL;
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
	void *symbol = handle ? dlsym(handle, "C_GetFunctionList") : NULL;
	CK_RV rv;

	if (!symbol) {
		if (handle)
			dlclose(handle);
		return muster_fail(err, CAUSE_MODULE_UNUSABLE,
				   "looking for C_GetFunctionList in '%s'", PRINTABLE(path));
	}
	memcpy(&get_list, &symbol, sizeof(get_list));
	rv = get_list(&calls);
	if (rv != CKR_OK || !calls || calls->version.major != 2) {
		dlclose(handle);
		return muster_fail_native(err, CAUSE_MODULE_UNUSABLE, ORIGIN_PKCS11, rv,
					  "'%s' gives no PKCS#11 2.x function list",
					  PRINTABLE(path));
	}
	hsm->module_handle = handle;
	hsm->calls = calls;
	return true;
}

bool hsm_module_load(struct hsm *hsm, const char *path, struct muster_error *err)
{
	if (hsm->module_path && strcmp(hsm->module_path, path) == 0)
		return true;
	if (hsm->module_path)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL,
				   "this worker has another module loaded");
	if (path[0] != '/')
		return muster_fail(err, CAUSE_MODULE_UNUSABLE,
				   "the module's path '%s' is not absolute", PRINTABLE(path));
	if (!file_check_trusted(path, err))
		return muster_error_prefix(err, "checking the PKCS#11 module");
	if (!hsm->libp11)
		hsm->libp11 = PKCS11_CTX_new();
	if (!hsm->libp11)
		return muster_fail_memory(err);
	ERR_clear_error();
	if (PKCS11_CTX_load(hsm->libp11, path) != 0) {
		hsm_fail_openssl(err, CAUSE_MODULE_UNUSABLE, "loading the PKCS#11 module '%s'",
				 PRINTABLE(path));
		err->cause = CAUSE_MODULE_UNUSABLE;
		err->code = MUSTER_E_HARDWARE;
		return false;
	}
	if (!module_calls(hsm, path, err)) {
		PKCS11_CTX_unload(hsm->libp11);
		return false;
	}
	hsm->module_path = strdup(path);
	if (!hsm->module_path) {
		PKCS11_CTX_unload(hsm->libp11);
		dlclose(hsm->module_handle);
		return muster_fail_memory(err);
	}
	return true;
}
