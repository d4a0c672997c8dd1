/* The TPMs that this machine has, as udev knows them. Private to the station. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/cleanup.h"
#include "muster/error.h"

struct attached_tpm {
	char *node;   /* "/dev/tpmrm0" */
	char *socket; /* what a udev rule calls its place (MUSTER_SOCKET); or NULL */
	char *path;   /* ID_PATH: where it is plugged in; or NULL */
	bool is_own; /* it has no socket and does not hang on USB: the station's, until a rule names its socket */
};

/* By node. Zero-initialise. */
struct attached_tpms {
	struct attached_tpm *rows;
	size_t count;
};

bool attached_tpms_list(struct attached_tpms *ret_tpms, struct muster_error *err) MUST_CHECK;
void attached_tpms_done(struct attached_tpms *tpms);
