#include "watch.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "muster/log.h"

static void drop(struct watch *watch, struct plugged *plugged)
{
	attached_tpm_done(&plugged->tpm);
	free(plugged->serial);
	*plugged = watch->rows[--watch->count];
}

void watch_done(struct watch *watch)
{
	while (watch->count > 0)
		drop(watch, &watch->rows[watch->count - 1]);
	serial_lines_done(&watch->serials);
	plug_watch_free(watch->plugs);
	watch->plugs = NULL;
}

/* -- Coming and going ------------------------------------------------------------------------------------------ */

static struct plugged *present_at(struct watch *watch, const struct attached_tpm *tpm)
{
	for (size_t i = 0; i < watch->count; i++) {
		struct plugged *plugged = &watch->rows[i];

		if (!plugged->is_gone && strcmp(plugged->tpm.node, tpm->node) == 0)
			return plugged;
	}
	return NULL;
}

static struct plugged *present_in(struct watch *watch, const char *socket)
{
	for (size_t i = 0; i < watch->count; i++) {
		struct plugged *plugged = &watch->rows[i];

		if (!plugged->is_gone && strcmp(plugged->tpm.socket, socket) == 0)
			return plugged;
	}
	return NULL;
}

/* Takes *tpm over when it is one to work on. */
static void plug_in(struct watch *watch, struct attached_tpm *tpm)
{
	struct muster_error err;

	if (present_at(watch, tpm))
		return;
	if (!tpm->socket) {
		attached_tpm_pass_over(tpm);
	} else if (present_in(watch, tpm->socket)) {
		log_warning("'%s': there is another TPM at the port of socket '%s': left alone",
			    PRINTABLE(tpm->node), PRINTABLE(tpm->socket));
	} else if (watch->count == ARRAY_SIZE(watch->rows)) {
		log_warning("'%s': too many devices come and go: left alone", PRINTABLE(tpm->node));
	} else if (!run_check_tpm(watch->run, tpm->tpm, &err)) {
		log_warning("socket '%s': [E%04u] %s", PRINTABLE(tpm->socket), (unsigned)err.cause,
			    err.message);
	} else {
		watch->rows[watch->count++] =
			(struct plugged){ .tpm = *tpm, .plug = ++watch->plugs_heard };
		*tpm = (struct attached_tpm){ 0 };
	}
}

static void plug_out(struct watch *watch, const struct attached_tpm *tpm)
{
	struct plugged *plugged = present_at(watch, tpm);

	if (!plugged)
		return;
	if (plugged->state == PLUGGED_WORKING)
		plugged->is_gone = true;
	else
		drop(watch, plugged);
}

/* The node may have been given to another one meanwhile. */
static bool is_same(const struct attached_tpm *a, const struct attached_tpm *b)
{
	return strcmp(a->node, b->node) == 0 &&
	       (!a->since || !b->since || strcmp(a->since, b->since) == 0);
}

static bool is_there(const struct attached_tpms *there, const struct attached_tpm *tpm)
{
	for (size_t i = 0; i < there->count; i++)
		if (is_same(&there->rows[i], tpm))
			return true;
	return false;
}

/* Who came and went while nobody could tell. */
static bool look_again(struct watch *watch, struct muster_error *err)
{
	CLEANUP(attached_tpms_done) struct attached_tpms there = { 0 };

	log_warning("udev told of more than could be taken in: looking at what is there, going on");
	if (!attached_tpms_list(watch->run->request->watch->sockets, &there, err))
		return false;
	/* Backwards: who goes gives up his row to the last one. */
	for (size_t i = watch->count; i-- > 0;) {
		struct plugged *plugged = &watch->rows[i];

		if (!plugged->is_gone && !is_there(&there, &plugged->tpm))
			plug_out(watch, &plugged->tpm);
	}
	for (size_t i = 0; i < there.count; i++)
		plug_in(watch, &there.rows[i]);
	return true;
}

static bool hear(struct watch *watch, struct muster_error *err)
{
	bool has_missed = false;

	for (;;) {
		CLEANUP(plug_event_done) struct plug_event event;

		if (!plug_watch_next(watch->plugs, &event, err))
			return false;
		switch (event.kind) {
		case PLUG_NONE:
			return !has_missed || look_again(watch, err);
		case PLUG_IN:
			plug_in(watch, &event.tpm);
			break;
		case PLUG_OUT:
			plug_out(watch, &event.tpm);
			break;
		case PLUG_MISSED:
			has_missed = true;
			break;
		}
	}
}

/* -- For the loop ---------------------------------------------------------------------------------------------- */

static struct watch *watch_of(struct feed *feed)
{
	return (struct watch *)(void *)feed;
}

/* The device before it in this socket, or at this node, may have left a job that is not over. */
static bool is_blocked(const struct watch *watch, const struct plugged *plugged)
{
	for (size_t i = 0; i < watch->count; i++) {
		const struct plugged *other = &watch->rows[i];

		if (other->state == PLUGGED_WORKING &&
		    (strcmp(other->tpm.socket, plugged->tpm.socket) == 0 ||
		     strcmp(other->tpm.tpm, plugged->tpm.tpm) == 0))
			return true;
	}
	return false;
}

/* When no serial can come any more the device goes without one, and its job says what is missing. */
static bool has_serial(struct watch *watch, struct plugged *plugged)
{
	const char *socket = plugged->tpm.socket;

	if (!plugged->serial)
		plugged->serial = serial_lines_take(&watch->serials, socket);
	if (plugged->serial || !watch->needs_serials)
		return true;
	if (watch->serials.fd < 0) {
		log_warning("socket '%s': there is no serial for its board, and where they came "
			    "from has ended: begin the watch anew",
			    PRINTABLE(socket));
		return true;
	}
	if (!plugged->was_told)
		log_warning("socket '%s': its board waits for its serial", PRINTABLE(socket));
	plugged->was_told = true;
	return false;
}

static enum feed_state next_plugged(struct feed *feed, struct station_device *ret_device)
{
	struct watch *watch = watch_of(feed);

	if (!hear(watch, &watch->failure))
		return FEED_OVER;
	serial_lines_read(&watch->serials);
	for (size_t i = 0; i < watch->count; i++) {
		struct plugged *plugged = &watch->rows[i];

		if (plugged->state != PLUGGED_WAITING || is_blocked(watch, plugged) ||
		    !has_serial(watch, plugged))
			continue;
		plugged->state = PLUGGED_WORKING;
		*ret_device = (struct station_device){ .socket = plugged->tpm.socket,
						       .tpm = plugged->tpm.tpm,
						       .serial = plugged->serial,
						       .plug = plugged->plug };
		return FEED_DEVICE;
	}
	return FEED_LATER;
}

static size_t plugged_waits(struct feed *feed, struct pollfd waits[FEED_WAITS_MAX])
{
	const struct watch *watch = watch_of(feed);
	size_t count = 0;

	waits[count++] = (struct pollfd){ .fd = plug_watch_fd(watch->plugs), .events = POLLIN };
	if (watch->serials.fd >= 0)
		waits[count++] = (struct pollfd){ .fd = watch->serials.fd, .events = POLLIN };
	return count;
}

static struct plugged *by_plug(struct watch *watch, uint64_t plug)
{
	for (size_t i = 0; i < watch->count; i++)
		if (watch->rows[i].plug == plug)
			return &watch->rows[i];
	return NULL;
}

/* What has been heard so far; `next` listens. */
static bool plugged_is_gone(struct feed *feed, uint64_t plug)
{
	const struct plugged *plugged = by_plug(watch_of(feed), plug);

	return !plugged || plugged->is_gone;
}

static void plugged_ended(struct feed *feed, uint64_t plug)
{
	struct watch *watch = watch_of(feed);
	struct plugged *plugged = by_plug(watch, plug);

	if (plugged && plugged->is_gone)
		drop(watch, plugged);
	else if (plugged)
		plugged->state = PLUGGED_DONE;
}

void watch_tell_rest(const struct watch *watch)
{
	for (size_t i = 0; i < watch->count; i++)
		if (watch->rows[i].state == PLUGGED_WAITING)
			log_warning("socket '%s': ended before its board was begun",
				    PRINTABLE(watch->rows[i].tpm.socket));
}

/* -- Beginning ------------------------------------------------------------------------------------------------- */

static bool put_serials(struct watch *watch, const struct station_watch *request,
			struct muster_error *err)
{
	for (size_t i = 0; i < request->serial_count; i++)
		if (!serial_lines_put(&watch->serials, request->serials[i].socket,
				      request->serials[i].serial, err))
			return false;
	return true;
}

static bool check_serials(const struct watch *watch, struct muster_error *err)
{
	return !watch->needs_serials || watch->serials.fd >= 0 || watch->serials.count > 0 ||
	       muster_fail(
		       err, CAUSE_SERIAL_MISSING,
		       "profile '%s' makes IDs from the serial, and nothing says where those of "
		       "boards in sockets come from: pass --serials FILE or --serial SOCKET=TEXT",
		       PRINTABLE(watch->run->profile.name));
}

bool watch_open(struct watch *watch, const struct run *run, struct muster_error *err)
{
	const struct station_watch *request = run->request->watch;
	CLEANUP(attached_tpms_done) struct attached_tpms there = { 0 };

	*watch = (struct watch){
		.feed = { .next = next_plugged,
			  .waits = plugged_waits,
			  .is_gone = plugged_is_gone,
			  .ended = plugged_ended },
		.run = run,
		.serials = { .map = request->sockets, .fd = request->serials_fd },
		.needs_serials = profile_needs_serial(&run->profile),
	};
	if (!put_serials(watch, request, err) || !check_serials(watch, err) ||
	    !plug_watch_open(request->sockets, &watch->plugs, err) ||
	    !attached_tpms_list(request->sockets, &there, err))
		return false;
	for (size_t i = 0; i < there.count; i++)
		plug_in(watch, &there.rows[i]);
	return true;
}
