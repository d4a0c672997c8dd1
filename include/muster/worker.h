/* Both ends of the worker protocol: messages of plain values by one table of verbs, starting a worker program,
 * asking it with a deadline, and ending it. Knows nothing of TPMs or tokens. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/text.h"

#define WORKER_MESSAGE_MAX (64 * 1024)
#define WORKER_FIELDS_MAX 32

enum worker_verb {
	WORKER_ERROR = 0, /* the verb of an error reply */
#define VERB(number, name, worker, deadline, request, reply) WORKER_##name = number,
#include "muster/worker-verbs.def"
};

enum worker_field {
#define FIELD(number, name, kind, max) FIELD_##name = number,
#include "muster/worker-verbs.def"
};

/* -- Messages ---------------------------------------------------------------------------------------------- */

struct worker_value {
	enum worker_field field;
	uint64_t number;    /* U64 */
	struct bytes bytes; /* TEXT (with a NUL behind that size does not count) and BYTES */
};

/* A request or a reply. Zero-initialise; worker_message_done wipes and frees. */
struct worker_message {
	enum worker_verb verb;
	bool is_reply;
	bool is_out_of_memory; /* for something that was to be added */
	size_t count;
	struct worker_value values[WORKER_FIELDS_MAX];
	int fd; /* one descriptor that travels along (a PIN), or 0 for none; owned by the message */
};

void worker_request_init(struct worker_message *message, enum worker_verb verb);
void worker_reply_init(struct worker_message *message, enum worker_verb verb);
void worker_message_done(struct worker_message *message);

/* Adding never fails at once: what does not fit is reported by worker_message_encode. */
void worker_add_u64(struct worker_message *message, enum worker_field field, uint64_t value);
void worker_add_text(struct worker_message *message, enum worker_field field, const char *value);
void worker_add_bytes(struct worker_message *message, enum worker_field field, const void *data,
		      size_t size);

/* Reading: the first value of that field. Missing fields are impossible for required ones (decode checks); for
 * others the result is 0, NULL, or a NULL-data span. All borrowed. */
uint64_t worker_u64(const struct worker_message *message, enum worker_field field);
const char *worker_text(const struct worker_message *message, enum worker_field field);
const struct bytes *worker_bytes(const struct worker_message *message, enum worker_field field);

#define WORKER_IDS_MAX 256
/* The IDs of FIELD_IDS one after another: begin with { .all = ... }; *ret_id is NULL behind the last, of which there are
 * `count`. CAUSE_WORKER_PROTOCOL when one is empty, the last does not end, or there are too many. */
struct worker_ids {
	const struct bytes *all;
	size_t at, count;
};
bool worker_ids_next(struct worker_ids *ids, const uint8_t **ret_id, size_t *ret_size,
		     struct muster_error *err) MUST_CHECK;

/* Wire form (without the length prefix), checked against the table in both directions. */
bool worker_message_encode(const struct worker_message *message, struct text *out,
			   struct muster_error *err) MUST_CHECK;
bool worker_message_decode(const void *data, size_t size, struct worker_message *ret_message,
			   struct muster_error *err) MUST_CHECK;

/* -- The station's end --------------------------------------------------------------------------------------- */

struct worker;

/* Starts `program` ("muster-tpm-worker", "muster-hsm-worker") from $MUSTER_WORKER_DIR, or beside our own
 * executable, or from libexec. `environment` (NULL-terminated "NAME=value", or NULL) is all the child gets beyond
 * the fixed minimum. No descriptor but its socket (3) and standard error is inherited. */
bool worker_spawn(const char *program, const char *const *environment, struct worker **ret_worker,
		  struct muster_error *err) MUST_CHECK;
/* How long a worker may take for a verb, by the kind in the table. Members that are 0 stay as they are. */
struct worker_deadlines {
	int64_t normal_ms, long_ms, keygen_ms;
};
#define WORKER_DEADLINES(...) (&(struct worker_deadlines){ __VA_ARGS__ })
void worker_set_deadlines(struct worker *worker, const struct worker_deadlines *deadlines);
/* Kills (SIGKILL), reaps, frees; NULL is fine. Blocks for milliseconds. */
void worker_free(struct worker *worker);
DEFINE_FREEP(worker_freep, struct worker *, worker_free)

/* Polled for reading while a request is under way. */
int worker_fd(const struct worker *worker);
/* By clock_now_ms(); INT64_MAX when no request is under way. */
int64_t worker_deadline_ms(const struct worker *worker);

/* Sends one request (never blocks: a worker holds one request at a time and its socket buffer takes 64 KB). */
bool worker_send(struct worker *worker, const struct worker_message *request,
		 struct muster_error *err) MUST_CHECK;
/* The same, but one request may be under way already: this one waits behind it in the worker, so that there is no gap
 * between them. Replies come in that order, and its deadline begins with the reply to the other. */
bool worker_queue(struct worker *worker, const struct worker_message *request,
		  struct muster_error *err) MUST_CHECK;
/* Call when worker_fd is readable or the deadline has passed. *ret_done is false while the reply is not complete.
 * An error reply becomes *err and false. A deadline that has passed kills the worker: CAUSE_TPM_HANGS or
 * CAUSE_MODULE_HANGS; a worker that died: CAUSE_WORKER_DIED, or CAUSE_WORKER_START when it never ran; an answer
 * that is not one kills it too: CAUSE_WORKER_PROTOCOL. After such a failure only worker_free is allowed; after an
 * error reply the worker lives on and may be asked again. */
bool worker_receive(struct worker *worker, struct worker_message *ret_reply, bool *ret_done,
		    struct muster_error *err) MUST_CHECK;
/* Both in one, blocking until the deadline of the verb. Frees nothing of the request. */
bool worker_call(struct worker *worker, const struct worker_message *request,
		 struct worker_message *ret_reply, struct muster_error *err) MUST_CHECK;
/* The second half of it, after worker_send. */
bool worker_wait(struct worker *worker, struct worker_message *ret_reply, struct muster_error *err)
	MUST_CHECK;
bool worker_is_alive(const struct worker *worker);
/* Whoever opened the worker is told of every error that it or one of its lines replies, and may add to it. */
void worker_watch(struct worker *worker, void (*told)(void *context, struct muster_error *failure),
		  void *context);

/* One more line to a worker that takes HSM_SESSION: asked beside the others, answered by a thread of its own there. The
 * owner must not be asked anything meanwhile, and has to outlive it; a deadline that passes here ends the whole
 * worker, and with it all of its lines. Blocks up to 5 s. */
bool worker_join(struct worker *owner, struct worker **ret_worker, struct muster_error *err)
	MUST_CHECK;

/* -- The worker's end ---------------------------------------------------------------------------------------- */

struct worker_handler {
	enum worker_verb verb;
	/* Fills the reply (already initialised) or fails. `context` is the worker program's own. */
	bool (*handle)(void *context, const struct worker_message *request,
		       struct worker_message *reply, struct muster_error *err);
};

/* Answers requests on descriptor 3 until the station closes it; an unknown verb is an error reply. Returns the
 * exit status for main(). Calls process_harden() has to have happened before. */
int worker_serve(const struct worker_handler *handlers, size_t count, void *context);
/* The same on another socket, for a thread. */
int worker_serve_on(int socket, const struct worker_handler *handlers, size_t count, void *context);
