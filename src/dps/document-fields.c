#include "document-internal.h"

/* clang-format off */

const char *const dps_attestation_words[] = { "none", "tpm", "x509", "symmetricKey", NULL };
const char *const dps_allocation_words[] = { "hashed", "geoLatency", "static", "custom", NULL };
static const char *const status_words[] = { "enabled", "disabled", NULL };

static const struct field tpm_fields[] = {
	{ .name = "endorsementKey", .kind = FIELD_TEXT, .flags = FIELD_REQUIRED, .rule = rule_ek },
	{ .name = "storageRootKey", .kind = FIELD_TEXT, .rule = rule_srk },
	{ 0 },
};

static const struct field certificate_fields[] = {
	{ .name = "certificate", .kind = FIELD_TEXT },
	{ .name = "info",        .kind = FIELD_FREE, .flags = FIELD_READ_ONLY },
	{ 0 },
};

static const struct field certificates_fields[] = {
	{ .name = "primary",   .kind = FIELD_OBJECT, .members = certificate_fields, .rule = rule_certificate },
	{ .name = "secondary", .kind = FIELD_OBJECT, .members = certificate_fields, .rule = rule_certificate },
	{ 0 },
};

static const struct field references_fields[] = {
	{ .name = "primary",   .kind = FIELD_TEXT },
	{ .name = "secondary", .kind = FIELD_TEXT },
	{ 0 },
};

static const struct field x509_fields[] = {
	{ .name = "clientCertificates",  .kind = FIELD_OBJECT, .members = certificates_fields, .rule = rule_certificates },
	{ .name = "signingCertificates", .kind = FIELD_OBJECT, .members = certificates_fields, .rule = rule_certificates },
	{ .name = "caReferences",        .kind = FIELD_OBJECT, .members = references_fields,   .rule = rule_certificates },
	{ 0 },
};

static const struct field key_fields[] = {
	{ .name = "primaryKey",   .kind = FIELD_TEXT, .rule = rule_key },
	{ .name = "secondaryKey", .kind = FIELD_TEXT, .rule = rule_key },
	{ 0 },
};

static const struct field attestation_fields[] = {
	{ .name = "type",         .kind = FIELD_WORD, .flags = FIELD_REQUIRED, .words = dps_attestation_words },
	{ .name = "tpm",          .kind = FIELD_OBJECT, .members = tpm_fields },
	{ .name = "x509",         .kind = FIELD_OBJECT, .members = x509_fields, .rule = rule_x509 },
	{ .name = "symmetricKey", .kind = FIELD_OBJECT, .members = key_fields },
	{ 0 },
};

static const struct field capabilities_fields[] = {
	{ .name = "iotEdge", .kind = FIELD_BOOL, .flags = FIELD_REQUIRED },
	{ 0 },
};

static const struct field desired_fields[] = {
	{ .name = "desired", .kind = FIELD_FREE },
	{ 0 },
};

static const struct field twin_fields[] = {
	{ .name = "tags",       .kind = FIELD_FREE },
	{ .name = "properties", .kind = FIELD_OBJECT, .members = desired_fields },
	{ 0 },
};

static const struct field reprovision_fields[] = {
	{ .name = "updateHubAssignment", .kind = FIELD_BOOL, .flags = FIELD_REQUIRED },
	{ .name = "migrateDeviceData",   .kind = FIELD_BOOL, .flags = FIELD_REQUIRED },
	{ 0 },
};

static const struct field webhook_fields[] = {
	{ .name = "webhookUrl", .kind = FIELD_TEXT, .flags = FIELD_REQUIRED, .rule = rule_webhook_url },
	{ .name = "apiVersion", .kind = FIELD_TEXT, .flags = FIELD_REQUIRED, .rule = rule_api_version },
	{ 0 },
};

#define COMMON_FIELDS                                                                                                  \
	{ .name = "attestation", .kind = FIELD_OBJECT, .flags = FIELD_REQUIRED, .members = attestation_fields,         \
	  .rule = rule_attestation },                                                                                  \
	{ .name = "capabilities", .kind = FIELD_OBJECT, .members = capabilities_fields },                              \
	{ .name = "iotHubHostName", .kind = FIELD_TEXT, .rule = rule_hub },                                            \
	{ .name = "initialTwin", .kind = FIELD_OBJECT, .members = twin_fields },                                       \
	{ .name = "etag", .kind = FIELD_TEXT },                                                                        \
	{ .name = "provisioningStatus", .kind = FIELD_WORD, .words = status_words },                                   \
	{ .name = "reprovisionPolicy", .kind = FIELD_OBJECT, .members = reprovision_fields },                          \
	{ .name = "createdDateTimeUtc", .kind = FIELD_TEXT, .flags = FIELD_READ_ONLY },                                \
	{ .name = "lastUpdatedDateTimeUtc", .kind = FIELD_TEXT, .flags = FIELD_READ_ONLY },                            \
	{ .name = "allocationPolicy", .kind = FIELD_WORD, .words = dps_allocation_words },                             \
	{ .name = "iotHubs", .kind = FIELD_TEXTS, .rule = rule_hubs },                                                 \
	{ .name = "customAllocationDefinition", .kind = FIELD_OBJECT, .members = webhook_fields }

const struct field dps_enrollment_fields[] = {
	{ .name = "registrationId", .kind = FIELD_TEXT, .flags = FIELD_REQUIRED, .rule = rule_registration_id },
	{ .name = "deviceId", .kind = FIELD_TEXT, .rule = rule_device_id },
	{ .name = "registrationState", .kind = FIELD_FREE, .flags = FIELD_READ_ONLY },
	{ .name = "optionalDeviceInformation", .kind = FIELD_FREE },
	COMMON_FIELDS,
	{ 0 },
};

const struct field dps_group_fields[] = {
	{ .name = "enrollmentGroupId", .kind = FIELD_TEXT, .flags = FIELD_REQUIRED, .rule = rule_group_id },
	COMMON_FIELDS,
	{ 0 },
};

/* clang-format on */
