/* Keys and certificates on a token, without a device: what a key custodian does. Every key made here is announced in the
 * journal before it is made; one that a cut left unannounced to anybody is destroyed by the next run on its token.
 *
 * All texts of a request are borrowed for the call; NULL is "not given". A result is a JSON object: what was made, with
 * attributes as read back; the caller's. Each single wait has its deadline (5, 30 or 120 s). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/station.h"

/* What every task here needs: the token, and where it is written down. */
struct station_custody {
	struct station_token token; /* without a URI the key's own says where it is */
	const char *journal_path;   /* NULL: the configuration's, or journal_default_path() */
	const char *operator_name;  /* NULL: the login user */
};

/* A private key: one that is there, or one to be made. */
struct station_key_choice {
	const char *uri;  /* RFC 7512: object or id */
	const char *type; /* "ec-p256", ...: make one */
	const char *label;
};

/* -- Certificates --------------------------------------------------------------------------------------------- */

struct station_certificate_request {
	struct station_custody custody;
	struct station_key_choice key;
	const char *subject; /* RFC 4514 */
	const char *out;     /* file to create; NULL: only "pem" in the result */
	bool is_der;
};

/* A certificate request (PKCS#10) signed by the key. */
bool station_certificate_request(const struct station_certificate_request *request,
				 cJSON **ret_result, struct muster_error *err) MUST_CHECK;
