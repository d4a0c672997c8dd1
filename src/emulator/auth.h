/* Who may call the service API: shared access signatures of the instance's policies, and the rights of each; and tokens
 * of the authority. */
#pragma once

#include <stdbool.h>

#include "muster/cleanup.h"

#include "authority.h"
#include "request.h"
#include "sas.h"

/* Remembers which header texts carried a valid signature, so that a client's token is verified once and not with
 * every request. Expiry is looked at each time. */
struct sas_cache;
struct sas_cache *sas_cache_new(void);
void sas_cache_free(struct sas_cache *cache);

/* False and a 401 in exchange->refusal unless a policy with this right signed a token for this path, or the authority
 * issued one to an application; an application without the role gets a 403. */
bool auth_check_service(struct exchange *exchange, unsigned right) MUST_CHECK;
/* Whose token for this audience the request carries; NULL when none that holds. */
const struct application *auth_application(const struct exchange *exchange, const char *audience);
/* The device's token for "{idScope}/registrations/{id}", signed with any of the keys. The same refusal. */
struct auth_key {
	const void *data;
	size_t size;
};
bool auth_check_device(struct exchange *exchange, const struct auth_key *keys, size_t key_count)
	MUST_CHECK;
