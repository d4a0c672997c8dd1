#include "bundle.h"

#include <string.h>

#include "checkpoint-key.h"
#include "muster/file.h"
#include "muster/json.h"
#include "signature.h"
#include "statement.h"

#define BUNDLE_FILE_MAX (256 * 1024 * 1024)

bool bundle_draft(const char *path, const char *schema, const cJSON *content, const char *key,
		  const char *journal_path, char ret_digest[SHA256_HEX_SIZE],
		  struct file_sink *sink, struct muster_error *err)
{
	CLEANUP(checkpoint_key_done) struct checkpoint_key signer = { 0 };
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	CLEANUP(freep) char *line = NULL;

	if (!checkpoint_key_is_there(key, err) ||
	    !checkpoint_key_open(key, journal_path, &signer, err) ||
	    !statement_make(schema, content, signer.key, &object, ret_digest, err))
		return false;
	line = json_print_line(object);
	if (!line)
		return muster_fail_memory(err);
	return file_sink_open(sink, path, 0600, err) &&
	       file_sink_write(sink, line, strlen(line), err);
}

static const char *kind_of(const char *schema)
{
	return strcmp(schema, BUNDLE_SCHEMA) == 0 ? "bundle" : "receipt";
}

static const char *other_of(const char *schema)
{
	return strcmp(schema, BUNDLE_SCHEMA) == 0 ? RECEIPT_SCHEMA : BUNDLE_SCHEMA;
}

static bool is_of_other_kind(const cJSON *object, const char *schema)
{
	CLEANUP(statement_done) struct statement statement = { 0 };

	return statement_read(object, other_of(schema), &statement);
}

static bool fail_other(const char *path, const char *schema, struct muster_error *err)
{
	return muster_fail(err, CAUSE_BUNDLE_INVALID, "'%s' is no %s of muster", PRINTABLE(path),
			   kind_of(schema));
}

static bool check(const char *path, const char *schema, const cJSON *object,
		  const struct bytes *trusted, struct statement *statement,
		  struct muster_error *err)
{
	if (!statement_read(object, schema, statement) && is_of_other_kind(object, schema))
		return muster_fail(err, CAUSE_BUNDLE_KIND, "'%s' is a %s, not a %s",
				   PRINTABLE(path), kind_of(other_of(schema)), kind_of(schema));
	if (!statement->content)
		return fail_other(path, schema, err);
	if (!bytes_equal(&statement->spki, trusted))
		return muster_fail(err, CAUSE_BUNDLE_UNTRUSTED,
				   "'%s' is not signed by the station whose key was given",
				   PRINTABLE(path));
	return statement_verifies(statement, schema) ||
	       muster_fail(err, CAUSE_BUNDLE_INVALID, "the signature of '%s' does not verify",
			   PRINTABLE(path));
}

/* Nobody's signature was looked at yet: in four texts there is nothing that takes many times their size in memory. */
static bool is_flat(const char *data, size_t size)
{
	enum { MEMBERS_MAX = 8 };
	size_t objects = 0, members = 1;
	bool is_in_text = false;

	for (size_t i = 0; i < size; i++) {
		char c = data[i];

		if (is_in_text) {
			if (c == '\\')
				i++;
			is_in_text = c != '"';
			continue;
		}
		if (!strchr("\"{},: \t\r\n", c))
			return false;
		is_in_text = c == '"';
		objects += c == '{';
		members += c == ',';
	}
	return objects == 1 && members <= MEMBERS_MAX;
}

bool bundle_read(const char *path, const char *schema, const char *public_key_path,
		 cJSON **ret_content, char ret_digest[SHA256_HEX_SIZE], struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes file = { 0 }, trusted = { 0 };
	CLEANUP(statement_done) struct statement statement = { 0 };
	CLEANUP(cJSON_freep) cJSON *object = NULL;
	struct muster_error unread;

	if (!signature_key_read(public_key_path, &trusted, err) ||
	    !file_read(path, BUNDLE_FILE_MAX, &file, err))
		return false;
	if (!is_flat((const char *)file.data, file.size))
		return fail_other(path, schema, err);
	if (!json_parse_large((const char *)file.data, file.size, BUNDLE_FILE_MAX, path, &object,
			      &unread)) {
		*err = unread;
		if (unread.cause == CAUSE_JSON_INVALID)
			muster_fail(err, CAUSE_BUNDLE_INVALID, "%s", unread.message);
		return false;
	}
	if (!check(path, schema, object, &trusted, &statement, err))
		return false;
	memcpy(ret_digest, statement.digest, SHA256_HEX_SIZE);
	return json_parse_large(statement.content, strlen(statement.content), BUNDLE_FILE_MAX, path,
				ret_content, err);
}

bool bundle_add_why(cJSON *row, const struct muster_error *why)
{
	char code[8];

	snprintf(code, sizeof(code), "E%04u", (unsigned)why->cause);
	return json_add_text(row, "cause", code) && json_add_text(row, "detail", why->message);
}
