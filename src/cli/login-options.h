/* How a command finds its provisioning service and gets in: the option rows that the commands about enrollments share, and
 * the client that comes of them. */
#pragma once

#include "muster/dps-client.h"

#include "cli-internal.h"

struct login_options {
	const char *login; /* connection string; holds over names and --auth-type, as az has it */
	const char *login_file;
	const char *dps_name;
	const char *resource_group;
	const char *subscription;
	const char *auth_type; /* "key" or "login"; NULL: not said */
	const char *ca_file;
	const char *rate; /* "N" or "N/SECONDS" */
};

extern const char *const login_auth_types[];

/* For a table whose options struct `type` has a `struct login_options member`. */
/* clang-format off */
#define LOGIN_ROW(letter, name, kind, placeholder, help, type, member, field, environment, choices, flags) \
	{ letter, name, NULL, kind, placeholder, help, offsetof(type, member.field), environment, choices, flags }
#define LOGIN_ROWS(type, member)                                                                                       \
	LOGIN_ROW('l', "login", OPTION_TEXT, "TEXT", "DPS connection string; others can see it, prefer --login-file",  \
		  type, member, login, NULL, NULL, OPTION_SECRET),                                                     \
	LOGIN_ROW(0, "login-file", OPTION_TEXT, "FILE", "DPS connection string, in a file of mode 0600",               \
		  type, member, login_file, "MUSTER_LOGIN_FILE", NULL, 0),                                             \
	LOGIN_ROW('n', "dps-name", OPTION_TEXT, "NAME", "Name or host of the provisioning service",                    \
		  type, member, dps_name, NULL, NULL, 0),                                                              \
	LOGIN_ROW('g', "resource-group", OPTION_TEXT, "NAME", "Resource group that the service is looked up in",       \
		  type, member, resource_group, NULL, NULL, 0),                                                        \
	LOGIN_ROW(0, "subscription", OPTION_TEXT, "ID", "Subscription that the service is looked up in",               \
		  type, member, subscription, NULL, NULL, 0),                                                          \
	LOGIN_ROW(0, "auth-type", OPTION_ONE_OF, "WAY", "key or login: a policy's key or the operator's own rights",   \
		  type, member, auth_type, NULL, login_auth_types, 0),                                                 \
	LOGIN_ROW(0, "ca-file", OPTION_TEXT, "FILE", "Roots to trust instead of the system's, PEM",                    \
		  type, member, ca_file, "MUSTER_CA_FILE", NULL, 0),                                                   \
	LOGIN_ROW(0, "rate", OPTION_TEXT, "N[/S]", "Operations per minute, or per S seconds, that the service allows", \
		  type, member, rate, "MUSTER_RATE", NULL, 0)
/* clang-format on */

/* The service that a command talks to. For CLEANUP(service_done). */
struct service {
	struct http *http;
	struct dps_credential *credential;
	struct dps_client *client;
	struct dps_meter *meter; /* the rate budget of this station */
};

/* CAUSE_LOGIN_MISSING when nothing says who may enter. */
bool service_open(const struct login_options *options, struct service *ret_service,
		  struct muster_error *err) MUST_CHECK;
void service_done(struct service *service);
