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

/* What a certificate is to say. 0 days: the profile's. */
struct station_certificate_terms {
	bool is_authority;
	int64_t path_length; /* of an authority: how many may follow below it */
	int64_t valid_days;
	const char *crl_url;
};

/* Where it goes: files are created, never replaced. */
struct station_certificate_output {
	const char *out;   /* NULL: only "pem" in the result */
	const char *chain; /* PEM: the certificate, then its issuers */
	bool is_der;       /* of `out` */
};

struct station_self_sign {
	struct station_custody custody;
	struct station_key_choice key;
	const char *subject; /* RFC 4514 */
	struct station_certificate_terms terms;
	struct station_certificate_output output;
	bool is_stored; /* beside the key, in the token */
};

/* A certificate that the key signs for itself. */
bool station_certificate_self_sign(const struct station_self_sign *request, cJSON **ret_result,
				   struct muster_error *err) MUST_CHECK;

struct station_issue {
	struct station_custody custody; /* of the issuer's key */
	const char *request_path;       /* PKCS#10, PEM or DER */
	const char *profile_path; /* says issuer and terms; what else is given holds over it */
	const char *issuer_key;   /* RFC 7512 */
	const char *issuer_certificate; /* file; certificates behind it are its own issuers */
	struct station_certificate_terms terms;
	struct station_certificate_output output;
};

/* A certificate for whoever made the request, under an authority whose key is in the token. */
bool station_certificate_issue(const struct station_issue *request, cJSON **ret_result,
			       struct muster_error *err) MUST_CHECK;

struct station_produce {
	struct station_custody
		custody;          /* of the devices' keys; without a URI the profile says it */
	const char *profile_path; /* for X.509 devices; the issuer's PIN is where its URI says */
	const char *serials_path; /* one a line; "-": standard input */
	const char *out;          /* file to create: enrollments, JSON Lines */
	int64_t sessions;     /* with the token, 1 to 32; 0: the profile's, the module's, or 1 */
	const char *approval; /* file; NULL: none */
};

/* A key in the token and its certificate for each device. What was made when a device failed is in the file; a key whose
 * certificate is not in the journal is destroyed by the next run. */
bool station_produce(const struct station_produce *request, cJSON **ret_result,
		     struct muster_error *err) MUST_CHECK;

/* What a file says: a certificate, or a request whose signature verifies. */
bool station_certificate_show(const char *path, cJSON **ret_result, struct muster_error *err)
	MUST_CHECK;

struct station_certificate_check {
	const char *path;  /* the certificate, and maybe intermediates behind it */
	const char *roots; /* file of the only roots that are trusted */
	const char *crl;   /* file with the issuer's CRL; NULL: revocation is not looked at */
};

/* Whether it chains to the roots, now: CAUSE_CHAIN_INVALID. */
bool station_certificate_verify(const struct station_certificate_check *check, cJSON **ret_result,
				struct muster_error *err) MUST_CHECK;

/* -- Masters ----------------------------------------------------------------------------------------------------- */

/* What several people hold, each his own part, so that none of them knows the key: their exclusive or is it. */
struct station_components {
	const char *const *sources;      /* as for secret_read_source(); base64 */
	size_t count;                    /* 0: there are none; else 2 to 8 */
	const char *const *check_values; /* of each, in the same order: ten hex digits */
	size_t check_count;
};

struct station_master {
	struct station_custody custody;
	const char *label;
	int64_t bits;     /* of one to be made; 0: 256 */
	const char *from; /* of one to be imported: a file of mode 0600 with base64 */
	int64_t from_fd;  /* or an open descriptor; 0: none */
	struct station_components components; /* or of these */
	const char *
		check_value; /* that one to be imported has to have, else nothing is made; or NULL */
};

/* A secret for HMAC-SHA256, made inside the token. */
bool station_master_generate(const struct station_master *request, cJSON **ret_result,
			     struct muster_error *err) MUST_CHECK;
/* One that was made elsewhere; it cannot show that it never was anywhere else, and the result says "imported". A component
 * that is not the one it has to be is named by its number: CAUSE_CHECK_VALUE_DIFFERS. One that is typed may be typed three
 * times. */
bool station_master_import(const struct station_master *request, cJSON **ret_result,
			   struct muster_error *err) MUST_CHECK;

/* Where a master is: exactly one of the two. */
struct station_master_source {
	const char *uri;  /* RFC 7512, in the token; or "tpm:handle=...;tcti=...", in a TPM */
	const char *file; /* mode 0600, base64 */
};

#define STATION_CHECK_VALUE_METHOD "HMAC-SHA256 of 'muster check value 1', first 40 bits"

struct station_check_value {
	struct station_custody custody;
	struct station_master_source master;
	const char *component; /* or of this, as for secret_read_source() */
};

/* Tells masters apart without telling anything of them: {"checkValue", "method"}. */
bool station_master_check_value(const struct station_check_value *request, cJSON **ret_result,
				struct muster_error *err) MUST_CHECK;

struct station_derive {
	struct station_custody custody;
	struct station_master_source primary, secondary; /* the second may be none */
	const char *const *ids;                          /* registration IDs, */
	size_t id_count;
	const char *ids_path; /* or a file of them, one a line; "-": standard input */
	const char *out;      /* file to create, mode 0600 */
	int64_t key_fd;       /* or an open descriptor; 0: none */
	int64_t sessions;     /* with the token, 1 to 32; 0: 1 */
	const char *wrap_to;  /* certificate: what goes out is a CMS message for its key */
};

/* Device keys, a line of JSON each. Every ID is looked at before the first key is derived. */
bool station_derive(const struct station_derive *request, cJSON **ret_result,
		    struct muster_error *err) MUST_CHECK;
