/* Which token is meant: by its facts, by a URI, by an entry of the journal. */
#include "token.h"

#include <string.h>

#include "module.h"
#include "muster/json.h"
#include "muster/token-uri.h"

bool token_is_same(const struct token_facts *a, const struct token_facts *b)
{
	return strcmp(a->serial, b->serial) == 0 && strcmp(a->label, b->label) == 0 &&
	       strcmp(a->manufacturer, b->manufacturer) == 0 && strcmp(a->model, b->model) == 0;
}

static bool differs(const char *wanted, const char *value)
{
	return wanted && value && strcmp(wanted, value) != 0;
}

bool token_is_other(const struct token_facts *facts, const struct token_uri *uri)
{
	return differs(uri->token, facts->label) || differs(uri->serial, facts->serial) ||
	       differs(uri->manufacturer, facts->manufacturer) || differs(uri->model, facts->model);
}

bool token_is_of_entry(const struct token_facts *token, const cJSON *body)
{
	const char *serial = json_text(body, "tokenSerial"), *label = json_text(body, "token");

	return serial && strcmp(serial, token->serial) == 0 &&
	       (!label || strcmp(label, token->label) == 0);
}

/* One that names the device's token, but a module that is not to be found, means that one. */
static bool names_token(const struct token_uri *uri, const struct token_facts *token)
{
	const char *label = uri->token, *serial = uri->serial;

	return (label && token->label && !differs(label, token->label)) ||
	       (serial && token->serial && !differs(serial, token->serial));
}

/* Where the key's URI names no module it is in that of the device's token. */
static bool is_in_another_module(const struct token_uri *uri, const char *key_uri,
				 const struct token_facts *token,
				 const struct station_module *present, bool *ret_is,
				 struct muster_error *err)
{
	CLEANUP(station_module_done) struct station_module module = { 0 };

	*ret_is = false;
	if (!differs(uri->module_path, present->path) &&
	    (uri->module_path || !uri->module_name ||
	     (present->name && !differs(uri->module_name, present->name))))
		return true;
	if (!station_module_find(key_uri, &module, err))
		return err->cause == CAUSE_MODULE_UNUSABLE && names_token(uri, token);
	*ret_is = !module_is_same(&module, present);
	return true;
}

bool token_is_elsewhere(const struct token_facts *token, const struct station_module *module,
			const char *key_uri, bool *ret_is, struct muster_error *err)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 };
	bool is_in_another;

	if (!token_uri_parse(key_uri, &uri, err) ||
	    !is_in_another_module(&uri, key_uri, token, module, &is_in_another, err))
		return false;
	*ret_is = is_in_another || token_is_other(token, &uri);
	return true;
}
