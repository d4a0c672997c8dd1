/* Another EK at 0x81010001: only when the digest of the one there was typed, and with both in the journal. */
#include "tpm-doctor.h"

#include <string.h>

#include "muster/clock.h"
#include "muster/json.h"
#include "who.h"

struct change {
	struct visit *visit;
	struct who who;
	bool has_old;
	struct ek_public old;
	char old_digest[SHA256_HEX_SIZE];
};

static void change_done(struct change *change)
{
	who_done(&change->who);
}

static bool record(struct change *change, enum journal_kind kind, const char *name,
		   const struct ek_public *public, struct muster_error *err)
{
	struct journal *journal = change->visit->journal;
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	CLEANUP(freep) char *text = public ? ek_public_to_base64(public) : NULL;
	CLEANUP(freep) char *line = NULL;
	struct journal_entry entry = {
		.at_ms = clock_wall_ms(),
		.stage = "persist",
		.kind = kind,
		.operator= change->who.operator_name,
		.station = change->who.station,
	};

	if (!body || !json_add_text(body, "operation", "persist-ek") ||
	    !json_add_text(body, "tpm", change->visit->request->tpm) ||
	    !json_add_text(body, "handle", "0x81010001") ||
	    !json_add_text(body, "template", ek_template_name(EK_TEMPLATE_L1)) ||
	    (public && (!text || !json_add_text(body, name, text))) ||
	    !(line = json_print_line(body)))
		return muster_fail_memory(err);
	entry.body = line;
	return journal_begin(journal, err) && journal_append(journal, &entry, err) &&
	       journal_commit(journal, err);
}

static bool check_digest(struct change *change, struct muster_error *err)
{
	const char *typed = change->visit->request->replaces;
	uint8_t digest[SHA256_SIZE];

	if (!ek_holdings_public(&change->visit->holdings, EK_HANDLE, &change->has_old, &change->old,
				err))
		return false;
	if (!change->has_old)
		return true;
	ek_public_digest(&change->old, digest);
	hex_encode(change->old_digest, digest, sizeof(digest));
	return (typed && text_equal_folded(typed, change->old_digest)) ||
	       muster_fail(
		       err, CAUSE_EK_DIGEST_WRONG,
		       "the key at 0x%08x has the digest %s, and %s%s was given with --replaces",
		       EK_HANDLE, change->old_digest, typed ? "another, " : "none",
		       typed ? PRINTABLE(typed) : "");
}

static bool put(struct change *change, struct ek_public *ret_ek, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	const struct bytes *public;
	struct ek_public template;

	worker_request_init(&request,
			    change->has_old ? WORKER_TPM_EK_REPLACE : WORKER_TPM_EK_CREATE);
	if (!ek_template_make(EK_TEMPLATE_L1, &change->visit->holdings, &template, err))
		return false;
	worker_add_u64(&request, FIELD_HANDLE, EK_HANDLE);
	worker_add_bytes(&request, FIELD_TEMPLATE, template.data, template.size);
	if (change->has_old)
		worker_add_bytes(&request, FIELD_OLD_PUBLIC, change->old.data, change->old.size);
	if (!chip_ask(&change->visit->chip, &request, &reply, err))
		return false;
	public = worker_bytes(&reply, FIELD_PUBLIC);
	return ek_public_parse(public->data, public->size, ret_ek, err);
}

bool visit_persist(struct visit *visit, struct muster_error *err)
{
	CLEANUP(change_done) struct change change = { .visit = visit };
	struct ek_public ek;

	return check_digest(&change, err) &&
	       who_is_here(&change.who, visit->request->operator_name, NULL, err) &&
	       record(&change, JOURNAL_INTENT, "oldEk", change.has_old ? &change.old : NULL, err) &&
	       put(&change, &ek, err) && record(&change, JOURNAL_OUTCOME, "ek", &ek, err);
}
