/* Starting a worker program. Private to this room. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "muster/worker.h"

/* What a child that could not become the program exits with. */
#define WORKER_EXIT_UNSTARTED 127

/* The process is a child of ours, or 0: the worker belongs to a service manager, which ends it when its socket closes
 * or its time is over; `additions` to the environment are then that manager's. */
bool worker_start_process(const char *program, const char *const *additions, pid_t *ret_pid,
			  int *ret_socket, struct muster_error *err) MUST_CHECK;
