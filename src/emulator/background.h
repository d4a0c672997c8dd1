/* Work that goes on after its request was answered: a thread for each, all ended together. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

struct background;

struct background *background_new(void);
/* Wakes all waits, waits for all work to return, frees. Accepts NULL. */
void background_free(struct background *background);

/* Runs work(context) soon; false when no thread can be had (then context is still the caller's). */
typedef void (*background_work)(void *context);
bool background_start(struct background *background, background_work work, void *context,
		      struct muster_error *err) MUST_CHECK;
/* For the work: waits so long; false at once when everything is to end. */
bool background_wait(struct background *background, int64_t wait_ms) MUST_CHECK;
