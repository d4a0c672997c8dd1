/* A machine with ports for TPMs, as far as udev's library can see. Prints the directory that the machine lies in, then
 * obeys lines of standard input, each answered by "ok":
 *   plug NUMBER PORT [PATH]   /dev/tpmrmNUMBER comes; PORT: "usb" or "board"
 *   unplug NUMBER             it goes */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <umockdev.h>

static UMockdevTestbed *bed;

/* usb device (or none) -> tpmN -> tpmrmN, as the kernel has them. */
static void plug(const char *number, const char *port, const char *path)
{
	g_autofree char *usb_name = g_strdup_printf("1-%s", number);
	g_autofree char *tpm_name = g_strdup_printf("tpm%s", number);
	g_autofree char *name = g_strdup_printf("tpmrm%s", number);
	g_autofree char *node = g_strdup_printf("/dev/tpmrm%s", number);
	g_autofree char *usb = NULL;
	g_autofree char *tpm = NULL;
	g_autofree char *manager = NULL;
	static unsigned long clock;
	g_autofree char *since = g_strdup_printf("%lu", ++clock);

	if (strcmp(port, "usb") == 0)
		usb = umockdev_testbed_add_device(bed, "usb", usb_name, NULL, NULL, "DEVTYPE",
						  "usb_device", NULL);
	tpm = umockdev_testbed_add_device(bed, "tpm", tpm_name, usb, NULL, "DEVNAME", tpm_name,
					  NULL);
	manager = umockdev_testbed_add_device(bed, "tpmrm", name, tpm, NULL, "DEVNAME", node,
					      path ? "ID_PATH" : "NO_PATH", path ? path : "1",
					      "USEC_INITIALIZED", since, NULL);
}

/* From the leaf to the port, as far as they are there. */
static void unplug(const char *number)
{
	g_autofree char *usb = g_strdup_printf("/sys/devices/1-%s", number);
	g_autofree char *below_usb = g_strdup_printf("%s/tpm%s", usb, number);
	g_autofree char *on_board = g_strdup_printf("/sys/devices/tpm%s", number);
	g_autofree char *real = g_build_filename(umockdev_testbed_get_root_dir(bed), usb, NULL);
	bool has_usb = g_file_test(real, G_FILE_TEST_EXISTS);
	const char *tpm = has_usb ? below_usb : on_board;
	g_autofree char *manager = g_strdup_printf("%s/tpmrm%s", tpm, number);

	umockdev_testbed_uevent(bed, manager, "remove");
	umockdev_testbed_remove_device(bed, manager);
	umockdev_testbed_remove_device(bed, tpm);
	if (has_usb)
		umockdev_testbed_remove_device(bed, usb);
}

static bool obey(char *line)
{
	char *rest = NULL, *verb = strtok_r(line, " \n", &rest);
	const char *number = strtok_r(NULL, " \n", &rest), *port = strtok_r(NULL, " \n", &rest);

	if (verb && strcmp(verb, "plug") == 0 && number && port)
		plug(number, port, strtok_r(NULL, " \n", &rest));
	else if (verb && strcmp(verb, "unplug") == 0 && number)
		unplug(number);
	else
		return false;
	return puts("ok") >= 0 && fflush(stdout) == 0;
}

int main(void)
{
	char line[512];

	bed = umockdev_testbed_new();
	puts(umockdev_testbed_get_root_dir(bed));
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		if (!obey(line))
			return EXIT_FAILURE;
	g_object_unref(bed);
	return EXIT_SUCCESS;
}
