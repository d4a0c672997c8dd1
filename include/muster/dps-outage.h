/* An outage: a service that answered well in this run and then fails for everything that is asked, be it out of reach or in
 * trouble itself. How long it is waited for, who may ask meanwhile, and who is told. All that asks one service in one run
 * shares it. Sends nothing and never waits itself; time and randomness are handed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "muster/cleanup.h"
#include "muster/error.h"

struct http_answer;

struct dps_outage_news {
	const char *what; /* "the provisioning service" */
	bool is_over;
	int64_t away_ms;         /* up to now */
	int64_t patience_ms;     /* how long it is waited for in all */
	struct muster_error why; /* what came of asking, the last time */
};

struct dps_outage {
	/* The owner's, before it is used. */
	const char *what;
	int64_t patience_ms; /* 0: it is asked DPS_RETRY_ATTEMPTS times in a row and no more */
	void (*tell)(
		void *context,
		const struct dps_outage_news *news); /* when one begins and when it ends; or NULL */
	void *context;
	/* Another service of the same run: what has been waited for once in vain is not waited for again under another name.
	 * NULL: none. */
	const struct dps_outage *beside;

	bool was_well;
	bool is_told;        /* that it is away */
	bool is_given_up;    /* it is not waited for any longer */
	unsigned troubles;   /* in a row */
	int64_t since_ms;    /* the first of them */
	int64_t troubled_ms; /* the last */
	int64_t waited_ms;   /* between them; time in which the machine slept does not count */
	int64_t resume_ms;   /* nobody asks before */
	int64_t probed_ms;   /* nor before this: one that asks has its answer by then */
	int64_t away_ms;     /* in all outages that are over */
	struct muster_error why;
};

/* Whether this answer, or none, is of the network or the service, so that everybody might get the like. */
bool dps_outage_explains(const struct http_answer *answer);

/* now_ms by clock_now_ms(), here and below. The service did what it was asked for. */
void dps_outage_well(struct dps_outage *outage, int64_t now_ms);
/* It failed, as it might for everybody. Requests that were under way together meet the same trouble: it counts once. random: any 64
 * bits. False: it has been waited for long enough. */
bool dps_outage_trouble(struct dps_outage *outage, const struct http_answer *answer,
			int64_t started_ms, int64_t now_ms, uint64_t random) MUST_CHECK;
/* Whether it would be waited for: it was well, and there is patience. */
bool dps_outage_is_patient(const struct dps_outage *outage);
/* Whether a token that could not be had for this reason is worth waiting for. */
bool dps_outage_may_be(const struct dps_outage *outage, const struct muster_error *failure);
/* Whether it failed when it was last asked. */
bool dps_outage_is_troubled(const struct dps_outage *outage);
/* And so often that somebody was told. */
bool dps_outage_is_on(const struct dps_outage *outage);

/* How long nobody asks; 0: one may, and all when it is not waited for any longer. */
int64_t dps_outage_wait_ms(const struct dps_outage *outage, int64_t now_ms);
/* One asks: in trouble the others wait for what comes of it. */
void dps_outage_ask(struct dps_outage *outage, int64_t now_ms);
/* An answer came, whatever it is. */
void dps_outage_answered(struct dps_outage *outage);

/* now_ms without the time of outages, for deadlines of what the service does. */
int64_t dps_outage_clock_ms(const struct dps_outage *outage, int64_t now_ms);
