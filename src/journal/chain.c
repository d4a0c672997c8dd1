/* The chain: what a digest is made of, and whether an entry follows the one before it. */
#include <string.h>

#include "muster/encoding.h"
#include "muster/text.h"

#include "journal-internal.h"

static void add_text(struct text *out, const char *value)
{
	size_t length = strlen(value);

	text_add_decimal(out, (int64_t)length);
	text_add_char(out, ':');
	text_add_bytes(out, value, length);
	text_add_char(out, ',');
}

static void add_number(struct text *out, int64_t value)
{
	char digits[TEXT_DECIMAL_SIZE];

	add_text(out, text_decimal(value, digits));
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

bool journal_chain_digest(const uint8_t previous[JOURNAL_DIGEST_SIZE],
			  const struct journal_entry *entry,
			  uint8_t ret_digest[JOURNAL_DIGEST_SIZE], struct muster_error *err)
{
	CLEANUP(text_done) struct text encoded = TEXT_MAX(JOURNAL_BODY_MAX + 8192);

	text_add_bytes(&encoded, previous, JOURNAL_DIGEST_SIZE);
	add_number(&encoded, entry->seq);
	add_text(&encoded, or_empty(entry->registration_id));
	add_number(&encoded, entry->at_ms);
	add_text(&encoded, or_empty(entry->stage));
	add_text(&encoded, journal_kind_name(entry->kind));
	add_number(&encoded, entry->attempt);
	add_text(&encoded, or_empty(entry->operator));
	add_text(&encoded, or_empty(entry->station));
	add_text(&encoded, or_empty(entry->body));
	if (!text_ok(&encoded, err))
		return false;
	sha256(ret_digest, encoded.data, encoded.length);
	return true;
}

bool journal_chain_follow(struct journal_head *head, const struct journal_entry *entry,
			  const char *what, struct muster_error *err)
{
	uint8_t digest[JOURNAL_DIGEST_SIZE];

	if (entry->seq != head->seq + 1)
		return muster_fail(err, CAUSE_JOURNAL_DAMAGED,
				   "journal '%s': entry %lld is missing", what,
				   (long long)head->seq + 1);
	if (!journal_chain_digest(head->digest, entry, digest, err))
		return false;
	if (memcmp(digest, entry->digest, sizeof(digest)) != 0)
		return muster_fail(err, CAUSE_JOURNAL_DAMAGED,
				   "journal '%s': entry %lld is not what was written", what,
				   (long long)entry->seq);
	head->seq = entry->seq;
	memcpy(head->digest, digest, sizeof(digest));
	return true;
}
