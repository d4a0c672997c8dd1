/* Single members of a body, and those that an option turns into several. */
#include <stdlib.h>
#include <string.h>

#include "muster/json-edit.h"
#include "muster/json.h"

#include "settings-internal.h"

void edit_json(struct settings_edit *edit, const char *path, const char *json)
{
	if (!edit->has_failed)
		edit->has_failed = !json_text_set(edit->body, path, json, strlen(json), edit->err);
}

void edit_text(struct settings_edit *edit, const char *path, const char *value)
{
	if (value && !edit->has_failed)
		edit->has_failed = !json_text_set_string(edit->body, path, value, edit->err);
}

void edit_tree(struct settings_edit *edit, const char *path, const cJSON *tree)
{
	CLEANUP(freep) char *json = json_print_line(tree);

	if (json)
		edit_json(edit, path, json);
	else if (!edit->has_failed)
		edit->has_failed = !muster_fail_memory(edit->err);
}

void edit_remove(struct settings_edit *edit, const char *path)
{
	if (!edit->has_failed)
		edit->has_failed = !json_text_remove(edit->body, path, edit->err);
}

void edit_hubs(struct settings_edit *edit, const struct dps_settings *settings)
{
	CLEANUP(cJSON_freep)
	cJSON *hubs = cJSON_CreateStringArray(settings->hubs, (int)settings->hub_count);

	edit_tree(edit, "iotHubs", hubs);
}

/* The order of the rows is that of the choices. */
static const struct {
	const char *word, *update_hub_assignment, *migrate_device_data;
} reprovisions[] = {
	{ "reprovisionandmigratedata", "true", "true" },
	{ "reprovisionandresetdata", "true", "false" },
	{ "never", "false", "false" },
};
const char *const dps_settings_reprovisions[] = { "reprovisionandmigratedata",
						  "reprovisionandresetdata", "never", NULL };

void edit_reprovision(struct settings_edit *edit, const char *policy)
{
	for (size_t i = 0; i < ARRAY_SIZE(reprovisions); i++) {
		if (strcmp(reprovisions[i].word, policy) != 0)
			continue;
		edit_json(edit, "reprovisionPolicy.updateHubAssignment",
			  reprovisions[i].update_hub_assignment);
		edit_json(edit, "reprovisionPolicy.migrateDeviceData",
			  reprovisions[i].migrate_device_data);
	}
}
