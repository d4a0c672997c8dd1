/* An EK certificate from the service of the TPM's vendor, kept in a folder once it was had. Private to the station. */
#pragma once

#include <openssl/x509.h>

#include "muster/config.h"
#include "muster/dps-http.h"
#include "muster/ek-service.h"

struct fetch {
	char *url;
	char *kept; /* the file that it lies in once it was had; or NULL */
};
void fetch_done(struct fetch *fetch);

/* Where to ask for this key's certificate, by muster.yaml or else what is known of the vendor. *ret_known is false when
 * nothing is, or the key is none to be enrolled. */
bool fetch_plan(const struct config *config, const char *manufacturer, const struct ek_public *ek,
		struct fetch *ret_fetch, bool *ret_known, struct muster_error *err) MUST_CHECK;
/* What was had before; NULL when nothing was that can still be read. */
X509 *fetch_recall(const struct fetch *fetch);
/* Takes nothing over; the request is the caller's. */
bool fetch_request(const struct fetch *fetch, struct http_request *ret_request,
		   struct muster_error *err) MUST_CHECK;
/* CAUSE_EK_CERTIFICATE_FETCH when the service could not be asked or answers something else,
 * CAUSE_EK_CERTIFICATE_NOT_ISSUED when it has none. Keeps what it had, where it can. */
bool fetch_take(const struct fetch *fetch, const struct http_answer *answer, X509 **ret_certificate,
		struct muster_error *err) MUST_CHECK;
