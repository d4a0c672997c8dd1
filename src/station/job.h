/* A job: one device on its way through the stages. Private to the station. */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "attest-key.h"
#include "muster/clock.h"
#include "muster/dps-bulk.h"
#include "muster/dps.h"
#include "muster/ek-judge.h"
#include "muster/file.h"
#include "muster/journal.h"
#include "muster/pki.h"
#include "muster/profile.h"
#include "muster/secret.h"
#include "muster/signer.h"
#include "muster/station-hooks.h"
#include "muster/station.h"
#include "muster/token-uri.h"
#include "muster/worker.h"
#include "pool.h"
#include "tpm-fetch.h"
#include "tpm-proof.h"
#include "tpm-terms.h"

#include "who.h"

enum stage {
	STAGE_IDENTIFY,
	STAGE_ATTEST,
	STAGE_ENROLL,
	STAGE_CONFIRM,
	STAGE_VERIFY,
	STAGE_RELEASE
};

const char *stage_name(enum stage stage);

/* How many devices are under way at once, so many that they fill whole bulks, and how many of them with a TPM. */
enum { JOBS_MAX = 120, TPM_JOBS_MAX = 64 };

/* What a job waits for. One operation at a time. */
enum operation {
	OPERATION_NONE,
	OPERATION_WORKER, /* the reply lies in job->reply */
	OPERATION_HTTP,   /* the answer lies in job->answer */
	OPERATION_SENDER, /* what became of the enrollment lies in job->fate */
	OPERATION_TIMER,
	OPERATION_TURN, /* for its turn in the rate budget; the request lies in job->waiting */
};

/* What is asked over the network, each by requests of its own. */
enum api { API_SERVICE, API_DEVICES, API_COUNT };

struct batch;
struct brake;
struct custody;
struct evidence_lines;
struct sender;
struct step_table;

/* Which part of the way a run goes. */
enum run_way {
	RUN_WHOLE,
	RUN_OFFLINE, /* the hardware's part */
	RUN_SYNC,    /* the network's part, of devices that are in the journal */
};

/* Everything that was checked before anything outside was touched; shared by all jobs of a run. */
struct run {
	const struct station_request *request;
	enum run_way way;
	const char *kept_profile;        /* SYNC: its digest; borrowed */
	char kept_name[SHA256_HEX_SIZE]; /* of the profile's copy; see kept-profile.h */
	const struct step_table *steps;
	struct profile profile;
	struct http *http;
	/* Of several runs in turn: that of the first, which the caller keeps. NULL: it has its own. */
	struct http **shared_http;
	struct dps_meter *meter;              /* the rate budget of this station */
	struct batch *batch;                  /* NULL: no manifest */
	struct brake *brake;                  /* NULL: single devices; borrowed */
	struct dps_client *client;            /* of the sender */
	struct sender *sender;                /* NULL: each job sends its own enrollment */
	struct dps_outage outages[API_COUNT]; /* of many devices; single ones wait for nothing */
	struct journal *journal;              /* NULL: nothing is journalled */
	char *journal_path;
	struct hooks *hooks;         /* NULL: none */
	char *out_directory;         /* where evidence goes */
	uint8_t attempt_ids[64][16]; /* drawn ahead: drawing many costs what drawing one does */
	size_t attempt_ids_left;
	bool writes_keys;             /* --out was given: the derived keys go there too */
	int64_t unsynced_since_ms;    /* the oldest file or line that is not synced yet */
	struct evidence_lines *lines; /* files of them; see evidence-lines.h */
	char device_host[DPS_HOST_SIZE];
	char *id_scope; /* NULL when nothing is verified */
	struct who who;
	struct token_uri token; /* parsed, when the profile or the command line names one */
	char *token_text;       /* without PIN and module attributes */
	struct station_module module;
	struct pool pool;                               /* that token, for the devices under way */
	struct secret primary_master, secondary_master; /* from files */
	struct tpm_master
		*tpm_masters; /* primary and secondary, where they are in a TPM; NULL: none is */
	bool needs_hsm, needs_tpm;
	bool may_use_network;           /* TPMs over TCP are allowed */
	struct custody *issuer_custody; /* the issuer's token, when it is not the device's */
	struct bytes issuer_file;       /* as it was approved; NULL: not looked at */
	X509 *issuer_certificate;       /* or NULL */
	bool issuer_is_proven;          /* its key was found, and is that of its certificate */
	bool issuer_was_seen;           /* how well its key is kept was looked at */
	bool masters_are_known;         /* those in tokens were looked at */
	struct tpm_terms tpm_terms;
	struct worker_deadlines tpm_deadlines;
	struct approval_demand
		*demand; /* SYNC: on what devices have to have been spooled; NULL: nothing */
	bool is_untold;  /* it had to stop because nobody could be told how devices ended */
	cJSON *approval; /* who approved this run, for the record; NULL: nobody was asked */
	struct approved_folder *approved_keys; /* the devices', as approved; NULL: any */
};

struct job;
struct token_signer;

enum step_trait {
	/* All that was recorded, and the device's files, have to be on disk before this step. */
	STEP_AFTER_COMMIT = 1 << 0,
	/* Of the device's keys it is about the secondary one. */
	STEP_OF_SECONDARY = 1 << 1,
	/* It asks the service, or as the device. */
	STEP_AT_SERVICE = 1 << 2,
	STEP_AT_DEVICES = 1 << 3,
};

/* A row of the step table. A step with an effect is started only when its intent is on disk. */
struct step {
	const char *name;
	enum stage stage;
	/* Whether this job has this step at all. NULL: always. */
	bool (*applies)(const struct job *job);
	/* Begins an operation (job_ask, job_send) or none. NULL: nothing to begin. */
	bool (*start)(struct job *job, struct muster_error *err);
	/* Looks at what came back. `outcome` holds the operation's own failure, or code MUSTER_OK. May go on elsewhere
	 * (job_go_to) or ask for the step once more (job_again). NULL: a failed outcome is the job's failure. */
	bool (*finish)(struct job *job, const struct muster_error *outcome,
		       struct muster_error *err);
	/* Writes what is about to be done into the intent's body. NULL: no lasting outside effect. */
	bool (*intend)(struct job *job, cJSON *body, struct muster_error *err);
	unsigned traits; /* enum step_trait */
};

struct step_table {
	const struct step *rows;
	size_t count;
};

struct job {
	struct run *run;
	char *tcti, *serial, *socket, *device_key; /* of this device; NULL: none */
	char *given_registration_id, *given_device_id;
	bool skips_verification;
	size_t step; /* index in the step table */
	bool intent_is_written, intent_is_durable;
	bool is_finished;
	struct file_draft drafts[2]; /* see device-files.h */
	size_t draft_count;
	const char *next_step; /* set by job_go_to */
	int64_t again_in_ms;   /* set by job_again, else -1 */
	struct muster_error failure;
	bool goes_on; /* though it failed: the journal has it as one that waits */
	bool is_dead; /* it has it as a dead letter */
	int64_t started_ms;
	uint64_t plug;          /* the device's number in the feed, 0: none */
	enum stage stage;       /* the present one, and since when */
	const char *told_stage; /* that progress was last told of; static */
	int64_t stage_since_ms;
	int64_t stage_ms[STATION_STAGES]; /* spent in each; -1: never begun */

	enum operation operation;
	struct worker *asked; /* borrowed: tpm or hsm */
	struct worker_message reply;
	struct http_request waiting;     /* not authorized yet */
	struct dps_budget_ticket ticket; /* of the request under way; no items: not metered */
	struct http_transfer *transfer;
	struct http_answer answer;
	bool answer_is_ready;
	int64_t sent_ms;
	enum dps_bulk_fate fate; /* by the sender */
	struct muster_error fate_why;
	bool fate_is_unclear; /* the answer to a sending was lost */
	bool is_authorized;   /* the request carried the service credential */
	bool was_renewed;     /* in the present step, after a 401 */
	int64_t timer_ms;
	unsigned tries; /* requests of the present step */

	struct worker *tpm;
	struct worker *hsm; /* a session of the lease's, or NULL */
	struct lease *lease;

	/* identify */
	struct ek_public ek;
	bool has_ek, ek_was_created;
	struct ek_holdings holdings;
	char manufacturer[65];
	bool needs_fetch; /* the TPM holds no certificate: does its vendor? */
	bool was_fetched; /* or tried */
	struct fetch fetch;
	X509 *fetched;
	struct muster_error fetch_failure;
	bool needs_templates; /* the certificate is not for the key that is there: for which then? */
	struct ek_made made[2];
	size_t made_count, tried_count;
	struct ek_findings findings;
	char *sandbox; /* what keeps the TPM's worker in its place, in words */
	struct bytes ek_certificate;
	struct ek_witness first_seen; /* what the TPM said of itself at the start */
	struct proof proof;
	struct worker_message proof_request;
	struct muster_error proof_failure; /* told only when it is still the same chip */
	struct token_facts token;
	char *registration_id;
	char *device_id;
	struct journal_device device; /* the journal's row as read, texts in its storage */
	bool was_known;               /* the journal had it */
	bool was_released;            /* and complete: this run only looks */
	bool was_enrolled; /* released by an earlier run, in this life, and maybe more is to be done since */
	bool was_unverified;   /* released without being verified, though the profile asks for it */
	bool is_asked_late;    /* released without having registered, which it is asked for now */
	bool is_derived_again; /* a life of it that has ended had a derived key, too */
	int64_t failures;      /* runs that count against its budget */
	bool is_unfit;         /* see park.h */
	cJSON *spooled;        /* what was noted when it was spooled; see spool.c */
	bool is_noted;         /* and it is what this run's profile says */
	cJSON *terms;          /* and otherwise; see terms.h */
	char attempt_id[33];
	int64_t attempt;
	char kept_name[SHA256_HEX_SIZE]; /* of the copy that it waits by; "": by its digest */

	/* attest */
	struct attest_key keys[ATTEST_KEYS];
	struct bytes recipient;                   /* the device's public key, SPKI; see wrap.c */
	struct secret primary_key, secondary_key; /* raw */
	char key_digest[65];

	/* enroll and confirm */
	cJSON *enrollment; /* what is wanted */
	char body_digest[65];
	unsigned sends;          /* PUTs of this run */
	bool may_exist;          /* a PUT of this or an earlier run may have had its effect */
	bool may_land;           /* one of them had no answer: it may have its effect late */
	bool outcome_is_unknown; /* read back before anything is sent */
	bool created;            /* by a PUT of ours */
	bool is_confirmed;       /* by the service's word on it; not read back */
	cJSON *found;            /* the enrollment as read back */
	cJSON *mechanism;        /* its keys, where they have to be compared */
	char *etag;
	char *etag_before; /* with which an earlier run confirmed it last; NULL: not known */

	/* verify */
	struct bytes srk;
	struct bytes challenge;     /* the service's key blob */
	struct secret device_token; /* the device's SAS */
	struct dps_registration registration;
	int64_t token_expiry_s;
	int64_t verify_deadline_ms; /* by the clock that stands still in outages */
	bool poll_has_waited;
	unsigned operations_lost; /* to somebody who registered as this device meanwhile */
	bool registers_anew;      /* that is what the next poll is about */
	bool record_may_be_gone;  /* a deletion of it had no answer */
	bool shows_second; /* the first certificate has registered, now it is the second's turn */
	bool verified;
	char *verification; /* in words */
	char *hub;

	/* release */
	char *evidence; /* JSON text */
	char *evidence_path;
	bool evidence_has_moved; /* to the folder of this run */
	char *key_file;

	/* hooks */
	bool has_new_end; /* its row says so, and they are not promised it yet */
	cJSON *promise;   /* of its event; or NULL */
};

/* Those of provisioning (steps.c). */
extern const struct step_table provision_steps;

/* -- For the steps ------------------------------------------------------------------------------------------- */

bool job_ask(struct job *job, struct worker *worker, const struct worker_message *request,
	     struct muster_error *err) MUST_CHECK;
/* Takes *request over. */
bool job_send(struct job *job, struct http_request *request, struct muster_error *err) MUST_CHECK;
/* The same with the service credential, when the rate budget has a turn for it. A token may be fetched first (it blocks
 * then). */
bool job_send_authorized(struct job *job, struct http_request *request, struct muster_error *err)
	MUST_CHECK;
/* For the loop: OPERATION_TURN, when its time has come. */
bool job_take_turn(struct job *job, struct muster_error *err) MUST_CHECK;
/* Start this step again after that time. */
void job_again(struct job *job, int64_t milliseconds);
/* What to do about an HTTP answer that is not the wanted one: asks for the step once more within the retry budget, or
 * fails with the answer's words. `what` as in dps_answer_fail. */
bool job_retry_or_fail(struct job *job, const char *what, struct muster_error *err) MUST_CHECK;
/* The outage of what the present step asks; NULL where it asks nobody, or nothing is waited for. */
struct dps_outage *job_outage(const struct job *job);
/* After this step has finished, go on with that one (by name) instead of the next. */
void job_go_to(struct job *job, const char *step_name);
/* Appends an entry, where there is a journal; `body` is taken over. Rides in the turn's transaction. */
bool job_record(struct job *job, enum journal_kind kind, enum stage stage, cJSON *body,
		struct muster_error *err) MUST_CHECK;
/* Writes the device's summary row, likewise. */
bool job_put_row(struct job *job, enum journal_state state, enum stage stage,
		 enum muster_cause cause, struct muster_error *err) MUST_CHECK;
/* The clock of its stages. */
void job_begin_stages(struct job *job);
/* What signs through the worker goes before the worker does. */
void job_close_keys(struct job *job);
void job_done(struct job *job);
/* Forgets all but the device, which is taken up again as by another run, with what the journal knows. */
void job_restart(struct job *job);

bool job_is_dry(const struct job *job);
/* The run is without network, or without the device. */
bool job_is_offline(const struct job *job);
bool job_is_absent(const struct job *job);
/* The provisioning service's; "" when no credential names one. */
const char *job_host(const struct job *job);
/* What people call it while it is under way: its serial, else its socket; or NULL. */
const char *job_name(const struct job *job);
/* The key that the present step is about. */
enum attest_which job_which(const struct job *job);
/* Takes over what the device is called. */
bool job_place(struct job *job, const struct station_device *device, struct muster_error *err)
	MUST_CHECK;
/* By an earlier run, in this life, and nothing has shown since that its enrollment is gone. */
bool job_was_enrolled(const struct job *job);
/* It failed, and is cut off or goes on another time: another run takes it up as the journal has it. */
bool job_is_parked(const struct job *job);
/* What became of a job that is finished. */
bool job_result(struct job *job, struct station_result *ret_result, struct muster_error *err)
	MUST_CHECK;

/* -- The loop --------------------------------------------------------------------------------------------------- */

enum { FEED_WAITS_MAX = 2 };

/* Where devices come from. Without numbers there is `next` alone. */
struct feed {
	/* The next device, its texts borrowed until the next call; none for now; or none ever again. */
	enum feed_state {
		FEED_DEVICE,
		FEED_LATER,
		FEED_OVER
	} (*next)(struct feed *feed, struct station_device *ret_device);
	/* What it waits for; how many. */
	size_t (*waits)(struct feed *feed, struct pollfd waits[FEED_WAITS_MAX]);
	/* The device of this number was taken away: its TPM is not waited for any longer. */
	bool (*is_gone)(struct feed *feed, uint64_t plug);
	/* Its job is over, and its worker with it. */
	void (*ended)(struct feed *feed, uint64_t plug);
};

/* Runs each device to its end and tells the request's `finished`. Fails itself only when the journal does, or when that cannot be
 * told any more, after what was under way has ended as after a signal: run->is_untold. */
bool loop_run(struct run *run, struct feed *feed, struct muster_error *err) MUST_CHECK;
/* The signal that ended the last loop, or 0. */
int loop_signal(void);

/* -- Checked before anything is touched (run.c) ---------------------------------------------------------------- */

/* Is the TPM reached over TCP, so that its worker needs the network? */
bool run_is_networked(const char *tcti);
/* Is it one that may be used: over TCP only where the configuration allows it. */
bool run_check_tpm(const struct run *run, const char *tcti, struct muster_error *err) MUST_CHECK;
/* By the same rules as in a profile. HOST[:PORT] of the device API; NULL leaves it open. */
bool run_take_endpoint(struct run *run, const char *endpoint, struct muster_error *err) MUST_CHECK;
bool run_take_id_scope(struct run *run, const char *id_scope, struct muster_error *err) MUST_CHECK;
/* Can a device be run by this profile? */
bool run_check_device(const struct run *run, const struct station_device *device,
		      struct muster_error *err) MUST_CHECK;
struct config;
/* The first part of it: configuration, profile and manifest, checked as a whole. Touches nothing else. */
bool run_read(struct run *run, const struct station_request *request, struct config *config,
	      struct profile_report *report, struct muster_error *err) MUST_CHECK;
/* What of a batch has to be approved, by digest: profile, manifest, and the files that the profile names. */
bool run_subjects(struct run *run, cJSON **ret_subjects, struct muster_error *err) MUST_CHECK;
bool run_prepare(struct run *run, const struct station_request *request,
		 struct profile_report *report, struct muster_error *err) MUST_CHECK;
void run_done(struct run *run);
