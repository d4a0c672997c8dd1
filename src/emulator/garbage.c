#include "garbage.h"

#include <string.h>

#include "muster/json.h"

#define DEEP_LEVELS 1000000
#define HUGE_SIZE (64 * 1024 * 1024)

static void replace(struct reply *reply, const char *body)
{
	text_done(&reply->body);
	reply->body = (struct text)TEXT_MAX(HUGE_SIZE + 1024);
	text_add(&reply->body, body);
}

static void change_id(struct reply *reply)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	struct muster_error err;

	if (!reply->body.data ||
	    !json_parse(reply->body.data, reply->body.length, "the answer", &document, &err))
		return;
	cJSON_DeleteItemFromObjectCaseSensitive(document, "registrationId");
	CLEANUP(freep)
	char *text = json_add_text(document, "registrationId", "someone-else")
			     ? json_print_line(document)
			     : NULL;
	if (text)
		replace(reply, text);
}

static void drop_etag(struct reply *reply)
{
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	struct muster_error err;

	if (!reply->body.data ||
	    !json_parse(reply->body.data, reply->body.length, "the answer", &document, &err))
		return;
	cJSON_DeleteItemFromObjectCaseSensitive(document, "etag");
	CLEANUP(freep)
	char *text = json_add_int64(document, "etag", 7) ? json_print_line(document) : NULL;
	if (text)
		replace(reply, text);
}

/* The answer with its first member given twice. */
static void duplicate_member(struct reply *reply)
{
	if (!reply->body.data || reply->body.data[0] != '{')
		return;
	CLEANUP(freep)
	char *text = text_format("{\"registrationId\":\"someone-else\",%s%s",
				 strstr(reply->body.data, "\"registrationId\"")
					 ? ""
					 : "\"registrationId\":\"other\",",
				 reply->body.data + 1);
	if (text)
		replace(reply, text);
}

static void repeat(struct reply *reply, const char *begin, char c, size_t count)
{
	char block[4096];

	replace(reply, begin);
	memset(block, c, sizeof(block));
	for (; count >= sizeof(block); count -= sizeof(block))
		text_add_bytes(&reply->body, block, sizeof(block));
}

void garbage_fill(struct reply *reply, enum garbage_kind kind)
{
	switch (kind) {
	case GARBAGE_TEXT:
		replace(reply, "{\"registrationId\": \"dev\x01-1\", \xff\xfe not JSON");
		break;
	case GARBAGE_HTML:
		replace(reply, "<html><body><h1>Welcome to the guest network</h1></body></html>");
		break;
	case GARBAGE_EMPTY:
		replace(reply, "");
		break;
	case GARBAGE_ARRAY:
		replace(reply, "[]");
		break;
	case GARBAGE_WRONG_ID:
		change_id(reply);
		break;
	case GARBAGE_NO_ETAG:
		drop_etag(reply);
		break;
	case GARBAGE_DUPLICATE:
		duplicate_member(reply);
		break;
	case GARBAGE_DEEP:
		repeat(reply, "", '[', DEEP_LEVELS);
		break;
	case GARBAGE_HUGE:
		repeat(reply, "{\"etag\":\"", 'a', HUGE_SIZE);
		break;
	case GARBAGE_NO_KEYS:
		replace(reply,
			"{\"type\":\"symmetricKey\",\"symmetricKey\":{\"primaryKey\":\"\"}}");
		break;
	case GARBAGE_COUNT:
		break;
	}
}
