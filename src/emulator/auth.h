/* Who may call the service API: shared access signatures of the instance's policies, and the rights of each. */
#pragma once

#include <stdbool.h>

#include "muster/cleanup.h"

#include "request.h"
#include "sas.h"

/* Remembers which header texts carried a valid signature, so that a client's token is verified once and not with
 * every request. Expiry is looked at each time. */
struct sas_cache;
struct sas_cache *sas_cache_new(void);
void sas_cache_free(struct sas_cache *cache);

/* False and a 401 in exchange->refusal unless a policy with this right signed a token for this path. */
bool auth_check_policy(struct exchange *exchange, unsigned right) MUST_CHECK;
/* The device's token for "{idScope}/registrations/{id}", signed with any of the keys. The same refusal. */
struct auth_key {
	const void *data;
	size_t size;
};
bool auth_check_device(struct exchange *exchange, const struct auth_key *keys, size_t key_count)
	MUST_CHECK;
