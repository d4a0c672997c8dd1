/* A batch: the devices of a manifest, one a row, through the same stages as single ones and many at a time. Run again it goes
 * on where it stopped and sends nothing for what is released. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "muster/error.h"
#include "muster/profile.h"

/* Where devices wait longest; more of that would make the batch faster. */
enum station_bound {
	STATION_BOUND_OPERATOR, /* devices do not come */
	STATION_BOUND_TPM,
	STATION_BOUND_HSM,
	STATION_BOUND_OPERATIONS,    /* of the service API */
	STATION_BOUND_REGISTRATIONS, /* of the device API */
	STATION_BOUND_STATION,       /* this program and its disk */
	STATION_BOUND_UPLINK,        /* one of the two is away */
	STATION_BOUND_COUNT,
};
/* "operator", "TPM", "HSM", "DPS operations", "DPS registrations", "station", "uplink". */
const char *station_bound_name(enum station_bound bound);

#define STATION_STAGES 6
#define STATION_REASONS_MAX 32

/* Why devices failed, counted by cause. */
struct station_reason {
	enum muster_cause cause;
	size_t count;
	char device[65];   /* the first of them */
	char message[160]; /* and what happened to it */
};

struct station_figures {
	size_t rows;
	size_t ended;    /* rows that this run has come to the end of; the sum of the next seven */
	size_t before;   /* released by earlier runs */
	size_t enrolled; /* by us */
	size_t adopted;  /* were enrolled just so already */
	size_t spooled;  /* without an uplink: complete but for the network's part */
	size_t failed;   /* and nothing of ours exists */
	size_t parked;   /* not finished, perhaps unknown: the next run goes on with them */
	size_t planned;  /* would be enrolled: a dry run's */

	size_t first_pass; /* of those enrolled or adopted: in their first attempt */
	size_t verified;
	double seconds;
	double rate;                           /* rows ended a second, of late */
	int64_t seconds_left;                  /* -1: not known */
	int64_t bound_ms[STATION_BOUND_COUNT]; /* job time spent waiting for each */
	enum station_bound bound;              /* while one is away: that */
	struct {
		const char *name;
		size_t count;
		int64_t sum_ms, max_ms;
	} stages[STATION_STAGES];
	struct station_reason reasons[STATION_REASONS_MAX]; /* what is beyond is in none */
	size_t reason_count;
	bool was_resumed; /* an earlier run had begun this batch */
};

/* All borrowed for the call. */
struct station_batch {
	const char *
		manifest; /* file: CSV or JSON Lines with serial, registrationId, deviceId, tpm, socket, deviceKey */
	const char *name; /* of the batch; NULL: the file's name without its directory */
	bool begin_anew; /* leave what is open under this name, though manifest or profile differ */
	bool with_retired;                       /* devices that were retired come back */
	const enum profile_batch_verify *verify; /* NULL: as the profile says, as of the next two */
	int64_t sample;                          /* with PROFILE_BATCH_VERIFY_SAMPLE */
	const enum profile_lookalikes *lookalikes;
	const char *socket_map; /* NULL: where it is by default */
	bool own;               /* a TPM of the manifest may be the station's own */
	/* A mistake in the manifest, or a warning; before anything is touched. May be NULL. */
	void (*mistake)(void *context, size_t line, size_t column, bool is_warning,
			const char *message);
	/* About once a second, and at the end. False ends the run. */
	bool (*figures)(void *context, const struct station_figures *figures, bool is_end,
			struct muster_error *err);
	void *context;
};
