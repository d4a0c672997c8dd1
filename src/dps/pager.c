#include <string.h>

#include "muster/log.h"

#include "dps-internal.h"
#include "enrollment-internal.h"

static bool build_query(void *context, const char *host, struct http_request *ret_request,
			struct muster_error *err)
{
	const struct dps_pager *pager = context;
	const char *continuation = pager->is_begun ? pager->continuation.data : NULL;

	return pager->group ? dps_record_query(host, pager->group, pager->page_size, continuation,
					       ret_request, err)
			    : dps_enrollment_query(host, NULL, pager->page_size, continuation,
						   ret_request, err);
}

/* More than we are willing to hold: fewer rows may fit. */
static bool is_too_large(const struct http_answer *answer)
{
	return answer->outcome == HTTP_UNKNOWN && answer->error.cause == CAUSE_CLOUD_ANSWER_INVALID;
}

static bool fetch(struct dps_pager *pager, struct dps_client *client,
		  struct http_answer *ret_answer, struct muster_error *err)
{
	for (;;) {
		CLEANUP(http_answer_done) struct http_answer answer = { 0 };

		if (!dps_client_fetch(client, build_query, pager, false, &answer, err))
			return false;
		if (!is_too_large(&answer) || pager->page_size == 1) {
			*ret_answer = answer;
			answer = (struct http_answer){ 0 };
			return true;
		}
		pager->page_size /= 2;
		log_info("the answer is too large, asking for %u enrollments a page",
			 pager->page_size);
	}
}

/* The same page with the same next one: it would never end. A service may keep its place behind a name that stays. */
static bool is_stuck(struct dps_pager *pager, const struct http_answer *answer)
{
	const struct text *next = &answer->continuation;
	uint8_t before[SHA256_SIZE];

	memcpy(before, pager->page_digest, sizeof(before));
	sha256(pager->page_digest, answer->body.data ? answer->body.data : "", answer->body.length);
	return next->length > 0 && next->length == pager->continuation.length &&
	       memcmp(next->data, pager->continuation.data, next->length) == 0 &&
	       memcmp(before, pager->page_digest, sizeof(before)) == 0;
}

static bool read_page(struct dps_pager *pager, const struct http_answer *answer, cJSON **ret_page,
		      struct muster_error *err)
{
	if (is_stuck(pager, answer))
		return muster_fail(err, CAUSE_CLOUD_ANSWER_INVALID,
				   "listing: the service says that the page after this one is this "
				   "one");
	return dps_query_read(answer, ret_page, err);
}

bool dps_pager_next(struct dps_pager *pager, struct dps_client *client, cJSON **ret_page,
		    struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };

	*ret_page = NULL;
	if (pager->is_begun && pager->continuation.length == 0)
		return true;
	if (pager->page_size == 0)
		pager->page_size = DPS_PAGE_SIZE;
	if (!fetch(pager, client, &answer, err) ||
	    !dps_read_end(read_page(pager, &answer, ret_page, err), err))
		return false;
	text_done(&pager->continuation);
	pager->continuation = answer.continuation;
	answer.continuation = (struct text){ 0 };
	pager->is_begun = true;
	return true;
}

void dps_pager_done(struct dps_pager *pager)
{
	text_done(&pager->continuation);
	*pager = (struct dps_pager){ 0 };
}
