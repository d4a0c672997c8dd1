#include "names.h"

#include <stdlib.h>
#include <string.h>

#include "muster/identity.h"

void names_done(struct names *names)
{
	free(names->registration_id);
	free(names->device_id);
	*names = (struct names){ 0 };
}

static bool is_by_ek(const char *template)
{
	return template && strstr(template, "{ek.");
}

static bool make_registration_id(const struct profile *profile, const char *given,
				 const struct identity_values *values, char **ret_id,
				 struct muster_error *err)
{
	size_t max = profile->attestation == PROFILE_X509 ? REGISTRATION_ID_X509_MAX
							  : REGISTRATION_ID_MAX;
	char folded[REGISTRATION_ID_MAX + 1];
	CLEANUP(freep) char *expanded = NULL;

	if (!given) {
		if (!identity_template_expand(profile->registration_id, TEMPLATE_REGISTRATION_ID,
					      values, &expanded, err))
			return false;
		given = expanded;
	}
	if (!identity_registration_id_normalise(given, max, folded, err))
		return false;
	*ret_id = strdup(folded);
	return *ret_id || muster_fail_memory(err);
}

static bool make_device_id(const struct profile *profile, const char *given,
			   const struct identity_values *values, char **ret_id,
			   struct muster_error *err)
{
	CLEANUP(freep) char *id = given ? strdup(given) : NULL;

	if (given ? !id && !muster_fail_memory(err)
		  : !identity_template_expand(profile->device_id, TEMPLATE_DEVICE_ID, values, &id,
					      err))
		return false;
	if (!identity_device_id_check(id, err))
		return false;
	*ret_id = TAKE_PTR(id);
	return true;
}

bool names_make(const struct profile *profile, const struct station_device *device,
		const struct ek_public *ek, struct names *ret_names, struct muster_error *err)
{
	CLEANUP(names_done) struct names names = { 0 };
	struct identity_values values = { .serial = device->serial };
	char ek_id[EK_DIGEST_ID_SIZE];

	if (ek) {
		if (!identity_ek_digest_id(ek->data, ek->size, ek_id, err))
			return false;
		values.ek_sha256_base32 = ek_id;
	}
	if ((device->registration_id || ek || !is_by_ek(profile->registration_id)) &&
	    !make_registration_id(profile, device->registration_id, &values, &names.registration_id,
				  err))
		return muster_error_prefix(err, "making the registration ID");
	values.registration_id = names.registration_id;
	if ((device->device_id || profile->device_id) &&
	    (device->device_id || ek || (names.registration_id && !is_by_ek(profile->device_id))) &&
	    !make_device_id(profile, device->device_id, &values, &names.device_id, err))
		return muster_error_prefix(err, "making the device ID");
	*ret_names = names;
	names = (struct names){ 0 };
	return true;
}
