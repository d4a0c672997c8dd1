#include <string.h>

#include "muster/json.h"

#include "document-internal.h"

#define MASK "***"

static const char *const secret_members[] = { "primaryKey", "secondaryKey", "authenticationKey",
					      "SharedAccessKey" };

static bool is_secret_member(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(secret_members); i++)
		if (text_equal_folded(name, secret_members[i]))
			return true;
	return false;
}

static bool mask(cJSON *item, const char *masked, struct muster_error *err)
{
	secret_wipe(item->valuestring, strlen(item->valuestring));
	if (!cJSON_SetValuestring(item, masked))
		return muster_fail_memory(err);
	return true;
}

static bool mask_query(cJSON *item, struct muster_error *err)
{
	CLEANUP(text_done) struct text masked = TEXT_MAX(8192);
	const char *url = item->valuestring;

	if (!strchr(url, '?'))
		return true;
	text_add_bytes(&masked, url, strcspn(url, "?"));
	text_add(&masked, "?" MASK);
	return text_ok(&masked, err) && mask(item, masked.data, err);
}

static bool redact_item(cJSON *item, struct muster_error *err)
{
	if (cJSON_IsString(item) && item->string) {
		if (is_secret_member(item->string))
			return mask(item, MASK, err);
		if (text_equal_folded(item->string, "webhookUrl"))
			return mask_query(item, err);
	}
	for (cJSON *child = item->child; child; child = child->next)
		if (!redact_item(child, err))
			return false;
	return true;
}

bool dps_document_redact(cJSON *document, struct muster_error *err)
{
	return redact_item(document, err);
}
