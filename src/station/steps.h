/* The halves of all steps, by stage; the table in steps.c puts them in order. Private to the station. */
#pragma once

#include "job.h"

#define STEP_STARTS(name) bool name(struct job *job, struct muster_error *err)
#define STEP_FINISHES(name) \
	bool name(struct job *job, const struct muster_error *outcome, struct muster_error *err)
#define STEP_INTENDS(name) bool name(struct job *job, cJSON *body, struct muster_error *err)
#define STEP_APPLIES(name) bool name(const struct job *job)

/* identify.c */
STEP_APPLIES(service_reach_applies);
STEP_STARTS(service_reach_start);
STEP_FINISHES(service_reach_finish);
STEP_STARTS(identify_look_up);
/* It was known with another ID scope: that was mistyped, or the service was made again since. */
bool identify_has_other_scope(const struct job *job);
/* Of a released device of a batch: it was released by another profile or with another ID scope, or has to register now. */
bool identify_is_looked_at(const struct job *job);
/* Of a released device of a batch nothing is left to do. */
void identify_skip_released(struct job *job);

/* identify-tpm.c */
STEP_APPLIES(tpm_applies);
STEP_APPLIES(tpm_ek_is_missing);
STEP_STARTS(tpm_open_start);
STEP_FINISHES(tpm_open_finish);
STEP_STARTS(tpm_survey_start);
STEP_FINISHES(tpm_survey_finish);
STEP_APPLIES(tpm_fetch_applies);
STEP_STARTS(tpm_fetch_start);
STEP_FINISHES(tpm_fetch_finish);
STEP_APPLIES(tpm_template_applies);
STEP_STARTS(tpm_template_start);
STEP_FINISHES(tpm_template_finish);
STEP_INTENDS(tpm_ek_make_intend);
STEP_STARTS(tpm_ek_make_start);
STEP_FINISHES(tpm_ek_make_finish);

/* prove-tpm.c */
STEP_APPLIES(tpm_prove_applies);
STEP_APPLIES(tpm_still_there_applies);
STEP_STARTS(tpm_session_start);
STEP_FINISHES(tpm_session_finish);
STEP_STARTS(tpm_witness_start);
STEP_FINISHES(tpm_witness_finish);
STEP_STARTS(tpm_prove_start);
STEP_FINISHES(tpm_prove_finish);
STEP_STARTS(tpm_roll_call_start);
STEP_FINISHES(tpm_roll_call_finish);

/* attest.c, attest-label.c, attest-certificate.c */
STEP_APPLIES(token_applies);
STEP_APPLIES(attest_key_is_journalled);
STEP_APPLIES(attest_key_is_to_be_made);
STEP_APPLIES(attest_key_is_missing);
STEP_APPLIES(attest_store_applies);
STEP_APPLIES(attest_x509_applies);
STEP_APPLIES(attest_derive_applies);
STEP_APPLIES(attest_is_derived_again);
STEP_STARTS(attest_key_find_start);
STEP_FINISHES(attest_key_find_finish);
STEP_APPLIES(attest_token_sweep_applies);
STEP_STARTS(attest_token_sweep_start);
STEP_APPLIES(attest_sweep_applies);
STEP_INTENDS(attest_key_sweep_intend);
STEP_STARTS(attest_key_sweep_start);
STEP_FINISHES(attest_key_sweep_finish);
STEP_APPLIES(attest_label_applies);
STEP_STARTS(attest_label_start);
STEP_FINISHES(attest_label_finish);
STEP_INTENDS(attest_key_make_intend);
STEP_STARTS(attest_key_make_start);
STEP_FINISHES(attest_key_make_finish);
STEP_STARTS(attest_certify);
STEP_STARTS(attest_certificate_store_start);
STEP_STARTS(attest_derive);

/* issuer.c */
STEP_APPLIES(issuer_prove_applies);
STEP_STARTS(issuer_prove);

/* wrap.c */
STEP_APPLIES(wrap_recipient_applies);
STEP_STARTS(wrap_recipient_start);
STEP_APPLIES(wrap_out_applies);
STEP_INTENDS(wrap_out_intend);
STEP_STARTS(wrap_out_start);
STEP_FINISHES(wrap_out_finish);
STEP_APPLIES(wrap_file_applies);
STEP_STARTS(wrap_file_check);
STEP_APPLIES(wrap_stays_applies);
STEP_STARTS(wrap_stays_tell);
STEP_APPLIES(wrap_destroy_applies);
STEP_INTENDS(wrap_destroy_intend);
STEP_STARTS(wrap_destroy_start);
STEP_FINISHES(wrap_destroy_finish);

/* enroll.c */

/* What the profile says of every enrollment; its texts are borrowed. */
struct dps_enrollment_terms enroll_terms(const struct profile *profile);
STEP_STARTS(enroll_compose);
STEP_APPLIES(enroll_put_applies);
STEP_INTENDS(enroll_put_intend);
STEP_STARTS(enroll_put_start);
STEP_FINISHES(enroll_put_finish);
STEP_APPLIES(confirm_applies);
STEP_STARTS(confirm_read_start);
STEP_FINISHES(confirm_read_finish);
STEP_APPLIES(confirm_mechanism_applies);
STEP_STARTS(confirm_mechanism_start);
STEP_FINISHES(confirm_mechanism_finish);
STEP_STARTS(confirm_compare);

/* verify.c */
STEP_APPLIES(verify_applies);
/* The profile asks for it, and the device is not at hand. */
STEP_APPLIES(verify_is_put_off);
STEP_APPLIES(verify_tpm_applies);
STEP_APPLIES(verify_poll_applies);
STEP_APPLIES(verify_hub_key_applies);
STEP_APPLIES(verify_delete_applies);
STEP_STARTS(verify_srk_start);
STEP_FINISHES(verify_srk_finish);
STEP_INTENDS(verify_intend);
STEP_STARTS(verify_challenge_start);
STEP_FINISHES(verify_challenge_finish);
STEP_STARTS(verify_activate_start);
STEP_STARTS(verify_sign_start);
STEP_FINISHES(verify_sign_finish);
STEP_STARTS(verify_register_start);
STEP_FINISHES(verify_register_finish);
STEP_STARTS(verify_poll_start);
STEP_FINISHES(verify_poll_finish);
STEP_STARTS(verify_check);
STEP_STARTS(verify_delete_start);
STEP_FINISHES(verify_delete_finish);

/* clang-format off */
/* How a device registers as itself: the same rows for every table. */
#define VERIFY_STEPS \
	{ "srk",               STAGE_VERIFY,   verify_tpm_applies,            verify_srk_start,               verify_srk_finish,        NULL, 0 }, \
	{ "challenge",         STAGE_VERIFY,   verify_tpm_applies,            verify_challenge_start,         verify_challenge_finish,  NULL, STEP_AT_DEVICES }, \
	{ "activate",          STAGE_VERIFY,   verify_tpm_applies,            verify_activate_start,          NULL,                     NULL, 0 }, \
	{ "sign",              STAGE_VERIFY,   verify_tpm_applies,            verify_sign_start,              verify_sign_finish,       NULL, 0 }, \
	{ "register",          STAGE_VERIFY,   verify_applies,                verify_register_start,          verify_register_finish,   verify_intend, STEP_AT_DEVICES }, \
	{ "poll",              STAGE_VERIFY,   verify_poll_applies,           verify_poll_start,              verify_poll_finish,       NULL, STEP_AT_DEVICES }, \
	{ "verify",            STAGE_VERIFY,   verify_applies,                verify_check,                   NULL,                     NULL, 0 }, \
	{ "hub-key",           STAGE_VERIFY,   verify_hub_key_applies,        verify_activate_start,          NULL,                     NULL, 0 }, \
	{ "delete-record",     STAGE_VERIFY,   verify_delete_applies,         verify_delete_start,            verify_delete_finish,     NULL, STEP_AT_SERVICE },
/* clang-format on */

/* spool.c */
STEP_APPLIES(spool_applies);
STEP_STARTS(spool_record);

/* release.c */
/* The derived keys were to be written, and are not. */
bool release_lacks_keys(const struct job *job);
/* Before anything is sent: a file of other keys is where they are to be written (CAUSE_OUTPUT_EXISTS). */
bool release_check_keys(const struct job *job, struct muster_error *err) MUST_CHECK;
STEP_APPLIES(release_tpm_applies);
STEP_APPLIES(release_applies);
STEP_APPLIES(write_out_applies);
STEP_APPLIES(release_absent_applies);
STEP_STARTS(release_absent);
STEP_STARTS(release_tpm_start);
STEP_STARTS(release_record);
STEP_STARTS(release_write);
