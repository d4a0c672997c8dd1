"""Mutants: one rule of muster removed or turned round each, and the test that must notice. A row is (name, file, what stands
there exactly once, what the mutant has, the test). Tests: "unit:NAME", or a story as pytest names it."""

MUTANTS = [
    # What is sent again, and what never.
    ("retry-a-lost-write", "src/dps/error.c", "if (writes)\n\t\t\treturn DPS_NEXT_READ_BACK;", "if (writes)\n\t\t\treturn DPS_NEXT_RETRY;",
     "unit:dps-answer"),
    ("retry-a-write-after-500", "src/dps/error.c", "{ 500, 599, CAUSE_CLOUD_SERVER_ERROR, DPS_NEXT_RETRY, DPS_NEXT_READ_BACK }",
     "{ 500, 599, CAUSE_CLOUD_SERVER_ERROR, DPS_NEXT_RETRY, DPS_NEXT_RETRY }", "unit:dps-client"),
    ("409-is-final", "src/dps/error.c", "{ 409, 409, CAUSE_ENROLLMENT_EXISTS, DPS_NEXT_STOP, DPS_NEXT_READ_BACK }",
     "{ 409, 409, CAUSE_ENROLLMENT_EXISTS, DPS_NEXT_STOP, DPS_NEXT_STOP }", "unit:dps-answer"),
    ("renew-for-ever", "src/dps/client.c", "*ret_again = !*was_renewed && dps_credential_forget(client->credential);",
     "*ret_again = dps_credential_forget(client->credential);", "unit:dps-client"),
    ("no-attempt-limit", "src/dps/retry.c", "if (attempts >= DPS_RETRY_ATTEMPTS)", "if (attempts >= 1000)", "unit:dps-answer"),
    ("no-floor-from-retry-after", "src/dps/retry.c",
     "return jitter >= retry_after_ms ? jitter : retry_after_ms + jitter % RETRY_SPREAD_MS;", "return jitter;", "unit:dps-answer"),
    ("no-etag-on-create", "src/dps/service.c", "return !if_match || http_request_header(request, \"If-Match\", if_match, err);",
     "return http_request_header(request, \"If-Match\", if_match ? if_match : \"*\", err);", "unit:dps-service"),

    # What an answer may say.
    ("any-enrollment-will-do", "src/dps/service.c", "if (!found || !text_equal_folded(found, id))", "if (!found)", "unit:dps-service"),
    ("an-answer-that-is-none-is-final", "src/dps/enrollment-read.c", "return answer_is(answer, 200) || dps_next_step", "return dps_next_step",
     "tests/stories/test_enrollment_update.py::test_an_update_without_an_answer_is_read_back"),
    ("newcomers-are-deleted", "src/dps/removal.c", "if (enrollment_is_newcomer(found, answer, sent_ms))", "if (false)",
     "tests/stories/test_enrollment_show.py::test_a_deletion_without_an_answer_spares_what_was_written_since"),
    ("clock-skew-unnoticed", "src/dps/error.c", "if (cause == CAUSE_CLOUD_UNAUTHORIZED && is_clock_skewed(answer)) {",
     "if (false) {", "unit:dps-answer"),

    # Two documents.
    ("hubs-not-compared", "src/dps/document-compare.c", "if (!is_subset(wanted, found) || !is_subset(found, wanted))",
     "if (!is_subset(wanted, found))", "unit:dps-compare"),
    ("attempt-counts", "src/dps/document-compare.c", "if (strcmp(service_members[i], DPS_ATTEMPT_MEMBER) == 0 ||",
     "if (strcmp(service_members[i], DPS_ATTEMPT_MEMBER) == 1000 ||", "unit:dps-compare"),
    ("custom-equals-unset", "src/dps/document-compare.c",
     "if (!wanted_text && (!found_text || !text_equal_folded(found_text, \"custom\")))", "if (!wanted_text)", "unit:dps-compare"),
    ("any-key-is-the-enrolled-one", "src/dps/document-trust.c", "if (bytes_equal(&enrolled, identity->ek))",
     "if (enrolled.size > 0)", "unit:dps-compare"),
    ("any-certificate-is-the-enrolled-one", "src/dps/document-trust.c", "if (strcmp(enrolled, own) == 0)",
     "if (strcmp(enrolled, own) != 1000)", "unit:dps-compare"),

    # Secrets and files.
    ("secret-file-for-all", "src/base/secret.c", "(status.st_mode & 077) != 0)", "(status.st_mode & 07) == 07)", "unit:base-secret"),
    ("secrets-in-children", "src/base/secret.c", "madvise(pages, mapped, MADV_WIPEONFORK);", "", "unit:base-secret"),
    ("secrets-in-dumps", "src/base/secret.c", "if (!secret_wiping_is_off())\n\t\tmadvise(pages, mapped, MADV_DONTDUMP);", "",
     "unit:base-secret"),
    ("tail-not-wiped", "src/base/secret.c", "secret_wipe(secret->data + new_size, secret->size - new_size);", "", "unit:base-secret"),
    ("longer-than-allowed", "src/base/secret.c", "if (used > max)", "if (used > max + 1)", "unit:base-secret"),

    # Workers.
    ("late-worker-lives", "src/worker/call.c", "if (clock_now_ms() >= worker->deadline_ms)",
     "if (clock_now_ms() >= worker->deadline_ms + 600000)", "unit:worker-call"),
    ("any-verb-answers", "src/worker/call.c", "if (!reply.is_reply || reply.verb != asked->verb) {", "if (!reply.is_reply) {",
     "unit:worker-call"),
    ("words-of-a-worker-as-they-are", "src/worker/call.c",
     "text_printable(words, sizeof(words), worker_text(reply, FIELD_ERROR_MESSAGE))",
     "(snprintf(words, sizeof(words), \"%s\", worker_text(reply, FIELD_ERROR_MESSAGE)), words)", "unit:worker-call"),

    # The guard in front of the TSS.
    ("untrue-size", "src/tpm/guard-check.c", "if (read_number(response + 2, 4) != size)", "if (size > GUARD_MESSAGE_MAX)",
     "unit:tpm-guard"),
    ("parameters-beyond-the-end", "src/tpm/guard-check.c", "if (size > rest.left)", "if (size > rest.left + 65536)",
     "unit:tpm-guard"),
    ("encrypted-beyond-the-end", "src/tpm/guard-check.c", "if (is_encrypted && !skip_sized(&parameters, GUARD_MESSAGE_MAX))",
     "if (false && is_encrypted && !skip_sized(&parameters, GUARD_MESSAGE_MAX))", "unit:tpm-guard"),
    ("handle-of-any-kind", "src/tpm/guard-check.c",
     "if (wants_session ? !is_session : type != TPM2_HT_TRANSIENT && !is_session)", "if (wants_session && type > 1000)",
     "unit:tpm-guard"),

    # The journal.
    ("world-readable-journal", "src/journal/file.c", "if (status->st_mode & 077)", "if (status->st_mode & 01000)",
     "unit:journal-file"),
    ("two-names", "src/journal/file.c", "if (status->st_nlink != 1)", "if (status->st_nlink == 0)", "unit:journal-file"),
    ("two-writers", "src/journal/file.c", "if (flock(fd, LOCK_EX | LOCK_NB) < 0) {", "if (flock(fd, LOCK_SH | LOCK_NB) < 0) {",
     "unit:journal-file"),

    ("chain-not-looked-at", "src/journal/chain.c", "if (memcmp(digest, entry->digest, sizeof(digest)) != 0)", "if (false)",
     "unit:journal-record"),

    # The station.
    ("serial-under-two-keys", "src/station/identify.c", "strcmp(known->key_digest, job->key_digest) != 0)",
     "strcmp(known->key_digest, job->key_digest) == 1000)",
     "tests/stories/test_tpm.py::test_another_chip_under_a_serial_that_is_taken_is_refused"),
    ("serial-under-two-names", "src/station/known.c", "if (found && !is_same(claim, &by_serial))", "if (false)",
     "tests/stories/test_tpm.py::test_another_chip_under_a_serial_that_is_taken_is_refused"),
    ("chip-under-two-serials", "src/station/identify.c", "return known_fail(claim, known, CAUSE_KEY_TAKEN, err);",
     "return true;", "tests/stories/test_tpm.py::test_one_chip_under_two_serials_is_refused"),
    ("no-look-at-the-clock", "src/station/identify.c", "if (answer->date_ms >= 0 && llabs(skew) > CLOCK_SKEW_MAX_MS)",
     "if (answer->date_ms >= 0 && llabs(skew) > 1000 * (int64_t)CLOCK_SKEW_MAX_MS)",
     "tests/stories/test_wrong_inputs.py::test_clock_two_hours_off"),
    ("other-content-is-fine", "src/station/enroll.c", "return differences.length > 0 ? fail_different(job, &differences, err)",
     "return differences.length > 1000000 ? fail_different(job, &differences, err)",
     "tests/stories/test_lost_replies.py::test_enrollment_with_other_content_is_a_conflict_and_stays"),
    ("released-device-sent-again", "src/station/enroll.c", "!job_is_offline(job) && !job->was_released &&",
     "!job_is_offline(job) &&",
     "tests/stories/test_journal_reconcile.py::test_a_tpm_is_known_again"),
    ("dry-run-sends", "src/station/enroll.c", "return !job_is_dry(job) && !job_is_offline(job) && !job->was_released &&",
     "return !job_is_offline(job) && !job->was_released &&", "tests/stories/test_derived_key.py::test_dry_run_touches_nothing"),
    ("unknown-outcome-sent-again", "src/station/enroll.c", "job->outcome_is_unknown = true;\n\treturn record_put(job, \"unknown\", err);",
     "job_go_to(job, \"put\");\n\treturn record_put(job, \"unknown\", err);",
     "tests/stories/test_lost_replies.py::test_lost_on_a_new_connection"),
    ("any-hub-will-do", "src/station/verify.c", "if (!hub_is_allowed(job, registration->assigned_hub))", "if (false)",
     "tests/stories/test_derived_key.py::test_a_hub_that_the_profile_does_not_name_is_not_verified"),
    ("required-certificate-optional", "src/ek/judge.c",
     "verdict = need == EK_CERTIFICATE_REQUIRED ? EK_REFUSED : EK_WARNED;\n\tif (facts->why_missing)",
     "verdict = need == EK_CERTIFICATE_REQUIRED ? EK_WARNED : EK_WARNED;\n\tif (facts->why_missing)",
     "tests/stories/test_tpm.py::test_a_required_certificate_that_is_missing_fails_the_device"),

    # What crosses the bus.
    ("nothing-encrypted-to-the-chip", "src/tpm/session.c",
     "(TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT)",
     "(TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_ENCRYPT)", "unit:tpm-wire"),
    ("nothing-encrypted-from-the-chip", "src/tpm/session.c",
     "(TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT)",
     "(TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT)", "unit:tpm-wire"),
    ("any-call-in-the-sandbox", "src/tpm/sandbox.c", "seccomp_init(SCMP_ACT_ERRNO(EPERM))", "seccomp_init(SCMP_ACT_ALLOW)",
     "tests/stories/test_sandbox.py::test_nothing_escapes_from_any_class"),
    ("own-tpm-is-any", "src/station/attached.c", "if (attached->rows[i].is_own &&", "if (false && attached->rows[i].is_own &&",
     "tests/stories/test_tpm_trouble.py::test_the_stations_own_is_not_touched_unless_that_is_said"),

    # Tokens.
    ("last-try-is-taken", "src/hsm/login.c", "{ CKF_USER_PIN_FINAL_TRY, false, CAUSE_PIN_FINAL_TRY,",
     "{ CKF_USER_PIN_FINAL_TRY, true, CAUSE_PIN_FINAL_TRY,", "unit:hsm-faults"),
    ("refused-again-and-again", "src/hsm/recover.c", "\tsecret_done(&owner->pin);\n", "", "unit:hsm-faults"),
    ("first-token-wins", "src/hsm/token.c", "if (count > 1)\n\t\treturn hsm_fail_ambiguous", "if (count > 1000)\n\t\treturn hsm_fail_ambiguous",
     "tests/stories/test_wrong_inputs.py::test_two_tokens_with_one_label"),
    ("uninitialised-is-fine", "src/hsm/token.c", "if (!is_usable(&seats[0]))", "if (false)",
     "tests/stories/test_wrong_inputs.py::test_uninitialised_token"),

    # Approvals.
    ("own-approval-counts", "src/station/approval.c", "if (bytes_equal(&signer->spki, &approval->requester.spki))", "if (false)",
     "tests/stories/test_approvals.py::test_an_own_approval_that_was_written_by_hand_does_not_count"),
    ("an-approver-counts-twice", "src/station/approval.c", "if (bytes_equal(&approval->grants[i].spki, &signer->spki) &&",
     "if (false &&", "tests/stories/test_approvals.py::test_one_approver_counts_once"),
    ("expired-approval-counts", "src/station/approval.c", "return signer->until_ms > now_ms ?", "return signer->until_ms > 0 ?",
     "tests/stories/test_approvals.py::test_an_approval_out_of_its_time"),
    ("any-manifest-was-approved", "src/station/approval.c", "if (!digest || strcmp(digest, subject->valuestring) != 0)",
     "if (!digest)", "tests/stories/test_approvals.py::test_an_approval_of_another_manifest"),
]
