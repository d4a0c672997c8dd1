#include "approval.h"

#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/file.h"
#include "muster/json.h"
#include "muster/process.h"
#include "muster/station-approval.h"
#include "statement.h"

enum { CLOCKS_DIFFER_MS = 5 * 60 * 1000 };

static void signer_done(struct approval_signer *signer)
{
	bytes_done(&signer->spki);
}

void approval_done(struct approval *approval)
{
	cJSON_Delete(approval->file);
	cJSON_Delete(approval->plan);
	signer_done(&approval->requester);
	for (size_t i = 0; i < approval->grant_count; i++)
		signer_done(&approval->grants[i]);
	*approval = (struct approval){ 0 };
}

/* -- Reading ------------------------------------------------------------------------------------------------------ */

/* What nobody knows how to show would be signed unseen. */
static bool has_only(const cJSON *content, const char *const *names)
{
	const cJSON *member;

	cJSON_ArrayForEach(member, content)
	{
		size_t i = 0;

		while (names[i] && strcmp(names[i], member->string) != 0)
			i++;
		if (!names[i])
			return false;
	}
	return true;
}

/* Who signed this statement, and what: its content is the caller's. */
static bool take_signer(const cJSON *object, const char *schema, const char *const *names,
			struct approval_signer *signer, cJSON **ret_content,
			char ret_digest[SHA256_HEX_SIZE])
{
	CLEANUP(statement_done) struct statement statement = { 0 };
	CLEANUP(cJSON_freep) cJSON *content = NULL;
	struct muster_error unread;
	const char *name, *at, *until;

	if (!statement_read(object, schema, &statement) ||
	    !statement_verifies(&statement, schema) ||
	    !json_parse(statement.content, strlen(statement.content), "what was signed", &content,
			&unread))
		return false;
	if (!cJSON_IsObject(content) || !has_only(content, names))
		return false;
	name = json_text(content, "name");
	at = json_text(content, "at");
	until = json_text(content, "until");
	if (!name || !at || !until || !rfc3339_parse(at, &signer->at_ms) ||
	    !rfc3339_parse(until, &signer->until_ms))
		return false;
	text_printable(signer->name, sizeof(signer->name), name);
	sha256_hex(signer->key, statement.spki.data, statement.spki.size);
	signer->spki = statement.spki;
	statement.spki = (struct bytes){ 0 };
	memcpy(ret_digest, statement.digest, SHA256_HEX_SIZE);
	*ret_content = TAKE_PTR(content);
	return true;
}

/* The plan says by which key it has to be signed, so that nobody can put his own under it. */
static bool take_plan(struct approval *approval)
{
	static const char *const names[] = { "verb",      "subjects", "devices", "name", "station",
					     "keySha256", "at",       "until",   NULL };
	const char *key;
	uint8_t digest[SHA256_SIZE];
	const cJSON *content;

	if (!take_signer(json_get(approval->file, "plan"), PLAN_SCHEMA, names, &approval->requester,
			 &approval->plan, approval->digest))
		return false;
	key = json_text(approval->plan, "keySha256");
	content = json_get(json_get(approval->file, "plan"), "content");
	sha256(digest, content->valuestring, strlen(content->valuestring));
	words_encode(approval->words, digest, APPROVAL_WORDS_SIZE / 3);
	return key && strcmp(key, approval->requester.key) == 0 &&
	       json_text(approval->plan, "verb") &&
	       cJSON_IsObject(json_get(approval->plan, "subjects"));
}

static bool take_grant(struct approval *approval, const cJSON *object)
{
	static const char *const names[] = { "plan", "name", "station", "at", "until", NULL };
	CLEANUP(cJSON_freep) cJSON *content = NULL;
	char ignored[SHA256_HEX_SIZE];
	const char *plan;

	if (approval->grant_count >= APPROVAL_GRANTS_MAX ||
	    !take_signer(object, GRANT_SCHEMA, names, &approval->grants[approval->grant_count],
			 &content, ignored))
		return false;
	approval->grant_count++;
	plan = json_text(content, "plan");
	return plan && strcmp(plan, approval->digest) == 0;
}

bool approval_parse(const char *data, size_t size, const char *name, struct approval *ret_approval,
		    struct muster_error *err)
{
	CLEANUP(approval_done) struct approval approval = { 0 };
	struct muster_error unread;
	const cJSON *grants, *grant;
	const char *schema;

	if (!json_parse(data, size, name, &approval.file, &unread))
		return muster_fail(err, CAUSE_APPROVAL_INVALID, "%s", unread.message);
	schema = json_text(approval.file, "schema");
	grants = json_get(approval.file, "grants");
	if (!schema || strcmp(schema, APPROVAL_SCHEMA) != 0 || !cJSON_IsArray(grants))
		return muster_fail(err, CAUSE_APPROVAL_INVALID, "'%s' is no approval of muster",
				   PRINTABLE(name));
	if (!take_plan(&approval))
		return muster_fail(err, CAUSE_APPROVAL_INVALID,
				   "the request in '%s' is not as it was signed", PRINTABLE(name));
	cJSON_ArrayForEach(grant, grants)
	{
		if (!take_grant(&approval, grant))
			return muster_fail(err, CAUSE_APPROVAL_INVALID,
					   "approval %zu in '%s' is not as it was signed",
					   approval.grant_count + 1, PRINTABLE(name));
	}
	*ret_approval = approval;
	approval = (struct approval){ 0 };
	return true;
}

bool approval_read(const char *path, struct approval *ret_approval, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes file = { 0 };

	return file_read(path, APPROVAL_FILE_MAX, &file, err) &&
	       approval_parse((const char *)file.data, file.size, path, ret_approval, err);
}

/* -- Whose approvals count ---------------------------------------------------------------------------------------- */

void approval_policy_done(struct approval_policy *policy)
{
	key_list_done(&policy->approvers);
	key_list_done(&policy->requesters);
	*policy = (struct approval_policy){ 0 };
}

static bool load_keys(const char *path, struct key_list *list, struct muster_error *err)
{
	return !path || (file_check_trusted(path, err) && key_list_read(path, list, err));
}

bool approval_policy_load(const struct config *config, struct approval_policy *ret_policy,
			  struct muster_error *err)
{
	const struct config_approvals *said = &config->approvals;

	ret_policy->is_set = said->approvers != NULL;
	return load_keys(said->approvers, &ret_policy->approvers, err) &&
	       load_keys(said->requesters, &ret_policy->requesters, err);
}

static const struct {
	const char *word;
	enum muster_cause cause;
} states[] = {
	[APPROVAL_COUNTS] = { "counts", CAUSE_APPROVALS_TOO_FEW },
	[APPROVAL_IS_UNKNOWN] = { "not an approver", CAUSE_APPROVER_UNKNOWN },
	[APPROVAL_IS_OWN] = { "of the one who asked", CAUSE_APPROVAL_OWN },
	[APPROVAL_IS_REPEATED] = { "a second one by the same key", CAUSE_APPROVAL_TWICE },
	[APPROVAL_IS_EXPIRED] = { "expired", CAUSE_APPROVAL_EXPIRED },
	[APPROVAL_IS_EARLY] = { "made in the future", CAUSE_APPROVAL_EXPIRED },
	[APPROVAL_IS_ENDLESS] = { "valid for too long", CAUSE_APPROVAL_EXPIRED },
};

const char *approval_state_word(enum approval_state state)
{
	return states[state].word;
}

static enum approval_state state_in_time(const struct approval_signer *signer, int64_t now_ms)
{
	if (signer->at_ms > now_ms + CLOCKS_DIFFER_MS)
		return APPROVAL_IS_EARLY;
	if (signer->until_ms - signer->at_ms > STATION_APPROVAL_HOURS_MAX * APPROVAL_HOUR_MS)
		return APPROVAL_IS_ENDLESS;
	return signer->until_ms > now_ms ? APPROVAL_COUNTS : APPROVAL_IS_EXPIRED;
}

enum approval_state approval_requester_state(const struct approval *approval,
					     const struct approval_policy *policy, int64_t now_ms)
{
	const struct bytes *spki = &approval->requester.spki;

	if (policy->is_set && !key_list_has(&policy->approvers, spki) &&
	    !key_list_has(&policy->requesters, spki))
		return APPROVAL_IS_UNKNOWN;
	return state_in_time(&approval->requester, now_ms);
}

enum approval_state approval_grant_state(const struct approval *approval,
					 const struct approval_policy *policy, size_t grant,
					 int64_t now_ms)
{
	const struct approval_signer *signer = &approval->grants[grant];

	if (bytes_equal(&signer->spki, &approval->requester.spki))
		return APPROVAL_IS_OWN;
	if (policy->is_set && !key_list_has(&policy->approvers, &signer->spki))
		return APPROVAL_IS_UNKNOWN;
	for (size_t i = 0; i < grant; i++)
		if (bytes_equal(&approval->grants[i].spki, &signer->spki) &&
		    approval_grant_state(approval, policy, i, now_ms) == APPROVAL_COUNTS)
			return APPROVAL_IS_REPEATED;
	return state_in_time(signer, now_ms);
}

size_t approval_count(const struct approval *approval, const struct approval_policy *policy,
		      int64_t now_ms)
{
	size_t count = 0;

	for (size_t i = 0; i < approval->grant_count; i++)
		count += approval_grant_state(approval, policy, i, now_ms) == APPROVAL_COUNTS;
	return count;
}

bool approval_check_request(const struct approval *approval, const struct approval_policy *policy,
			    int64_t now_ms, struct muster_error *err)
{
	enum approval_state state = approval_requester_state(approval, policy, now_ms);

	return state == APPROVAL_COUNTS ||
	       muster_fail(err, states[state].cause,
			   "the request of '%s' (key %.16s...) is of no account: %s",
			   approval->requester.name, approval->requester.key,
			   state == APPROVAL_IS_UNKNOWN ? "its key is not known here"
							: states[state].word);
}

bool approval_fail(const struct approval_signer *signer, enum approval_state state,
		   struct muster_error *err)
{
	return muster_fail(err, states[state].cause, "the approval of '%s' (key %.16s...) is %s",
			   signer->name, signer->key, states[state].word);
}

/* Why the first one that does not count does not. */
static bool fail_too_few(const struct approval *approval, const struct approval_policy *policy,
			 int64_t needed, int64_t now_ms, struct muster_error *err)
{
	size_t count = approval_count(approval, policy, now_ms);

	for (size_t i = 0; i < approval->grant_count; i++) {
		const struct approval_signer *signer = &approval->grants[i];
		enum approval_state state = approval_grant_state(approval, policy, i, now_ms);

		if (state != APPROVAL_COUNTS) {
			approval_fail(signer, state, err);
			return muster_error_prefix(err, "approvals needed: %lld, that count: %zu",
						   (long long)needed, count);
		}
	}
	return muster_fail(err, CAUSE_APPROVALS_TOO_FEW, "approvals needed: %lld, that count: %zu",
			   (long long)needed, count);
}

/* -- Before something is done ------------------------------------------------------------------------------------- */

static bool check_subjects(const struct approval *approval, const struct approval_gate *gate,
			   struct muster_error *err)
{
	const cJSON *approved = json_get(approval->plan, "subjects"), *subject;
	const char *verb = json_text(approval->plan, "verb");
	int64_t devices = 0;

	if (strcmp(verb, gate->verb) != 0)
		return muster_fail(err, CAUSE_APPROVAL_OTHER,
				   "what was approved is 'muster %s', not 'muster %s'",
				   PRINTABLE(verb), gate->verb);
	cJSON_ArrayForEach(subject, gate->subjects)
	{
		const char *digest = json_text(approved, subject->string);

		if (!digest || strcmp(digest, subject->valuestring) != 0)
			return muster_fail(err, CAUSE_APPROVAL_OTHER,
					   "another %s was approved, of digest %.16s...; this one "
					   "has %.16s...",
					   subject->string, digest ? PRINTABLE(digest) : "none",
					   subject->valuestring);
	}
	if (!json_int64(approval->plan, "devices", &devices) || devices != gate->devices)
		return muster_fail(err, CAUSE_APPROVAL_OTHER,
				   "devices that were approved: %lld; devices here: %lld",
				   (long long)devices, (long long)gate->devices);
	return json_equal(approved, gate->subjects) ||
	       muster_fail(err, CAUSE_APPROVAL_OTHER, "more was approved than 'muster %s' does",
			   gate->verb);
}

static cJSON *signer_json(const struct approval_signer *signer)
{
	CLEANUP(cJSON_freep) cJSON *object = cJSON_CreateObject();
	char at[RFC3339_SIZE], until[RFC3339_SIZE];

	if (!object || !json_add_text(object, "name", signer->name) ||
	    !json_add_text(object, "keySha256", signer->key) ||
	    !json_add_text(object, "at", rfc3339_format(at, signer->at_ms)) ||
	    !json_add_text(object, "until", rfc3339_format(until, signer->until_ms)))
		return NULL;
	return TAKE_PTR(object);
}

static cJSON *record_of(const struct approval *approval, const struct approval_policy *policy,
			int64_t now_ms)
{
	CLEANUP(cJSON_freep) cJSON *record = cJSON_CreateObject();
	cJSON *by;

	if (!record || !json_add_text(record, "plan", approval->digest) ||
	    !json_add_item(record, "requestedBy", signer_json(&approval->requester)))
		return NULL;
	by = cJSON_AddArrayToObject(record, "approvedBy");
	for (size_t i = 0; by && i < approval->grant_count; i++)
		if (approval_grant_state(approval, policy, i, now_ms) == APPROVAL_COUNTS &&
		    !cJSON_AddItemToArray(by, signer_json(&approval->grants[i])))
			return NULL;
	if (!by || !json_add_item(record, "signed", cJSON_Duplicate(approval->file, true)))
		return NULL;
	return TAKE_PTR(record);
}

/* Whether enough people whose approvals count have approved it, as of then. */
static bool check_enough(const struct approval *approval, const struct approval_policy *policy,
			 int64_t needed, int64_t now_ms, struct muster_error *err)
{
	return approval_check_request(approval, policy, now_ms, err) &&
	       ((int64_t)approval_count(approval, policy, now_ms) >= needed ||
		fail_too_few(approval, policy, needed, now_ms, err));
}

static bool judge(const struct approval_gate *gate, const struct approval_policy *policy,
		  int64_t needed, cJSON **ret_record, struct muster_error *err)
{
	CLEANUP(approval_done) struct approval approval = { 0 };
	int64_t now_ms = clock_wall_ms();

	if (!approval_read(gate->path, &approval, err) || !check_subjects(&approval, gate, err) ||
	    !check_enough(&approval, policy, needed, now_ms, err))
		return false;
	*ret_record = record_of(&approval, policy, now_ms);
	return *ret_record || muster_fail_memory(err);
}

bool approval_option_check(const char *option, const char *given, const char *said,
			   struct muster_error *err)
{
	return !given || !said || strcmp(given, said) == 0 ||
	       muster_fail(err, CAUSE_OPTIONS_CONTRADICT,
			   "what was approved goes by its profile: %s, or its variable in the "
			   "environment, says something else",
			   option);
}

static int64_t needed_of(const struct config *config, int64_t demanded)
{
	return config->approvals.needed > demanded ? config->approvals.needed : demanded;
}

/* The variable is removed by now, but not what it loaded, which may tell another time than it is. */
static bool check_environment(struct muster_error *err)
{
	for (const char *const *name = process_removed_variables(); *name; name++)
		if (text_has_prefix(*name, "LD_"))
			return muster_fail(err, CAUSE_APPROVAL_PRELOADED,
					   "approvals are not judged with %s set", *name);
	return true;
}

/* Who runs it does not say himself whose approvals a profile means. */
static bool check_approvers(const struct config *config, int64_t demanded, const char *verb,
			    struct muster_error *err)
{
	if (!config->approvals.approvers)
		return muster_fail(err, CAUSE_APPROVERS_UNSET,
				   "no configuration names approvers for 'muster %s'", verb);
	return demanded == 0 || config->approvals.are_systems ||
	       muster_fail(err, CAUSE_APPROVERS_UNSET,
			   "the profile demands approvals, and no configuration of the system's "
			   "names approvers for 'muster %s'",
			   verb);
}

static bool check_given(const struct approval_gate *gate, int64_t needed, struct muster_error *err)
{
	if (!check_approvers(gate->config, gate->demanded, gate->verb, err) ||
	    !check_environment(err))
		return false;
	if (!gate->can_be_approved)
		return muster_fail(err, CAUSE_APPROVAL_MISSING,
				   "what 'muster %s' does without a manifest cannot be approved "
				   "beforehand: name the devices in a --manifest",
				   gate->verb);
	return gate->path ||
	       muster_fail(
		       err, CAUSE_APPROVAL_MISSING,
		       "'muster %s' has to be approved by others here (%lld), and no approval was "
		       "given",
		       gate->verb, (long long)needed);
}

bool approval_pass(const struct approval_gate *gate, cJSON **ret_record, struct muster_error *err)
{
	CLEANUP(approval_policy_done) struct approval_policy policy = { 0 };
	int64_t needed = needed_of(gate->config, gate->demanded);

	if (!gate->path && (needed == 0 || gate->is_dry))
		return true;
	/* One that is given counts for something. */
	if (needed == 0)
		needed = 1;
	return check_given(gate, needed, err) && approval_policy_load(gate->config, &policy, err) &&
	       judge(gate, &policy, needed, ret_record, err);
}

/* -- Of what was spooled ------------------------------------------------------------------------------------------ */

bool approval_demand_load(const struct config *config, int64_t demanded,
			  struct approval_demand **ret_demand, struct muster_error *err)
{
	int64_t needed = needed_of(config, demanded);
	struct approval_demand *demand;

	if (needed == 0)
		return true;
	if (!check_approvers(config, demanded, "sync", err) || !check_environment(err))
		return false;
	demand = calloc(1, sizeof(*demand));
	if (!demand)
		return muster_fail_memory(err);
	*ret_demand = demand;
	demand->needed = needed;
	return approval_policy_load(config, &demand->policy, err);
}

void approval_demand_free(struct approval_demand *demand)
{
	if (demand)
		approval_policy_done(&demand->policy);
	free(demand);
}

bool approval_demand_check(const struct approval_demand *demand, const cJSON *record,
			   const char *profile_digest, int64_t kept_ms, struct muster_error *err)
{
	CLEANUP(approval_done) struct approval approval = { 0 };
	CLEANUP(freep) char *text = NULL;
	const char *profile;

	if (!record)
		return muster_fail(
			err, CAUSE_APPROVAL_MISSING,
			"it has to be approved by others here (%lld), and was spooled without",
			(long long)demand->needed);
	text = json_print_line(json_get(record, "signed"));
	if (!text)
		return muster_fail(err, CAUSE_APPROVAL_INVALID, "its approval is not kept whole");
	if (!approval_parse(text, strlen(text), "the approval that it was spooled with", &approval,
			    err))
		return false;
	profile = json_text(json_get(approval.plan, "subjects"), "profile");
	if (strcmp(json_text(approval.plan, "verb"), APPROVAL_OF_PROVISION) != 0 || !profile ||
	    strcmp(profile, profile_digest) != 0)
		return muster_fail(err, CAUSE_APPROVAL_OTHER,
				   "the approval that it was spooled with is for another profile");
	return check_enough(&approval, &demand->policy, demand->needed, kept_ms, err);
}

bool approval_check_station(const struct config *config, const char *public_key_path,
			    struct muster_error *err)
{
	CLEANUP(key_list_done) struct key_list stations = { 0 };
	CLEANUP(bytes_done) struct bytes spki = { 0 };

	/* Without a demand of the station's own a profile may have one. */
	if (config->approvals.needed == 0 && !config->approvals.approvers &&
	    !config->approvals.stations)
		return true;
	if (!load_keys(config->approvals.stations, &stations, err) ||
	    !signature_key_read(public_key_path, &spki, err))
		return false;
	return key_list_has(&stations, &spki) ||
	       muster_fail(
		       err, CAUSE_STATION_UNLISTED,
		       "approvals count here, and the key in '%s' is of no station whose bundles "
		       "are taken",
		       PRINTABLE(public_key_path));
}
