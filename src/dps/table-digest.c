#include <stdlib.h>
#include <string.h>

#include "table-internal.h"

bool table_digest_begin(struct table_digest *digest, struct muster_error *err)
{
	digest->at = 0;
	if (!digest->running)
		digest->running = EVP_MD_CTX_new();
	return (digest->running && EVP_DigestInit_ex(digest->running, EVP_sha256(), NULL) == 1) ||
	       muster_fail(err, CAUSE_CRYPTO, "computing a digest");
}

void table_digest_done(struct table_digest *digest)
{
	EVP_MD_CTX_free(digest->running);
	free(digest->prefixes);
	*digest = (struct table_digest){ 0 };
}

/* Of all so far. */
static bool make_prefix(struct table_digest *digest, const void *data, size_t size,
			uint8_t prefix[SHA256_SIZE], struct muster_error *err)
{
	CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *copy = EVP_MD_CTX_new();

	return (copy && EVP_DigestUpdate(digest->running, data, size) == 1 &&
		EVP_MD_CTX_copy_ex(copy, digest->running) == 1 &&
		EVP_DigestFinal_ex(copy, prefix, NULL) == 1) ||
	       muster_fail(err, CAUSE_CRYPTO, "computing a digest");
}

static bool keep(struct table_digest *digest, const uint8_t prefix[SHA256_SIZE],
		 struct muster_error *err)
{
	if (digest->count == digest->room) {
		size_t room = digest->room ? 2 * digest->room : 16;
		uint8_t(*prefixes)[SHA256_SIZE] =
			realloc(digest->prefixes, room * sizeof(*prefixes));

		if (!prefixes)
			return muster_fail_memory(err);
		digest->prefixes = prefixes;
		digest->room = room;
	}
	memcpy(digest->prefixes[digest->count++], prefix, SHA256_SIZE);
	return true;
}

bool table_digest_add(struct table_digest *digest, const void *data, size_t size, bool *ret_is_same,
		      struct muster_error *err)
{
	uint8_t prefix[SHA256_SIZE];
	size_t at = digest->at;

	*ret_is_same = true;
	if (size == 0) {
		*ret_is_same = at == digest->count;
		digest->is_whole = true;
		return true;
	}
	if (!make_prefix(digest, data, size, prefix, err))
		return false;
	digest->at++;
	if (at == digest->count && !digest->is_whole)
		return keep(digest, prefix, err);
	*ret_is_same = at < digest->count && memcmp(digest->prefixes[at], prefix, SHA256_SIZE) == 0;
	return true;
}

bool table_digest_whole(const struct table_digest *digest, uint8_t whole[SHA256_SIZE])
{
	if (!digest->is_whole)
		return false;
	if (digest->count == 0)
		sha256(whole, "", 0);
	else
		memcpy(whole, digest->prefixes[digest->count - 1], SHA256_SIZE);
	return true;
}
