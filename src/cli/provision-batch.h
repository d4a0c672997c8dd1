/* What `muster provision --manifest` says: mistakes in the manifest, how it goes on, devices that fail, and the report at the
 * end. Nothing is kept of single devices. */
#pragma once

#include "muster/station.h"

#include "cli-internal.h"

struct provision_batch_options {
	const char *manifest;
	const char *name;
	const char *verify;     /* "all", "none", "sample:N" */
	const char *lookalikes; /* one of provision_lookalikes */
	bool begin_anew;
	bool with_retired;
};
extern const char *const provision_lookalikes[];

struct provision_batch {
	enum output_format output;
	bool is_quiet;
	bool is_terminal;            /* stderr: one line that changes */
	bool shows_line;             /* that line stands there */
	int64_t shown_ms;            /* when progress was said last */
	size_t failed;               /* devices, parked and spooled ones too */
	size_t spooled, parked;      /* of them */
	struct muster_error failure; /* the first */
	bool differ;                 /* failures have different exit statuses */
	size_t keyless;              /* devices whose keys were written nowhere */
	bool is_dry;
	bool has_key_fd;
	bool is_mute; /* standard output has the devices' keys */
	const char *path;
	enum profile_batch_verify verify; /* what the request points to */
	enum profile_lookalikes lookalikes;
	struct station_batch request;
};

/* Fills batch->request; what it gets is borrowed. */
bool provision_batch_begin(const struct provision_batch_options *options,
			   const struct invocation *call, struct provision_batch *batch,
			   struct muster_error *err) MUST_CHECK;
/* For station_request.finished. */
bool provision_batch_add(void *context, struct station_result *result, struct muster_error *err)
	MUST_CHECK;
/* For station_request.outage. */
void provision_batch_outage(void *context, const struct dps_outage_news *news);
/* False when devices failed: with the status that all share, else 1. */
bool provision_batch_end(const struct provision_batch *batch, struct muster_error *err) MUST_CHECK;
