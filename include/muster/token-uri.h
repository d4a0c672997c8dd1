/* PKCS#11 URIs (RFC 7512) as the station needs them: strict checking, and the few attributes that are acted on
 * before a module is loaded. Matching against tokens and objects is the HSM worker's business. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/text.h"

#define TOKEN_URI_SIZE_MAX 2048

/* Every value is percent-decoded; NULL where the URI does not have the attribute. All owned. */
struct token_uri {
	char *token; /* label */
	char *manufacturer;
	char *serial;
	char *model;
	char *library_description;
	char *library_manufacturer;
	char *library_version;
	char *slot_description;
	char *slot_manufacturer;
	char *slot_id;   /* decimal digits */
	char *object;    /* label */
	char *type;      /* "public", "private", "cert", "secret-key", "data" */
	struct bytes id; /* CKA_ID, any bytes; data is NULL when there is none */

	char *module_path; /* absolute */
	char *module_name; /* as in p11-kit's configuration, or NAME of libNAME.so */
	char *pin_source; /* where the PIN is read from, "file:/..." or a path; never a command, never the PIN */
};

/* Refuses with CAUSE_TOKEN_URI_INVALID what RFC 7512 does not allow, and also: repeated and unknown attributes,
 * pin-value, control characters, values longer than PKCS#11 can hold. The message never quotes a value. Touches
 * nothing outside. */
bool token_uri_parse(const char *text, struct token_uri *ret_uri, struct muster_error *err)
	MUST_CHECK;
/* Whether both say the same thing of a token and not in the same words, so that no token can be both. Their modules are not
 * compared: one has many names. */
bool token_uri_contradicts(const struct token_uri *uri, const struct token_uri *other);
/* The URI again, attributes in one fixed order, without module-path, module-name and pin-source: fit for journals,
 * messages and workers. Caller frees; NULL when out of memory. */
char *token_uri_format(const struct token_uri *uri);
/* The same with module-path and module-name: what a person passes back to us. */
char *token_uri_format_with_module(const struct token_uri *uri);
/* For CLEANUP; accepts an empty one. */
void token_uri_done(struct token_uri *uri);
