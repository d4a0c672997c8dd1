/* Everything about one TPM that people ask for, as a document. Changes nothing on the chip. */
#include "muster/station-tpm.h"

#include <stdio.h>
#include <string.h>

#include <openssl/x509.h>

#include "muster/ek-words.h"
#include "muster/json.h"
#include "tpm-chip.h"

DEFINE_FREEP(X509_freep, X509 *, X509_free)

static bool add_number(cJSON *array, int digits, uint32_t number)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%0*x", digits, number);
	return cJSON_AddItemToArray(array, cJSON_CreateString(text));
}

static bool add_handle(cJSON *object, const char *name, uint32_t handle)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%08x", handle);
	return json_add_text(object, name, text);
}

/* Takes the text over; NULL is a lack of memory. */
static bool add_taken(cJSON *object, const char *name, char *text)
{
	CLEANUP(freep) char *owned = text;

	return owned && json_add_text(object, name, owned);
}

/* -- Keys ------------------------------------------------------------------------------------------------- */

static bool add_name(cJSON *object, const struct ek_public *public)
{
	uint8_t name[EK_NAME_SIZE];
	char hex[2 * EK_NAME_SIZE + 1];
	struct muster_error err;

	/* Another name algorithm has a longer name, which nobody asks for. */
	return !ek_public_name(public, name, &err) ||
	       json_add_text(object, "name", hex_encode(hex, name, sizeof(name)));
}

static bool add_pem(cJSON *object, const struct ek_public *public)
{
	struct muster_error err;
	char *pem = NULL;

	return !ek_public_pem(public, &pem, &err) || add_taken(object, "pem", pem);
}

static bool add_public(cJSON *object, uint32_t handle, const struct ek_public *public)
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE], words[96];

	ek_public_digest(public, digest);
	return add_handle(object, "handle", handle) &&
	       json_add_text(object, "kind", ek_public_describe(public, words)) &&
	       add_taken(object, "tpm2b", ek_public_to_base64(public)) &&
	       add_taken(object, "tpmt", base64_encode(public->data + 2, public->size - 2)) &&
	       json_add_text(object, "sha256", hex_encode(hex, digest, sizeof(digest))) &&
	       add_name(object, public) && add_pem(object, public);
}

/* What only the key that DPS knows a device by has. */
static bool add_dps(cJSON *object, const struct ek_public *ek)
{
	CLEANUP(freep) char *id = ek_public_registration_id(ek);
	CLEANUP(freep) char *text = ek_public_to_base64(ek);
	struct muster_error err;

	if (!id || !text)
		return false;
	if (!ek_check_dps(ek, &err))
		return json_add_text(object, "dpsRefuses", err.message);
	return json_add_text(object, "registrationId", id) &&
	       add_taken(
		       object, "dpsLine",
		       text_format("--enrollment-id %s --attestation-type tpm --endorsement-key %s",
				   id, text));
}

static cJSON *describe_key(const struct ek_holding *row)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	struct ek_public public;
	struct muster_error err;

	if (!object)
		return NULL;
	if (!row->is_readable || !ek_public_parse(row->data, row->size, &public, &err)) {
		if (!add_handle(object, "handle", row->handle) ||
		    !json_add_text(object, "kind",
				   row->is_readable ? err.message : "cannot be read"))
			return NULL;
		return TAKE_PTR(object);
	}
	if (!add_public(object, row->handle, &public) ||
	    (row->handle == EK_HANDLE && !add_dps(object, &public)))
		return NULL;
	return TAKE_PTR(object);
}

static bool add_keys(cJSON *document, const struct ek_holdings *holdings,
		     bool (*is_wanted)(uint32_t), const char *name)
{
	cJSON *array = cJSON_CreateArray();

	for (size_t i = 0; array && i < holdings->count; i++)
		if (is_wanted(holdings->rows[i].handle) &&
		    !cJSON_AddItemToArray(array, describe_key(&holdings->rows[i])))
			return cJSON_Delete(array), false;
	return json_add_item(document, name, array);
}

static bool is_ek(uint32_t handle)
{
	return ek_handle_is_ek(handle);
}

static bool is_srk(uint32_t handle)
{
	return handle == SRK_HANDLE;
}

/* -- Certificates ------------------------------------------------------------------------------------------ */

/* The persistent key that it certifies; NULL when none of them. */
static bool add_certified(cJSON *object, const X509 *certificate,
			  const struct ek_holdings *holdings)
{
	struct ek_public public;
	struct muster_error err;
	bool found;

	for (size_t i = 0; i < holdings->count; i++) {
		uint32_t handle = holdings->rows[i].handle;

		if (ek_handle_is_ek(handle) &&
		    ek_holdings_public(holdings, handle, &found, &public, &err) && found &&
		    ek_certificate_check_key(certificate, &public, &err))
			return add_handle(object, "certifies", handle);
	}
	return json_add_text(object, "certifies", "no persistent key");
}

static bool add_facts(cJSON *object, const X509 *certificate, struct muster_error *err)
{
	struct ek_certificate_info info;
	const char *vendor;

	if (!ek_certificate_describe(certificate, &info, err))
		return json_add_text(object, "problem", err->message);
	vendor = ek_vendor_name(info.manufacturer);
	return json_add_text(object, "subject", info.subject) &&
	       json_add_text(object, "issuer", info.issuer) &&
	       json_add_text(object, "vendor", vendor ? vendor : "unknown") &&
	       json_add_text(object, "manufacturer", info.manufacturer) &&
	       json_add_text(object, "model", info.model) &&
	       json_add_text(object, "version", info.version) &&
	       json_add_text(object, "serial", info.serial) &&
	       json_add_text(object, "notBefore", info.not_before) &&
	       json_add_text(object, "notAfter", info.not_after) &&
	       json_add_text(object, "sha256", info.sha256);
}

static cJSON *describe_certificate(const struct ek_holdings *holdings, const struct ek_holding *row)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct muster_error err;

	if (!object || !add_handle(object, "index", row->handle))
		return NULL;
	if (!row->is_readable)
		return json_add_text(object, "problem", "cannot be read") ? TAKE_PTR(object) : NULL;
	if (!ek_certificate_parse(row->data, row->size, &certificate, NULL, &err))
		return json_add_text(object, "problem", err.message) ? TAKE_PTR(object) : NULL;
	return add_facts(object, certificate, &err) && add_certified(object, certificate, holdings)
		       ? TAKE_PTR(object)
		       : NULL;
}

static bool add_certificates(cJSON *document, const struct ek_holdings *holdings)
{
	cJSON *array = cJSON_CreateArray();

	for (size_t i = 0; array && i < holdings->count; i++)
		if (ek_index_is_certificate(holdings->rows[i].handle) &&
		    !cJSON_AddItemToArray(array,
					  describe_certificate(holdings, &holdings->rows[i])))
			return cJSON_Delete(array), false;
	return json_add_item(document, "certificates", array);
}

/* -- Capabilities ------------------------------------------------------------------------------------------ */

typedef const char *(*word_fn)(uint32_t number);

/* Every `step`th number in words, or in hex. */
static bool add_words(cJSON *document, const char *name, const struct chip_numbers *numbers,
		      size_t step, word_fn word)
{
	cJSON *array = cJSON_CreateArray();

	for (size_t i = 0; array && i + step <= numbers->count; i += step) {
		const char *text = word(numbers->values[i]);

		if (text ? !cJSON_AddItemToArray(array, cJSON_CreateString(text))
			 : !add_number(array, 4, numbers->values[i]))
			return cJSON_Delete(array), false;
	}
	return json_add_item(document, name, array);
}

static bool add_properties(cJSON *object, const struct chip_numbers *numbers)
{
	for (size_t i = 0; i + 2 <= numbers->count; i += 2) {
		const char *word = ek_property_word(numbers->values[i]);

		if (word && !json_add_int64(object, word, numbers->values[i + 1]))
			return false;
	}
	return true;
}

static bool add_capabilities(cJSON *document, struct chip *chip, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(freep) struct chip_numbers *numbers = malloc(sizeof(*numbers));

	muster_fail_memory(err);
	return object && numbers &&
	       chip_capability(chip, EK_CAPABILITY_PROPERTIES, EK_PROPERTY_FIXED, numbers, err) &&
	       add_properties(object, numbers) &&
	       chip_capability(chip, EK_CAPABILITY_ALGORITHMS, 0, numbers, err) &&
	       add_words(object, "algorithms", numbers, 2, ek_algorithm_word) &&
	       chip_capability(chip, EK_CAPABILITY_CURVES, 0, numbers, err) &&
	       add_words(object, "curves", numbers, 1, ek_curve_word) &&
	       json_add_item(document, "capabilities", TAKE_PTR(object));
}

static bool add_handles(cJSON *document, struct chip *chip, const char *name, uint32_t first,
			struct muster_error *err)
{
	CLEANUP(freep) struct chip_numbers *numbers = malloc(sizeof(*numbers));
	cJSON *array = cJSON_CreateArray();

	muster_fail_memory(err);
	if (!numbers || !array ||
	    !chip_capability(chip, EK_CAPABILITY_HANDLES, first, numbers, err))
		return cJSON_Delete(array), false;
	for (size_t i = 0; i < numbers->count && numbers->values[i] >> 24 == first >> 24; i++)
		if (!add_number(array, 8, numbers->values[i]))
			return cJSON_Delete(array), false;
	return json_add_item(document, name, array);
}

/* -- The document -------------------------------------------------------------------------------------------- */

static bool survey(struct chip *chip, struct ek_holdings *ret_holdings, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	const struct bytes *holdings;

	worker_request_init(&request, WORKER_TPM_SURVEY);
	worker_add_u64(&request, FIELD_WITH_NV, true);
	if (!chip_ask(chip, &request, &reply, err))
		return false;
	holdings = worker_bytes(&reply, FIELD_HOLDINGS);
	return ek_holdings_parse(holdings->data, holdings->size, ret_holdings, err);
}

static bool describe(cJSON *document, struct chip *chip, struct muster_error *err)
{
	CLEANUP(ek_holdings_done) struct ek_holdings holdings = { 0 };
	const char *vendor = ek_vendor_name(chip->manufacturer);

	if (!survey(chip, &holdings, err))
		return false;
	muster_fail_memory(err);
	return json_add_text(document, "tpm", chip->tcti) &&
	       json_add_text(document, "vendor", vendor ? vendor : "unknown") &&
	       json_add_text(document, "manufacturer", chip->manufacturer) &&
	       json_add_text(document, "model", chip->model) &&
	       json_add_text(document, "firmware", chip->firmware) &&
	       add_keys(document, &holdings, is_ek, "endorsementKeys") &&
	       add_keys(document, &holdings, is_srk, "storageRootKey") &&
	       add_certificates(document, &holdings) &&
	       add_handles(document, chip, "persistentHandles", 0x81000000, err) &&
	       add_handles(document, chip, "nvIndices", 0x01000000, err) &&
	       add_capabilities(document, chip, err);
}

bool station_tpm_show(const char *tcti, cJSON **ret_document, struct muster_error *err)
{
	CLEANUP(chip_close) struct chip chip = { 0 };
	CLEANUP(cJSON_freep) cJSON *document = cJSON_CreateObject();

	if (!document)
		return muster_fail_memory(err);
	if (!chip_open(tcti, &chip, err) || !describe(document, &chip, err))
		return false;
	*ret_document = TAKE_PTR(document);
	return true;
}
