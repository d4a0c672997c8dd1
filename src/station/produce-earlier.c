/* What an earlier production that was cut has left: certificates that the journal has and no file. */
#include <stdlib.h>
#include <string.h>

#include "custody.h"
#include "muster/json.h"
#include "produce.h"

static void unit_done(struct earlier_unit *unit)
{
	free(unit->registration_id);
	free(unit->terms);
	free(unit->production);
	bytes_done(&unit->key_id);
	bytes_done(&unit->certificate);
	*unit = (struct earlier_unit){ 0 };
}

void earlier_done(struct earlier *earlier)
{
	for (size_t i = 0; i < earlier->count; i++)
		unit_done(&earlier->units[i]);
	free(earlier->units);
	*earlier = (struct earlier){ 0 };
}

/* -- Reading ------------------------------------------------------------------------------------------------------- */

static int compare_names(const struct earlier_unit *unit, const char *registration_id,
			 bool is_secondary)
{
	int order = strcmp(unit->registration_id, registration_id);

	return order ? order : (int)unit->is_secondary - (int)is_secondary;
}

/* Of a device's certificate the newest comes last. */
static int compare(const void *a, const void *b)
{
	const struct earlier_unit *one = a, *other = b;
	int order = compare_names(one, other->registration_id, other->is_secondary);

	return order ? order : (one->seq > other->seq) - (one->seq < other->seq);
}

static bool is_last_of_its_name(const struct earlier *earlier, size_t i)
{
	const struct earlier_unit *unit = &earlier->units[i], *next = unit + 1;

	return i + 1 == earlier->count ||
	       compare_names(unit, next->registration_id, next->is_secondary) != 0;
}

/* What the production of that record has put into its file. */
static bool is_in_file(const struct earlier_unit *unit, const cJSON *produced)
{
	const cJSON *left_out;

	if (strcmp(unit->production, json_text(produced, "production")) != 0)
		return false;
	cJSON_ArrayForEach(left_out, json_get(produced, "leftOut"))
	{
		if (cJSON_IsString(left_out) &&
		    strcmp(left_out->valuestring, unit->registration_id) == 0)
			return false;
	}
	return true;
}

/* Keeps the newest of each device and kind, but for those that this production has put into its file (NULL: none). */
static void reduce(struct earlier *earlier, const cJSON *produced)
{
	size_t kept = 0;

	if (earlier->count > 0)
		qsort(earlier->units, earlier->count, sizeof(*earlier->units), compare);
	for (size_t i = 0; i < earlier->count; i++) {
		struct earlier_unit unit = earlier->units[i];

		if (is_last_of_its_name(earlier, i) && (!produced || !is_in_file(&unit, produced)))
			earlier->units[kept++] = unit;
		else
			unit_done(&unit);
	}
	earlier->count = kept;
}

static bool fill(struct earlier_unit *unit, const cJSON *body, int64_t seq)
{
	const char *names[] = { json_text(body, "registrationId"), json_text(body, "terms"),
				json_text(body, "production") };
	const char *id = json_text(body, "madeKeyId"), *der = json_text(body, "certificate");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!names[i])
			return false;
	unit->seq = seq;
	unit->is_secondary = cJSON_IsTrue(json_get(body, "secondary"));
	unit->registration_id = strdup(names[0]);
	unit->terms = strdup(names[1]);
	unit->production = strdup(names[2]);
	return unit->registration_id && unit->terms && unit->production && id && der &&
	       hex_decode(id, strlen(id), &unit->key_id) &&
	       base64_decode(der, strlen(der), &unit->certificate);
}

static bool add(struct earlier *earlier, const cJSON *body, int64_t seq, struct muster_error *err)
{
	struct earlier_unit *units = earlier->units;

	if (earlier->count % 1024 == 0)
		units = reallocarray(units, earlier->count + 1024, sizeof(*units));
	if (!units)
		return muster_fail_memory(err);
	earlier->units = units;
	units[earlier->count] = (struct earlier_unit){ 0 };
	if (fill(&units[earlier->count++], body, seq))
		return true;
	return muster_fail(err, CAUSE_JOURNAL_DAMAGED, "entry %lld is no certificate of a device",
			   (long long)seq);
}

/* Whose file is made has its keys; by the same approval there would be others. */
static bool check_unused(const struct earlier *earlier, const cJSON *produced,
			 struct muster_error *err)
{
	const char *plan = json_text(json_get(produced, "approval"), "plan");
	const char *file = json_text(produced, "file");

	return !earlier->plan || !plan || strcmp(plan, earlier->plan) != 0 ||
	       muster_fail(err, CAUSE_APPROVAL_USED, "by this approval '%s' was made already",
			   PRINTABLE(file));
}

static bool look_at_entry(void *context, const struct journal_entry *entry,
			  struct muster_error *err)
{
	struct earlier *earlier = context;
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	if (entry->kind != JOURNAL_OUTCOME || strcmp(entry->stage, "custody") != 0 ||
	    !strstr(entry->body, "\"production\""))
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	if (!check_unused(earlier, body, err))
		return false;
	if (!json_text(body, "production") || !token_is_of_entry(earlier->token, body))
		return true;
	if (json_get(body, "registrationId"))
		return add(earlier, body, entry->seq, err);
	reduce(earlier, body);
	return true;
}

/* -- Finding ------------------------------------------------------------------------------------------------------- */

/* Somebody may have destroyed the key since. */
static bool look_at_key(struct custody *custody, struct earlier_unit *unit,
			struct muster_error *err)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	CLEANUP(bytes_done) struct bytes spki = { 0 };

	if (!pki_certificate_read(unit->certificate.data, unit->certificate.size, "journal",
				  &certificate, err))
		return false;
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0)
		return true;
	if (!token_key_of_id(custody->hsm, &unit->key_id, &spki, err))
		return err->cause == CAUSE_KEY_NOT_FOUND;
	unit->is_there = pki_certificate_has_key(certificate, &spki);
	return true;
}

bool earlier_read(struct custody *custody, const char *plan, struct earlier *ret_earlier,
		  struct muster_error *err)
{
	struct earlier earlier = { .token = &custody->token, .plan = plan };
	bool good = journal_entries_all(custody->journal, "", look_at_entry, &earlier, err);

	reduce(&earlier, NULL);
	for (size_t i = 0; good && i < earlier.count; i++)
		good = look_at_key(custody, &earlier.units[i], err);
	if (good)
		*ret_earlier = earlier;
	else
		earlier_done(&earlier);
	return good;
}

const struct earlier_unit *earlier_find(const struct earlier *earlier, const char *registration_id,
					bool is_secondary, const char *terms)
{
	size_t low = 0, high = earlier->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct earlier_unit *unit = &earlier->units[middle];
		int order = compare_names(unit, registration_id, is_secondary);

		if (order == 0)
			return unit->is_there && strcmp(unit->terms, terms) == 0 ? unit : NULL;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
