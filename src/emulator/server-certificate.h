/* The emulator's own authority and its server certificate, made at the first start and kept in the state directory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/secret.h"

struct server_certificate {
	char *ca_file; /* path of the authority's certificate, for clients */
	char *pem;     /* the server's certificate with its authority's behind it */
	struct secret key_pem;
};
/* The server certificate is made anew at each start, for the names asked for; the authority stays. */
bool server_certificate_open(const char *directory, const char *const *names, size_t name_count,
			     int64_t now_ms, struct server_certificate *ret_certificate,
			     struct muster_error *err) MUST_CHECK;
void server_certificate_done(struct server_certificate *certificate);
