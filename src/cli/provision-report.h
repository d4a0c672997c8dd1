/* What `muster provision` prints: one device as one object, several as a list, and how the whole run ended. */
#pragma once

#include "muster/station.h"

#include "cli-internal.h"

/* That a watch told of and that was not plugged in again since. Those without any name are never known again: of them there is one
 * for each exit status, whatever their number is. */
struct failed_board {
	char *serial;          /* or NULL */
	char *registration_id; /* or NULL */
	enum muster_code code;
	enum muster_cause cause;
	bool is_parked;
	char *message;
};

struct provision_report {
	enum output_format output;
	bool is_single;  /* one device: it is printed alone, and its failure is that of the run */
	bool is_endless; /* every row is printed as it comes */
	bool is_quiet;   /* only results and failures */
	bool has_key_fd; /* the caller gets the keys of devices */
	bool is_mute;    /* on standard output, where nothing else is printed then */
	struct output_rows stream;   /* then */
	cJSON *rows;                 /* those not printed yet */
	struct failed_board *boards; /* that failed; only when it is endless */
	size_t board_count;
	size_t count, failed;
	size_t spooled;              /* of those that failed: they only wait to be sent */
	size_t parked;               /* likewise: the journal has them as ones that wait */
	struct muster_error failure; /* the first */
	bool differ;                 /* failures have different exit statuses */
};
void provision_report_done(struct provision_report *report);

/* Of one of several devices. */
#define PROVISION_COLUMN_COUNT 8
extern const struct column provision_columns[PROVISION_COLUMN_COUNT];

/* Rows are printed as they come: for a run that ends when somebody ends it. */
void provision_report_stream(struct provision_report *report);
/* A result as an object; its plan is moved out. NULL: no memory. */
cJSON *provision_describe(struct station_result *result);
/* One of several, for formats of lines: is there after provision_told(), which is for station_request.told. */
bool provision_add_row(enum output_format output, const cJSON *object, struct muster_error *err)
	MUST_CHECK;
bool provision_told(void *context, struct muster_error *err) MUST_CHECK;

/* For station_request.finished; `context` is the report. */
bool provision_report_add(void *context, struct station_result *result, struct muster_error *err)
	MUST_CHECK;
/* A device that got a key nowhere but in its enrollment cannot use it. */
bool provision_lacks_key(const struct station_result *result);
/* For station_request.outage, likewise. */
void provision_report_outage(void *context, const struct dps_outage_news *news);
/* That so many devices have only been spooled is no failure of theirs, but not the end either. Returns false. */
bool provision_fail_spooled(size_t count, struct muster_error *err);
/* Prints what was collected. False when a device failed: with the status that all failures share, else 1. */
bool provision_report_end(struct provision_report *report, struct muster_error *err) MUST_CHECK;
