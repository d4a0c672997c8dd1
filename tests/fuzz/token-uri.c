/* Token URIs: what is taken says the same when it is printed and read again, and p11-kit takes what we print. */
#include <assert.h>
#include <string.h>

#include "../../src/hsm/hsm-internal.h"
#include "fuzz.h"
#include "muster/token-uri.h"

static bool is_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_printed(const struct token_uri *uri)
{
	CLEANUP(freep) char *printed = token_uri_format(uri), *again = NULL;
	CLEANUP(token_uri_done) struct token_uri read = { 0 };
	struct muster_error err;

	assert(printed);
	if (strlen(printed) > TOKEN_URI_SIZE_MAX)
		return;
	assert(token_uri_parse(printed, &read, &err));
	assert(is_same(uri->token, read.token) && is_same(uri->serial, read.serial));
	assert(is_same(uri->manufacturer, read.manufacturer) && is_same(uri->model, read.model));
	assert(is_same(uri->object, read.object) && is_same(uri->type, read.type));
	assert(bytes_equal(&uri->id, &read.id));
	again = token_uri_format(&read);
	assert(is_same(printed, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 };
	CLEANUP(p11_kit_uri_freep) P11KitUri *peer = NULL;
	CLEANUP(freep) char *text = strndup((const char *)data, size);
	struct muster_error err;

	if (!text || !token_uri_parse(text, &uri, &err))
		return 0;
	check_printed(&uri);
	peer = hsm_uri_new(text, &err);
	assert(!peer || !p11_kit_uri_get_pin_value(peer));
	return 0;
}
