/* muster enrollment verify: can the device itself register with what is enrolled? */
#include <stdlib.h>
#include <string.h>

#include "muster/json.h"
#include "muster/station-verify.h"
#include "muster/text.h"

#include "enrollment.h"
#include "token-options.h"

struct verify_options {
	struct station_verify request;
	struct login_options login;
};

/* clang-format off */
#define MATERIAL_ROW(letter, name, aliases, placeholder, help, field, flags) \
	{ letter, name, aliases, OPTION_TEXT, placeholder, help, \
	  offsetof(struct verify_options, request.material.field), NULL, NULL, flags }

static const struct option_row rows[] = {
	{ 0, "enrollment-id", "eid", OPTION_TEXT, "ID", "Registration ID of the enrollment",
	  offsetof(struct verify_options, request.registration_id), NULL, NULL, 0 },
	MATERIAL_ROW('T', "tpm", "tcti", "TCTI", "The device's TPM", tpm, 0),
	TOKEN_ROWS(struct verify_options, request.material.token),
	MATERIAL_ROW(0, "certificate-path", "cp", "FILE", "The device's certificate: a file, or pkcs11:...", certificate, 0),
	MATERIAL_ROW(0, "key", NULL, "FILE", "Its key: PEM in a file of mode 0600, or pkcs11:...", key, 0),
	MATERIAL_ROW(0, "primary-key", "pk", "BASE64", "The device's symmetric key; others can see it", symmetric_key, OPTION_SECRET),
	MATERIAL_ROW(0, "primary-key-file", NULL, "FILE", "The device's symmetric key, in a file of mode 0600", symmetric_key_file, 0),
	MATERIAL_ROW(0, "derive-from", NULL, "MASTER", "Derive the symmetric key: a file, or pkcs11:...", derive_from, 0),
	{ 0, "delete-record", NULL, OPTION_FLAG, NULL, "Delete the registration record when the device is verified",
	  offsetof(struct verify_options, request.deletes_record), NULL, NULL, 0 },
	{ 0, "id-scope", NULL, OPTION_TEXT, "SCOPE", "ID scope of the DPS",
	  offsetof(struct verify_options, request.id_scope), "MUSTER_ID_SCOPE", NULL, 0 },
	{ 0, "device-endpoint", NULL, OPTION_TEXT, "HOST", "Where devices register, HOST[:PORT]",
	  offsetof(struct verify_options, request.device_endpoint), "MUSTER_DEVICE_ENDPOINT", NULL, 0 },
	LOGIN_ROWS(struct verify_options, login),
	{ 0 },
};
/* clang-format on */

static const struct column columns[] = {
	{ "registrationId", "REGISTRATION ID", false, false },
	{ "attestation", "ATTESTATION", false, false },
	{ "status", "STATUS", false, false },
	{ "assignedHub", "HUB", false, false },
	{ "deviceId", "DEVICE ID", false, false },
	{ "verification", "VERIFICATION", false, true },
};

/* "verify ID" and "verify --enrollment-id ID" are the same. */
static bool take_id(const struct invocation *call, struct station_verify *request,
		    struct muster_error *err)
{
	if (call->operand_count == 0)
		return true;
	if (request->registration_id)
		return muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
				   "ID and --enrollment-id exclude each other");
	request->registration_id = call->operands[0];
	return true;
}

static bool is_file(const char *text)
{
	return text && !text_has_prefix(text, "pkcs11:");
}

/* What the line says holds over the environment: of a certificate and a key in files no token is asked. */
static void drop_token_of_environment(struct station_material *material)
{
	const char *named = getenv("MUSTER_TOKEN");

	if (is_file(material->certificate) && (!material->key || is_file(material->key)) && named &&
	    material->token.uri && strcmp(material->token.uri, named) == 0)
		material->token.uri = NULL;
}

/* Whoever names one means it to be used. */
static bool check_token_is_asked(const struct station_material *material, struct muster_error *err)
{
	const struct station_token *token = &material->token;
	const char *given = token->uri && !option_is_from(token->uri, "MUSTER_TOKEN") ? "--token"
			    : token->pin.file && !option_is_from(token->pin.file, "MUSTER_PIN_FILE")
				    ? "--pin-file"
			    : token->pin.fd > 0 ? "--pin-fd"
						: NULL;
	const char *otherwise = material->tpm                    ? "--tpm"
				: material->symmetric_key        ? "--primary-key"
				: material->symmetric_key_file   ? "--primary-key-file"
				: is_file(material->derive_from) ? "--derive-from FILE"
								 : NULL;

	return !given || !otherwise ||
	       muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
			   "with %s no token is asked: %s does not go with it", otherwise, given);
}

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct verify_options *options = call->options;
	struct station_verify request = options->request;
	CLEANUP(service_done) struct service service = { 0 };
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	drop_token_of_environment(&request.material);
	return take_id(call, &request, err) && check_token_is_asked(&request.material, err) &&
	       enrollment_id_check(call, request.registration_id, err) &&
	       station_verify_check(&request, err) &&
	       service_open(&options->login, &service, err) &&
	       station_verify(&request, service.client, &result, err) &&
	       result_print(call, result, err);
}

const struct verb verb_enrollment_verify = {
	.noun = "enrollment",
	.name = "verify",
	.operands = "[ID]",
	.operands_max = 1,
	.summary = "Let the device register with its enrollment",
	.description =
		"Reads the enrollment, checks that it is for this device, and registers as the device itself,\n"
		"with its TPM, its key in a token or in a file, or its symmetric key. An enrollment that is\n"
		"disabled is verified when the service refuses the device as such. Registering has lasting\n"
		"effects: the hub gets the device's identity, and with --reprovision-policy never the hub that\n"
		"is chosen now stays. --delete-record takes the service's registration record away again, not\n"
		"the identity at the hub.",
	.options = rows,
	.options_size = sizeof(struct verify_options),
	.default_output = OUTPUT_JSON,
	.is_as_az = true,
	COLUMNS(columns),
	.run = run,
};
