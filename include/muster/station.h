/* The station: the one place where the rooms meet. It takes a profile and a device through identify, attest, enroll,
 * confirm, verify and release in one loop, with an intent in the journal before every outside effect. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/clock.h"
#include "muster/dps-client.h"
#include "muster/error.h"
#include "muster/profile.h"
#include "muster/station-batch.h"
#include "muster/station-watch.h"

/* Where a token's PIN comes from: the descriptor, the file, the URI's pin-source, the service manager's credential
 * "hsm-pin", or, when standard input is a terminal, a person. Only the worker reads it. */
struct station_pin {
	const char *file; /* mode 0600 */
	int64_t fd;       /* 0: none */
};

/* Which token, and where its PIN comes from. */
struct station_token {
	const char *uri; /* PKCS#11 URI */
	struct station_pin pin;
};

/* One device on the bench. Texts are borrowed; NULL is "not given". */
struct station_device {
	const char *socket; /* what people call its place; NULL: the TCTI */
	const char *tpm;    /* TCTI */
	const char *serial;
	const char *
		registration_id; /* holds over the profile's template; or of a device in the journal */
	const char *device_id;   /* holds over the profile's template */
	bool skips_verification; /* whatever the profile says */
	const char *device_key;  /* file with its public key, for profiles that wrap a key for it */
	uint64_t plug; /* the number of this plugging in, where the run hears of it; 0: none */
};

struct station_result;

/* All texts are borrowed for the call; NULL is "not given". */
struct station_request {
	const char *profile_path;
	/* All at once, one worker each; no failure of one stops another. More than one only for profiles of TPM
	 * devices. */
	const struct station_device *devices;
	size_t device_count;
	bool tpm_is_default; /* the device's TPM is not named for this run: only profiles of TPM devices look at it */
	const struct station_batch *batch; /* instead of devices; NULL: none */
	const struct station_watch *watch; /* instead of devices: what is plugged in; or NULL */
	struct station_token token;        /* its URI holds over the profile's */
	struct dps_credential *credential; /* how to log in; borrowed */
	struct http_terms network;
	struct dps_rate rate; /* what the service allows; the station's other programs share it */
	int64_t patience_ms;  /* how long many devices wait for a service that is away */
	const char *id_scope;
	const char *device_endpoint; /* HOST[:PORT] of the device API */
	const char *journal_path;    /* NULL: journal_default_path() */
	const char
		*out_directory; /* evidence and key files; NULL: beside the journal, no key files */
	const char *operator_name; /* NULL: the login user */
	int64_t key_fd; /* derived keys go to this open descriptor instead of a file; 0: none */
	const char *approval; /* file, for what is a batch; NULL: none */
	bool dry_run;
	/* All of the hardware's work and none of the network's: no credential is needed, and devices end spooled. */
	bool offline;
	/* Told of each stage as it begins; may be NULL. `device` is the serial, else the socket, or NULL. */
	void (*progress)(void *context, const char *device, const char *stage);
	/* Told of each device as it ends, when all of it is on disk; the result is the callee's to free. False stops
	 * the run as a signal does, and what stopped it is its failure; it is told of the devices that end by that, too. */
	bool (*finished)(void *context, struct station_result *result, struct muster_error *err);
	/* Told when there is no other device to be told of for the time being, after one or more; may be NULL. */
	bool (*told)(void *context, struct muster_error *err);
	/* Told when it is away and when it is back; may be NULL. */
	void (*outage)(void *context, const struct dps_outage_news *news);
	void *context; /* of all of them */
};

/* What became of a device. Texts are owned; station_result_done frees them. */
struct station_result {
	char *device; /* the serial, or the registration ID when there is none, or the socket */
	char *serial; /* or NULL */
	char *socket; /* or NULL */
	char *registration_id;
	char *device_id;
	char *attestation;
	char *hub;   /* NULL when the device was not registered */
	char *state; /* "enrolled", "already enrolled", "spooled", "planned" (dry run), "failed" */
	/* What the journal says of that registration ID: "released", ...; static; NULL: nothing. */
	const char *journal_state;
	struct muster_error failure; /* why it is not enrolled; code MUSTER_OK when it is */
	bool is_parked;              /* it failed, and another run goes on with it */
	bool verified; /* the device itself could register (or was refused, where the profile disables it) */
	char *evidence_path;
	char *key_file; /* where the derived keys were written; or NULL */
	double seconds;
	cJSON *plan; /* dry run: what would be sent, keys masked; or NULL */
};
void station_result_done(struct station_result *result);

/* Provisions devices; false when none was begun, or when the run itself failed. Talks to hardware and network; each single wait has its deadline (commands to hardware 5, 30
 * or 120 s, requests 30 s, registration 120 s). SIGINT and SIGTERM park the device: CAUSE_INTERRUPTED. Mistakes in
 * the profile are in *report (its own call to free: profile_report_done) with CAUSE_PROFILE_INVALID. */
bool station_provision(const struct station_request *request, struct profile_report *report,
		       struct muster_error *err) MUST_CHECK;

/* The signal that parked the last run, or 0. */
int station_signal(void);

/* A PKCS#11 module, its arguments, and the variables that it alone gets. */
struct station_module {
	char *name; /* in muster.yaml or p11-kit's configuration; NULL: by path alone */
	char *path;
	char *arguments;    /* for C_Initialize; or NULL */
	char **environment; /* NULL-terminated "NAME=value" */
	int64_t sessions;   /* as configured, or 0 */
};
void station_module_done(struct station_module *module);
/* By module-path, module-name (muster.yaml, then p11-kit's configuration files, then libNAME.so where modules are
 * installed) or the only one configured. The file and its parents must be trusted. */
bool station_module_find(const char *token_uri, struct station_module *ret_module,
			 struct muster_error *err) MUST_CHECK;

/* The module of that file, with what muster.yaml says of it. */
bool station_module_by_path(const char *path, struct station_module *ret_module,
			    struct muster_error *err) MUST_CHECK;

/* Starts a worker program ("muster-tpm-worker"), greets it and ends it; it must be of our version. Touches no hardware;
 * blocks for 5 s at most. */
bool station_worker_check(const char *program, struct muster_error *err) MUST_CHECK;

/* -- Material of an enrollment ------------------------------------------------------------------------------------ */

/* A device's certificate as an enrollment carries it: the leaf alone, whatever else the file holds. For
 * CLEANUP(station_certificate_done). */
struct station_certificate {
	char *text;        /* PEM without a newline at its end; base64 where the file is DER */
	char *common_name; /* "" when there is not exactly one */
	char not_before[RFC3339_SIZE], not_after[RFC3339_SIZE];
	int64_t not_before_ms, not_after_ms;
};
void station_certificate_done(struct station_certificate *certificate);
/* From a file: PEM with any line ends, DER or base64 of either. From a token, by PKCS#11 URI: the one certificate that
 * matches; a PIN is used only where one is given. CAUSE_CERTIFICATE_UNREADABLE, CAUSE_KEY_NOT_FOUND, CAUSE_KEY_AMBIGUOUS. */
bool station_certificate_read(const char *source, const struct station_token *token,
			      struct station_certificate *ret_certificate, struct muster_error *err)
	MUST_CHECK;

/* The endorsement key that the TPM holds, as it is sent; caller frees. Nothing is made: CAUSE_EK_UNSUPPORTED when there is
 * none. Blocks as long as the deadlines of its commands say. */
bool station_ek_read(const char *tcti, char **ret_base64, struct muster_error *err) MUST_CHECK;
/* The key that a master gives this registration ID in lower case, base64. `master` is a file of mode 0600, or the PKCS#11
 * URI of a key that computes it in its token; then `token` says how to get in. CAUSE_MASTER_WEAK for a file's that a person
 * could have typed, where the key `is_new`. */
bool station_key_derive(const char *master, const struct station_token *token,
			const char *registration_id, bool is_new, struct secret *ret_base64,
			struct muster_error *err) MUST_CHECK;

/* Whether DPS takes this TPM2B_PUBLIC for an endorsement key; for dps_document_rules. */
bool station_ek_check(void *context, const uint8_t *ek, size_t size, struct muster_error *err)
	MUST_CHECK;

#define STATION_SANDBOX_SIZE 96
/* What keeps a worker for such a TPM in its place, in words: "device: seccomp, Landlock". Opens no TPM; blocks for 5 s
 * at most. */
bool station_sandbox_check(const char *tcti, char words[STATION_SANDBOX_SIZE],
			   struct muster_error *err) MUST_CHECK;
