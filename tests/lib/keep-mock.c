/* Preloaded before umockdev's library: muster clears its environment, and the mock would lose its machine. And loses events as
 * the kernel does when they come too fast: as many as the file "lost-events" of the machine says. Its udevd runs, as long as there
 * is no file "no-udevd". */
#include <dlfcn.h>
#include <errno.h>
#include <libudev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *machine;

__attribute__((visibility("default"))) char *getenv(const char *name)
{
	char *(*next)(const char *) = (char *(*)(const char *))dlsym(RTLD_NEXT, "getenv");

	return strcmp(name, "UMOCKDEV_DIR") == 0 ? machine : next(name);
}

__attribute__((constructor)) static void keep(void)
{
	char *(*next)(const char *) = (char *(*)(const char *))dlsym(RTLD_NEXT, "getenv");
	const char *value = next("UMOCKDEV_DIR");

	machine = value ? strdup(value) : NULL;
}

__attribute__((visibility("default"))) int access(const char *path, int mode)
{
	int (*next)(const char *, int) = (int (*)(const char *, int))dlsym(RTLD_NEXT, "access");
	char mark[512];

	if (!machine || strcmp(path, "/run/udev/control") != 0)
		return next(path, mode);
	snprintf(mark, sizeof(mark), "%s/no-udevd", machine);
	if (next(mark, F_OK) < 0)
		return 0;
	errno = ENOENT;
	return -1;
}

/* Counts one down. */
static int is_to_be_lost(void)
{
	char path[512];
	FILE *file;
	int count = 0;

	snprintf(path, sizeof(path), "%s/lost-events", machine ? machine : "");
	file = fopen(path, "r+");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &count) == 1 && count > 0) {
		rewind(file);
		fprintf(file, "%d\n", count - 1);
	}
	fclose(file);
	return count > 0;
}

__attribute__((visibility("default"))) struct udev_device *
udev_monitor_receive_device(struct udev_monitor *monitor)
{
	struct udev_device *(*next)(struct udev_monitor *) =
		(struct udev_device * (*)(struct udev_monitor *))
			dlsym(RTLD_NEXT, "udev_monitor_receive_device");
	struct udev_device *device = next(monitor);

	if (!device || !is_to_be_lost())
		return device;
	udev_device_unref(device);
	errno = ENOBUFS;
	return NULL;
}
