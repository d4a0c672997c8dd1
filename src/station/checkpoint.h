/* Checkpoints and anchors as text; shared by those who make them and the audit. Private to the station. */
#pragma once

#include <cjson/cJSON.h>
#include <openssl/evp.h>

#include "muster/journal.h"
#include "muster/station-journal.h"
#include "muster/text.h"

#define ANCHOR_SCHEMA "muster.anchor/1"
#define ANCHOR_FILE_MAX (256 * 1024)

/* What a checkpoint or an anchor says. */
struct checkpoint {
	int64_t entry;
	char digest[SHA256_HEX_SIZE];
	struct bytes spki, signature; /* empty: not signed */
};
void checkpoint_done(struct checkpoint *checkpoint);

/* {"entry":N,"digest":HEX,"publicKey":BASE64,"signature":BASE64}, strictly. */
bool checkpoint_read(const cJSON *object, struct checkpoint *ret_checkpoint,
		     struct muster_error *err) MUST_CHECK;
cJSON *checkpoint_json(const struct checkpoint *checkpoint);
/* The signature, ECDSA or RSA with SHA-256, is over "muster.checkpoint/1 ENTRY DIGEST" and a line feed. */
bool checkpoint_sign(struct checkpoint *checkpoint, EVP_PKEY *key, struct muster_error *err)
	MUST_CHECK;
bool checkpoint_verify(const struct checkpoint *checkpoint, struct muster_error *err) MUST_CHECK;

/* One thing kept elsewhere. */
struct anchor {
	const char *name; /* borrowed: the file, or "the words" */
	int64_t entry;
	char digest[SHA256_HEX_SIZE];   /* or */
	char words[STATION_WORDS_SIZE]; /* when digest is "" */
	/* Evidence also has to be what the journal recorded behind that entry: its SHA-256, else "". */
	char evidence[SHA256_HEX_SIZE];
	char *registration_id;
	bool entry_was_seen, evidence_was_seen;
};
void anchor_done(struct anchor *anchor);

struct anchor_list {
	struct anchor *items;
	size_t count;
};
void anchor_list_done(struct anchor_list *list);
/* Takes what it has over. */
bool anchor_list_add(struct anchor_list *list, struct anchor *anchor, struct muster_error *err)
	MUST_CHECK;
/* By the entries that they name. */
void anchor_list_sort(struct anchor_list *list);

/* An anchor file or an evidence file. */
bool anchor_read_file(const char *path, struct anchor *ret_anchor, struct muster_error *err)
	MUST_CHECK;
/* The same; of a file of lines, one for each. A line that is no JSON was cut off and is passed over with a warning. */
bool anchor_list_read(struct anchor_list *list, const char *path, struct muster_error *err)
	MUST_CHECK;
/* "48213 lusab-babad-gutih-tugad-mudof-sakat"; case, dashes and spaces do not matter. */
bool anchor_read_words(const char *text, struct anchor *ret_anchor, struct muster_error *err)
	MUST_CHECK;
/* Whether the entry of that number has the digest that the anchor names: CAUSE_ANCHOR_MISMATCH. */
bool anchor_check(const struct anchor *anchor, const uint8_t digest[JOURNAL_DIGEST_SIZE],
		  struct muster_error *err) MUST_CHECK;
bool anchor_fail_cut(const struct anchor *anchor, int64_t last, struct muster_error *err);
