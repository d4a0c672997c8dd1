/* Whether a device's node lets us in, and what is said when it does not. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/tpm/tpm-internal.h"

static int reason; /* 0: the node opens */

/* Files have 64-bit offsets here, so that this is the name of open(). */
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	assert_string_equal(path, "/dev/tpm0");
	assert_true(flags & O_CLOEXEC);
	errno = reason;
	return reason ? -1 : dup(STDIN_FILENO);
}

static void says_why_a_node_cannot_be_opened(void **state)
{
	static const struct {
		int reason;
		enum muster_cause cause;
	} cases[] = {
		{ EBUSY, CAUSE_TPM_IN_USE },
		{ ENOENT, CAUSE_TPM_UNREACHABLE },
		{ EACCES, CAUSE_TPM_UNREACHABLE },
		{ ENODEV, CAUSE_TPM_UNREACHABLE },
	};
	struct muster_error err;
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		reason = cases[i].reason;
		assert_fails(tpm_tcti_try("device:/dev/tpm0", &err), err, cases[i].cause);
		assert_contains(err.message, strerror(reason));
	}
	reason = 0;
	assert_good(tpm_tcti_try("device:/dev/tpm0", &err), err);
}

static void asks_of_devices_only(void **state)
{
	struct muster_error err;
	(void)state;
	reason = EBUSY;
	assert_good(tpm_tcti_try("swtpm:path=/nowhere", &err), err);
}

static int bind_reason; /* 0: the lock's name is free */

int __real_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size)
{
	errno = bind_reason;
	return bind_reason ? -1 : __real_bind(fd, address, size);
}

static void a_lock_that_cannot_be_had_is_none(void **state)
{
	static const struct {
		int reason;
		enum muster_cause cause;
	} cases[] = {
		{ EADDRINUSE, CAUSE_TPM_BUSY },
		{ EACCES, CAUSE_INTERNAL },
		{ ENOMEM, CAUSE_INTERNAL },
	};
	CLEANUP(closep) int lock = -1;
	struct muster_error err;
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bind_reason = cases[i].reason;
		assert_fails(tpm_lock("swtpm:path=/nowhere", &lock, &err), err, cases[i].cause);
	}
	bind_reason = 0;
	assert_good(tpm_lock("swtpm:path=/nowhere", &lock, &err), err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_why_a_node_cannot_be_opened),
		cmocka_unit_test(asks_of_devices_only),
		cmocka_unit_test(a_lock_that_cannot_be_had_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
