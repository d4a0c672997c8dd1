/* Where a device's life ends: what was done in one is nothing to the next. */
#include "journal-fixture.h"

#include "muster/json.h"
#include "muster/station-sync.h"

#include "../../src/station/resume.h"
#include "../../src/station/spool.h"

#define DEVICE "wait-1"
#define SPOOLED_A "{\"spooled\":{\"attestation\":{\"type\":\"tpm\",\"ekSha256\":\"" KEY_A "\"}}}"
#define SPOOLED_B "{\"spooled\":{\"attestation\":{\"type\":\"tpm\",\"ekSha256\":\"" KEY_B "\"}}}"
#define SENT "{\"operation\":\"create\",\"host\":\"x\"}"
#define FAILED "{\"step\":\"put\",\"cause\":5107,\"message\":\"outcome unknown\"}"

/* An entry of the device, or its row where there is no body. */
struct event {
	const char *stage;
	enum journal_kind kind;
	const char *body;
	struct journal_device row;
};

#define ROW(key, what, tried)                            \
	{                                                \
		.row = {.registration_id = DEVICE,       \
			.attestation = "tpm",            \
			.key_digest = (key),             \
			.attempt_id = "attempt-" #tried, \
			.state = (what),                 \
			.attempt = (tried),              \
			.updated_ms = 1000 }             \
	}
#define NOTED(text)                             \
	{                                       \
		"enroll", JOURNAL_NOTE, (text), \
		{                               \
			0                       \
		}                               \
	}
#define MEANT(text)                               \
	{                                         \
		"enroll", JOURNAL_INTENT, (text), \
		{                                 \
			0                         \
		}                                 \
	}
#define CAME(text)                                 \
	{                                          \
		"enroll", JOURNAL_OUTCOME, (text), \
		{                                  \
			0                          \
		}                                  \
	}
#define GIVEN_UP(how)                                                 \
	{                                                             \
		"outbox", JOURNAL_NOTE, "{\"resolved\":\"" how "\"}", \
		{                                                     \
			0                                             \
		}                                                     \
	}

static void write_event(struct journal *journal, const struct event *event)
{
	struct journal_entry entry = { .registration_id = DEVICE,
				       .at_ms = 1764000000000,
				       .stage = event->stage,
				       .kind = event->kind,
				       .attempt = 1,
				       .operator= "ada",
				       .station = "line-3",
				       .body = event->body };

	if (!event->body)
		must_put(journal, &event->row);
	else if (!journal_append(journal, &entry, &err))
		fail_msg("%s", err.message);
}

struct life {
	struct event events[8]; /* to the first without body and row */
	bool is_spooled;
	enum station_wait wait;
	const char *attempt_id; /* that is resumed; "": another one */
	bool may_exist;
};

static void check_note(struct journal *journal, const struct journal_device *row,
		       const struct life *life)
{
	struct station_waiting waiting;
	cJSON *note = NULL;

	assert_true(spool_find(journal, row, &note, &err));
	assert_int_equal(note != NULL, life->is_spooled && journal_state_is_live(row->state));
	cJSON_Delete(note);
	assert_true(station_wait_look(journal, row, &waiting, &err));
	assert_int_equal(waiting.what, life->wait);
}

static void check_resumed(struct journal *journal, struct journal_device *row,
			  const struct life *life)
{
	struct run run = { .journal = journal, .profile = { .attestation = PROFILE_TPM } };
	struct job job = { .run = &run, .registration_id = strdup(DEVICE), .device = *row };
	struct service_sendings sendings;

	*row = (struct journal_device){ 0 };
	if (!resume_from_journal(&job, &sendings, &err))
		fail_msg("%s", err.message);
	assert_int_equal(job.spooled != NULL, life->is_spooled);
	assert_int_equal(job.may_exist, life->may_exist);
	assert_string_equal(job.attempt_id, life->attempt_id);
	job_done(&job);
}

static void check(const struct life *life)
{
	struct journal *journal = must_open(JOURNAL_WRITE);
	struct journal_device row = { 0 };
	bool found = false;

	must_begin(journal);
	for (size_t i = 0; i < ARRAY_SIZE(life->events); i++)
		if (life->events[i].body || life->events[i].row.registration_id)
			write_event(journal, &life->events[i]);
	must_commit(journal);
	assert_true(journal_device_find(journal, JOURNAL_BY_REGISTRATION_ID, DEVICE, &row, &found,
					&err));
	check_note(journal, &row, life);
	check_resumed(journal, &row, life);
	journal_close(journal);
}

static void goes_on_with_what_was_spooled(void **state)
{
	(void)state;
	check(&(struct life){ .events = { NOTED(SPOOLED_A), ROW(KEY_A, JOURNAL_SPOOLED, 1) },
			      .is_spooled = true,
			      .wait = STATION_WAITS_NETWORK,
			      .attempt_id = "attempt-1" });
}

static void begins_anew_after_a_decision(void **state)
{
	(void)state;
	check(&(struct life){ .events = { NOTED(SPOOLED_A), MEANT(SENT), CAME(FAILED),
					  ROW(KEY_A, JOURNAL_PARKED, 1), GIVEN_UP("failed"),
					  ROW(KEY_A, JOURNAL_FAILED, 1) },
			      .wait = STATION_WAITS_NOT,
			      .attempt_id = "" });
}

static void knows_nothing_of_the_life_before_when_cut(void **state)
{
	(void)state;
	check(&(struct life){ .events = { NOTED(SPOOLED_A), ROW(KEY_A, JOURNAL_SPOOLED, 1),
					  GIVEN_UP("failed"), ROW(KEY_A, JOURNAL_FAILED, 1),
					  ROW(KEY_B, JOURNAL_WORKING, 2) },
			      .wait = STATION_WAITS_DEVICE,
			      .attempt_id = "attempt-2" });
}

static void keeps_what_came_after_a_decision(void **state)
{
	(void)state;
	check(&(struct life){ .events = { NOTED(SPOOLED_A), ROW(KEY_A, JOURNAL_SPOOLED, 1),
					  GIVEN_UP("retired"), ROW(KEY_A, JOURNAL_RETIRED, 1),
					  NOTED(SPOOLED_B), MEANT(SENT),
					  ROW(KEY_B, JOURNAL_PARKED, 2) },
			      .is_spooled = true,
			      .wait = STATION_WAITS_NETWORK,
			      .attempt_id = "attempt-2",
			      .may_exist = true });
}

static void resumes_what_failed_by_itself_in_a_later_life(void **state)
{
	(void)state;
	check(&(struct life){ .events = { NOTED(SPOOLED_A), GIVEN_UP("failed"),
					  ROW(KEY_A, JOURNAL_FAILED, 1), CAME(FAILED),
					  ROW(KEY_B, JOURNAL_FAILED, 2) },
			      .wait = STATION_WAITS_NOT,
			      .attempt_id = "attempt-2" });
}

/* Nothing was done then: whatever is, puts a row. */
static void a_run_that_never_got_to_it_begins_no_life(void **state)
{
	const struct event clash = { "identify",
				     JOURNAL_OUTCOME,
				     "{\"step\":\"look-up\",\"cause\":3110,\"message\":\"taken\"}",
				     { 0 } };

	(void)state;
	check(&(struct life){ .events = { NOTED(SPOOLED_A), ROW(KEY_A, JOURNAL_PARKED, 1),
					  GIVEN_UP("failed"), ROW(KEY_A, JOURNAL_FAILED, 1), clash,
					  clash },
			      .wait = STATION_WAITS_NOT,
			      .attempt_id = "" });
	check(&(struct life){ .events = { ROW(KEY_A, JOURNAL_PARKED, 1), GIVEN_UP("failed"),
					  ROW(KEY_A, JOURNAL_FAILED, 1), clash, MEANT(SENT),
					  ROW(KEY_B, JOURNAL_FAILED, 2), clash },
			      .wait = STATION_WAITS_NOT,
			      .attempt_id = "attempt-2",
			      .may_exist = true });
}

static void retirement_alone_ends_a_life_of_its_own(void **state)
{
	const struct event meant = { "retire", JOURNAL_INTENT, "{\"effect\":\"delete\"}", { 0 } };
	const struct event done = {
		"retire", JOURNAL_OUTCOME, "{\"enrollment\":\"deleted\"}", { 0 }
	};

	(void)state;
	check(&(struct life){ .events = { NOTED(SPOOLED_A), meant, ROW(KEY_A, JOURNAL_SPOOLED, 1) },
			      .is_spooled = true,
			      .wait = STATION_WAITS_NETWORK,
			      .attempt_id = "attempt-1" });
	check(&(struct life){ .events = { meant, done, ROW(KEY_A, JOURNAL_WORKING, 2) },
			      .wait = STATION_WAITS_DEVICE,
			      .attempt_id = "attempt-2" });
}

static void note_of_another_key_does_not_count(void **state)
{
	(void)state;
	check(&(struct life){ .events = { NOTED(SPOOLED_A), ROW(KEY_B, JOURNAL_PARKED, 2) },
			      .wait = STATION_WAITS_DEVICE,
			      .attempt_id = "attempt-2" });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(goes_on_with_what_was_spooled),
		CASE(begins_anew_after_a_decision),
		CASE(knows_nothing_of_the_life_before_when_cut),
		CASE(keeps_what_came_after_a_decision),
		CASE(resumes_what_failed_by_itself_in_a_later_life),
		CASE(a_run_that_never_got_to_it_begins_no_life),
		CASE(retirement_alone_ends_a_life_of_its_own),
		CASE(note_of_another_key_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
