/* A journal made again: the service's enrollments page by page, each with its evidence file, then the evidence of devices
 * that the service does not have. One transaction per page, and what is in the journal already is passed over, so that a cut
 * is only an interruption. */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/dps-enrollment.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/station-journal.h"
#include "muster/text.h"

#include "evidence.h"
#include "restore.h"

#define EVIDENCE_FILE_MAX (256 * 1024)
#define EVIDENCE_SUFFIX ".evidence.json"
enum { PAGE_SIZE = 100, FILES_PER_COMMIT = 100 };

struct reconcile {
	const struct station_reconcile_request *request;
	DIR *evidence;
	struct journal *journal;
	struct who who;
	struct station_reconciliation result;
	size_t elsewhere; /* evidence files of other services */
};

/* -- Evidence files ----------------------------------------------------------------------------------------- */

struct evidence_file {
	char *path;
	struct bytes text;
	cJSON *tree; /* NULL: there is none, or it is not of this service */
	bool is_elsewhere;
};

static void evidence_file_done(struct evidence_file *file)
{
	free(file->path);
	bytes_done(&file->text);
	cJSON_Delete(file->tree);
}

static bool is_evidence(const cJSON *tree)
{
	const char *schema = json_text(tree, "schema");

	return schema && text_has_prefix(schema, "muster.evidence/") && json_text(tree, "service");
}

static bool is_of_service(const struct reconcile *reconcile, const cJSON *tree)
{
	return text_equal_folded(json_text(tree, "service"),
				 dps_client_host(reconcile->request->client));
}

/* What the journal could not take. */
static bool is_usable(const cJSON *tree, const char *text, const char *path,
		      struct muster_error *err)
{
	const char *digest = evidence_key_digest(json_get(tree, "attestation"));
	bool fits;

	if (digest && !hex_is_lower(digest, SHA256_HEX_SIZE - 1, SHA256_HEX_SIZE - 1))
		return muster_fail(err, CAUSE_JSON_INVALID, "the key's digest in '%s' is none",
				   PRINTABLE(path));
	return evidence_fits(text, &fits, err) &&
	       (fits || muster_fail(err, CAUSE_INPUT_TOO_LARGE, "'%s' is too large for evidence",
				    PRINTABLE(path)));
}

/* An unreadable file is no reason to stop: the others count. */
static bool read_evidence(const struct reconcile *reconcile, const char *path,
			  struct evidence_file *ret_file, struct muster_error *err)
{
	CLEANUP(evidence_file_done) struct evidence_file file = { .path = strdup(path) };
	struct muster_error unread;

	if (!file.path)
		return muster_fail_memory(err);
	if (!file_read(path, EVIDENCE_FILE_MAX, &file.text, &unread)) {
		if (unread.origin != ORIGIN_ERRNO || unread.native != ENOENT)
			log_warning("%s, going on", unread.message);
	} else if (!json_parse((const char *)file.text.data, file.text.size, path, &file.tree,
			       &unread)) {
		log_warning("%s, going on", unread.message);
	} else if (!is_evidence(file.tree) || !is_of_service(reconcile, file.tree)) {
		file.is_elsewhere = is_evidence(file.tree);
		cJSON_Delete(TAKE_PTR(file.tree));
	} else if (!is_usable(file.tree, (const char *)file.text.data, path, &unread)) {
		log_warning("%s, going on", unread.message);
		cJSON_Delete(TAKE_PTR(file.tree));
	}
	*ret_file = file;
	file = (struct evidence_file){ 0 };
	return true;
}

/* -- One device --------------------------------------------------------------------------------------------- */

static void count(struct reconcile *reconcile, const struct remains *remains)
{
	switch (restore_state(remains)) {
	case JOURNAL_RELEASED:
		reconcile->result.released++;
		break;
	case JOURNAL_RETIRED:
		reconcile->result.retired++;
		break;
	default:
		if (remains->evidence)
			reconcile->result.differing++;
		else
			reconcile->result.parked++;
	}
}

/* Whose key two devices claim, a person decides. */
static bool restore_or_park(struct reconcile *reconcile, struct remains *remains,
			    struct muster_error *err)
{
	if (restore_device(reconcile->journal, remains, &reconcile->who, err))
		return true;
	if (err->cause != CAUSE_KEY_TAKEN)
		return false;
	log_warning("device '%s': %s, going on", PRINTABLE(remains->registration_id), err->message);
	remains->key_is_taken = true;
	return restore_device(reconcile->journal, remains, &reconcile->who, err);
}

static bool is_of_attempt(const cJSON *a, const cJSON *b)
{
	const char *of_a = json_text(a, "attemptId"), *of_b = json_text(b, "attemptId");

	return of_a && of_b && strcmp(of_a, of_b) == 0;
}

/* One life may have been released more than once; what was written last of it stands for it. */
static bool is_superseded(const struct reconcile *reconcile, const struct evidence_file *file,
			  const struct evidence_file *present, unsigned number,
			  bool *ret_is_superseded, struct muster_error *err)
{
	CLEANUP(freep) char *path = evidence_former_path(present->path, number + 1);
	CLEANUP(evidence_file_done) struct evidence_file next = { 0 };

	if (!path)
		return muster_fail_memory(err);
	if (!read_evidence(reconcile, path, &next, err))
		return false;
	*ret_is_superseded =
		is_of_attempt(file->tree, present->tree) || is_of_attempt(file->tree, next.tree);
	return true;
}

/* The evidence of the boards before this one. */
static bool restore_former(struct reconcile *reconcile, const char *id,
			   const struct evidence_file *present, struct muster_error *err)
{
	for (unsigned number = 1;; number++) {
		CLEANUP(freep) char *path = evidence_former_path(present->path, number);
		CLEANUP(evidence_file_done) struct evidence_file file = { 0 };
		struct remains remains = { .registration_id = id, .is_former = true };
		bool is_superseded_by_another = false;
		const char *named;

		if (!path)
			return muster_fail_memory(err);
		if (!read_evidence(reconcile, path, &file, err))
			return false;
		if (!file.text.data)
			return true;
		named = json_text(file.tree, "registrationId");
		if (!named || !text_equal_folded(named, id))
			continue;
		if (!is_superseded(reconcile, &file, present, number, &is_superseded_by_another,
				   err))
			return false;
		if (is_superseded_by_another)
			continue;
		remains.evidence = file.tree;
		remains.evidence_text = (const char *)file.text.data;
		remains.evidence_path = file.path;
		if (!restore_device(reconcile->journal, &remains, &reconcile->who, err))
			return false;
	}
}

static bool restore(struct reconcile *reconcile, const char *id, const struct evidence_file *file,
		    const cJSON *enrollment, struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device known = { 0 };
	const char *named = json_text(file->tree, "registrationId");
	bool has_evidence = named && text_equal_folded(named, id);
	struct remains remains = { .registration_id = id, .enrollment = enrollment };
	bool is_known = false;

	if (!journal_device_find(reconcile->journal, JOURNAL_BY_REGISTRATION_ID, id, &known,
				 &is_known, err))
		return false;
	if (is_known) {
		reconcile->result.known++;
		return true;
	}
	if (has_evidence) {
		remains.evidence = file->tree;
		remains.evidence_text = (const char *)file->text.data;
		remains.evidence_path = file->path;
	} else if (reconcile->request->needs_evidence || !dps_enrollment_attempt(enrollment)) {
		reconcile->result.foreign++;
		return true;
	}
	if ((has_evidence && !restore_former(reconcile, id, file, err)) ||
	    !restore_or_park(reconcile, &remains, err))
		return muster_error_prefix(err, "restoring device '%s'", PRINTABLE(id));
	count(reconcile, &remains);
	return true;
}

static bool restore_enrollment(struct reconcile *reconcile, const cJSON *enrollment,
			       struct muster_error *err)
{
	CLEANUP(evidence_file_done) struct evidence_file file = { 0 };
	const char *named = json_text(enrollment, "registrationId");
	CLEANUP(freep) char *id = named ? strdup(named) : NULL;
	CLEANUP(freep) char *path = NULL;

	if (!named || !dps_registration_id_check(named, err))
		return muster_fail(err, CAUSE_CLOUD_READ_INVALID,
				   "the service lists an enrollment without a registration ID");
	if (!id)
		return muster_fail_memory(err);
	text_fold(id);
	path = station_evidence_path(reconcile->request->evidence_directory, id, "evidence.json");
	return (path || muster_fail_memory(err)) && read_evidence(reconcile, path, &file, err) &&
	       restore(reconcile, id, &file, enrollment, err);
}

/* -- All of them -------------------------------------------------------------------------------------------- */

static bool restore_page(struct reconcile *reconcile, const cJSON *page, struct muster_error *err)
{
	const cJSON *enrollment;

	if (!journal_begin(reconcile->journal, err))
		return false;
	cJSON_ArrayForEach(enrollment, page)
	{
		if (!restore_enrollment(reconcile, enrollment, err))
			return false;
	}
	return journal_commit(reconcile->journal, err);
}

static bool restore_enrolled(struct reconcile *reconcile, struct muster_error *err)
{
	CLEANUP(dps_pager_done) struct dps_pager pager = { .page_size = PAGE_SIZE };

	for (;;) {
		CLEANUP(cJSON_freep) cJSON *page = NULL;

		if (!dps_pager_next(&pager, reconcile->request->client, &page, err))
			return false;
		if (!page)
			return true;
		if (!restore_page(reconcile, page, err))
			return false;
	}
}

/* What evidence there is of a device that the service does not have. */
static bool restore_file(struct reconcile *reconcile, const char *name, struct muster_error *err)
{
	CLEANUP(evidence_file_done) struct evidence_file file = { 0 };
	CLEANUP(freep)
	char *path = text_format("%s/%s", reconcile->request->evidence_directory, name);
	CLEANUP(freep) char *id = NULL;
	CLEANUP(journal_device_done) struct journal_device known = { 0 };
	struct muster_error unfit;
	bool is_known = false;

	if (!path)
		return muster_fail_memory(err);
	if (!read_evidence(reconcile, path, &file, err))
		return false;
	reconcile->elsewhere += file.is_elsewhere;
	if (!file.tree || !json_text(file.tree, "registrationId") ||
	    !dps_registration_id_check(json_text(file.tree, "registrationId"), &unfit))
		return true;
	id = strdup(json_text(file.tree, "registrationId"));
	if (!id)
		return muster_fail_memory(err);
	text_fold(id);
	if (!journal_device_find(reconcile->journal, JOURNAL_BY_REGISTRATION_ID, id, &known,
				 &is_known, err))
		return false;
	return is_known || restore(reconcile, id, &file, NULL, err);
}

static bool is_evidence_name(const char *name)
{
	size_t length = strlen(name), suffix = strlen(EVIDENCE_SUFFIX);

	return length > suffix && strcmp(name + length - suffix, EVIDENCE_SUFFIX) == 0;
}

static bool restore_unenrolled(struct reconcile *reconcile, struct muster_error *err)
{
	const struct dirent *entry;
	size_t files = 0;

	if (!journal_begin(reconcile->journal, err))
		return false;
	for (;;) {
		if (!directory_next(reconcile->evidence, reconcile->request->evidence_directory,
				    &entry, err))
			return false;
		if (!entry)
			break;
		if (!is_evidence_name(entry->d_name))
			continue;
		if (!restore_file(reconcile, entry->d_name, err))
			return false;
		if (++files % FILES_PER_COMMIT == 0 && (!journal_commit(reconcile->journal, err) ||
							!journal_begin(reconcile->journal, err)))
			return false;
	}
	if (reconcile->elsewhere > 0)
		log_warning("%zu evidence files in '%s' are of another service than '%s', going on",
			    reconcile->elsewhere, PRINTABLE(reconcile->request->evidence_directory),
			    dps_client_host(reconcile->request->client));
	return journal_commit(reconcile->journal, err);
}

/* -- The journal -------------------------------------------------------------------------------------------- */

static bool add_count(cJSON *object, const char *name, size_t value)
{
	return json_add_int64(object, name, (int64_t)value);
}

static cJSON *begin_body(const struct reconcile *reconcile)
{
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	cJSON *inner = body ? cJSON_AddObjectToObject(body, "reconcile") : NULL;

	if (!inner ||
	    !json_add_text(inner, "service", dps_client_host(reconcile->request->client)) ||
	    !json_add_text(inner, "evidence", reconcile->request->evidence_directory))
		return NULL;
	return TAKE_PTR(body);
}

static cJSON *end_body(const struct reconcile *reconcile)
{
	const struct station_reconciliation *result = &reconcile->result;
	CLEANUP(cJSON_freep) cJSON *body = cJSON_CreateObject();
	cJSON *inner = body ? cJSON_AddObjectToObject(body, "reconciled") : NULL;

	if (!inner || !add_count(inner, "released", result->released) ||
	    !add_count(inner, "retired", result->retired) ||
	    !add_count(inner, "differing", result->differing) ||
	    !add_count(inner, "parked", result->parked) ||
	    !add_count(inner, "foreign", result->foreign) ||
	    !add_count(inner, "known", result->known))
		return NULL;
	return TAKE_PTR(body);
}

static bool record(struct reconcile *reconcile, cJSON *body, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *owned = body;
	CLEANUP(freep) char *line = owned ? json_print_line(owned) : NULL;
	struct journal_entry entry = {
		.at_ms = clock_wall_ms(),
		.stage = "journal",
		.kind = JOURNAL_NOTE,
		.operator= reconcile->who.operator_name,
		.station = reconcile->who.station,
		.body = line,
	};

	if (!line)
		return muster_fail_memory(err);
	return journal_begin(reconcile->journal, err) &&
	       journal_append(reconcile->journal, &entry, err) &&
	       journal_commit(reconcile->journal, err);
}

static bool take_first(void *context, const struct journal_entry *entry, struct muster_error *err)
{
	bool *is_reconciled = context;

	(void)err;
	if (entry->seq == 1)
		*is_reconciled = strcmp(entry->stage, "journal") == 0 &&
				 text_has_prefix(entry->body, "{\"reconcile\":");
	return true;
}

/* Before there is a journal: a device that was parked for want of its evidence would not be looked at again. */
static bool open_evidence(struct reconcile *reconcile, struct muster_error *err)
{
	const char *path = reconcile->request->evidence_directory;

	reconcile->evidence = opendir(path);
	return reconcile->evidence || muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno,
							"evidence directory '%s'", PRINTABLE(path));
}

static bool open_journal(struct reconcile *reconcile, struct muster_error *err)
{
	const char *path = reconcile->request->journal_path;
	struct journal_head head;
	bool is_reconciled = false;
	size_t unused;

	if (!journal_check_space(path, 1, err) ||
	    !journal_open(path, JOURNAL_WRITE, &reconcile->journal, err) ||
	    !journal_head(reconcile->journal, &head, err))
		return false;
	if (head.seq == 0)
		return record(reconcile, begin_body(reconcile), err);
	if (!journal_entries(reconcile->journal, NULL, 0, take_first, &is_reconciled, &unused, err))
		return false;
	return is_reconciled ||
	       muster_fail(err, CAUSE_JOURNAL_EXISTS, "'%s' is a journal with entries of its own",
			   PRINTABLE(path));
}

static void reconcile_done(struct reconcile *reconcile)
{
	closedirp(&reconcile->evidence);
	journal_close(reconcile->journal);
	who_done(&reconcile->who);
}

bool station_reconcile(const struct station_reconcile_request *request,
		       struct station_reconciliation *ret_reconciliation, struct muster_error *err)
{
	CLEANUP(reconcile_done) struct reconcile reconcile = { .request = request };

	if (!who_is_here(&reconcile.who, request->operator_name, NULL, err) ||
	    !open_evidence(&reconcile, err) || !open_journal(&reconcile, err) ||
	    !restore_enrolled(&reconcile, err) || !restore_unenrolled(&reconcile, err) ||
	    !record(&reconcile, end_body(&reconcile), err))
		return false;
	*ret_reconciliation = reconcile.result;
	return true;
}
