/* What a worker can still reach once it knows its TPM: that device file, or that UNIX socket, or that TCP port; no other
 * file, no other program, no way back. It holds until the process ends. */
#pragma once

#include <stdbool.h>

#include "muster/error.h"

enum sandbox_class {
	SANDBOX_DEVICE,  /* opens its device file */
	SANDBOX_SOCKET,  /* connects to UNIX sockets of one directory, its own */
	SANDBOX_NETWORK, /* looks names up and connects over TCP */
};

enum sandbox_class sandbox_class_of(const char *tcti);

struct sandbox {
	char tcti[257]; /* what the TCTI is called from inside */
	char words[96]; /* "device: seccomp, Landlock", for people */
};

/* Loads what will be needed and gives up the rest. What the kernel does not offer is left out and the words say so;
 * what it offers and does not grant is an error. There is one for a process: again only for the same TCTI. A build for
 * a sanitizer stays outside, because its runtime needs more. */
bool sandbox_enter(const char *tcti, struct sandbox *ret_sandbox, struct muster_error *err)
	MUST_CHECK;
