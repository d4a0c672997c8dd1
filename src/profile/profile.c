#include "muster/profile.h"

#include <string.h>

#include "muster/file.h"
#include "muster/json.h"

#include "table.h"

static const char *find_word_of(const struct word *words, int value)
{
	for (; words->word; words++) {
		if (words->value == value)
			return words->word;
	}
	return NULL;
}

const char *profile_attestation_word(enum profile_attestation value)
{
	return find_word_of(profile_attestation_words, (int)value);
}

/* -- What follows from what was read ------------------------------------------------------------------------------ */

static bool set_text(char **text, const char *value, struct muster_error *err)
{
	if (*text)
		return true;
	*text = strdup(value);
	return *text ? true : muster_fail_memory(err);
}

static void resolve_reprovision(struct profile *profile)
{
	if (profile->reprovision == PROFILE_REPROVISION_AS_WRITTEN)
		return;
	profile->update_hub_assignment = profile->reprovision != PROFILE_NEVER;
	profile->migrate_device_data = profile->reprovision == PROFILE_MIGRATE;
}

/* A key of its own is there to be certified. */
static void resolve_secondary(struct profile *profile)
{
	if (profile->x509.own_secondary_key && profile->x509.secondary_valid_days == 0)
		profile->x509.secondary_valid_days = profile->x509.valid_days;
}

static bool finish(struct profile *profile, const struct source *source, struct muster_error *err)
{
	bool is_tpm = profile->attestation == PROFILE_TPM;

	sha256_hex(profile->digest, source->data, source->size);
	profile->names_beside = source->names_beside;
	return set_text(&profile->path, source->path, err) &&
	       set_text(&profile->registration_id, is_tpm ? "{ek.sha256.base32}" : "{serial.lower}",
			err);
}

/* Registering as the device leaves something behind; with these policies it is more than a record. */
static void warn(struct source *source, const struct profile *profile, const struct yaml_node *root)
{
	const struct yaml_pair *allocation = yaml_get(root, "allocationPolicy");
	const struct yaml_pair *reprovision = yaml_get(root, "reprovisionPolicy");

	if (profile->verify == PROFILE_VERIFY_NONE || profile->is_disabled)
		return;
	if (allocation && allocation->value && profile->allocation == PROFILE_GEO_LATENCY)
		warning_add(source, CAUSE_PROFILE_CONTRADICTION, allocation->value->span,
			    "verifying registers from here: the hub nearest to this station is "
			    "chosen, not the one nearest to the device");
	if (allocation && allocation->value && profile->allocation == PROFILE_CUSTOM)
		warning_add(source, CAUSE_PROFILE_CONTRADICTION, allocation->value->span,
			    "verifying registers from here: the webhook is called for each device");
	if (reprovision && reprovision->value && !profile->update_hub_assignment)
		warning_add(source, CAUSE_PROFILE_CONTRADICTION, reprovision->value->span,
			    "verifying registers from here: the hub chosen now is the device's for "
			    "good");
}

/* -- Reading ---------------------------------------------------------------------------------------------------------- */

static void read_tree(struct source *source, const struct yaml_node *root, struct profile *profile)
{
	if (root->kind != YAML_MAP) {
		fields_refuse_root(source, root, "a profile");
		return;
	}
	fields_set_defaults(source, &profile_fields, profile);
	fields_read(source, &profile_fields, root, profile);
	resolve_reprovision(profile);
	resolve_secondary(profile);
	rules_check(source, profile_rules, profile_rule_count, root);
	if (source->report->mistakes == 0)
		warn(source, profile, root);
}

bool profile_parse(const char *path, const char *data, size_t size, struct profile *ret_profile,
		   struct profile_report *report, struct muster_error *err)
{
	CLEANUP(profile_done) struct profile profile = { 0 };
	CLEANUP(yaml_node_freep) struct yaml_node *root = NULL;
	struct source source;

	if (size > PROFILE_SIZE_MAX)
		return muster_fail(err, CAUSE_INPUT_TOO_LARGE, "'%s' is larger than %d bytes",
				   PRINTABLE(path), PROFILE_SIZE_MAX);
	if (!source_open(&source, path, data, size, report, err) ||
	    !yaml_parse(&source, &root, err))
		return false;
	if (root)
		read_tree(&source, root, &profile);
	else if (report->mistakes == 0)
		mistake_add(&source, CAUSE_PROFILE_SYNTAX, (struct span){ 0 },
			    "nothing is in here");
	if (!source_close(&source, err) || !finish(&profile, &source, err))
		return false;
	*ret_profile = profile;
	profile = (struct profile){ 0 };
	return true;
}

bool profile_load(const char *path, struct profile *ret_profile, struct profile_report *report,
		  struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };

	if (!file_read_owned(path, PROFILE_SIZE_MAX, &bytes, err))
		return false;
	return profile_parse(path, bytes.data ? (const char *)bytes.data : "", bytes.size,
			     ret_profile, report, err);
}

void profile_done(struct profile *profile)
{
	fields_free(&profile_fields, profile);
	free(profile->path);
	*profile = (struct profile){ 0 };
}

/* -- Questions --------------------------------------------------------------------------------------------------------- */

bool profile_needs_serial(const struct profile *profile)
{
	const char *const templates[] = {
		profile->registration_id,
		profile->device_id,
		profile->attestation == PROFILE_X509 ? profile->x509.subject : NULL,
		profile->attestation == PROFILE_X509 ? profile->x509.key_label : NULL,
	};

	for (size_t i = 0; i < ARRAY_SIZE(templates); i++) {
		if (templates[i] && identity_template_uses_serial(templates[i]))
			return true;
	}
	return false;
}

bool profile_value_check(const char *key, const char *value, const char *what,
			 struct muster_error *err)
{
	const struct field *field = profile_fields.rows;

	while (strcmp(field->name, key) != 0)
		field++;
	return field_takes(field, value) ||
	       muster_fail(err, CAUSE_USAGE, "%s has to be %s, not '%s'", what, field->form,
			   PRINTABLE(value));
}

bool profile_schema(struct text *out, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *schema = cJSON_CreateObject();
	CLEANUP(cJSON_freep) cJSON *fields = fields_schema(&profile_fields);
	CLEANUP(freep) char *printed = NULL;
	cJSON *member;

	if (!schema || !fields ||
	    !json_add_text(schema, "$schema", "http://json-schema.org/draft-07/schema#") ||
	    !json_add_text(schema, "title", "muster profile"))
		return muster_fail_memory(err);
	while ((member = cJSON_DetachItemFromArray(fields, 0)))
		cJSON_AddItemToArray(schema, member); /* keeps its name */
	if (!rules_schema(profile_rules, profile_rule_count, schema))
		return muster_fail_memory(err);
	printed = json_print_pretty(schema);
	if (!printed)
		return muster_fail_memory(err);
	text_addf(out, "%s\n", printed);
	return text_ok(out, err);
}
