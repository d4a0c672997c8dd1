/* One thread, one loop: advance the jobs -> one journal transaction -> start the effects that it announced -> wait
 * for workers, network, timers and signals. So no effect is ever started whose intent is not on disk. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "advance.h"
#include "batch.h"
#include "device-files.h"
#include "sender.h"

#include "muster/json.h"
#include "muster/log.h"
#include "muster/process.h"

/* How long an operation under way may go on after a signal. */
enum { PARK_GRACE_MS = 10000 };

static int caught_signal;

int loop_signal(void)
{
	return caught_signal;
}

struct loop {
	struct run *run;
	struct feed *feed;
	bool feed_is_over;
	struct job *jobs[JOBS_MAX];
	size_t count;
	int signals;                /* signalfd */
	int64_t park_by_ms;         /* INT64_MAX while nothing stops it */
	struct muster_error untold; /* why nobody hears any more how devices end */
	int64_t worked_ms;          /* since when the loop has not waited */
};

/* -- Waiting --------------------------------------------------------------------------------------------------- */

static bool waits_for_time(const struct job *job)
{
	return job->operation == OPERATION_TIMER || job->operation == OPERATION_TURN;
}

static bool waits_for_answers(const struct loop *loop)
{
	for (size_t i = 0; i < loop->count; i++)
		if (loop->jobs[i]->operation != OPERATION_NONE && !waits_for_time(loop->jobs[i]))
			return true;
	return false;
}

/* A TPM that was unplugged answers no more, though its worker may wait for that. */
static bool lost_its_tpm(const struct loop *loop, const struct job *job)
{
	return job->plug > 0 && loop->feed->is_gone(loop->feed, job->plug);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t next_deadline(const struct loop *loop)
{
	int64_t first = earlier(loop->park_by_ms, device_files_due_ms(loop->run));

	for (size_t i = 0; i < loop->count; i++) {
		const struct job *job = loop->jobs[i];
		int64_t deadline = INT64_MAX;

		if (waits_for_time(job))
			deadline = job->timer_ms;
		else if (job->operation == OPERATION_WORKER)
			deadline = lost_its_tpm(loop, job) ? 0 : worker_deadline_ms(job->asked);
		else if (job->answer_is_ready)
			deadline = 0;
		if (deadline < first)
			first = deadline;
	}
	return first;
}

/* Gives the sender what there is for it. *ret_by_ms: when it wants to be asked again. */
static bool pump_sender(struct loop *loop, int64_t *ret_by_ms, struct muster_error *err)
{
	struct run *run = loop->run;
	const struct muster_error *why;
	int64_t wait_ms;

	if (!run->sender)
		return true;
	if (!sender_pump(run->sender, &wait_ms, err))
		return false;
	if (wait_ms >= 0)
		*ret_by_ms = clock_now_ms() + wait_ms;
	why = sender_stopped(run->sender);
	if (why && run->brake)
		brake_stop(run->brake, why);
	return true;
}

/* A batch has figures to tell; else it may wait for ever. */
static int64_t next_figures(const struct loop *loop)
{
	return loop->run->batch ? batch_next_ms(loop->run->batch) : INT64_MAX;
}

static bool wait_for_something(struct loop *loop, int64_t by_ms, struct muster_error *err)
{
	struct pollfd fds[1 + FEED_WAITS_MAX + JOBS_MAX];
	int64_t deadline = earlier(earlier(by_ms, next_figures(loop)), next_deadline(loop));
	int64_t left = deadline - clock_now_ms();
	int timeout = deadline == INT64_MAX ? -1
		      : left < 0            ? 0
		      : left > 3600000      ? 3600000
					    : (int)left;
	size_t used = 0;

	fds[used++] = (struct pollfd){ .fd = loop->signals, .events = POLLIN };
	if (loop->feed->waits && !loop->feed_is_over)
		used += loop->feed->waits(loop->feed, fds + used);
	for (size_t i = 0; i < loop->count; i++)
		if (loop->jobs[i]->operation == OPERATION_WORKER)
			fds[used++] = (struct pollfd){ .fd = worker_fd(loop->jobs[i]->asked),
						       .events = POLLIN };
	return http_poll(loop->run->http, fds, used, timeout, err);
}

/* Who was waited for meanwhile goes into a batch's figures. */
static bool wait_and_account(struct loop *loop, int64_t by_ms, struct muster_error *err)
{
	int64_t before = clock_now_ms(), after;

	if (!wait_for_something(loop, by_ms, err))
		return false;
	after = clock_now_ms();
	if (loop->run->batch)
		batch_note_time(loop->run->batch, loop->jobs, loop->count, after - before,
				before - loop->worked_ms);
	loop->worked_ms = after;
	return true;
}

/* What stopped it, in words; NULL: nothing. */
static const char *what_stopped(const struct loop *loop)
{
	return loop->park_by_ms == INT64_MAX ? NULL
	       : caught_signal               ? "by a signal"
					     : "because its results cannot be told";
}

static void stop_run(const struct loop *loop)
{
	struct run *run = loop->run;
	struct muster_error why;

	muster_fail(&why, CAUSE_INTERRUPTED, "stopped %s", what_stopped(loop));
	if (run->brake)
		brake_stop(run->brake, &why);
	if (run->sender)
		sender_stop(run->sender, &why);
}

static bool read_signal(const struct loop *loop)
{
	struct signalfd_siginfo info;

	if (read(loop->signals, &info, sizeof(info)) != sizeof(info))
		return false;
	caught_signal = (int)info.ssi_signo;
	return true;
}

static void tell_stop(const struct loop *loop)
{
	if (waits_for_answers(loop))
		log_warning("stopping; what is under way has %d seconds to end, and none after "
			    "another signal",
			    PARK_GRACE_MS / 1000);
	else
		log_info("stopping; all devices are left in a recorded state");
}

static void take_signal(struct loop *loop)
{
	bool was_signalled = caught_signal != 0;

	if (!read_signal(loop))
		return;
	if (!was_signalled)
		tell_stop(loop);
	/* Who asks twice does not want to wait. */
	loop->park_by_ms = was_signalled ? 0 : clock_now_ms() + PARK_GRACE_MS;
	journal_hasten(loop->run->journal);
	stop_run(loop);
}

/* Who reads has gone, or their disk is full: what is under way ends, and is left in a recorded state, as after a signal. */
static void stop_untold(struct loop *loop, const struct muster_error *why)
{
	if (loop->untold.code != MUSTER_OK)
		return;
	loop->untold = *why;
	if (loop->park_by_ms != INT64_MAX)
		return;
	loop->park_by_ms = clock_now_ms() + PARK_GRACE_MS;
	log_info("stopping: %s", why->message);
	stop_run(loop);
}

/* Whether the job's operation is over; its own failure goes to *outcome. */
static bool collect_one(const struct loop *loop, struct job *job, struct muster_error *outcome)
{
	bool done = false;

	switch (job->operation) {
	case OPERATION_NONE:
		return false;
	case OPERATION_WORKER:
		if (lost_its_tpm(loop, job)) {
			muster_fail(outcome, CAUSE_TPM_REMOVED, "the device was unplugged");
			return true;
		}
		if (!worker_receive(job->asked, &job->reply, &done, outcome))
			return true;
		return done;
	case OPERATION_HTTP:
	case OPERATION_SENDER:
		return job->answer_is_ready;
	case OPERATION_TURN:
		return false;
	case OPERATION_TIMER:
		break;
	}
	return clock_now_ms() >= job->timer_ms;
}

static bool ask_for_turn(struct job *job, struct muster_error *err)
{
	struct muster_error failure;

	return clock_now_ms() < job->timer_ms || job_take_turn(job, &failure) ||
	       job_fail(job, &failure, err);
}

static bool park(struct loop *loop, struct job *job, struct muster_error *err)
{
	struct muster_error failure;

	if (job->transfer)
		http_cancel(loop->run->http, TAKE_PTR(job->transfer));
	muster_fail(&failure, CAUSE_INTERRUPTED, "stopped %s during step '%s'", what_stopped(loop),
		    job_step(job)->name);
	return job_fail(job, &failure, err);
}

static bool collect_job(struct loop *loop, struct job *job, struct muster_error *err)
{
	bool is_stopped = loop->park_by_ms != INT64_MAX;
	struct muster_error outcome = { 0 };

	if (job->operation == OPERATION_TURN && !is_stopped)
		return ask_for_turn(job, err);
	if (collect_one(loop, job, &outcome)) {
		if (job->operation != OPERATION_TIMER)
			return job_complete(job, &outcome, err);
		job_forget_operation(job);
		return true;
	}
	if (is_stopped && (waits_for_time(job) || clock_now_ms() >= loop->park_by_ms))
		return park(loop, job, err);
	return true;
}

static bool collect(struct loop *loop, struct muster_error *err)
{
	if (!http_perform(loop->run->http, err))
		return false;
	take_signal(loop);
	for (size_t i = 0; i < loop->count; i++) {
		struct job *job = loop->jobs[i];

		if (!job->is_finished && job->operation != OPERATION_NONE &&
		    !collect_job(loop, job, err))
			return false;
	}
	return true;
}

/* For what is asked within a turn (tokens, services by name): the run's end is its end, too. */
static bool has_to_stop(void *context)
{
	const struct loop *loop = context;
	struct pollfd signals = { .fd = loop->signals, .events = POLLIN };

	return loop->park_by_ms != INT64_MAX || poll(&signals, 1, 0) > 0;
}

/* -- The turns ------------------------------------------------------------------------------------------------- */

static bool add_job(struct loop *loop, const struct station_device *device,
		    struct muster_error *err)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return muster_fail_memory(err);
	loop->jobs[loop->count++] = job;
	job->run = loop->run;
	job->again_in_ms = -1;
	job->started_ms = clock_now_ms();
	job_begin_stages(job);
	if (!job_place(job, device, err))
		return false;
	hooks_unit_start(loop->run->hooks, job->serial, job->socket);
	return true;
}

/* Those that have ended and wait for their files need nothing more. */
static size_t count_under_way(const struct loop *loop)
{
	size_t count = 0;

	for (size_t i = 0; i < loop->count; i++)
		count += !loop->jobs[i]->is_finished;
	return count;
}

static size_t capacity(const struct run *run)
{
	return run->needs_hsm   ? pool_capacity(&run->pool)
	       : run->needs_tpm ? TPM_JOBS_MAX
				: JOBS_MAX;
}

/* Begins what has come; once it is stopped nothing new. */
static bool take_devices(struct loop *loop, struct muster_error *err)
{
	size_t under_way = count_under_way(loop);
	struct station_device device;

	while (!loop->feed_is_over && loop->count < JOBS_MAX && under_way < capacity(loop->run)) {
		enum feed_state state = loop->park_by_ms != INT64_MAX
						? FEED_OVER
						: loop->feed->next(loop->feed, &device);

		if (state == FEED_LATER)
			return true;
		loop->feed_is_over = state == FEED_OVER;
		if (!loop->feed_is_over && !add_job(loop, &device, err))
			return false;
		under_way++;
	}
	return true;
}

/* Also of a device whose files are still to be written: its end rides in this transaction. */
static bool promise_events(struct loop *loop, struct muster_error *err)
{
	for (size_t i = 0; loop->run->hooks && i < loop->count; i++) {
		CLEANUP(station_result_done) struct station_result result = { 0 };
		struct job *job = loop->jobs[i];

		if (!job->has_new_end)
			continue;
		if (!job_result(job, &result, err) ||
		    !hooks_promise(loop->run->hooks, &result, &job->promise, err))
			return false;
		job->has_new_end = false;
	}
	return true;
}

static void drop_job(struct loop *loop, size_t index)
{
	uint64_t plug = loop->jobs[index]->plug;

	job_done(loop->jobs[index]);
	if (plug > 0)
		loop->feed->ended(loop->feed, plug);
	free(loop->jobs[index]);
	loop->jobs[index] = loop->jobs[--loop->count];
}

/* Tells of those that ended; all of them is on disk by now. */
static bool retire_jobs(struct loop *loop, struct muster_error *err)
{
	const struct station_request *request = loop->run->request;
	struct muster_error untold;
	size_t before = loop->count;

	for (size_t i = loop->count; i-- > 0;) {
		CLEANUP(cJSON_freep) cJSON *promise = NULL;
		struct station_result result;

		if (!loop->jobs[i]->is_finished || loop->jobs[i]->draft_count > 0)
			continue;
		job_enter_stage(loop->jobs[i], STAGE_IDENTIFY);
		if (loop->run->brake)
			brake_device_ended(loop->run->brake, loop->jobs[i]);
		if (loop->run->batch)
			batch_note_end(loop->run->batch, loop->jobs[i]);
		if (!job_result(loop->jobs[i], &result, err))
			return false;
		promise = TAKE_PTR(loop->jobs[i]->promise);
		drop_job(loop, i);
		hooks_unit_done(loop->run->hooks, &result, promise);
		if (!request->finished(request->context, &result, &untold))
			stop_untold(loop, &untold);
	}
	if (loop->count < before && request->told && !request->told(request->context, &untold))
		stop_untold(loop, &untold);
	return true;
}

static void tell_figures(struct loop *loop)
{
	struct muster_error untold;

	if (loop->run->batch && !batch_tell(loop->run->batch, false, &untold))
		stop_untold(loop, &untold);
}

static bool is_over(const struct loop *loop)
{
	return loop->feed_is_over && loop->count == 0;
}

static bool commit_turn(struct loop *loop, struct muster_error *err)
{
	struct journal *journal = loop->run->journal;

	if (journal && journal_is_in_transaction(journal) && !journal_commit(journal, err))
		return false;
	for (size_t i = 0; i < loop->count; i++)
		loop->jobs[i]->intent_is_durable = loop->jobs[i]->intent_is_written;
	return device_files_sync(loop->run, loop->jobs, loop->count, err);
}

static bool can_go_on(const struct loop *loop)
{
	for (size_t i = 0; i < loop->count; i++) {
		const struct job *job = loop->jobs[i];

		if (!job->is_finished && job->operation == OPERATION_NONE && job->draft_count == 0)
			return true;
	}
	return false;
}

/* What is announced and on disk is sent before a commit is waited for. */
static bool send_ahead(struct loop *loop, struct muster_error *err)
{
	const struct run *run = loop->run;
	int64_t unused;

	return !run->sender || !journal_is_in_transaction(run->journal) ||
	       (pump_sender(loop, &unused, err) && http_perform(run->http, err));
}

static bool turn(struct loop *loop, struct muster_error *err)
{
	int64_t by_ms = INT64_MAX;
	size_t before;

	if (!take_devices(loop, err))
		return false;
	before = loop->count;
	for (size_t i = 0; i < loop->count; i++)
		if (!job_advance(loop->jobs[i], what_stopped(loop), err))
			return false;
	if (!send_ahead(loop, err) || !promise_events(loop, err) || !commit_turn(loop, err) ||
	    !retire_jobs(loop, err))
		return false;
	tell_figures(loop);
	if (is_over(loop))
		return true;
	if (!pump_sender(loop, &by_ms, err))
		return false;
	/* Where a device has ended there is room for the next. */
	if (can_go_on(loop) || loop->count < before)
		by_ms = 0;
	return wait_and_account(loop, by_ms, err) && collect(loop, err);
}

/* A signal that is blocked arrives even where it is ignored. */
static bool watch_signals(struct loop *loop, sigset_t *ret_before, struct muster_error *err)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t signals;

	sigemptyset(&signals);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!process_ignores(numbers[i]))
			sigaddset(&signals, numbers[i]);
	if (sigprocmask(SIG_BLOCK, &signals, ret_before) < 0)
		return muster_fail_errno(err, CAUSE_INTERNAL, errno, "blocking signals");
	loop->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return loop->signals >= 0 ||
	       muster_fail_errno(err, CAUSE_INTERNAL, errno, "waiting for signals");
}

bool loop_run(struct run *run, struct feed *feed, struct muster_error *err)
{
	struct loop loop = { .run = run,
			     .feed = feed,
			     .signals = -1,
			     .park_by_ms = INT64_MAX,
			     .worked_ms = clock_now_ms() };
	sigset_t before;
	bool good;

	caught_signal = 0;
	if (!watch_signals(&loop, &before, err))
		return false;
	http_set_interrupt(run->http, has_to_stop, &loop);
	do {
		good = turn(&loop, err);
	} while (good && !is_over(&loop));
	while (loop.count > 0)
		drop_job(&loop, 0);
	if (run->journal)
		journal_rollback(run->journal);
	http_set_interrupt(run->http, NULL, NULL);
	hooks_batch_done(run->hooks);
	/* One that came with the end has nothing left to stop, and would end the process once it is let through. */
	read_signal(&loop);
	closep(&loop.signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	run->is_untold = good && loop.untold.code != MUSTER_OK;
	if (run->is_untold)
		*err = loop.untold;
	return good && !run->is_untold;
}
