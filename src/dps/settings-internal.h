/* What the files about settings share. */
#pragma once

#include "muster/dps-settings.h"

/* The allocation that an enrollment will have in the end. */
struct settings_allocation {
	const char *policy; /* NULL: the instance's own */
	size_t hub_count;
	bool has_webhook_url, has_api_version;
};

/* Options of other kinds of attestation. */
bool settings_check_attestation(const struct dps_settings *settings, const char *type,
				struct muster_error *err) MUST_CHECK;
bool settings_check_hubs(const struct dps_settings *settings, struct muster_error *err) MUST_CHECK;
bool settings_check_webhook(const struct dps_settings *settings, const char *policy,
			    struct muster_error *err) MUST_CHECK;
bool settings_check_allocation(const struct settings_allocation *allocation,
			       struct muster_error *err) MUST_CHECK;

/* The policy that the options ask for; NULL: none. */
const char *settings_policy(const struct dps_settings *settings);

/* -- Editing a body; each keeps the first failure ------------------------------------------------------ */

struct settings_edit {
	struct text *body;
	struct muster_error *err;
	bool has_failed;
};

void edit_json(struct settings_edit *edit, const char *path, const char *json);
/* NULL: nothing. */
void edit_text(struct settings_edit *edit, const char *path, const char *value);
void edit_tree(struct settings_edit *edit, const char *path, const cJSON *tree);
void edit_remove(struct settings_edit *edit, const char *path);
void edit_hubs(struct settings_edit *edit, const struct dps_settings *settings);
void edit_reprovision(struct settings_edit *edit, const char *policy);
