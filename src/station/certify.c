/* muster cert: requests and certificates whose keys lie in tokens. */
#include "custody.h"

#include <stdlib.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"

static bool check_choice(const struct station_key_choice *key, struct muster_error *err)
{
	if (!key->uri == !key->type)
		return muster_fail(
			err, CAUSE_USAGE,
			"a key is needed: --key URI for one that is there, or --key-type to make one");
	if (key->uri && key->label)
		return muster_fail(err, CAUSE_USAGE, "--label is for a key to be made");
	return key->uri || key->label ||
	       muster_fail(err, CAUSE_USAGE, "a key to be made needs a --label");
}

static enum custody_effect effect_of(const struct station_key_choice *key)
{
	return key->uri ? CUSTODY_LOOKS : CUSTODY_CHANGES;
}

/* -- Requests ----------------------------------------------------------------------------------------------------- */

static bool request_write(const struct station_certificate_request *request, const X509_REQ *made,
			  cJSON *result, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes der = { 0 };
	CLEANUP(freep) char *pem = NULL;

	if (!pki_request_pem(made, &pem, err) || !pki_request_der(made, &der, err))
		return false;
	if (!json_add_text(result, "pem", pem) ||
	    (request->out && !json_add_text(result, "file", request->out)))
		return muster_fail_memory(err);
	if (!request->out)
		return true;
	return request->is_der ? file_write(request->out, der.data, der.size, 0644, false, err)
			       : file_write(request->out, pem, strlen(pem), 0644, false, err);
}

bool station_certificate_request(const struct station_certificate_request *request,
				 cJSON **ret_result, struct muster_error *err)
{
	CLEANUP(custody_done) struct custody custody = { 0 };
	CLEANUP(custody_key_done) struct custody_key key = { 0 };
	CLEANUP(X509_REQ_freep) X509_REQ *made = NULL;
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();

	if (!check_choice(&request->key, err) || !pki_name_check(request->subject, err) ||
	    (request->out && !file_check_absent(request->out, err)) ||
	    !custody_open(&custody, &request->custody, request->key.uri, effect_of(&request->key),
			  err) ||
	    !custody_key_take(&custody, &request->key, &key, err) ||
	    !pki_request_make(key.key, request->subject, &made, err) ||
	    !custody_key_settle(&custody, &request->key, &key, err))
		return false;
	if (!result || !json_add_text(result, "subject", request->subject) ||
	    !custody_key_describe(&custody, &key, result))
		return muster_fail_memory(err);
	if (!request_write(request, made, result, err))
		return false;
	*ret_result = TAKE_PTR(result);
	return true;
}
