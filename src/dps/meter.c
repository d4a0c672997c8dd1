#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "muster/clock.h"
#include "muster/dps-budget.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/log.h"

#define MAGIC "MUSTERB2"
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define BUSY_RETRY_MS 3
#define BUSY_PATIENCE_MS 2000

/* The file: this and nothing else, written by one call. */
struct record {
	char magic[8];
	char boot[40];
	struct dps_budget budget;
	uint64_t sum; /* of all before */
};

struct dps_meter {
	int fd; /* -1: this process alone */
	struct dps_rate rate;
	char boot[40];
	struct dps_budget budget; /* as last seen */
	struct record stored;     /* as last written by us */
	int64_t busy_since_ms;    /* 0: not busy */
};

/* -- Opening ---------------------------------------------------------------------------------------------- */

static void read_boot(char boot[40])
{
	struct muster_error ignored;
	CLEANUP(bytes_done) struct bytes text = { 0 };

	memset(boot, 0, 40);
	if (file_read(BOOT_ID, 256, &text, &ignored))
		memcpy(boot, text.data, text.size < 39 ? text.size : 39);
}

/* budget-HOST, with what no file name should hold written as '_'. */
static char *path_of(const char *directory, const char *host)
{
	char *path = text_format("%s/budget-%s", directory, host);

	for (char *c = path ? path + strlen(directory) + 1 : NULL; c && *c; c++)
		if (*c == '/' || *c == ':')
			*c = '_';
	return path;
}

static int open_file(const char *directory, const char *host)
{
	CLEANUP(freep) char *state = directory ? NULL : directory_state();
	CLEANUP(freep) char *path = NULL;
	struct muster_error err;
	int fd;

	if (!directory)
		directory = state;
	path = directory ? path_of(directory, host) : NULL;
	if (!path || !directory_make(directory, &err)) {
		log_warning("no place for the shared rate budget: %s, going on without it",
			    path ? err.message : "no state directory");
		return -1;
	}
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		log_warning("opening the shared rate budget '%s': %s, going on without it",
			    PRINTABLE(path), strerror(errno));
	return fd;
}

static void begin_anew(struct dps_meter *meter)
{
	dps_budget_init(&meter->budget, meter->rate.quota, meter->rate.window_ms, clock_now_ms());
}

struct dps_meter *dps_meter_open(const char *directory, const char *host,
				 const struct dps_rate *rate, struct muster_error *err)
{
	struct dps_meter *meter = calloc(1, sizeof(*meter));

	if (!meter) {
		muster_fail_memory(err);
		return NULL;
	}
	meter->rate = *rate;
	read_boot(meter->boot);
	begin_anew(meter);
	meter->fd = open_file(directory, host);
	return meter;
}

void dps_meter_close(struct dps_meter *meter)
{
	if (!meter)
		return;
	closep(&meter->fd);
	free(meter);
}

/* -- One decision under the lock -------------------------------------------------------------------------- */

enum hold { HOLD_FILE, HOLD_ALONE, HOLD_BUSY };

/* The lock goes with the descriptor, so a holder that died holds nothing. One that was stopped is not waited for. */
static enum hold hold(struct dps_meter *meter)
{
	int64_t now = clock_now_ms();

	if (meter->fd < 0)
		return HOLD_ALONE;
	if (flock(meter->fd, LOCK_EX | LOCK_NB) == 0) {
		meter->busy_since_ms = 0;
		return HOLD_FILE;
	}
	if (errno != EWOULDBLOCK && errno != EINTR)
		return HOLD_ALONE;
	if (meter->busy_since_ms == 0)
		meter->busy_since_ms = now;
	return now - meter->busy_since_ms < BUSY_PATIENCE_MS ? HOLD_BUSY : HOLD_ALONE;
}

/* Tells what another wrote or a cut left; it is made for each request, and nobody is to be kept from forging it. FNV-1a. */
static uint64_t sum_of(const struct record *record)
{
	uint64_t sum = 0xcbf29ce484222325, word;

	static_assert(offsetof(struct record, sum) % sizeof(word) == 0, "whole words");
	for (size_t at = 0; at < offsetof(struct record, sum); at += sizeof(word)) {
		memcpy(&word, (const char *)record + at, sizeof(word));
		sum = (sum ^ word) * 0x100000001b3;
	}
	return sum;
}

static void load(struct dps_meter *meter)
{
	struct record record = { 0 };

	if (pread(meter->fd, &record, sizeof(record), 0) != (ssize_t)sizeof(record)) {
		begin_anew(meter);
		return;
	}
	/* Nobody else was there. */
	if (memcmp(&record, &meter->stored, sizeof(record)) == 0)
		return;
	if (memcmp(record.magic, MAGIC, sizeof(record.magic)) != 0 ||
	    memcmp(record.boot, meter->boot, sizeof(record.boot)) != 0 ||
	    record.sum != sum_of(&record) || record.budget.quota != meter->rate.quota ||
	    record.budget.window_ms != meter->rate.window_ms)
		begin_anew(meter);
	else
		meter->budget = record.budget;
}

static void store(struct dps_meter *meter)
{
	struct record *record = &meter->stored;

	memset(record, 0, sizeof(*record));
	memcpy(record->magic, MAGIC, sizeof(record->magic));
	memcpy(record->boot, meter->boot, sizeof(record->boot));
	record->budget = meter->budget;
	record->sum = sum_of(record);
	/* A budget that cannot be written (full disk) is still held to by this process. */
	if (pwrite(meter->fd, record, sizeof(*record), 0) != (ssize_t)sizeof(*record))
		log_debug("writing the shared rate budget: %s", strerror(errno));
}

static void begin(struct dps_meter *meter, enum hold held)
{
	if (held == HOLD_FILE)
		load(meter);
}

static void end(struct dps_meter *meter, enum hold held)
{
	if (held != HOLD_FILE)
		return;
	store(meter);
	flock(meter->fd, LOCK_UN);
}

/* For what cannot be put off. */
static enum hold hold_waiting(struct dps_meter *meter)
{
	const struct timespec pause = { .tv_nsec = BUSY_RETRY_MS * 1000000L };
	enum hold held;

	while ((held = hold(meter)) == HOLD_BUSY)
		nanosleep(&pause, NULL);
	return held;
}

int64_t dps_meter_take(struct dps_meter *meter, uint32_t items, enum dps_budget_rank rank,
		       struct dps_budget_ticket *ret_ticket)
{
	enum hold held = hold(meter);
	int64_t wait_ms;

	if (held == HOLD_BUSY)
		return BUSY_RETRY_MS;
	begin(meter, held);
	wait_ms = dps_budget_take(&meter->budget, items, rank, clock_now_ms(), ret_ticket);
	end(meter, held);
	return wait_ms;
}

void dps_meter_answer(struct dps_meter *meter, const struct dps_budget_ticket *ticket,
		      enum dps_budget_fate fate, int64_t retry_after_ms)
{
	struct muster_error ignored;
	uint64_t random = 0;
	enum hold held;

	if (fate == DPS_BUDGET_TAKEN &&
	    dps_budget_is_settled(&meter->budget, ticket, clock_now_ms()))
		return;
	held = hold_waiting(meter);
	if ((fate == DPS_BUDGET_REFUSED || ticket->refused > 0) &&
	    !random_bytes(&random, sizeof(random), &ignored))
		random = 0; /* no jitter */
	begin(meter, held);
	dps_budget_answer(&meter->budget, ticket, fate, retry_after_ms, clock_now_ms(), random);
	end(meter, held);
}

bool dps_meter_favours_singles(const struct dps_meter *meter)
{
	return dps_budget_favours_singles(&meter->budget);
}

bool dps_meter_retry(struct dps_meter *meter)
{
	enum hold held = hold_waiting(meter);
	bool may;

	begin(meter, held);
	may = dps_budget_retry(&meter->budget);
	end(meter, held);
	return may;
}
