/* Device codes: a person grants or declines one (here a test does), while the client that got it asks again and again. */
#pragma once

#include "request.h"

struct device_code;

void device_codes_free(struct device_code *codes);
/* One question of the client: a token, or authorization_pending, slow_down and the like. */
bool device_code_poll(struct exchange *exchange, const char *client_id, const char *device_code);
