#include <ctype.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/x509-bare.h"

#include "document-internal.h"

DEFINE_FREEP(BIO_freep, BIO *, BIO_free_all)
DEFINE_FREEP(X509_freep, X509 *, X509_free)

#define HOST_NAME_MAX_LENGTH 253
#define URL_MAX 2048
#define API_VERSION_MIN "2018-09-01"

/* -- Names --------------------------------------------------------------------------------------------- */

static bool is_alphanumeric(char c)
{
	return isascii((unsigned char)c) && isalnum((unsigned char)c);
}

static bool consists_of(const char *text, const char *specials)
{
	for (; *text; text++)
		if (!is_alphanumeric(*text) && !strchr(specials, *text))
			return false;
	return true;
}

bool dps_registration_id_check(const char *id, struct muster_error *err)
{
	size_t length = strlen(id);

	if (length == 0 || length > DPS_REGISTRATION_ID_MAX)
		return muster_fail(
			err, CAUSE_REGISTRATION_ID_INVALID,
			"registration ID '%s' is %zu characters long, allowed are 1 to %d",
			PRINTABLE(id), length, DPS_REGISTRATION_ID_MAX);
	if (!consists_of(id, "-._:"))
		return muster_fail(err, CAUSE_REGISTRATION_ID_INVALID,
				   "registration ID '%s' has a character that is not allowed",
				   PRINTABLE(id));
	if (!is_alphanumeric(id[length - 1]) && id[length - 1] != '-')
		return muster_fail(err, CAUSE_REGISTRATION_ID_INVALID,
				   "registration ID '%s' must end in a letter, digit or dash",
				   PRINTABLE(id));
	return true;
}

bool dps_device_id_check(const char *id, struct muster_error *err)
{
	size_t length = strlen(id);

	if (length == 0 || length > DPS_DEVICE_ID_MAX)
		return muster_fail(err, CAUSE_DEVICE_ID_INVALID,
				   "device ID '%s' is %zu characters long, allowed are 1 to %d",
				   PRINTABLE(id), length, DPS_DEVICE_ID_MAX);
	if (!consists_of(id, "-:.+%_#*?!(),=@;$'"))
		return muster_fail(err, CAUSE_DEVICE_ID_INVALID,
				   "device ID '%s' has a character that is not allowed",
				   PRINTABLE(id));
	return true;
}

bool dps_hub_name_is_valid(const char *name)
{
	size_t length = strlen(name), label = 0;

	if (length == 0 || length > HOST_NAME_MAX_LENGTH || !consists_of(name, "-."))
		return false;
	for (size_t i = 0; i <= length; i++) {
		if (name[i] != '.' && name[i] != 0) {
			label++;
			continue;
		}
		if (label == 0 || label > 63 || name[i - 1] == '-' || name[i - label] == '-')
			return false;
		label = 0;
	}
	return strchr(name, '.') || text_equal_folded(name, "localhost");
}

void rule_registration_id(struct check *check, const cJSON *item)
{
	struct muster_error error;

	if (!dps_registration_id_check(item->valuestring, &error))
		check_problem(check, "Invalid RegistrationId: %s", error.message);
}

void rule_group_id(struct check *check, const cJSON *item)
{
	struct muster_error error;

	if (!dps_registration_id_check(item->valuestring, &error))
		check_problem(check, "Invalid EnrollmentGroupId: '%s'",
			      PRINTABLE(item->valuestring));
}

void rule_device_id(struct check *check, const cJSON *item)
{
	struct muster_error error;

	/* az clears a device ID by sending an empty one. */
	if (*item->valuestring && !dps_device_id_check(item->valuestring, &error))
		check_problem(check, "%s", error.message);
}

void rule_hub(struct check *check, const cJSON *item)
{
	if (!dps_hub_name_is_valid(item->valuestring))
		check_problem(check, "'%s' is not a host name", PRINTABLE(item->valuestring));
}

void rule_hubs(struct check *check, const cJSON *item)
{
	for (const cJSON *hub = item->child; hub; hub = hub->next)
		rule_hub(check, hub);
}

/* -- Attestation --------------------------------------------------------------------------------------- */

void rule_key(struct check *check, const cJSON *item)
{
	size_t size;

	if (!secret_base64_check(item->valuestring, strlen(item->valuestring), &size))
		check_problem(check, "is not base64");
	else if (size < DPS_KEY_SIZE_MIN || size > DPS_KEY_SIZE_MAX)
		check_problem(check, "has %zu bytes, allowed are %d to %d", size, DPS_KEY_SIZE_MIN,
			      DPS_KEY_SIZE_MAX);
}

void rule_ek(struct check *check, const cJSON *item)
{
	const struct dps_document_rules *rules = check->rules;
	CLEANUP(bytes_done) struct bytes ek = { 0 };
	struct muster_error error;

	if (!base64_decode(item->valuestring, strlen(item->valuestring), &ek) || ek.size == 0)
		check_problem(check, "Endorsement key is invalid: it is not base64");
	else if (rules->ek_check && !rules->ek_check(rules->context, ek.data, ek.size, &error))
		check_problem(check, "Endorsement key is invalid: %s", error.message);
}

void rule_srk(struct check *check, const cJSON *item)
{
	CLEANUP(bytes_done) struct bytes srk = { 0 };

	if (*item->valuestring &&
	    !base64_decode(item->valuestring, strlen(item->valuestring), &srk))
		check_problem(check, "Storage root key is not base64");
}

static bool is_space(char c)
{
	return isspace((unsigned char)c);
}

static size_t drop_space(char *text, size_t length)
{
	size_t used = 0;

	for (size_t i = 0; i < length; i++)
		if (!is_space(text[i]))
			text[used++] = text[i];
	return used;
}

/* No key, no chain, no word beside it: but for spaces it is what is written of the certificate alone. */
static bool is_alone(X509 *certificate, const char *pem, size_t size)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
	size_t length, at = 0;
	char *own;

	if (!bio || PEM_write_bio_X509(bio, certificate) != 1)
		return false;
	length = (size_t)BIO_get_mem_data(bio, &own);
	length = drop_space(own, length);
	for (size_t i = 0; i < size; i++) {
		if (is_space(pem[i]))
			continue;
		if (at == length || pem[i] != own[at++])
			return false;
	}
	return at == length;
}

static X509 *read_pem(OSSL_LIB_CTX *context, const void *data, size_t size, bool *ret_is_alone)
{
	CLEANUP(BIO_freep) BIO *bio = BIO_new_mem_buf(data, (int)size);
	CLEANUP(X509_freep) X509 *certificate = X509_new_ex(context, NULL);

	if (!bio || !certificate || !PEM_read_bio_X509(bio, &certificate, pem_no_password, NULL))
		return NULL;
	*ret_is_alone = is_alone(certificate, data, size);
	return TAKE_PTR(certificate);
}

static X509 *read_der(OSSL_LIB_CTX *context, const struct bytes *der)
{
	const unsigned char *end = der->data;
	CLEANUP(X509_freep) X509 *certificate = X509_new_ex(context, NULL);

	return certificate && d2i_X509(&certificate, &end, (long)der->size) &&
			       end == der->data + der->size
		       ? TAKE_PTR(certificate)
		       : NULL;
}

static X509 *read_certificate(OSSL_LIB_CTX *context, const char *text, bool *ret_is_alone)
{
	static const char begin[] = "-----BEGIN";
	CLEANUP(bytes_done) struct bytes decoded = { 0 };
	size_t length = strlen(text);

	*ret_is_alone = true;
	if (strstr(text, begin))
		return read_pem(context, text, length, ret_is_alone);
	while (length > 0 && is_space(text[length - 1]))
		length--;
	if (!base64_decode(text, length, &decoded))
		return NULL;
	if (memmem(decoded.data, decoded.size, begin, strlen(begin)))
		return read_pem(context, decoded.data, decoded.size, ret_is_alone);
	return read_der(context, &decoded);
}

static bool decode(OSSL_LIB_CTX *context, const char *text, X509 **ret_certificate,
		   bool *ret_is_alone, struct muster_error *err)
{
	X509 *certificate;

	ERR_set_mark();
	certificate = read_certificate(context, text, ret_is_alone);
	ERR_pop_to_mark();
	if (!certificate)
		return muster_fail(
			err, CAUSE_CLOUD_REFUSED,
			"the certificate is neither PEM, base64 of DER nor base64 of PEM");
	*ret_certificate = certificate;
	return true;
}

bool dps_certificate_decode(const char *text, X509 **ret_certificate, struct muster_error *err)
{
	bool ignored;

	return decode(NULL, text, ret_certificate, &ignored, err);
}

void rule_certificate(struct check *check, const cJSON *item)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	const char *text = document_text(item, "certificate");
	struct muster_error error;
	bool is_alone = true;

	if (text && !decode(x509_bare_context(), text, &certificate, &is_alone, &error))
		check_problem(check, "%s", error.message);
	else if (!is_alone)
		check_problem(check,
			      "holds more than the device's certificate, and no key or chain "
			      "may leave: give only what is from -----BEGIN CERTIFICATE----- "
			      "to -----END CERTIFICATE-----");
	else if (certificate)
		doubt_certificate(check, certificate);
	if (!text && !(check->rules->certificate_may_be_info && document_get(item, "info")))
		check_problem_at(check, "certificate", "is missing");
}

void rule_certificates(struct check *check, const cJSON *item)
{
	if (!document_get(item, "primary") && !document_get(item, "secondary"))
		check_problem(check, "needs a primary or a secondary");
}

void rule_x509(struct check *check, const cJSON *item)
{
	int kinds = !!document_get(item, "clientCertificates") +
		    !!document_get(item, "signingCertificates") +
		    !!document_get(item, "caReferences");

	if (kinds != 1)
		check_problem(check, "needs exactly one of clientCertificates, "
				     "signingCertificates and caReferences");
}

static void rule_keys_there(struct check *check, const cJSON *attestation)
{
	const cJSON *keys = document_get(attestation, "symmetricKey");

	if (!document_get(keys, "primaryKey") || !document_get(keys, "secondaryKey"))
		check_problem_at(check, "symmetricKey",
				 "lacks keys, so the service would make new ones and the device's "
				 "would end; export them with --include-keys");
}

/* Symmetric keys may be left out as a whole: the service makes them. */
void rule_attestation(struct check *check, const cJSON *item)
{
	static const char *const members[] = { "tpm", "x509", "symmetricKey" };
	const char *type = document_text(item, "type");

	for (size_t i = 0; type && i < ARRAY_SIZE(members); i++) {
		bool is_own = text_equal_folded(type, members[i]);
		bool is_there = document_get(item, members[i]) != NULL;

		if (is_own && !is_there && i < 2)
			check_problem_at(check, members[i], "is missing");
		if (is_own && i == 2 && check->rules->keys_must_be_there)
			rule_keys_there(check, item);
		if (!is_own && is_there)
			check_problem_at(check, members[i], "does not go with type '%s'",
					 PRINTABLE(type));
	}
}

/* -- Allocation ---------------------------------------------------------------------------------------- */

void rule_webhook_url(struct check *check, const cJSON *item)
{
	const char *url = item->valuestring;
	bool has_scheme = text_has_prefix(url, "https://") || text_has_prefix(url, "http://");

	if (!has_scheme || strlen(url) > URL_MAX || strpbrk(url, " \"<>\\\r\n\t"))
		check_problem(check, "is not an http or https URL");
}

void rule_api_version(struct check *check, const cJSON *item)
{
	const char *version = item->valuestring;
	bool has_shape = strlen(version) >= 10 && strspn(version, "0123456789-") >= 10 &&
			 version[4] == '-' && version[7] == '-';

	if (!has_shape || strncmp(version, API_VERSION_MIN, 10) < 0)
		check_problem(check, "'%s' is not an API version from 2018-09-01-preview on",
			      PRINTABLE(version));
}

static void rule_hub_count(struct check *check, const cJSON *document)
{
	int hubs = cJSON_GetArraySize(document_get(document, "iotHubs"));

	if (hubs == 0 && document_get(document, "iotHubHostName"))
		hubs = 1;
	if (hubs != 1)
		check_problem_at(check, "iotHubs",
				 "must name exactly one hub with allocation policy 'static'");
}

static void rule_common_name(struct check *check, const cJSON *document)
{
	const char *id = document_text(document, "registrationId");

	if (id && strlen(id) > DPS_REGISTRATION_ID_X509_MAX)
		check_problem_at(check, "registrationId",
				 "Invalid RegistrationId: with X.509 at most %d characters",
				 DPS_REGISTRATION_ID_X509_MAX);
}

void rule_document(struct check *check, const cJSON *document)
{
	const char *policy = document_text(document, "allocationPolicy");
	const char *type = document_text(document_get(document, "attestation"), "type");

	if (policy && text_equal_folded(policy, "custom") &&
	    !document_get(document, "customAllocationDefinition"))
		check_problem_at(check, "customAllocationDefinition",
				 "A CustomAllocationDefinition is required when the allocation "
				 "policy is set to 'Custom'");
	if (policy && text_equal_folded(policy, "static"))
		rule_hub_count(check, document);
	if (type && text_equal_folded(type, "x509"))
		rule_common_name(check, document);
}
