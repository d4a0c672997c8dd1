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

/* Our own reference comes first: libp11 would print the loader's words instead of returning them. It gets the same
 * library then, and shows no function list of it, so ours is asked. */
static bool library_open(struct hsm *hsm, const char *path, struct muster_error *err)
{
	CK_RV (*get_list)(CK_FUNCTION_LIST **);
	void *symbol;
	CK_RV rv;

	hsm->module_handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	symbol = hsm->module_handle ? dlsym(hsm->module_handle, "C_GetFunctionList") : NULL;
	if (!symbol)
		return muster_fail(err, CAUSE_MODULE_UNUSABLE,
				   "loading the PKCS#11 module '%s': %s", PRINTABLE(path),
				   PRINTABLE(dlerror()));
	memcpy(&get_list, &symbol, sizeof(get_list));
	rv = get_list(&hsm->calls);
	if (rv != CKR_OK || !hsm->calls || hsm->calls->version.major != 2)
		return muster_fail_native(err, CAUSE_MODULE_UNUSABLE, ORIGIN_PKCS11, rv,
					  "'%s' gives no PKCS#11 2.x function list",
					  PRINTABLE(path));
	return true;
}

static void library_close(struct hsm *hsm)
{
	if (hsm->module_handle)
		dlclose(hsm->module_handle);
	hsm->module_handle = NULL;
	hsm->calls = NULL;
}

static bool is_made_by(const CK_INFO *info, const char *maker)
{
	return memcmp(info->manufacturerID, maker, strlen(maker)) == 0;
}

/* What SoftHSM 2.6 makes in two sessions at once, or makes while another session looks for objects, now and then fails
 * (CKR_GENERAL_ERROR). It does such calls one by one inside, too, so nothing is lost.
 * tpm2-pkcs11 holds the rights of a public half against those of the TPM's key, where encrypting is the same as signing and
 * verifying the same as decrypting: a key that may sign only has a public half that may not verify. */
static void look_at_module(struct hsm *hsm)
{
	CK_INFO info = { 0 };

	if (hsm->calls->C_GetInfo(&info) != CKR_OK)
		return;
	hsm->is_one_by_one = is_made_by(&info, "SoftHSM ");
	hsm->is_of_a_tpm = is_made_by(&info, "tpm2-software.github.io ");
}

static bool library_initialise(struct hsm *hsm, const char *path, const char *arguments,
			       struct muster_error *err)
{
	struct muster_error reason;

	if (!hsm->libp11)
		hsm->libp11 = PKCS11_CTX_new();
	if (!hsm->libp11)
		return muster_fail_memory(err);
	if (arguments)
		PKCS11_CTX_init_args(hsm->libp11, arguments);
	ERR_clear_error();
	hsm->is_initialised = PKCS11_CTX_load(hsm->libp11, path) == 0;
	if (hsm->is_initialised) {
		look_at_module(hsm);
		return true;
	}
	hsm_fail_openssl(&reason, CAUSE_MODULE_UNUSABLE, "initialising the PKCS#11 module '%s'",
			 PRINTABLE(path));
	return muster_fail_native(err, CAUSE_MODULE_UNUSABLE, reason.origin, reason.native, "%s",
				  reason.message);
}

static void module_unload(struct hsm *hsm)
{
	if (hsm->is_initialised)
		PKCS11_CTX_unload(hsm->libp11); /* C_Finalize for the whole process */
	if (hsm->libp11)
		PKCS11_CTX_free(hsm->libp11);
	library_close(hsm);
	freep(&hsm->module_path);
	ERR_clear_error();
}

void hsm_free(struct hsm *hsm)
{
	if (!hsm)
		return;
	hsm_token_close(hsm);
	module_unload(hsm);
	free(hsm->objects);
	free(hsm);
}

bool hsm_module_load(struct hsm *hsm, const char *path, const char *arguments,
		     struct muster_error *err)
{
	if (hsm->is_initialised && strcmp(hsm->module_path, path) == 0)
		return true;
	if (hsm->is_initialised)
		return muster_fail(err, CAUSE_WORKER_PROTOCOL,
				   "this worker has another module loaded");
	if (path[0] != '/')
		return muster_fail(err, CAUSE_MODULE_UNUSABLE,
				   "the module's path '%s' is not absolute", PRINTABLE(path));
	if (!file_check_trusted(path, err))
		return muster_error_prefix(err, "checking the PKCS#11 module");
	freep(&hsm->module_path);
	hsm->module_path = strdup(path);
	if (!hsm->module_path)
		return muster_fail_memory(err);
	if (!library_open(hsm, path, err) || !library_initialise(hsm, path, arguments, err)) {
		library_close(hsm);
		return false;
	}
	return true;
}
