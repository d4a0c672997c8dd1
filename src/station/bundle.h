/* A file that one station signs and another believes: a bundle of spooled devices, or the receipt for one. JSON whose content is
 * a text of its own, so that the signature is over bytes. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/encoding.h"
#include "muster/error.h"

#define BUNDLE_SCHEMA "muster.bundle/1"
#define RECEIPT_SCHEMA "muster.receipt/1"

/* Signed by the station's key (checkpoint_key_open); mode 0600, never over another file. */
bool bundle_write(const char *path, const char *schema, const cJSON *content, const char *key,
		  const char *journal_path, char ret_digest[SHA256_HEX_SIZE],
		  struct muster_error *err) MUST_CHECK;
/* Signed by that public key, or not at all: CAUSE_BUNDLE_INVALID, CAUSE_BUNDLE_UNTRUSTED. *ret_digest is of the content. */
bool bundle_read(const char *path, const char *schema, const char *public_key_path,
		 cJSON **ret_content, char ret_digest[SHA256_HEX_SIZE], struct muster_error *err)
	MUST_CHECK;
