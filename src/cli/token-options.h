/* The options that say which token is meant and where its PIN comes from: the same rows for every verb that opens one.
 * `options` is the verb's option struct, `member` its struct station_token. */
#pragma once

#include "muster/station.h"

#include "cli-internal.h"

/* clang-format off */
#define TOKEN_ROWS(options, member) \
	{ 0, "token", NULL, OPTION_TEXT, "URI", "PKCS#11 token, pkcs11:token=...; holds over what else names one", \
	  offsetof(options, member.uri), "MUSTER_TOKEN", NULL, 0 }, \
	{ 0, "pin-file", NULL, OPTION_TEXT, "FILE", "The token's user PIN, in a file of mode 0600", \
	  offsetof(options, member.pin.file), "MUSTER_PIN_FILE", NULL, 0 }, \
	{ 0, "pin-fd", NULL, OPTION_FD, "N", "Read the PIN from this open descriptor", \
	  offsetof(options, member.pin.fd), NULL, NULL, 0 }
/* clang-format on */
