/* The key of a device that a key is wrapped for. Private to the station. */
#pragma once

#include "muster/cleanup.h"
#include "muster/encoding.h"
#include "muster/error.h"
#include "muster/text.h"

/* A public key or certificate, PEM or DER, RSA of 2048 bits or more, as DER SubjectPublicKeyInfo: CAUSE_DEVICE_KEY_INVALID. *ret_digest is of the file. */
bool recipient_read(const char *path, struct bytes *ret_spki, char ret_digest[SHA256_HEX_SIZE],
		    struct muster_error *err) MUST_CHECK;
/* One that was found good when a key was wrapped for it: looks only who it is. */
bool recipient_read_known(const char *path, struct bytes *ret_spki, struct muster_error *err)
	MUST_CHECK;
