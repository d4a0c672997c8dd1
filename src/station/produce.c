/* Keys and certificates for many devices. They go through in batches: while one batch is made by the token, the one before
 * is signed, and one transaction of the journal records what was signed and announces what is next. So the token never
 * waits for this program, and a cut leaves at most two batches of keys that the next run destroys. */
#include "produce.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "certify.h"
#include "issuer.h"
#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"
#include "steps.h"

/* Two of them are less than what a next run can settle. */
enum { BATCH_MAX = 24, CERTIFICATE_FILE_MAX = 1024 * 1024 };

struct production;

/* Signs for another signer, and keeps the token busy while what it signed is looked at. */
struct relay {
	struct signer signer;
	struct token_signer *token;
	struct production *production;
};

struct unit {
	struct produced_name name;
	struct station_key_choice choice;
	struct custody_key key;
	struct relay relay; /* of the key, when it signs for itself */
	EVP_PKEY *relayed;
	struct pki_linted *linted;
	X509 *certificate;
	bool is_good; /* nothing has gone wrong so far */
};

struct batch {
	struct unit units[BATCH_MAX];
	size_t count, asked; /* units; of them asked for or made */
};

struct production {
	const struct station_produce *request;
	struct profile profile;
	struct serials serials;
	struct custody custody,
		elsewhere; /* the devices' token, and the issuer's if that is another */
	struct custody_key issuer_key;
	struct relay relay;
	EVP_PKEY *issuer; /* works through the relay; NULL: each key signs for itself */
	X509 *issuer_certificate;
	struct file_sink sink;

	size_t taken, written; /* serials */
	struct batch *making, *signing, *keeping;
	struct unit *asked[CUSTODY_LINES_MAX]; /* by line */
	struct worker_message reply;           /* that came while a signature was wanted */
	struct unit *replied;
	struct muster_error failure; /* the first; nothing new is begun after it */
};

static void unit_done(struct unit *unit)
{
	EVP_PKEY_free(unit->relayed);
	custody_key_done(&unit->key);
	produced_name_done(&unit->name);
	pki_linted_free(unit->linted);
	X509_free(unit->certificate);
	*unit = (struct unit){ 0 };
}

static void batch_clear(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		unit_done(&batch->units[i]);
	batch->count = batch->asked = 0;
}

static void production_done(struct production *production)
{
	struct batch *batches[] = { production->making, production->signing, production->keeping };

	for (size_t i = 0; i < ARRAY_SIZE(batches); i++) {
		if (batches[i])
			batch_clear(batches[i]);
		free(batches[i]);
	}
	worker_message_done(&production->reply);
	EVP_PKEY_free(production->issuer);
	X509_free(production->issuer_certificate);
	custody_key_done(&production->issuer_key);
	custody_done(&production->elsewhere);
	custody_done(&production->custody);
	file_sink_done(&production->sink);
	serials_done(&production->serials);
	profile_done(&production->profile);
}

/* Ready to be signed. One that was never asked for, because another failed, is not. */
static bool is_linted(const struct unit *unit)
{
	return unit->is_good && unit->linted;
}

static void unit_failed(struct production *production, struct unit *unit,
			const struct muster_error *failure)
{
	unit->is_good = false;
	if (production->failure.code != MUSTER_OK)
		return;
	production->failure = *failure;
	muster_error_prefix(&production->failure, "device '%s'", unit->name.registration_id);
}

/* -- Making keys ------------------------------------------------------------------------------------------------ */

static bool relay_init(struct relay *relay, struct production *production,
		       struct token_signer *token, EVP_PKEY **ret_key, struct muster_error *err);

static bool lint(struct production *production, struct unit *unit, struct muster_error *err)
{
	const struct profile *profile = &production->profile;
	struct pki_plan plan = {
		.key = unit->key.public_key,
		.subject = unit->name.subject,
		.registration_id = unit->name.registration_id,
		.valid_days = (unsigned)profile->x509.valid_days,
		.skew_minutes = (unsigned)profile->x509.skew_minutes,
		.now_ms = clock_wall_ms(),
		.crl_url = profile->x509.crl_url,
		.issuer_key = production->issuer,
		.issuer_certificate = production->issuer_certificate,
	};

	if (!production->issuer) {
		if (!relay_init(&unit->relay, production, &unit->key.signer, &unit->relayed, err))
			return false;
		plan.key = unit->relayed;
	}
	return pki_certificate_lint(&plan, &unit->linted, err);
}

/* The journal does not know the keys that are under way beside it. */
static bool is_repeated(const struct production *production, const struct unit *unit)
{
	const struct batch *batches[] = { production->making, production->signing };

	for (size_t i = 0; i < ARRAY_SIZE(batches); i++)
		for (size_t j = 0; j < batches[i]->count; j++) {
			const struct unit *other = &batches[i]->units[j];

			if (other != unit && other->key.spki.size > 0 &&
			    bytes_equal(&other->key.spki, &unit->key.spki))
				return true;
		}
	return false;
}

static void take_key(struct production *production, struct unit *unit,
		     const struct worker_message *reply)
{
	struct muster_error err;

	if (!custody_key_made(&production->custody, &unit->choice, reply, &unit->key, &err)) {
		unit_failed(production, unit, &err);
	} else if (is_repeated(production, unit)) {
		muster_fail(&err, CAUSE_KEY_REPEATED, "the token made the same key a second time");
		unit_failed(production, unit, &err);
	} else if (!lint(production, unit, &err)) {
		unit_failed(production, unit, &err);
	}
}

static bool is_stopped(const struct production *production)
{
	return production->failure.code != MUSTER_OK;
}

/* Asks every line that is free for a key. */
static void ask_lines(struct production *production)
{
	struct batch *batch = production->making;

	for (size_t i = 0; i < production->custody.line_count; i++) {
		CLEANUP(worker_message_done) struct worker_message request = { 0 };
		struct muster_error err;
		struct unit *unit;

		if (production->asked[i] || batch->asked == batch->count || is_stopped(production))
			continue;
		unit = &batch->units[batch->asked++];
		custody_key_ask(&unit->choice, &unit->key, &request);
		if (!worker_send(production->custody.lines[i], &request, &err))
			unit_failed(production, unit, &err);
		else
			production->asked[i] = unit;
	}
}

/* A reply of that line, when it is there; `unit` of it is NULL otherwise. */
static struct unit *collect(struct production *production, size_t line,
			    struct worker_message *ret_reply)
{
	struct unit *unit = production->asked[line];
	struct muster_error err;
	bool is_done = true;

	if (!unit)
		return NULL;
	if (!worker_receive(production->custody.lines[line], ret_reply, &is_done, &err))
		unit_failed(production, unit, &err);
	if (!is_done)
		return NULL;
	production->asked[line] = NULL;
	return unit->is_good ? unit : NULL;
}

static bool wait_for_lines(const struct production *production)
{
	struct pollfd waits[CUSTODY_LINES_MAX];
	int64_t deadline = INT64_MAX, left;
	size_t used = 0;

	for (size_t i = 0; i < production->custody.line_count; i++) {
		const struct worker *line = production->custody.lines[i];

		if (!production->asked[i])
			continue;
		waits[used++] = (struct pollfd){ .fd = worker_fd(line), .events = POLLIN };
		if (worker_deadline_ms(line) < deadline)
			deadline = worker_deadline_ms(line);
	}
	left = deadline - clock_now_ms();
	if (used > 0)
		poll(waits, (nfds_t)used, left > 0 ? (int)left : 0);
	return used > 0;
}

/* Takes what has come, and has the lines go on before it is looked at. */
static void pump(struct production *production)
{
	for (size_t i = 0; i < production->custody.line_count; i++) {
		CLEANUP(worker_message_done) struct worker_message reply = { 0 };
		struct unit *unit = collect(production, i, &reply);

		ask_lines(production);
		if (unit)
			take_key(production, unit, &reply);
	}
}

/* -- Signing ------------------------------------------------------------------------------------------------------ */

/* Where there is one session only, it has to be free first. */
static void free_first_line(struct production *production)
{
	const struct worker *line = production->custody.lines[0];

	while (production->asked[0] && !production->replied) {
		struct pollfd wait = { .fd = worker_fd(line), .events = POLLIN };
		int64_t left = worker_deadline_ms(line) - clock_now_ms();

		poll(&wait, 1, left > 0 ? (int)left : 0);
		production->replied = collect(production, 0, &production->reply);
	}
}

static bool relay_sign(struct signer *signer, enum signer_scheme scheme, enum signer_hash hash,
		       const uint8_t *digest, size_t digest_size,
		       uint8_t signature[SIGNER_SIGNATURE_MAX], size_t *ret_size,
		       struct muster_error *err)
{
	struct relay *relay = signer->context;
	struct production *production = relay->production;
	struct signer *token = &relay->token->signer;
	bool good;

	if (relay->token->worker == production->custody.lines[0])
		free_first_line(production);
	good = token->sign(token, scheme, hash, digest, digest_size, signature, ret_size, err);
	ask_lines(production);
	return good;
}

static bool relay_init(struct relay *relay, struct production *production,
		       struct token_signer *token, EVP_PKEY **ret_key, struct muster_error *err)
{
	*relay = (struct relay){
		.signer = { .spki = token->signer.spki, .sign = relay_sign, .context = relay },
		.token = token,
		.production = production,
	};
	return pki_key_from_signer(&relay->signer, ret_key, err);
}

static void sign_unit(struct production *production, struct unit *unit)
{
	struct unit *replied;
	struct muster_error err;

	if (is_linted(unit) && !pki_certificate_sign(unit->linted, &unit->certificate, &err))
		unit_failed(production, unit, &err);
	replied = TAKE_PTR(production->replied);
	if (replied)
		take_key(production, replied, &production->reply);
	worker_message_done(&production->reply);
	production->reply = (struct worker_message){ 0 };
	pump(production);
}

static void work(struct production *production)
{
	ask_lines(production);
	for (size_t i = 0; i < production->signing->count; i++)
		sign_unit(production, &production->signing->units[i]);
	while (wait_for_lines(production))
		pump(production);
}

/* -- The journal and the file ------------------------------------------------------------------------------------- */

static const struct bytes *signer_id(const struct production *production, const struct unit *unit)
{
	return production->issuer ? &production->issuer_key.id : &unit->key.id;
}

static bool keep(struct production *production, const struct unit *unit, struct muster_error *err)
{
	return certify_keep(&production->custody, unit->certificate, signer_id(production, unit),
			    err) &&
	       custody_key_keep(&production->custody, &unit->key, err);
}

static bool fill_unit(struct production *production, struct unit *unit, struct muster_error *err)
{
	const char *serial = production->serials.items[production->taken++].text;

	if (!produced_name_make(&production->profile, serial, &unit->name, err))
		return false;
	unit->choice = (struct station_key_choice){ .type = production->profile.x509.key_type,
						    .label = unit->name.label };
	unit->is_good = true;
	return custody_key_announce(&production->custody, &unit->choice, &unit->key, err);
}

static bool fill(struct production *production, struct muster_error *err)
{
	struct batch *batch = production->making;

	while (!is_stopped(production) && batch->count < BATCH_MAX &&
	       production->taken < production->serials.count)
		if (!fill_unit(production, &batch->units[batch->count++], err))
			return false;
	return true;
}

/* One transaction, one sync. */
static bool record(struct production *production, struct muster_error *err)
{
	struct custody *custody = &production->custody;

	if (!journal_begin(custody->journal, err))
		return false;
	for (size_t i = 0; i < production->keeping->count; i++)
		if (production->keeping->units[i].certificate &&
		    !keep(production, &production->keeping->units[i], err))
			return false;
	for (size_t i = 0; i < production->signing->count; i++) {
		const struct unit *unit = &production->signing->units[i];

		if (is_linted(unit) &&
		    !certify_announce(custody, unit->linted, signer_id(production, unit), err))
			return false;
	}
	return fill(production, err) && journal_commit(custody->journal, err);
}

/* The enrollment that `muster enrollment import` is to make, a line. */
static bool write_unit(struct production *production, const struct unit *unit,
		       struct muster_error *err)
{
	struct dps_enrollment_terms terms = enroll_terms(&production->profile);
	CLEANUP(cJSON_freep) cJSON *document = NULL;
	CLEANUP(bytes_done) struct bytes der = { 0 };
	CLEANUP(text_done) struct text line = TEXT_MAX(1024 * 1024);
	CLEANUP(freep) char *printed = NULL;

	terms.registration_id = unit->name.registration_id;
	terms.device_id = unit->name.device_id;
	terms.certificate = &der;
	if (!pki_certificate_der(unit->certificate, &der, err) ||
	    !dps_enrollment_build(&terms, &document, err))
		return false;
	printed = json_print_line(document);
	if (!printed)
		return muster_fail_memory(err);
	text_addf(&line, "%s\n", printed);
	production->written++;
	return text_ok(&line, err) &&
	       file_sink_write(&production->sink, line.data, line.length, err);
}

static bool write_batch(struct production *production, struct muster_error *err)
{
	for (size_t i = 0; i < production->keeping->count; i++)
		if (production->keeping->units[i].certificate &&
		    !write_unit(production, &production->keeping->units[i], err))
			return false;
	return true;
}

static bool run_batches(struct production *production, struct muster_error *err)
{
	do {
		struct batch *empty;

		if (!record(production, err) || !write_batch(production, err))
			return false;
		empty = production->keeping;
		batch_clear(empty);
		work(production);
		production->keeping = production->signing;
		production->signing = production->making;
		production->making = empty;
	} while (production->signing->count > 0 || production->keeping->count > 0);
	return true;
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
	if (production->profile.x509.secondary_valid_days > 0)
		return muster_fail(
			err, CAUSE_USAGE,
			"profile '%s' wants a second certificate, which muster provision makes",
			PRINTABLE(production->profile.name));
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

static bool open_issuer(struct production *production, struct muster_error *err)
{
	const struct profile *profile = &production->profile;
	struct station_key_choice choice = { .uri = profile->x509.issuer_key };
	struct station_custody request = { 0 };
	CLEANUP(bytes_done) struct bytes file = { 0 };
	struct custody *holder = &production->custody;
	bool is_elsewhere;

	if (!choice.uri)
		return true;
	if (!file_read(profile->x509.issuer_certificate, CERTIFICATE_FILE_MAX, &file, err) ||
	    !pki_certificate_read(file.data, file.size, profile->x509.issuer_certificate,
				  &production->issuer_certificate, err) ||
	    !issuer_is_elsewhere(&holder->token, choice.uri, &is_elsewhere, err))
		return false;
	if (is_elsewhere) {
		holder = &production->elsewhere;
		if (!custody_open(holder, &request, choice.uri, CUSTODY_LOOKS, err))
			return false;
	}
	return custody_key_take(holder, &choice, &production->issuer_key, err) &&
	       relay_init(&production->relay, production, &production->issuer_key.signer,
			  &production->issuer, err);
}

static bool open_all(struct production *production, struct muster_error *err)
{
	const struct station_produce *request = production->request;

	production->making = calloc(1, sizeof(struct batch));
	production->signing = calloc(1, sizeof(struct batch));
	production->keeping = calloc(1, sizeof(struct batch));
	if (!production->making || !production->signing || !production->keeping)
		return muster_fail_memory(err);
	return custody_open(&production->custody, &request->custody, production->profile.x509.token,
			    CUSTODY_CHANGES, err) &&
	       custody_join(&production->custody, sessions_of(production), err) &&
	       (open_issuer(production, err) || muster_error_prefix(err, "opening the issuer")) &&
	       file_sink_open(&production->sink, request->out, 0644, err);
}

static bool describe(const struct production *production, cJSON *result)
{
	return json_add_int64(result, "devices", (int64_t)production->written) &&
	       json_add_int64(result, "sessions", (int64_t)production->custody.line_count) &&
	       json_add_text(result, "token", production->custody.token.label) &&
	       json_add_text(result, "tokenSerial", production->custody.token.serial) &&
	       json_add_text(result, "file", production->request->out);
}

/* What was made and recorded is in the file, also when a device failed. */
static bool finish(struct production *production, struct muster_error *err)
{
	if (production->written > 0 && !file_sink_commit(&production->sink, err))
		return false;
	if (!is_stopped(production))
		return true;
	*err = production->failure;
	return muster_error_prefix(err, "%zu of %zu certificates are made", production->written,
				   production->serials.count);
}

bool station_produce(const struct station_produce *request, cJSON **ret_result,
		     struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();
	CLEANUP(production_done)
	struct production production = { .request = request, .sink = FILE_SINK_NONE };

	if (!load_profile(&production, err) ||
	    !serials_read(request->serials_path, &production.profile, &production.serials, err) ||
	    !file_check_absent(request->out, err) || !open_all(&production, err) ||
	    !run_batches(&production, err) || !finish(&production, err))
		return false;
	if (!result || !describe(&production, result))
		return muster_fail_memory(err);
	*ret_result = TAKE_PTR(result);
	return true;
}
