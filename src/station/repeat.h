/* A token whose random numbers repeat themselves gives two devices one key. Private to the station. */
#pragma once

#include "muster/journal.h"
#include "muster/text.h"

/* The entry of who made a key with that public half, to `callback` first of its page; *ret_is_known is false, and it is not called,
 * when nobody did. */
bool repeat_find(struct journal *journal, const char *public_sha256, journal_entry_fn callback,
		 void *context, bool *ret_is_known, struct muster_error *err) MUST_CHECK;
/* Asked of every key pair that was just made, before it is recorded under "publicSha256": CAUSE_KEY_REPEATED names it and
 * the journal's entry of the same public key. `whose` is who the new one is for. */
bool repeat_check(struct journal *journal, const struct bytes *spki, const char *whose,
		  struct muster_error *err) MUST_CHECK;
