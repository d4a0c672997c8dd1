/* The step table of provisioning: what is done with a device, in this order. Every row can be skipped because it is so already. */
#include "steps.h"
#include "token.h"

/* clang-format off */
static const struct step rows[] = {
	/* name                stage            applies                        start                           finish                    intend */
	{ "reach-service",     STAGE_IDENTIFY, service_reach_applies,         service_reach_start,            service_reach_finish,     NULL, 0 },
	{ "tpm-open",          STAGE_IDENTIFY, tpm_applies,                   tpm_open_start,                 tpm_open_finish,          NULL, 0 },
	{ "tpm-survey",        STAGE_IDENTIFY, tpm_applies,                   tpm_survey_start,               tpm_survey_finish,        NULL, 0 },
	{ "tpm-ek-make",       STAGE_IDENTIFY, tpm_ek_is_missing,             tpm_ek_make_start,              tpm_ek_make_finish,       tpm_ek_make_intend, 0 },
	{ "tpm-fetch",         STAGE_IDENTIFY, tpm_fetch_applies,             tpm_fetch_start,                tpm_fetch_finish,         NULL, 0 },
	{ "tpm-template",      STAGE_IDENTIFY, tpm_template_applies,          tpm_template_start,             tpm_template_finish,      NULL, 0 },
	{ "tpm-session",       STAGE_IDENTIFY, tpm_applies,                   tpm_session_start,              tpm_session_finish,       NULL, 0 },
	{ "tpm-witness",       STAGE_IDENTIFY, tpm_prove_applies,             tpm_witness_start,              tpm_witness_finish,       NULL, 0 },
	{ "tpm-prove",         STAGE_IDENTIFY, tpm_prove_applies,             tpm_prove_start,                tpm_prove_finish,         NULL, 0 },
	{ "tpm-roll-call",     STAGE_IDENTIFY, tpm_prove_applies,             tpm_roll_call_start,            tpm_roll_call_finish,     NULL, 0 },
	{ "token-open",        STAGE_IDENTIFY, token_applies,                 token_open_start,               token_open_finish,        NULL, 0 },
	{ "token-login",       STAGE_IDENTIFY, token_applies,                 token_login_start,              token_login_finish,       NULL, 0 },
	{ "look-up",           STAGE_IDENTIFY, NULL,                          identify_look_up,               NULL,                     NULL, 0 },
	{ "recipient",         STAGE_IDENTIFY, wrap_recipient_applies,        wrap_recipient_start,           NULL,                     NULL, 0 },

	{ "token-sweep",       STAGE_ATTEST,   attest_token_sweep_applies,    attest_token_sweep_start,       NULL,                     NULL, 0 },
	{ "key-find",          STAGE_ATTEST,   attest_key_is_journalled,      attest_key_find_start,          attest_key_find_finish,   NULL, 0 },
	{ "secondary-key-find", STAGE_ATTEST,  attest_key_is_journalled,      attest_key_find_start,          attest_key_find_finish,   NULL, STEP_OF_SECONDARY },
	{ "key-label",         STAGE_ATTEST,   attest_label_applies,          attest_label_start,             attest_label_finish,      NULL, 0 },
	{ "secondary-key-label", STAGE_ATTEST, attest_label_applies,          attest_label_start,             attest_label_finish,      NULL, STEP_OF_SECONDARY },
	{ "issuer",            STAGE_ATTEST,   issuer_prove_applies,          issuer_prove,                   NULL,                     NULL, 0 },
	{ "key-sweep",         STAGE_ATTEST,   attest_sweep_applies,          attest_key_sweep_start,         attest_key_sweep_finish,  attest_key_sweep_intend, 0 },
	{ "key-make",          STAGE_ATTEST,   attest_key_is_missing,         attest_key_make_start,          attest_key_make_finish,   attest_key_make_intend, 0 },
	{ "secondary-key-sweep", STAGE_ATTEST, attest_sweep_applies,          attest_key_sweep_start,         attest_key_sweep_finish,  attest_key_sweep_intend, STEP_OF_SECONDARY },
	{ "secondary-key-make", STAGE_ATTEST,  attest_key_is_missing,         attest_key_make_start,          attest_key_make_finish,   attest_key_make_intend, STEP_OF_SECONDARY },
	{ "certify",           STAGE_ATTEST,   attest_x509_applies,           attest_certify,                 NULL,                     NULL, 0 },
	{ "wrap-out",          STAGE_ATTEST,   wrap_out_applies,              wrap_out_start,                 wrap_out_finish,          wrap_out_intend, 0 },
	{ "secondary-wrap-out", STAGE_ATTEST,  wrap_out_applies,              wrap_out_start,                 wrap_out_finish,          wrap_out_intend, STEP_OF_SECONDARY },
	{ "wrapped-file",      STAGE_ATTEST,   wrap_file_applies,             wrap_file_check,                NULL,                     NULL, 0 },
	{ "secondary-wrapped-file", STAGE_ATTEST, wrap_file_applies,          wrap_file_check,                NULL,                     NULL, STEP_OF_SECONDARY },
	{ "derive",            STAGE_ATTEST,   attest_derive_applies,         attest_derive,                  NULL,                     NULL, 0 },

	{ "compose",           STAGE_ENROLL,   NULL,                          enroll_compose,                 NULL,                     NULL, 0 },
	{ "tpm-still-there",   STAGE_ENROLL,   tpm_still_there_applies,       tpm_roll_call_start,            tpm_roll_call_finish,     NULL, 0 },
	{ "put",               STAGE_ENROLL,   enroll_put_applies,            enroll_put_start,               enroll_put_finish,        enroll_put_intend, 0 },

	{ "read-back",         STAGE_CONFIRM,  confirm_applies,               confirm_read_start,             confirm_read_finish,      NULL, STEP_AT_SERVICE },
	{ "read-keys",         STAGE_CONFIRM,  confirm_mechanism_applies,     confirm_mechanism_start,        confirm_mechanism_finish, NULL, STEP_AT_SERVICE },
	{ "compare",           STAGE_CONFIRM,  confirm_applies,               confirm_compare,                NULL,                     NULL, 0 },

	/* Of a device whose verification was put off, and whose file is lost. */
	{ "wrap-out",          STAGE_ATTEST,   wrap_out_applies,              wrap_out_start,                 wrap_out_finish,          wrap_out_intend, 0 },
	{ "secondary-wrap-out", STAGE_ATTEST,  wrap_out_applies,              wrap_out_start,                 wrap_out_finish,          wrap_out_intend, STEP_OF_SECONDARY },

	VERIFY_STEPS

	{ "key-stays",         STAGE_RELEASE,  wrap_stays_applies,            wrap_stays_tell,                NULL,                     NULL, 0 },
	{ "key-destroy",       STAGE_RELEASE,  wrap_destroy_applies,          wrap_destroy_start,             wrap_destroy_finish,      wrap_destroy_intend, 0 },
	{ "secondary-key-destroy", STAGE_RELEASE, wrap_destroy_applies,       wrap_destroy_start,             wrap_destroy_finish,      wrap_destroy_intend, STEP_OF_SECONDARY },
	{ "certificate-store", STAGE_RELEASE,  attest_store_applies,          attest_certificate_store_start, NULL,                     NULL, 0 },
	{ "secondary-certificate-store", STAGE_RELEASE, attest_store_applies, attest_certificate_store_start, NULL,                     NULL, STEP_OF_SECONDARY },
	{ "tpm-release",       STAGE_RELEASE,  release_tpm_applies,           release_tpm_start,              NULL,                     NULL, 0 },
	{ "spool",             STAGE_ENROLL,   spool_applies,                 spool_record,                   NULL,                     NULL, 0 },
	{ "release",           STAGE_RELEASE,  release_applies,               release_record,                 NULL,                     NULL, 0 },
	{ "write-out",         STAGE_RELEASE,  write_out_applies,             release_write,                  NULL,                     NULL, STEP_AFTER_COMMIT },
	{ "released",          STAGE_RELEASE,  release_absent_applies,        release_absent,                 NULL,                     NULL, STEP_AFTER_COMMIT },
};
/* clang-format on */

const struct step_table provision_steps = { rows, ARRAY_SIZE(rows) };
