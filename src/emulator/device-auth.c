/* Who is it? The individual enrollment of that id decides; without one, the groups are asked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "muster/ek.h"
#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/pki.h"

#include "enrollments.h"
#include "registration.h"
#include "routes.h"

DEFINE_FREEP(X509_STOREp, X509_STORE *, X509_STORE_free)
DEFINE_FREEP(X509_STORE_CTXp, X509_STORE_CTX *, X509_STORE_CTX_free)

#define GROUP_COUNT_MAX 1000

struct lookup {
	struct exchange *exchange;
	struct registration *registration;
	bool *needs_challenge;
};

static bool no_memory(struct refusal *refusal)
{
	return refuse(refusal, SERVER_FAILED, "The emulator is out of memory");
}

void registration_free(struct registration *registration)
{
	if (!registration)
		return;
	cJSON_Delete(registration->enrollment);
	cJSON_Delete(registration->body);
	free(registration->certificate);
	free(registration->endorsement_key);
	free(registration->storage_root_key);
	free(registration);
}

/* -- Symmetric keys ---------------------------------------------------------------------------------------- */

struct key_pair {
	struct bytes keys[2];
};

static void key_pair_done(struct key_pair *pair)
{
	bytes_done(&pair->keys[0]);
	bytes_done(&pair->keys[1]);
}

static bool read_keys(const cJSON *enrollment, struct key_pair *ret_pair)
{
	static const char *const names[2] = { "primaryKey", "secondaryKey" };
	const cJSON *member = json_at(enrollment, "attestation", "symmetricKey", NULL);

	for (size_t i = 0; i < 2; i++) {
		const char *text = json_text(member, names[i]);
		if (!text || !base64_decode(text, strlen(text), &ret_pair->keys[i]))
			return false;
	}
	return true;
}

static bool check_symmetric(struct lookup *lookup, const cJSON *enrollment)
{
	CLEANUP(key_pair_done) struct key_pair pair = { 0 };

	lookup->registration->attestation = DEVICE_SYMMETRIC_KEY;
	if (!read_keys(enrollment, &pair))
		return refuse(&lookup->exchange->refusal, SERVER_FAILED,
			      "The stored keys are damaged");
	const struct auth_key keys[2] = {
		{ pair.keys[0].data, pair.keys[0].size },
		{ pair.keys[1].data, pair.keys[1].size },
	};
	return auth_check_device(lookup->exchange, keys, 2);
}

/* The master itself is never accepted: only what is derived from it for this id. */
static bool check_derived(struct lookup *lookup, const cJSON *group)
{
	CLEANUP(key_pair_done) struct key_pair pair = { 0 };
	const char *id = lookup->registration->id;
	uint8_t derived[2][SHA256_SIZE];
	struct muster_error err;

	lookup->registration->attestation = DEVICE_SYMMETRIC_KEY;
	if (!read_keys(group, &pair))
		return refuse(&lookup->exchange->refusal, SERVER_FAILED,
			      "The stored keys are damaged");
	for (size_t i = 0; i < 2; i++)
		if (!hmac_sha256(pair.keys[i].data, pair.keys[i].size, id, strlen(id), derived[i],
				 &err))
			return refuse_internal(&lookup->exchange->refusal, &err);
	const struct auth_key keys[2] = { { derived[0], SHA256_SIZE },
					  { derived[1], SHA256_SIZE } };
	return auth_check_device(lookup->exchange, keys, 2);
}

/* -- X.509 ------------------------------------------------------------------------------------------------- */

static bool invalid_certificate(struct lookup *lookup)
{
	return refuse(&lookup->exchange->refusal, UNAUTHORIZED, "Invalid certificate");
}

static X509 *read_der(const struct certificate *certificate)
{
	const unsigned char *data = certificate->data;

	return d2i_X509(NULL, &data, (long)certificate->size);
}

/* What every leaf must be: the id's own by common name, and valid now. Keeps it for the webhook. */
static bool check_leaf(struct lookup *lookup, struct pki_certificate_info *info)
{
	const struct request *request = lookup->exchange->request;
	struct registration *registration = lookup->registration;
	CLEANUP(X509_freep) X509 *leaf = NULL;
	struct muster_error err;

	registration->attestation = DEVICE_X509;
	if (request->certificate_count > 0)
		leaf = read_der(&request->certificates[0]);
	if (!leaf || !pki_certificate_info(leaf, info, &err))
		return invalid_certificate(lookup);
	if (!text_equal_folded(info->common_name, registration->id))
		return invalid_certificate(lookup);
	if (!registration->emulator->any_certificate_date &&
	    (request->now_ms < info->not_before_ms || request->now_ms > info->not_after_ms))
		return invalid_certificate(lookup);
	registration->certificate =
		base64_encode(request->certificates[0].data, request->certificates[0].size);
	return registration->certificate || no_memory(&lookup->exchange->refusal);
}

static bool check_x509(struct lookup *lookup, const cJSON *enrollment)
{
	static const char *const slots[] = { "primary", "secondary" };
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };

	if (!check_leaf(lookup, &info))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		const char *thumbprint =
			json_text(json_at(enrollment, "attestation", "x509", "clientCertificates",
					  slots[i], "info", NULL),
				  "sha256Thumbprint");
		if (thumbprint && strcmp(thumbprint, info.sha256) == 0)
			return true;
	}
	return invalid_certificate(lookup);
}

static bool add_trusted(X509_STORE *store, const cJSON *group, const char *slot)
{
	const char *text =
		json_text(json_at(group, "attestation", "x509", "signingCertificates", slot, NULL),
			  "certificate");
	CLEANUP(X509_freep) X509 *certificate = NULL;
	struct muster_error err;

	return text && pki_certificate_read(text, strlen(text), slot, &certificate, &err) &&
	       X509_STORE_add_cert(store, certificate) == 1;
}

static bool chains_to_group(struct lookup *lookup, const cJSON *group)
{
	const struct request *request = lookup->exchange->request;
	CLEANUP(X509_STOREp) X509_STORE *store = X509_STORE_new();
	STACK_OF(X509) *chain = sk_X509_new_null();
	bool is_good = false;

	bool has_anchor = store && add_trusted(store, group, "primary");
	has_anchor = (store && add_trusted(store, group, "secondary")) || has_anchor;
	for (size_t i = 0; chain && i < request->certificate_count; i++) {
		X509 *certificate = read_der(&request->certificates[i]);
		if (!certificate || sk_X509_push(chain, certificate) <= 0)
			X509_free(certificate);
	}
	CLEANUP(X509_STORE_CTXp) X509_STORE_CTX *context = X509_STORE_CTX_new();
	if (has_anchor && chain && context && sk_X509_num(chain) > 0 &&
	    X509_STORE_CTX_init(context, store, sk_X509_value(chain, 0), chain) == 1) {
		X509_STORE_CTX_set_flags(context, X509_V_FLAG_PARTIAL_CHAIN);
		X509_STORE_CTX_set_time(context, 0, (time_t)(request->now_ms / 1000));
		if (lookup->registration->emulator->any_certificate_date)
			X509_STORE_CTX_set_flags(context, X509_V_FLAG_NO_CHECK_TIME);
		is_good = X509_verify_cert(context) == 1;
	}
	sk_X509_pop_free(chain, X509_free);
	return is_good;
}

static bool check_signed(struct lookup *lookup, const cJSON *group)
{
	CLEANUP(pki_certificate_info_done) struct pki_certificate_info info = { 0 };

	return check_leaf(lookup, &info) &&
	       (chains_to_group(lookup, group) || invalid_certificate(lookup));
}

/* -- TPM --------------------------------------------------------------------------------------------------- */

static bool check_presented_keys(struct lookup *lookup, const cJSON *tpm, const char *enrolled)
{
	struct registration *registration = lookup->registration;
	const char *presented = json_text(tpm, "endorsementKey");
	const char *srk = json_text(tpm, "storageRootKey");

	if (presented && strcmp(presented, enrolled) != 0)
		return refuse(&lookup->exchange->refusal, BAD_ARGUMENT,
			      "Endorsement key is invalid, or does not match the Enrollment.");
	registration->endorsement_key = strdup(enrolled);
	if (srk && !registration->storage_root_key)
		registration->storage_root_key = strdup(srk);
	return registration->endorsement_key || no_memory(&lookup->exchange->refusal);
}

static bool wants_challenge(struct lookup *lookup, const cJSON *tpm)
{
	struct ek_public srk;
	struct muster_error err;
	const char *text = json_text(tpm, "storageRootKey");

	if (lookup->exchange->route->operation != OPERATION_REGISTER)
		return refuse(&lookup->exchange->refusal, UNAUTHORIZED, "Unauthorized");
	if (!json_text(tpm, "endorsementKey"))
		return refuse(&lookup->exchange->refusal, BAD_ARGUMENT,
			      "Endorsement key is invalid, or does not match the Enrollment.");
	if (!text || !ek_public_from_base64(text, strlen(text), &srk, &err) ||
	    !ek_check_srk(&srk, &err))
		return refuse(&lookup->exchange->refusal, BAD_ARGUMENT,
			      "Storage root key is invalid.");
	*lookup->needs_challenge = true;
	return true;
}

static bool check_tpm(struct lookup *lookup, const cJSON *enrollment)
{
	struct registration *registration = lookup->registration;
	const cJSON *tpm = json_get(registration->body, "tpm");
	const char *enrolled =
		json_text(json_at(enrollment, "attestation", "tpm", NULL), "endorsementKey");
	CLEANUP(bytes_done) struct bytes key = { 0 };

	registration->attestation = DEVICE_TPM;
	if (!enrolled)
		return refuse(&lookup->exchange->refusal, SERVER_FAILED,
			      "The stored key is damaged");
	if (lookup->exchange->request->authorization &&
	    !challenge_recall(registration->emulator, registration->id, &key,
			      &registration->storage_root_key, &lookup->exchange->refusal))
		return false;
	if (!check_presented_keys(lookup, tpm, enrolled))
		return false;
	if (!lookup->exchange->request->authorization)
		return wants_challenge(lookup, tpm);
	const struct auth_key auth = { key.data, key.size };
	return auth_check_device(lookup->exchange, &auth, key.size > 0 ? 1 : 0);
}

/* -- The enrollment ---------------------------------------------------------------------------------------- */

static const struct check_row {
	const char *type;
	bool (*check_individual)(struct lookup *lookup, const cJSON *enrollment);
	bool (*check_group)(struct lookup *lookup, const cJSON *group); /* NULL: no such groups */
} checks[] = {
	{ "symmetricKey", check_symmetric, check_derived },
	{ "x509", check_x509, check_signed },
	{ "tpm", check_tpm, NULL },
};

static const struct check_row *row_of(const cJSON *enrollment)
{
	const char *type = json_text(json_get(enrollment, "attestation"), "type");

	for (size_t i = 0; type && i < ARRAY_SIZE(checks); i++)
		if (strcmp(checks[i].type, type) == 0)
			return &checks[i];
	return NULL;
}

struct group_list {
	cJSON *array;
	bool failed;
};

static bool add_group(void *context, const char *id, const char *document)
{
	struct group_list *list = context;
	struct refusal refusal;
	cJSON *group = NULL;

	(void)id;
	if (!stored_parse(document, &group, &refusal)) {
		list->failed = true;
		return false;
	}
	cJSON_AddItemToArray(list->array, group);
	return true;
}

/* A device shows either a token or a certificate; that says which groups can be its own. */
static bool group_is_eligible(const struct lookup *lookup, const struct check_row *row)
{
	bool has_token = lookup->exchange->request->authorization != NULL;

	return row && row->check_group && (row->check_group == check_derived) == has_token;
}

static bool find_group(struct lookup *lookup)
{
	CLEANUP(cJSON_freep) cJSON *groups = cJSON_CreateArray();
	struct group_list list = { groups, false };
	struct store *store = lookup->registration->emulator->store;
	struct refusal *refusal = &lookup->exchange->refusal;
	struct muster_error err;
	cJSON *group;

	store_lock(store);
	bool is_good =
		store_page(store, STORE_GROUPS, NULL, "", GROUP_COUNT_MAX, add_group, &list, &err);
	store_unlock(store);
	if (!is_good)
		return refuse_internal(refusal, &err);
	(void)refuse(refusal, NO_SUCH_ENROLLMENT, "Enrollment not found");
	cJSON_ArrayForEach(group, groups)
	{
		const struct check_row *row = row_of(group);
		if (!group_is_eligible(lookup, row))
			continue;
		free(TAKE_PTR(lookup->registration->certificate));
		if (row->check_group(lookup, group)) {
			lookup->registration->enrollment =
				cJSON_DetachItemViaPointer(groups, group);
			return true;
		}
	}
	return false;
}

static bool check_enrollment(struct lookup *lookup)
{
	struct registration *registration = lookup->registration;
	struct refusal *refusal = &lookup->exchange->refusal;

	if (!enrollment_read(registration->emulator, KIND_INDIVIDUAL, registration->id,
			     &registration->enrollment, refusal))
		return false;
	if (registration->enrollment) {
		const struct check_row *row = row_of(registration->enrollment);
		return row ? row->check_individual(lookup, registration->enrollment)
			   : refuse(refusal, SERVER_FAILED, "The stored enrollment is damaged");
	}
	if (!find_group(lookup))
		return false;
	registration->kind = KIND_GROUP;
	(void)snprintf(registration->group_id, sizeof(registration->group_id), "%s",
		       json_text(registration->enrollment, "enrollmentGroupId"));
	return true;
}

static bool check_scope_and_id(struct exchange *exchange, const cJSON *body)
{
	const char *id = json_text(body, "registrationId");

	if (!text_equal_folded(exchange->segments[0], exchange->emulator->instance.id_scope))
		return refuse(&exchange->refusal, NO_SUCH_SCOPE, "ID scope not found");
	if (!id_is_valid(exchange->id))
		return refuse(&exchange->refusal, BAD_ARGUMENT, "Invalid RegistrationId");
	if (id && !text_equal_folded(id, exchange->id))
		return refuse(&exchange->refusal, BAD_ARGUMENT,
			      "The registrationId in the body is not the one in the path");
	return true;
}

bool registration_authenticate(struct exchange *exchange, cJSON *body,
			       struct registration **ret_registration, bool *ret_needs_challenge)
{
	CLEANUP(cJSON_freep) cJSON *owned = body;
	CLEANUP(registration_freep)
	struct registration *registration = calloc(1, sizeof(*registration));

	if (!registration)
		return no_memory(&exchange->refusal);
	if (!check_scope_and_id(exchange, body))
		return false;
	registration->emulator = exchange->emulator;
	registration->now_ms = exchange->request->now_ms;
	registration->body = TAKE_PTR(owned);
	(void)snprintf(registration->id, sizeof(registration->id), "%.*s", ID_MAX, exchange->id);
	(void)snprintf(registration->api_version, sizeof(registration->api_version), "%s",
		       exchange->request->api_version);
	*ret_needs_challenge = false;
	struct lookup lookup = { exchange, registration, ret_needs_challenge };
	if (!check_enrollment(&lookup))
		return false;
	*ret_registration = TAKE_PTR(registration);
	return true;
}
