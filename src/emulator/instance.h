/* Who this provisioning service is: its ID scope and its shared access policies, made once and kept in the state
 * directory (0600). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/text.h"

#define ID_SCOPE_SIZE 16
#define POLICY_COUNT_MAX 64
#define POLICY_KEY_SIZE 32
#define DEFAULT_POLICY "provisioningserviceowner"

struct policy {
	char name[65];
	unsigned rights; /* enum right */
	uint8_t keys[2][POLICY_KEY_SIZE];
};

struct instance {
	char id_scope[ID_SCOPE_SIZE];
	struct policy policies[POLICY_COUNT_MAX];
	size_t policy_count;
};

/* Reads the file, or makes it; adds the policies of `specs` ("NAME=RIGHT[,RIGHT...]") and gives those that exist
 * the rights named. The default policy always exists, with all rights unless a spec says otherwise. */
bool instance_open(const char *path, const char *const *specs, size_t spec_count,
		   struct instance *ret_instance, struct muster_error *err) MUST_CHECK;
/* "ServiceConfig, EnrollmentRead" */
void policy_print_rights(const struct policy *policy, struct text *text);
const struct policy *instance_policy(const struct instance *instance, const char *name);
