#include "hsm-internal.h"
#include "muster/token-uri.h"

/* p11-kit matches well and reads too kindly: what it gets has passed our own reader and was printed by it. */
P11KitUri *hsm_uri_new(const char *text, struct muster_error *err)
{
	CLEANUP(token_uri_done) struct token_uri checked = { 0 };
	CLEANUP(freep) char *canonical = NULL;
	CLEANUP(p11_kit_uri_freep) P11KitUri *uri = NULL;
	int status;

	if (!token_uri_parse(text, &checked, err))
		return NULL;
	canonical = token_uri_format(&checked);
	uri = p11_kit_uri_new();
	if (!canonical || !uri) {
		muster_fail_memory(err);
		return NULL;
	}
	status = p11_kit_uri_parse(canonical, P11_KIT_URI_FOR_ANY, uri);
	if (status != P11_KIT_URI_OK || p11_kit_uri_any_unrecognized(uri)) {
		muster_fail(err, CAUSE_TOKEN_URI_INVALID, "the PKCS#11 URI: %s",
			    status == P11_KIT_URI_OK ? "unknown to p11-kit"
						     : p11_kit_uri_message(status));
		return NULL;
	}
	return TAKE_PTR(uri);
}
