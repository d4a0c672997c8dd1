/* An enrolled device registers as itself, outside of a job: the proof that its enrollment works. Nothing is journalled. */
#pragma once

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/dps-client.h"
#include "muster/error.h"
#include "muster/station.h"

/* What the device proves its identity with: one kind of it. Texts are borrowed; NULL is "not given". A token by itself means
 * the certificate there that its URI names, or that has the registration ID as its label, and its key. Without `key` the
 * key is in the certificate's file, or in the token under the certificate's CKA_ID. */
struct station_material {
	const char *tpm; /* TCTI */
	struct station_token token;
	const char *certificate;        /* file, or PKCS#11 URI */
	const char *key;                /* PEM file of mode 0600, or PKCS#11 URI */
	const char *symmetric_key;      /* base64 */
	const char *symmetric_key_file; /* mode 0600 */
	const char *derive_from;        /* the master that gives it: file or PKCS#11 URI */
};

struct station_verify {
	const char *registration_id;
	struct station_material material;
	const char *id_scope; /* NULL: the configuration's */
	const char *
		device_endpoint; /* HOST[:PORT] of the device API; NULL: by the cloud of the service */
	bool deletes_record;     /* the registration record goes again when it is verified */
};

/* What can be wrong before anything is touched: material of two kinds, or of none, is CAUSE_OPTIONS_CONTRADICT; no ID scope
 * is CAUSE_USAGE. */
bool station_verify_check(const struct station_verify *request, struct muster_error *err)
	MUST_CHECK;
/* Reads the enrollment, compares it with what the device holds (CAUSE_ENROLLED_FOR_ANOTHER) and registers as the device. One
 * that is disabled is verified when the service refuses it as such. *ret_result is a JSON object: what the service
 * said. Talks to hardware and network, with the deadlines of station_provision(). */
bool station_verify(const struct station_verify *request, struct dps_client *client,
		    cJSON **ret_result, struct muster_error *err) MUST_CHECK;
