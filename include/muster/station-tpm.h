/* TPMs for people: what one is, whether to trust it, and what to do if not. Beside the jobs of station.h; every call
 * talks to hardware and blocks within the deadlines of the worker's verbs (5, 30 or 120 s each). */
#pragma once

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/profile-sockets.h"
#include "muster/profile.h"

/* An array: the TPMs that udev knows (tpm, socket, path, state, vendor, manufacturer, model, firmware), then those that are
 * named. One that is taken for the station's own is asked only `with_own`. One that does not answer says so in its row. */
bool station_tpm_list(const struct socket_map *sockets, const char *const *named,
		      size_t named_count, bool with_own, cJSON **ret_document,
		      struct muster_error *err) MUST_CHECK;

/* Keys in every form, certificates, handles, capabilities. The caller's. Changes nothing on the chip. */
bool station_tpm_show(const char *tcti, cJSON **ret_document, struct muster_error *err) MUST_CHECK;

/* Texts borrowed; NULL is "not given". */
struct station_tpm_request {
	const char *tpm; /* TCTI */
	const char *profile_path;
	const char *roots; /* folders; hold over the profile's */
	const char *crls;
	const char *ek_certificate; /* file, PEM or DER; holds over NV */
	const char *serial;         /* compared with the journal */
	const char *journal_path;   /* NULL: journal_default_path(), where there is one */
	const char *operator_name;
	bool deep;            /* make a key of every template, whether or not it is needed */
	bool persist;         /* put the TCG's EK at 0x81010001 */
	const char *replaces; /* digest of the key there, in hex */
};

/* One verdict and one remedy, and how it came to that. */
struct station_tpm_report {
	/* tpm, verdict ("ok", "warn", "refuse"), code, seen, remedy, registrationId, ekSha256, and checks: an array of check,
	 * verdict ("ok", "note", "warn", "refuse"), code, seen, remedy */
	cJSON *document;
	struct muster_error refusal; /* code MUSTER_OK when the TPM may be enrolled */
};
void station_tpm_report_done(struct station_tpm_report *report);

/* Makes transient keys and uses the EK; what is persistent changes only with `persist`, and then the journal has it
 * first. Fails when nothing could be judged; a refused TPM is a report. Mistakes in the profile are in *mistakes. */
bool station_tpm_doctor(const struct station_tpm_request *request, struct profile_report *mistakes,
			struct station_tpm_report *ret_report, struct muster_error *err) MUST_CHECK;
