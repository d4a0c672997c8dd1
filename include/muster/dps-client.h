/* Who talks to one provisioning service for a command: a credential that authorizes each request, and a client that sends
 * one, waits, and sends again where that is safe. What to send and what an answer means is dps.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/dps-budget.h"
#include "muster/dps-http.h"
#include "muster/dps-outage.h"
#include "muster/dps-tokens.h"
#include "muster/dps.h"
#include "muster/error.h"

/* -- Credentials --------------------------------------------------------------------------------------- */

/* What lets us in: a shared access policy's key, or whoever fetches tokens. */
struct dps_credential;

/* Takes *login over in any case and leaves it empty. NULL when out of memory. */
struct dps_credential *dps_credential_new_login(struct dps_login *login, struct muster_error *err)
	MUST_CHECK;
/* Tokens of Entra ID for the service at `host`, which may carry a port (CAUSE_USAGE). Takes `tokens` over in any case. */
struct dps_credential *dps_credential_new_tokens(struct dps_tokens *tokens, const char *host,
						 struct muster_error *err) MUST_CHECK;
/* A service that the management API knows. Borrowed for the call. */
struct dps_service_name {
	const char *subscription;   /* NULL: that of the az session */
	const char *resource_group; /* NULL: anywhere in the subscription */
	const char *name;
};
/* By the key of the first of its policies with the rights ServiceConfig and EnrollmentWrite, which the management API
 * gives out. Takes `tokens`, which are for that API, over in any case. CAUSE_USAGE for names that cannot be. */
struct dps_credential *dps_credential_new_named(struct dps_tokens *tokens,
						const struct dps_service_name *service,
						struct muster_error *err) MUST_CHECK;
/* Authorizes nothing: for requests that carry their own proof in the body. */
struct dps_credential *dps_credential_new_nobody(struct muster_error *err) MUST_CHECK;
void dps_credential_free(struct dps_credential *credential);
DEFINE_FREEP(dps_credential_freep, struct dps_credential *, dps_credential_free)

/* Asks whatever has to be asked before the host is known; once that is done, nothing. Blocks as dps_client_fetch() does,
 * which calls it. */
bool dps_credential_connect(struct dps_credential *credential, struct http *http,
			    struct muster_error *err) MUST_CHECK;
/* The service's host, which may carry a port. Borrowed. "" before dps_credential_connect() found it. */
const char *dps_credential_host(const struct dps_credential *credential);
/* Gives the request its authorization. May first fetch a token through `http`, blocking up to HTTP_DEADLINE_MS. */
bool dps_credential_authorize(struct dps_credential *credential, struct http *http,
			      struct http_request *request, struct muster_error *err) MUST_CHECK;
/* After this 401: drops the token that the request carried, so that the next one gets a new one; one that was dropped since is
 * not dropped again. False when there is nothing to renew. */
bool dps_credential_forget(struct dps_credential *credential, const struct http_answer *answer);

/* -- The client ---------------------------------------------------------------------------------------- */

struct dps_client;

/* Borrows both for its life; one thread. NULL when out of memory. */
struct dps_client *dps_client_new(struct http *http, struct dps_credential *credential,
				  struct muster_error *err) MUST_CHECK;
void dps_client_free(struct dps_client *client);
DEFINE_FREEP(dps_client_freep, struct dps_client *, dps_client_free)

struct http *dps_client_http(const struct dps_client *client);
struct dps_credential *dps_client_credential(const struct dps_client *client);
const char *dps_client_host(const struct dps_client *client);

/* From now on every request waits for its turn in this budget. Borrowed. */
void dps_client_set_meter(struct dps_client *client, struct dps_meter *meter);
struct dps_meter *dps_client_meter(const struct dps_client *client); /* NULL: none */
/* What the bulk engine waits for and tells when the service is away. Borrowed. */
void dps_client_set_outage(struct dps_client *client, struct dps_outage *outage);
struct dps_outage *dps_client_outage(const struct dps_client *client); /* NULL: none */

/* Builds one request; called again for each attempt. */
typedef bool dps_client_build(void *context, const char *host, struct http_request *ret_request,
			      struct muster_error *err);

/* One exchange. Sends again, at most DPS_RETRY_ATTEMPTS times with the waits of dps_retry_wait_ms(), as long as
 * dps_next_step() says RETRY, and once more after RENEW. Whatever may have had an effect (READ_BACK) is never sent again:
 * that answer is handed out and the caller reads first. False only when nothing could be sent or waited for; a refusal
 * is true with an answer. Caller http_answer_done(). */
bool dps_client_fetch(struct dps_client *client, dps_client_build *build, void *context,
		      bool writes, struct http_answer *ret_answer, struct muster_error *err)
	MUST_CHECK;
/* For callers that have read back and send again: waits as dps_client_fetch() would after so many attempts. */
bool dps_client_pause(struct dps_client *client, const struct http_answer *answer,
		      unsigned attempts, struct muster_error *err) MUST_CHECK;
