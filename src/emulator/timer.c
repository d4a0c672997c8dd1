#include "timer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "muster/clock.h"

struct entry {
	struct entry *next; /* by due time */
	int64_t due_ms;
	timer_action action;
	void *context;
};

struct timer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct entry *first;
	bool is_ending;
};

static void wait_until(struct timer *timer, int64_t due_ms)
{
	int64_t wait_ms = due_ms - clock_now_ms();
	struct timespec due;

	if (wait_ms <= 0)
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &due);
	int64_t ns = due.tv_nsec + wait_ms % 1000 * 1000000;
	due.tv_sec += wait_ms / 1000 + ns / 1000000000;
	due.tv_nsec = ns % 1000000000;
	(void)pthread_cond_timedwait(&timer->changed, &timer->lock, &due);
}

/* The next entry that is to be done now, or NULL when all is done and the end has come. */
static struct entry *take_next(struct timer *timer)
{
	for (;;) {
		struct entry *entry = timer->first;
		if (entry && (timer->is_ending || entry->due_ms <= clock_now_ms())) {
			timer->first = entry->next;
			return entry;
		}
		if (timer->is_ending)
			return NULL;
		if (entry)
			wait_until(timer, entry->due_ms);
		else
			(void)pthread_cond_wait(&timer->changed, &timer->lock);
	}
}

static void *run(void *argument)
{
	struct timer *timer = argument;
	struct entry *entry;

	pthread_mutex_lock(&timer->lock);
	while ((entry = take_next(timer))) {
		pthread_mutex_unlock(&timer->lock);
		entry->action(entry->context);
		free(entry);
		pthread_mutex_lock(&timer->lock);
	}
	pthread_mutex_unlock(&timer->lock);
	return NULL;
}

struct timer *timer_new(struct muster_error *err)
{
	struct timer *timer = calloc(1, sizeof(*timer));
	pthread_condattr_t attributes;

	if (!timer) {
		(void)muster_fail_memory(err);
		return NULL;
	}
	pthread_mutex_init(&timer->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&timer->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	int code = pthread_create(&timer->thread, NULL, run, timer);
	if (code != 0) {
		(void)muster_fail_errno(err, CAUSE_INTERNAL, code, "starting a thread");
		free(timer);
		return NULL;
	}
	return timer;
}

void timer_end(struct timer *timer)
{
	if (!timer)
		return;
	pthread_mutex_lock(&timer->lock);
	timer->is_ending = true;
	pthread_cond_signal(&timer->changed);
	pthread_mutex_unlock(&timer->lock);
	(void)pthread_join(timer->thread, NULL);
}

void timer_free(struct timer *timer)
{
	if (!timer)
		return;
	pthread_cond_destroy(&timer->changed);
	pthread_mutex_destroy(&timer->lock);
	free(timer);
}

bool timer_add(struct timer *timer, int64_t wait_ms, timer_action action, void *context)
{
	struct entry *entry = malloc(sizeof(*entry));

	if (!entry)
		return false;
	*entry = (struct entry){ NULL, clock_now_ms() + wait_ms, action, context };
	pthread_mutex_lock(&timer->lock);
	bool is_accepted = !timer->is_ending;
	if (is_accepted) {
		struct entry **place = &timer->first;
		while (*place && (*place)->due_ms <= entry->due_ms)
			place = &(*place)->next;
		entry->next = *place;
		*place = entry;
		pthread_cond_signal(&timer->changed);
	}
	pthread_mutex_unlock(&timer->lock);
	if (!is_accepted)
		free(entry);
	return is_accepted;
}
