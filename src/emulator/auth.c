#include "auth.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muster/encoding.h"

#include "emulator-internal.h"
#include "routes.h"

#define CACHE_SIZE 256

/* -- Cache ------------------------------------------------------------------------------------------------- */

struct cache_entry {
	uint8_t digest[SHA256_SIZE]; /* of the header */
	const struct policy *policy; /* NULL: empty */
	int64_t expiry_s;
	char resource[256];
};

struct sas_cache {
	pthread_mutex_t lock;
	struct cache_entry entries[CACHE_SIZE];
};

struct sas_cache *sas_cache_new(void)
{
	struct sas_cache *cache = calloc(1, sizeof(*cache));

	if (cache)
		pthread_mutex_init(&cache->lock, NULL);
	return cache;
}

void sas_cache_free(struct sas_cache *cache)
{
	if (!cache)
		return;
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

static bool cache_find(struct sas_cache *cache, const uint8_t digest[SHA256_SIZE],
		       struct cache_entry *ret_entry)
{
	struct cache_entry *entry = &cache->entries[digest[0]];

	pthread_mutex_lock(&cache->lock);
	bool found = entry->policy && memcmp(entry->digest, digest, SHA256_SIZE) == 0;
	if (found)
		*ret_entry = *entry;
	pthread_mutex_unlock(&cache->lock);
	return found;
}

static void cache_keep(struct sas_cache *cache, const struct cache_entry *entry)
{
	pthread_mutex_lock(&cache->lock);
	cache->entries[entry->digest[0]] = *entry;
	pthread_mutex_unlock(&cache->lock);
}

/* -- Policies ---------------------------------------------------------------------------------------------- */

static bool unauthorized(struct exchange *exchange)
{
	return refuse(&exchange->refusal, UNAUTHORIZED, "Unauthorized");
}

static bool is_signed_by_policy(const struct sas *sas, const struct policy *policy)
{
	return sas_is_signed_by(sas, policy->keys[0], POLICY_KEY_SIZE) ||
	       sas_is_signed_by(sas, policy->keys[1], POLICY_KEY_SIZE);
}

static bool verify(const struct emulator *emulator, const char *header, struct cache_entry *entry)
{
	struct sas sas;

	if (!sas_parse(header, &sas) || strlen(sas.resource) >= sizeof(entry->resource))
		return false;
	entry->policy = instance_policy(&emulator->instance, sas.key_name);
	if (!entry->policy || !is_signed_by_policy(&sas, entry->policy))
		return false;
	entry->expiry_s = sas.expiry_s;
	memcpy(entry->resource, sas.resource, strlen(sas.resource) + 1);
	return true;
}

static bool check_policy(struct exchange *exchange, unsigned right)
{
	struct emulator *emulator = exchange->emulator;
	const char *header = exchange->request->authorization;
	struct cache_entry entry = { 0 };
	uint8_t digest[SHA256_SIZE];

	if (!header)
		return unauthorized(exchange);
	sha256(digest, header, strlen(header));
	if (!cache_find(emulator->sas_cache, digest, &entry)) {
		if (!verify(emulator, header, &entry))
			return unauthorized(exchange);
		memcpy(entry.digest, digest, sizeof(digest));
		cache_keep(emulator->sas_cache, &entry);
	}
	if (entry.expiry_s * 1000 + SAS_SKEW_MS < exchange->request->now_ms)
		return unauthorized(exchange);
	if (!sas_covers_host(entry.resource, emulator->names, emulator->name_count, exchange->path))
		return unauthorized(exchange);
	return (entry.policy->rights & right) == right || unauthorized(exchange);
}

/* -- Applications ------------------------------------------------------------------------------------------ */

static const struct {
	enum role role;
	unsigned rights;
} role_rights[] = {
	{ ROLE_READER, RIGHT_ENROLLMENT_READ | RIGHT_REGISTRATION_READ },
	{ ROLE_CONTRIBUTOR, RIGHT_ENROLLMENT_READ | RIGHT_ENROLLMENT_WRITE |
				    RIGHT_REGISTRATION_READ | RIGHT_REGISTRATION_WRITE },
};

static unsigned rights_of(const struct application *application)
{
	unsigned rights = 0;

	for (size_t i = 0; i < ARRAY_SIZE(role_rights); i++)
		if (application->roles & role_rights[i].role)
			rights |= role_rights[i].rights;
	return rights;
}

const struct application *auth_application(const struct exchange *exchange, const char *audience)
{
	static const char scheme[] = "Bearer ";
	const struct authority *authority = exchange->emulator->authority;
	const char *header = exchange->request->authorization;

	if (!authority || !header || !text_has_prefix(header, scheme))
		return NULL;
	return authority_check(authority, header + strlen(scheme), audience,
			       exchange->request->now_ms);
}

bool auth_check_service(struct exchange *exchange, unsigned right)
{
	const char *header = exchange->request->authorization;
	const struct application *application;

	if (!header || !text_has_prefix(header, "Bearer "))
		return check_policy(exchange, right);
	application = auth_application(exchange, AUTHORITY_DPS_RESOURCE);
	if (!application)
		return unauthorized(exchange);
	return (rights_of(application) & right) == right ||
	       refuse(&exchange->refusal, FORBIDDEN, "The role assignment is missing");
}

/* -- Devices ----------------------------------------------------------------------------------------------- */

bool auth_check_device(struct exchange *exchange, const struct auth_key *keys, size_t key_count)
{
	const char *header = exchange->request->authorization;
	char wanted[2 * SEGMENT_MAX + 32];
	bool is_signed = false;
	struct sas sas;

	if (!header || !sas_parse(header, &sas) || strcmp(sas.key_name, "registration") != 0 ||
	    sas_has_expired(&sas, exchange->request->now_ms))
		return unauthorized(exchange);
	(void)snprintf(wanted, sizeof(wanted), "%s/registrations/%s",
		       exchange->emulator->instance.id_scope, exchange->id);
	text_fold(wanted);
	if (strcmp(wanted, sas.resource) != 0)
		return unauthorized(exchange);
	for (size_t i = 0; i < key_count; i++)
		is_signed = sas_is_signed_by(&sas, keys[i].data, keys[i].size) || is_signed;
	return is_signed || unauthorized(exchange);
}
