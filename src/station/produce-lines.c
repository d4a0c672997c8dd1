/* What is asked of the token for each unit, what comes back, and whether it is good. */
#include "production.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"

struct unit *production_unit(struct production *production, size_t number)
{
	return &production->units[number % UNDER_WAY_MAX];
}

/* Of those under way, the first in that state. */
struct unit *production_first(struct production *production, enum unit_state state)
{
	for (size_t i = production->ended; i < production->begun; i++)
		if (production_unit(production, i)->state == state)
			return production_unit(production, i);
	return NULL;
}

bool production_is_stopped(const struct production *production)
{
	return production->failure.code != MUSTER_OK;
}

void production_unit_failed(struct production *production, struct unit *unit,
			    const struct muster_error *failure)
{
	unit->state = UNIT_FAILED;
	if (production_is_stopped(production))
		return;
	production->failure = *failure;
	muster_error_prefix(&production->failure, "device '%s'", unit->name.registration_id);
}

/* -- What comes back ---------------------------------------------------------------------------------------------- */

static bool lint(const struct production *production, struct unit *unit, struct muster_error *err)
{
	const struct profile *profile = &production->profile;
	struct pki_plan plan = {
		.key = unit->key.public_key,
		.subject = unit->name.subject,
		.registration_id = unit->name.registration_id,
		.valid_days = (unsigned)produced_days(profile, unit->is_secondary),
		.skew_minutes = (unsigned)profile->x509.skew_minutes,
		.now_ms = clock_wall_ms(),
		.crl_url = profile->x509.crl_url,
		.issuer_key = production->issuer_key.public_key,
		.issuer_certificate = production->issuer_certificate,
	};

	return pki_certificate_lint(&plan, &unit->linted, err);
}

/* The journal does not know the keys that are under way beside it. */
static bool is_repeated(struct production *production, const struct unit *unit)
{
	for (size_t i = production->ended; i < production->begun; i++) {
		const struct unit *other = production_unit(production, i);

		if (other != unit && other->key.spki.size > 0 &&
		    bytes_equal(&other->key.spki, &unit->key.spki))
			return true;
	}
	return false;
}

bool production_follow(const struct production *production, struct unit *unit,
		       const struct bytes *key_id, EVP_PKEY *public_key, struct muster_error *err)
{
	if (!bytes_copy(&unit->key.id, key_id->data, key_id->size, err))
		return false;
	EVP_PKEY_up_ref(public_key);
	unit->key.public_key = public_key;
	if (!lint(production, unit, err))
		return false;
	unit->state = UNIT_LINTED;
	return true;
}

/* A secondary unit that waits for this key has it now. */
static bool lead(const struct production *production, struct unit *unit, struct muster_error *err)
{
	struct unit *next = unit + 1;

	return production->parts == 1 || unit->is_secondary || next->state != UNIT_WAITING ||
	       production_follow(production, next, &unit->key.id, unit->key.public_key, err);
}

static bool take_key(struct production *production, struct unit *unit,
		     const struct worker_message *reply, struct muster_error *err)
{
	if (!custody_key_made(&production->custody, &unit->choice, reply, &unit->key, err))
		return false;
	if (is_repeated(production, unit))
		return muster_fail(err, CAUSE_KEY_REPEATED,
				   "the token made the same key a second time");
	if (!lint(production, unit, err) || !lead(production, unit, err))
		return false;
	unit->state = UNIT_LINTED;
	return true;
}

static bool take_signature(struct unit *unit, const struct worker_message *reply,
			   struct muster_error *err)
{
	const struct bytes *signature = token_signature_of(reply, err);

	if (!signature || !pki_linted_sign(unit->linted, signature, &unit->certificate, err))
		return false;
	unit->state = UNIT_SIGNED;
	return true;
}

/* -- Lines ---------------------------------------------------------------------------------------------------------- */

const struct bytes *production_signer(const struct production *production, const struct unit *unit)
{
	return production->issuer_certificate ? &production->issuer_key.id : &unit->key.id;
}

static bool ask_for_signature(const struct production *production, const struct unit *unit,
			      struct worker_message *ret_request, struct muster_error *err)
{
	struct pki_wanted wanted = { 0 };

	if (!pki_linted_wants(unit->linted, &wanted, err))
		return false;
	token_signature_ask(production_signer(production, unit), wanted.scheme, wanted.hash,
			    &wanted.digest, ret_request);
	bytes_done(&wanted.digest);
	return true;
}

static bool ask(struct production *production, struct line *line, struct unit *unit,
		struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	bool makes = unit->state == UNIT_TO_MAKE;

	if (makes)
		custody_key_ask(&unit->choice, &unit->key, &request);
	else if (!ask_for_signature(production, unit, &request, err))
		return false;
	if (!worker_queue(line->worker, &request, err))
		return false;
	unit->state = makes ? UNIT_MAKING : UNIT_SIGNING;
	line->units[line->count++] = unit;
	return true;
}

/* Signatures first: they end what is under way. */
static void ask_line(struct production *production, struct line *line)
{
	struct unit *unit = line->signs ? production_first(production, UNIT_TO_SIGN) : NULL;
	struct muster_error err;

	if (!unit && line->makes && !production_is_stopped(production))
		unit = production_first(production, UNIT_TO_MAKE);
	if (unit && !ask(production, line, unit, &err))
		production_unit_failed(production, unit, &err);
}

/* None gets a second thing before all have one. */
void production_ask(struct production *production)
{
	for (size_t depth = 0; depth < LINE_DEPTH; depth++)
		for (size_t i = 0; i < production->line_count; i++)
			if (production->lines[i].count == depth)
				ask_line(production, &production->lines[i]);
}

static struct unit *pop(struct line *line)
{
	struct unit *unit = line->units[0];

	line->count--;
	memmove(line->units, line->units + 1, line->count * sizeof(*line->units));
	return unit;
}

/* Takes what has come, and has the line go on before it is looked at. */
static void take_reply(struct production *production, struct line *line)
{
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	struct muster_error err;
	struct unit *unit;
	bool is_done, good;

	if (line->count == 0)
		return;
	good = worker_receive(line->worker, &reply, &is_done, &err);
	if (!is_done)
		return;
	unit = pop(line);
	if (good)
		ask_line(production, line);
	if (!good || !(unit->state == UNIT_MAKING ? take_key(production, unit, &reply, &err)
						  : take_signature(unit, &reply, &err)))
		production_unit_failed(production, unit, &err);
	while (line->count > 0 && !worker_is_alive(line->worker))
		production_unit_failed(production, pop(line), &err);
}

void production_take(struct production *production)
{
	for (size_t i = 0; i < production->line_count; i++)
		take_reply(production, &production->lines[i]);
}

bool production_wait(const struct production *production)
{
	struct pollfd waits[CUSTODY_LINES_MAX + 1];
	int64_t deadline = INT64_MAX, left;
	size_t used = 0;

	for (size_t i = 0; i < production->line_count; i++) {
		const struct line *line = &production->lines[i];

		if (line->count == 0)
			continue;
		waits[used++] = (struct pollfd){ .fd = worker_fd(line->worker), .events = POLLIN };
		if (worker_deadline_ms(line->worker) < deadline)
			deadline = worker_deadline_ms(line->worker);
	}
	left = deadline - clock_now_ms();
	if (used > 0)
		poll(waits, (nfds_t)used, left > 0 ? (int)left : 0);
	return used > 0;
}
