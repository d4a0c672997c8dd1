/* One TPM as udev describes it. Private to the station. */
#pragma once

#include <libudev.h>

#include "muster/station-attached.h"

DEFINE_FREEP(udev_freep, struct udev *, udev_unref)
DEFINE_FREEP(udev_device_freep, struct udev_device *, udev_device_unref)

#define ATTACHED_SUBSYSTEM "tpmrm"

/* The device has a node. For CLEANUP(attached_tpm_done). */
bool attached_tpm_describe(const struct socket_map *map, struct udev_device *device,
			   struct attached_tpm *ret_tpm, struct muster_error *err) MUST_CHECK;
void attached_tpm_done(struct attached_tpm *tpm);
/* It listens for those who would speak to it. */
bool udevd_runs(void);
