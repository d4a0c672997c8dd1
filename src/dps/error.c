#include <inttypes.h>
#include <stdlib.h>

#include "muster/clock.h"
#include "muster/json.h"

#include "dps-internal.h"

/* What a status means and what to do next, first match. */
static const struct status_row {
	int from, to;
	enum muster_cause cause;
	enum dps_next next_of_read, next_of_write;
} rows[] = {
	{ 200, 299, CAUSE_CLOUD_ANSWER_INVALID, DPS_NEXT_DONE, DPS_NEXT_DONE },
	{ 401, 401, CAUSE_CLOUD_UNAUTHORIZED, DPS_NEXT_RENEW, DPS_NEXT_RENEW },
	{ 403, 403, CAUSE_CLOUD_FORBIDDEN, DPS_NEXT_STOP, DPS_NEXT_STOP },
	{ 404, 404, CAUSE_ENROLLMENT_NOT_FOUND, DPS_NEXT_STOP, DPS_NEXT_STOP },
	{ 408, 408, CAUSE_CLOUD_SERVER_ERROR, DPS_NEXT_RETRY, DPS_NEXT_READ_BACK },
	/* Either may be the echo of a request of ours whose answer was lost. */
	{ 409, 409, CAUSE_ENROLLMENT_EXISTS, DPS_NEXT_STOP, DPS_NEXT_READ_BACK },
	{ 412, 412, CAUSE_ETAG_MISMATCH, DPS_NEXT_STOP, DPS_NEXT_READ_BACK },
	{ 429, 429, CAUSE_CLOUD_THROTTLED, DPS_NEXT_RETRY, DPS_NEXT_RETRY },
	{ 500, 599, CAUSE_CLOUD_SERVER_ERROR, DPS_NEXT_RETRY, DPS_NEXT_READ_BACK },
	{ 0, 999, CAUSE_CLOUD_REFUSED, DPS_NEXT_STOP, DPS_NEXT_STOP },
};

static const struct status_row *row_of(int status)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(rows) - 1 && (status < rows[i].from || status > rows[i].to))
		i++;
	return &rows[i];
}

enum dps_next dps_next_step(const struct http_answer *answer, bool writes)
{
	const struct status_row *row = row_of(answer->status);

	switch (answer->outcome) {
	case HTTP_NOT_SENT:
		return answer->error.cause == CAUSE_CLOUD_UNREACHABLE ? DPS_NEXT_RETRY
								      : DPS_NEXT_STOP;
	case HTTP_UNKNOWN:
		if (writes)
			return DPS_NEXT_READ_BACK;
		/* Too large: it would be so again. */
		return answer->error.cause == CAUSE_CLOUD_ANSWER_INVALID ? DPS_NEXT_STOP
									 : DPS_NEXT_RETRY;
	case HTTP_ANSWERED:
		break;
	}
	return writes ? row->next_of_write : row->next_of_read;
}

enum dps_budget_fate dps_budget_fate_of(const struct http_answer *answer)
{
	if (answer->outcome == HTTP_NOT_SENT)
		return DPS_BUDGET_UNSENT;
	return answer->outcome == HTTP_ANSWERED && answer->status == 429 ? DPS_BUDGET_REFUSED
									 : DPS_BUDGET_TAKEN;
}

/* -- The service's own words --------------------------------------------------------------------------- */

struct service_words {
	int64_t error_code;
	char message[300];
	char tracking_id[80];
};

/* Old services and gateways write errorCode, Message and trackingId in other cases; the first three are enough. */
static void read_words(const struct http_answer *answer, struct service_words *words)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	struct muster_error ignored;
	const char *message;

	if (answer->body.length == 0 ||
	    !json_parse(answer->body.data, answer->body.length, "the answer", &body, &ignored))
		return;
	message = json_text(body, "message");
	if (!json_int64(body, "errorCode", &words->error_code))
		words->error_code = 0;
	text_printable(words->message, sizeof(words->message),
		       message ? message : json_text(body, "Message"));
	text_printable(words->tracking_id, sizeof(words->tracking_id),
		       json_text(body, "trackingId"));
}

/* ", errorCode 409201: Enrollment already exists (tracking ID ...)", as much of it as there is. */
static void add_words(struct text *sentence, const struct service_words *words)
{
	if (words->error_code)
		text_addf(sentence, ", errorCode %" PRId64, words->error_code);
	if (words->message[0])
		text_addf(sentence, ": %s", words->message);
	if (words->tracking_id[0])
		text_addf(sentence, " (tracking ID %s)", words->tracking_id);
}

/* -- The error ----------------------------------------------------------------------------------------- */

static bool is_clock_skewed(const struct http_answer *answer)
{
	return answer->date_ms >= 0 &&
	       llabs(answer->date_ms - answer->received_ms) > CLOCK_SKEW_MAX_MS;
}

static void add_skew(struct text *sentence, const struct http_answer *answer)
{
	int64_t skew_s = (answer->received_ms - answer->date_ms) / 1000;

	text_addf(sentence, "; this station's clock is %lld seconds %s the server's", llabs(skew_s),
		  skew_s > 0 ? "ahead of" : "behind");
}

bool dps_answer_fail_as(const struct http_answer *answer, const char *what,
			enum muster_cause not_found, struct muster_error *err)
{
	CLEANUP(text_done) struct text sentence = TEXT_MAX(1024);
	struct service_words words = { 0 };
	enum muster_cause cause = row_of(answer->status)->cause;

	if (answer->outcome != HTTP_ANSWERED) {
		*err = answer->error;
		return muster_error_prefix(err, "%s", what);
	}
	read_words(answer, &words);
	text_addf(&sentence, "%s: the service answered %d", what, answer->status);
	add_words(&sentence, &words);
	if (answer->status >= 300 && answer->status <= 399)
		text_addf(&sentence, ", pointing to '%s', which is not followed",
			  PRINTABLE(answer->location));
	if (cause == CAUSE_ENROLLMENT_NOT_FOUND)
		cause = not_found;
	if (cause == CAUSE_CLOUD_UNAUTHORIZED && is_clock_skewed(answer)) {
		cause = CAUSE_CLOCK_SKEWED;
		add_skew(&sentence, answer);
	}
	if (!text_ok(&sentence, err))
		return false;
	return muster_fail_native(err, cause, words.error_code > 0 ? ORIGIN_DPS : ORIGIN_HTTP,
				  words.error_code > 0 ? (unsigned long)words.error_code
						       : (unsigned long)answer->status,
				  "%s", sentence.data);
}

bool dps_read_end(bool is_read, struct muster_error *err)
{
	struct muster_error unread;

	if (is_read || err->cause != CAUSE_CLOUD_ANSWER_INVALID)
		return is_read;
	unread = *err;
	return muster_fail_native(err, CAUSE_CLOUD_READ_INVALID, unread.origin, unread.native, "%s",
				  unread.message);
}

bool dps_answer_fail(const struct http_answer *answer, const char *what, struct muster_error *err)
{
	return dps_answer_fail_as(answer, what, CAUSE_ENROLLMENT_NOT_FOUND, err);
}
