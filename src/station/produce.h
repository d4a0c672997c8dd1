/* Keys and certificates for many devices: what is known before the token is touched. Private to the station. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/profile.h"
#include "muster/station-custody.h"

#include "custody.h"

/* What a device is called by the profile. Texts are owned. */
struct produced_name {
	char *registration_id;
	char *device_id; /* NULL: as the registration ID */
	char *subject, *label;
};
void produced_name_done(struct produced_name *name);
bool produced_name_make(const struct profile *profile, const char *serial,
			struct produced_name *ret_name, struct muster_error *err) MUST_CHECK;
/* The same for the device's secondary key: its label is another. */
bool produced_name_second(struct produced_name *name, struct muster_error *err) MUST_CHECK;
/* How long the device's certificate is valid, the secondary one or the other. */
int64_t produced_days(const struct profile *profile, bool is_secondary);

/* A digest of what that certificate depends on; `issuer` may be NULL. */
bool produced_terms(const struct profile *profile, const struct produced_name *name,
		    bool is_secondary, const X509 *issuer, char terms[SHA256_HEX_SIZE],
		    struct muster_error *err) MUST_CHECK;

enum { SERIALS_FILE_MAX = 64 * 1024 * 1024 };

/* Serials, one a line, each one good for the profile and none twice. */
struct serial {
	char *text;
	size_t line;
	bool is_written; /* its device is in the file */
};
struct serials {
	char *text; /* owned; what the items point into */
	struct serial *items;
	size_t count;
	char digest[SHA256_HEX_SIZE]; /* of the file */
};
void serials_done(struct serials *serials);
bool serials_read(const char *path, const struct profile *profile, struct serials *ret_serials,
		  struct muster_error *err) MUST_CHECK;
/* None is that of a live device: it has its key. CAUSE_SERIAL_TAKEN. */
bool serials_check_known(const char *path, const struct profile *profile,
			 const struct serials *serials, struct journal *journal,
			 struct muster_error *err) MUST_CHECK;

/* Of an earlier production on the same token that did not reach its file: what it had made. */
struct earlier_unit {
	char *registration_id, *terms, *production;
	struct bytes key_id, certificate;
	int64_t seq;
	bool is_secondary;
	bool is_there; /* its key still is in the token, and the certificate is valid */
};
struct earlier {
	const struct token_facts *token; /* borrowed */
	const char *plan; /* borrowed: digest of what was approved; NULL: nothing was */
	struct earlier_unit *units;
	size_t count;
};
void earlier_done(struct earlier *earlier);
/* CAUSE_APPROVAL_USED when a production by the same approval did reach its file. */
bool earlier_read(struct custody *custody, const char *plan, struct earlier *ret_earlier,
		  struct muster_error *err) MUST_CHECK;
/* NULL: it has to be made. */
const struct earlier_unit *earlier_find(const struct earlier *earlier, const char *registration_id,
					bool is_secondary, const char *terms);
