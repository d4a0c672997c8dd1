#include "statement.h"

#include <string.h>

#include "muster/json.h"
#include "signature.h"

enum { MESSAGE_SIZE = 128 };

void statement_done(struct statement *statement)
{
	bytes_done(&statement->spki);
	bytes_done(&statement->signature);
	*statement = (struct statement){ 0 };
}

static void format_message(char out[MESSAGE_SIZE], const char *schema, const char *digest)
{
	snprintf(out, MESSAGE_SIZE, "%s %s\n", schema, digest);
}

static cJSON *compose(const char *schema, const char *content, const struct bytes *spki,
		      const struct bytes *signature)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) char *key = base64_encode(spki->data, spki->size);
	CLEANUP(freep) char *signed_by = base64_encode(signature->data, signature->size);

	if (!object || !key || !signed_by || !json_add_text(object, "schema", schema) ||
	    !json_add_text(object, "content", content) ||
	    !json_add_text(object, "publicKey", key) ||
	    !json_add_text(object, "signature", signed_by))
		return NULL;
	return TAKE_PTR(object);
}

bool statement_make(const char *schema, const cJSON *content, EVP_PKEY *key, cJSON **ret_object,
		    char ret_digest[SHA256_HEX_SIZE], struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes spki = { 0 }, signature = { 0 };
	CLEANUP(freep) char *text = json_print_line(content);
	char message[MESSAGE_SIZE];

	if (!text)
		return muster_fail_memory(err);
	sha256_hex(ret_digest, text, strlen(text));
	format_message(message, schema, ret_digest);
	if (!signature_make(key, message, &spki, &signature, err))
		return false;
	*ret_object = compose(schema, text, &spki, &signature);
	return *ret_object || muster_fail_memory(err);
}

bool statement_read(const cJSON *object, const char *schema, struct statement *ret_statement)
{
	CLEANUP(statement_done)
	struct statement statement = { .content = json_text(object, "content") };
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	const char *found = json_text(object, "schema");
	struct muster_error unread;

	if (!found || strcmp(found, schema) != 0 || !statement.content ||
	    !json_base64(object, "publicKey", &spki) ||
	    !signature_key_normalise(&spki, &statement.spki, &unread) ||
	    !json_base64(object, "signature", &statement.signature))
		return false;
	sha256_hex(statement.digest, statement.content, strlen(statement.content));
	*ret_statement = statement;
	statement = (struct statement){ 0 };
	return true;
}

bool statement_verifies(const struct statement *statement, const char *schema)
{
	char message[MESSAGE_SIZE];

	format_message(message, schema, statement->digest);
	return signature_is_good(&statement->spki, &statement->signature, message);
}
