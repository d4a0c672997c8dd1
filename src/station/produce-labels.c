/* Software looks for a device's key by its label. So before a production makes its first key, no private key of the token has a
 * label that it is going to give, but those of lives that have ended and what a production that was cut left under other terms. */
#include "production.h"

#include <stdlib.h>
#include <string.h>

#include "muster/json.h"
#include "muster/log.h"
#include "token-ledger.h"

/* Labels that are told of, the others are counted; and a CKA_ID. */
enum { TOLD_MAX = 3, KEY_ID_MAX = 64 };

struct label {
	char *text;
	char id[2 * KEY_ID_MAX + 1]; /* of a key that has it; empty: there is none */
	bool is_taken;
};

struct labels {
	const struct production *production;
	struct label *items; /* by text */
	size_t count;
	struct ledger ledger;
	bool has_ledger;
};

static void labels_done(struct labels *labels)
{
	for (size_t i = 0; i < labels->count; i++)
		free(labels->items[i].text);
	free(labels->items);
	ledger_done(&labels->ledger);
}

/* -- What is going to be made ----------------------------------------------------------------------------------------- */

static bool add(struct labels *labels, const char *serial, bool is_secondary,
		struct muster_error *err)
{
	const struct production *production = labels->production;
	CLEANUP(produced_name_done) struct produced_name name = { 0 };
	char terms[SHA256_HEX_SIZE];

	if (!production_unit_name(production, serial, is_secondary, &name, terms, err))
		return false;
	if (!earlier_find(&production->earlier, name.registration_id, is_secondary, terms))
		labels->items[labels->count++] = (struct label){ .text = TAKE_PTR(name.label) };
	return true;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->text, ((const struct label *)b)->text);
}

static bool check_repeated(const struct labels *labels, struct muster_error *err)
{
	for (size_t i = 1; i < labels->count; i++)
		if (compare(&labels->items[i - 1], &labels->items[i]) == 0)
			return muster_fail(
				err, CAUSE_LABEL_OF_ANOTHER,
				"several of the keys to be made would have the label '%s'",
				PRINTABLE(labels->items[i].text));
	return true;
}

static bool collect(struct labels *labels, struct muster_error *err)
{
	const struct production *production = labels->production;
	const struct serials *serials = &production->serials;
	size_t keys = production->profile.x509.own_secondary_key ? production->parts : 1;

	labels->items = calloc(serials->count * keys, sizeof(*labels->items));
	if (!labels->items)
		return muster_fail_memory(err);
	for (size_t i = 0; i < serials->count; i++)
		for (size_t part = 0; part < keys; part++)
			if (!add(labels, serials->items[i].text, part == 1, err))
				return false;
	if (labels->count > 0)
		qsort(labels->items, labels->count, sizeof(*labels->items), compare);
	return check_repeated(labels, err);
}

/* -- What is there ------------------------------------------------------------------------------------------------------ */

static bool is_left_by_a_cut(const struct labels *labels, const struct bytes *id)
{
	const struct earlier *earlier = &labels->production->earlier;

	for (size_t i = 0; i < earlier->count; i++)
		if (bytes_equal(&earlier->units[i].key_id, id))
			return true;
	return false;
}

static bool life_has_ended(struct labels *labels, const char *id, bool *ret_has,
			   struct muster_error *err)
{
	const struct custody *custody = &labels->production->custody;
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	const struct ledger_key *key;
	bool is_known;

	if (!labels->has_ledger &&
	    !ledger_read(custody->journal, &custody->token, &labels->ledger, err))
		return false;
	labels->has_ledger = true;
	if (!journal_device_find(custody->journal, JOURNAL_BY_KEY_ID, id, &device, &is_known, err))
		return false;
	key = ledger_find(&labels->ledger, id);
	*ret_has = (key && key->is_over) || (is_known && !journal_state_is_live(device.state));
	return true;
}

static bool judge(struct labels *labels, struct label *label, const struct bytes *id,
		  struct muster_error *err)
{
	char hex[2 * KEY_ID_MAX + 1];
	bool left = is_left_by_a_cut(labels, id), has_ended = false;

	hex_encode(hex, id->data, id->size);
	if (!left && !life_has_ended(labels, hex, &has_ended, err))
		return false;
	if (!left && !has_ended) {
		label->is_taken = true;
		memcpy(label->id, hex, sizeof(hex));
		return true;
	}
	log_warning(
		"the key of %s, ID %s, has the label '%s' in token '%s', too; what looks for the key by its label may take "
		"that one: destroy it with pkcs11-tool --delete-object, going on",
		left ? "a run that was cut, whose certificate is of other terms and in no file,"
		     : "a life that has ended",
		hex, PRINTABLE(label->text), PRINTABLE(labels->production->custody.token.label));
	return true;
}

static bool look_at(struct labels *labels, const struct bytes *id, const struct bytes *name,
		    struct muster_error *err)
{
	char text[256];
	struct label wanted = { .text = text }, *label;

	if (memchr(name->data, 0, name->size))
		return true;
	memcpy(text, name->data, name->size);
	text[name->size] = '\0';
	label = bsearch(&wanted, labels->items, labels->count, sizeof(wanted), compare);
	return !label || judge(labels, label, id, err);
}

static bool look_at_names(struct labels *labels, const struct bytes *names,
			  struct muster_error *err)
{
	for (size_t at = 0; names && at < names->size;) {
		struct bytes id, name;

		if (names->size - at < 2 ||
		    names->size - at - 2 < (size_t)names->data[at] + names->data[at + 1] ||
		    names->data[at] > KEY_ID_MAX)
			return muster_fail(err, CAUSE_WORKER_PROTOCOL, "names that are not whole");
		id = (struct bytes){ names->data + at + 2, names->data[at] };
		name = (struct bytes){ id.data + id.size, names->data[at + 1] };
		at += 2 + id.size + name.size;
		if (!look_at(labels, &id, &name, err))
			return false;
	}
	return true;
}

static bool look_through(struct labels *labels, struct muster_error *err)
{
	uint64_t index = 0, count;

	do {
		CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
		uint64_t before = index;

		worker_request_init(&request, WORKER_HSM_KEY_NAMES);
		worker_add_u64(&request, FIELD_INDEX, index);
		if (!worker_call(labels->production->custody.hsm, &request, &reply, err) ||
		    !look_at_names(labels, worker_bytes(&reply, FIELD_KEY_NAMES), err))
			return false;
		index = worker_u64(&reply, FIELD_INDEX);
		count = worker_u64(&reply, FIELD_COUNT);
		if (index <= before && count > 0)
			return muster_fail(err, CAUSE_WORKER_PROTOCOL, "names that do not end");
	} while (index < count);
	return true;
}

/* -- All of it ---------------------------------------------------------------------------------------------------------- */

static bool refuse(const struct labels *labels, size_t taken, struct muster_error *err)
{
	CLEANUP(text_done) struct text told = TEXT_MAX(4096);
	size_t count = 0;

	for (size_t i = 0; i < labels->count && count < TOLD_MAX; i++) {
		const struct label *label = &labels->items[i];

		if (label->is_taken)
			text_addf(&told, "%s'%s' (ID %s)", count++ > 0 ? ", " : "",
				  PRINTABLE(label->text), *label->id ? label->id : "none");
	}
	if (taken > count)
		text_addf(&told, " and %zu more", taken - count);
	return text_ok(&told, err) &&
	       muster_fail(
		       err, CAUSE_LABEL_OF_ANOTHER,
		       "token '%s' has private keys of %zu of the %zu labels to be given already: %s; "
		       "leave out the serials that have their certificates",
		       PRINTABLE(labels->production->custody.token.label), taken, labels->count,
		       told.data);
}

bool production_check_labels(const struct production *production, struct muster_error *err)
{
	CLEANUP(labels_done) struct labels labels = { .production = production };
	size_t taken = 0;

	if (!collect(&labels, err))
		return false;
	if (labels.count > 0 && !look_through(&labels, err))
		return muster_error_prefix(err, "looking for keys of the labels in token '%s'",
					   PRINTABLE(production->custody.token.label));
	for (size_t i = 0; i < labels.count; i++)
		taken += labels.items[i].is_taken;
	return taken == 0 || refuse(&labels, taken, err);
}
