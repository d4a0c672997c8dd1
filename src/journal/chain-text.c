/* The chain as JSON Lines, for those who have no database: a line that says where it begins, a line per entry, a line that
 * says where it ends. Each line has exactly one spelling, so whatever is changed in it shows. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/text.h"

#include "journal-internal.h"

#define SCHEMA "muster.journal/1"
#define LINE_MAX_SIZE (1024 * 1024)

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

/* -- Writing ---------------------------------------------------------------------------------------------- */

static void add_member(struct text *out, const char *name, const char *value)
{
	text_addf(out, ",\"%s\":", name);
	text_add_json(out, value);
}

static void add_digest(struct text *out, const uint8_t digest[JOURNAL_DIGEST_SIZE])
{
	char hex[2 * JOURNAL_DIGEST_SIZE + 1];

	add_member(out, "digest", hex_encode(hex, digest, JOURNAL_DIGEST_SIZE));
	text_add(out, "}\n");
}

static void add_mark(struct text *out, const char *name, const struct journal_head *head)
{
	text_addf(out, "{\"schema\":\"" SCHEMA "\",\"%s\":%lld", name, (long long)head->seq);
	add_digest(out, head->digest);
}

void journal_text_begin(struct text *out, const struct journal_head *before)
{
	add_mark(out, "after", before);
}

void journal_text_entry(struct text *out, const struct journal_entry *entry)
{
	text_addf(out, "{\"seq\":%lld", (long long)entry->seq);
	add_member(out, "registrationId", or_empty(entry->registration_id));
	text_addf(out, ",\"atMs\":%lld", (long long)entry->at_ms);
	add_member(out, "stage", or_empty(entry->stage));
	add_member(out, "kind", journal_kind_name(entry->kind));
	text_addf(out, ",\"attempt\":%lld", (long long)entry->attempt);
	add_member(out, "operator", or_empty(entry->operator));
	add_member(out, "station", or_empty(entry->station));
	add_member(out, "body", or_empty(entry->body));
	add_digest(out, entry->digest);
}

void journal_text_end(struct text *out, const struct journal_head *head)
{
	add_mark(out, "last", head);
}

/* -- Reading ---------------------------------------------------------------------------------------------- */

struct reader {
	FILE *stream;
	const char *name;
	int64_t line_number;
	struct text line; /* with its line feed */
	cJSON *tree;
};

static void reader_done(struct reader *reader)
{
	text_done(&reader->line);
	cJSON_Delete(reader->tree);
}

/* Where memory ran out since the line was begun, nothing is known of it. */
static bool fail_line(const struct reader *reader, const char *what, struct muster_error *err)
{
	if (errno == ENOMEM)
		return muster_fail_memory(err);
	return muster_fail(err, CAUSE_JOURNAL_DAMAGED, "export '%s': line %lld %s", reader->name,
			   (long long)reader->line_number, what);
}

/* What was not read is not known: neither damaged, nor the end. */
static bool fail_reading(const struct reader *reader, struct muster_error *err)
{
	return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno,
				 "reading line %lld of export '%s'", (long long)reader->line_number,
				 reader->name);
}

/* What fgets gave is a line, or the next part of one. */
static bool has_nul(const char *chunk, size_t length, size_t size, FILE *stream)
{
	return length == 0 || (chunk[length - 1] != '\n' && length < size - 1 && !feof(stream));
}

static bool read_line(struct reader *reader, struct muster_error *err)
{
	char chunk[16 * 1024];

	reader->line_number++;
	reader->line.length = 0;
	errno = 0;
	do {
		bool is_given = fgets(chunk, sizeof(chunk), reader->stream);
		size_t length;

		if (ferror(reader->stream))
			return fail_reading(reader, err);
		if (!is_given)
			return fail_line(reader, "is missing: the export was cut off", err);
		length = strlen(chunk);
		text_add_bytes(&reader->line, chunk, length);
		if (has_nul(chunk, length, sizeof(chunk), reader->stream) || reader->line.failed)
			return fail_line(reader, "is not one of an export", err);
	} while (reader->line.data[reader->line.length - 1] != '\n');
	cJSON_Delete(TAKE_PTR(reader->tree));
	if (!json_parse(reader->line.data, reader->line.length - 1, "line", &reader->tree, err))
		return fail_line(reader, "is not JSON", err);
	return true;
}

static bool is_line(const struct reader *reader, const struct text *wanted)
{
	return !wanted->failed && wanted->length == reader->line.length &&
	       memcmp(wanted->data, reader->line.data, wanted->length) == 0;
}

static bool take_digest(const cJSON *tree, uint8_t digest[JOURNAL_DIGEST_SIZE])
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	const char *hex = json_text(tree, "digest");

	if (!hex || !hex_decode(hex, strlen(hex), &bytes) || bytes.size != JOURNAL_DIGEST_SIZE)
		return false;
	memcpy(digest, bytes.data, JOURNAL_DIGEST_SIZE);
	return true;
}

static bool read_mark(struct reader *reader, const char *name, struct journal_head *ret_head,
		      struct muster_error *err)
{
	CLEANUP(text_done) struct text wanted = TEXT_MAX(1024);
	struct journal_head head;

	if (!json_int64(reader->tree, name, &head.seq) || !take_digest(reader->tree, head.digest))
		return fail_line(reader, "is not one of an export", err);
	add_mark(&wanted, name, &head);
	if (!is_line(reader, &wanted))
		return fail_line(reader, "is not one of an export", err);
	*ret_head = head;
	return true;
}

static bool read_entry(struct reader *reader, struct journal_entry *ret_entry,
		       struct muster_error *err)
{
	CLEANUP(text_done) struct text wanted = TEXT_MAX(LINE_MAX_SIZE);
	const cJSON *tree = reader->tree;
	const char *kind = json_text(tree, "kind");
	struct journal_entry entry = {
		.registration_id = json_text(tree, "registrationId"),
		.stage = json_text(tree, "stage"),
		.operator= json_text(tree, "operator"),
		.station = json_text(tree, "station"),
		.body = json_text(tree, "body"),
	};

	if (!json_int64(tree, "seq", &entry.seq) || !json_int64(tree, "atMs", &entry.at_ms) ||
	    !json_int64(tree, "attempt", &entry.attempt) || !kind ||
	    !journal_kind_find(kind, &entry.kind) || !entry.stage || !entry.body ||
	    !take_digest(tree, entry.digest))
		return fail_line(reader, "is no entry", err);
	journal_text_entry(&wanted, &entry);
	if (!is_line(reader, &wanted))
		return fail_line(reader, "is not written as an export writes it", err);
	*ret_entry = entry;
	return true;
}

static bool read_end(struct reader *reader, const struct journal_head *head,
		     struct muster_error *err)
{
	struct journal_head end;

	if (!read_mark(reader, "last", &end, err))
		return false;
	if (end.seq != head->seq || memcmp(end.digest, head->digest, sizeof(end.digest)) != 0)
		return fail_line(reader, "names another end than the entries have", err);
	reader->line_number++;
	if (fgetc(reader->stream) != EOF)
		return fail_line(reader, "stands behind the end", err);
	return !ferror(reader->stream) || fail_reading(reader, err);
}

bool journal_text_verify(FILE *stream, const char *name, journal_entry_fn callback, void *context,
			 struct journal_head *ret_before, struct journal_head *ret_head,
			 struct muster_error *err)
{
	static const uint8_t zeros[JOURNAL_DIGEST_SIZE];
	CLEANUP(reader_done)
	struct reader reader = { .stream = stream, .name = name, .line = TEXT_MAX(LINE_MAX_SIZE) };
	struct journal_head head;

	if (!read_line(&reader, err) || !read_mark(&reader, "after", &head, err))
		return false;
	if (head.seq < 0 || (head.seq == 0 && memcmp(head.digest, zeros, sizeof(zeros)) != 0))
		return fail_line(&reader, "is no beginning", err);
	*ret_before = head; /* at once: the callback may look at it */
	for (;;) {
		struct journal_entry entry = { 0 };

		if (!read_line(&reader, err))
			return false;
		if (json_get(reader.tree, "schema"))
			break;
		if (!read_entry(&reader, &entry, err) ||
		    !journal_chain_follow(&head, &entry, name, err) ||
		    !callback(context, &entry, err))
			return false;
	}
	*ret_head = head;
	return read_end(&reader, &head, err);
}
