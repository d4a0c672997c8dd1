#include "ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/encoding.h"
#include "muster/json.h"
#include "muster/log.h"
#include "muster/text.h"

#include "request.h"
#include "stamp.h"

/* How often an operation came for an id: open addressing by a 64-bit hash of both. */
struct tally {
	uint64_t *hashes;
	uint32_t *counts;
	size_t size, used; /* size: power of two */
};

struct ledger {
	int fd;
	bool with_bodies;
	pthread_mutex_t lock;
	struct tally tally;
};

/* -- Attempts ---------------------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *operation, const char *id)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	for (const char *c = operation; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 1099511628211u;
	hash = (hash ^ '/') * 1099511628211u;
	for (const char *c = id; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 1099511628211u;
	return hash ? hash : 1;
}

static size_t tally_slot(const struct tally *tally, uint64_t hash)
{
	size_t slot = hash & (tally->size - 1);

	while (tally->hashes[slot] != 0 && tally->hashes[slot] != hash)
		slot = (slot + 1) & (tally->size - 1);
	return slot;
}

static bool tally_grow(struct tally *tally)
{
	struct tally larger = { .size = tally->size ? tally->size * 2 : 1024, .used = tally->used };

	larger.hashes = calloc(larger.size, sizeof(*larger.hashes));
	larger.counts = calloc(larger.size, sizeof(*larger.counts));
	if (!larger.hashes || !larger.counts) {
		free(larger.hashes);
		free(larger.counts);
		return false;
	}
	for (size_t i = 0; i < tally->size; i++) {
		if (tally->hashes[i] == 0)
			continue;
		size_t slot = tally_slot(&larger, tally->hashes[i]);
		larger.hashes[slot] = tally->hashes[i];
		larger.counts[slot] = tally->counts[i];
	}
	free(tally->hashes);
	free(tally->counts);
	*tally = larger;
	return true;
}

static uint32_t tally_count(struct tally *tally, const char *operation, const char *id)
{
	uint64_t hash = hash_of(operation, id);

	if (tally->used * 2 >= tally->size && !tally_grow(tally))
		return 0;
	size_t slot = tally_slot(tally, hash);
	if (tally->hashes[slot] == 0) {
		tally->hashes[slot] = hash;
		tally->used++;
	}
	return ++tally->counts[slot];
}

/* -- Lines ------------------------------------------------------------------------------------------------- */

static const char *const effect_names[] = { "none", "create", "update", "delete" };

static void add_value(struct text *text, const char *name, const char *value)
{
	CLEANUP(freep) char *quoted = value ? json_quote(value) : NULL;

	text_addf(text, "\"%s\":%s,", name, quoted ? quoted : "null");
}

static void add_request(struct text *text, const struct ledger_line *line)
{
	const struct request *request = line->request;
	CLEANUP(freep) char *body = strndup(line->body_size ? line->body : "", line->body_size);

	add_value(text, "method", request->method);
	add_value(text, "path", request->path);
	add_value(text, "apiVersion", request->api_version);
	add_value(text, "ifMatch", request->if_match);
	add_value(text, "body", body);
}

static void write_lines(struct ledger *ledger, const struct text *text)
{
	const char *rest = text->data;
	size_t size = text->length;

	while (size > 0) {
		ssize_t written = write(ledger->fd, rest, size);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0) {
			log_message(LOG_ERROR, "writing the ledger: %s", strerror(errno));
			return;
		}
		rest += written;
		size -= (size_t)written;
	}
}

static void add_line(struct text *text, const struct ledger *ledger, const struct ledger_line *line,
		     uint32_t attempt)
{
	char stamp[STAMP_SIZE], digest[SHA256_HEX_SIZE];

	text_addf(text, "{\"time\":\"%s\",\"op\":\"%s\",\"collection\":\"%s\",",
		  stamp_format(stamp, line->wall_ms), line->operation, line->collection);
	add_value(text, "id", line->id);
	add_value(text, "etag", line->etag);
	text_addf(text, "\"effect\":\"%s\",\"status\":%u,\"fault\":\"%s\",",
		  effect_names[line->effect], line->status, line->fault);
	if (ledger->with_bodies && line->request)
		add_request(text, line);
	sha256_hex(digest, line->body_size ? line->body : "", line->body_size);
	text_addf(text, "\"attempt\":%u,\"bodySha256\":\"%s\"}\n", attempt, digest);
}

void ledger_append(struct ledger *ledger, const struct ledger_line *lines, size_t count)
{
	CLEANUP(text_done) struct text text = TEXT_MAX((8192 + 6 * BODY_MAX) * LEDGER_LINES_MAX);
	uint32_t attempts[LEDGER_LINES_MAX];

	if (!ledger)
		return;
	assert(count <= LEDGER_LINES_MAX);
	pthread_mutex_lock(&ledger->lock);
	for (size_t i = 0; i < count; i++)
		attempts[i] = tally_count(&ledger->tally, lines[i].operation,
					  lines[i].id ? lines[i].id : "");
	pthread_mutex_unlock(&ledger->lock);
	for (size_t i = 0; i < count; i++)
		add_line(&text, ledger, &lines[i], attempts[i]);
	if (text.failed)
		return;
	pthread_mutex_lock(&ledger->lock);
	write_lines(ledger, &text);
	pthread_mutex_unlock(&ledger->lock);
}

bool ledger_open(const char *path, bool with_bodies, struct ledger **ret_ledger,
		 struct muster_error *err)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);

	if (fd < 0)
		return muster_fail_errno(err, CAUSE_OUTPUT_WRITE, errno, "opening the ledger '%s'",
					 PRINTABLE(path));
	struct ledger *ledger = calloc(1, sizeof(*ledger));
	if (!ledger) {
		closep(&fd);
		return muster_fail_memory(err);
	}
	ledger->fd = fd;
	ledger->with_bodies = with_bodies;
	pthread_mutex_init(&ledger->lock, NULL);
	*ret_ledger = ledger;
	return true;
}

void ledger_close(struct ledger *ledger)
{
	if (!ledger)
		return;
	closep(&ledger->fd);
	pthread_mutex_destroy(&ledger->lock);
	free(ledger->tally.hashes);
	free(ledger->tally.counts);
	free(ledger);
}
