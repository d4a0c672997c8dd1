#include "provision-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void provision_watch_done(struct provision_watch *watch)
{
	for (size_t i = 0; i < watch->request.serial_count; i++)
		free(watch->words[i]);
	socket_map_done(&watch->map);
	closep(&watch->serials_file);
}

static bool add_serial(struct provision_watch *watch, const char *word, struct muster_error *err)
{
	const char *equals = strchr(word, '=');
	size_t index = watch->request.serial_count;

	if (!equals)
		return muster_fail(err, CAUSE_USAGE, "--serial '%s' is not SOCKET=TEXT",
				   PRINTABLE(word));
	watch->words[index] = strndup(word, (size_t)(equals - word));
	if (!watch->words[index])
		return muster_fail_memory(err);
	watch->serials[index] = (struct station_socket_serial){ watch->words[index], equals + 1 };
	watch->request.serial_count++;
	return true;
}

static bool open_serials(struct provision_watch *watch, const char *file, struct muster_error *err)
{
	watch->request.serials_fd = STDIN_FILENO;
	if (strcmp(file, "-") == 0)
		return true;
	watch->request.serials_fd = watch->serials_file = open(file, O_RDONLY | O_CLOEXEC);
	return watch->serials_file >= 0 || muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno,
							     "opening '%s'", PRINTABLE(file));
}

bool provision_watch_open(const struct provision_choice *choice, struct provision_watch *ret_watch,
			  struct muster_error *err)
{
	*ret_watch = (struct provision_watch){ .serials_file = -1 };
	ret_watch->request = (struct station_watch){ .sockets = &ret_watch->map,
						     .serials = ret_watch->serials,
						     .serials_fd = -1 };
	if (choice->tpms.count > 0 || choice->all_attached)
		return muster_fail(
			err, CAUSE_USAGE,
			"--watch takes what is plugged in; --tpm (MUSTER_TPM) and --all-attached "
			"do not go with it");
	for (size_t i = 0; i < choice->serials.count; i++)
		if (!add_serial(ret_watch, choice->serials.words[i], err))
			return false;
	return (!choice->serials_file || open_serials(ret_watch, choice->serials_file, err)) &&
	       socket_map_open(choice->map_file, &ret_watch->map, err);
}

void provision_watch_announce(const struct provision_choice *choice,
			      const struct provision_watch *watch)
{
	const char *file = socket_map_file(choice->map_file);

	if (!watch->map.is_there) {
		fprintf(stderr,
			"muster: there is no map '%s' (muster socket map makes one): waiting for "
			"boards in the sockets that udev names\n",
			PRINTABLE(file));
		return;
	}
	fprintf(stderr, "muster: waiting for boards in the sockets of '%s':", PRINTABLE(file));
	for (size_t i = 0; i < watch->map.count; i++)
		fprintf(stderr, " %s", watch->map.rows[i].name);
	fprintf(stderr, "%s\n",
		watch->map.count > 0 ? "" : " it names none, so no board will be programmed");
}
