/* Keys and certificates for many devices. Each line to the token makes a key or signs a certificate, and has the next to do at hand.
 * Nothing is asked for before it was announced; when nothing that was is left to be asked for, one transaction
 * of the journal records what was signed and announces what comes next, while the lines are busy with the last of it. A cut
 * leaves no more keys than there are units under way, which the next run destroys; what was recorded it takes over. */
#include "approval.h"
#include "production.h"

#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"
#include "steps.h"

static void unit_done(struct unit *unit)
{
	custody_key_done(&unit->key);
	produced_name_done(&unit->name);
	pki_linted_free(unit->linted);
	bytes_done(&unit->certificate);
	*unit = (struct unit){ 0 };
}

void production_done(struct production *production)
{
	for (size_t i = 0; i < UNDER_WAY_MAX; i++)
		unit_done(&production->units[i]);
	X509_free(production->issuer_certificate);
	bytes_done(&production->issuer_file);
	custody_key_done(&production->issuer_key);
	custody_done(&production->elsewhere);
	custody_done(&production->custody);
	file_sink_done(&production->sink);
	earlier_done(&production->earlier);
	bytes_done(&production->id);
	cJSON_Delete(production->approval);
	cJSON_Delete(production->left_out);
	serials_done(&production->serials);
	profile_done(&production->profile);
}

/* -- The journal and the file ------------------------------------------------------------------------------------- */

static bool keep(struct production *production, struct unit *unit, struct muster_error *err)
{
	char hex[2 * 64 + 1];
	const struct certify_device device = {
		.registration_id = unit->name.registration_id,
		.terms = unit->terms,
		.production = hex_encode(hex, production->id.data, production->id.size),
		.key_id = &unit->key.id,
		.is_secondary = unit->is_secondary,
	};

	unit->state = UNIT_RECORDED;
	return certify_keep(&production->custody, &unit->certificate,
			    production_signer(production, unit), &device, err);
}

static bool record(struct production *production, struct unit *unit, struct muster_error *err)
{
	struct custody *custody = &production->custody;

	if (unit->state == UNIT_LINTED)
		return certify_announce(custody, unit->linted, production_signer(production, unit),
					err);
	if (unit->state != UNIT_SIGNED)
		return true;
	return keep(production, unit, err) &&
	       (!unit->has_own_key || custody_key_keep(custody, &unit->key, err));
}

/* The enrollment that `muster enrollment import` is to make, a line. By the device's first unit. */
static bool write_device(struct production *production, const struct unit *unit,
			 struct muster_error *err)
{
	struct dps_enrollment_terms terms = enroll_terms(&production->profile);
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	CLEANUP(text_done) struct text line = TEXT_MAX(1024 * 1024);
	CLEANUP(freep) char *printed = NULL;

	terms.registration_id = unit->name.registration_id;
	terms.device_id = unit->name.device_id;
	terms.certificate = &unit->certificate;
	terms.secondary_certificate = production->parts == 2 ? &unit[1].certificate : NULL;
	if (!dps_enrollment_build(&terms, &document, err))
		return false;
	printed = json_print_line(document);
	if (!printed)
		return muster_fail_memory(err);
	text_addf(&line, "%s\n", printed);
	production->written++;
	production->serials.items[production->ended / production->parts].is_written = true;
	return text_ok(&line, err) &&
	       file_sink_write(&production->sink, line.data, line.length, err);
}

static bool is_given_up(const struct production *production, const struct unit *unit)
{
	return unit->state == UNIT_FAILED ||
	       (production_is_stopped(production) && unit->state <= UNIT_TO_MAKE);
}

/* What is recorded of it the next run takes over. */
static bool leave_out(struct production *production, const struct unit *unit,
		      struct muster_error *err)
{
	cJSON *id = cJSON_CreateString(unit->name.registration_id);

	if (!production->left_out)
		production->left_out = cJSON_CreateArray();
	if (id && production->left_out && cJSON_AddItemToArray(production->left_out, id))
		return true;
	cJSON_Delete(id);
	return muster_fail_memory(err);
}

/* In the order of the serials. One that failed, or was not begun because another had, makes no line. */
static bool end_units(struct production *production, struct muster_error *err)
{
	for (; production->ended < production->begun; production->ended += production->parts) {
		struct unit *units = production_unit(production, production->ended);
		size_t recorded = 0, given_up = 0;

		for (size_t i = 0; i < production->parts; i++) {
			recorded += units[i].state == UNIT_RECORDED;
			given_up += is_given_up(production, &units[i]);
		}
		if (recorded + given_up < production->parts)
			break;
		if (given_up == 0 ? !write_device(production, units, err)
				  : recorded > 0 && !leave_out(production, units, err))
			return false;
		for (size_t i = 0; i < production->parts; i++)
			unit_done(&units[i]);
	}
	return true;
}

static bool has_room(const struct production *production)
{
	return !production_is_stopped(production) &&
	       production->begun < production->serials.count * production->parts &&
	       production->begun - production->ended < UNDER_WAY_MAX;
}

/* It was made by a production that was cut, and counts from now on as of this one. */
static bool adopt(struct production *production, struct unit *unit, const struct earlier_unit *made,
		  struct muster_error *err)
{
	production->adopted += !unit->is_secondary;
	return bytes_copy(&unit->key.id, made->key_id.data, made->key_id.size, err) &&
	       bytes_copy(&unit->certificate, made->certificate.data, made->certificate.size,
			  err) &&
	       keep(production, unit, err);
}

/* Beside a primary unit that was adopted. */
static bool follow_adopted(struct production *production, struct unit *unit,
			   const struct unit *primary, struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;

	return pki_certificate_read(primary->certificate.data, primary->certificate.size, "journal",
				    &certificate, err) &&
	       production_follow(production, unit, &primary->key.id, X509_get0_pubkey(certificate),
				 err);
}

/* Its key is that of the primary unit, which may be still to be made. */
static bool begin_second(struct production *production, struct unit *unit,
			 const struct unit *primary, const struct earlier_unit *made,
			 struct muster_error *err)
{
	if (primary->state != UNIT_RECORDED) {
		unit->state = UNIT_WAITING;
		return true;
	}
	return made && bytes_equal(&made->key_id, &primary->key.id)
		       ? adopt(production, unit, made, err)
		       : follow_adopted(production, unit, primary, err);
}

bool production_unit_name(const struct production *production, const char *serial,
			  bool is_secondary, struct produced_name *ret_name,
			  char terms[SHA256_HEX_SIZE], struct muster_error *err)
{
	const struct profile *profile = &production->profile;

	return produced_name_make(profile, serial, ret_name, err) &&
	       (!is_secondary || produced_name_second(ret_name, err)) &&
	       produced_terms(profile, ret_name, is_secondary, production->issuer_certificate,
			      terms, err);
}

static bool begin_unit(struct production *production, const char *serial, struct unit *unit,
		       struct muster_error *err)
{
	const struct profile *profile = &production->profile;
	const struct earlier_unit *made;

	unit->has_own_key = !unit->is_secondary || profile->x509.own_secondary_key;
	if (!production_unit_name(production, serial, unit->is_secondary, &unit->name, unit->terms,
				  err))
		return false;
	made = earlier_find(&production->earlier, unit->name.registration_id, unit->is_secondary,
			    unit->terms);
	if (!unit->has_own_key)
		return begin_second(production, unit, unit - 1, made, err);
	if (made)
		return adopt(production, unit, made, err);
	unit->state = UNIT_NOTED;
	unit->choice = (struct station_key_choice){ .type = profile->x509.key_type,
						    .label = unit->name.label };
	return custody_key_announce(&production->custody, &unit->choice, &unit->key, err);
}

static bool begin_device(struct production *production, struct muster_error *err)
{
	const char *serial = production->serials.items[production->begun / production->parts].text;

	for (size_t i = 0; i < production->parts; i++) {
		struct unit *unit = production_unit(production, production->begun++);

		unit->is_secondary = i == 1;
		if (!begin_unit(production, serial, unit, err))
			return false;
	}
	return true;
}

/* What was announced is on disk. */
static void release(struct production *production)
{
	for (size_t i = production->ended; i < production->begun; i++) {
		struct unit *unit = production_unit(production, i);

		if (unit->state == UNIT_NOTED)
			unit->state = UNIT_TO_MAKE;
		else if (unit->state == UNIT_LINTED)
			unit->state = UNIT_TO_SIGN;
	}
}

/* One transaction, one sync. */
static bool commit(struct production *production, struct muster_error *err)
{
	struct journal *journal = production->custody.journal;

	if (!journal_begin(journal, err))
		return false;
	for (size_t i = production->ended; i < production->begun; i++)
		if (!record(production, production_unit(production, i), err))
			return false;
	if (!end_units(production, err))
		return false;
	while (has_room(production))
		if (!begin_device(production, err) || !end_units(production, err))
			return false;
	if (!journal_commit(journal, err))
		return false;
	release(production);
	return true;
}

/* Nothing is left to be asked for, and there is something to commit. */
static bool is_due(struct production *production)
{
	return !production_first(production, UNIT_TO_SIGN) &&
	       (production_is_stopped(production) || !production_first(production, UNIT_TO_MAKE)) &&
	       (has_room(production) || production_first(production, UNIT_LINTED) ||
		production_first(production, UNIT_SIGNED));
}

static bool run(struct production *production, struct muster_error *err)
{
	do {
		production_take(production);
		if (is_due(production) && !commit(production, err))
			return false;
		production_ask(production);
	} while (production_wait(production) || is_due(production));
	return end_units(production, err);
}

/* -- Opening ------------------------------------------------------------------------------------------------------- */

static bool load_profile(struct production *production, struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	const struct station_produce *request = production->request;

	if (!profile_load(request->profile_path, &production->profile, &report, err))
		return false;
	if (production->profile.attestation != PROFILE_X509)
		return muster_fail(err, CAUSE_USAGE, "profile '%s' is not for X.509 devices",
				   PRINTABLE(production->profile.name));
	if (production->profile.x509.key_leaves)
		return muster_fail(
			err, CAUSE_USAGE,
			"profile '%s' wraps keys out for devices, which muster provision does, one at a time",
			PRINTABLE(production->profile.name));
	production->parts = production->profile.x509.secondary_valid_days > 0 ? 2 : 1;
	return request->sessions <= CUSTODY_LINES_MAX ||
	       muster_fail(err, CAUSE_USAGE, "--sessions is 1 to %d", CUSTODY_LINES_MAX);
}

/* The command line's, the profile's, the configuration's, or one. */
static size_t sessions_of(const struct production *production)
{
	int64_t sessions = production->request->sessions  ? production->request->sessions
			   : production->profile.sessions ? production->profile.sessions
							  : production->custody.sessions;

	return sessions ? (size_t)sessions : 1;
}

/* Before the token is opened. */
static bool read_issuer(struct production *production, struct muster_error *err)
{
	const struct profile *profile = &production->profile;

	return !profile->x509.issuer_key ||
	       (issuer_read_file(profile->x509.issuer_certificate, &production->issuer_file,
				 &production->issuer_certificate, err) &&
		issuer_check_days(production->issuer_certificate, profile, err)) ||
	       muster_error_prefix(err, "opening the issuer");
}

static bool open_issuer(struct production *production, struct muster_error *err)
{
	const struct profile *profile = &production->profile;
	struct station_key_choice choice = { .uri = profile->x509.issuer_key };
	struct station_custody request = { 0 };
	struct custody *holder = &production->custody;
	bool is_elsewhere;

	if (!choice.uri)
		return true;
	if (!token_is_elsewhere(&holder->token, &holder->module, choice.uri, &is_elsewhere, err))
		return false;
	if (is_elsewhere) {
		holder = &production->elsewhere;
		if (!custody_open(holder, &request, choice.uri, CUSTODY_LOOKS, err))
			return false;
	}
	return custody_key_take(holder, &choice, &production->issuer_key, err);
}

static void open_lines(struct production *production)
{
	const struct custody *custody = &production->custody;
	struct worker *elsewhere = production->elsewhere.hsm;

	for (size_t i = 0; i < custody->line_count; i++)
		production->lines[production->line_count++] = (struct line){
			.worker = custody->lines[i], .makes = true, .signs = !elsewhere
		};
	if (elsewhere)
		production->lines[production->line_count++] =
			(struct line){ .worker = elsewhere, .signs = true };
}

static bool open_all(struct production *production, struct muster_error *err)
{
	const struct station_produce *request = production->request;

	if (!custody_open_journal(&production->custody, &request->custody, err) ||
	    !serials_check_known(request->serials_path, &production->profile, &production->serials,
				 production->custody.journal, err) ||
	    !custody_open(&production->custody, &request->custody, production->profile.x509.token,
			  CUSTODY_CHANGES, err) ||
	    !earlier_read(&production->custody, json_text(production->approval, "plan"),
			  &production->earlier, err) ||
	    !production_check_labels(production, err) || !custody_id_make(&production->id, err) ||
	    !custody_join(&production->custody, sessions_of(production), err))
		return false;
	if (!open_issuer(production, err))
		return muster_error_prefix(err, "opening the issuer");
	open_lines(production);
	return file_sink_open(&production->sink, request->out, 0644, err);
}

static bool describe(const struct production *production, cJSON *result)
{
	return json_add_int64(result, "devices", (int64_t)production->written) &&
	       json_add_int64(result, "adopted", (int64_t)production->adopted) &&
	       json_add_int64(result, "sessions", (int64_t)production->custody.line_count) &&
	       json_add_text(result, "token", production->custody.token.label) &&
	       json_add_text(result, "tokenSerial", production->custody.token.serial) &&
	       json_add_text(result, "file", production->request->out) &&
	       custody_add_destroyed(&production->custody, result);
}

/* Its certificates are in a file now, and no later production takes them over. */
static bool record_file(struct production *production, struct muster_error *err)
{
	struct custody *custody = &production->custody;
	CLEANUP(cJSON_freep)
	cJSON *body = custody_entry(custody, "produced", "production", &production->id);

	if (!body || !json_add_text(body, "file", production->request->out) ||
	    !json_add_int64(body, "devices", (int64_t)production->written) ||
	    (production->left_out &&
	     !json_add_item(body, "leftOut", cJSON_Duplicate(production->left_out, true))) ||
	    (production->approval &&
	     !json_add_item(body, "approval", cJSON_Duplicate(production->approval, true))))
		return muster_fail_memory(err);
	return custody_record(custody, JOURNAL_OUTCOME, TAKE_PTR(body), err);
}

/* What the next run is given. */
static char *rest_of(const char *out)
{
	return text_format("%s.rest", out);
}

static bool write_rest(const struct production *production, const char *path,
		       struct muster_error *err)
{
	const struct serials *serials = &production->serials;
	CLEANUP(text_done) struct text rest = TEXT_MAX(SERIALS_FILE_MAX);

	for (size_t i = 0; i < serials->count; i++)
		if (!serials->items[i].is_written)
			text_addf(&rest, "%s\n", serials->items[i].text);
	return text_ok(&rest, err) && file_write(path, rest.data, rest.length, 0644, false, err);
}

/* The failure of the first device, and how to go on. Returns false. */
static bool tell_failure(const struct production *production, struct muster_error *err)
{
	CLEANUP(freep) char *path = rest_of(production->request->out);
	size_t written = production->written, count = production->serials.count;
	struct muster_error unwritten;

	*err = production->failure;
	if (!path)
		return muster_fail_memory(err);
	if (written == 0)
		return muster_error_prefix(err, "0 of %zu certificates are made", count);
	if (!write_rest(production, path, &unwritten))
		return muster_error_prefix(
			err,
			"%zu of %zu certificates are made, and the serials of the others could not be written (%s)",
			written, count, unwritten.message);
	return muster_error_prefix(
		err,
		"%zu of %zu certificates are made; the serials of the others are in '%s', to be run with another --out",
		written, count, PRINTABLE(path));
}

/* What was made and recorded is in the file, also when a device failed. */
static bool finish(struct production *production, struct muster_error *err)
{
	if (production->written > 0 &&
	    (!file_sink_commit(&production->sink, err) || !record_file(production, err)))
		return false;
	return !production_is_stopped(production) || tell_failure(production, err);
}

static bool check_output(const char *out, struct muster_error *err)
{
	CLEANUP(freep) char *rest = rest_of(out);

	if (!rest)
		return muster_fail_memory(err);
	return file_check_absent(out, err) && file_check_absent(rest, err);
}

bool production_read(struct production *production, struct muster_error *err)
{
	return load_profile(production, err) &&
	       serials_read(production->request->serials_path, &production->profile,
			    &production->serials, err);
}

/* -- Approval ------------------------------------------------------------------------------------------------------ */

bool production_subjects(struct production *production, cJSON **ret_subjects,
			 struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *subjects = cJSON_CreateObject();

	if (!subjects || !json_add_text(subjects, "profile", production->profile.digest) ||
	    !json_add_text(subjects, "serials", production->serials.digest))
		return muster_fail_memory(err);
	if (!approval_add_files(subjects, &production->profile, &production->issuer_file, err))
		return false;
	*ret_subjects = TAKE_PTR(subjects);
	return true;
}

static bool pass_approval(struct production *production, struct muster_error *err)
{
	const struct station_produce *request = production->request;
	const struct profile *profile = &production->profile;
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(cJSON_freep) cJSON *subjects = NULL;
	struct approval_gate gate = {
		.config = &config,
		.demanded = profile->approvals,
		.path = request->approval,
		.verb = APPROVAL_OF_PRODUCE,
		.can_be_approved = true,
		.devices = (int64_t)production->serials.count,
	};

	if (gate.path && (!approval_option_check("--token", request->custody.token.uri,
						 profile->x509.token, err) ||
			  !production_subjects(production, &subjects, err)))
		return false;
	gate.subjects = subjects;
	return config_load(&config, &report, err) &&
	       approval_pass(&gate, &production->approval, err);
}

bool station_produce(const struct station_produce *request, cJSON **ret_result,
		     struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();
	CLEANUP(production_done)
	struct production production = { .request = request, .sink = FILE_SINK_NONE };

	if (!production_read(&production, err) || !pass_approval(&production, err) ||
	    !check_output(request->out, err) || !read_issuer(&production, err) ||
	    !open_all(&production, err) || !run(&production, err) || !finish(&production, err))
		return false;
	if (!result || !describe(&production, result))
		return muster_fail_memory(err);
	*ret_result = TAKE_PTR(result);
	return true;
}
