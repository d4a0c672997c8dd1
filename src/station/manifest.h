/* A file of devices: checked as a whole, then read row by row. Private to the station. */
#pragma once

#include "job.h"
#include "muster/dps-rows.h"
#include "muster/station-batch.h"

struct manifest {
	const struct station_batch *batch;
	struct dps_rows *rows;
	char path[256]; /* printable */
	size_t count;   /* of rows */
	size_t next;    /* number of the next row, from 0 */
	char digest[SHA256_HEX_SIZE];
	bool has_device_keys; /* a row names a file with the device's key */
};

/* Reads it all, and touches nothing else: every mistake goes to the batch's `mistake`. CAUSE_MANIFEST_INVALID. Of a long one
 * keyed digests of what has to be unique lie in files meanwhile, so that memory does not grow with it. */
bool manifest_open(struct manifest *manifest, const struct station_batch *batch,
		   const struct run *run, struct muster_error *err) MUST_CHECK;
void manifest_close(struct manifest *manifest);
/* The rows from the first on; texts are borrowed until the next call. CAUSE_BATCH_CHANGED when the file is not the one that
 * was checked. */
bool manifest_next(struct manifest *manifest, struct station_device *ret_device, bool *ret_has,
		   struct muster_error *err) MUST_CHECK;
