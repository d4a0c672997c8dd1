#include "tpm-master.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muster/ek.h"
#include "muster/text.h"
#include "tpm-place.h"

enum { MAC_SIZE = 32, HANDLE_FIRST = 0x81000000, HANDLE_LAST = 0x81ffffff };

bool tpm_master_is(const char *uri)
{
	return uri && text_has_prefix(uri, TPM_PLACE_SCHEME);
}

static bool parse(const char *uri, struct tpm_place *ret_place, struct muster_error *err)
{
	if (!tpm_place_parse(uri, "handle", ret_place, err))
		return false;
	return (ret_place->handle >= HANDLE_FIRST && ret_place->handle <= HANDLE_LAST) ||
	       muster_fail(err, CAUSE_USAGE, "'%s' names no persistent handle", PRINTABLE(uri));
}

/* -- Opening ------------------------------------------------------------------------------------------------------- */

static bool open_session(struct chip *chip, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message find, found = { 0 };
	CLEANUP(worker_message_done) struct worker_message session, reply = { 0 };
	const struct bytes *public;

	worker_request_init(&find, WORKER_TPM_READ_PUBLIC);
	worker_request_init(&session, WORKER_TPM_SESSION);
	worker_add_u64(&find, FIELD_HANDLE, EK_HANDLE);
	if (!chip_ask(chip, &find, &found, err))
		return false;
	if (!worker_u64(&found, FIELD_FOUND))
		return muster_fail(
			err, CAUSE_EK_UNSUPPORTED,
			"the TPM at '%s' has no endorsement key at 0x%08x, without which keys would cross its bus in clear",
			PRINTABLE(chip->tcti), EK_HANDLE);
	public = worker_bytes(&found, FIELD_PUBLIC);
	worker_add_u64(&session, FIELD_HANDLE, EK_HANDLE);
	worker_add_bytes(&session, FIELD_PUBLIC, public->data, public->size);
	return chip_ask(chip, &session, &reply, err);
}

static bool hmac(struct hmac_key *key, const void *data, size_t size, uint8_t mac[32],
		 struct muster_error *err)
{
	CLEANUP(freep) char *text = strndup(data, size);
	const char *texts[] = { text };

	return text ? tpm_master_derive(key->context, texts, 1, mac, err) : muster_fail_memory(err);
}

bool tpm_master_open(const char *uri, const struct tpm_master *opened,
		     struct tpm_master *ret_master, struct muster_error *err)
{
	struct tpm_place place;

	if (!parse(uri, &place, err))
		return false;
	if (opened && opened->chip.worker && strcmp(opened->chip.tcti, place.tcti) == 0) {
		ret_master->chip = opened->chip;
		ret_master->is_borrowed = true;
	} else if (!chip_open(place.tcti, &ret_master->chip, err) ||
		   !open_session(&ret_master->chip, err)) {
		return muster_error_prefix(err, "opening the TPM of the master");
	}
	ret_master->handle = place.handle;
	ret_master->key = (struct hmac_key){ .hmac = hmac, .context = ret_master };
	return true;
}

void tpm_master_done(struct tpm_master *master)
{
	if (!master->is_borrowed)
		chip_close(&master->chip);
	*master = (struct tpm_master){ 0 };
}

/* -- Deriving -------------------------------------------------------------------------------------------------------- */

bool tpm_master_derive(struct tpm_master *master, const char *const *texts, size_t count,
		       uint8_t *macs, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 }, reply = { 0 };
	CLEANUP(text_done) struct text ids = TEXT_MAX(256 * 129);
	const struct bytes *made;

	for (size_t i = 0; i < count; i++) {
		text_add(&ids, texts[i]);
		text_add_char(&ids, '\n');
	}
	worker_request_init(&request, WORKER_TPM_DERIVE);
	worker_add_u64(&request, FIELD_HANDLE, master->handle);
	worker_add_bytes(&request, FIELD_IDS, ids.data, ids.length);
	if (!text_ok(&ids, err) || !chip_ask(&master->chip, &request, &reply, err))
		return false;
	made = worker_bytes(&reply, FIELD_MACS);
	if (made->size != count * MAC_SIZE)
		return muster_fail(err, CAUSE_TPM_ANSWER_INVALID,
				   "the TPM made %zu bytes of keys for %zu devices", made->size,
				   count);
	memcpy(macs, made->data, made->size);
	snprintf(master->attributes, sizeof(master->attributes), "%s",
		 worker_text(&reply, FIELD_ATTRIBUTES));
	return true;
}
