#include "provision-devices.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "muster/file.h"
#include "muster/text.h"

enum { SERIALS_SIZE_MAX = 64 * 1024 };

void provision_devices_done(struct provision_devices *devices)
{
	free(devices->lines);
	attached_tpms_done(&devices->attached);
	*devices = (struct provision_devices){ 0 };
}

static const char *place_of(const struct station_device *device)
{
	return device->socket ? device->socket : device->tpm;
}

static struct station_device *find_socket(struct provision_devices *devices, const char *socket,
					  size_t length)
{
	for (size_t i = 0; i < devices->count; i++) {
		const char *name = place_of(&devices->rows[i]);

		if (name && strlen(name) == length && memcmp(name, socket, length) == 0)
			return &devices->rows[i];
	}
	return NULL;
}

/* -- TPMs --------------------------------------------------------------------------------------------------- */

/* By another path, too. */
static bool is_same_tpm(const char *tpm, const char *other)
{
	size_t before = strcspn(tpm, "/");
	struct stat status, other_status;

	return strcmp(tpm, other) == 0 ||
	       (before == strcspn(other, "/") && strncmp(tpm, other, before) == 0 &&
		stat(tpm + before, &status) == 0 && stat(other + before, &other_status) == 0 &&
		status.st_dev == other_status.st_dev && status.st_ino == other_status.st_ino);
}

static const char *find_same(const struct provision_devices *devices, const char *tpm)
{
	for (size_t i = 0; i < devices->count; i++)
		if (is_same_tpm(devices->rows[i].tpm, tpm))
			return devices->rows[i].tpm;
	return NULL;
}

static bool add_tpms(const struct option_list *tpms, struct provision_devices *devices,
		     struct muster_error *err)
{
	for (size_t i = 0; i < tpms->count; i++) {
		const char *same = find_same(devices, tpms->words[i]);

		if (same)
			return muster_fail(err, CAUSE_USAGE, "TPM '%s' is named twice%s%s%s",
					   PRINTABLE(tpms->words[i]),
					   strcmp(same, tpms->words[i]) ? ": it is '" : "",
					   strcmp(same, tpms->words[i]) ? PRINTABLE(same) : "",
					   strcmp(same, tpms->words[i]) ? "'" : "");
		devices->rows[devices->count++].tpm = tpms->words[i];
	}
	if (devices->count == 0)
		devices->count = 1;
	return true;
}

static bool add_attached_tpm(struct provision_devices *devices, const struct attached_tpm *tpm,
			     struct muster_error *err)
{
	if (!tpm->socket) {
		attached_tpm_pass_over(tpm);
		return true;
	}
	if (find_socket(devices, tpm->socket, strlen(tpm->socket)))
		return muster_fail(err, CAUSE_SOCKET_MAP_INVALID,
				   "two TPMs are plugged in at the port of socket '%s'",
				   PRINTABLE(tpm->socket));
	if (devices->count == ARRAY_SIZE(devices->rows))
		return muster_fail(err, CAUSE_USAGE, "more than %zu TPMs in sockets",
				   ARRAY_SIZE(devices->rows));
	devices->rows[devices->count++] =
		(struct station_device){ .socket = tpm->socket, .tpm = tpm->tpm };
	return true;
}

static bool add_attached(const char *map_file, struct provision_devices *devices,
			 struct muster_error *err)
{
	CLEANUP(socket_map_done) struct socket_map map = { 0 };

	if (!socket_map_read(socket_map_file(map_file), &map, err) ||
	    !attached_tpms_list(&map, &devices->attached, err))
		return false;
	for (size_t i = 0; i < devices->attached.count; i++)
		if (!add_attached_tpm(devices, &devices->attached.rows[i], err))
			return false;
	return devices->count > 0 ||
	       muster_fail(err, CAUSE_TPM_NONE_ATTACHED,
			   "no TPM is plugged into a socket of '%s' (at other ports: %zu)",
			   PRINTABLE(socket_map_file(map_file)), devices->attached.count);
}

/* A TPM that is named is meant, but for the one that the station cannot do without. */
static bool check_named(const struct provision_choice *choice, struct muster_error *err)
{
	return choice->own || attached_tpms_refuse_own(choice->map_file, choice->tpms.words,
						       choice->tpms.count, err);
}

static bool add_devices(const struct provision_choice *choice, struct provision_devices *devices,
			struct muster_error *err)
{
	if (!choice->all_attached)
		return check_named(choice, err) && add_tpms(&choice->tpms, devices, err);
	if (choice->tpms.count > 0)
		return muster_fail(err, CAUSE_USAGE,
				   "--all-attached and --tpm (MUSTER_TPM) exclude each other");
	return add_attached(choice->map_file, devices, err);
}

/* -- Serials ------------------------------------------------------------------------------------------------ */

/* `place` says where it was read, for the message. */
static bool set_serial(struct provision_devices *devices, struct station_device *device,
		       const char *serial, const char *place, struct muster_error *err)
{
	if (device->serial)
		return muster_fail(err, CAUSE_USAGE, "%s: '%s' has the serial '%s' already", place,
				   PRINTABLE(place_of(device) ? place_of(device) : "the device"),
				   PRINTABLE(device->serial));
	for (size_t i = 0; i < devices->count; i++)
		if (devices->rows[i].serial && strcmp(devices->rows[i].serial, serial) == 0)
			return muster_fail(err, CAUSE_USAGE, "%s: serial '%s' is given twice",
					   place, PRINTABLE(serial));
	device->serial = serial;
	return true;
}

/* A TCTI may hold '=' itself, so every '=' is tried. */
static struct station_device *socket_before(struct provision_devices *devices, const char *word,
					    const char **ret_serial)
{
	for (const char *at = strchr(word, '='); at; at = strchr(at + 1, '=')) {
		struct station_device *device = find_socket(devices, word, (size_t)(at - word));

		*ret_serial = at + 1;
		if (device)
			return device;
	}
	return NULL;
}

static bool add_serials(const struct option_list *serials, struct provision_devices *devices,
			struct muster_error *err)
{
	for (size_t i = 0; i < serials->count; i++) {
		const char *word = serials->words[i], *serial = word;
		struct station_device *device = socket_before(devices, word, &serial);

		/* With sockets it is never plain: who plugs in boards does not count them. */
		if (!device && (devices->count > 1 || devices->rows[0].socket))
			return muster_fail(err, CAUSE_USAGE,
					   "--serial '%s' is not SOCKET=TEXT with a TPM that is %s",
					   PRINTABLE(word),
					   devices->rows[0].socket ? "in a socket" : "named");
		if (!set_serial(devices, device ? device : &devices->rows[0],
				device ? serial : word, "--serial", err))
			return false;
	}
	return true;
}

/* -- Lines of a file ---------------------------------------------------------------------------------------- */

static bool add_line(struct provision_devices *devices, char *line, const char *place,
		     struct muster_error *err)
{
	char *tab = strchr(line, '\t');
	struct station_device *device;

	if (!tab)
		return muster_fail(err, CAUSE_USAGE, "%s: no tab between socket and serial", place);
	device = find_socket(devices, line, (size_t)(tab - line));
	if (!device)
		return muster_fail(err, CAUSE_USAGE, "%s: '%s' is no TPM that is %s", place,
				   PRINTABLE((*tab = '\0', line)),
				   devices->rows[0].socket ? "in a socket" : "named");
	return set_serial(devices, device, tab + 1, place, err);
}

static bool add_lines(const char *file, struct provision_devices *devices, struct muster_error *err)
{
	unsigned number = 1;

	for (char *line = devices->lines; line && *line; number++) {
		char place[320], *end = strchrnul(line, '\n');
		bool is_last = *end == '\0';

		*end = '\0';
		if (end > line && end[-1] == '\r')
			end[-1] = '\0';
		snprintf(place, sizeof(place), "%s:%u", PRINTABLE(file), number);
		if (*line && !add_line(devices, line, place, err))
			return false;
		line = is_last ? NULL : end + 1;
	}
	return true;
}

static bool read_standard_input(char **ret_lines, struct muster_error *err)
{
	CLEANUP(text_done) struct text lines = TEXT_MAX(SERIALS_SIZE_MAX);
	char part[4096];
	ssize_t count;

	while ((count = read(STDIN_FILENO, part, sizeof(part))) > 0)
		text_add_bytes(&lines, part, (size_t)count);
	if (count < 0)
		return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "reading serials");
	*ret_lines = text_take(&lines, err);
	return *ret_lines != NULL;
}

static bool read_serials(const char *file, struct provision_devices *devices,
			 struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	bool is_input = strcmp(file, "-") == 0;

	if (is_input) {
		if (!read_standard_input(&devices->lines, err))
			return false;
	} else {
		if (!file_read(file, SERIALS_SIZE_MAX, &bytes, err))
			return false;
		devices->lines = strndup(bytes.data ? (const char *)bytes.data : "", bytes.size);
		if (!devices->lines)
			return muster_fail_memory(err);
	}
	return add_lines(is_input ? "standard input" : file, devices, err);
}

bool provision_devices_read(const struct provision_choice *choice,
			    struct provision_devices *devices, struct muster_error *err)
{
	return add_devices(choice, devices, err) && add_serials(&choice->serials, devices, err) &&
	       (!choice->serials_file || read_serials(choice->serials_file, devices, err));
}
