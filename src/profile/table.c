/* What a profile can say. */
#include "table.h"

#define HOST "[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
#define SERIAL "serial|serial\\.lower"
#define EK "ek\\.sha256\\.base32"

#define AT(member) .offset = offsetof(struct profile, member)

#define PKCS11_URI                                                                          \
	.pattern = "^pkcs11:[!-~]+$", .form = "a PKCS#11 URI: \"pkcs11:...\"", .max = 1024, \
	.forbidden = "pin-value", .forbidden_why = "a PIN does not belong into a profile"

const struct word profile_attestation_words[] = {
	{ "tpm", PROFILE_TPM },
	{ "x509", PROFILE_X509 },
	{ "symmetricKey", PROFILE_SYMMETRIC_KEY },
	{ 0 },
};

const struct word profile_allocation_words[] = {
	{ "hashed", PROFILE_HASHED },
	{ "geoLatency", PROFILE_GEO_LATENCY },
	{ "static", PROFILE_STATIC },
	{ "custom", PROFILE_CUSTOM },
	{ 0 },
};

static const struct word ek_certificate_words[] = {
	{ "required", PROFILE_EK_REQUIRED },
	{ "optional", PROFILE_EK_OPTIONAL },
	{ "ignore", PROFILE_EK_IGNORE },
	{ 0 },
};

static const struct word revocation_words[] = {
	{ "off", PROFILE_REVOCATION_OFF },
	{ "ifPresent", PROFILE_REVOCATION_IF_PRESENT },
	{ "required", PROFILE_REVOCATION_REQUIRED },
	{ 0 },
};

static const struct word expired_words[] = { { "refuse", 0 }, { "allow", 1 }, { 0 } };

static const struct word key_type_words[] = {
	{ "ec-p256", 0 },  { "ec-p384", 0 },  { "ec-p521", 0 }, { "rsa-2048", 0 },
	{ "rsa-3072", 0 }, { "rsa-4096", 0 }, { "ed25519", 0 }, { 0 },
};

static const struct word key_lives_words[] = {
	{ "token", 0 },
	{ "wrapped-to-device", 1 },
	{ 0 },
};

static const struct word secondary_key_words[] = { { "same", 0 }, { "own", 1 }, { 0 } };

static const struct word status_words[] = { { "enabled", 0 }, { "disabled", 1 }, { 0 } };

static const struct word reprovision_words[] = {
	{ "migrate", PROFILE_MIGRATE },
	{ "reset", PROFILE_RESET },
	{ "never", PROFILE_NEVER },
	{ 0 },
};

static const struct word verify_words[] = {
	{ "register", PROFILE_VERIFY_REGISTER },
	{ "register-then-delete-record", PROFILE_VERIFY_AND_DELETE_RECORD },
	{ "none", PROFILE_VERIFY_NONE },
	{ 0 },
};

static const struct word batch_verify_words[] = {
	{ "all", PROFILE_BATCH_VERIFY_ALL },
	{ "sample", PROFILE_BATCH_VERIFY_SAMPLE },
	{ "none", PROFILE_BATCH_VERIFY_NONE },
	{ 0 },
};

static const struct word evidence_words[] = {
	{ "files", PROFILE_EVIDENCE_FILES },
	{ "lines", PROFILE_EVIDENCE_LINES },
	{ 0 },
};

static const struct word lookalikes_words[] = {
	{ "warn", PROFILE_LOOKALIKES_WARN },
	{ "refuse", PROFILE_LOOKALIKES_REFUSE },
	{ "pass", PROFILE_LOOKALIKES_PASS },
	{ 0 },
};

/* -- attestation --------------------------------------------------------------------------------------------- */

static const struct field tpm_rows[] = {
	{ "certificate", FIELD_WORD, AT(tpm.certificate), .words = ek_certificate_words,
	  .fallback = "optional",
	  .help = "Whether the TPM has to hold an EK certificate. One that is there has to certify "
		  "the EK that the TPM presents, unless it is ignored." },
	{ "fetch", FIELD_BOOL, AT(tpm.fetch), .fallback = "false",
	  .help = "Ask the vendor's service for the EK certificate when the TPM holds none. HTTPS "
		  "only." },
	{ "persist", FIELD_BOOL, AT(tpm.persist), .fallback = "true",
	  .help = "Make the TCG's RSA-2048 EK and persist it at 0x81010001 when nothing is there." },
	{ "roots", FIELD_PATH, AT(tpm.roots), .max = 1024,
	  .help = "Folder of PEM files with the roots of TPM vendors. With it an EK certificate "
		  "has to chain to one of them." },
	{ "crls", FIELD_PATH, AT(tpm.crls), .max = 1024,
	  .help = "Folder of the vendors' revocation lists, PEM or DER. None is fetched." },
	{ "revocation", FIELD_WORD, AT(tpm.revocation), .words = revocation_words,
	  .fallback = "ifPresent",
	  .help = "Whether there has to be a revocation list of each issuer, or those count that "
		  "are there, or none." },
	{ "expired", FIELD_WORD_BOOL, AT(tpm.allow_expired), .words = expired_words,
	  .fallback = "refuse",
	  .help = "What to do about EK certificates and revocation lists that are out of date." },
	{ "prove", FIELD_BOOL, AT(tpm.prove), .fallback = "true",
	  .help = "Let the TPM show, before anything is enrolled, that it holds the private half "
		  "of its EK." },
};
static const struct fields tpm_fields = { FIELDS(tpm_rows) };

static const struct field issuer_rows[] = {
	{ "key", FIELD_TEXT, true, AT(x509.issuer_key), PKCS11_URI,
	  .help = "The issuer's private key in a token." },
	{ "certificate", FIELD_PATH, true, AT(x509.issuer_certificate), .max = 1024,
	  .help = "File with the issuer's certificate; its own issuers may follow in it." },
	{ "crlUrl", FIELD_TEXT, AT(x509.crl_url), .max = 1024,
	  .pattern = "^https?://[!-+.-:<-~-]+$", .form = "an http address without ',' and ';'",
	  .help = "Where the issuer's CRL is to be had: the certificates' CRL distribution point." },
};
static const struct fields issuer_fields = { FIELDS(issuer_rows) };

static const struct field key_rows[] = {
	{ "lives", FIELD_WORD_BOOL, AT(x509.key_leaves), .words = key_lives_words,
	  .fallback = "token",
	  .help = "Where the key is used: in the token that made it, or in the device. Then it is "
		  "made in the station's token, leaves it wrapped for the device, and is destroyed "
		  "there." },
	{ "deviceKeys", FIELD_PATH, AT(x509.device_keys), .max = 1024,
	  .help = "Folder with the public key (RSA, PEM) or certificate of each device, as "
		  "REGISTRATION-ID.pem; otherwise --device-key." },
};
static const struct fields key_fields = { FIELDS(key_rows) };

static const struct field x509_rows[] = {
	{ "keyType", FIELD_WORD_TEXT, AT(x509.key_type), .words = key_type_words,
	  .fallback = "ec-p256", .help = "The key pair that is made in the token." },
	{ "key", FIELD_GROUP, .group = &key_fields, .help = "Where the key lives." },
	{ "token", FIELD_TEXT, AT(x509.token), PKCS11_URI,
	  .help = "The token that holds the device's key; otherwise --token." },
	{ "subject", FIELD_TEMPLATE, AT(x509.subject), .template_kind = TEMPLATE_SUBJECT,
	  .fallback = "CN={registrationId}",
	  .pattern = "^((O|OU|C|ST|L|serialNumber)=([^,=+{}\\\\]|\\{(" SERIAL
		     "|registrationId)\\})+, ?)*CN=\\{registrationId\\}"
		     "(, ?(O|OU|C|ST|L|serialNumber)=([^,=+{}\\\\]|\\{(" SERIAL
		     "|registrationId)\\})+)*$",
	  .form = "a name with CN={registrationId} and any of O, OU, C, ST, L, serialNumber: "
		  "\"CN={registrationId},O=Example\"",
	  .help = "The certificate's subject. Its common name is the registration ID." },
	{ "keyLabel", FIELD_TEMPLATE, AT(x509.key_label), .template_kind = TEMPLATE_LABEL,
	  .fallback = "{registrationId}",
	  .pattern = "^([ -z|~]|\\{(" SERIAL "|registrationId)\\})+$",
	  .form = "printable ASCII with {serial}, {serial.lower}, {registrationId}",
	  .help = "The label of the key pair in the token." },
	{ "validDays", FIELD_INTEGER, AT(x509.valid_days), .least = 1, .most = 36500,
	  .fallback = "3650", .help = "Days that the certificate is valid." },
	{ "secondaryValidDays", FIELD_INTEGER, AT(x509.secondary_valid_days), .least = 0,
	  .most = 36500, .fallback = "0",
	  .help = "Days that a second certificate is valid, which the enrollment has beside the "
		  "first, so that one can be replaced while the other holds. 0: there is none, "
		  "but one of a key of its own is valid for validDays." },
	{ "secondaryKey", FIELD_WORD_BOOL, AT(x509.own_secondary_key), .words = secondary_key_words,
	  .fallback = "same",
	  .help = "Whether the second certificate is of the same key pair, or of one of its own, "
		  "which is made like the first, lives where it does, and is rolled apart from "
		  "it." },
	{ "skewMinutes", FIELD_INTEGER, AT(x509.skew_minutes), .least = 0, .most = 1440,
	  .fallback = "10",
	  .help = "Minutes that the validity begins before the certificate is made, for devices "
		  "whose clocks are behind." },
	{ "sessions", FIELD_INTEGER, AT(sessions), .least = 1, .most = 32,
	  .help = "Sessions with the token, a device under way in each; otherwise as the module "
		  "is configured, or 1." },
	{ "issuer", FIELD_GROUP, .group = &issuer_fields,
	  .help = "Who issues the certificate; without it the certificate is self-signed." },
};
static const struct fields x509_fields = { FIELDS(x509_rows) };

#define SOURCE(member) offsetof(struct profile_key_source, member)

static const struct field key_source_rows[] = {
	{ "file", FIELD_PATH, .offset = SOURCE(file), .max = 1024,
	  .help = "A file of mode 0600 with the key in base64, 16 to 64 bytes." },
	{ "key", FIELD_TEXT, .offset = SOURCE(uri), PKCS11_URI,
	  .help = "A secret key in a token." },
	{ "tpm", FIELD_TEXT, .offset = SOURCE(tpm), .max = 512,
	  .pattern = "^tpm:handle=0x81[0-9A-Fa-f]{6};tcti=[!-:<-~]+$",
	  .form = "a key in a TPM: \"tpm:handle=0x81000010;tcti=device:/dev/tpmrm0\"",
	  .help = "A keyed-hash key in the station's TPM, at a persistent handle." },
};
static const struct fields key_source_fields = { FIELDS(key_source_rows), .is_one_of = true };

static const struct field symmetric_key_rows[] = {
	{ "primaryMaster", FIELD_GROUP, true, AT(master.primary), .group = &key_source_fields,
	  .help = "The master from which the device's primary key is derived." },
	{ "secondaryMaster", FIELD_GROUP, true, AT(master.secondary), .group = &key_source_fields,
	  .help = "The master from which the device's secondary key is derived." },
	{ "sessions", FIELD_INTEGER, AT(sessions), .least = 1, .most = 32,
	  .help = "Sessions with the token, a device under way in each; otherwise as the module "
		  "is configured, or 1." },
};
static const struct fields symmetric_key_fields = { FIELDS(symmetric_key_rows) };

static const struct field attestation_rows[] = {
	{ "type", FIELD_WORD, true, AT(attestation), .words = profile_attestation_words,
	  .help = "How a device proves who it is." },
	{ "tpm", FIELD_GROUP, .group = &tpm_fields, .help = "For type tpm." },
	{ "x509", FIELD_GROUP, .group = &x509_fields, .help = "For type x509." },
	{ "symmetricKey", FIELD_GROUP, .group = &symmetric_key_fields,
	  .help = "For type symmetricKey." },
};
static const struct fields attestation_fields = { FIELDS(attestation_rows) };

/* -- enrollment ---------------------------------------------------------------------------------------------- */

static const struct field custom_allocation_rows[] = {
	{ "webhookUrl", FIELD_TEXT, true, AT(webhook_url), .max = 2048,
	  .pattern = "^(https://|http://(localhost|127\\.0\\.0\\.1)(:|/))[!-~]+$",
	  .form = "an https URL", .help = "The function that chooses the hub." },
	{ "apiVersion", FIELD_TEXT, true, AT(webhook_api_version),
	  .pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$",
	  .form = "an API version: \"2021-10-01\"",
	  .help = "Version of the request that the function gets." },
};
static const struct fields custom_allocation_fields = { FIELDS(custom_allocation_rows) };

static const struct field reprovision_rows[] = {
	{ "updateHubAssignment", FIELD_BOOL, true, AT(update_hub_assignment),
	  .help = "Choose the hub again at each registration." },
	{ "migrateDeviceData", FIELD_BOOL, true, AT(migrate_device_data),
	  .help = "Move the twin along when the hub changes." },
};
static const struct fields reprovision_fields = { FIELDS(reprovision_rows) };

static const struct field twin_properties_rows[] = {
	{ "desired", FIELD_JSON, AT(twin_desired), .help = "Desired properties." },
};
static const struct fields twin_properties_fields = { FIELDS(twin_properties_rows) };

static const struct field twin_rows[] = {
	{ "tags", FIELD_JSON, AT(twin_tags), .help = "Tags, which the device does not see." },
	{ "properties", FIELD_GROUP, .group = &twin_properties_fields, .help = "Properties." },
};
static const struct fields twin_fields = { FIELDS(twin_rows) };

static const struct field batch_rows[] = {
	{ "verify", FIELD_WORD, AT(batch.verify), .words = batch_verify_words, .fallback = "all",
	  .help = "Which of a manifest's devices are verified." },
	{ "sample", FIELD_INTEGER, AT(batch.sample), .least = 1, .most = 10000000,
	  .help = "For verify sample: so many devices, spread over the manifest." },
	{ "evidence", FIELD_WORD, AT(batch.evidence), .words = evidence_words, .fallback = "files",
	  .help = "Whether evidence of a manifest's devices is a file for each, or a line each of one file." },
	{ "lookAlikes", FIELD_WORD, AT(batch.lookalikes), .words = lookalikes_words,
	  .fallback = "warn",
	  .help = "What to do about serials that differ only by 0 and O, or 1, l and I." },
};
static const struct fields batch_fields = { FIELDS(batch_rows) };

static const struct field profile_rows[] = {
	{ "profile", FIELD_TEXT, true, AT(name), .max = 64,
	  .pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$",
	  .form = "letters, digits, '.', '_' and '-', beginning with a letter or digit",
	  .help = "The name of this profile." },
	{ "version", FIELD_INTEGER, AT(version), .least = 1, .most = 1000000, .fallback = "1",
	  .help = "Your own count of this profile's changes; it goes into the records." },
	{ "idScope", FIELD_TEXT, AT(id_scope), .max = 64, .pattern = "^[A-Za-z0-9]+$",
	  .form = "letters and digits: \"0ne00AB12CD\"",
	  .help = "ID scope of the provisioning service; otherwise --id-scope or MUSTER_ID_SCOPE." },
	{ "deviceEndpoint", FIELD_TEXT, AT(device_endpoint), .pattern = "^" HOST "(:[0-9]{1,5})?$",
	  .form = "a host name, or host:port",
	  .help = "Where devices register; otherwise the service's global endpoint." },
	{ "attestation", FIELD_GROUP, true, .group = &attestation_fields,
	  .help = "How a device proves who it is." },
	{ "registrationId", FIELD_TEMPLATE, AT(registration_id),
	  .template_kind = TEMPLATE_REGISTRATION_ID,
	  .pattern = "^([A-Za-z0-9._:-]|\\{(" SERIAL "|" EK ")\\})+$",
	  .form = "an ID with {serial}, {serial.lower}, {ek.sha256.base32}",
	  .help = "Template of the registration ID, folded to lower case. Without it "
		  "{ek.sha256.base32} for a TPM, else {serial.lower}." },
	{ "deviceId", FIELD_TEMPLATE, AT(device_id), .template_kind = TEMPLATE_DEVICE_ID,
	  .pattern = "^([A-Za-z0-9:.+%_#*?!(),=@;$'-]|\\{(" SERIAL "|" EK "|registrationId)\\})+$",
	  .form = "an ID with {serial}, {serial.lower}, {ek.sha256.base32}, {registrationId}",
	  .help = "Template of the IoT Hub device ID; otherwise the registration ID." },
	{ "provisioningStatus", FIELD_WORD_BOOL, AT(is_disabled), .words = status_words,
	  .fallback = "enabled", .help = "Whether the device may register." },
	{ "allocationPolicy", FIELD_WORD, AT(allocation), .words = profile_allocation_words,
	  .help = "How the hub is chosen; otherwise as the service is set." },
	{ "iotHubs", FIELD_LIST, AT(iot_hubs), .pattern = "^" HOST "$", .form = "a host name",
	  .help = "Hubs to choose from, by host name." },
	{ "customAllocation", FIELD_GROUP, .group = &custom_allocation_fields,
	  .help = "For allocationPolicy custom." },
	{ "reprovisionPolicy", FIELD_WORD_OR_GROUP, AT(reprovision), .words = reprovision_words,
	  .group = &reprovision_fields, .group_value = PROFILE_REPROVISION_AS_WRITTEN,
	  .fallback = "migrate",
	  .help = "What a later registration does: choose the hub again and move the twin, choose "
		  "it again and reset the twin, or neither." },
	{ "iotEdge", FIELD_BOOL, AT(iot_edge), .fallback = "false",
	  .help = "Whether the device is an IoT Edge device." },
	{ "initialTwin", FIELD_GROUP, .group = &twin_fields,
	  .help = "The twin that a device begins with." },
	{ "deviceInformation", FIELD_JSON, AT(device_information),
	  .help = "Anything about the device that goes into the enrollment." },
	{ "approvals", FIELD_INTEGER, AT(approvals), .least = 0, .most = 8, .fallback = "0",
	  .help = "How many people beside the one who asks have to approve a manifest or a production; a "
		  "station may demand more." },
	{ "retryBudget", FIELD_INTEGER, AT(retry_budget), .least = 1, .most = 1000,
	  .fallback = "10",
	  .help = "Runs in which a device may fail before it is put aside for a person; what ails the "
		  "station or the network does not count." },
	{ "verify", FIELD_WORD, AT(verify), .words = verify_words, .fallback = "register",
	  .help = "Whether the station registers as the device would before it lets it go, and "
		  "whether it deletes the record of that." },
	{ "batch", FIELD_GROUP, .group = &batch_fields,
	  .help = "For the devices of a manifest; the command line's options hold over it." },
};
const struct fields profile_fields = { FIELDS(profile_rows) };

/* -- What cannot stand together ------------------------------------------------------------------------------- */

#define NO_EK_HERE "only a TPM has an EK: {ek.sha256.base32} needs attestation type tpm"

const struct rule profile_rules[] = {
	{ "attestation.type", "tpm", RULE_FORBID, "attestation.x509",
	  .message = "attestation is by TPM; x509 does not belong here" },
	{ "attestation.type", "tpm", RULE_FORBID, "attestation.symmetricKey",
	  .message = "attestation is by TPM; symmetricKey does not belong here" },
	{ "attestation.type", "x509", RULE_FORBID, "attestation.tpm",
	  .message = "attestation is by certificate; tpm does not belong here" },
	{ "attestation.type", "x509", RULE_FORBID, "attestation.symmetricKey",
	  .message = "attestation is by certificate; symmetricKey does not belong here" },
	{ "attestation.type", "symmetricKey", RULE_FORBID, "attestation.tpm",
	  .message = "attestation is by symmetric key; tpm does not belong here" },
	{ "attestation.type", "symmetricKey", RULE_FORBID, "attestation.x509",
	  .message = "attestation is by symmetric key; x509 does not belong here" },
	{ "attestation.type", "symmetricKey", RULE_REQUIRE, "attestation.symmetricKey",
	  .message = "it names the master keys" },
	{ "attestation.type", "x509", RULE_WITHOUT, "registrationId", "{ek.", NO_EK_HERE },
	{ "attestation.type", "x509", RULE_WITHOUT, "deviceId", "{ek.", NO_EK_HERE },
	{ "attestation.type", "symmetricKey", RULE_WITHOUT, "registrationId", "{ek.", NO_EK_HERE },
	{ "attestation.type", "symmetricKey", RULE_WITHOUT, "deviceId", "{ek.", NO_EK_HERE },
	{ "attestation.x509.key.deviceKeys", NULL, RULE_EQUALS, "attestation.x509.key.lives",
	  "wrapped-to-device", "devices' keys are for key.lives wrapped-to-device" },
	{ "attestation.tpm.crls", NULL, RULE_REQUIRE, "attestation.tpm.roots",
	  .message = "revocation lists count only for certificates that chain to a root" },
	{ "attestation.tpm.revocation", "required", RULE_REQUIRE, "attestation.tpm.crls",
	  .message = "revocation lists are required, so their folder has to be named" },
	{ "attestation.tpm.revocation", "required", RULE_EQUALS, "attestation.tpm.certificate",
	  "required",
	  "what was revoked are certificates, so attestation.tpm.certificate has to be required" },
	{ "attestation.tpm.certificate", "ignore", RULE_FORBID, "attestation.tpm.roots",
	  .message = "certificates are ignored, also by whom they are; roots do not belong here" },
	{ "batch.verify", "sample", RULE_REQUIRE, "batch.sample",
	  .message = "a sample is verified, so its size has to be named" },
	{ "batch.sample", NULL, RULE_EQUALS, "batch.verify", "sample",
	  "batch.sample needs batch.verify sample" },
	{ "iotHubs", NULL, RULE_REQUIRE, "allocationPolicy",
	  .message = "hubs are named, so it has to be said how one is chosen" },
	{ "allocationPolicy", "static", RULE_REQUIRE, "iotHubs",
	  .message = "allocation is static, so the hub has to be named" },
	{ "allocationPolicy", "static", RULE_ONE_ITEM, "iotHubs",
	  .message = "allocation is static: iotHubs has to name one hub" },
	{ "allocationPolicy", "custom", RULE_REQUIRE, "customAllocation",
	  .message = "allocation is custom, so the webhook has to be named" },
	{ "customAllocation", NULL, RULE_EQUALS, "allocationPolicy", "custom",
	  "customAllocation needs allocationPolicy custom" },
};
const size_t profile_rule_count = ARRAY_SIZE(profile_rules);
