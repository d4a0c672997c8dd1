/* How a command finds its provisioning service and gets in: the option rows that the commands about enrollments share, and
 * the client that comes of them. */
#pragma once

#include "muster/config.h"
#include "muster/dps-client.h"
#include "muster/dps-http.h"

#include "cli-internal.h"

struct login_options {
	const char *login; /* connection string; holds over names and --auth-type, as az has it */
	const char *login_file;
	const char *dps_name;
	const char *resource_group;
	const char *subscription;
	const char *auth_type; /* "key" or "login"; NULL: not said */
	const char *sign_in;   /* of dps_sign_in_names; NULL: what the others imply */
	const char *tenant;
	const char *client_id;
	const char *client_secret_file; /* as the next three: a source of a secret */
	const char *client_certificate; /* PEM; with the key unless that is named */
	const char *client_key;
	const char *federated_token_file;
	const char *token_cache;
	struct dps_endpoints endpoints;
	struct http_terms network;
	const char *rate;     /* "N" or "N/SECONDS" */
	const char *patience; /* see outage_patience() */
};

extern const char *const login_auth_types[];

/* For a table whose options struct `type` has a `struct login_options member`; the letters are az's, 0 where they mean
 * something else. */
/* clang-format off */
#define LOGIN_ROW(letter, name, kind, placeholder, help, type, member, field, environment, choices, flags) \
	{ letter, name, NULL, kind, placeholder, help, offsetof(type, member.field), environment, choices, flags }
/* How servers are reached, into a struct http_terms. */
#define PROXY_ROWS(type, member)                                                                                       \
	LOGIN_ROW(0, "proxy", OPTION_TEXT, "URL", "Go through this proxy, http://HOST:PORT; none: through none",       \
		  type, member, proxy, "MUSTER_PROXY", NULL, 0),                                               \
	LOGIN_ROW(0, "no-proxy", OPTION_TEXT, "HOSTS", "Hosts and ends of hosts, with commas, to go to directly",      \
		  type, member, no_proxy, "MUSTER_NO_PROXY", NULL, 0),                                         \
	LOGIN_ROW(0, "proxy-login-file", OPTION_TEXT, "FILE", "USER:PASSWORD for the proxy, in a file of mode 0600",   \
		  type, member, proxy_login, "MUSTER_PROXY_LOGIN_FILE", NULL, 0)
#define LOGIN_ROWS_LETTERED(login_letter, name_letter, group_letter, type, member)                                     \
	LOGIN_ROW(login_letter, "login", OPTION_TEXT, "TEXT",                                                          \
		  "DPS connection string; others can see it, prefer --login-file",                                     \
		  type, member, login, NULL, NULL, OPTION_SECRET),                                                     \
	LOGIN_ROW(0, "login-file", OPTION_TEXT, "FILE", "DPS connection string, in a file of mode 0600",               \
		  type, member, login_file, "MUSTER_LOGIN_FILE", NULL, 0),                                             \
	LOGIN_ROW(name_letter, "dps-name", OPTION_TEXT, "NAME", "Name or host of the provisioning service",            \
		  type, member, dps_name, "MUSTER_DPS_NAME", NULL, 0),                                                 \
	LOGIN_ROW(group_letter, "resource-group", OPTION_TEXT, "NAME", "Resource group that the service is looked up in", \
		  type, member, resource_group, "MUSTER_RESOURCE_GROUP", NULL, 0),                                     \
	LOGIN_ROW(0, "subscription", OPTION_TEXT, "ID", "Subscription that the service is looked up in",               \
		  type, member, subscription, "MUSTER_SUBSCRIPTION", NULL, 0),                                         \
	LOGIN_ROW(0, "auth-type", OPTION_ONE_OF, "WAY", "key or login: a policy's key or the operator's own rights",   \
		  type, member, auth_type, "MUSTER_AUTH_TYPE", login_auth_types, 0),                                   \
	LOGIN_ROW(0, "sign-in", OPTION_ONE_OF, "WAY", "How to get tokens of Entra ID; see muster-login(7)",            \
		  type, member, sign_in, "MUSTER_SIGN_IN", dps_sign_in_names, 0),                                      \
	LOGIN_ROW(0, "tenant", OPTION_TEXT, "ID", "Tenant to sign in to",                                              \
		  type, member, tenant, "MUSTER_TENANT", NULL, 0),                                                     \
	LOGIN_ROW(0, "client-id", OPTION_TEXT, "ID", "Application to sign in as",                                      \
		  type, member, client_id, "MUSTER_CLIENT_ID", NULL, 0),                                               \
	LOGIN_ROW(0, "client-secret-file", OPTION_TEXT, "FILE", "The application's secret, in a file of mode 0600",    \
		  type, member, client_secret_file, "MUSTER_CLIENT_SECRET_FILE", NULL, 0),                             \
	LOGIN_ROW(0, "client-certificate", OPTION_TEXT, "FILE", "The application's certificate and its key, PEM, mode 0600", \
		  type, member, client_certificate, "MUSTER_CLIENT_CERTIFICATE", NULL, 0),                             \
	LOGIN_ROW(0, "client-key", OPTION_TEXT, "FILE", "The certificate's key where it is in no file with it",        \
		  type, member, client_key, "MUSTER_CLIENT_KEY", NULL, 0),                                             \
	LOGIN_ROW(0, "federated-token-file", OPTION_TEXT, "FILE", "Token of another authority, in a file of mode 0600", \
		  type, member, federated_token_file, "MUSTER_FEDERATED_TOKEN_FILE", NULL, 0),                         \
	LOGIN_ROW(0, "token-cache", OPTION_TEXT, "FILE", "Keep tokens in this file, mode 0600; default: in memory only", \
		  type, member, token_cache, "MUSTER_TOKEN_CACHE", NULL, 0),                                           \
	LOGIN_ROW(0, "authority-host", OPTION_TEXT, "URL", "Sign-in authority of another cloud",                       \
		  type, member, endpoints.authority, "MUSTER_AUTHORITY_HOST", NULL, OPTION_HIDDEN),                    \
	LOGIN_ROW(0, "management-endpoint", OPTION_TEXT, "URL", "Management API of another cloud",                     \
		  type, member, endpoints.management, "MUSTER_MANAGEMENT_ENDPOINT", NULL, OPTION_HIDDEN),              \
	LOGIN_ROW(0, "metadata-endpoint", OPTION_TEXT, "URL", "Metadata service of a managed identity",                \
		  type, member, endpoints.metadata, "MUSTER_METADATA_ENDPOINT", NULL, OPTION_HIDDEN),                  \
	LOGIN_ROW(0, "dps-suffix", OPTION_TEXT, "HOST", "End of the service's host in another cloud",                  \
		  type, member, endpoints.suffix, "MUSTER_DPS_SUFFIX", NULL, OPTION_HIDDEN),                           \
	LOGIN_ROW(0, "dps-resource", OPTION_TEXT, "URL", "Resource of the service's tokens in another cloud",          \
		  type, member, endpoints.resource, "MUSTER_DPS_RESOURCE", NULL, OPTION_HIDDEN),                       \
	LOGIN_ROW(0, "ca-file", OPTION_TEXT, "FILE", "Roots to trust instead of the system's, PEM",                    \
		  type, member, network.ca_file, "MUSTER_CA_FILE", NULL, 0),                                           \
	PROXY_ROWS(type, member.network)
#define RATE_ROW(type, member)                                                                                         \
	LOGIN_ROW(0, "rate", OPTION_TEXT, "N[/S]", "Operations per minute, or per S seconds, that the service allows", \
		  type, member, rate, "MUSTER_RATE", NULL, 0)
/* With the letters, of the commands about enrollments. */
#define LOGIN_ROWS(type, member)                                                                                       \
	LOGIN_ROWS_LETTERED('l', 'n', 'g', type, member),                                                              \
	RATE_ROW(type, member)
/* clang-format on */

/* Drops the ways to log in that stand lower than another: one of the command line holds over those of the environment.
 * False when none is there. */
bool login_options_choose(struct login_options *options);
/* The way to sign in that the options name or imply. */
enum dps_sign_in login_sign_in(const struct login_options *options);
/* What the options leave open as the configuration has it. A way to log in that stands in the options holds over the
 * configuration's. */
void login_options_complete(struct login_options *options, const struct config *config);
/* Of complete options. Reads the files named, sends nothing. CAUSE_LOGIN_MISSING when nothing says who may enter. */
bool login_credential_new(const struct login_options *options,
			  struct dps_credential **ret_credential, struct muster_error *err)
	MUST_CHECK;

/* "N" or "N/SECONDS"; NULL: what the service promises by default. */
bool login_rate(const char *text, struct dps_rate *ret_rate, struct muster_error *err) MUST_CHECK;

/* The service that a command talks to. For CLEANUP(service_done). */
struct service {
	struct http *http;
	struct dps_credential *credential;
	struct dps_client *client;
	struct dps_meter *meter; /* the rate budget of this station */
	int64_t patience_ms;     /* how long a service that is away is waited for */
};

/* Completes the options from the configuration. */
bool service_open(const struct login_options *options, struct service *ret_service,
		  struct muster_error *err) MUST_CHECK;
void service_done(struct service *service);
