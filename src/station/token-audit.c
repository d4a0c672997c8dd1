/* muster hsm audit: a token held against the journal. Nothing is changed on either side. */
#include "muster/station-token.h"

#include <stdio.h>
#include <string.h>

#include "master.h"
#include "muster/json.h"
#include "token-ledger.h"
#include "visit.h"

enum { LABEL_SIZE = 257 }; /* as the worker shows them */

enum finding {
	OBJECT_WITHOUT_ROW,
	OBJECT_WITHOUT_ID,
	OBJECT_DESTROYED_BEFORE,
	KEY_UNFINISHED,
	KEY_FINISHED_SINCE,
	KEY_TWICE,
	KEY_MISSING,
	ATTRIBUTES_CHANGED,
	LABEL_CHANGED,
	PRIVATE_HALF_CHANGED,
	MASTER_CHANGED,
	PUBLIC_HALF_CHANGED,
	PUBLIC_HALF_BAD,
	CERTIFICATE_CHANGED,
	CERTIFICATE_MISSING,
	KEY_RETIRED,
	TOKEN_OTHERWISE,
};

static const struct {
	const char *name, *remedy;
} findings[] = {
	[OBJECT_WITHOUT_ROW] = { "object-without-row",
				 "It may be a living device's, made by another station or in a part of the journal that was lost: compare "
				 "its certificate with muster enrollment show, look for a newer journal (muster journal verify --anchor), "
				 "and ask who made it. Destroy nothing that may be enrolled." },
	[OBJECT_WITHOUT_ID] = { "object-without-id",
				"Left by a module that was ended while it made an object, if it has no label either: the next "
				"run that finds a cut sweeps it." },
	[OBJECT_DESTROYED_BEFORE] = { "object-destroyed-before",
				      "The journal says that it was destroyed: the token's content was put back. Find out by whom." },
	[KEY_UNFINISHED] = { "key-unfinished",
			     "Provision the device once more: it is taken up or destroyed then. What muster cert or muster key "
			     "began, any such command that makes something on this token destroys." },
	[KEY_FINISHED_SINCE] = { "key-unfinished",
				 "Its certificate is in the token, so it was finished, and may be a living device's or an authority's: the "
				 "journal seems to be older than the token. Look for a newer one (muster journal verify --anchor), and destroy "
				 "nothing; muster does not either." },
	[KEY_TWICE] = { "key-twice",
			"Several keys have this ID, and none of them can be used. Find out who made the other." },
	[KEY_MISSING] = { "key-missing",
			  "Look for a backup of the token. Without one, replace the device's key, or the authority or master." },
	[ATTRIBUTES_CHANGED] = { "attributes-changed",
				 "Somebody changed the key's rights: replace it, and find out who has the PIN." },
	[LABEL_CHANGED] = { "label-changed",
			    "Software that looks by label takes another key for this one: find out who has the PIN, look at the other "
			    "findings, and put the label back with pkcs11-tool or p11tool." },
	[PRIVATE_HALF_CHANGED] = { "private-half-changed",
				   "The private key under this ID is another one's: what it signs does not verify. Use neither, find out who "
				   "has the PIN, and put the token's content back from a backup, or replace the keys." },
	[MASTER_CHANGED] = { "master-changed",
			     "Keys derived from it are not those of the devices that are enrolled: derive none. Find out who has the PIN, and "
			     "put the master back from a backup of the token or from its components." },
	[PUBLIC_HALF_CHANGED] = { "public-half-changed",
				  "This is not the key that was certified: replace it." },
	[PUBLIC_HALF_BAD] = { "public-half-bad", "Do not use the key." },
	[CERTIFICATE_CHANGED] = { "certificate-changed",
				  "Compare with the evidence of the device; destroy the certificate if it is not meant to be there." },
	[CERTIFICATE_MISSING] = { "certificate-missing",
				  "Store it again from the device's evidence, if something looks for it on the token." },
	[KEY_RETIRED] = { "key-retired",
			  "The device that had it was retired. Destroy what has this ID with pkcs11-tool --delete-object: software that "
			  "looks by label could take it for the present one." },
	[TOKEN_OTHERWISE] = { "token-otherwise",
			      "If this token was initialised or exchanged since, those keys are gone with what it held: put its content back "
			      "from a backup, or replace the keys of those devices, authorities and masters. If that other one is a token of "
			      "its own, have it in reach while you audit." },
};

struct audit {
	struct visit visit;
	struct journal *journal;
	struct ledger ledger;
	cJSON *findings;
};

static void audit_done(struct audit *audit)
{
	visit_done(&audit->visit);
	journal_close(audit->journal);
	ledger_done(&audit->ledger);
}

static bool report(struct audit *audit, enum finding finding, const char *id, const char *label,
		   const char *detail, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();

	if (!object || !json_add_text(object, "finding", findings[finding].name) ||
	    !json_add_text(object, "keyId", id) || !json_add_text(object, "label", label) ||
	    !json_add_text(object, "detail", detail) ||
	    !json_add_text(object, "remedy", findings[finding].remedy) ||
	    !cJSON_AddItemToArray(audit->findings, object))
		return muster_fail_memory(err);
	TAKE_PTR(object);
	return true;
}

/* -- Objects ---------------------------------------------------------------------------------------------------------- */

static bool is_kind(const cJSON *object, const char *kind)
{
	return strcmp(json_text(object, "kind"), kind) == 0;
}

/* "sensitive=true" in the words that were recorded; "unknown" where they do not have it. */
static const char *recorded(const char *words, const char *name, char value[16])
{
	size_t length = strlen(name);

	snprintf(value, 16, "unknown");
	for (const char *at = words; at && *at; at = strchr(at, ' ')) {
		at += *at == ' ';
		if (strncmp(at, name, length) != 0 || at[length] != '=')
			continue;
		snprintf(value, 16, "%.*s", (int)strcspn(at + length + 1, " "), at + length + 1);
		break;
	}
	return value;
}

static const char *state_of(const cJSON *attribute)
{
	return cJSON_IsTrue(attribute) ? "true" : cJSON_IsFalse(attribute) ? "false" : "unknown";
}

static bool compare_attributes(struct audit *audit, const struct ledger_key *key,
			       const cJSON *object, struct muster_error *err)
{
	CLEANUP(text_done) struct text changes = TEXT_MAX(1024);
	const cJSON *attribute;
	char was[16];

	cJSON_ArrayForEach(attribute, json_get(object, "attributes"))
	{
		const char *is = state_of(attribute);

		if (strcmp(recorded(key->attributes, attribute->string, was), is) != 0)
			text_addf(&changes, "%s%s was %s and is %s", changes.length > 0 ? ", " : "",
				  attribute->string, was, is);
	}
	if (!text_ok(&changes, err))
		return false;
	return changes.length == 0 ||
	       report(audit, ATTRIBUTES_CHANGED, key->id, key->name, changes.data, err);
}

static bool compare_public(struct audit *audit, const struct ledger_key *key, const cJSON *object,
			   struct muster_error *err)
{
	const char *digest = json_text(object, "publicSha256");

	if (!*key->public_sha256 || (digest && strcmp(digest, key->public_sha256) == 0) ||
	    json_text(object, "note"))
		return true;
	return report(audit, PUBLIC_HALF_CHANGED, key->id, key->name,
		      digest ? "it is not the one that was recorded" : "the token shows none", err);
}

static bool compare_certificate(struct audit *audit, const struct ledger_key *key,
				const cJSON *object, struct muster_error *err)
{
	const char *digest = json_text(object, "certificateSha256");

	if (!*key->certificate_sha256 || (digest && strcmp(digest, key->certificate_sha256) == 0))
		return true;
	return report(audit, CERTIFICATE_CHANGED, key->id, key->name,
		      "it is not the one that was recorded", err);
}

/* Of a key that is one and the same the label stays, too. */
static bool compare_label(struct audit *audit, const struct ledger_key *key, const cJSON *object,
			  struct muster_error *err)
{
	const char *label = json_text(object, "label");
	char was[LABEL_SIZE], detail[2 * LABEL_SIZE + 64];

	if (!key->label ||
	    strcmp(text_printable(was, sizeof(was), key->label), label ? label : "") == 0)
		return true;
	snprintf(detail, sizeof(detail), "it was '%s' and is '%s'", was, label ? label : "");
	return report(audit, LABEL_CHANGED, key->id, key->name, detail, err);
}

/* A key that wants its PIN for each use is not asked to show anything. */
static bool may_sign(const cJSON *object)
{
	const cJSON *attributes = json_get(object, "attributes");

	return !cJSON_IsFalse(json_get(attributes, "sign")) &&
	       !cJSON_IsTrue(json_get(attributes, "always-authenticate"));
}

/* IDs and labels of a token's objects can be changed: what a key signs tells whose it is. */
static bool prove(struct audit *audit, const struct ledger_key *key, const cJSON *object,
		  struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	const char *digest = json_text(object, "publicSha256"), *hex = json_text(object, "public");
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	const char *note;
	int64_t index;

	if (!digest || strcmp(digest, key->public_sha256) != 0 || !may_sign(object))
		return true;
	if (!hex_decode(hex, strlen(hex), &spki) || !json_int64(object, "index", &index))
		return muster_fail_memory(err);
	worker_request_init(&request, WORKER_HSM_OBJECT_PROVE);
	worker_add_u64(&request, FIELD_INDEX, (uint64_t)index);
	worker_add_bytes(&request, FIELD_PUBLIC, spki.data, spki.size);
	if (!worker_call(audit->visit.worker, &request, &reply, err))
		return muster_error_prefix(err, "signing with key %s", key->id);
	if (worker_u64(&reply, FIELD_FOUND) != 0)
		return true;
	note = worker_text(&reply, FIELD_NOTE);
	return report(audit, PRIVATE_HALF_CHANGED, key->id, key->name, note ? note : "private-key",
		      err);
}

/* One that gave a check value once and gives none now is another one, too. */
static bool compare_check_value(struct audit *audit, const struct ledger_key *key,
				const cJSON *object, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes id = { 0 };
	char is[MASTER_CHECK_VALUE_SIZE], detail[MUSTER_ERROR_MESSAGE_SIZE + 64];
	struct muster_error failure;

	if (!key->check_value || !may_sign(object))
		return true;
	if (!hex_decode(key->id, strlen(key->id), &id))
		return muster_fail_memory(err);
	if (master_check_value_of(audit->visit.worker, &id, is, &failure)) {
		if (text_equal_folded(is, key->check_value))
			return true;
		snprintf(detail, sizeof(detail), "its check value was %s and is %s",
			 PRINTABLE(key->check_value), is);
	} else if (!worker_is_alive(audit->visit.worker)) {
		*err = failure;
		return false;
	} else if (failure.cause == CAUSE_KEY_AMBIGUOUS) {
		return true; /* told as what it is */
	} else {
		snprintf(detail, sizeof(detail), "it gives no check value: %s", failure.message);
	}
	return report(audit, MASTER_CHANGED, key->id, key->name, detail, err);
}

/* An object of a key that is known and was made. */
static bool compare(struct audit *audit, struct ledger_key *key, const cJSON *object,
		    struct muster_error *err)
{
	const char *note = json_text(object, "note");

	if (note && !report(audit, PUBLIC_HALF_BAD, key->id, key->name, note, err))
		return false;
	if (is_kind(object, "certificate")) {
		key->certificates_seen++;
		return compare_certificate(audit, key, object, err);
	}
	if (is_kind(object, "public-key"))
		return compare_public(audit, key, object, err);
	key->keys_seen++;
	if (key->keys_seen > 1)
		return report(audit, KEY_TWICE, key->id, key->name, json_text(object, "label"),
			      err);
	return compare_attributes(audit, key, object, err) &&
	       compare_label(audit, key, object, err) &&
	       (key->is_pair
			? compare_public(audit, key, object, err) && prove(audit, key, object, err)
			: compare_check_value(audit, key, object, err));
}

static enum finding finding_of(const struct ledger_key *key)
{
	if (key->state == LEDGER_GONE)
		return OBJECT_DESTROYED_BEFORE;
	return key->is_finished_since ? KEY_FINISHED_SINCE : KEY_UNFINISHED;
}

static bool look_at(struct audit *audit, const cJSON *object, struct muster_error *err)
{
	const char *id = json_text(object, "id"), *kind = json_text(object, "kind");
	const char *label = json_text(object, "label");
	struct ledger_key *key = id ? ledger_find(&audit->ledger, id) : NULL;

	if (!key)
		return report(audit, id ? OBJECT_WITHOUT_ROW : OBJECT_WITHOUT_ID, id, label, kind,
			      err);
	if (key->state == LEDGER_MADE)
		return compare(audit, key, object, err);
	return report(audit, finding_of(key), id, key->name ? key->name : label, kind, err);
}

/* One that is wrapped for its device has its certificate there, too, and none in the token. */
static bool may_leave(const struct ledger_key *key)
{
	return key->attributes && strstr(key->attributes, " extractable=true");
}

/* -- Rows ------------------------------------------------------------------------------------------------------------- */

static bool look_for(struct audit *audit, const struct ledger_key *key, struct muster_error *err)
{
	if (key->state != LEDGER_MADE)
		return true;
	if (key->is_over)
		return key->keys_seen + key->certificates_seen == 0 ||
		       report(audit, KEY_RETIRED, key->id, key->name,
			      key->keys_seen > 0 ? "private-key" : "certificate", err);
	if (key->keys_seen == 0)
		return report(audit, KEY_MISSING, key->id, key->name,
			      key->is_pair ? "private-key" : "secret-key", err);
	return !key->is_released || may_leave(key) || key->certificates_seen > 0 ||
	       report(audit, CERTIFICATE_MISSING, key->id, key->name, "certificate", err);
}

/* By a certificate that the journal does not have of it. What became of the others is said of each object. */
static void look_for_certificate(const struct audit *audit, const cJSON *object)
{
	const char *id = json_text(object, "id");
	const char *digest = json_text(object, "certificateSha256");
	struct ledger_key *key =
		id && is_kind(object, "certificate") ? ledger_find(&audit->ledger, id) : NULL;

	if (key && digest && strcmp(digest, key->certificate_sha256) != 0)
		key->is_finished_since = true;
}

/* Two that were in use by turns are two; and so are two that are both in reach. */
static bool look_at_other(struct audit *audit, const struct ledger_other *other,
			  struct muster_error *err)
{
	bool is_in_reach;
	char detail[512];

	if (audit->ledger.first > 0 && audit->ledger.first < other->last)
		return true;
	if (!visit_has_token(&audit->visit, other->label, other->serial, &is_in_reach, err))
		return false;
	if (is_in_reach)
		return true;
	snprintf(
		detail, sizeof(detail),
		"the journal has %zu key%s on a token '%s' of serial number %s, and this one is '%s', %s",
		other->keys, other->keys == 1 ? "" : "s", PRINTABLE(other->label),
		PRINTABLE(other->serial), PRINTABLE(audit->visit.token.label),
		PRINTABLE(audit->visit.token.serial));
	return report(audit, TOKEN_OTHERWISE, NULL, other->label, detail, err);
}

static bool compare_all(struct audit *audit, const cJSON *objects, struct muster_error *err)
{
	const cJSON *object;

	cJSON_ArrayForEach(object, objects) look_for_certificate(audit, object);
	cJSON_ArrayForEach(object, objects) if (!look_at(audit, object, err)) return false;
	for (size_t i = 0; i < audit->ledger.count; i++)
		if (!look_for(audit, audit->ledger.keys[i], err))
			return false;
	for (size_t i = 0; i < audit->ledger.other_count; i++)
		if (!look_at_other(audit, &audit->ledger.others[i], err))
			return false;
	return true;
}

/* -- All of it ---------------------------------------------------------------------------------------------------------- */

static bool read_token(struct audit *audit, const char *token_uri, const struct station_pin *pin,
		       cJSON *objects, struct muster_error *err)
{
	audit->visit.shows_public = true;
	return visit_open(&audit->visit, token_uri, err) && visit_login(&audit->visit, pin, err) &&
	       visit_objects(&audit->visit, objects, err);
}

static bool describe(struct audit *audit, const cJSON *objects, const char *journal_path,
		     cJSON *document, struct muster_error *err)
{
	cJSON *token = cJSON_AddObjectToObject(document, "token");
	size_t made = 0;

	for (size_t i = 0; i < audit->ledger.count; i++)
		made += audit->ledger.keys[i]->state == LEDGER_MADE;
	if (!token || !json_add_text(document, "journal", journal_path) ||
	    !json_add_int64(document, "objects", cJSON_GetArraySize(objects)) ||
	    !json_add_int64(document, "keys", (int64_t)made))
		return muster_fail_memory(err);
	return visit_describe(&audit->visit.module, &audit->visit.token, token, err);
}

bool station_token_audit(const char *token_uri, const struct station_token_audit *request,
			 cJSON **ret_document, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *document = cJSON_CreateObject();
	CLEANUP(cJSON_freep) cJSON *objects = cJSON_CreateArray();
	CLEANUP(audit_done) struct audit audit = { 0 };

	if (!document || !objects)
		return muster_fail_memory(err);
	/* The token is read first: what is made meanwhile has its row, and is reported as missing at most. */
	if (!journal_open(request->journal_path, JOURNAL_READ, &audit.journal, err) ||
	    !read_token(&audit, token_uri, &request->pin, objects, err) ||
	    !ledger_read(audit.journal, &audit.visit.token, &audit.ledger, err) ||
	    !describe(&audit, objects, request->journal_path, document, err))
		return false;
	audit.findings = cJSON_AddArrayToObject(document, "findings");
	if (!audit.findings)
		return muster_fail_memory(err);
	if (!compare_all(&audit, objects, err))
		return muster_error_prefix(err, "auditing token '%s'",
					   PRINTABLE(audit.visit.token.label));
	*ret_document = TAKE_PTR(document);
	return true;
}
