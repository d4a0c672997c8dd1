/* Queries: everything, page by page in the order of ids; the continuation is the last id in base64. */
#include <stdio.h>
#include <string.h>

#include "muster/encoding.h"
#include "muster/json.h"

#include "enrollments.h"
#include "handlers.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

struct page {
	struct exchange *exchange;
	enum store_table table;
	const char *item_type;
	int64_t limit;
	char after[SEGMENT_MAX];
	cJSON *array;
	int64_t count;
	char last[SEGMENT_MAX];
	bool has_more;
	bool failed;
};

/* -- The question ------------------------------------------------------------------------------------------ */

/* "", "*", "SELECT *", "SELECT * FROM enrollments": nothing else is documented. */
static bool query_is_known(const char *query, const char *collection)
{
	static const char select[] = "select*from";
	char packed[64];
	size_t used = 0;

	for (const char *c = query; *c; c++) {
		if (strchr(" \t\r\n", *c))
			continue;
		if (used + 1 == sizeof(packed))
			return false;
		packed[used++] = *c;
	}
	packed[used] = '\0';
	text_fold(packed);
	if (packed[0] == '\0' || strcmp(packed, "*") == 0 || strcmp(packed, "select*") == 0)
		return true;
	return text_has_prefix(packed, select) &&
	       text_equal_folded(packed + sizeof(select) - 1, collection);
}

static bool check_query(struct exchange *exchange, const char *collection)
{
	CLEANUP(cJSON_freep) cJSON *root = NULL;

	if (!request_json(exchange, &root))
		return false;
	const char *query = json_text(root, "query");
	if (!query || !query_is_known(query, collection))
		return refuse(&exchange->refusal, BAD_ARGUMENT,
			      "query is not understood; SELECT * FROM %s is", collection);
	return true;
}

static bool take_headers(struct page *page)
{
	const struct request *request = page->exchange->request;
	CLEANUP(bytes_done) struct bytes after = { 0 };

	page->limit = PAGE_DEFAULT;
	if (request->max_item_count &&
	    !text_to_int64(request->max_item_count, 1, PAGE_MAX, &page->limit))
		return refuse(&page->exchange->refusal, BAD_ARGUMENT,
			      "x-ms-max-item-count is not a number from 1 to %d", PAGE_MAX);
	if (!request->continuation || request->continuation[0] == '\0')
		return true;
	if (!base64_decode(request->continuation, strlen(request->continuation), &after) ||
	    after.size >= sizeof(page->after) || memchr(after.data, '\0', after.size))
		return refuse(&page->exchange->refusal, BAD_ARGUMENT,
			      "x-ms-continuation is invalid");
	memcpy(page->after, after.data, after.size);
	return true;
}

/* -- The answer -------------------------------------------------------------------------------------------- */

static bool add_row(void *context, const char *id, const char *document)
{
	struct page *page = context;
	cJSON *row = NULL;

	if (page->count == page->limit) {
		page->has_more = true;
		return false;
	}
	if (!stored_parse(document, &row, &page->exchange->refusal)) {
		page->failed = true;
		return false;
	}
	if (page->table == STORE_REGISTRATIONS) {
		cJSON *state = cJSON_DetachItemFromObjectCaseSensitive(row, "state");
		cJSON_Delete(row);
		row = state;
	} else if (!document_view(row, VIEW_READ)) {
		page->failed = true;
	}
	cJSON_AddItemToArray(page->array, row);
	page->count++;
	(void)snprintf(page->last, sizeof(page->last), "%s", id);
	return true;
}

static bool answer(struct page *page)
{
	struct reply *reply = &page->exchange->reply;

	reply_header(reply, "x-ms-item-type", "%s", page->item_type);
	reply_header(reply, "x-ms-max-item-count", "%lld", (long long)page->limit);
	if (page->has_more) {
		CLEANUP(freep) char *next = base64_encode(page->last, strlen(page->last));
		reply_header(reply, "x-ms-continuation", "%s", next ? next : "");
	}
	return reply_json(page->exchange, page->array);
}

static bool serve(struct page *page, const char *parent)
{
	CLEANUP(cJSON_freep) cJSON *array = cJSON_CreateArray();
	struct store *store = page->exchange->emulator->store;
	struct muster_error err;

	if (!take_headers(page))
		return false;
	page->array = array;
	store_lock(store);
	bool is_good = store_page(store, page->table, parent, page->after, (int)page->limit + 1,
				  add_row, page, &err);
	store_unlock(store);
	if (!is_good)
		return refuse_internal(&page->exchange->refusal, &err);
	return !page->failed && answer(page);
}

bool individual_query(struct exchange *exchange)
{
	struct page page = { .exchange = exchange,
			     .table = STORE_ENROLLMENTS,
			     .item_type = "Enrollment" };

	return check_query(exchange, "enrollments") && serve(&page, NULL);
}

bool group_query(struct exchange *exchange)
{
	struct page page = { .exchange = exchange,
			     .table = STORE_GROUPS,
			     .item_type = "EnrollmentGroup" };

	return check_query(exchange, "enrollmentGroups") && serve(&page, NULL);
}

bool registration_query(struct exchange *exchange)
{
	struct page page = { .exchange = exchange,
			     .table = STORE_REGISTRATIONS,
			     .item_type = "DeviceRegistration" };

	return serve(&page, exchange->id);
}
