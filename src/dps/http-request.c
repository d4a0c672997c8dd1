#include <string.h>

#include "http-internal.h"

bool http_request_header(struct http_request *request, const char *name, const char *value,
			 struct muster_error *err)
{
	if (strpbrk(value, "\r\n") || *value == 0)
		return muster_fail(err, CAUSE_INTERNAL, "the value '%s' cannot be a %s header",
				   PRINTABLE(value), name);
	text_addf(&request->headers, "%s: %s\r\n", name, value);
	return text_ok(&request->headers, err);
}

void http_request_identity(struct http_request *request, EVP_PKEY *key, X509 *certificate)
{
	EVP_PKEY_up_ref(key);
	X509_up_ref(certificate);
	EVP_PKEY_free(request->key);
	X509_free(request->certificate);
	request->key = key;
	request->certificate = certificate;
}

void http_request_done(struct http_request *request)
{
	text_done(&request->url);
	text_done(&request->headers);
	secret_done(&request->authorization);
	secret_done(&request->body);
	EVP_PKEY_free(request->key);
	X509_free(request->certificate);
	*request = (struct http_request){ 0 };
}
