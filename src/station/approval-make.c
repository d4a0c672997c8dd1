/* Asking for approvals, granting them, and showing what there is. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "approval.h"
#include "batch.h"
#include "checkpoint-key.h"
#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/station-approval.h"
#include "production.h"
#include "statement.h"

/* -- What there is ------------------------------------------------------------------------------------------------ */

static cJSON *subject_json(const cJSON *subject)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	CLEANUP(bytes_done) struct bytes digest = { 0 };
	const char *text = cJSON_GetStringValue(subject);
	char words[APPROVAL_WORDS_SIZE] = "";

	if (text && strlen(text) == SHA256_HEX_SIZE - 1 && hex_decode(text, strlen(text), &digest))
		words_encode(words, digest.data, APPROVAL_WORDS_SIZE / 3);
	if (!object || !json_add_text(object, "subject", subject->string) ||
	    !json_add_text(object, "sha256", text) || !json_add_text(object, "words", words))
		return NULL;
	return TAKE_PTR(object);
}

static bool add_subjects(cJSON *object, const struct approval *approval)
{
	cJSON *array = cJSON_AddArrayToObject(object, "subjects");
	const cJSON *subject;

	cJSON_ArrayForEach(subject, json_get(approval->plan, "subjects"))
	{
		if (!array || !cJSON_AddItemToArray(array, subject_json(subject)))
			return false;
	}
	return true;
}

static cJSON *signature_json(const struct approval_signer *signer, const char *role,
			     enum approval_state state)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	char at[RFC3339_SIZE], until[RFC3339_SIZE];

	if (!object || !json_add_text(object, "role", role) ||
	    !json_add_text(object, "name", signer->name) ||
	    !json_add_text(object, "keySha256", signer->key) ||
	    !json_add_text(object, "at", rfc3339_format(at, signer->at_ms)) ||
	    !json_add_text(object, "until", rfc3339_format(until, signer->until_ms)) ||
	    !json_add_text(object, "state", approval_state_word(state)))
		return NULL;
	return TAKE_PTR(object);
}

static bool add_signatures(cJSON *object, const struct approval *approval,
			   const struct approval_policy *policy, int64_t now_ms)
{
	cJSON *array = cJSON_AddArrayToObject(object, "signatures");

	if (!array ||
	    !cJSON_AddItemToArray(
		    array, signature_json(&approval->requester, "asks",
					  approval_requester_state(approval, policy, now_ms))))
		return false;
	for (size_t i = 0; i < approval->grant_count; i++)
		if (!cJSON_AddItemToArray(
			    array,
			    signature_json(&approval->grants[i], "approves",
					   approval_grant_state(approval, policy, i, now_ms))))
			return false;
	return true;
}

static bool describe(const char *path, const struct approval *approval, const struct config *config,
		     cJSON **ret_result, struct muster_error *err)
{
	CLEANUP(approval_policy_done) struct approval_policy policy = { 0 };
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	int64_t now_ms = clock_wall_ms(), devices = 0;
	size_t count;

	if (!approval_policy_load(config, &policy, err))
		return false;
	count = approval_count(approval, &policy, now_ms);
	if (!object || !json_add_text(object, "approval", path) ||
	    !json_add_text(object, "verb", json_text(approval->plan, "verb")) ||
	    (json_int64(approval->plan, "devices", &devices) &&
	     !json_add_int64(object, "devices", devices)) ||
	    !json_add_text(object, "words", approval->words) ||
	    !json_add_int64(object, "needed", config->approvals.needed) ||
	    !json_add_int64(object, "counting", (int64_t)count) ||
	    !add_subjects(object, approval) || !add_signatures(object, approval, &policy, now_ms))
		return muster_fail_memory(err);
	*ret_result = TAKE_PTR(object);
	return true;
}

bool station_approval_show(const char *path, const struct config *config, cJSON **ret_result,
			   struct muster_error *err)
{
	CLEANUP(approval_done) struct approval approval = { 0 };

	return approval_read(path, &approval, err) &&
	       describe(path, &approval, config, ret_result, err);
}

/* -- Signing ------------------------------------------------------------------------------------------------------ */

/* Who signs, from when until when. */
static bool add_signer(cJSON *content, const struct station_approval_terms *terms,
		       const struct config *config, struct muster_error *err)
{
	CLEANUP(who_done) struct who who = { 0 };
	char at[RFC3339_SIZE], until[RFC3339_SIZE];
	int64_t now_ms = clock_wall_ms();

	if (!who_is_here(&who, terms->operator_name, config->operator_name, err))
		return false;
	return (content && json_add_text(content, "name", who.operator_name) &&
		json_add_text(content, "station", who.station) &&
		json_add_text(content, "at", rfc3339_format(at, now_ms)) &&
		json_add_text(content, "until",
			      rfc3339_format(until, now_ms + terms->hours * APPROVAL_HOUR_MS))) ||
	       muster_fail_memory(err);
}

static bool write_file(const char *path, const cJSON *file, bool replace, struct muster_error *err)
{
	CLEANUP(freep) char *printed = json_print_pretty(file);
	CLEANUP(freep) char *text = printed ? text_format("%s\n", printed) : NULL;

	return text ? file_write(path, text, strlen(text), 0644, replace, err)
		    : muster_fail_memory(err);
}

/* -- Asking ------------------------------------------------------------------------------------------------------- */

/* Takes `subjects`. */
static cJSON *plan_of(const char *verb, cJSON *subjects, size_t devices)
{
	CLEANUP(cJSON_freep) cJSON *plan = cJSON_CreateObject();

	if (!json_add_item(plan, "subjects", subjects) || !json_add_text(plan, "verb", verb) ||
	    !json_add_int64(plan, "devices", (int64_t)devices))
		return NULL;
	return TAKE_PTR(plan);
}

static bool sign_plan(cJSON *plan, EVP_PKEY *key, cJSON *file, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes spki = { 0 };
	CLEANUP(cJSON_freep) cJSON *statement = NULL;
	char digest[SHA256_HEX_SIZE];

	if (!signature_public_key(key, &spki, err))
		return false;
	if (!json_add_text(plan, "keySha256", sha256_hex(digest, spki.data, spki.size)))
		return muster_fail_memory(err);
	if (!statement_make(PLAN_SCHEMA, plan, key, &statement, digest, err))
		return false;
	return (file && json_add_text(file, "schema", APPROVAL_SCHEMA) &&
		json_add_item(file, "plan", TAKE_PTR(statement)) &&
		cJSON_AddArrayToObject(file, "grants")) ||
	       muster_fail_memory(err);
}

/* Takes `plan`, which may be missing for want of memory. */
static bool ask(const struct station_approval_terms *terms, const struct config *config,
		cJSON *new_plan, cJSON **ret_result, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *plan = new_plan;
	CLEANUP(cJSON_freep) cJSON *file = cJSON_CreateObject();
	CLEANUP(checkpoint_key_done) struct checkpoint_key key = { 0 };

	if (!add_signer(plan, terms, config, err) || !checkpoint_key_is_there(terms->key, err) ||
	    !checkpoint_key_open(terms->key, NULL, &key, err) ||
	    !sign_plan(plan, key.key, file, err) || !write_file(terms->path, file, false, err))
		return false;
	return station_approval_show(terms->path, config, ret_result, err);
}

bool station_approval_request(const struct station_approval_terms *terms,
			      const struct station_request *request, struct profile_report *report,
			      cJSON **ret_result, struct muster_error *err)
{
	CLEANUP(run_done) struct run run = { 0 };
	CLEANUP(cJSON_freep) cJSON *subjects = NULL;
	CLEANUP(config_done) struct config config = { 0 };

	return file_check_absent(terms->path, err) &&
	       run_read(&run, request, &config, report, err) &&
	       run_subjects(&run, &subjects, err) &&
	       ask(terms, &config,
		   plan_of(APPROVAL_OF_PROVISION, TAKE_PTR(subjects), run.batch->manifest.count),
		   ret_result, err);
}

bool station_approval_request_produce(const struct station_approval_terms *terms,
				      const struct station_produce *produce, cJSON **ret_result,
				      struct muster_error *err)
{
	CLEANUP(production_done)
	struct production production = { .request = produce, .sink = FILE_SINK_NONE };
	CLEANUP(cJSON_freep) cJSON *subjects = NULL;
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };

	return file_check_absent(terms->path, err) && config_load(&config, &report, err) &&
	       production_read(&production, err) &&
	       production_subjects(&production, &subjects, err) &&
	       ask(terms, &config,
		   plan_of(APPROVAL_OF_PRODUCE, TAKE_PTR(subjects), production.serials.count),
		   ret_result, err);
}

/* -- Granting ----------------------------------------------------------------------------------------------------- */

/* They may have been heard, and typed in: letters are compared, dashes, blanks and stops are not. */
static bool has_words(const char *given, const char *words)
{
	for (; *words; words++) {
		if (*words == '-')
			continue;
		given += strspn(given, " -.,:");
		if (tolower((unsigned char)*given++) != *words)
			return false;
	}
	return given[strspn(given, " -.,:")] == '\0';
}

/* Which they would be is not told: they are to come from the one who asks. */
static bool check_words(const char *words, const struct approval *approval,
			struct muster_error *err)
{
	return has_words(words, approval->words) ||
	       muster_fail(err, CAUSE_APPROVAL_OTHER,
			   "the words of this request are not '%s', which were given",
			   PRINTABLE(words));
}

/* Puts the new signature behind the others and looks what it would be worth. */
static bool add_grant(struct approval *approval, cJSON *statement, struct muster_error *err)
{
	cJSON *grants = json_get(approval->file, "grants");
	CLEANUP(freep) char *text = NULL;
	CLEANUP(approval_done) struct approval added = { 0 };

	if (!cJSON_AddItemToArray(grants, statement)) {
		cJSON_Delete(statement);
		return muster_fail_memory(err);
	}
	text = json_print_line(approval->file);
	if (!text)
		return muster_fail_memory(err);
	if (!approval_parse(text, strlen(text), "the approval", &added, err))
		return false;
	approval_done(approval);
	*approval = added;
	added = (struct approval){ 0 };
	return true;
}

static bool sign_grant(const struct station_approval_terms *terms, const struct config *config,
		       EVP_PKEY *key, const struct approval *approval, cJSON **ret_statement,
		       struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *content = cJSON_CreateObject();
	char digest[SHA256_HEX_SIZE];

	if (!content || !json_add_text(content, "plan", approval->digest))
		return muster_fail_memory(err);
	return add_signer(content, terms, config, err) &&
	       statement_make(GRANT_SCHEMA, content, key, ret_statement, digest, err);
}

/* Signing may have taken as long as somebody takes to type a PIN: others may have approved meanwhile. */
static bool read_again(const char *path, const char *words, struct approval *approval,
		       struct muster_error *err)
{
	approval_done(approval);
	*approval = (struct approval){ 0 };
	return approval_read(path, approval, err) && check_words(words, approval, err);
}

/* That of `path`, which others may have replaced by now. */
static bool is_still(int fd, const char *path)
{
	struct stat opened, there;

	return fstat(fd, &opened) == 0 && stat(path, &there) == 0 &&
	       opened.st_dev == there.st_dev && opened.st_ino == there.st_ino;
}

/* From here on until it is written nobody else writes it: who waited looks at what was written meanwhile. Where a file system
 * has no locks, who comes second is as he was. */
static bool take_turn(const char *path, int *ret_fd, struct muster_error *err)
{
	for (;;) {
		/* Over NFS a lock of one's own needs a descriptor for writing. */
		CLEANUP(closep) int fd = open(path, O_RDWR | O_CLOEXEC);
		int taken;

		if (fd < 0 && (errno == EACCES || errno == EROFS))
			fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return muster_fail_errno(err, CAUSE_INPUT_NOT_FOUND, errno, "opening '%s'",
						 PRINTABLE(path));
		do
			taken = flock(fd, LOCK_EX);
		while (taken < 0 && errno == EINTR);
		if (taken == 0 && !is_still(fd, path))
			continue;
		*ret_fd = fd;
		fd = -1;
		return true;
	}
}

/* What would not count is not written. */
static bool check_grant(const struct approval *approval, const struct approval_policy *policy,
			struct muster_error *err)
{
	size_t last = approval->grant_count - 1;
	enum approval_state state = approval_grant_state(approval, policy, last, clock_wall_ms());

	return state == APPROVAL_COUNTS || approval_fail(&approval->grants[last], state, err);
}

bool station_approval_grant(const struct station_approval_terms *terms, const char *words,
			    const struct config *config, cJSON **ret_result,
			    struct muster_error *err)
{
	CLEANUP(approval_done) struct approval approval = { 0 };
	CLEANUP(approval_policy_done) struct approval_policy policy = { 0 };
	CLEANUP(checkpoint_key_done) struct checkpoint_key key = { 0 };
	CLEANUP(cJSON_freep) cJSON *grant = NULL;
	CLEANUP(closep) int turn = -1;

	if (!approval_read(terms->path, &approval, err) ||
	    !approval_policy_load(config, &policy, err) ||
	    !approval_check_request(&approval, &policy, clock_wall_ms(), err) ||
	    !check_words(words, &approval, err) || !checkpoint_key_is_there(terms->key, err) ||
	    !checkpoint_key_open(terms->key, NULL, &key, err) ||
	    !sign_grant(terms, config, key.key, &approval, &grant, err) ||
	    !take_turn(terms->path, &turn, err) ||
	    !read_again(terms->path, words, &approval, err) ||
	    !add_grant(&approval, TAKE_PTR(grant), err) || !check_grant(&approval, &policy, err) ||
	    !write_file(terms->path, approval.file, true, err))
		return false;
	return describe(terms->path, &approval, config, ret_result, err);
}
