#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "settings-internal.h"

const char *const dps_settings_attestations[] = { "symmetricKey", "tpm", "x509", NULL };
const char *const dps_settings_statuses[] = { "enabled", "disabled", NULL };
const char *const dps_settings_allocations[] = { "custom", "geoLatency", "hashed", "static", NULL };

static bool contradict(struct muster_error *err, const char *format, ...) PRINTF_LIKE(2, 3);

static bool contradict(struct muster_error *err, const char *format, ...)
{
	char sentence[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	return muster_fail(err, CAUSE_OPTIONS_CONTRADICT, "%s", sentence);
}

/* -- Attestation --------------------------------------------------------------------------------------- */

/* An option that belongs to one type. */
struct typed {
	bool is_given;
	const char *option, *type;
};

#define TYPED_COUNT 7

static const char *option_of(const char *said, const char *plain)
{
	return said ? said : plain;
}

static void list_typed(const struct dps_settings *settings, struct typed ret_list[TYPED_COUNT])
{
	const struct typed list[TYPED_COUNT] = {
		{ settings->endorsement_key,
		  option_of(settings->endorsement_key_option, "--endorsement-key"), "tpm" },
		{ settings->certificate, "--certificate-path", "x509" },
		{ settings->secondary_certificate, "--secondary-certificate-path", "x509" },
		{ settings->remove_certificate, "--remove-certificate", "x509" },
		{ settings->remove_secondary_certificate, "--remove-secondary-certificate",
		  "x509" },
		{ settings->primary_key, option_of(settings->primary_key_option, "--primary-key"),
		  "symmetricKey" },
		{ settings->secondary_key,
		  option_of(settings->secondary_key_option, "--secondary-key"), "symmetricKey" },
	};

	memcpy(ret_list, list, sizeof(list));
}

bool settings_check_attestation(const struct dps_settings *settings, const char *type,
				struct muster_error *err)
{
	struct typed list[TYPED_COUNT];

	list_typed(settings, list);
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		if (list[i].is_given && !text_equal_folded(list[i].type, type))
			return contradict(
				err, "%s belongs to attestation %s, and this enrollment's is %s",
				list[i].option, list[i].type, PRINTABLE(type));
	return true;
}

static bool check_one_attestation(const struct dps_settings *settings, struct muster_error *err)
{
	struct typed list[TYPED_COUNT];
	const struct typed *first = NULL;

	list_typed(settings, list);
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		if (list[i].is_given && first && strcmp(list[i].type, first->type) != 0)
			return contradict(err, "%s belongs to attestation %s, and %s to %s",
					  first->option, first->type, list[i].option, list[i].type);
		if (list[i].is_given && !first)
			first = &list[i];
	}
	return true;
}

static bool check_new_attestation(const struct dps_settings *settings, struct muster_error *err)
{
	const char *type = settings->attestation_type;

	if (!settings_check_attestation(settings, type, err))
		return false;
	if (strcmp(type, "tpm") == 0 && !settings->endorsement_key)
		return contradict(err, "--attestation-type tpm needs --endorsement-key");
	if (strcmp(type, "x509") == 0 && !settings->certificate && !settings->secondary_certificate)
		return contradict(err, "--attestation-type x509 needs --certificate-path or "
				       "--secondary-certificate-path");
	return true;
}

/* -- Allocation ---------------------------------------------------------------------------------------- */

static bool is_custom(const char *policy)
{
	return policy && text_equal_folded(policy, "custom");
}

bool settings_check_hubs(const struct dps_settings *settings, struct muster_error *err)
{
	if (settings->pins_hub && settings->allocation_policy)
		return contradict(err, "--iot-hub-host-name is static allocation by itself: leave "
				       "--allocation-policy out, or use --iot-hubs");
	if (settings->sets_hubs && settings->hub_count == 0)
		return contradict(err, "--iot-hubs names no hub");
	return true;
}

bool settings_check_allocation(const struct settings_allocation *allocation,
			       struct muster_error *err)
{
	const char *policy = allocation->policy;

	if (!policy && allocation->hub_count > 0)
		return contradict(err, "--iot-hubs needs --allocation-policy");
	if (policy && text_equal_folded(policy, "static") && allocation->hub_count != 1)
		return contradict(err, "static allocation needs exactly one hub, and there are %zu",
				  allocation->hub_count);
	if (is_custom(policy) && (!allocation->has_webhook_url || !allocation->has_api_version))
		return contradict(err, "custom allocation needs --webhook-url and --api-version");
	return true;
}

bool settings_check_webhook(const struct dps_settings *settings, const char *policy,
			    struct muster_error *err)
{
	if ((settings->webhook_url || settings->webhook_api_version) && !is_custom(policy))
		return contradict(err,
				  "%s belongs to custom allocation, and this enrollment's is %s",
				  settings->webhook_url ? "--webhook-url" : "--api-version",
				  policy ? PRINTABLE(policy) : "the instance's own");
	return true;
}

/* -- The whole ----------------------------------------------------------------------------------------- */

const char *settings_policy(const struct dps_settings *settings)
{
	return settings->pins_hub ? "static" : settings->allocation_policy;
}

bool dps_settings_check_new(const struct dps_settings *settings, struct muster_error *err)
{
	const struct settings_allocation allocation = {
		.policy = settings_policy(settings),
		.hub_count = settings->hub_count,
		.has_webhook_url = settings->webhook_url,
		.has_api_version = settings->webhook_api_version,
	};

	return check_new_attestation(settings, err) && settings_check_hubs(settings, err) &&
	       settings_check_webhook(settings, allocation.policy, err) &&
	       settings_check_allocation(&allocation, err);
}

bool dps_settings_check_change(const struct dps_settings *settings, struct muster_error *err)
{
	const char *policy = settings_policy(settings);
	const struct settings_allocation allocation = {
		.policy = policy,
		.hub_count = settings->hub_count,
		/* What is not said may be there. */
		.has_webhook_url = true,
		.has_api_version = true,
	};

	if (!check_one_attestation(settings, err) || !settings_check_hubs(settings, err))
		return false;
	return !policy || (settings_check_webhook(settings, policy, err) &&
			   (!settings->sets_hubs || settings_check_allocation(&allocation, err)));
}
