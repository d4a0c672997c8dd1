#include "bundle.h"

#include <string.h>

#include "checkpoint-key.h"
#include "muster/file.h"
#include "muster/json.h"
#include "signature.h"

#define BUNDLE_FILE_MAX (256 * 1024 * 1024)
#define MESSAGE_MAX (sizeof(RECEIPT_SCHEMA) + 1 + SHA256_HEX_SIZE)

/* "muster.bundle/1 DIGEST", a line feed. */
static void format_message(char out[MESSAGE_MAX + 1], const char *schema, const char *digest)
{
	snprintf(out, MESSAGE_MAX + 1, "%s %s\n", schema, digest);
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

bool bundle_write(const char *path, const char *schema, const cJSON *content, const char *key,
		  const char *journal_path, char ret_digest[SHA256_HEX_SIZE],
		  struct muster_error *err)
{
	CLEANUP(checkpoint_key_done) struct checkpoint_key signer = { 0 };
	CLEANUP(bytes_done) struct bytes spki = { 0 }, signature = { 0 };
	CLEANUP(freep) char *text = json_print_line(content);
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	CLEANUP(freep) char *line = NULL;
	char message[MESSAGE_MAX + 1];

	if (!text)
		return muster_fail_memory(err);
	sha256_hex(ret_digest, text, strlen(text));
	format_message(message, schema, ret_digest);
	if (!checkpoint_key_open(key, journal_path, &signer, err) ||
	    !signature_make(signer.key, message, &spki, &signature, err))
		return false;
	object = compose(schema, text, &spki, &signature);
	line = object ? json_print_line(object) : NULL;
	return line ? file_write(path, line, strlen(line), 0600, false, err)
		    : muster_fail_memory(err);
}

static bool check(const char *path, const char *schema, const cJSON *object,
		  const struct bytes *trusted, char digest[SHA256_HEX_SIZE],
		  struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes spki = { 0 }, signature = { 0 };
	const char *found = json_text(object, "schema"), *content = json_text(object, "content");
	char message[MESSAGE_MAX + 1];

	if (!found || strcmp(found, schema) != 0 || !content ||
	    !json_base64(object, "publicKey", &spki) ||
	    !json_base64(object, "signature", &signature))
		return muster_fail(err, CAUSE_BUNDLE_INVALID, "'%s' is no %s of muster",
				   PRINTABLE(path),
				   strcmp(schema, BUNDLE_SCHEMA) == 0 ? "bundle" : "receipt");
	if (!bytes_equal(&spki, trusted))
		return muster_fail(err, CAUSE_BUNDLE_UNTRUSTED,
				   "'%s' is not signed by the station whose key was given",
				   PRINTABLE(path));
	sha256_hex(digest, content, strlen(content));
	format_message(message, schema, digest);
	return signature_is_good(&spki, &signature, message) ||
	       muster_fail(err, CAUSE_BUNDLE_INVALID, "the signature of '%s' does not verify",
			   PRINTABLE(path));
}

bool bundle_read(const char *path, const char *schema, const char *public_key_path,
		 cJSON **ret_content, char ret_digest[SHA256_HEX_SIZE], struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes file = { 0 }, trusted = { 0 };
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	struct muster_error unread;
	const char *content;

	if (!signature_key_read(public_key_path, &trusted, err) ||
	    !file_read(path, BUNDLE_FILE_MAX, &file, err))
		return false;
	if (!json_parse((const char *)file.data, file.size, path, &object, &unread))
		return muster_fail(err, CAUSE_BUNDLE_INVALID, "%s", unread.message);
	if (!check(path, schema, object, &trusted, ret_digest, err))
		return false;
	content = json_text(object, "content");
	return json_parse(content, strlen(content), path, ret_content, err);
}
