/* What a journal says of the keys of one token. Private to the station. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/encoding.h"
#include "muster/journal.h"

struct token_facts;

enum ledger_state {
	LEDGER_ANNOUNCED, /* to be made, and no outcome is known */
	LEDGER_MADE,
	LEDGER_GONE, /* destroyed by muster */
};

struct ledger_key {
	char *id;    /* CKA_ID in hex */
	char *name;  /* its label, or the device's registration ID */
	char *label; /* of the key itself; NULL: not known */
	char *primary; /* the ID of the device's primary key, beside which it is the secondary one; or NULL */
	enum ledger_state state;
	bool is_of_device;         /* made when that was provisioned, and not for a name alone */
	bool is_over;              /* that life of the device has ended */
	bool is_elsewhere;         /* in another token of the same serial */
	char *token, *serial;      /* that one's; NULL: in this one */
	int64_t last;              /* entry that tells of it there */
	bool is_pair, is_released; /* of a device that was released its certificate is stored too */
	char *attributes;          /* "local=true ..." when it was made; NULL: not known */
	char *check_value;         /* a master's; NULL: not known */
	char public_sha256[SHA256_HEX_SIZE];      /* "": not known */
	char certificate_sha256[SHA256_HEX_SIZE]; /* "": not known */

	/* What the audit has seen of it on the token. */
	unsigned keys_seen, certificates_seen;
	bool is_finished_since; /* it has a certificate there that the journal does not know */
};

/* A token of which the journal says that it has this one's label and another serial, or the other way round. */
struct ledger_other {
	char *label, *serial; /* borrowed from one of its keys */
	size_t keys;          /* that were made there and whose life has not ended */
	int64_t last;         /* entry */
};

struct ledger {
	struct ledger_key **keys; /* in the order in which they were announced */
	size_t count;
	void *by_id;              /* tsearch's tree over the same */
	int64_t first;            /* entry of this token; 0: none */
	struct ledger *elsewhere; /* keys of such other tokens; NULL: not read */
	struct ledger_other *others;
	size_t other_count;
};

/* Reads the whole journal, page by page. */
bool ledger_read(struct journal *journal, const struct token_facts *token,
		 struct ledger *ret_ledger, struct muster_error *err) MUST_CHECK;
void ledger_done(struct ledger *ledger);
/* NULL when the journal does not know it. */
struct ledger_key *ledger_find(const struct ledger *ledger, const char *id);
