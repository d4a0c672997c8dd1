/* The options that say what an enrollment shall be, shared by create and update, and what has to be read for them. */
#pragma once

#include "muster/dps-settings.h"
#include "muster/secret.h"
#include "muster/station.h"

#include "enrollment.h"
#include "token-options.h"

struct settings_options {
	const char *device_id;
	const char *endorsement_key;
	const char *certificate_path, *secondary_certificate_path;
	const char *primary_key, *secondary_key;
	const char *primary_key_file, *secondary_key_file;
	const char *tpm;            /* in place of endorsement_key */
	const char *derive_from;    /* in place of primary_key */
	struct station_token token; /* of what is in one */
	const char *provisioning_status, *reprovision_policy, *allocation_policy;
	struct option_list hubs;
	const char *hub_host_name;
	const char *webhook_url, *api_version;
	const char *tags, *properties, *device_information;
	enum option_bool edge_enabled;
	bool strict;
	bool dry_run;
};

/* clang-format off */
#define SETTINGS_ROW(letter, name, aliases, kind, placeholder, help, type, member, field, choices, flags) \
	{ letter, name, aliases, kind, placeholder, help, offsetof(type, member.field), NULL, choices, flags }
#define SETTINGS_ROWS(type, member)                                                                                    \
	SETTINGS_ROW('d', "device-id", NULL, OPTION_TEXT, "ID", "Device ID at the hub; else the registration ID",      \
		     type, member, device_id, NULL, 0),                                                                \
	SETTINGS_ROW(0, "provisioning-status", "ps", OPTION_ONE_OF, "STATUS", "enabled or disabled",                   \
		     type, member, provisioning_status, dps_settings_statuses, 0),                                     \
	SETTINGS_ROW(0, "endorsement-key", "ek", OPTION_TEXT, "BASE64", "Endorsement key of the TPM, TPM2B_PUBLIC",    \
		     type, member, endorsement_key, NULL, 0),                                                          \
	SETTINGS_ROW(0, "certificate-path", "cp", OPTION_TEXT, "FILE", "The device's certificate: a file, or pkcs11:...",                     \
		     type, member, certificate_path, NULL, 0),                                                         \
	SETTINGS_ROW(0, "secondary-certificate-path", "scp", OPTION_TEXT, "FILE", "The device's second certificate",   \
		     type, member, secondary_certificate_path, NULL, 0),                                               \
	SETTINGS_ROW(0, "primary-key", "pk", OPTION_TEXT, "BASE64", "Symmetric key; others can see it",                \
		     type, member, primary_key, NULL, OPTION_SECRET),                                                  \
	SETTINGS_ROW(0, "secondary-key", "sk", OPTION_TEXT, "BASE64", "Second symmetric key; others can see it",       \
		     type, member, secondary_key, NULL, OPTION_SECRET),                                                \
	SETTINGS_ROW(0, "primary-key-file", NULL, OPTION_TEXT, "FILE", "Symmetric key, in a file of mode 0600",        \
		     type, member, primary_key_file, NULL, 0),                                                         \
	SETTINGS_ROW(0, "secondary-key-file", NULL, OPTION_TEXT, "FILE", "Second symmetric key, in a file of mode 0600", \
		     type, member, secondary_key_file, NULL, 0),                                                       \
	SETTINGS_ROW('T', "tpm", "tcti", OPTION_TEXT, "TCTI", "Take the endorsement key of this TPM",                  \
		     type, member, tpm, NULL, 0),                                                                      \
	SETTINGS_ROW(0, "derive-from", NULL, OPTION_TEXT, "MASTER", "Derive the symmetric key: a file, or pkcs11:...", \
		     type, member, derive_from, NULL, 0),                                                              \
	TOKEN_ROWS(type, member.token),                                                                                \
	SETTINGS_ROW(0, "allocation-policy", "ap", OPTION_ONE_OF, "POLICY", "custom, geoLatency, hashed or static",    \
		     type, member, allocation_policy, dps_settings_allocations, 0),                                    \
	SETTINGS_ROW(0, "iot-hubs", "ih", OPTION_WORDS, "HOST", "Hubs the device may be assigned to",                  \
		     type, member, hubs, NULL, 0),                                                                     \
	SETTINGS_ROW(0, "iot-hub-host-name", "hn", OPTION_TEXT, "HOST", "The one hub: static allocation",              \
		     type, member, hub_host_name, NULL, OPTION_HIDDEN),                                                \
	SETTINGS_ROW(0, "webhook-url", "wh", OPTION_TEXT, "URL", "Webhook of custom allocation",                       \
		     type, member, webhook_url, NULL, 0),                                                              \
	SETTINGS_ROW(0, "api-version", "av", OPTION_TEXT, "VERSION", "Service version that the webhook understands",   \
		     type, member, api_version, NULL, 0),                                                              \
	SETTINGS_ROW(0, "reprovision-policy", "rp", OPTION_ONE_OF, "POLICY",                                           \
		     "reprovisionandmigratedata, reprovisionandresetdata or never",                                    \
		     type, member, reprovision_policy, dps_settings_reprovisions, 0),                                  \
	SETTINGS_ROW(0, "edge-enabled", "ee", OPTION_BOOL, "true|false", "An IoT Edge device",                         \
		     type, member, edge_enabled, NULL, 0),                                                             \
	SETTINGS_ROW(0, "initial-twin-tags", "tags", OPTION_TEXT, "JSON", "Tags of the initial twin",                  \
		     type, member, tags, NULL, 0),                                                                     \
	SETTINGS_ROW(0, "initial-twin-properties", "props", OPTION_TEXT, "JSON", "Desired properties of the initial twin", \
		     type, member, properties, NULL, 0),                                                               \
	SETTINGS_ROW(0, "device-information", "info", OPTION_TEXT, "JSON", "Free information about the device",        \
		     type, member, device_information, NULL, 0),                                                       \
	SETTINGS_ROW(0, "strict", NULL, OPTION_FLAG, NULL, "Refuse what the service would refuse, instead of a warning", \
		     type, member, strict, NULL, 0),                                                                   \
	SETTINGS_ROW(0, "dry-run", NULL, OPTION_FLAG, NULL, "Print the request with keys masked; send nothing",        \
		     type, member, dry_run, NULL, 0)
/* clang-format on */

enum { SETTINGS_HUBS_MAX = 64 };

/* The settings, and what their texts live in. For CLEANUP(settings_done). */
struct settings {
	struct settings_options given; /* the options, but for what is given as an empty text */
	struct dps_settings values;    /* borrows from the options and from below */
	struct station_certificate certificates[2];
	struct secret keys[2];
	char *endorsement_key; /* of the TPM */
	cJSON *tags, *properties, *device_information;
	char *hub_words;
	const char *hubs[SETTINGS_HUBS_MAX];
};
void settings_done(struct settings *settings);

/* Twins, hubs and words; every mistake in them is found here. Borrows the options. An empty text clears a device ID and a
 * twin; of other options it is what is left of a variable that nobody set, which changes nothing, as with az. Keys and certificates that are
 * elsewhere have only the place of their source yet, which is enough to see what contradicts what. */
bool settings_prepare(const struct settings_options *options, struct settings *ret_settings,
		      struct muster_error *err) MUST_CHECK;

/* Then what files, tokens and TPMs give, once nothing contradicts it; more is asked of a master where the enrollment `is_new`. */
bool settings_read_material(const char *registration_id, bool is_new, struct settings *settings,
			    struct muster_error *err) MUST_CHECK;

/* What the service would refuse of this body: a warning each, or CAUSE_MATERIAL_DOUBTFUL when the options are strict. */
bool settings_check_body(const struct settings_options *options, const struct text *body,
			 struct muster_error *err) MUST_CHECK;
