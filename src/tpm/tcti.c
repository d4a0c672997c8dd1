/* Which TPM: only one that is named, and for this process alone. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "muster/encoding.h"
#include "tpm-internal.h"

struct form {
	const char *prefix;
	size_t name_length; /* of the TCTI itself, its colon included */
};

/* What follows is handed to that TCTI; its defaults (a search) are never used. */
static const struct form forms[] = {
	{ "device:/", 7 },    { "swtpm:path=/", 6 }, { "swtpm:host=", 6 },
	{ "swtpm:port=", 6 }, { "mssim:host=", 6 },  { "mssim:port=", 6 },
};

bool tpm_tcti_check(const char *tcti, struct muster_error *err)
{
	struct tpm *tpm = NULL;
	if (strlen(tcti) < sizeof(tpm->tcti_name))
		for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
			if (text_has_prefix(tcti, forms[i].prefix) &&
			    tcti[strlen(forms[i].prefix)] != '\0')
				return true;
	return muster_fail(err, CAUSE_TPM_TCTI_REFUSED,
			   "opening TPM '%s': it is none of device:/PATH, swtpm:path=/PATH, "
			   "swtpm:host=,port= and mssim:host=,port=",
			   PRINTABLE(tcti));
}

/* The file behind the name, links followed; NULL when it is none. */
static char *file_of(const char *tcti)
{
	if (text_has_prefix(tcti, "device:/"))
		return realpath(tcti + strlen("device:"), NULL);
	if (text_has_prefix(tcti, "swtpm:path=/"))
		return realpath(tcti + strlen("swtpm:path="), NULL);
	return NULL;
}

bool tpm_tcti_has_manager(const char *tcti)
{
	CLEANUP(freep) char *file = file_of(tcti);
	const char *name = file ? strrchr(file, '/') : NULL;
	return text_has_prefix(tcti, "device:") && name && text_has_prefix(name, "/tpmrm");
}

/* The TCTI says of every reason that it could not be opened. A raw node lets in one program at a time. */
bool tpm_tcti_try(const char *tcti, struct muster_error *err)
{
	const char *node = tcti + strlen("device:");
	if (!text_has_prefix(tcti, "device:/"))
		return true;
	CLEANUP(closep) int fd = open(node, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	return fd >= 0 ||
	       muster_fail_errno(err, errno == EBUSY ? CAUSE_TPM_IN_USE : CAUSE_TPM_UNREACHABLE,
				 errno, "opening '%s'", PRINTABLE(node));
}

bool tpm_lock(const char *tcti, int *ret_lock, struct muster_error *err)
{
	/* A name in the abstract socket space: no file to make or leave, and the kernel drops it with us. */
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	static const char prefix[] = "muster-tpm-";
	CLEANUP(freep) char *file = file_of(tcti);
	const char *name = file ? file : tcti;
	memcpy(address.sun_path + 1, prefix, strlen(prefix));
	sha256_hex(address.sun_path + 1 + strlen(prefix), name, strlen(name));
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(prefix) +
				     SHA256_HEX_SIZE - 1);

	CLEANUP(closep) int lock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (lock < 0)
		return muster_fail_errno(err, CAUSE_INTERNAL, errno, "making a lock for a TPM");
	if (bind(lock, (struct sockaddr *)&address, size) < 0)
		return errno == EADDRINUSE
			       ? muster_fail(err, CAUSE_TPM_BUSY,
					     "another muster is using TPM '%s'", PRINTABLE(tcti))
			       : muster_fail_errno(err, CAUSE_INTERNAL, errno, "locking TPM '%s'",
						   PRINTABLE(tcti));
	*ret_lock = TAKE_FD(lock);
	return true;
}
