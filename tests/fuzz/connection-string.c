/* Connection strings: what is taken can be signed with, and what is refused is told in one plain line. */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "fuzz.h"
#include "muster/dps.h"

static void check(struct dps_login *login)
{
	CLEANUP(http_request_done) struct http_request request = { 0 };
	struct muster_error err;

	assert(login->host[0] && login->policy[0] && login->key.size > 0);
	for (const char *c = login->host; *c; c++)
		assert(!isupper((unsigned char)*c) && isgraph((unsigned char)*c));
	assert(dps_login_authorize(login, 1800000000000, &request, &err));
	for (size_t i = 0; i + 1 < request.authorization.size; i++)
		assert(isprint(request.authorization.data[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(dps_login_done) struct dps_login login = { 0 };
	struct muster_error err;

	if (dps_login_parse(&login, (const char *)data, size, &err))
		check(&login);
	else
		for (const char *c = err.message; *c; c++)
			assert((unsigned char)*c >= 0x20 && *c != 0x7f);
	return 0;
}
