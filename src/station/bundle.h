/* A file that one station signs and another believes: a bundle of spooled devices, or the receipt for one. JSON whose content is
 * a text of its own, so that the signature is over bytes. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/encoding.h"
#include "muster/error.h"
#include "muster/file.h"
#include "muster/journal.h"

#define BUNDLE_SCHEMA "muster.bundle/1"
#define RECEIPT_SCHEMA "muster.receipt/1"

/* Signed by the station's key (checkpoint_key_open); mode 0600, never over another file. It has its name when the sink is committed,
 * which is FILE_SINK_NONE. */
bool bundle_draft(const char *path, const char *schema, const cJSON *content, const char *key,
		  const char *journal_path, char ret_digest[SHA256_HEX_SIZE],
		  struct file_sink *sink, struct muster_error *err) MUST_CHECK;
/* Signed by that public key, or not at all: CAUSE_BUNDLE_INVALID, CAUSE_BUNDLE_UNTRUSTED. *ret_digest is of the content. */
bool bundle_read(const char *path, const char *schema, const char *public_key_path,
		 cJSON **ret_content, char ret_digest[SHA256_HEX_SIZE], struct muster_error *err)
	MUST_CHECK;

/* -- Each device (bundle-claim.c) --------------------------------------------------------------------------------------- */

/* "cause" as people know it, and "detail". False without memory. */
bool bundle_add_why(cJSON *row, const struct muster_error *why);
/* What a bundle says of a device has the form that a journal gives it: CAUSE_BUNDLE_INVALID. Who signed it is believed in what he
 * says of his devices, not in that. */
bool bundle_check_device(const cJSON *object, struct muster_error *err) MUST_CHECK;
/* Whether this journal can take a device that was checked: of the code MUSTER_E_CONFLICT when it is another one here, was retired,
 * or has the serial or the key of another. *ret_is_here: it came with this bundle before. */
bool bundle_judge_device(struct journal *journal, const cJSON *object, bool *ret_is_here,
			 struct muster_error *err) MUST_CHECK;
