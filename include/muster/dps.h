/* Azure DPS as a client: login and tokens, the service operations and the device API as pairs "build the request" and
 * "read the answer", and what to do next about an answer. Pure but for the readers of files; who sends is dps-http.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/dps-budget.h"
#include "muster/dps-document.h"
#include "muster/dps-http.h"
#include "muster/error.h"
#include "muster/secret.h"
#include "muster/signer.h"
#include "muster/text.h"

#define DPS_SERVICE_API_VERSION "2021-10-01"
#define DPS_DEVICE_API_VERSION "2021-06-01"
#define DPS_HOST_SIZE 256

/* -- Login --------------------------------------------------------------------------------------------- */

/* A connection string taken apart. For CLEANUP(dps_login_done). */
struct dps_login {
	char host[DPS_HOST_SIZE]; /* lower case; may carry a port, "localhost:8443" */
	char policy[65];
	struct secret key;
	struct secret token; /* the last that was made */
	int64_t token_made_ms;
};

/* HostName=...;SharedAccessKeyName=...;SharedAccessKey=..., names without regard to case, order free, each exactly
 * once and nothing else. CAUSE_LOGIN_INVALID; the message never holds the key. */
bool dps_login_parse(struct dps_login *ret_login, const char *text, size_t length,
		     struct muster_error *err) MUST_CHECK;
/* From wherever secret_read_source() takes it. */
bool dps_login_read_source(struct dps_login *ret_login, const char *source,
			   struct muster_error *err) MUST_CHECK;
void dps_login_done(struct dps_login *login);

/* Gives the request a token for five to ten minutes. */
bool dps_login_authorize(struct dps_login *login, int64_t now_wall_ms, struct http_request *request,
			 struct muster_error *err) MUST_CHECK;
/* The next request gets another. */
void dps_login_forget(struct dps_login *login);

/* -- SAS tokens ---------------------------------------------------------------------------------------- */

/* resource is the plain text: a host without port, or "SCOPE/registrations/ID"; the token carries it URL-encoded
 * with upper-case hex, and that is what is signed. */
struct dps_sas_terms {
	const char *resource;
	const char *policy; /* skn: the policy's name, or "registration" */
	int64_t expiry_s;   /* Unix seconds */
};

/* The bytes to sign, for a key that answers later (a TPM). */
bool dps_sas_string_to_sign(const struct dps_sas_terms *terms, struct text *ret_text,
			    struct muster_error *err) MUST_CHECK;
/* The token around a signature made elsewhere. */
bool dps_sas_assemble(const struct dps_sas_terms *terms, const uint8_t mac[32],
		      struct secret *ret_token, struct muster_error *err) MUST_CHECK;
bool dps_sas_make(const struct dps_sas_terms *terms, const struct secret *key,
		  struct secret *ret_token, struct muster_error *err) MUST_CHECK;
/* The same by a key that may live elsewhere; blocks as long as it does. */
bool dps_sas_make_with(const struct dps_sas_terms *terms, struct hmac_key *key,
		       struct secret *ret_token, struct muster_error *err) MUST_CHECK;

/* -- Hosts --------------------------------------------------------------------------------------------- */

/* Where devices register: global.azure-devices-provisioning.net (.cn, .us) for an instance of that cloud, else the
 * service host itself with its port. */
void dps_device_host(const char *service_host, char ret_host[DPS_HOST_SIZE]);
/* "host" or "host:port", folded into ret_host. CAUSE_LOGIN_INVALID; `what` names it in the message. */
bool dps_host_parse(const char *text, size_t length, const char *what, char ret_host[DPS_HOST_SIZE],
		    struct muster_error *err) MUST_CHECK;
/* The host without its port: the resource of tokens. */
void dps_host_without_port(const char *host, char ret_name[DPS_HOST_SIZE]);

/* -- Service operations -------------------------------------------------------------------------------- */

/* What fits into a path: 1 to 128 characters, whichever. CAUSE_REGISTRATION_ID_INVALID. */
bool dps_path_id_check(const char *id, struct muster_error *err) MUST_CHECK;

/* Each fills an empty *ret_request, without authorization: dps_login_authorize() does that. `id` goes into the path as
 * given, encoded. if_match: NULL for none (PUT: create), an etag, or "*". */
bool dps_enrollment_put(const char *host, const char *id, const cJSON *enrollment,
			const char *if_match, struct http_request *ret_request,
			struct muster_error *err) MUST_CHECK;
/* The same with a body that is text already. */
bool dps_enrollment_put_text(const char *host, const char *id, const struct text *enrollment,
			     const char *if_match, struct http_request *ret_request,
			     struct muster_error *err) MUST_CHECK;
bool dps_enrollment_get(const char *host, const char *id, struct http_request *ret_request,
			struct muster_error *err) MUST_CHECK;
bool dps_enrollment_delete(const char *host, const char *id, const char *if_match,
			   struct http_request *ret_request, struct muster_error *err) MUST_CHECK;
bool dps_enrollment_mechanism(const char *host, const char *id, struct http_request *ret_request,
			      struct muster_error *err) MUST_CHECK;
/* query NULL: "SELECT * FROM enrollments". continuation NULL: the first page. */
bool dps_enrollment_query(const char *host, const char *query, unsigned page_size,
			  const char *continuation, struct http_request *ret_request,
			  struct muster_error *err) MUST_CHECK;
/* The registration records of an enrollment group. */
bool dps_record_query(const char *host, const char *group, unsigned page_size,
		      const char *continuation, struct http_request *ret_request,
		      struct muster_error *err) MUST_CHECK;
bool dps_record_get(const char *host, const char *id, struct http_request *ret_request,
		    struct muster_error *err) MUST_CHECK;
bool dps_record_delete(const char *host, const char *id, const char *if_match,
		       struct http_request *ret_request, struct muster_error *err) MUST_CHECK;

/* Readers. Anything but the success that the protocol names is an error by the table in error.c; an answer that does not
 * hold what it must is CAUSE_CLOUD_ANSWER_INVALID. Trees are the caller's. Put and get: the registration ID must be
 * the one asked for. */
bool dps_enrollment_read(const struct http_answer *answer, const char *id, cJSON **ret_enrollment,
			 struct muster_error *err) MUST_CHECK;
/* The same for who needs nothing of it but to know that it is one. */
bool dps_enrollment_confirm(const struct http_answer *answer, const char *id,
			    struct muster_error *err) MUST_CHECK;
bool dps_mechanism_read(const struct http_answer *answer, cJSON **ret_mechanism,
			struct muster_error *err) MUST_CHECK;
bool dps_query_read(const struct http_answer *answer, cJSON **ret_array, struct muster_error *err)
	MUST_CHECK;
/* Of an enrollment or a record. */
bool dps_delete_read(const struct http_answer *answer, struct muster_error *err) MUST_CHECK;

/* -- Device API ---------------------------------------------------------------------------------------- */

/* Who registers, borrowed. */
struct dps_device {
	const char *host; /* dps_device_host() */
	const char *id_scope;
	const char *registration_id;
	const struct bytes *ek;  /* TPM only: TPM2B_PUBLIC of the endorsement key */
	const struct bytes *srk; /* TPM only: of the storage root key */
};

/* "SCOPE/registrations/ID", the resource of the device's tokens; their policy is "registration". */
bool dps_device_resource(const struct dps_device *device, struct text *ret_resource,
			 struct muster_error *err) MUST_CHECK;
/* Symmetric key and TPM: set authorization to a token (TPM: not for the first, whose answer is the challenge). X.509:
 * http_request_identity(). payload is an object or NULL. */
bool dps_register(const struct dps_device *device, const cJSON *payload,
		  struct http_request *ret_request, struct muster_error *err) MUST_CHECK;
bool dps_operation_get(const struct dps_device *device, const char *operation_id,
		       struct http_request *ret_request, struct muster_error *err) MUST_CHECK;
void dps_request_token(struct http_request *request, struct secret *token); /* takes it over */

enum dps_status {
	DPS_STATUS_CHALLENGED, /* TPM: activate `key_blob`, sign, register again */
	DPS_STATUS_UNASSIGNED,
	DPS_STATUS_ASSIGNING, /* ask again after retry_after_ms */
	DPS_STATUS_ASSIGNED,
	DPS_STATUS_FAILED,
	DPS_STATUS_DISABLED,
};

/* For CLEANUP(dps_registration_done). Texts are "" when the service did not send them. */
struct dps_registration {
	enum dps_status status;
	char operation_id[256];
	char registration_id[DPS_REGISTRATION_ID_MAX + 1];
	char assigned_hub[DPS_HOST_SIZE];
	char device_id[DPS_DEVICE_ID_MAX + 1];
	char substatus[64];
	char etag[256];
	int64_t error_code;
	char error_message[512];
	int64_t retry_after_ms; /* -1: not said */
	struct bytes key_blob;  /* TPM: the challenge, or with ASSIGNED the key for the hub */
};

void dps_registration_done(struct dps_registration *registration);

/* Of register and of operation polls. */
bool dps_registration_read(const struct http_answer *answer, const char *id,
			   struct dps_registration *ret_registration, struct muster_error *err)
	MUST_CHECK;
/* True for ASSIGNED; FAILED and DISABLED become errors with the service's words. Not for others. */
bool dps_registration_check(const struct dps_registration *registration, struct muster_error *err)
	MUST_CHECK;
/* "assigned", ... */
const char *dps_status_name(enum dps_status status);

/* -- Failures and what to do next ---------------------------------------------------------------------- */

/* Fills *err from an answer that is not the wanted success; returns false. `what` is the object in words
 * ("enrollment 'dev-1'"). 401 and 403 with a Date more than five minutes from ours are CAUSE_CLOCK_SKEWED. */
bool dps_answer_fail(const struct http_answer *answer, const char *what, struct muster_error *err);

enum dps_next {
	DPS_NEXT_DONE,      /* a success, or a redirect to the reader */
	DPS_NEXT_RETRY,     /* nothing happened there: wait, send again */
	DPS_NEXT_READ_BACK, /* a write may have happened: read before anything else */
	DPS_NEXT_RENEW,     /* 401: a new token, once */
	DPS_NEXT_STOP,      /* the same again would end the same */
};

/* writes: the request changes what the service holds. */
enum dps_next dps_next_step(const struct http_answer *answer, bool writes);

/* What an answer says about the budget of requests. */
enum dps_budget_fate dps_budget_fate_of(const struct http_answer *answer);

#define DPS_RETRY_ATTEMPTS 6
#define DPS_RETRY_BASE_MS 1000
#define DPS_RETRY_CAP_MS 60000
#define DPS_RETRY_AFTER_CAP_MS (10 * 60 * 1000)

/* How long to wait after `attempts` (>= 1) failed ones: full jitter over a doubling span, at least what the service asked
 * for (retry_after_ms, -1 for nothing), that capped at ten minutes. random: any 64 bits. */
int64_t dps_backoff_ms(unsigned attempts, int64_t retry_after_ms, uint64_t random);
/* The same where attempts are counted. -1: they are used up. */
int64_t dps_retry_wait_ms(unsigned attempts, int64_t retry_after_ms, uint64_t random);
