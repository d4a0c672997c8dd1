/* muster socket: map and list. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "muster/file.h"
#include "muster/json.h"
#include "muster/station-attached.h"

#include "interrupt.h"
#include "socket-options.h"

struct socket_options {
	const char *map;
};

/* clang-format off */
static const struct option_row rows[] = {
	SOCKET_MAP_ROW(struct socket_options, map),
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "socket", "SOCKET", false, false },
	{ "path", "PATH", false, false },
	{ "tpm", "TPM", false, false },
	{ "state", "STATE", false, true },
	{ "label", "LABEL", false, true },
	{ "serial", "SERIAL", false, false },
	{ "manufacturer", "MANUFACTURER", false, true },
	{ "flags", "FLAGS", false, true },
	{ "token", "TOKEN", false, false },
	{ "error", "ERROR", false, true },
};

static const char *map_file(const struct invocation *call)
{
	const struct socket_options *options = call->options;

	return socket_map_file(options->map);
}

/* -- List ------------------------------------------------------------------------------------------------------ */

static bool run_list(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(socket_map_done) struct socket_map map = { 0 };
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	const struct socket_options *options = call->options;

	if (!socket_map_open(options->map, &map, err) || !station_socket_list(&map, &document, err))
		return false;
	if (cJSON_GetArraySize(document) == 0 && !call->is_quiet)
		fprintf(stderr,
			"muster: '%s' names no socket, and neither a TPM nor a token is plugged in\n",
			PRINTABLE(map_file(call)));
	return result_print(call, document, err);
}

const struct verb verb_socket_list = {
	.noun = "socket",
	.name = "list",
	.summary = "Show the sockets and what is in them",
	.description =
		"The sockets of the map with their ports and the TPMs and tokens in them, then TPMs\n"
		"and tokens that are in no socket. No TPM is opened, and nobody is logged in to a token.",
	.options = rows,
	.options_size = sizeof(struct socket_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(columns),
	.run = run_list,
};

/* -- Map ------------------------------------------------------------------------------------------------------- */

static const struct column map_columns[] = {
	{ "socket", "SOCKET", false, false },
	{ "path", "PATH", false, false },
};

/* One walk along the bench. */
struct walk {
	struct socket_map map;
	struct plug_watch *watch;
	cJSON *learnt;
};

static void walk_done(struct walk *walk)
{
	socket_map_done(&walk->map);
	plug_watch_free(walk->watch);
	cJSON_Delete(walk->learnt);
}

/* A signal ends it; it may come just before the wait, so that is looked for again. */
static bool wait_for_board(struct walk *walk, struct plug_event *ret_event,
			   struct muster_error *err)
{
	struct pollfd ready = { .fd = plug_watch_fd(walk->watch), .events = POLLIN };

	for (;;) {
		if (interrupt_came())
			return muster_fail(err, CAUSE_INTERRUPTED, "stopped; the map is as it was");
		if (!plug_watch_next(walk->watch, ret_event, err))
			return false;
		if (ret_event->kind == PLUG_IN)
			return true;
		if (ret_event->kind == PLUG_OUT)
			plug_event_done(ret_event);
		else if (poll(&ready, 1, 500) < 0 && errno != EINTR)
			return muster_fail_errno(err, CAUSE_UDEV, errno, "waiting for udev");
	}
}

static const cJSON *learnt_at(const struct walk *walk, const char *path)
{
	const cJSON *row;

	cJSON_ArrayForEach(row,
			   walk->learnt) if (strcmp(json_text(row, "path"), path) == 0) return row;
	return NULL;
}

static bool learn(struct walk *walk, const char *name, const struct attached_tpm *tpm,
		  struct muster_error *err)
{
	const struct socket_row *before = socket_map_by_path(&walk->map, tpm->path);
	cJSON *row = cJSON_CreateObject();

	if (before && strcmp(before->name, name) != 0)
		fprintf(stderr, "muster: this port was socket '%s'\n", before->name);
	if (!row || !cJSON_AddItemToArray(walk->learnt, row) ||
	    !json_add_text(row, "socket", name) || !json_add_text(row, "path", tpm->path))
		return muster_fail_memory(err);
	return socket_map_set(&walk->map, name, tpm->path, err);
}

/* Asks until a board comes at a port that has not been shown yet. */
static bool ask_for(struct walk *walk, const char *name, struct muster_error *err)
{
	for (;;) {
		CLEANUP(plug_event_done) struct plug_event event = { 0 };
		const cJSON *known;

		fprintf(stderr, "muster: plug a board into socket %s\n", name);
		if (!wait_for_board(walk, &event, err))
			return false;
		known = event.tpm.path ? learnt_at(walk, event.tpm.path) : NULL;
		if (!event.tpm.path) {
			fprintf(stderr, "muster: udev knows no bus path of '%s'\n",
				PRINTABLE(event.tpm.node));
		} else if (known) {
			fprintf(stderr, "muster: '%s' is socket %s\n", PRINTABLE(event.tpm.path),
				json_text(known, "socket"));
		} else {
			return learn(walk, name, &event.tpm, err);
		}
	}
}

static bool check_names(const struct invocation *call, struct muster_error *err)
{
	for (size_t i = 0; i < call->operand_count; i++) {
		if (!socket_name_check(call->operands[i], err))
			return false;
		for (size_t j = 0; j < i; j++)
			if (strcmp(call->operands[i], call->operands[j]) == 0)
				return muster_fail(err, CAUSE_USAGE, "socket '%s' is named twice",
						   call->operands[i]);
	}
	return true;
}

static bool run_map(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(walk_done)
	struct walk walk = { .learnt = cJSON_CreateArray() };

	if (!walk.learnt)
		return muster_fail_memory(err);
	if (!check_names(call, err) || !socket_map_read(map_file(call), &walk.map, err) ||
	    !file_check_place(map_file(call), err) || !plug_watch_open(&walk.map, &walk.watch, err))
		return false;
	interrupt_watch();
	for (size_t i = 0; i < call->operand_count; i++)
		if (!ask_for(&walk, call->operands[i], err))
			return false;
	return socket_map_write(map_file(call), &walk.map, err) &&
	       result_print(call, walk.learnt, err);
}

const struct verb verb_socket_map = {
	.noun = "socket",
	.name = "map",
	.operands = "NAME...",
	.operands_min = 1,
	.operands_max = SOCKETS_MAX,
	.summary = "Learn which port is which socket",
	.description =
		"Asks for a board in each socket that is named, one after the other, and takes the port at\n"
		"which one is plugged in then. One board will do for all. The map is written at the end,\n"
		"whole; sockets that are not named keep their ports.",
	.options = rows,
	.options_size = sizeof(struct socket_options),
	.default_output = OUTPUT_TABLE,
	COLUMNS(map_columns),
	.run = run_map,
};
