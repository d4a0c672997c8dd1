#include "evidence-kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "evidence.h"
#include "muster/dps-document.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"

void evidence_kept_done(struct evidence_kept *kept)
{
	free(kept->path);
	bytes_done(&kept->text);
	cJSON_Delete(kept->tree);
	*kept = (struct evidence_kept){ 0 };
}

static bool is_evidence(const cJSON *tree)
{
	const char *schema = json_text(tree, "schema");

	return schema && text_has_prefix(schema, "muster.evidence/") && json_text(tree, "service");
}

/* What the journal could not take. */
static bool is_usable(const struct evidence_kept *kept, const char *what, struct muster_error *err)
{
	const char *digest = evidence_key_digest(json_get(kept->tree, "attestation"));
	bool fits;

	if (digest && !hex_is_lower(digest, SHA256_HEX_SIZE - 1, SHA256_HEX_SIZE - 1))
		return muster_fail(err, CAUSE_JSON_INVALID, "%s: the key's digest is none", what);
	return evidence_fits((const char *)kept->text.data, &fits, err) &&
	       (fits ||
		muster_fail(err, CAUSE_INPUT_TOO_LARGE, "%s is too large for evidence", what));
}

/* What cannot be used is no reason to stop: the others count. */
static bool pass_over(struct evidence_kept *kept, const struct muster_error *why,
		      struct muster_error *err)
{
	cJSON_Delete(TAKE_PTR(kept->tree));
	if (why->cause == CAUSE_MEMORY)
		return muster_fail_memory(err);
	log_warning("%s, going on", why->message);
	return true;
}

bool evidence_kept_judge(struct evidence_kept *kept, const char *what, const char *host,
			 struct muster_error *err)
{
	struct muster_error why;

	if (!json_parse((const char *)kept->text.data, kept->text.size, what, &kept->tree, &why))
		return pass_over(kept, &why, err);
	if (!is_evidence(kept->tree) ||
	    !text_equal_folded(json_text(kept->tree, "service"), host)) {
		kept->is_elsewhere = is_evidence(kept->tree);
		cJSON_Delete(TAKE_PTR(kept->tree));
		return true;
	}
	return is_usable(kept, what, &why) || pass_over(kept, &why, err);
}

bool evidence_kept_read(const char *path, const char *host, struct evidence_kept *ret_kept,
			struct muster_error *err)
{
	CLEANUP(evidence_kept_done) struct evidence_kept kept = { .path = strdup(path) };
	struct muster_error why;
	bool is_read = kept.path && file_read(path, EVIDENCE_KEPT_MAX, &kept.text, &why);

	if (!kept.path)
		return muster_fail_memory(err);
	if (is_read ? !evidence_kept_judge(&kept, PRINTABLE(path), host, err)
		    : (why.origin != ORIGIN_ERRNO || why.native != ENOENT) &&
			      !pass_over(&kept, &why, err))
		return false;
	*ret_kept = kept;
	kept = (struct evidence_kept){ 0 };
	return true;
}

bool evidence_kept_id(const struct evidence_kept *kept, char **ret_id, struct muster_error *err)
{
	const char *named = json_text(kept->tree, "registrationId");
	struct muster_error unfit;

	*ret_id = NULL;
	if (!named || !dps_registration_id_check(named, &unfit))
		return true;
	*ret_id = strdup(named);
	if (!*ret_id)
		return muster_fail_memory(err);
	text_fold(*ret_id);
	return true;
}

bool evidence_kept_is_of(const struct evidence_kept *kept, const char *registration_id)
{
	const char *named = json_text(kept->tree, "registrationId");

	return named && text_equal_folded(named, registration_id);
}

void evidence_list_done(struct evidence_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		evidence_kept_done(&list->items[i]);
	free(list->items);
	*list = (struct evidence_list){ 0 };
}

bool evidence_list_add(struct evidence_list *list, struct evidence_kept *kept,
		       struct muster_error *err)
{
	struct evidence_kept *items =
		reallocarray(list->items, list->count + 1, sizeof(*list->items));

	if (!items)
		return muster_fail_memory(err);
	list->items = items;
	items[list->count++] = *kept;
	*kept = (struct evidence_kept){ 0 };
	return true;
}
