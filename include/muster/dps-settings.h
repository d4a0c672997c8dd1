/* What an enrollment shall be, as the options of a command line say it, and the documents that come of it: a new one as az
 * would write it, or the service's own with only these members changed. Talks to nobody. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/text.h"

/* Everything borrowed and sent as given; of the texts only `device_id` may be empty. NULL, zero and false: not said. */
struct dps_settings {
	const char *device_id;

	const char *attestation_type; /* "tpm", "x509" or "symmetricKey"; create only */
	const char *endorsement_key;
	const char *certificate, *secondary_certificate; /* PEM text, or base64 of DER */
	bool remove_certificate, remove_secondary_certificate;
	const char *primary_key, *secondary_key;
	/* The options that these came by, for messages; NULL: the ones of the same name. */
	const char *endorsement_key_option, *primary_key_option, *secondary_key_option;

	const char *provisioning_status; /* "enabled" or "disabled" */
	const char *
		reprovision_policy; /* "reprovisionandmigratedata", "reprovisionandresetdata" or "never" */
	bool sets_edge, is_edge;

	const char *allocation_policy; /* "custom", "geoLatency", "hashed" or "static" */
	bool sets_hubs;
	const char *const *hubs;
	size_t hub_count;
	bool pins_hub; /* the hubs came by --iot-hub-host-name, which means static */
	const char *webhook_url, *webhook_api_version;

	/* Objects; {} clears. */
	const cJSON *tags, *properties, *device_information;
};

/* Words of the choices, NULL-terminated. */
extern const char *const dps_settings_attestations[],
	*const dps_settings_statuses[], *const dps_settings_reprovisions[],
						*const dps_settings_allocations[];

/* Settings of a new enrollment that contradict each other or leave out what must be said: CAUSE_OPTIONS_CONTRADICT, in the
 * names of the options. */
bool dps_settings_check_new(const struct dps_settings *settings, struct muster_error *err)
	MUST_CHECK;
/* The same of an update: what could not be true of any enrollment. */
bool dps_settings_check_change(const struct dps_settings *settings, struct muster_error *err)
	MUST_CHECK;
/* The body of a create. Its text holds the keys and is wiped by text_done(). */
bool dps_settings_compose(const struct dps_settings *settings, const char *registration_id,
			  struct text *ret_body, struct muster_error *err) MUST_CHECK;

/* The body of an update: `found`, the service's own text, with only what the settings say changed in it and without what
 * only the service writes. `mechanism` is the answer of attestationmechanism, for symmetric keys, else NULL. What
 * cannot be true together with what is there is CAUSE_OPTIONS_CONTRADICT. */
bool dps_settings_apply(const struct dps_settings *settings, const struct text *found,
			const struct text *mechanism, struct text *ret_body,
			struct muster_error *err) MUST_CHECK;
