/* A file of approvals, read and judged. Private to the station. */
#pragma once

#include <cjson/cJSON.h>

#include "muster/config.h"
#include "muster/encoding.h"
#include "muster/error.h"
#include "muster/secret.h"
#include "signature.h"

#define APPROVAL_SCHEMA "muster.approval/1"
#define PLAN_SCHEMA "muster.plan/1"
#define GRANT_SCHEMA "muster.grant/1"
#define APPROVAL_FILE_MAX (64 * 1024)
#define APPROVAL_GRANTS_MAX 16
#define APPROVAL_WORDS_SIZE 48 /* of 16 bytes: nobody makes two plans with the same words */
#define APPROVAL_HOUR_MS ((int64_t)60 * 60 * 1000)

/* One who signed. */
struct approval_signer {
	char name[65]; /* as he calls himself; printable */
	char key[SHA256_HEX_SIZE];
	struct bytes spki;
	int64_t at_ms, until_ms;
};

struct approval {
	cJSON *file; /* {"schema", "plan": statement, "grants": [statement]} */
	cJSON *plan; /* {"verb", "subjects": {NAME: SHA256}, "devices", "name", "keySha256", "at", "until"} */
	char digest[SHA256_HEX_SIZE]; /* of the plan */
	char words[APPROVAL_WORDS_SIZE];
	struct approval_signer requester;
	struct approval_signer grants[APPROVAL_GRANTS_MAX];
	size_t grant_count;
};
void approval_done(struct approval *approval);
/* Every signature in it verifies, and every grant is of its plan: CAUSE_APPROVAL_INVALID. */
bool approval_read(const char *path, struct approval *ret_approval, struct muster_error *err)
	MUST_CHECK;
bool approval_parse(const char *data, size_t size, const char *name, struct approval *ret_approval,
		    struct muster_error *err) MUST_CHECK;

/* -- Whether it is enough -------------------------------------------------------------------------------------- */

struct approval_policy {
	bool is_set; /* it is known whose approvals count */
	struct key_list approvers, requesters;
};
void approval_policy_done(struct approval_policy *policy);
bool approval_policy_load(const struct config *config, struct approval_policy *ret_policy,
			  struct muster_error *err) MUST_CHECK;

enum approval_state {
	APPROVAL_COUNTS,
	APPROVAL_IS_UNKNOWN,
	APPROVAL_IS_OWN,
	APPROVAL_IS_REPEATED,
	APPROVAL_IS_EXPIRED,
	APPROVAL_IS_EARLY,
	APPROVAL_IS_ENDLESS,
};
const char *approval_state_word(enum approval_state state);
/* Of a policy that is not set everybody is an approver. */
enum approval_state approval_requester_state(const struct approval *approval,
					     const struct approval_policy *policy, int64_t now_ms);
enum approval_state approval_grant_state(const struct approval *approval,
					 const struct approval_policy *policy, size_t grant,
					 int64_t now_ms);
size_t approval_count(const struct approval *approval, const struct approval_policy *policy,
		      int64_t now_ms);
/* By the cause of that state. */
bool approval_fail(const struct approval_signer *signer, enum approval_state state,
		   struct muster_error *err);
/* CAUSE_APPROVAL_EXPIRED, CAUSE_APPROVER_UNKNOWN when the request is of no account. */
bool approval_check_request(const struct approval *approval, const struct approval_policy *policy,
			    int64_t now_ms, struct muster_error *err) MUST_CHECK;

/* -- Before something is done ---------------------------------------------------------------------------------- */

/* The files of a folder by their content: what was looked at, to hold what is read later against it. */
struct approved_folder;
bool approved_folder_read(const char *path, struct approved_folder **ret_folder,
			  struct muster_error *err) MUST_CHECK;
void approved_folder_free(struct approved_folder *folder);
DEFINE_FREEP(approved_folder_freep, struct approved_folder *, approved_folder_free)
/* The file at `path`, which is in that folder and whose content has that digest: CAUSE_APPROVAL_OTHER. */
bool approved_folder_check(const struct approved_folder *folder, const char *path,
			   const char *digest, struct muster_error *err) MUST_CHECK;
bool approval_add_folder(cJSON *subjects, const char *name, const struct approved_folder *folder,
			 struct muster_error *err) MUST_CHECK;
/* Adds what the profile names: "issuer" and "roots", each by the digest of its content, and "crls" by that of its path,
 * because revocation lists change from day to day. *ret_issuer is the issuer's file as it was looked at, which is the one to be used. */
bool approval_add_files(cJSON *subjects, const struct profile *profile, struct bytes *ret_issuer,
			struct muster_error *err) MUST_CHECK;
/* And a master, empty or not, by a MAC that it makes: CAUSE_MASTER_WEAK. */
bool approval_add_master(cJSON *subjects, const char *name, const struct secret *master,
			 struct muster_error *err) MUST_CHECK;

#define APPROVAL_OF_PROVISION "provision"
#define APPROVAL_OF_PRODUCE "cert produce"

struct approval_gate {
	const struct config *config;
	int64_t demanded; /* by the profile */
	const char *path; /* of the file; NULL: none was given */
	const char *verb;
	int64_t devices;       /* how many it is about */
	bool can_be_approved;  /* beforehand: it is known what will be done */
	const cJSON *subjects; /* {NAME: SHA256}, where a file was given */
	bool is_dry;           /* nothing will be done; only what was given is judged */
};
/* What was approved is what the profile says, where it says anything: CAUSE_OPTIONS_CONTRADICT. NULL: not given, not said. */
bool approval_option_check(const char *option, const char *given, const char *said,
			   struct muster_error *err) MUST_CHECK;
/* *ret_record is what the journal keeps of it, NULL where no approval was given: {"plan", "requestedBy", "approvedBy",
 * "signed"}, the last being the file. */
bool approval_pass(const struct approval_gate *gate, cJSON **ret_record, struct muster_error *err)
	MUST_CHECK;

/* -- Of what was spooled --------------------------------------------------------------------------------------- */

/* What a sync demands of the devices that it sends. */
struct approval_demand {
	int64_t needed;
	struct approval_policy policy;
};
/* *ret_demand is NULL where nothing is; else the caller's, also on failure. */
bool approval_demand_load(const struct config *config, int64_t demanded,
			  struct approval_demand **ret_demand, struct muster_error *err) MUST_CHECK;
void approval_demand_free(struct approval_demand *demand);
/* Whether a record that was kept with a device of this profile was enough when it was kept. `record` may be NULL. */
bool approval_demand_check(const struct approval_demand *demand, const cJSON *record,
			   const char *profile_digest, int64_t kept_ms, struct muster_error *err)
	MUST_CHECK;
/* Whether bundles of a station with that key are taken, where approvals may be demanded: CAUSE_STATION_UNLISTED. */
bool approval_check_station(const struct config *config, const char *public_key_path,
			    struct muster_error *err) MUST_CHECK;
