#include "background.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct background {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned running;
	bool is_ending;
};

struct task {
	struct background *background;
	background_work work;
	void *context;
};

static struct timespec after_ms(int64_t wait_ms)
{
	struct timespec due;

	(void)clock_gettime(CLOCK_MONOTONIC, &due);
	due.tv_sec += wait_ms / 1000;
	due.tv_nsec += wait_ms % 1000 * 1000000;
	if (due.tv_nsec >= 1000000000) {
		due.tv_nsec -= 1000000000;
		due.tv_sec++;
	}
	return due;
}

struct background *background_new(void)
{
	struct background *background = calloc(1, sizeof(*background));
	pthread_condattr_t attributes;

	if (!background)
		return NULL;
	pthread_mutex_init(&background->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&background->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return background;
}

void background_free(struct background *background)
{
	if (!background)
		return;
	pthread_mutex_lock(&background->lock);
	background->is_ending = true;
	pthread_cond_broadcast(&background->changed);
	while (background->running > 0)
		pthread_cond_wait(&background->changed, &background->lock);
	pthread_mutex_unlock(&background->lock);
	pthread_cond_destroy(&background->changed);
	pthread_mutex_destroy(&background->lock);
	free(background);
}

static void *run(void *argument)
{
	struct task task = *(struct task *)argument;

	free(argument);
	task.work(task.context);
	pthread_mutex_lock(&task.background->lock);
	task.background->running--;
	pthread_cond_broadcast(&task.background->changed);
	pthread_mutex_unlock(&task.background->lock);
	return NULL;
}

bool background_start(struct background *background, background_work work, void *context,
		      struct muster_error *err)
{
	struct task *task = malloc(sizeof(*task));
	pthread_t thread;

	if (!task)
		return muster_fail_memory(err);
	*task = (struct task){ background, work, context };
	pthread_mutex_lock(&background->lock);
	background->running++;
	pthread_mutex_unlock(&background->lock);
	int code = pthread_create(&thread, NULL, run, task);
	if (code == 0) {
		(void)pthread_detach(thread);
		return true;
	}
	pthread_mutex_lock(&background->lock);
	background->running--;
	pthread_mutex_unlock(&background->lock);
	free(task);
	return muster_fail_errno(err, CAUSE_INTERNAL, code, "starting a thread");
}

bool background_wait(struct background *background, int64_t wait_ms)
{
	struct timespec due = after_ms(wait_ms);
	int code = 0;

	pthread_mutex_lock(&background->lock);
	while (!background->is_ending && code != ETIMEDOUT)
		code = pthread_cond_timedwait(&background->changed, &background->lock, &due);
	bool goes_on = !background->is_ending;
	pthread_mutex_unlock(&background->lock);
	return goes_on;
}
