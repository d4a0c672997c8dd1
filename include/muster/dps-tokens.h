/* Access tokens of Entra ID: where they come from and how long they are good for. Kept in memory only, unless a cache
 * file is named. Who carries one to the service is dps-client.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/dps-http.h"
#include "muster/error.h"
#include "muster/secret.h"

#define DPS_TOKEN_MAX (16 * 1024)

enum dps_sign_in {
	DPS_SIGN_IN_AZ,                 /* the session of the az program */
	DPS_SIGN_IN_CLIENT_SECRET,      /* an application by its secret, */
	DPS_SIGN_IN_CLIENT_CERTIFICATE, /* by the key of a certificate, */
	DPS_SIGN_IN_WORKLOAD_IDENTITY,  /* by a token of another authority in a file */
	DPS_SIGN_IN_MANAGED_IDENTITY,   /* that of the machine */
	DPS_SIGN_IN_DEVICE_CODE,        /* a person with a browser elsewhere */
	DPS_SIGN_IN_COUNT,
};
/* "client-secret", ... as options and configuration name them, and a NULL. */
extern const char *const dps_sign_in_names[];

/* The addresses of a cloud. NULL: those of the public one. */
struct dps_endpoints {
	const char *authority;  /* https://login.microsoftonline.com */
	const char *management; /* https://management.azure.com; also the resource of its tokens */
	const char *
		metadata; /* http://169.254.169.254, the one address that may be plain; or a loopback one for tests */
	const char *suffix;   /* of service hosts: azure-devices-provisioning.net */
	const char *resource; /* of the service's tokens: https://azure-devices-provisioning.net */
};
/* Fills in the public cloud's and checks: https, a host, no query, no '/' at the end. CAUSE_ENDPOINT_INVALID. */
bool dps_endpoints_complete(struct dps_endpoints *endpoints, struct muster_error *err) MUST_CHECK;

typedef void dps_sign_in_tell(void *context, const char *user_code, const char *url);

/* The first certificate, and the private key without a password, of a PEM text. CAUSE_SIGN_IN_KEY. */
bool dps_client_certificate_read(const struct secret *pem, X509 **ret_certificate,
				 struct muster_error *err) MUST_CHECK;
bool dps_client_key_read(const struct secret *pem, EVP_PKEY **ret_key, struct muster_error *err)
	MUST_CHECK;

/* Who signs in, and how. Texts are borrowed for the call. */
struct dps_sign_in_request {
	enum dps_sign_in way;
	struct dps_endpoints endpoints; /* complete */
	const char *tenant, *client_id;
	const char *subscription;    /* ID or name: an az session's tokens are of its tenant */
	struct secret client_secret; /* taken over, as the next three */
	EVP_PKEY *key;               /* RSA; may work elsewhere */
	X509 *certificate;
	void *key_owner; /* what stands behind `key`, or NULL; freed after it */
	void (*key_owner_free)(void *key_owner);
	const char *federated_token; /* where it comes from: secret_read_source() */
	const char *cache_file;      /* NULL: tokens stay in memory */
	/* Called with what a person must type where; device code only. */
	dps_sign_in_tell *tell;
	void *tell_context;
};
void dps_sign_in_request_done(struct dps_sign_in_request *request);

struct dps_tokens;

/* Takes the request's secrets over in any case. Sends nothing. CAUSE_SIGN_IN_INCOMPLETE when something is missing,
 * CAUSE_SIGN_IN_KEY when key and certificate do not belong together. */
struct dps_tokens *dps_tokens_new(struct dps_sign_in_request *request, struct muster_error *err)
	MUST_CHECK;
void dps_tokens_free(struct dps_tokens *tokens);
DEFINE_FREEP(dps_tokens_freep, struct dps_tokens *, dps_tokens_free)

const struct dps_endpoints *dps_tokens_endpoints(const struct dps_tokens *tokens);
/* The ID of the subscription that the az session works in; "" when not known, before a token was fetched too. */
const char *dps_tokens_subscription(const struct dps_tokens *tokens);
/* The token for a resource; fetches one unless the one kept is good for a while yet. Borrowed until the next call.
 * Blocks as dps_client_fetch() does. */
bool dps_tokens_get(struct dps_tokens *tokens, struct http *http, const char *resource,
		    const struct secret **ret_token, struct muster_error *err) MUST_CHECK;
/* Drops the kept token of that resource. */
void dps_tokens_forget(struct dps_tokens *tokens, const char *resource);
