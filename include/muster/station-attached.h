/* The TPMs that are plugged in, and the sockets that they are in: what udev says of a place, and what the map of the bench
 * calls it. Opens no TPM. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/profile-sockets.h"

struct attached_tpm {
	char *node; /* "/dev/tpmrm0" */
	char *tpm;  /* TCTI: that of the node, or the map's */
	char *socket; /* the map's name for its port, or without a map udev's MUSTER_SOCKET; or NULL */
	char *path;  /* ID_PATH: where it is plugged in; or NULL */
	char *since; /* when udev got to know it, in its words: another one comes later; or NULL */
	bool is_ruled; /* muster's rules of udev were run for it */
	bool is_own; /* it has no socket and does not hang on USB: the station's, until the map names its port */
};

/* By node. Zero-initialise. */
struct attached_tpms {
	struct attached_tpm *rows;
	size_t count;
};

/* CAUSE_UDEV. */
bool attached_tpms_list(const struct socket_map *map, struct attached_tpms *ret_tpms,
			struct muster_error *err) MUST_CHECK;
/* CAUSE_TPM_OWN when one of these TCTIs leads to the station's own TPM. Reads the map (NULL: where it is by default) and
 * asks udev only when one names a device. */
bool attached_tpms_refuse_own(const char *map_file, const char *const *tctis, size_t count,
			      struct muster_error *err) MUST_CHECK;
void attached_tpms_done(struct attached_tpms *tpms);
/* Says on standard error that it is left alone, being in no socket. */
void attached_tpm_pass_over(const struct attached_tpm *tpm);

/* muster's rules of udev, and whether they are run, as far as one can tell without being root. For
 * CLEANUP(udev_rules_done). */
struct udev_rules {
	char *file;     /* NULL: not installed, or masked */
	bool has_udevd; /* one runs here */
	size_t tpms;    /* that are attached */
	size_t missed;  /* of these, for which the rules were not run */
	char *first;    /* of the missed, its node; or NULL */
};
/* directories: where rules are looked for, the first holds, NULL-terminated; NULL: where udev does. CAUSE_UDEV. */
bool udev_rules_find(const char *const *directories, struct udev_rules *ret_rules,
		     struct muster_error *err) MUST_CHECK;
void udev_rules_done(struct udev_rules *rules);

/* An array for people: first every socket of the map (socket, path, state: "TPM" with tpm, "token" with token, label, serial,
 * manufacturer, model and flags, "empty", or "not reached" with error), then what is plugged in elsewhere, and tokens of
 * configured modules that are in no socket (state: "not mapped" or "the station's own"). No login. */
bool station_socket_list(const struct socket_map *map, cJSON **ret_document,
			 struct muster_error *err) MUST_CHECK;

/* -- As it happens --------------------------------------------------------------------------------------------- */

enum plug_kind {
	PLUG_NONE,
	PLUG_IN,
	PLUG_OUT,
	PLUG_MISSED, /* udev told of more than was taken in: behind what still comes, see what is there */
};

struct plug_event {
	enum plug_kind kind;
	struct attached_tpm tpm;
};
void plug_event_done(struct plug_event *event);

struct plug_watch;

/* Hears of every TPM that is plugged in or out from now on. `map` is borrowed. CAUSE_UDEV. */
bool plug_watch_open(const struct socket_map *map, struct plug_watch **ret_watch,
		     struct muster_error *err) MUST_CHECK;
void plug_watch_free(struct plug_watch *watch);
DEFINE_FREEP(plug_watch_freep, struct plug_watch *, plug_watch_free)
/* Readable when there is something to hear. */
int plug_watch_fd(const struct plug_watch *watch);
/* PLUG_NONE when there is nothing (more); never waits. */
bool plug_watch_next(struct plug_watch *watch, struct plug_event *ret_event,
		     struct muster_error *err) MUST_CHECK;
