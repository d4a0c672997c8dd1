#include "outage.h"

#include <string.h>
#include <time.h>

#include "muster/clock.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/text.h"

enum { PATIENCE_MAX_S = 30 * 24 * 3600 };

bool outage_patience(const char *given, int64_t *ret_patience_ms, struct muster_error *err)
{
	static const char units[] = "smh";
	static const int64_t seconds_of[] = { 1, 60, 3600 };
	const char *text = given ? given : OUTAGE_PATIENCE;
	size_t length = strlen(text);
	const char *unit = length > 1 ? strchr(units, text[length - 1]) : NULL;
	int64_t seconds = unit ? seconds_of[unit - units] : 1, count;
	char number[16];

	snprintf(number, sizeof(number), "%.*s", (int)(unit ? length - 1 : length), text);
	if (length >= sizeof(number) || !text_to_int64(number, 0, PATIENCE_MAX_S / seconds, &count))
		return muster_fail(err, CAUSE_USAGE,
				   "%s='%s' is not a time of at most 30 days, as 90s, 30m or 8h",
				   option_named(text, "--patience", "MUSTER_PATIENCE"),
				   PRINTABLE(text));
	*ret_patience_ms = count * seconds * 1000;
	return true;
}

/* "2.5 h", "60 min", "12 s" */
static const char *time_text(char out[32], int64_t milliseconds)
{
	int64_t seconds = (milliseconds + 500) / 1000;

	if (seconds < 120)
		snprintf(out, 32, "%lld s", (long long)seconds);
	else if (seconds < 7200)
		snprintf(out, 32, "%lld min", (long long)seconds / 60);
	else
		snprintf(out, 32, "%.1f h", (double)seconds / 3600);
	return out;
}

static const char *hour_text(char out[16], int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm local;

	if (!localtime_r(&seconds, &local) || strftime(out, 16, "%H:%M:%S", &local) == 0)
		out[0] = 0;
	return out;
}

static void say(const struct dps_outage_news *news, int64_t since_ms)
{
	char since[16], span[32];

	if (news->is_over) {
		fprintf(stderr, "%smuster: %s is back after %s; going on\n", log_priority(LOG_INFO),
			news->what, time_text(span, news->away_ms));
		return;
	}
	fprintf(stderr, "%smuster: %s %s since %s: %s; waiting for up to %s, Ctrl-C parks\n",
		log_priority(LOG_WARNING), news->what,
		news->why.cause == CAUSE_CLOUD_SERVER_ERROR ? "fails" : "cannot be reached",
		hour_text(since, since_ms), news->why.message, time_text(span, news->patience_ms));
}

static cJSON *event_of(const struct dps_outage_news *news, int64_t since_ms)
{
	CLEANUP(cJSON_freep) cJSON *event = cJSON_CreateObject();
	char since[RFC3339_SIZE], cause[8];

	snprintf(cause, sizeof(cause), "E%04u", (unsigned)news->why.cause);
	if (!event || !json_add_text(event, "event", news->is_over ? "reachable" : "unreachable") ||
	    !json_add_text(event, "service", news->what) ||
	    !json_add_text(event, "since", rfc3339_format(since, since_ms)) ||
	    !json_add_int64(event, "seconds", news->away_ms / 1000) ||
	    !json_add_int64(event, "patience", news->patience_ms / 1000) ||
	    !json_add_text(event, "cause", cause) ||
	    !json_add_text(event, "detail", news->why.message))
		return NULL;
	return TAKE_PTR(event);
}

void outage_print(const struct dps_outage_news *news, enum output_format output, bool is_quiet)
{
	CLEANUP(cJSON_freep) cJSON *event = NULL;
	struct muster_error ignored;
	int64_t since_ms = clock_wall_ms() - news->away_ms;

	if (!is_quiet)
		say(news, since_ms);
	if (output != OUTPUT_JSONL)
		return;
	event = event_of(news, since_ms);
	/* An output that takes it not takes nothing else, and that ends the run. */
	if (event && !output_print(stdout, OUTPUT_JSONL, event, NULL, 0, &ignored))
		log_debug("%s", ignored.message);
}
