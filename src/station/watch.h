/* The feed of whatever is plugged in. Private to the station. */
#pragma once

#include "attached.h"
#include "job.h"
#include "serial-lines.h"

/* Twice the sockets: one device may come before the job of the one it replaces is over. */
enum { PLUGGED_MAX = 2 * SOCKETS_MAX };

struct watch {
	struct feed feed; /* first */
	const struct run *run;
	struct plug_watch *plugs;
	struct serial_lines serials;
	bool needs_serials;
	uint64_t plugs_heard;
	size_t count;
	struct plugged {
		struct attached_tpm tpm;
		uint64_t plug;
		enum {
			PLUGGED_WAITING, /* for its serial, or for the job before it in its socket */
			PLUGGED_WORKING,
			PLUGGED_DONE
		} state;
		bool is_gone;
		bool was_told; /* that it waits for its serial */
		char *serial;
	} rows[PLUGGED_MAX];
	struct muster_error failure; /* of udev, which ends the run */
};

/* What is plugged in already is taken too. */
bool watch_open(struct watch *watch, const struct run *run, struct muster_error *err) MUST_CHECK;
/* Warns of boards that were not begun. */
void watch_tell_rest(const struct watch *watch);
/* For CLEANUP. */
void watch_done(struct watch *watch);
