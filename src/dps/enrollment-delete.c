#include <stdio.h>

#include "enrollment-internal.h"

struct deletion {
	const char *id;
	const char *if_match;
};

static bool build_delete(void *context, const char *host, struct http_request *ret_request,
			 struct muster_error *err)
{
	const struct deletion *deletion = context;

	return dps_enrollment_delete(host, deletion->id, deletion->if_match, ret_request, err);
}

/* Whether it is gone, after an answer that does not say. */
static bool read_back(struct dps_client *client, const char *id, bool *ret_is_gone,
		      struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };
	char what[200];

	if (!enrollment_get(client, id, &answer, err))
		return false;
	*ret_is_gone = answer_is(&answer, 404);
	snprintf(what, sizeof(what), "enrollment '%s', after its deletion was sent", PRINTABLE(id));
	return *ret_is_gone || answer_is(&answer, 200) || dps_answer_fail(&answer, what, err);
}

static bool is_unclear(const struct http_answer *answer)
{
	return dps_next_step(answer, true) == DPS_NEXT_READ_BACK && !answer_is(answer, 409) &&
	       !answer_is(answer, 412);
}

bool dps_enrollment_remove(struct dps_client *client, const char *id, const char *if_match,
			   struct muster_error *err)
{
	struct deletion deletion = { id, if_match };
	bool was_unclear = false;
	char what[200];

	snprintf(what, sizeof(what), "deleting enrollment '%s'", PRINTABLE(id));
	for (unsigned sends = 1;; sends++) {
		CLEANUP(http_answer_done) struct http_answer answer = { 0 };
		bool is_gone = false;

		if (!dps_client_fetch(client, build_delete, &deletion, true, &answer, err))
			return false;
		if (answer_is(&answer, 204) || answer_is(&answer, 200) ||
		    (was_unclear && answer_is(&answer, 404)))
			return true;
		if (!is_unclear(&answer) || sends == DPS_RETRY_ATTEMPTS)
			return dps_answer_fail(&answer, what, err);
		was_unclear = true;
		if (!read_back(client, id, &is_gone, err))
			return false;
		if (is_gone)
			return true;
	}
}
