/* Anchors: what somebody outside knows of the chain, in a file, an evidence file or spoken words. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"

#include "checkpoint.h"
#include "evidence-lines.h"
#include "evidence-scan.h"

void anchor_done(struct anchor *anchor)
{
	free(anchor->registration_id);
}

static bool fail_unreadable(const char *name, struct muster_error *err)
{
	return muster_fail(err, CAUSE_ANCHOR_UNREADABLE, "'%s' is no anchor", PRINTABLE(name));
}

static bool take_checkpoint(const cJSON *tree, struct anchor *anchor, struct muster_error *err)
{
	CLEANUP(checkpoint_done) struct checkpoint checkpoint = { 0 };

	if (!checkpoint_read(json_get(tree, "checkpoint"), &checkpoint, err) ||
	    !checkpoint_verify(&checkpoint, err))
		return muster_error_prefix(err, "reading anchor '%s'", PRINTABLE(anchor->name));
	anchor->entry = checkpoint.entry;
	memcpy(anchor->digest, checkpoint.digest, sizeof(anchor->digest));
	return true;
}

static bool take_evidence(const cJSON *tree, const char *text, struct anchor *anchor,
			  struct muster_error *err)
{
	const cJSON *place = json_get(tree, "journal");
	const char *digest = json_text(place, "digest");
	const char *id = json_text(tree, "registrationId");

	if (!json_int64(place, "entry", &anchor->entry) || !digest ||
	    strlen(digest) != sizeof(anchor->digest) - 1 || !id)
		return fail_unreadable(anchor->name, err);
	memcpy(anchor->digest, digest, sizeof(anchor->digest));
	sha256_hex(anchor->evidence, text, strlen(text));
	anchor->registration_id = strdup(id);
	return anchor->registration_id || muster_fail_memory(err);
}

bool anchor_read_file(const char *path, struct anchor *ret_anchor, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	CLEANUP(anchor_done) struct anchor anchor = { .name = path };
	CLEANUP(cJSON_freep) cJSON *tree = NULL;
	const char *schema, *text;
	bool is_read;

	if (!file_read(path, ANCHOR_FILE_MAX, &bytes, err))
		return false;
	text = (const char *)bytes.data;
	if (!json_parse(text, bytes.size, path, &tree, err))
		return err->cause != CAUSE_MEMORY && fail_unreadable(path, err);
	schema = json_text(tree, "schema");
	if (schema && strcmp(schema, ANCHOR_SCHEMA) == 0)
		is_read = take_checkpoint(tree, &anchor, err);
	else if (schema && text_has_prefix(schema, "muster.evidence/"))
		is_read = take_evidence(tree, text, &anchor, err);
	else
		is_read = fail_unreadable(path, err);
	if (!is_read)
		return false;
	*ret_anchor = anchor;
	anchor = (struct anchor){ 0 };
	return true;
}

/* -- Files of lines ------------------------------------------------------------------------------------------- */

struct lines_reading {
	struct anchor_list *list;
	const char *path;
};

static bool take_line(void *context, struct evidence_line *line, struct muster_error *err)
{
	struct lines_reading *reading = context;
	CLEANUP(anchor_done) struct anchor anchor = { .name = reading->path };
	CLEANUP(cJSON_freep) cJSON *tree = NULL;
	CLEANUP(freep) char *text = text_format("%s\n", line->text.data ? line->text.data : "");
	const char *schema;

	if (!text)
		return muster_fail_memory(err);
	if (!line->text.data ||
	    !json_parse(line->text.data, line->text.length, reading->path, &tree, err)) {
		if (line->text.data && err->cause == CAUSE_MEMORY)
			return false;
		log_warning("line %zu of '%s' is no evidence, going on", line->number,
			    PRINTABLE(reading->path));
		return true;
	}
	schema = json_text(tree, "schema");
	if (!schema || !text_has_prefix(schema, "muster.evidence/"))
		return fail_unreadable(reading->path, err);
	return take_evidence(tree, text, &anchor, err) &&
	       anchor_list_add(reading->list, &anchor, err);
}

static bool read_lines(struct anchor_list *list, const char *path, struct muster_error *err)
{
	struct lines_reading reading = { list, path };
	size_t before = list->count;

	return evidence_scan(path, take_line, &reading, err) &&
	       (list->count > before || fail_unreadable(path, err));
}

/* -- Lists ---------------------------------------------------------------------------------------------------- */

void anchor_list_done(struct anchor_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		anchor_done(&list->items[i]);
	free(list->items);
	*list = (struct anchor_list){ 0 };
}

bool anchor_list_add(struct anchor_list *list, struct anchor *anchor, struct muster_error *err)
{
	struct anchor *items = reallocarray(list->items, list->count + 1, sizeof(*list->items));

	if (!items)
		return muster_fail_memory(err);
	list->items = items;
	items[list->count++] = *anchor;
	*anchor = (struct anchor){ 0 };
	return true;
}

static int by_entry(const void *a, const void *b)
{
	const struct anchor *one = a, *other = b;

	return (one->entry > other->entry) - (one->entry < other->entry);
}

void anchor_list_sort(struct anchor_list *list)
{
	if (list->count > 0)
		qsort(list->items, list->count, sizeof(*list->items), by_entry);
}

bool anchor_list_read(struct anchor_list *list, const char *path, struct muster_error *err)
{
	CLEANUP(anchor_done) struct anchor anchor = { 0 };

	if (evidence_lines_is_path(path))
		return read_lines(list, path, err);
	return anchor_read_file(path, &anchor, err) && anchor_list_add(list, &anchor, err);
}

/* -- Words ---------------------------------------------------------------------------------------------------- */

bool anchor_read_words(const char *text, struct anchor *ret_anchor, struct muster_error *err)
{
	struct anchor anchor = { .name = "the words" };
	size_t digits = strspn(text, "0123456789"), used = 0;
	char number[20];

	if (digits == 0 || digits >= sizeof(number))
		return fail_unreadable(text, err);
	memcpy(number, text, digits);
	number[digits] = '\0';
	for (const char *c = text + digits; *c; c++) {
		if (!isalpha((unsigned char)*c) && !strchr(" -.,:", *c))
			return fail_unreadable(text, err);
		if (!isalpha((unsigned char)*c))
			continue;
		if (used + 1 >= sizeof(anchor.words))
			return fail_unreadable(text, err);
		if (used % 6 == 5)
			anchor.words[used++] = '-';
		anchor.words[used++] = (char)tolower((unsigned char)*c);
	}
	if (used != sizeof(anchor.words) - 1 || !text_to_int64(number, 1, INT64_MAX, &anchor.entry))
		return fail_unreadable(text, err);
	*ret_anchor = anchor;
	return true;
}

/* A file of lines has evidence of many. */
static bool prefix_whose(const struct anchor *anchor, struct muster_error *err)
{
	return anchor->registration_id &&
	       muster_error_prefix(err, "evidence of '%s'", PRINTABLE(anchor->registration_id));
}

bool anchor_check(const struct anchor *anchor, const uint8_t digest[JOURNAL_DIGEST_SIZE],
		  struct muster_error *err)
{
	char hex[SHA256_HEX_SIZE], words[STATION_WORDS_SIZE];

	hex_encode(hex, digest, JOURNAL_DIGEST_SIZE);
	words_encode(words, digest, STATION_WORDS_SIZE / 3);
	if (anchor->digest[0] ? strcmp(hex, anchor->digest) == 0
			      : strcmp(words, anchor->words) == 0)
		return true;
	muster_fail(err, CAUSE_ANCHOR_MISMATCH, "entry %lld is %s, but '%s' says %s",
		    (long long)anchor->entry, anchor->digest[0] ? hex : words,
		    PRINTABLE(anchor->name), anchor->digest[0] ? anchor->digest : anchor->words);
	return prefix_whose(anchor, err);
}

bool anchor_fail_cut(const struct anchor *anchor, int64_t last, struct muster_error *err)
{
	muster_fail(err, CAUSE_JOURNAL_CUT,
		    "the journal ends with entry %lld, but '%s' names entry %lld: the end was "
		    "cut off, or an older copy put back",
		    (long long)last, PRINTABLE(anchor->name), (long long)anchor->entry);
	return prefix_whose(anchor, err);
}
