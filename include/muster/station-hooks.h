/* What others want to know: units that begin and end, and the end of a run, told to commands, webhooks and folders that
 * muster.yaml names. An event is a file beside the journal first; a process of its own delivers it, so that nothing a hook does
 * holds up a device. What was not delivered stays and is tried again. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/config.h"
#include "muster/error.h"

struct hooks;
struct journal;
struct station_result;

/* CAUSE_USAGE for a hook that does not say where to, or says so twice, or with what cannot be one. */
bool hooks_check_form(const struct config *config, struct muster_error *err) MUST_CHECK;
/* That, and a secret that cannot be read fails as such. */
bool hooks_check(const struct config *config, struct muster_error *err) MUST_CHECK;

/* Whether commands could be started and folders written to, as far as that can be seen: no run is held up by it. */
bool hooks_check_places(const struct config *config, struct muster_error *err) MUST_CHECK;

/* What stands in all events of a run; NULL: not known. */
struct hooks_origin {
	const char *station, *operator_name, *profile;
	const char *batch, *manifest; /* name, digest */
};

/* *ret_hooks is NULL when none is configured. Fails as hooks_check(). `origin` and `journal` are NULL for a run that only delivers; else
 * the journal is open for writing, and stays so until the last event. Copies what it needs. */
bool hooks_open(const struct config *config, const char *journal_path, struct journal *journal,
		const struct hooks_origin *origin, struct hooks **ret_hooks,
		struct muster_error *err) MUST_CHECK;
/* Leaves what is not delivered to a process that goes on by itself, or, where that would be killed with us, to hooks_linger().
 * NULL is fine. */
void hooks_close(struct hooks *hooks);
/* At the end of the process, when all else is done: delivers what was left, and blocks as long as that takes; or only forgets it. */
void hooks_linger(bool delivers);
DEFINE_FREEP(hooks_freep, struct hooks *, hooks_close)

/* Of the events from now on; for a run of more than one profile. NULL: not known. */
bool hooks_set_profile(struct hooks *hooks, const char *name, struct muster_error *err) MUST_CHECK;

/* What became of a device, before the commit that makes it true: when the program does not live to say so, others will. *promise is for
 * hooks_unit_done(), after the commit; one that is there already is replaced. Caller deletes. False: the journal takes no more. */
bool hooks_promise(struct hooks *hooks, const struct station_result *result, cJSON **promise,
		   struct muster_error *err) MUST_CHECK;

/* None fails: what cannot be written is logged, and noted in the journal. `hooks` may be NULL, and so may `promise`. */
void hooks_unit_start(struct hooks *hooks, const char *serial, const char *socket);
void hooks_unit_done(struct hooks *hooks, const struct station_result *result, cJSON *promise);
void hooks_batch_done(struct hooks *hooks);

struct hooks_delivery {
	size_t delivered;
	size_t left;      /* tried again the next time */
	size_t set_aside; /* refused too often, or of a hook that is no more: a person has to look */
	size_t given_up;  /* of these: set aside this time */
};

struct hooks_terms {
	bool only_due; /* what failed before is not tried until a while has passed, which grows with its tries */
	bool leaves_to_next; /* nothing is done, and nothing counted, when a process waits for the one at work already */
};

/* Delivers what is there, waits for other processes that do so, and comes back when nothing is left but what failed. What
 * failed before is tried once. Blocks up to the hooks' time-outs. */
bool hooks_deliver(const struct config *config, const char *journal_path,
		   const struct hooks_terms *terms, struct hooks_delivery *ret_counts,
		   struct muster_error *err) MUST_CHECK;

/* -- Looking and deciding (hooks-look.c) ------------------------------------------------------------------------------ */

/* The events that wait or are owed: id, hook, event, at, state, tries, error. Caller deletes. */
bool hooks_list(const char *journal_path, cJSON **ret_rows, struct muster_error *err) MUST_CHECK;

struct hooks_backlog {
	size_t waiting; /* for hooks that did not take an event */
	size_t set_aside;
	char hooks[256]; /* their names, quoted; "": none */
};
bool hooks_backlog(const char *journal_path, struct hooks_backlog *ret_backlog,
		   struct muster_error *err) MUST_CHECK;

/* Events that came true and never got among those that wait: their run was cut off, or their folder took none. The next run and
 * hooks_deliver() make up for it. */
bool hooks_count_owed(const char *journal_path, size_t *ret_count, struct muster_error *err)
	MUST_CHECK;

struct hooks_choice {
	const char *const *ids;
	size_t count; /* 0: all that are set aside */
	bool drops;   /* they are taken out; else put back among those that wait */
};
/* CAUSE_EVENT_NOT_FOUND before anything is changed. Waits for a delivery under way. */
bool hooks_decide(const char *journal_path, const struct hooks_choice *choice, size_t *ret_count,
		  struct muster_error *err) MUST_CHECK;
