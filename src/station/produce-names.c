#include <stdlib.h>
#include <string.h>

#include "known.h"
#include "muster/file.h"
#include "muster/identity.h"
#include "names.h"
#include "produce.h"

void produced_name_done(struct produced_name *name)
{
	free(name->registration_id);
	free(name->device_id);
	free(name->subject);
	free(name->label);
	*name = (struct produced_name){ 0 };
}

bool produced_name_make(const struct profile *profile, const char *serial,
			struct produced_name *ret_name, struct muster_error *err)
{
	CLEANUP(produced_name_done) struct produced_name name = { 0 };
	CLEANUP(names_done) struct names names = { 0 };
	const struct station_device device = { .serial = serial };
	struct identity_values values = { .serial = serial };

	if (!names_make(profile, &device, NULL, &names, err))
		return false;
	name.registration_id = TAKE_PTR(names.registration_id);
	name.device_id = TAKE_PTR(names.device_id);
	values.registration_id = name.registration_id;
	if (!identity_template_expand(profile->x509.subject, TEMPLATE_SUBJECT, &values,
				      &name.subject, err) ||
	    !identity_template_expand(profile->x509.key_label, TEMPLATE_LABEL, &values, &name.label,
				      err))
		return false;
	*ret_name = name;
	name = (struct produced_name){ 0 };
	return true;
}

bool produced_name_second(struct produced_name *name, struct muster_error *err)
{
	char *label = text_format("%s+secondary", name->label);

	if (!label)
		return muster_fail_memory(err);
	free(name->label);
	name->label = label;
	return true;
}

int64_t produced_days(const struct profile *profile, bool is_secondary)
{
	return is_secondary ? profile->x509.secondary_valid_days : profile->x509.valid_days;
}

bool produced_terms(const struct profile *profile, const struct produced_name *name,
		    bool is_secondary, const X509 *issuer, char terms[SHA256_HEX_SIZE],
		    struct muster_error *err)
{
	CLEANUP(text_done) struct text text = TEXT_MAX(8192);
	CLEANUP(bytes_done) struct bytes der = { 0 };
	char digest[SHA256_HEX_SIZE] = "";

	if (issuer) {
		if (!pki_certificate_der(issuer, &der, err))
			return false;
		sha256_hex(digest, der.data, der.size);
	}
	text_addf(&text, "%s\n%s\n%s\n%lld\n%lld\n%s\n%s", name->subject, name->label,
		  profile->x509.key_type, (long long)produced_days(profile, is_secondary),
		  (long long)profile->x509.skew_minutes,
		  profile->x509.crl_url ? profile->x509.crl_url : "", digest);
	if (!text_ok(&text, err))
		return false;
	sha256_hex(terms, text.data, text.length);
	return true;
}

/* -- The file -------------------------------------------------------------------------------------------------- */

void serials_done(struct serials *serials)
{
	free(serials->text);
	free(serials->items);
	*serials = (struct serials){ 0 };
}

static bool add(struct serials *serials, char *text, size_t line, struct muster_error *err)
{
	struct serial *items = serials->items;

	if (serials->count % 1024 == 0)
		items = reallocarray(items, serials->count + 1024, sizeof(*items));
	if (!items)
		return muster_fail_memory(err);
	serials->items = items;
	items[serials->count++] = (struct serial){ .text = text, .line = line };
	return true;
}

static bool split(struct serials *serials, const struct profile *profile, const char *path,
		  size_t size, struct muster_error *err)
{
	char *at, *stop;
	size_t line = 0;

	for (at = serials->text; *at; at = stop) {
		CLEANUP(produced_name_done) struct produced_name name = { 0 };
		size_t length = strcspn(at, "\n");

		line++;
		stop = at + length + (at[length] == '\n');
		if (length > 0 && at[length - 1] == '\r')
			length--;
		at[length] = 0;
		if (length == 0)
			continue;
		if (!produced_name_make(profile, at, &name, err))
			return muster_error_prefix(err, "%s:%zu", PRINTABLE(path), line);
		if (!add(serials, at, line, err))
			return false;
	}
	return at == serials->text + size || muster_fail(err, CAUSE_REGISTRATION_ID_INVALID,
							 "%s:%zu: a NUL", PRINTABLE(path), line);
}

/* Registration IDs are folded, so serials that differ by letter case are the same device. */
static int compare(const void *a, const void *b)
{
	return strcasecmp(((const struct serial *)a)->text, ((const struct serial *)b)->text);
}

static bool check_repeated(const struct serials *serials, const char *path,
			   struct muster_error *err)
{
	CLEANUP(freep) struct serial *sorted = calloc(serials->count, sizeof(*sorted));

	if (!sorted)
		return muster_fail_memory(err);
	memcpy(sorted, serials->items, serials->count * sizeof(*sorted));
	qsort(sorted, serials->count, sizeof(*sorted), compare);
	for (size_t i = 1; i < serials->count; i++)
		if (compare(&sorted[i - 1], &sorted[i]) == 0)
			return muster_fail(err, CAUSE_USAGE,
					   "%s:%zu: serial '%s' is in line %zu, too",
					   PRINTABLE(path), sorted[i].line,
					   PRINTABLE(sorted[i].text), sorted[i - 1].line);
	return true;
}

bool serials_read(const char *path, const struct profile *profile, struct serials *ret_serials,
		  struct muster_error *err)
{
	CLEANUP(serials_done) struct serials serials = { 0 };
	struct bytes file = { 0 };

	if (!file_read(path, SERIALS_FILE_MAX, &file, err))
		return false;
	serials.text = (char *)file.data;
	sha256_hex(serials.digest, file.data, file.size);
	if (!split(&serials, profile, path, file.size, err))
		return false;
	if (serials.count == 0)
		return muster_fail(err, CAUSE_USAGE, "%s has no serial", PRINTABLE(path));
	if (!check_repeated(&serials, path, err))
		return false;
	*ret_serials = serials;
	serials = (struct serials){ 0 };
	return true;
}

static bool check_known(const struct produced_name *name, const char *serial,
			struct journal *journal, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device device = { 0 };
	const struct known_claim claim = { .serial = serial,
					   .registration_id = name->registration_id };
	bool is_known;

	if (!journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, name->registration_id,
				 &device, &is_known, err))
		return false;
	if (is_known && journal_state_is_live(device.state))
		return known_fail(&claim, &device, CAUSE_SERIAL_TAKEN, err);
	return known_check(journal, &claim, err);
}

bool serials_check_known(const char *path, const struct profile *profile,
			 const struct serials *serials, struct journal *journal,
			 struct muster_error *err)
{
	for (size_t i = 0; i < serials->count; i++) {
		const struct serial *serial = &serials->items[i];
		CLEANUP(produced_name_done) struct produced_name name = { 0 };

		if (!produced_name_make(profile, serial->text, &name, err) ||
		    !check_known(&name, serial->text, journal, err))
			return muster_error_prefix(err, "%s:%zu", PRINTABLE(path), serial->line);
	}
	return true;
}
