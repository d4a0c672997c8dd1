/* vtpm-bridge SOCKET: a real TPM device of the kernel (tpmN and tpmrmN) with the software TPM at SOCKET behind it. Plugged in
 * while this runs. The software TPM is at work before: the kernel gives a new device two seconds for its first answers. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/types.h>
#include <linux/vtpm_proxy.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MESSAGE_MAX = 4096, HEADER_SIZE = 10, SET_LOCALITY = 0x20001000 };

static int connect_tpm(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int tpm = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return connect(tpm, (struct sockaddr *)&address, sizeof(address)) == 0 ? tpm : -1;
}

static int make_device(void)
{
	struct vtpm_proxy_new_dev device = { .flags = VTPM_PROXY_FLAG_TPM2 };
	int control = open("/dev/vtpmx", O_RDWR | O_CLOEXEC);

	return ioctl(control, VTPM_PROXY_IOC_NEW_DEV, &device) == 0 ? (int)device.fd : -1;
}

static unsigned field(const unsigned char *at)
{
	unsigned value;

	memcpy(&value, at, sizeof(value));
	return ntohl(value);
}

static bool read_all(int fd, unsigned char *data, size_t size)
{
	for (ssize_t count; size > 0; data += count, size -= (size_t)count) {
		count = read(fd, data, size);
		if (count <= 0)
			return false;
	}
	return true;
}

/* The kernel's own command to the proxy, which the TPM never sees. */
static size_t answer_locality(unsigned char *message)
{
	static const unsigned char done[HEADER_SIZE] = { 0x80, 0x01, 0, 0, 0, HEADER_SIZE };

	memcpy(message, done, sizeof(done));
	return sizeof(done);
}

/* 0: the TPM is gone. */
static size_t ask(int tpm, unsigned char *message, size_t size)
{
	size_t length;

	if (size >= HEADER_SIZE && field(message + 6) == SET_LOCALITY)
		return answer_locality(message);
	if (write(tpm, message, size) != (ssize_t)size || !read_all(tpm, message, HEADER_SIZE))
		return 0;
	length = field(message + 2);
	return length >= HEADER_SIZE && length <= MESSAGE_MAX &&
			       read_all(tpm, message + HEADER_SIZE, length - HEADER_SIZE)
		       ? length
		       : 0;
}

int main(int argc, char **argv)
{
	unsigned char message[MESSAGE_MAX];
	int tpm = argc == 2 ? connect_tpm(argv[1]) : -1, device = tpm < 0 ? -1 : make_device();
	ssize_t count;

	if (device < 0) {
		perror("vtpm-bridge");
		return 1;
	}
	while ((count = read(device, message, sizeof(message))) > 0) {
		size_t length = ask(tpm, message, (size_t)count);

		if (length == 0 || write(device, message, length) != (ssize_t)length)
			break;
	}
	perror("vtpm-bridge: ended");
	return 1;
}
