#include "muster/station-retire.h"

#include <string.h>

#include "muster/clock.h"
#include "muster/dps-document.h"
#include "muster/dps-enrollment.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/text.h"

#include "evidence.h"
#include "life.h"
#include "retire-found.h"
#include "retire-past.h"
#include "who.h"

struct retiring {
	struct journal *journal;
	const struct journal_device *device;
	const struct station_retirement *terms;
	struct dps_client *client;
	struct who who;
	struct retire_past past;
	struct retire_found found;
	char *new_etag; /* with which this run keeps it */
};

static void retiring_done(struct retiring *retiring)
{
	who_done(&retiring->who);
	retire_past_done(&retiring->past);
	retire_found_done(&retiring->found);
	free(retiring->new_etag);
}

/* -- What is there --------------------------------------------------------------------------------------------------- */

/* A service may be at another port since, but not under another name. Of what is over any may have got an enrollment since. */
static bool is_elsewhere(const struct retiring *retiring)
{
	const char *here = retiring->past.host, *there = retiring->past.end.place.host;

	return *there && !retire_past_is_over(&retiring->past) && !service_is_same(there, here);
}

static bool read_enrollment(struct retiring *retiring, struct muster_error *err)
{
	return is_elsewhere(retiring) || retire_found_read(&retiring->found, retiring->client, err);
}

static bool fail_found(const struct retiring *retiring, struct muster_error *err)
{
	const char *id = retiring->device->registration_id;

	if (is_elsewhere(retiring))
		return muster_fail(
			err, CAUSE_SERVICE_CHANGED,
			"retiring device '%s': it was enrolled at %s, and the login is for %s; --force "
			"ends it here and leaves that enrollment as it is",
			PRINTABLE(id), PRINTABLE(retiring->past.end.place.host),
			PRINTABLE(retiring->past.host));
	if (!retiring->found.enrollment)
		return muster_fail(
			err, CAUSE_ENROLLMENT_NOT_FOUND,
			"retiring device '%s': %s has no enrollment of it; if that is the service "
			"it was enrolled in, --force records that it is gone",
			PRINTABLE(id), PRINTABLE(retiring->past.host));
	if (retire_is_of_another(&retiring->found))
		return muster_fail(
			err, CAUSE_ENROLLED_FOR_ANOTHER,
			"retiring device '%s': its enrollment at %s is another device's by now; if "
			"that is the service it was enrolled in, --force records so and leaves the "
			"enrollment as it is",
			PRINTABLE(id), PRINTABLE(retiring->past.host));
	if (retire_past_is_over(&retiring->past))
		return muster_fail(
			err, CAUSE_ETAG_MISMATCH,
			"device '%s' was retired, and %s has an enrollment of it again, written by others at %s; "
			"look at it with muster enrollment show, then use --force",
			PRINTABLE(id), PRINTABLE(retiring->past.host),
			PRINTABLE(json_text(retiring->found.enrollment, "lastUpdatedDateTimeUtc")));
	return muster_fail(
		err, CAUSE_ETAG_MISMATCH,
		"retiring device '%s': its enrollment was written by others since muster did, at %s; "
		"look at it with muster enrollment show, then use --force",
		PRINTABLE(id),
		PRINTABLE(json_text(retiring->found.enrollment, "lastUpdatedDateTimeUtc")));
}

/* NULL: the service did not say. */
static const char *etag_found(const struct retiring *retiring)
{
	const char *etag = json_text(retiring->found.enrollment, "etag");

	return etag && *etag ? etag : NULL;
}

/* Others could write it between reading and ending it, and nobody would be asked. */
static bool fail_unprotected(const struct retiring *retiring, struct muster_error *err)
{
	return muster_fail(
		err, CAUSE_CLOUD_READ_INVALID,
		"retiring device '%s': its enrollment was read without an etag, so that nothing "
		"protects what others write meanwhile%s",
		PRINTABLE(retiring->device->registration_id),
		retiring->terms->keeps_disabled ? "" : "; --force deletes it all the same");
}

static bool check_found(const struct retiring *retiring, struct muster_error *err)
{
	bool is_gone = !retiring->found.enrollment && !is_elsewhere(retiring);
	bool is_known = retiring->past.end.place.host[0];
	bool is_settled = is_gone || retire_is_of_another(&retiring->found);

	if (retiring->terms->force ||
	    (is_settled && (retiring->past.is_begun || retiring->past.end.is_kept)) ||
	    (is_gone && is_known && retiring->past.end.is_left))
		return true;
	if (retiring->found.enrollment && !is_settled && !etag_found(retiring))
		return fail_unprotected(retiring, err);
	return (retiring->found.enrollment && retire_is_ours(&retiring->found)) ||
	       fail_found(retiring, err);
}

/* -- The journal ----------------------------------------------------------------------------------------------------- */

static bool append(struct retiring *retiring, enum journal_kind kind, const cJSON *body,
		   struct muster_error *err)
{
	CLEANUP(freep) char *line = json_print_line(body);
	struct journal_entry entry = {
		.registration_id = retiring->device->registration_id,
		.at_ms = clock_wall_ms(),
		.stage = RETIRE_STAGE,
		.kind = kind,
		.attempt = retiring->device->attempt,
		.operator= retiring->who.operator_name,
		.station = retiring->who.station,
		.body = line,
	};

	if (!line)
		return muster_fail_memory(err);
	return journal_append(retiring->journal, &entry, err);
}

static const char *effect_of(const struct retiring *retiring)
{
	return is_elsewhere(retiring) || retire_is_of_another(&retiring->found) ? "none"
	       : retiring->terms->keeps_disabled                                ? "disable"
										: "delete";
}

static const char *what_is_done(const struct retiring *retiring)
{
	return is_elsewhere(retiring)                   ? "elsewhere"
	       : !retiring->found.enrollment            ? "gone"
	       : retire_is_of_another(&retiring->found) ? "replaced"
	       : retiring->terms->keeps_disabled        ? "disabled"
							: "deleted";
}

static bool intend(struct retiring *retiring, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();

	if (!body || !json_add_text(body, "effect", effect_of(retiring)) ||
	    !json_add_text(body, "host", retiring->past.host) ||
	    !json_add_text(body, "reason", retiring->terms->reason) ||
	    !json_add_text(body, "etag", json_text(retiring->found.enrollment, "etag")) ||
	    (retiring->terms->force && !json_add_bool(body, "forced", true)))
		return muster_fail_memory(err);
	return journal_begin(retiring->journal, err) &&
	       append(retiring, JOURNAL_INTENT, body, err) &&
	       journal_commit(retiring->journal, err);
}

/* Whose it is, or how it is kept. */
static bool add_left(const struct retiring *retiring, cJSON *body)
{
	char trusted[DPS_TRUSTED_MAX][SHA256_HEX_SIZE];

	if (!retire_is_of_another(&retiring->found))
		return json_add_text(body, "etag", retiring->new_etag);
	return json_add_text(body, "etag", json_text(retiring->found.enrollment, "etag")) &&
	       (dps_enrollment_digests(retiring->found.enrollment, trusted) == 0 ||
		json_add_text(body, "keySha256", trusted[0]));
}

/* The outcome and the row that follows from it, together. One that is retired already has its row. */
static bool conclude(struct retiring *retiring, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	struct journal_device after = *retiring->device;

	if (!body || !json_add_text(body, "enrollment", what_is_done(retiring)) ||
	    !json_add_text(body, "reason", retiring->terms->reason) || !add_left(retiring, body))
		return muster_fail_memory(err);
	after.state = JOURNAL_RETIRED;
	after.cause = CAUSE_NONE;
	after.operator= retiring->who.operator_name;
	after.station = retiring->who.station;
	after.updated_ms = clock_wall_ms();
	return journal_begin(retiring->journal, err) &&
	       append(retiring, JOURNAL_OUTCOME, body, err) &&
	       (retiring->device->state == JOURNAL_RETIRED ||
		journal_device_put(retiring->journal, &after, err)) &&
	       journal_commit(retiring->journal, err);
}

/* -- The service ----------------------------------------------------------------------------------------------------- */

static bool disable(struct retiring *retiring, struct muster_error *err)
{
	const struct dps_settings settings = { .provisioning_status = "disabled" };
	const struct dps_update_terms terms = {
		.id = retiring->device->registration_id,
		.settings = &settings,
		.etag = etag_found(retiring),
	};
	CLEANUP(dps_update_done) struct dps_update update = { 0 };
	CLEANUP(cJSON_freep) cJSON *enrollment = NULL;

	if (!dps_update_prepare(retiring->client, &terms, &update, err) ||
	    !dps_update_send(retiring->client, terms.id, &update, &enrollment, err) ||
	    !retire_copy_etag(&retiring->new_etag, enrollment, err))
		return false;
	/* One that never registered, or whose record went by the profile's will, has none. */
	return dps_record_remove(retiring->client, terms.id, "*", err) ||
	       err->cause == CAUSE_REGISTRATION_NOT_FOUND;
}

static bool end_enrollment(struct retiring *retiring, struct muster_error *err)
{
	const char *id = retiring->device->registration_id;
	const char *etag = etag_found(retiring);

	if (is_elsewhere(retiring))
		log_warning("enrollment '%s' at %s is left as it is, going on", PRINTABLE(id),
			    PRINTABLE(retiring->past.end.place.host));
	if (!retiring->found.enrollment)
		return true;
	if (retire_is_of_another(&retiring->found)) {
		log_warning("enrollment '%s' is another device's and is left as it is, going on",
			    PRINTABLE(id));
		return true;
	}
	if (retiring->terms->keeps_disabled)
		return disable(retiring, err);
	/* Without one it was asked for by force. */
	return dps_enrollment_remove(retiring->client, id, etag ? etag : "*", err);
}

/* -------------------------------------------------------------------------------------------------------------------- */

static bool check_state(const struct retiring *retiring, struct muster_error *err)
{
	const struct journal_device *device = retiring->device;

	return device->state == JOURNAL_RELEASED || device->state == JOURNAL_RETIRED ||
	       retiring->past.end.is_kept || retiring->past.end.is_left ||
	       muster_fail(err, CAUSE_NOT_RELEASED, "retiring device '%s', which is %s",
			   PRINTABLE(device->registration_id), journal_state_name(device->state));
}

/* Of what was never sent nothing is asked: another station may have enrolled it since. */
static bool may_be_there(const struct retiring *retiring)
{
	return !retire_past_is_over(&retiring->past) || retiring->past.was_sent;
}

/* Nothing is left to be done. */
static bool is_over(const struct retiring *retiring)
{
	return retire_is_as_ended(&retiring->found) &&
	       (!retiring->past.end.is_kept || retiring->terms->keeps_disabled);
}

static bool end(struct retiring *retiring, struct muster_error *err)
{
	return check_found(retiring, err) && intend(retiring, err) &&
	       end_enrollment(retiring, err) && conclude(retiring, err);
}

/* NULL: it was released. */
static const char *what_was_before(const struct retiring *retiring)
{
	return retiring->past.end.is_kept                   ? "kept disabled"
	       : retiring->past.end.is_left                 ? "left"
	       : retiring->device->state == JOURNAL_RETIRED ? "there again"
							    : NULL;
}

bool station_retire(struct journal *journal, const struct journal_device *device,
		    const struct station_retirement *terms, struct dps_client *client,
		    struct station_retired *ret_end, struct muster_error *err)
{
	CLEANUP(retiring_done)
	struct retiring retiring = {
		.journal = journal,
		.device = device,
		.terms = terms,
		.client = client,
		.past = { .device = device, .host = dps_client_host(client) },
		.found = { .past = &retiring.past },
	};

	*ret_end = (struct station_retired){ 0 };
	if (!journal_device_verify(journal, device, err) ||
	    !retire_past_read(journal, &retiring.past, err))
		return false;
	if (!may_be_there(&retiring))
		return true;
	if (!check_state(&retiring, err) ||
	    !who_is_here(&retiring.who, terms->operator_name, NULL, err) ||
	    !read_enrollment(&retiring, err))
		return false;
	if (is_over(&retiring))
		return true;
	if (!end(&retiring, err))
		return false;
	ret_end->before = what_was_before(&retiring);
	ret_end->now = ret_end->before ? what_is_done(&retiring) : NULL;
	return true;
}
