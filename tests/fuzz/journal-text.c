/* The chain as text. As it comes: what is taken is exactly what would have been written. And behind '!': whatever entries these
 * are, what is written of them is taken, and is not when a byte of it was changed. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "../../src/journal/journal-internal.h"
#include "fuzz.h"

static bool write_again(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	struct text *again = context;

	(void)err;
	journal_text_entry(again, entry);
	return true;
}

/* Whether it is taken; *again without its first line. */
static bool verify(const char *data, size_t size, struct text *again, struct journal_head *before)
{
	FILE *stream = fmemopen((char *)(uintptr_t)data, size, "r");
	struct journal_head head;
	struct muster_error err;
	bool is_good;

	assert(stream);
	is_good = journal_text_verify(stream, "x", write_again, again, before, &head, &err);
	fclose(stream);
	if (is_good)
		journal_text_end(again, &head);
	else
		assert(err.code == MUSTER_E_INTEGRITY);
	return is_good;
}

static void read_text(const char *data, size_t size)
{
	CLEANUP(text_done) struct text again = { 0 }, whole = { 0 };
	struct journal_head before;

	if (!verify(data, size, &again, &before))
		return;
	journal_text_begin(&whole, &before);
	text_add_bytes(&whole, again.data, again.length);
	assert(!whole.failed && whole.length == size && memcmp(whole.data, data, size) == 0);
}

/* Up to the next line feed, which becomes its end. */
static const char *next_word(char **rest)
{
	const char *word = strsep(rest, "\n");

	return word ? word : "";
}

static bool write_entries(char *rest, struct text *out)
{
	struct journal_head head = { 0 };
	struct muster_error err;

	journal_text_begin(out, &head);
	while (rest && head.seq < 20) {
		struct journal_entry entry = {
			.seq = head.seq + 1,
			.registration_id = next_word(&rest),
			.stage = next_word(&rest),
			.kind = JOURNAL_NOTE,
			.operator= next_word(&rest),
			.body = next_word(&rest),
		};

		entry.at_ms = (int64_t)strlen(entry.body) - 3;
		if (!journal_chain_digest(head.digest, &entry, entry.digest, &err))
			return false;
		journal_text_entry(out, &entry);
		head.seq = entry.seq;
		memcpy(head.digest, entry.digest, sizeof(head.digest));
	}
	journal_text_end(out, &head);
	return !out->failed;
}

static void write_text(const uint8_t *data, size_t size)
{
	CLEANUP(text_done) struct text out = { 0 }, again = { 0 };
	CLEANUP(freep) char *words = strndup((const char *)data + 1, size - 1);
	struct journal_head before;

	if (!words || !text_is_utf8(words, strlen(words)) || !write_entries(words, &out))
		return;
	assert(verify(out.data, out.length, &again, &before));
	out.data[data[0] * out.length / 256] ^= 0x20;
	assert(!verify(out.data, out.length, &again, &before));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 2 && data[0] == '!')
		write_text(data + 1, size - 1);
	else if (size > 0)
		read_text((const char *)data, size);
	return 0;
}
