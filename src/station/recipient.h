/* The key of a device that a key is wrapped for. Private to the station. */
#pragma once

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/text.h"

/* A public key or certificate, PEM or DER, RSA of 2048 bits or more, as DER SubjectPublicKeyInfo: CAUSE_DEVICE_KEY_INVALID. */
bool recipient_read(const char *path, struct bytes *ret_spki, struct muster_error *err) MUST_CHECK;
