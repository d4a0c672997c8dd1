/* Is a worker program there, of our version, and in its place? For the doctor. */
#include <string.h>

#include "muster/station.h"
#include "muster/worker.h"

bool station_worker_check(const char *program, struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	CLEANUP(worker_freep) struct worker *worker = NULL;
	const char *version;

	worker_request_init(&request, WORKER_HELLO);
	if (!worker_spawn(program, NULL, &worker, err) ||
	    !worker_call(worker, &request, &reply, err))
		return muster_error_prefix(err, "greeting %s", program);
	version = worker_text(&reply, FIELD_VERSION);
	if (version && strcmp(version, MUSTER_VERSION) == 0)
		return true;
	return muster_fail(err, CAUSE_WORKER_START, "%s is of version '%s', muster of %s", program,
			   PRINTABLE(version ? version : ""), MUSTER_VERSION);
}

bool station_sandbox_check(const char *tcti, char words[STATION_SANDBOX_SIZE],
			   struct muster_error *err)
{
	CLEANUP(worker_message_done) struct worker_message request = { 0 };
	CLEANUP(worker_message_done) struct worker_message reply = { 0 };
	CLEANUP(worker_freep) struct worker *worker = NULL;

	worker_request_init(&request, WORKER_TPM_SANDBOX);
	worker_add_text(&request, FIELD_TCTI, tcti);
	if (!worker_spawn("muster-tpm-worker", NULL, &worker, err) ||
	    !worker_call(worker, &request, &reply, err))
		return muster_error_prefix(err, "sandboxing muster-tpm-worker");
	text_printable(words, STATION_SANDBOX_SIZE, worker_text(&reply, FIELD_SANDBOX));
	return true;
}
