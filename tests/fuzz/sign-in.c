/* Answers of the sign-in authority and of the management API: whatever they are, reading them ends in a token that can stand
 * in a header, a login, or an error. */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "muster/json.h"

#include "../../src/dps/management.h"
#include "../../src/dps/token-internal.h"

static void read_as_token(const struct http_answer *answer)
{
	struct token token = { 0 };
	struct muster_error err;

	if (!token_answer_read(answer, "signing in", 0, &token, &err))
		return;
	assert(token.value.size > 0 && token.renew_at_ms > 0);
	assert(!strpbrk((const char *)token.value.data, " \r\n"));
	token_done(&token);
}

/* Letters of a host have no case, and the port of https may be said. */
static bool is_below_endpoint(const char *url)
{
	const char *rest = url + strlen("https://m.example");

	return strncasecmp(url, "https://m.example", strlen("https://m.example")) == 0 &&
	       (*rest == '/' || strncmp(rest, ":443/", 5) == 0);
}

static void read_as_list(const struct http_answer *answer)
{
	static const struct management_target target = { "https://m.example", "s", NULL, "dps" };
	struct management_service service = { 0 };
	CLEANUP(cJSON_freep) cJSON *page = NULL;
	struct dps_login login = { 0 };
	struct muster_error err;
	const char *url;
	size_t count = 0;
	bool is_found;

	if (!management_read(answer, "looking", &page, &err))
		return;
	if (management_next_page(&target, page, &url, &err) && url)
		assert(is_below_endpoint(url));
	if (management_match(&target, page, &service, &count, &err) && count > 0)
		assert(strncasecmp(service.id, "/subscriptions/s/", 17) == 0 && service.host[0]);
	if (management_pick_policy(page, "h.example", &login, &is_found, &err) && is_found)
		assert(login.key.size > 0);
	dps_login_done(&login);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_answer answer = { .outcome = HTTP_ANSWERED, .status = 200 };

	if (size > 0 && data[0] == '!') {
		answer.status = 400;
		data++;
		size--;
	}
	text_add_bytes(&answer.body, data, size);
	if (!answer.body.failed) {
		read_as_token(&answer);
		read_as_list(&answer);
	}
	http_answer_done(&answer);
	return 0;
}
