#include "manifest.h"

#include <string.h>

#include "muster/identity.h"
#include "muster/station-attached.h"
#include "names.h"

enum {
	NAME_SERIAL,
	NAME_REGISTRATION_ID,
	NAME_DEVICE_ID,
	NAME_TPM,
	NAME_SOCKET,
	NAME_DEVICE_KEY,
	NAME_COUNT
};

static const char *const names_of_columns[NAME_COUNT] = { "serial", "registrationId", "deviceId",
							  "tpm",    "socket",         "deviceKey" };

/* One reading of the whole. */
struct check {
	struct manifest *manifest;
	const struct run *run;
	struct id_set serials, registration_ids, device_ids, tpms, lookalikes;
};

static void check_done(struct check *check)
{
	id_set_done(&check->serials);
	id_set_done(&check->registration_ids);
	id_set_done(&check->device_ids);
	id_set_done(&check->tpms);
	id_set_done(&check->lookalikes);
}

void manifest_close(struct manifest *manifest)
{
	dps_rows_close(manifest->rows);
	*manifest = (struct manifest){ 0 };
}

static void tell(void *context, const struct dps_table_place *place, const char *message)
{
	const struct station_batch *batch = ((const struct manifest *)context)->batch;

	if (batch->mistake)
		batch->mistake(batch->context, place->line, place->column, false, message);
}

static void warn(struct manifest *manifest, const struct dps_table_place *place,
		 const char *message)
{
	const struct station_batch *batch = manifest->batch;

	if (batch->mistake)
		batch->mistake(batch->context, place->line, place->column, true, message);
}

static void complain(struct check *check, size_t name, const char *message)
{
	struct dps_table_place place = dps_rows_place(check->manifest->rows, name);

	dps_rows_mistake(check->manifest->rows, &place, message);
}

static struct station_device device_of(const char *const *values)
{
	return (struct station_device){
		.serial = values[NAME_SERIAL],
		.registration_id = values[NAME_REGISTRATION_ID],
		.device_id = values[NAME_DEVICE_ID],
		.tpm = values[NAME_TPM],
		.socket = values[NAME_SOCKET],
		.device_key = values[NAME_DEVICE_KEY],
	};
}

/* -- Twice ---------------------------------------------------------------------------------------------------- */

/* *ret_is_new false: said. */
static bool check_twice(struct check *check, struct id_set *seen, size_t name, const char *text,
			bool is_folded, bool *ret_is_new, struct muster_error *err)
{
	size_t here = dps_rows_place(check->manifest->rows, name).line, line;
	char message[400];
	bool is_same;

	*ret_is_new = true;
	if (!text || strlen(text) > ID_SET_TEXT_MAX)
		return true;
	if (!id_set_add(seen, text, here, &line, &is_same, err))
		return false;
	if (line == 0 || (!is_same && !is_folded))
		return true;
	*ret_is_new = false;
	snprintf(message, sizeof(message),
		 is_same ? "%s '%s' is in line %zu already"
			 : "%s '%s' differs only by letter case from the one in line %zu",
		 names_of_columns[name], PRINTABLE(text), line);
	complain(check, name, message);
	return true;
}

/* What people and scanners take for the same: 0 and O, 1 and l and I, without regard to case. */
static void make_skeleton(char *text)
{
	text_fold(text);
	for (char *c = text; *c; c++)
		*c = *c == '0' ? 'o' : *c == '1' || *c == 'i' ? 'l' : *c;
}

static bool check_lookalike(struct check *check, const struct station_device *device,
			    struct muster_error *err)
{
	enum profile_lookalikes what = check->run->profile.batch.lookalikes;
	size_t name = device->serial ? NAME_SERIAL : NAME_REGISTRATION_ID, line;
	const char *text = device->serial ? device->serial : device->registration_id;
	struct dps_table_place place = dps_rows_place(check->manifest->rows, name);
	char skeleton[ID_SET_TEXT_MAX + 1], message[400];
	bool is_same;

	if (!text || what == PROFILE_LOOKALIKES_PASS)
		return true;
	snprintf(skeleton, sizeof(skeleton), "%s", text);
	make_skeleton(skeleton);
	if (!id_set_add(&check->lookalikes, skeleton, place.line, &line, &is_same, err))
		return false;
	if (line == 0)
		return true;
	snprintf(message, sizeof(message),
		 "%s '%s' looks like the one in line %zu: 0 and O, or 1, l and I",
		 names_of_columns[name], PRINTABLE(text), line);
	if (what == PROFILE_LOOKALIKES_REFUSE)
		dps_rows_mistake(check->manifest->rows, &place, message);
	else
		warn(check->manifest, &place, message);
	return true;
}

static bool check_repetitions(struct check *check, const struct station_device *device,
			      const struct names *names, struct muster_error *err)
{
	bool is_new, ignored;

	if (!check_twice(check, &check->serials, NAME_SERIAL, device->serial, true, &is_new, err))
		return false;
	/* IDs that are made of the serial come twice with it; that is said once. */
	if (!is_new)
		return true;
	if (!check_twice(check, &check->registration_ids, NAME_REGISTRATION_ID,
			 names->registration_id, true, &is_new, err))
		return false;
	if (!is_new)
		return true;
	return check_twice(check, &check->device_ids, NAME_DEVICE_ID, names->device_id, false,
			   &ignored, err) &&
	       check_twice(check, &check->tpms, NAME_TPM, device->tpm, false, &ignored, err) &&
	       check_lookalike(check, device, err);
}

/* -- A row ---------------------------------------------------------------------------------------------------- */

/* Where a mistake belongs by what is wrong. */
static size_t name_of_cause(enum muster_cause cause, const struct station_device *device)
{
	switch (cause) {
	case CAUSE_TPM_TCTI_REFUSED:
		return NAME_TPM;
	case CAUSE_DEVICE_ID_INVALID:
		return device->device_id ? NAME_DEVICE_ID : NAME_SERIAL;
	case CAUSE_REGISTRATION_ID_INVALID:
		return device->registration_id ? NAME_REGISTRATION_ID : NAME_SERIAL;
	default:
		return NAME_SERIAL;
	}
}

/* The station's own TPM is a mistake of its row. */
static bool check_own(struct check *check, const struct station_device *device, bool *ret_good,
		      struct muster_error *err)
{
	const struct station_batch *batch = check->manifest->batch;
	struct muster_error wrong;

	*ret_good = !device->tpm || batch->own ||
		    attached_tpms_refuse_own(batch->socket_map, &device->tpm, 1, &wrong);
	if (*ret_good)
		return true;
	if (wrong.cause != CAUSE_TPM_OWN) {
		*err = wrong;
		return false;
	}
	complain(check, NAME_TPM, wrong.message);
	return true;
}

static bool check_row(struct check *check, const struct station_device *device,
		      struct muster_error *err)
{
	CLEANUP(names_done) struct names names = { 0 };
	struct muster_error wrong;
	bool good;

	if (!run_check_device(check->run, device, &wrong) ||
	    !names_make(&check->run->profile, device, NULL, &names, &wrong)) {
		if (wrong.code != MUSTER_E_USAGE) {
			*err = wrong;
			return false;
		}
		complain(check, name_of_cause(wrong.cause, device), wrong.message);
		return true;
	}
	check->manifest->has_device_keys |= device->device_key != NULL;
	if (device->tpm && !check->run->needs_tpm)
		complain(check, NAME_TPM, "a TPM is named, and the profile is not for TPM devices");
	return check_own(check, device, &good, err) &&
	       (!good || check_repetitions(check, device, &names, err));
}

static bool check_rows(struct check *check, struct muster_error *err)
{
	struct manifest *manifest = check->manifest;
	const char *values[NAME_COUNT];
	bool has;

	for (;; manifest->count++) {
		size_t before = dps_rows_mistakes(manifest->rows);
		struct station_device device;

		if (!dps_rows_next(manifest->rows, values, &has, err))
			return false;
		if (!has)
			return true;
		device = device_of(values);
		if (dps_rows_mistakes(manifest->rows) == before && !check_row(check, &device, err))
			return false;
		if (manifest->count >= DPS_TABLE_ROWS_MAX)
			return muster_fail(err, CAUSE_INPUT_TOO_LARGE, "'%s' has more than %d rows",
					   manifest->path, DPS_TABLE_ROWS_MAX);
	}
}

/* -- The whole ------------------------------------------------------------------------------------------------ */

static bool judge(const struct manifest *manifest, struct muster_error *err)
{
	size_t mistakes = dps_rows_mistakes(manifest->rows);

	if (mistakes > 0)
		return muster_fail(err, CAUSE_MANIFEST_INVALID,
				   "manifest '%s' has %zu mistake%s; nothing was touched",
				   manifest->path, mistakes, mistakes == 1 ? "" : "s");
	return manifest->count > 0 || muster_fail(err, CAUSE_MANIFEST_INVALID,
						  "manifest '%s' names no device", manifest->path);
}

bool manifest_open(struct manifest *manifest, const struct station_batch *batch,
		   const struct run *run, struct muster_error *err)
{
	CLEANUP(check_done) struct check check = { .manifest = manifest, .run = run };
	uint8_t digest[SHA256_SIZE];

	manifest->batch = batch;
	text_printable(manifest->path, sizeof(manifest->path), batch->manifest);
	if (!dps_rows_open(batch->manifest, names_of_columns, NAME_COUNT, &manifest->rows, err) ||
	    !dps_rows_begin(manifest->rows, tell, manifest, err) || !check_rows(&check, err) ||
	    !dps_rows_check_unchanged(manifest->rows, err) || !judge(manifest, err) ||
	    !dps_rows_digest(manifest->rows, digest, err))
		return false;
	hex_encode(manifest->digest, digest, sizeof(digest));
	return dps_rows_begin(manifest->rows, NULL, NULL, err);
}

static bool next_row(struct manifest *manifest, const char *values[NAME_COUNT], bool *ret_has,
		     struct muster_error *err)
{
	if (!dps_rows_check_unchanged(manifest->rows, err) ||
	    !dps_rows_next(manifest->rows, values, ret_has, err))
		return false;
	return (dps_rows_mistakes(manifest->rows) == 0 &&
		*ret_has == (manifest->next < manifest->count)) ||
	       muster_fail(err, CAUSE_TABLE_CHANGED, "other rows than were checked");
}

bool manifest_next(struct manifest *manifest, struct station_device *ret_device, bool *ret_has,
		   struct muster_error *err)
{
	const char *values[NAME_COUNT];

	/* The batch is open with the file that was checked, and takes no other. */
	if (!next_row(manifest, values, ret_has, err))
		return err->cause == CAUSE_TABLE_CHANGED &&
		       muster_fail(err, CAUSE_BATCH_CHANGED,
				   "manifest '%s' was changed while it was read", manifest->path);
	if (!*ret_has)
		return true;
	manifest->next++;
	*ret_device = device_of(values);
	return true;
}
