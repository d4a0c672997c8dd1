/* Software looks for a device's key by its label. So when one is made, no other private key of the token has that label, but
 * those of lives and attempts that have ended: such a device is provisioned with a warning, and whatever else is there is not
 * doubled. */
#include "steps.h"

#include <string.h>

#include "life.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/log.h"

char *attest_label(const struct job *job, const char *label)
{
	return text_format("%s%s", label,
			   job_which(job) == ATTEST_PRIMARY ? "" : ATTEST_SECONDARY_LABEL);
}

char *attest_key_label(const struct job *job, struct muster_error *err)
{
	CLEANUP(freep) char *expanded = NULL;
	char *label;

	if (!attest_expand(job, job->run->profile.x509.key_label, TEMPLATE_LABEL, &expanded, err)) {
		muster_error_prefix(err, "making the key's label");
		return NULL;
	}
	label = attest_label(job, expanded);
	if (!label)
		muster_fail_memory(err);
	return label;
}

bool attest_label_applies(const struct job *job)
{
	return token_applies(job) && attest_key_is_to_be_made(job);
}

bool attest_label_start(struct job *job, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(freep) char *label = attest_key_label(job, err);

	if (!label)
		return false;
	worker_request_init(&request, WORKER_HSM_KEYS);
	worker_add_text(&request, FIELD_LABEL, label);
	return job_ask(job, job->hsm, &request, err);
}

/* -- Whose a key is --------------------------------------------------------------------------------------------------- */

struct namesake {
	char id[2 * 64 + 1];
	bool has_ended;     /* the life of the device that had it, or that attempt */
	bool is_of_attempt; /* of this life */
	bool is_known;      /* as some device's */
	struct journal_device device;
};

static void namesake_done(struct namesake *namesake)
{
	journal_device_done(&namesake->device);
}

static bool follow(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	struct namesake *namesake = context;
	const char *id;

	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return muster_error_prefix(err, "reading entry %lld of the journal",
					   (long long)entry->seq);
	id = json_text(body, "keyId");
	if (id && strcmp(id, namesake->id) == 0) {
		namesake->is_known = true;
		namesake->has_ended = false;
	}
	namesake->has_ended = namesake->has_ended || (namesake->is_known && life_ends(entry, body));
	return true;
}

/* Of an earlier life of this device, or of another one. */
static bool look_up(const struct job *job, struct namesake *namesake, struct muster_error *err)
{
	struct journal *journal = job->run->journal;

	if (!journal)
		return true;
	if (!journal_entries_all(journal, job->registration_id, follow, namesake, err))
		return false;
	if (namesake->has_ended)
		return true;
	/* Made before another token was used, which takes an attempt that came to nothing: see check_token() of identify. */
	if (namesake->is_known) {
		namesake->has_ended = namesake->is_of_attempt = true;
		return true;
	}
	if (!journal_device_find(journal, JOURNAL_BY_KEY_ID, namesake->id, &namesake->device,
				 &namesake->is_known, err))
		return false;
	namesake->has_ended = namesake->is_known && !journal_state_is_live(namesake->device.state);
	return true;
}

static bool refuse(const struct job *job, const struct namesake *namesake, struct muster_error *err)
{
	CLEANUP(freep) char *label = attest_key_label(job, err);

	if (!label)
		return false;
	if (namesake->is_known)
		return muster_fail(
			err, CAUSE_LABEL_OF_ANOTHER,
			"token '%s' has a key of the label '%s' already, ID %s, that of device '%s', which is %s",
			PRINTABLE(job->token.label), PRINTABLE(label), namesake->id,
			PRINTABLE(namesake->device.registration_id),
			journal_state_name(namesake->device.state));
	return muster_fail(
		err, CAUSE_LABEL_OF_ANOTHER,
		"token '%s' has a key of the label '%s' already, ID %s, that of no device that this journal provisioned",
		PRINTABLE(job->token.label), PRINTABLE(label),
		*namesake->id ? namesake->id : "none");
}

static bool keep(struct job *job, const struct namesake *namesake, struct muster_error *err)
{
	struct attest_key *key = &job->keys[job_which(job)];
	cJSON *id = cJSON_CreateString(namesake->id);

	log_warning(
		"the key of %s of '%s' that has ended, ID %s, has the same label in token '%s'; what looks for "
		"the key by its label may take that one: destroy it with pkcs11-tool --delete-object, going on",
		namesake->is_of_attempt ? "an attempt" : "a life",
		PRINTABLE(namesake->device.registration_id ? namesake->device.registration_id
							   : job->registration_id),
		namesake->id, PRINTABLE(job->token.label));
	if (!key->namesakes)
		key->namesakes = cJSON_CreateArray();
	if (id && key->namesakes && cJSON_AddItemToArray(key->namesakes, id))
		return true;
	cJSON_Delete(id);
	return muster_fail_memory(err);
}

static bool judge(struct job *job, const struct bytes *id, struct muster_error *err)
{
	CLEANUP(namesake_done) struct namesake namesake = { 0 };

	/* Half-made, and about to be swept: a dry run finds it. */
	if (bytes_equal(id, &job->keys[job_which(job)].id))
		return true;
	hex_encode(namesake.id, id->data, id->size);
	if (!look_up(job, &namesake, err))
		return false;
	return namesake.has_ended ? keep(job, &namesake, err) : refuse(job, &namesake, err);
}

bool attest_label_finish(struct job *job, const struct muster_error *outcome,
			 struct muster_error *err)
{
	const struct worker_message *reply = &job->reply;
	const struct namesake nameless = { 0 };
	size_t with_id = 0;

	if (outcome->code != MUSTER_OK) {
		*err = *outcome;
		return muster_error_prefix(err, "looking for keys of the label in token '%s'",
					   PRINTABLE(job->token.label));
	}
	cJSON_Delete(TAKE_PTR(job->keys[job_which(job)].namesakes));
	for (size_t i = 0; i < reply->count; i++) {
		if (reply->values[i].field != FIELD_KEY_ID)
			continue;
		with_id++;
		if (!judge(job, &reply->values[i].bytes, err))
			return false;
	}
	return with_id == worker_u64(reply, FIELD_COUNT) || refuse(job, &nameless, err);
}
