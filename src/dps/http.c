#include <assert.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/process.h"

#include "http-internal.h"

/* How long it may take until an interrupt is noticed. */
#define INTERRUPT_LOOK_MS 200

/* -- The client ---------------------------------------------------------------------------------------- */

/* What another one does not know would be left out without a word: curl_easy_setopt() is not asked each time. */
static bool check_curl(struct muster_error *err)
{
	const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	return (info->version_num >= 0x075500 && info->ssl_version &&
		text_has_prefix(info->ssl_version, "OpenSSL/")) ||
	       muster_fail(err, CAUSE_LIBCURL_UNFIT, "libcurl %s with %s cannot be used",
			   info->version, info->ssl_version ? info->ssl_version : "no TLS");
}

static bool start_curl_once(struct muster_error *err)
{
	static bool started;

	if (!started && !check_curl(err))
		return false;
	if (!started &&
	    curl_global_init_mem(CURL_GLOBAL_DEFAULT, wiping_malloc, wiping_free, wiping_realloc,
				 wiping_strdup, wiping_calloc) != CURLE_OK)
		return muster_fail(err, CAUSE_INTERNAL, "starting libcurl");
	started = true;
	return true;
}

struct http *http_new(const struct http_terms *terms, struct muster_error *err)
{
	static const struct http_terms nothing_said;
	CLEANUP(http_freep) struct http *http = NULL;

	if (!terms)
		terms = &nothing_said;
	if (!http_terms_check(terms, err) || !start_curl_once(err) ||
	    (terms->ca_file && !http_tls_check_roots(terms->ca_file, err)))
		return NULL;
	http = calloc(1, sizeof(*http));
	if (!http || !(http->multi = curl_multi_init()) ||
	    (terms->ca_file && !(http->ca_file = strdup(terms->ca_file)))) {
		muster_fail_memory(err);
		return NULL;
	}
	return http_proxy_open(http, terms, err) ? TAKE_PTR(http) : NULL;
}

static CURL *take_easy(struct http *http)
{
	return http->spare_count > 0 ? http->spares[--http->spare_count] : curl_easy_init();
}

/* What it held of the transfer goes, the handle itself stays for the next one. */
static void give_easy_back(struct http *http, CURL *easy)
{
	if (!easy || http->spare_count == HTTP_SPARES) {
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_reset(easy);
	http->spares[http->spare_count++] = easy;
}

static void transfer_free(struct http_transfer *transfer)
{
	if (!transfer)
		return;
	give_easy_back(transfer->http, transfer->easy);
	curl_url_cleanup(transfer->url);
	curl_slist_free_all(transfer->headers);
	http_request_done(&transfer->request);
	http_answer_done(&transfer->answer);
	free(transfer);
}
DEFINE_FREEP(transfer_freep, struct http_transfer *, transfer_free)

/* Takes time that is better spent when the next request is out. */
static void free_finished(struct http *http)
{
	struct http_transfer *transfer;

	while ((transfer = http->finished)) {
		http->finished = transfer->next;
		transfer_free(transfer);
	}
}

/* Takes it out of the client; it is the caller's then. */
static void transfer_remove(struct http *http, struct http_transfer *transfer)
{
	struct http_transfer **link = &http->transfers;

	while (*link != transfer) {
		assert(*link);
		link = &(*link)->next;
	}
	*link = transfer->next;
	transfer->is_under_way = false;
	http->pending--;
	curl_multi_remove_handle(http->multi, transfer->easy);
}

void http_cancel(struct http *http, struct http_transfer *transfer)
{
	if (transfer->is_under_way)
		transfer_remove(http, transfer);
	transfer_free(transfer);
}

void http_free(struct http *http)
{
	if (!http)
		return;
	while (http->transfers)
		http_cancel(http, http->transfers);
	free_finished(http);
	while (http->spare_count > 0)
		curl_easy_cleanup(http->spares[--http->spare_count]);
	curl_multi_cleanup(http->multi);
	free(http->ca_file);
	http_proxy_close(http);
	free(http);
}

size_t http_pending(const struct http *http)
{
	return http->pending;
}

/* -- Starting ------------------------------------------------------------------------------------------ */

/* A query may hold a key (webhooks), so messages name an address without it. */
static void set_place(struct http_transfer *transfer)
{
	const char *url = transfer->request.url.data ? transfer->request.url.data : "";

	snprintf(transfer->place, sizeof(transfer->place), "%.*s", (int)strcspn(url, "?"), url);
}

static struct http_transfer *transfer_new(struct http *http, struct http_request *request)
{
	struct http_transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer) {
		http_request_done(request);
		return NULL;
	}
	transfer->http = http;
	transfer->request = *request;
	*request = (struct http_request){ 0 };
	set_place(transfer);
	transfer->reply_max =
		transfer->request.reply_max ? transfer->request.reply_max : HTTP_REPLY_MAX;
	transfer->answer = (struct http_answer){
		.body = TEXT_MAX(transfer->reply_max),
		.continuation = TEXT_MAX(HTTP_HEADERS_MAX),
		.retry_after_ms = -1,
		.date_ms = -1,
	};
	transfer->easy = take_easy(http);
	transfer->url = curl_url();
	if (!transfer->easy || !transfer->url) {
		transfer_free(transfer);
		return NULL;
	}
	return transfer;
}

struct http_transfer *http_prepare(struct http *http, struct http_request *request,
				   http_callback *callback, void *context, struct muster_error *err)
{
	CLEANUP(transfer_freep) struct http_transfer *transfer = transfer_new(http, request);

	if (!transfer) {
		muster_fail_memory(err);
		return NULL;
	}
	transfer->callback = callback;
	transfer->context = context;
	return http_transfer_configure(transfer, err) ? TAKE_PTR(transfer) : NULL;
}

bool http_go(struct http *http, struct http_transfer *transfer, struct muster_error *err)
{
	if (curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK)
		return muster_fail_memory(err);
	transfer->started_ms = clock_now_ms();
	transfer->deadline_ms = transfer->started_ms + transfer->whole_ms;
	transfer->is_under_way = true;
	transfer->next = http->transfers;
	http->transfers = transfer;
	http->pending++;
	return true;
}

struct http_transfer *http_start(struct http *http, struct http_request *request,
				 http_callback *callback, void *context, struct muster_error *err)
{
	CLEANUP(transfer_freep)
	struct http_transfer *transfer = http_prepare(http, request, callback, context, err);

	return transfer && http_go(http, transfer, err) ? TAKE_PTR(transfer) : NULL;
}

/* -- Waiting and finishing ----------------------------------------------------------------------------- */

/* curl's own timers stand still while the machine sleeps; our deadline does not. Awake, curl ends it first. */
#define OVERDUE_SLACK_MS 1000

static int64_t overdue_at(const struct http_transfer *transfer)
{
	return transfer->deadline_ms + OVERDUE_SLACK_MS;
}

static int until_next_deadline(const struct http *http, int timeout_ms)
{
	int64_t now = clock_now_ms();

	for (const struct http_transfer *at = http->transfers; at; at = at->next) {
		int64_t left = overdue_at(at) > now ? overdue_at(at) - now : 0;

		if (timeout_ms < 0 || left < timeout_ms)
			timeout_ms = (int)left;
	}
	return timeout_ms < 0 ? 60 * 60 * 1000 : timeout_ms;
}

bool http_poll(struct http *http, struct pollfd *extra, size_t count, int timeout_ms,
	       struct muster_error *err)
{
	struct curl_waitfd *waits = calloc(count + 1, sizeof(*waits));
	CURLMcode result;

	if (!waits)
		return muster_fail_memory(err);
	free_finished(http);
	for (size_t i = 0; i < count; i++) {
		waits[i].fd = extra[i].fd;
		waits[i].events = (short)((extra[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
					  (extra[i].events & POLLPRI ? CURL_WAIT_POLLPRI : 0) |
					  (extra[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0));
	}
	result = curl_multi_poll(http->multi, waits, (unsigned)count,
				 until_next_deadline(http, timeout_ms), NULL);
	free(waits);
	if (result != CURLM_OK)
		return muster_fail_native(err, CAUSE_INTERNAL, ORIGIN_CURL, (unsigned long)result,
					  "waiting for the network: %s",
					  curl_multi_strerror(result));
	/* curl reports neither POLLHUP nor POLLERR of the extra descriptors; ask again, without waiting. */
	if (count > 0 && poll(extra, (nfds_t)count, 0) < 0)
		for (size_t i = 0; i < count; i++)
			extra[i].revents = 0;
	return true;
}

static void finish(struct http *http, struct http_transfer *transfer, CURLcode result)
{
	struct http_answer *answer = &transfer->answer;
	long status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	answer->status = (int)status;
	answer->received_ms = clock_wall_ms();
	answer->started_ms = transfer->started_ms;
	if (result == CURLE_OK && !transfer->is_too_large) {
		text_add(&answer->body, "");
		http_answer_complete(answer, answer->received_ms);
	} else {
		http_failure_describe(transfer, result);
	}
	transfer_remove(http, transfer);
	transfer->callback(transfer->context, answer);
	transfer->next = http->finished;
	http->finished = transfer;
}

static struct http_transfer *find_overdue(struct http *http)
{
	int64_t now = clock_now_ms();

	for (struct http_transfer *at = http->transfers; at; at = at->next)
		if (now >= overdue_at(at))
			return at;
	return NULL;
}

bool http_perform(struct http *http, struct muster_error *err)
{
	struct http_transfer *transfer;
	int running, left;
	CURLMcode result = curl_multi_perform(http->multi, &running);
	CURLMsg *message;

	free_finished(http);
	if (result != CURLM_OK)
		return muster_fail_native(err, CAUSE_INTERNAL, ORIGIN_CURL, (unsigned long)result,
					  "moving transfers on: %s", curl_multi_strerror(result));
	while ((message = curl_multi_info_read(http->multi, &left))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		finish(http, transfer, message->data.result);
	}
	while ((transfer = find_overdue(http)))
		finish(http, transfer, CURLE_OPERATION_TIMEDOUT);
	return true;
}

void http_set_interrupt(struct http *http, http_interrupt *has_come, void *context)
{
	http->has_interrupt = has_come;
	http->interrupt_context = context;
}

bool http_is_interrupted(const struct http *http)
{
	return http->has_interrupt && http->has_interrupt(http->interrupt_context);
}

/* Such a wait may take as long as a person takes. timeout_ms as for http_poll(). */
static bool poll_interruptibly(struct http *http, int64_t timeout_ms, struct muster_error *err)
{
	if (http_is_interrupted(http))
		return muster_fail(err, CAUSE_INTERRUPTED,
				   "stopped by a signal while waiting for an answer");
	if (http->has_interrupt && (timeout_ms < 0 || timeout_ms > INTERRUPT_LOOK_MS))
		timeout_ms = INTERRUPT_LOOK_MS;
	return http_poll(http, NULL, 0, (int)timeout_ms, err);
}

bool http_wait(struct http *http, int64_t wait_ms, struct muster_error *err)
{
	int64_t until_ms = clock_now_ms() + wait_ms;

	for (;;) {
		int64_t left_ms = until_ms - clock_now_ms();

		if (left_ms <= 0)
			return true;
		if (!poll_interruptibly(http, left_ms, err) || !http_perform(http, err))
			return false;
	}
}

/* -- Blocking ------------------------------------------------------------------------------------------ */

struct fetch {
	struct http_answer *ret_answer;
	bool is_done;
};

static void fetch_done(void *context, struct http_answer *answer)
{
	struct fetch *fetch = context;

	*fetch->ret_answer = *answer;
	*answer = (struct http_answer){ 0 };
	fetch->is_done = true;
}

bool http_fetch(struct http *http, struct http_request *request, struct http_answer *ret_answer,
		struct muster_error *err)
{
	struct fetch fetch = { .ret_answer = ret_answer };
	struct http_transfer *transfer = http_start(http, request, fetch_done, &fetch, err);

	if (!transfer)
		return false;
	while (!fetch.is_done) {
		if (http_perform(http, err) && (fetch.is_done || poll_interruptibly(http, -1, err)))
			continue;
		if (!fetch.is_done)
			http_cancel(http, transfer);
		return fetch.is_done;
	}
	return true;
}
