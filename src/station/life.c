#include "life.h"

#include <string.h>

#include "muster/json.h"

bool life_ends(const struct journal_entry *entry, const cJSON *body)
{
	if (strcmp(entry->stage, RETIRE_STAGE) == 0)
		return entry->kind == JOURNAL_OUTCOME;
	return strcmp(entry->stage, OUTBOX_STAGE) == 0 && json_get(body, "resolved");
}
