#include "attached.h"

#include <stdlib.h>
#include <string.h>

#include "muster/log.h"
#include "muster/text.h"

DEFINE_FREEP(enumerate_freep, struct udev_enumerate *, udev_enumerate_unref)

void attached_tpm_done(struct attached_tpm *tpm)
{
	free(tpm->node);
	free(tpm->tpm);
	free(tpm->socket);
	free(tpm->path);
	free(tpm->since);
	*tpm = (struct attached_tpm){ 0 };
}

void attached_tpms_done(struct attached_tpms *tpms)
{
	for (size_t i = 0; i < tpms->count; i++)
		attached_tpm_done(&tpms->rows[i]);
	free(tpms->rows);
	*tpms = (struct attached_tpms){ 0 };
}

static bool copy(char **target, const char *text)
{
	*target = text ? strdup(text) : NULL;
	return !text || *target;
}

static bool hangs_on_usb(struct udev_device *device)
{
	return udev_device_get_parent_with_subsystem_devtype(device, "usb", "usb_device") != NULL;
}

/* Where there is a map it alone holds: what it does not name is no socket, whatever udev remembers. */
bool attached_tpm_describe(const struct socket_map *map, struct udev_device *device,
			   struct attached_tpm *ret_tpm, struct muster_error *err)
{
	const char *path = udev_device_get_property_value(device, "ID_PATH");
	const struct socket_row *row = socket_map_by_path(map, path);
	const char *socket = map->is_there
				     ? row ? row->name : NULL
				     : udev_device_get_property_value(device, "MUSTER_SOCKET");
	CLEANUP(attached_tpm_done) struct attached_tpm tpm = { 0 };

	if (!copy(&tpm.node, udev_device_get_devnode(device)) || !copy(&tpm.socket, socket) ||
	    !copy(&tpm.path, path) ||
	    !copy(&tpm.since, udev_device_get_property_value(device, "USEC_INITIALIZED")))
		return muster_fail_memory(err);
	tpm.tpm = row && row->tcti ? strdup(row->tcti) : text_format("device:%s", tpm.node);
	if (!tpm.tpm)
		return muster_fail_memory(err);
	tpm.is_ruled = udev_device_get_property_value(device, "MUSTER_KIND") != NULL;
	tpm.is_own = !tpm.socket && !hangs_on_usb(device);
	*ret_tpm = tpm;
	tpm = (struct attached_tpm){ 0 };
	return true;
}

static bool add(const struct socket_map *map, struct attached_tpms *tpms,
		struct udev_device *device, struct muster_error *err)
{
	struct attached_tpm *rows = reallocarray(tpms->rows, tpms->count + 1, sizeof(*rows));

	if (!rows)
		return muster_fail_memory(err);
	tpms->rows = rows;
	if (!attached_tpm_describe(map, device, &rows[tpms->count], err))
		return false;
	tpms->count++;
	return true;
}

static int by_node(const void *a, const void *b)
{
	const struct attached_tpm *left = a, *right = b;

	return strverscmp(left->node, right->node);
}

bool attached_tpms_list(const struct socket_map *map, struct attached_tpms *ret_tpms,
			struct muster_error *err)
{
	CLEANUP(udev_freep) struct udev *udev = udev_new();
	CLEANUP(enumerate_freep)
	struct udev_enumerate *enumerate = udev ? udev_enumerate_new(udev) : NULL;
	CLEANUP(attached_tpms_done) struct attached_tpms tpms = { 0 };
	struct udev_list_entry *entry;

	if (!enumerate)
		return muster_fail_memory(err);
	if (udev_enumerate_add_match_subsystem(enumerate, ATTACHED_SUBSYSTEM) < 0 ||
	    udev_enumerate_scan_devices(enumerate) < 0)
		return muster_fail(err, CAUSE_UDEV, "asking udev for TPMs failed");
	udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(enumerate))
	{
		CLEANUP(udev_device_freep)
		struct udev_device *device =
			udev_device_new_from_syspath(udev, udev_list_entry_get_name(entry));

		/* It may have gone meanwhile. */
		if (device && udev_device_get_devnode(device) && !add(map, &tpms, device, err))
			return false;
	}
	if (tpms.count > 0)
		qsort(tpms.rows, tpms.count, sizeof(*tpms.rows), by_node);
	*ret_tpms = tpms;
	tpms = (struct attached_tpms){ 0 };
	return true;
}

/* -- The station's own ----------------------------------------------------------------------------------------- */

/* "/dev/tpmrm0" of a TCTI that names a device, by whichever of its nodes; or NULL. */
static char *managed_node(const char *tcti)
{
	static const char raw[] = "/dev/tpm";
	CLEANUP(freep) char *path = NULL;

	if (!text_has_prefix(tcti, "device:/"))
		return NULL;
	path = realpath(tcti + strlen("device:"), NULL);
	if (!path)
		path = strdup(tcti + strlen("device:"));
	if (path && text_has_prefix(path, raw) && path[strlen(raw)] >= '0' &&
	    path[strlen(raw)] <= '9')
		return text_format("/dev/tpmrm%s", path + strlen(raw));
	return TAKE_PTR(path);
}

static bool names_a_device(const char *const *tctis, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (text_has_prefix(tctis[i], "device:"))
			return true;
	return false;
}

static bool refuse_own(const struct attached_tpms *attached, const char *tcti,
		       struct muster_error *err)
{
	CLEANUP(freep) char *node = managed_node(tcti);

	for (size_t i = 0; node && i < attached->count; i++)
		if (attached->rows[i].is_own && strcmp(attached->rows[i].node, node) == 0)
			return muster_fail(err, CAUSE_TPM_OWN,
					   "'%s' is taken for the station's own TPM",
					   PRINTABLE(tcti));
	return true;
}

bool attached_tpms_refuse_own(const char *map_file, const char *const *tctis, size_t count,
			      struct muster_error *err)
{
	CLEANUP(socket_map_done) struct socket_map map = { 0 };
	CLEANUP(attached_tpms_done) struct attached_tpms attached = { 0 };

	if (!names_a_device(tctis, count))
		return true;
	if (!socket_map_read(socket_map_file(map_file), &map, err) ||
	    !attached_tpms_list(&map, &attached, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!refuse_own(&attached, tctis[i], err))
			return false;
	return true;
}

void attached_tpm_pass_over(const struct attached_tpm *tpm)
{
	if (tpm->is_own)
		log_info("'%s' is the station's own: left alone", PRINTABLE(tpm->node));
	else
		log_warning("[E%u] '%s' at '%s' is in no socket of the map: left alone",
			    CAUSE_PORT_UNMAPPED, PRINTABLE(tpm->node),
			    PRINTABLE(tpm->path ? tpm->path : "an unknown port"));
}
