/* The sign-in authority of --application: a tenant with applications that may fetch tokens, and the tokens themselves.
 * All that is secret comes from one random key in the state directory, so it survives a restart. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/secret.h"

#include "stamp.h"

/* What an application may do. */
enum role {
	ROLE_READER = 1 << 0,            /* Device Provisioning Service Data Reader */
	ROLE_CONTRIBUTOR = 1 << 1,       /* Device Provisioning Service Data Contributor */
	ROLE_MANAGEMENT_READER = 1 << 2, /* sees the instances */
	ROLE_MANAGEMENT = 1 << 3,        /* and their keys */
};

struct application {
	char name[64];
	unsigned roles; /* enum role */
	char client_id[GUID_SIZE];
	struct secret secret;
	char *secret_file;
	X509 *certificate; /* whose key signs client assertions; or NULL */
	X509 *federation;  /* whose key signs tokens of another authority for it; or NULL */
};

struct authority {
	uint8_t key[32];
	char tenant[GUID_SIZE];
	char subscription[GUID_SIZE];
	int64_t token_life_s;
	struct application *applications;
	size_t application_count;
};

#define AUTHORITY_DPS_RESOURCE "https://azure-devices-provisioning.net"

/* specs: NAME[:role=ROLE[+ROLE...]][:certificate=FILE][:federation=FILE]. */
bool authority_open(const char *directory, const char *const *specs, size_t spec_count,
		    int64_t token_life_s, struct authority **ret_authority,
		    struct muster_error *err) MUST_CHECK;
void authority_close(struct authority *authority);

/* By client ID, any letter case; NULL when there is none. */
const struct application *authority_find(const struct authority *authority, const char *client_id);

/* A token for this audience. Caller frees; NULL when out of memory. */
char *authority_issue(const struct authority *authority, const struct application *application,
		      const char *audience, int64_t now_ms);
/* The application of a token that is ours, not expired and for this audience (a final '/' does not count), and its
 * roles; else NULL. */
const struct application *authority_check(const struct authority *authority, const char *token,
					  const char *audience, int64_t now_ms);

/* For the ready line: tenant, subscription, applications with client IDs and secret files. */
bool authority_describe(const struct authority *authority, cJSON *object);
