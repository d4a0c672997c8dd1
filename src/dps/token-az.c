/* Tokens of a person who has signed in with "az login": the az program is asked for them. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/json.h"
#include "muster/process.h"

#include "token-internal.h"

enum { AZ_DEADLINE_MS = 60000, AZ_OUTPUT_MAX = 32 * 1024, ENVIRONMENT_MAX = 16 };

static const char what[] = "asking az for a token";

/* What az needs of ours, and no talk around the answer. It goes out by itself, by the proxy, whose login is not for an
 * environment. */
static void fill_environment(const char *proxy, const char *no_proxy,
			     const char *environment[ENVIRONMENT_MAX])
{
	static const char *const kept[] = { "PATH=", "HOME=", "AZURE_CONFIG_DIR=", "TZ=", "LANG=" };
	static const char *const own[] = { "LC_ALL=C.UTF-8", "AZURE_CORE_ONLY_SHOW_ERRORS=yes",
					   "AZURE_CORE_COLLECT_TELEMETRY=no",
					   "AZURE_CORE_NO_COLOR=yes", "PYTHONWARNINGS=ignore" };
	size_t count = 0;

	for (char **variable = environ; *variable; variable++)
		for (size_t i = 0; i < ARRAY_SIZE(kept) && count < ARRAY_SIZE(kept); i++)
			if (text_has_prefix(*variable, kept[i]))
				environment[count++] = *variable;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		environment[count++] = own[i];
	environment[count++] = proxy;
	environment[count++] = no_proxy;
	environment[count] = NULL;
}

/* Nobody is signed in, or the authority itself refused. */
static bool is_no(const char *words)
{
	return strstr(words, "az login") || strstr(words, "AADSTS");
}

static bool is_cancelled(const void *http)
{
	return http_is_interrupted(http);
}

/* *ret_is_final: whatever the network is like, it would be so again. */
static bool ask_once(const struct dps_tokens *tokens, const struct http *http, const char *resource,
		     struct secret *output, bool *ret_is_final, struct muster_error *err)
{
	/* az takes one of the two: of a subscription it knows the tenant. */
	const char *whose = tokens->tenant ? tokens->tenant : tokens->wanted_subscription;
	const char *arguments[] = { "az",
				    "account",
				    "get-access-token",
				    "--resource",
				    resource,
				    "--output",
				    "json",
				    !whose           ? NULL
				    : tokens->tenant ? "--tenant"
						     : "--subscription",
				    whose,
				    NULL };
	const char *exceptions, *proxy = http_proxy_named(http, &exceptions);
	CLEANUP(freep) char *set_proxy = proxy ? text_format("HTTPS_PROXY=%s", proxy) : NULL;
	CLEANUP(freep) char *set_no_proxy = proxy ? text_format("NO_PROXY=%s", exceptions) : NULL;
	const char *environment[ENVIRONMENT_MAX];
	const struct process_command command = { arguments,     environment,  AZ_DEADLINE_MS,
						 AZ_OUTPUT_MAX, is_cancelled, http };
	struct process_result result;

	if (proxy && (!set_proxy || !set_no_proxy))
		return muster_fail_memory(err);
	fill_environment(set_proxy, set_no_proxy, environment);
	if (!process_run(&command, output, &result, err)) {
		*ret_is_final = err->cause != CAUSE_PROGRAM_FAILED;
		return muster_error_prefix(err, "%s", what);
	}
	*ret_is_final = !result.was_started || is_no(result.errors);
	if (!result.was_started)
		return muster_fail(err, CAUSE_PROGRAM_FAILED, "%s: there is no program az", what);
	if (result.status != 0)
		return muster_fail(err, CAUSE_SIGN_IN_REFUSED, "%s: az ended with status %d: %s",
				   what, result.status,
				   PRINTABLE(result.errors + strspn(result.errors, "\r\n ")));
	return true;
}

/* Whether the authority cannot be had, which az does not tell: any answer of it will do. */
static bool look_for_authority(const struct dps_tokens *tokens, struct http *http,
			       bool *ret_is_away, struct muster_error *ret_why,
			       struct muster_error *err)
{
	CLEANUP(http_answer_done) struct http_answer answer = { 0 };
	CLEANUP(http_request_done) struct http_request request = { .method = HTTP_GET };

	text_addf(&request.url, "%s/", tokens->endpoints.authority);
	if (!text_ok(&request.url, err) || !http_fetch(http, &request, &answer, err))
		return false;
	*ret_is_away = dps_next_step(&answer, false) == DPS_NEXT_RETRY;
	if (*ret_is_away)
		dps_answer_fail(&answer, "looking for the sign-in authority", ret_why);
	return true;
}

/* What fails while the authority is away is the network's fault. When it is there, the network may have come back since. */
static bool ask(const struct dps_tokens *tokens, struct http *http, const char *resource,
		struct secret *output, struct muster_error *err)
{
	struct muster_error failure, why;
	bool is_final = true, is_away = false;

	if (ask_once(tokens, http, resource, output, &is_final, err))
		return true;
	if (is_final)
		return false;
	failure = *err;
	if (!look_for_authority(tokens, http, &is_away, &why, err))
		return false;
	if (is_away)
		return muster_fail_native(err, CAUSE_CLOUD_UNREACHABLE, why.origin, why.native,
					  "%s; %s", why.message, failure.message);
	if (failure.cause == CAUSE_SIGN_IN_REFUSED)
		return ask_once(tokens, http, resource, output, &is_final, err);
	*err = failure;
	return false;
}

/* "expires_on" in seconds; older ones say only "expiresOn": local time, "2026-11-26 13:05:00.000000". */
static bool read_expiry(const cJSON *answer, int64_t *ret_expiry_s)
{
	const char *text = json_text(answer, "expiresOn");
	struct tm local = { .tm_isdst = -1 };
	const char *end;
	time_t expiry;

	if (token_number(answer, "expires_on", ret_expiry_s))
		return true;
	end = text ? strptime(text, "%Y-%m-%d %H:%M:%S", &local) : NULL;
	if (!end || (*end && *end != '.'))
		return false;
	local.tm_isdst = -1;
	expiry = mktime(&local);
	*ret_expiry_s = expiry;
	return expiry != (time_t)-1;
}

static bool take_answer(struct dps_tokens *tokens, const cJSON *answer, struct token *ret_token,
			struct muster_error *err)
{
	const char *type = json_text(answer, "tokenType");
	const char *subscription = json_text(answer, "subscription");
	const char *mistake = NULL;
	int64_t now_ms = clock_wall_ms(), expiry_s = 0;

	if (!type || !text_equal_folded(type, "Bearer"))
		mistake = "its tokenType is not Bearer";
	else if (!read_expiry(answer, &expiry_s))
		mistake = "it does not say when the token expires";
	else if (!token_take(ret_token, json_text(answer, "accessToken"), expiry_s - now_ms / 1000,
			     now_ms, &mistake, err))
		return false;
	if (mistake)
		return muster_fail(err, CAUSE_SIGN_IN_ANSWER,
				   "%s: the answer holds no token that can be used: %s", what,
				   mistake);
	snprintf(tokens->subscription, sizeof(tokens->subscription), "%s",
		 subscription ? subscription : "");
	return true;
}

bool token_by_az(struct dps_tokens *tokens, struct http *http, const char *resource,
		 struct token *ret_token, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret output = { 0 };
	CLEANUP(cJSON_freep) cJSON *answer = NULL;
	struct muster_error unread;

	if (!ask(tokens, http, resource, &output, err))
		return false;
	if (!json_parse((const char *)output.data, output.size, "the answer", &answer, &unread))
		return muster_fail(err, CAUSE_SIGN_IN_ANSWER, "%s: %s", what, unread.message);
	return take_answer(tokens, answer, ret_token, err);
}
