/* The step table of provisioning: what is done with a device, in this order. Every row can be skipped because it is so already. */
#include "steps.h"
#include "token.h"

/* clang-format off */
static const struct step rows[] = {
	/* name                stage            applies                        start                           finish                    intend */
	{ "reach-service",     STAGE_IDENTIFY, service_reach_applies,         service_reach_start,            service_reach_finish,     NULL, false },
	{ "tpm-open",          STAGE_IDENTIFY, tpm_applies,                   tpm_open_start,                 tpm_open_finish,          NULL, false },
	{ "tpm-survey",        STAGE_IDENTIFY, tpm_applies,                   tpm_survey_start,               tpm_survey_finish,        NULL, false },
	{ "tpm-ek-make",       STAGE_IDENTIFY, tpm_ek_is_missing,             tpm_ek_make_start,              tpm_ek_make_finish,       tpm_ek_make_intend, false },
	{ "tpm-fetch",         STAGE_IDENTIFY, tpm_fetch_applies,             tpm_fetch_start,                tpm_fetch_finish,         NULL, false },
	{ "tpm-template",      STAGE_IDENTIFY, tpm_template_applies,          tpm_template_start,             tpm_template_finish,      NULL, false },
	{ "tpm-session",       STAGE_IDENTIFY, tpm_applies,                   tpm_session_start,              tpm_session_finish,       NULL, false },
	{ "tpm-witness",       STAGE_IDENTIFY, tpm_prove_applies,             tpm_witness_start,              tpm_witness_finish,       NULL, false },
	{ "tpm-prove",         STAGE_IDENTIFY, tpm_prove_applies,             tpm_prove_start,                tpm_prove_finish,         NULL, false },
	{ "tpm-roll-call",     STAGE_IDENTIFY, tpm_prove_applies,             tpm_roll_call_start,            tpm_roll_call_finish,     NULL, false },
	{ "token-open",        STAGE_IDENTIFY, token_applies,                 token_open_start,               token_open_finish,        NULL, false },
	{ "token-login",       STAGE_IDENTIFY, token_applies,                 token_login_start,              token_login_finish,       NULL, false },
	{ "look-up",           STAGE_IDENTIFY, NULL,                          identify_look_up,               NULL,                     NULL, false },
	{ "recipient",         STAGE_IDENTIFY, wrap_recipient_applies,        wrap_recipient_start,           NULL,                     NULL, false },

	{ "token-sweep",       STAGE_ATTEST,   attest_token_sweep_applies,    attest_token_sweep_start,       NULL,                     NULL, false },
	{ "key-find",          STAGE_ATTEST,   attest_key_is_journalled,      attest_key_find_start,          attest_key_find_finish,   NULL, false },
	{ "key-sweep",         STAGE_ATTEST,   attest_sweep_applies,          attest_key_sweep_start,         attest_key_sweep_finish,  NULL, false },
	{ "key-make",          STAGE_ATTEST,   attest_key_is_missing,         attest_key_make_start,          attest_key_make_finish,   attest_key_make_intend, false },
	{ "certify",           STAGE_ATTEST,   attest_x509_applies,           attest_certify,                 NULL,                     NULL, false },
	{ "wrap-out",          STAGE_ATTEST,   wrap_out_applies,              wrap_out_start,                 wrap_out_finish,          wrap_out_intend, false },
	{ "derive",            STAGE_ATTEST,   attest_derive_applies,         attest_derive,                  NULL,                     NULL, false },

	{ "compose",           STAGE_ENROLL,   NULL,                          enroll_compose,                 NULL,                     NULL, false },
	{ "tpm-still-there",   STAGE_ENROLL,   tpm_still_there_applies,       tpm_roll_call_start,            tpm_roll_call_finish,     NULL, false },
	{ "put",               STAGE_ENROLL,   enroll_put_applies,            enroll_put_start,               enroll_put_finish,        enroll_put_intend, false },

	{ "read-back",         STAGE_CONFIRM,  confirm_applies,               confirm_read_start,             confirm_read_finish,      NULL, false },
	{ "read-keys",         STAGE_CONFIRM,  confirm_mechanism_applies,     confirm_mechanism_start,        confirm_mechanism_finish, NULL, false },
	{ "compare",           STAGE_CONFIRM,  confirm_applies,               confirm_compare,                NULL,                     NULL, false },

	VERIFY_STEPS

	{ "key-destroy",       STAGE_RELEASE,  wrap_destroy_applies,          attest_key_sweep_start,         wrap_destroy_finish,      wrap_destroy_intend, false },
	{ "certificate-store", STAGE_RELEASE,  attest_store_applies,          attest_certificate_store_start, NULL,                     NULL, false },
	{ "tpm-release",       STAGE_RELEASE,  release_tpm_applies,           release_tpm_start,              NULL,                     NULL, false },
	{ "spool",             STAGE_ENROLL,   spool_applies,                 spool_record,                   NULL,                     NULL, false },
	{ "release",           STAGE_RELEASE,  release_applies,               release_record,                 NULL,                     NULL, false },
	{ "write-out",         STAGE_RELEASE,  write_out_applies,             release_write,                  NULL,                     NULL, true },
	{ "released",          STAGE_RELEASE,  release_absent_applies,        release_absent,                 NULL,                     NULL, true },
};
/* clang-format on */

const struct step_table provision_steps = { rows, ARRAY_SIZE(rows) };
