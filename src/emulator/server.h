/* The socket side: libmicrohttpd with TLS, client certificates asked for but not required and taken from any issuer.
 * Collects a request, lets the rest of the room answer it, and misbehaves as its fault says. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

struct emulator;
struct server;

struct server_config {
	struct emulator *emulator;
	const char *address;         /* numeric */
	uint16_t port;               /* 0: a free one */
	const char *certificate_pem; /* NULL: without TLS, and then only the metadata service */
	const char *key_pem;
};

bool server_start(const struct server_config *config, struct server **ret_server,
		  struct muster_error *err) MUST_CHECK;
uint16_t server_port(const struct server *server);
/* Ends delays and trickles, then all connections. Accepts NULL. */
void server_stop(struct server *server);
