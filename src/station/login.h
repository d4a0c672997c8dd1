/* Where a token's PIN comes from. `muster` opens what it is read from and never reads it. Private to the station. */
#pragma once

#include "muster/station.h"
#include "muster/token-uri.h"

/* Whether a PIN is at hand without asking anybody. */
bool login_has_pin(const struct station_pin *pin, const struct token_uri *uri);
/* Puts the question to a person, when standard input is a terminal: the terminal, with the line that was typed unread in
 * it. -1 on failure. */
int login_ask(const char *question, struct muster_error *err);
/* The descriptor to read from; a person is asked when nothing else says where the PIN is, and *ret_typed says so. -1 on
 * failure. */
int login_open_pin(const struct station_pin *pin, const struct token_uri *uri, const char *question,
		   bool *ret_typed, struct muster_error *err);
