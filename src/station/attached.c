#include "attached.h"

#include <libudev.h>
#include <stdlib.h>
#include <string.h>

DEFINE_FREEP(udev_freep, struct udev *, udev_unref)
DEFINE_FREEP(enumerate_freep, struct udev_enumerate *, udev_enumerate_unref)
DEFINE_FREEP(device_freep, struct udev_device *, udev_device_unref)

static bool copy(char **target, const char *text)
{
	*target = text ? strdup(text) : NULL;
	return !text || *target;
}

static bool hangs_on_usb(struct udev_device *device)
{
	return udev_device_get_parent_with_subsystem_devtype(device, "usb", "usb_device") != NULL;
}

static bool add(struct attached_tpms *tpms, struct udev_device *device, struct muster_error *err)
{
	struct attached_tpm *rows = reallocarray(tpms->rows, tpms->count + 1, sizeof(*rows));
	struct attached_tpm *row;

	if (!rows)
		return muster_fail_memory(err);
	tpms->rows = rows;
	row = &rows[tpms->count++];
	*row = (struct attached_tpm){ 0 };
	if (!copy(&row->node, udev_device_get_devnode(device)) ||
	    !copy(&row->socket, udev_device_get_property_value(device, "MUSTER_SOCKET")) ||
	    !copy(&row->path, udev_device_get_property_value(device, "ID_PATH")))
		return muster_fail_memory(err);
	row->is_own = !row->socket && !hangs_on_usb(device);
	return true;
}

static int by_node(const void *a, const void *b)
{
	const struct attached_tpm *left = a, *right = b;

	return strverscmp(left->node, right->node);
}

bool attached_tpms_list(struct attached_tpms *ret_tpms, struct muster_error *err)
{
	CLEANUP(udev_freep) struct udev *udev = udev_new();
	CLEANUP(enumerate_freep)
	struct udev_enumerate *enumerate = udev ? udev_enumerate_new(udev) : NULL;
	CLEANUP(attached_tpms_done) struct attached_tpms tpms = { 0 };
	struct udev_list_entry *entry;

	if (!enumerate)
		return muster_fail_memory(err);
	if (udev_enumerate_add_match_subsystem(enumerate, "tpmrm") < 0 ||
	    udev_enumerate_scan_devices(enumerate) < 0)
		return muster_fail(err, CAUSE_INTERNAL, "asking udev for TPMs failed");
	udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(enumerate))
	{
		CLEANUP(device_freep)
		struct udev_device *device =
			udev_device_new_from_syspath(udev, udev_list_entry_get_name(entry));

		/* It may have gone meanwhile. */
		if (device && udev_device_get_devnode(device) && !add(&tpms, device, err))
			return false;
	}
	if (tpms.count > 0)
		qsort(tpms.rows, tpms.count, sizeof(*tpms.rows), by_node);
	*ret_tpms = tpms;
	tpms = (struct attached_tpms){ 0 };
	return true;
}

void attached_tpms_done(struct attached_tpms *tpms)
{
	for (size_t i = 0; i < tpms->count; i++) {
		free(tpms->rows[i].node);
		free(tpms->rows[i].socket);
		free(tpms->rows[i].path);
	}
	free(tpms->rows);
	*tpms = (struct attached_tpms){ 0 };
}
