/* TPMs that come and go, as udev tells: after its rules, so that a node has its owner and its names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attached.h"

struct plug_watch {
	struct udev *udev;
	struct udev_monitor *monitor;
	const struct socket_map *map; /* borrowed */
};

void plug_event_done(struct plug_event *event)
{
	attached_tpm_done(&event->tpm);
	event->kind = PLUG_NONE;
}

void plug_watch_free(struct plug_watch *watch)
{
	if (!watch)
		return;
	udev_monitor_unref(watch->monitor);
	udev_unref(watch->udev);
	free(watch);
}

bool plug_watch_open(const struct socket_map *map, struct plug_watch **ret_watch,
		     struct muster_error *err)
{
	CLEANUP(plug_watch_freep) struct plug_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return muster_fail_memory(err);
	/* libudev would wait for ever, and say nothing. */
	if (!udevd_runs())
		return muster_fail(err, CAUSE_UDEV,
				   "no udevd runs here, so nothing tells of boards that come");
	watch->map = map;
	watch->udev = udev_new();
	watch->monitor = watch->udev ? udev_monitor_new_from_netlink(watch->udev, "udev") : NULL;
	if (!watch->monitor ||
	    udev_monitor_filter_add_match_subsystem_devtype(watch->monitor, ATTACHED_SUBSYSTEM,
							    NULL) < 0 ||
	    udev_monitor_enable_receiving(watch->monitor) < 0)
		return muster_fail(err, CAUSE_UDEV, "listening to udev failed");
	*ret_watch = TAKE_PTR(watch);
	return true;
}

int plug_watch_fd(const struct plug_watch *watch)
{
	return udev_monitor_get_fd(watch->monitor);
}

static enum plug_kind kind_of(struct udev_device *device)
{
	const char *action = udev_device_get_action(device);

	if (!action || !udev_device_get_devnode(device))
		return PLUG_NONE;
	if (strcmp(action, "add") == 0)
		return PLUG_IN;
	return strcmp(action, "remove") == 0 ? PLUG_OUT : PLUG_NONE;
}

bool plug_watch_next(struct plug_watch *watch, struct plug_event *ret_event,
		     struct muster_error *err)
{
	*ret_event = (struct plug_event){ .kind = PLUG_NONE };
	while (ret_event->kind == PLUG_NONE) {
		CLEANUP(udev_device_freep) struct udev_device *device = NULL;

		errno = 0;
		device = udev_monitor_receive_device(watch->monitor);
		if (!device && errno == ENOBUFS)
			ret_event->kind = PLUG_MISSED;
		if (!device)
			return true;
		ret_event->kind = kind_of(device);
		if (ret_event->kind != PLUG_NONE &&
		    !attached_tpm_describe(watch->map, device, &ret_event->tpm, err))
			return false;
	}
	return true;
}
