/* A journal made again: the service's enrollments page by page, each with its evidence, then the evidence of devices that no
 * page had, each of which is asked for once more. One transaction per page, and what is in the journal already is
 * passed over, so that a cut is only an interruption. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/dps-enrollment.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/station-journal.h"
#include "muster/text.h"

#include "evidence-lives.h"
#include "restore.h"

#define EVIDENCE_SUFFIX ".evidence.json"
enum { PAGE_SIZE = 100 };

/* A device that no page had. */
struct unpaged {
	char *id;
	struct evidence_list lives;
	cJSON *enrollment; /* that it has by now, or NULL */
};

struct reconcile {
	const struct station_reconcile_request *request;
	DIR *evidence;
	struct journal *journal;
	struct who who;
	struct station_reconciliation result;
	const char *host; /* of the service */
	struct evidence_index *lines;
	size_t elsewhere; /* evidence files of other services */
	struct unpaged unpaged[PAGE_SIZE];
	size_t unpaged_count;
};

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

/* All but the last are of boards before this one. */
static bool restore_lives(struct reconcile *reconcile, const struct evidence_list *lives,
			  struct remains *remains, struct muster_error *err)
{
	for (size_t i = 0; i < lives->count; i++) {
		const struct evidence_kept *life = &lives->items[i];
		struct remains former = { .registration_id = remains->registration_id,
					  .host = remains->host,
					  .is_former = true };
		struct remains *its = i + 1 < lives->count ? &former : remains;

		its->evidence = life->tree;
		its->evidence_text = (const char *)life->text.data;
		its->evidence_path = life->path;
		if (its == &former &&
		    !restore_device(reconcile->journal, its, &reconcile->who, err))
			return false;
	}
	return restore_or_park(reconcile, remains, err);
}

/* Of one that no page had: it may have been enrolled since that was read. */
static bool ask_for(struct reconcile *reconcile, const char *id, cJSON **ret_enrollment,
		    struct muster_error *err)
{
	return dps_enrollment_fetch(reconcile->request->client, id, ret_enrollment, err) ||
	       err->cause == CAUSE_ENROLLMENT_NOT_FOUND;
}

static bool restore_unknown(struct reconcile *reconcile, const struct evidence_list *lives,
			    struct remains *remains, struct muster_error *err)
{
	if (lives->count == 0 &&
	    (reconcile->request->needs_evidence || !dps_enrollment_attempt(remains->enrollment))) {
		reconcile->result.foreign++;
		return true;
	}
	if (!restore_lives(reconcile, lives, remains, err))
		return muster_error_prefix(err, "restoring device '%s'",
					   PRINTABLE(remains->registration_id));
	count(reconcile, remains);
	return true;
}

static bool is_in_journal(const struct reconcile *reconcile, const char *id, bool *ret_is_known,
			  struct muster_error *err)
{
	CLEANUP(journal_device_done) struct journal_device known = { 0 };

	return journal_device_find(reconcile->journal, JOURNAL_BY_REGISTRATION_ID, id, &known,
				   ret_is_known, err);
}

static void unpaged_done(struct unpaged *unpaged)
{
	free(unpaged->id);
	evidence_list_done(&unpaged->lives);
	cJSON_Delete(unpaged->enrollment);
}

static void forget_unpaged(struct reconcile *reconcile)
{
	while (reconcile->unpaged_count > 0)
		unpaged_done(&reconcile->unpaged[--reconcile->unpaged_count]);
}

/* There may be evidence of it in more than one place. */
static bool restore_unpaged(struct reconcile *reconcile, struct unpaged *unpaged,
			    struct muster_error *err)
{
	struct remains remains = { .registration_id = unpaged->id,
				   .host = reconcile->host,
				   .enrollment = unpaged->enrollment };
	bool is_known;

	return is_in_journal(reconcile, unpaged->id, &is_known, err) &&
	       (is_known || restore_unknown(reconcile, &unpaged->lives, &remains, err));
}

static bool restore_all_unpaged(struct reconcile *reconcile, struct muster_error *err)
{
	if (reconcile->unpaged_count == 0)
		return true;
	if (!journal_begin(reconcile->journal, err))
		return false;
	for (size_t i = 0; i < reconcile->unpaged_count; i++)
		if (!restore_unpaged(reconcile, &reconcile->unpaged[i], err))
			return false;
	forget_unpaged(reconcile);
	return journal_commit(reconcile->journal, err);
}

/* What was asked for before it is kept. */
static bool drop_last(struct reconcile *reconcile, struct muster_error *err)
{
	struct muster_error unwritten;

	unpaged_done(&reconcile->unpaged[--reconcile->unpaged_count]);
	if (!restore_all_unpaged(reconcile, &unwritten))
		*err = unwritten;
	return false;
}

/* The service is asked outside of any transaction. Takes `lives` over. */
static bool put_off(struct reconcile *reconcile, const char *id, struct evidence_list *lives,
		    struct muster_error *err)
{
	struct unpaged *unpaged = &reconcile->unpaged[reconcile->unpaged_count];

	*unpaged = (struct unpaged){ .id = strdup(id), .lives = *lives };
	*lives = (struct evidence_list){ 0 };
	reconcile->unpaged_count++;
	if (!unpaged->id)
		return muster_fail_memory(err);
	if (!ask_for(reconcile, id, &unpaged->enrollment, err))
		return drop_last(reconcile, err);
	return reconcile->unpaged_count < PAGE_SIZE || restore_all_unpaged(reconcile, err);
}

/* Takes `file` over. */
static bool restore(struct reconcile *reconcile, const char *id, struct evidence_kept *file,
		    const cJSON *enrollment, struct muster_error *err)
{
	CLEANUP(evidence_list_done) struct evidence_list lives = { 0 };
	const struct evidence_source source = { .host = reconcile->host,
						.index = reconcile->lines };
	struct remains remains = { .registration_id = id,
				   .host = reconcile->host,
				   .enrollment = enrollment };
	bool is_known;

	if (!is_in_journal(reconcile, id, &is_known, err))
		return false;
	if (is_known) {
		reconcile->result.known += enrollment != NULL;
		return true;
	}
	if (!evidence_lives_gather(&source, id, file, &lives, err))
		return false;
	return enrollment || lives.count == 0 ? restore_unknown(reconcile, &lives, &remains, err)
					      : put_off(reconcile, id, &lives, err);
}

static bool restore_by_id(struct reconcile *reconcile, const char *id, const cJSON *enrollment,
			  struct muster_error *err)
{
	CLEANUP(evidence_kept_done) struct evidence_kept file = { 0 };
	CLEANUP(freep)
	char *path =
		station_evidence_path(reconcile->request->evidence_directory, id, "evidence.json");

	return (path || muster_fail_memory(err)) &&
	       evidence_kept_read(path, reconcile->host, &file, err) &&
	       restore(reconcile, id, &file, enrollment, err);
}

static bool restore_enrollment(struct reconcile *reconcile, const cJSON *enrollment,
			       struct muster_error *err)
{
	const char *named = json_text(enrollment, "registrationId");
	CLEANUP(freep) char *id = named ? strdup(named) : NULL;

	if (!named || !dps_registration_id_check(named, err))
		return muster_fail(err, CAUSE_CLOUD_READ_INVALID,
				   "the service lists an enrollment without a registration ID");
	if (!id)
		return muster_fail_memory(err);
	text_fold(id);
	return restore_by_id(reconcile, id, enrollment, err);
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

static bool restore_file(struct reconcile *reconcile, const char *name, struct muster_error *err)
{
	CLEANUP(evidence_kept_done) struct evidence_kept file = { 0 };
	CLEANUP(freep) char *id = NULL;
	CLEANUP(freep)
	char *path = text_format("%s/%s", reconcile->request->evidence_directory, name);

	if (!path)
		return muster_fail_memory(err);
	if (!evidence_kept_read(path, reconcile->host, &file, err) ||
	    !evidence_kept_id(&file, &id, err))
		return false;
	reconcile->elsewhere += file.is_elsewhere;
	return !id || restore(reconcile, id, &file, NULL, err);
}

static bool restore_files(struct reconcile *reconcile, struct muster_error *err)
{
	const struct dirent *entry;

	for (;;) {
		if (!directory_next(reconcile->evidence, reconcile->request->evidence_directory,
				    &entry, err))
			return false;
		if (!entry)
			return true;
		if (!text_has_suffix(entry->d_name, EVIDENCE_SUFFIX))
			continue;
		if (!restore_file(reconcile, entry->d_name, err))
			return false;
	}
}

static bool restore_lines(struct reconcile *reconcile, struct muster_error *err)
{
	size_t at = 0;

	for (;;) {
		CLEANUP(evidence_kept_done) struct evidence_kept line = { 0 };
		CLEANUP(freep) char *id = NULL;

		if (!evidence_index_next(reconcile->lines, &at, &line, err))
			return false;
		if (!line.path)
			return true;
		if (!evidence_kept_id(&line, &id, err) ||
		    (id && !restore_by_id(reconcile, id, NULL, err)))
			return false;
	}
}

/* What evidence there is of devices that no page had. */
static bool restore_unenrolled(struct reconcile *reconcile, struct muster_error *err)
{
	size_t elsewhere;

	if (!restore_files(reconcile, err) || !restore_lines(reconcile, err) ||
	    !restore_all_unpaged(reconcile, err))
		return false;
	elsewhere = reconcile->elsewhere + evidence_index_elsewhere(reconcile->lines);
	if (elsewhere > 0)
		log_warning(
			"%zu evidence files or lines in '%s' are of another service than '%s', going on",
			elsewhere, PRINTABLE(reconcile->request->evidence_directory),
			reconcile->host);
	return true;
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

	if (!inner || !json_add_text(inner, "service", reconcile->host) ||
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

/* How far earlier runs came with a journal. */
struct progress {
	bool is_ours;        /* it began so */
	char host[256];      /* of the service that the last run read */
	int64_t finished_at; /* the entry that says so; 0: it was cut off */
	bool is_unasked;     /* it began where nothing was written since the one before */
	bool was_used;       /* since then, as far as that matters */
};

static bool says(const struct journal_entry *entry, const char *beginning)
{
	return strcmp(entry->stage, "journal") == 0 && text_has_prefix(entry->body, beginning);
}

static bool take_begin(struct progress *progress, const struct journal_entry *entry,
		       struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;
	const char *host;

	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	host = json_text(json_get(body, "reconcile"), "service");
	snprintf(progress->host, sizeof(progress->host), "%s", host ? host : "");
	progress->is_ours |= entry->seq == 1;
	progress->is_unasked = progress->finished_at > 0 && entry->seq == progress->finished_at + 1;
	progress->was_used = false;
	progress->finished_at = 0;
	return true;
}

/* What a reconcile writes of a device is marked, all but its row. */
static bool take_other(struct progress *progress, const struct journal_entry *entry,
		       struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *body = NULL;

	if (!progress->is_unasked || progress->was_used ||
	    strcmp(entry->stage, JOURNAL_DEVICE_STAGE) == 0)
		return true;
	if (!json_parse(entry->body, strlen(entry->body), "a journal entry", &body, err))
		return false;
	progress->was_used = !json_bool(body, "reconciled", false);
	return true;
}

static bool take_progress(void *context, const struct journal_entry *entry,
			  struct muster_error *err)
{
	struct progress *progress = context;

	if (says(entry, "{\"reconcile\":"))
		return take_begin(progress, entry, err);
	if (!says(entry, "{\"reconciled\":"))
		return take_other(progress, entry, err);
	progress->finished_at = entry->seq;
	return true;
}

/* A run was cut off and may go on. A journal that was whole before it, and was used since, is one in use. */
static bool is_cut_off(const struct progress *progress)
{
	return progress->finished_at == 0 && !(progress->is_unasked && progress->was_used);
}

/* What other stations have enrolled since would come in as devices that wait here. */
static bool check_use(const struct reconcile *reconcile, const struct progress *progress,
		      const struct journal_head *head, struct muster_error *err)
{
	const char *path = reconcile->request->journal_path;

	if (!progress->is_ours)
		return muster_fail(err, CAUSE_JOURNAL_EXISTS,
				   "'%s' is a journal with entries of its own", PRINTABLE(path));
	if (reconcile->request->again)
		return true;
	if (!text_equal_folded(progress->host, reconcile->host))
		return muster_fail(err, CAUSE_JOURNAL_EXISTS,
				   "'%s' was made again from '%s', not from '%s'", PRINTABLE(path),
				   PRINTABLE(progress->host), PRINTABLE(reconcile->host));
	return is_cut_off(progress) || progress->finished_at == head->seq ||
	       muster_fail(err, CAUSE_JOURNAL_EXISTS,
			   "'%s' was made again, and has been used since", PRINTABLE(path));
}

static bool goes_on(const struct reconcile *reconcile, const struct progress *progress)
{
	return progress->is_ours && is_cut_off(progress) &&
	       text_equal_folded(progress->host, reconcile->host);
}

/* Before there is a journal: a device that was parked for want of its evidence would not be looked at again. */
static bool open_evidence(struct reconcile *reconcile, struct muster_error *err)
{
	const char *path = reconcile->request->evidence_directory;

	reconcile->evidence = opendir(path);
	return reconcile->evidence
		       ? evidence_index_read(path, reconcile->host, &reconcile->lines, err)
		       : muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno,
					   "evidence directory '%s'", PRINTABLE(path));
}

static bool open_journal(struct reconcile *reconcile, struct muster_error *err)
{
	const char *path = reconcile->request->journal_path;
	struct progress progress = { 0 };
	struct journal_head head;

	if (!journal_check_space(path, 1, err) ||
	    !journal_open(path, JOURNAL_WRITE, &reconcile->journal, err) ||
	    !journal_head(reconcile->journal, &head, err))
		return false;
	if (head.seq > 0 &&
	    (!journal_entries_all(reconcile->journal, NULL, take_progress, &progress, err) ||
	     !check_use(reconcile, &progress, &head, err)))
		return false;
	return goes_on(reconcile, &progress) || record(reconcile, begin_body(reconcile), err);
}

static void reconcile_done(struct reconcile *reconcile)
{
	forget_unpaged(reconcile);
	closedirp(&reconcile->evidence);
	evidence_index_free(reconcile->lines);
	journal_close(reconcile->journal);
	who_done(&reconcile->who);
}

bool station_reconcile(const struct station_reconcile_request *request,
		       struct station_reconciliation *ret_reconciliation, struct muster_error *err)
{
	CLEANUP(reconcile_done)
	struct reconcile reconcile = { .request = request,
				       .host = dps_client_host(request->client) };

	if (!who_is_here(&reconcile.who, request->operator_name, NULL, err) ||
	    !open_evidence(&reconcile, err) || !open_journal(&reconcile, err) ||
	    !restore_enrolled(&reconcile, err) || !restore_unenrolled(&reconcile, err) ||
	    !record(&reconcile, end_body(&reconcile), err))
		return false;
	*ret_reconciliation = reconcile.result;
	return true;
}
