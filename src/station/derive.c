/* Device keys for many registration IDs: to a file or a descriptor, in clear or for the key of one recipient. */
#include <stdlib.h>
#include <string.h>

#include "master.h"
#include "muster/dps-rows.h"
#include "muster/file.h"
#include "muster/identity.h"
#include "muster/json.h"
#include "token.h"

enum {
	IDS_FILE_MAX = 256 * 1024 * 1024,
	KEY_SIZE = 32,
	KEY_TEXT = 44, /* in base64 */
	LINE_MAX_SIZE = REGISTRATION_ID_MAX + 2 * KEY_TEXT + 80,
	WRAPPED_MAX = 64 * 1024 * 1024,
	CERTIFICATE_MAX = 1024 * 1024,
};

/* -- The IDs -------------------------------------------------------------------------------------------------------- */

/* Normalised, each with a NUL behind it. */
struct ids {
	struct text all;
	size_t count;
	struct id_set seen;
};

static bool add_id(struct ids *ids, const char *id, struct muster_error *err)
{
	char folded[REGISTRATION_ID_MAX + 1];
	size_t before;
	bool is_same;

	if (!identity_registration_id_normalise(id, REGISTRATION_ID_MAX, folded, err) ||
	    !id_set_add(&ids->seen, folded, ids->count + 1, &before, &is_same, err))
		return false;
	if (before > 0)
		return muster_fail(err, CAUSE_REGISTRATION_ID_INVALID,
				   "registration ID '%s' is there twice", folded);
	text_add_bytes(&ids->all, folded, strlen(folded) + 1);
	ids->count++;
	return text_ok(&ids->all, err);
}

static bool add_lines(struct ids *ids, const char *path, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes file = { 0 };
	char *at, *stop;
	size_t line = 0;

	if (!file_read(path, IDS_FILE_MAX, &file, err))
		return false;
	at = (char *)file.data;
	for (at += text_mark_size(at, file.size); *at; at = stop) {
		size_t length = strcspn(at, "\n");

		line++;
		stop = at + length + (at[length] == '\n');
		if (length > 0 && at[length - 1] == '\r')
			length--;
		at[length] = '\0';
		if (length > 0 && !add_id(ids, at, err))
			return muster_error_prefix(err, "%s:%zu", PRINTABLE(path), line);
	}
	return at == (char *)file.data + file.size ||
	       muster_fail(err, CAUSE_REGISTRATION_ID_INVALID, "%s:%zu: a NUL", PRINTABLE(path),
			   line);
}

static bool read_ids(const struct station_derive *request, struct ids *ids,
		     struct muster_error *err)
{
	for (size_t i = 0; i < request->id_count; i++)
		if (!add_id(ids, request->ids[i], err))
			return false;
	if (request->ids_path && !add_lines(ids, request->ids_path, err))
		return false;
	return ids->count > 0 || muster_fail(err, CAUSE_USAGE, "there is no registration ID");
}

/* -- Where the keys go ----------------------------------------------------------------------------------------------- */

struct outlet {
	struct file_sink sink;
	int fd; /* -1: the sink */
	X509 *recipient;
	struct text held; /* what is going to be wrapped */
};

static void outlet_done(struct outlet *outlet)
{
	file_sink_done(&outlet->sink);
	X509_free(outlet->recipient);
	text_done(&outlet->held);
}

static bool put_out(struct outlet *outlet, const void *data, size_t size, struct muster_error *err)
{
	return outlet->fd >= 0 ? file_write_fd(outlet->fd, data, size, err)
			       : file_sink_write(&outlet->sink, data, size, err);
}

static bool put(struct outlet *outlet, const void *data, size_t size, struct muster_error *err)
{
	if (!outlet->recipient)
		return put_out(outlet, data, size, err);
	text_add_bytes(&outlet->held, data, size);
	return text_ok(&outlet->held, err);
}

static bool finish(struct outlet *outlet, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes wrapped = { 0 };

	if (outlet->recipient &&
	    (!pki_wrap(outlet->recipient, outlet->held.data, outlet->held.length, &wrapped, err) ||
	     !put_out(outlet, wrapped.data, wrapped.size, err)))
		return false;
	return outlet->fd >= 0 || file_sink_commit(&outlet->sink, err);
}

static bool read_recipient(const char *path, X509 **ret_certificate, struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes file = { 0 };

	return file_read(path, CERTIFICATE_MAX, &file, err) &&
	       pki_certificate_read(file.data, file.size, path, ret_certificate, err) &&
	       pki_key_check(X509_get0_pubkey(*ret_certificate), err);
}

static bool open_outlet(const struct station_derive *request, struct outlet *outlet,
			struct muster_error *err)
{
	if (!request->out == !request->key_fd)
		return muster_fail(err, CAUSE_USAGE,
				   "where do the keys go? pass --out FILE or --key-fd N");
	if (request->wrap_to && !read_recipient(request->wrap_to, &outlet->recipient, err))
		return false;
	if (request->key_fd) {
		outlet->fd = (int)request->key_fd;
		return file_check_fd(request->key_fd, "--key-fd", err);
	}
	return file_check_absent(request->out, err) &&
	       file_sink_open(&outlet->sink, request->out, 0600, err);
}

/* -- Deriving --------------------------------------------------------------------------------------------------------- */

struct batch {
	const char *ids[MASTER_BATCH];
	size_t count;
	struct secret primary, secondary; /* MACs */
};

static void batch_done(struct batch *batch)
{
	secret_done(&batch->primary);
	secret_done(&batch->secondary);
}

static char *add(char *at, const char *text)
{
	return stpcpy(at, text);
}

static char *add_key(char *at, const uint8_t *key)
{
	secret_base64_encode(at, key, KEY_SIZE);
	return at + KEY_TEXT;
}

/* IDs have no character that JSON escapes. Returns the size. */
static size_t print_lines(const struct batch *batch, const struct secret *lines, bool has_secondary)
{
	char *at = (char *)lines->data;

	for (size_t i = 0; i < batch->count; i++) {
		at = add(at, "{\"registrationId\":\"");
		at = add(at, batch->ids[i]);
		at = add(at, "\",\"primaryKey\":\"");
		at = add_key(at, batch->primary.data + i * KEY_SIZE);
		if (has_secondary) {
			at = add(at, "\",\"secondaryKey\":\"");
			at = add_key(at, batch->secondary.data + i * KEY_SIZE);
		}
		at = add(at, "\"}\n");
	}
	return (size_t)(at - (char *)lines->data);
}

struct masters {
	struct master primary, secondary;
	bool has_secondary;
};

static void masters_done(struct masters *masters)
{
	master_done(&masters->primary);
	master_done(&masters->secondary);
}

/* What is asked of the token, in the order in which it is: each batch with the one master, then with the other. The steps
 * take turns on the lines, and each line has one more at hand than it is busy with. */
enum { LINE_DEPTH = 2 };
struct work {
	struct masters *masters;
	const struct ids *ids;
	const char *next;                                         /* ID */
	size_t taken;                                             /* IDs */
	size_t width;                                             /* lines */
	size_t ahead;                                             /* steps under way */
	size_t kinds;                                             /* masters */
	struct batch batches[LINE_DEPTH * CUSTODY_LINES_MAX + 1]; /* a ring */
	struct secret lines;
};

static void work_done(struct work *work)
{
	for (size_t i = 0; i < ARRAY_SIZE(work->batches); i++)
		batch_done(&work->batches[i]);
	secret_done(&work->lines);
}

static bool work_open(struct work *work, struct muster_error *err)
{
	for (size_t i = 0; i <= work->ahead; i++) {
		struct batch *batch = &work->batches[i];

		if (!secret_new(&batch->primary, MASTER_BATCH * KEY_SIZE, err) ||
		    (work->kinds == 2 &&
		     !secret_new(&batch->secondary, MASTER_BATCH * KEY_SIZE, err)))
			return false;
	}
	return secret_new(&work->lines, (size_t)MASTER_BATCH * LINE_MAX_SIZE, err);
}

static struct batch *batch_of(struct work *work, size_t step)
{
	return &work->batches[step / work->kinds % (work->ahead + 1)];
}

static struct master *master_of(const struct work *work, size_t step)
{
	return step % work->kinds == 0 ? &work->masters->primary : &work->masters->secondary;
}

static void fill(struct work *work, struct batch *batch)
{
	for (batch->count = 0; batch->count < MASTER_BATCH && work->taken < work->ids->count;
	     batch->count++, work->taken++) {
		batch->ids[batch->count] = work->next;
		work->next += strlen(work->next) + 1;
	}
}

static bool begin(struct work *work, size_t step, struct muster_error *err)
{
	struct batch *batch = batch_of(work, step);

	if (step % work->kinds == 0)
		fill(work, batch);
	return master_begin(master_of(work, step), step % work->width, batch->ids, batch->count,
			    err);
}

static bool end(struct work *work, size_t step, struct muster_error *err)
{
	struct batch *batch = batch_of(work, step);

	return master_end(master_of(work, step), step % work->width, batch->ids, batch->count,
			  step % work->kinds == 0 ? batch->primary.data : batch->secondary.data,
			  err);
}

static bool run_steps(struct work *work, struct outlet *outlet, struct muster_error *err)
{
	size_t batches = (work->ids->count + MASTER_BATCH - 1) / MASTER_BATCH;
	size_t count = batches * work->kinds;

	for (size_t i = 0; i < count && i < work->ahead; i++)
		if (!begin(work, i, err))
			return false;
	for (size_t i = 0; i < count; i++) {
		if (!end(work, i, err) ||
		    (i + work->ahead < count && !begin(work, i + work->ahead, err)))
			return false;
		if (work->kinds == 2 && i % 2 == 1 &&
		    !master_check_unlike(batch_of(work, i)->primary.data,
					 batch_of(work, i)->secondary.data, KEY_SIZE, err))
			return false;
		if ((i + 1) % work->kinds == 0 &&
		    !put(outlet, work->lines.data,
			 print_lines(batch_of(work, i), &work->lines, work->kinds == 2), err))
			return false;
	}
	return true;
}

static bool run_all(struct masters *masters, size_t width, const struct ids *ids,
		    struct outlet *outlet, struct muster_error *err)
{
	CLEANUP(freep) struct work *work = calloc(1, sizeof(*work));
	bool good;

	if (!work)
		return muster_fail_memory(err);
	*work = (struct work){ .masters = masters,
			       .ids = ids,
			       .next = ids->all.data,
			       .width = width,
			       .ahead = LINE_DEPTH * width,
			       .kinds = masters->has_secondary ? 2 : 1 };
	good = work_open(work, err) && run_steps(work, outlet, err);
	work_done(work);
	return good;
}

/* -- All of it --------------------------------------------------------------------------------------------------------- */

static bool is_given(const struct station_master_source *source)
{
	return source->uri || source->file;
}

static bool is_same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

static bool check_masters(const struct station_derive *request, struct muster_error *err)
{
	if (!is_given(&request->primary))
		return muster_fail(
			err, CAUSE_USAGE,
			"a master is needed: --master URI in a token, or --master-file FILE");
	if (request->sessions > CUSTODY_LINES_MAX)
		return muster_fail(err, CAUSE_USAGE, "--sessions is 1 to %d", CUSTODY_LINES_MAX);
	if ((request->primary.uri && request->primary.file) ||
	    (request->secondary.uri && request->secondary.file))
		return muster_fail(err, CAUSE_USAGE,
				   "a master is in a token or in a file, not in both");
	if (is_same(request->primary.uri, request->secondary.uri) ||
	    is_same(request->primary.file, request->secondary.file))
		return muster_fail(err, CAUSE_USAGE,
				   "both masters are one, so both keys of a device would be alike");
	return true;
}

/* The command line's, the configuration's, or one. */
static size_t sessions_of(const struct station_derive *request, const struct custody *custody)
{
	int64_t sessions = request->sessions ? request->sessions : custody->sessions;

	return sessions ? (size_t)sessions : 1;
}

/* One worker asks for the keys of both. */
static bool check_place(const struct station_master_source *source, const struct custody *custody,
			struct muster_error *err)
{
	bool is_elsewhere;

	if (!master_needs_token(source))
		return true;
	if (!token_is_elsewhere(&custody->token, &custody->module, source->uri, &is_elsewhere, err))
		return false;
	return !is_elsewhere ||
	       muster_fail(
		       err, CAUSE_USAGE,
		       "a master is in another token than '%s': those in tokens have to be in one",
		       PRINTABLE(custody->token.label));
}

static bool open_custody(const struct station_derive *request, const char *uri,
			 struct custody *custody, struct muster_error *err)
{
	return custody_open(custody, &request->custody, uri, CUSTODY_LOOKS, err) &&
	       check_place(&request->primary, custody, err) &&
	       check_place(&request->secondary, custody, err) &&
	       custody_join(custody, sessions_of(request, custody), err);
}

/* Before the first key is derived. */
static bool look_at(const struct station_derive *request, const struct custody *custody,
		    struct muster_error *err)
{
	const struct station_master_source *const sources[] = { &request->primary,
								&request->secondary };
	CLEANUP(journal_freep) struct journal *journal = NULL;

	if (!custody_peek_journal(&request->custody, &journal, err))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (master_needs_token(sources[i]) &&
		    !master_look(custody->hsm, &custody->token, sources[i]->uri, journal, err))
			return false;
	return true;
}

static bool open_masters(const struct station_derive *request, struct custody *custody,
			 struct masters *masters, struct muster_error *err)
{
	const char *uri = master_needs_token(&request->primary)     ? request->primary.uri
			  : master_needs_token(&request->secondary) ? request->secondary.uri
								    : NULL;

	if (uri && (!open_custody(request, uri, custody, err) || !look_at(request, custody, err)))
		return false;
	masters->has_secondary = is_given(&request->secondary);
	return master_open(&request->primary, custody, NULL, &masters->primary, err) &&
	       (!masters->has_secondary ||
		master_open(&request->secondary, custody, &masters->primary, &masters->secondary,
			    err));
}

/* A file's master needs no token. */
static size_t width_of(const struct custody *custody)
{
	return custody->line_count > 0 ? custody->line_count : 1;
}

static bool describe(const struct station_derive *request, size_t count, size_t width,
		     cJSON *result, struct muster_error *err)
{
	return (json_add_int64(result, "devices", (int64_t)count) &&
		json_add_int64(result, "sessions", (int64_t)width) &&
		json_add_text(result, "file", request->out) &&
		json_add_bool(result, "wrapped", request->wrap_to != NULL)) ||
	       muster_fail_memory(err);
}

bool station_derive(const struct station_derive *request, cJSON **ret_result,
		    struct muster_error *err)
{
	CLEANUP(text_done) struct text held_ids = { 0 };
	struct ids ids = { .all = TEXT_MAX(IDS_FILE_MAX) };
	CLEANUP(custody_done) struct custody custody = { 0 };
	CLEANUP(masters_done) struct masters masters = { 0 };
	CLEANUP(outlet_done)
	struct outlet outlet = { .sink = FILE_SINK_NONE, .fd = -1, .held = TEXT_MAX(WRAPPED_MAX) };
	CLEANUP(cJSON_freep) cJSON *result = cJSON_CreateObject();
	bool good = check_masters(request, err) && read_ids(request, &ids, err);

	held_ids = ids.all;
	id_set_done(&ids.seen);
	if (!good || !open_outlet(request, &outlet, err) ||
	    !open_masters(request, &custody, &masters, err) ||
	    !run_all(&masters, width_of(&custody), &ids, &outlet, err) || !finish(&outlet, err))
		return false;
	if (!result)
		return muster_fail_memory(err);
	if (!describe(request, ids.count, width_of(&custody), result, err))
		return false;
	*ret_result = TAKE_PTR(result);
	return true;
}
