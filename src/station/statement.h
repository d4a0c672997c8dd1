/* A text that somebody signed, as JSON: {"schema","content","publicKey","signature"}. The content is a text of its own, so that
 * the signature is over bytes: "SCHEMA DIGEST" and a line feed, the digest being that of the content. Private to the
 * station. */
#pragma once

#include <cjson/cJSON.h>
#include <openssl/evp.h>

#include "muster/encoding.h"
#include "muster/error.h"

struct statement {
	const char *content; /* borrowed from the object */
	char digest[SHA256_HEX_SIZE];
	struct bytes spki, signature;
};
void statement_done(struct statement *statement);

/* *ret_digest is of the content. CAUSE_STATION_KEY_UNUSABLE. */
bool statement_make(const char *schema, const cJSON *content, EVP_PKEY *key, cJSON **ret_object,
		    char ret_digest[SHA256_HEX_SIZE], struct muster_error *err) MUST_CHECK;
/* False: the object is none of that schema. Whether it is signed well is the next question, by whom is the caller's. */
bool statement_read(const cJSON *object, const char *schema, struct statement *ret_statement)
	MUST_CHECK;
bool statement_verifies(const struct statement *statement, const char *schema);
