#include <stdlib.h>

#include <openssl/rand.h>

#include "muster/clock.h"
#include "muster/dps-client.h"
#include "muster/log.h"

struct dps_client {
	struct http *http;
	struct dps_credential *credential;
	struct dps_meter *meter;   /* NULL: as fast as one likes */
	struct dps_outage *outage; /* NULL: nobody waits */
};

struct dps_client *dps_client_new(struct http *http, struct dps_credential *credential,
				  struct muster_error *err)
{
	struct dps_client *client = calloc(1, sizeof(*client));

	if (!client) {
		muster_fail_memory(err);
		return NULL;
	}
	*client = (struct dps_client){ .http = http, .credential = credential };
	return client;
}

void dps_client_free(struct dps_client *client)
{
	free(client);
}

struct http *dps_client_http(const struct dps_client *client)
{
	return client->http;
}

struct dps_credential *dps_client_credential(const struct dps_client *client)
{
	return client->credential;
}

const char *dps_client_host(const struct dps_client *client)
{
	return dps_credential_host(client->credential);
}

void dps_client_set_meter(struct dps_client *client, struct dps_meter *meter)
{
	client->meter = meter;
}

struct dps_meter *dps_client_meter(const struct dps_client *client)
{
	return client->meter;
}

void dps_client_set_outage(struct dps_client *client, struct dps_outage *outage)
{
	client->outage = outage;
}

struct dps_outage *dps_client_outage(const struct dps_client *client)
{
	return client->outage;
}

/* -- One exchange -------------------------------------------------------------------------------------- */

static bool wait_for_turn(struct dps_client *client, struct dps_budget_ticket *ret_ticket,
			  struct muster_error *err)
{
	int64_t wait_ms;

	while (client->meter &&
	       (wait_ms = dps_meter_take(client->meter, 1, DPS_BUDGET_BENCH, ret_ticket)) > 0) {
		log_debug("waiting %lld ms for a turn in the rate budget", (long long)wait_ms);
		if (!http_wait(client->http, wait_ms, err))
			return false;
	}
	return true;
}

/* The turn of what did not leave is another's. */
static bool authorize(struct dps_client *client, struct http_request *request,
		      const struct dps_budget_ticket *ticket, struct muster_error *err)
{
	if (dps_credential_authorize(client->credential, client->http, request, err))
		return true;
	if (client->meter)
		dps_meter_answer(client->meter, ticket, DPS_BUDGET_UNSENT, -1);
	return false;
}

static bool send_once(struct dps_client *client, dps_client_build *build, void *context,
		      struct http_answer *ret_answer, struct muster_error *err)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };
	struct dps_budget_ticket ticket = { 0 };

	if (!dps_credential_connect(client->credential, client->http, err) ||
	    !build(context, dps_client_host(client), &request, err) ||
	    !wait_for_turn(client, &ticket, err) || !authorize(client, &request, &ticket, err) ||
	    !http_fetch(client->http, &request, ret_answer, err))
		return false;
	if (client->meter)
		dps_meter_answer(client->meter, &ticket, dps_budget_fate_of(ret_answer),
				 ret_answer->retry_after_ms);
	return true;
}

/* *ret_wait_ms -1: no further attempt. */
static bool wait_of(const struct http_answer *answer, unsigned attempts, int64_t *ret_wait_ms,
		    struct muster_error *err)
{
	uint64_t random;

	if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
		return muster_fail(err, CAUSE_CRYPTO, "asking for random numbers");
	*ret_wait_ms = dps_retry_wait_ms(attempts, answer->retry_after_ms, random);
	return true;
}

static bool pause_for(struct dps_client *client, int64_t wait_ms, struct muster_error *err)
{
	log_info("waiting %lld ms before the next attempt", (long long)wait_ms);
	return http_wait(client->http, wait_ms, err);
}

bool dps_client_pause(struct dps_client *client, const struct http_answer *answer,
		      unsigned attempts, struct muster_error *err)
{
	int64_t wait_ms = 0;

	return wait_of(answer, attempts, &wait_ms, err) &&
	       (wait_ms <= 0 || pause_for(client, wait_ms, err));
}

/* Whether the answer asks for the same again; waits until it may go. */
static bool prepare_next(struct dps_client *client, const struct http_answer *answer, bool writes,
			 unsigned attempts, bool *was_renewed, bool *ret_again,
			 struct muster_error *err)
{
	int64_t wait_ms = 0;

	*ret_again = false;
	switch (dps_next_step(answer, writes)) {
	case DPS_NEXT_RENEW:
		*ret_again = !*was_renewed && dps_credential_forget(client->credential, answer);
		*was_renewed = true;
		return true;
	case DPS_NEXT_RETRY:
		break;
	default:
		return true;
	}
	if (!wait_of(answer, attempts, &wait_ms, err))
		return false;
	if (wait_ms < 0)
		return true;
	*ret_again = true;
	return pause_for(client, wait_ms, err);
}

/* A question whose answer was lost can be asked again: nothing is unknown that was known before. */
static void settle_read(struct http_answer *answer)
{
	const struct muster_error lost = answer->error;

	if (answer->outcome == HTTP_UNKNOWN && lost.cause == CAUSE_OUTCOME_UNKNOWN)
		muster_fail_native(&answer->error, CAUSE_CLOUD_UNREACHABLE, lost.origin,
				   lost.native, "%s", lost.message);
}

bool dps_client_fetch(struct dps_client *client, dps_client_build *build, void *context,
		      bool writes, struct http_answer *ret_answer, struct muster_error *err)
{
	bool was_renewed = false, again = true;

	for (unsigned attempts = 1;; attempts++) {
		CLEANUP(http_answer_done) struct http_answer answer = { 0 };

		if (!send_once(client, build, context, &answer, err) ||
		    !prepare_next(client, &answer, writes, attempts, &was_renewed, &again, err))
			return false;
		if (again)
			continue;
		if (!writes)
			settle_read(&answer);
		*ret_answer = answer;
		answer = (struct http_answer){ 0 };
		return true;
	}
}
