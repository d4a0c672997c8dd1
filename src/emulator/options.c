#include "options.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "muster/text.h"

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_PORT, OPTION_LIST, OPTION_FLAG };

struct option_row {
	const char *name;
	const char *placeholder;
	const char *help;
	enum option_kind kind;
	size_t offset;
	size_t count_offset; /* OPTION_LIST */
	int64_t min, max;    /* OPTION_NUMBER, OPTION_PORT */
};

#define AT(member) offsetof(struct emulator_config, member)

/* clang-format off */
static const struct option_row rows[] = {
	{ "state", "DIR", "Keep keys, authority and enrollments here (needed)",
	  OPTION_TEXT, AT(state), 0, 0, 0 },
	{ "port", "N", "Listen on this port; 0 takes a free one (0)",
	  OPTION_PORT, AT(port), 0, 0, 65535 },
	{ "address", "IP", "Listen on this address (127.0.0.1)",
	  OPTION_TEXT, AT(address), 0, 0, 0 },
	{ "name", "HOST", "Answer to this host name too; the first one stands in the connection string; repeat",
	  OPTION_LIST, AT(names), AT(name_count), 0, 0 },
	{ "hub", "HOST", "Link this hub: HOST[,weight=N][,latency=MS][,allocate=no]; repeat",
	  OPTION_LIST, AT(hubs), AT(hub_count), 0, 0 },
	{ "policy", "NAME=RIGHTS", "Add a shared access policy, rights separated by commas; repeat",
	  OPTION_LIST, AT(policies), AT(policy_count), 0, 0 },
	{ "application", "SPEC", "Be a sign-in authority for this application, see below; repeat",
	  OPTION_LIST, AT(applications), AT(application_count), 0, 0 },
	{ "token-life", "S", "Tokens expire after so many seconds (3600)",
	  OPTION_NUMBER, AT(token_life_s), 0, 1, 86400 },
	{ "code-interval", "S", "A device code may be asked for every so many seconds (5)",
	  OPTION_NUMBER, AT(code_interval_s), 0, 1, 60 },
	{ "metadata-port", "N", "Be the metadata service of the first application on this plain port; 0 takes a free one",
	  OPTION_NUMBER, AT(metadata_port), 0, 0, 65535 },
	{ "instance", "SPEC", "List this service in the management API, NAME[:group=GROUP]; the first one is this one; repeat",
	  OPTION_LIST, AT(listed), AT(listed_count), 0, 0 },
	{ "page-size", "N", "So many services to a page of that list; 0: empty pages without end (100)",
	  OPTION_NUMBER, AT(page_size), 0, 0, 1000 },
	{ "allocation", "POLICY", "The instance's policy: hashed, geoLatency or static (hashed)",
	  OPTION_TEXT, AT(allocation), 0, 0, 0 },
	{ "poll-delay", "MS", "A registration is \"assigning\" at least so long (0)",
	  OPTION_NUMBER, AT(poll_delay_ms), 0, 0, 3600000 },
	{ "throttle", "SPEC", "Limit the rate of requests, see below; repeat",
	  OPTION_LIST, AT(throttles), AT(throttle_count), 0, 0 },
	{ "fault", "SPEC", "Misbehave, see below; repeat",
	  OPTION_LIST, AT(faults), AT(fault_count), 0, 0 },
	{ "ledger", "FILE", "Append a line of JSON for each operation, after its commit and before its answer",
	  OPTION_TEXT, AT(ledger), 0, 0, 0 },
	{ "ledger-bodies", NULL, "Write whole requests into the ledger, with the keys in them; for tests",
	  OPTION_FLAG, AT(ledger_bodies), 0, 0, 0 },
	{ "clock-offset", "S", "Let the emulator's clock run so many seconds ahead",
	  OPTION_NUMBER, AT(clock_offset_s), 0, -315360000, 315360000 },
	{ "any-certificate-date", NULL, "Take client certificates that are expired or not yet valid",
	  OPTION_FLAG, AT(any_certificate_date), 0, 0, 0 },
	{ "webhook-ca", "FILE", "Roots for allocation webhooks over https (the system's)",
	  OPTION_TEXT, AT(webhook_ca_file), 0, 0, 0 },
	{ "webhook-scale", "PERCENT", "Length of the waits between webhook retries, 100 is the service's (1)",
	  OPTION_NUMBER, AT(webhook_scale_percent), 0, 0, 100 },
};

static const char grammar[] =
	"\n"
	"Applications: NAME[:role=ROLE[+ROLE...]][:certificate=FILE][:federation=FILE]\n"
	"  role             contributor reader management management-reader none (contributor+management)\n"
	"  certificate=FILE takes client assertions signed with its key\n"
	"  federation=FILE  takes tokens of another authority signed with its key\n"
	"  A device code is granted by POST /emulator/codes/CODE, declined by DELETE, with ServiceConfig rights.\n"
	"  Tokens are at URL/TENANT/oauth2/v2.0/token, the management API at URL/subscriptions/...\n"
	"\n"
	"Throttles: MODEL:RATE/WINDOW_S[:burst=N][:count=call|item][:on=service|register|poll]\n"
	"  fixed            RATE per window; windows follow each other\n"
	"  sliding          RATE within any span as long as the window\n"
	"  bucket           refilled evenly, holds at most burst\n"
	"\n"
	"Faults: OPERATION:ACTION[:skip=N][:count=N][:every=N][:id=ID]\n"
	"  OPERATION        put get delete bulk query mechanism register poll registration token management\n"
	"                   any; joined with '+'\n"
	"  status=N         answer N and do nothing (also retry-after=SECONDS|date|none)\n"
	"  status-after=N   do the work, answer N\n"
	"  cut-before       close the connection and do nothing\n"
	"  cut-after        do the work, close the connection\n"
	"  delay=MS         wait, then do the work\n"
	"  delay-after=MS   do the work, wait, then answer\n"
	"  truncated        send half of the answer\n"
	"  garbage[=KIND]   another answer: text html empty array wrong-id no-etag duplicate deep huge no-keys\n"
	"  trickle=N        send the answer at N bytes per second\n"
	"  replay[=MS]      take the same request a second time after MS (1000)\n"
	"  redirect         307 to another host\n"
	"  partial=N        of a bulk commit N items, then answer 500\n"
	"  throttled=N      of a bulk commit N items, and refuse the others in its answer as too many\n"
	"                   (429001; also retry-after=)\n"
	"\n"
	"When ready it prints one line of JSON: url, connectionString, idScope, caFile, hubs,\n"
	"authority. SIGTERM ends it.\n";
/* clang-format on */

/* -- Setting ----------------------------------------------------------------------------------------------- */

static bool set_number(const struct option_row *row, const char *value, void *place,
		       struct muster_error *err)
{
	int64_t number;

	if (!text_to_int64(value, row->min, row->max, &number))
		return muster_fail(err, CAUSE_USAGE, "--%s=%s is not a number from %lld to %lld",
				   row->name, PRINTABLE(value), (long long)row->min,
				   (long long)row->max);
	if (row->kind == OPTION_PORT)
		*(uint16_t *)place = (uint16_t)number;
	else
		*(int64_t *)place = number;
	return true;
}

static bool append(const struct option_row *row, const char *value, struct emulator_config *config,
		   struct muster_error *err)
{
	const char **list = (const char **)((char *)config + row->offset);
	size_t *count = (size_t *)(void *)((char *)config + row->count_offset);

	if (*count == EMULATOR_LIST_MAX)
		return muster_fail(err, CAUSE_USAGE, "--%s is given more than %d times", row->name,
				   EMULATOR_LIST_MAX);
	list[(*count)++] = value;
	return true;
}

static bool set(const struct option_row *row, const char *value, struct emulator_config *config,
		struct muster_error *err)
{
	void *place = (char *)config + row->offset;

	switch (row->kind) {
	case OPTION_TEXT:
		*(const char **)place = value;
		return true;
	case OPTION_NUMBER:
	case OPTION_PORT:
		return set_number(row, value, place, err);
	case OPTION_LIST:
		return append(row, value, config, err);
	case OPTION_FLAG:
		*(bool *)place = true;
		return true;
	}
	return false;
}

/* -- Parsing ----------------------------------------------------------------------------------------------- */

#define FIRST_ROW 256

static void fill_long_options(struct option options[ARRAY_SIZE(rows) + 3])
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		options[i] = (struct option){ rows[i].name,
					      rows[i].kind == OPTION_FLAG ? no_argument
									  : required_argument,
					      NULL, FIRST_ROW + (int)i };
	options[ARRAY_SIZE(rows)] = (struct option){ "help", no_argument, NULL, 'h' };
	options[ARRAY_SIZE(rows) + 1] = (struct option){ "version", no_argument, NULL, 'V' };
	options[ARRAY_SIZE(rows) + 2] = (struct option){ 0 };
}

bool options_parse(int argc, char **argv, struct emulator_config *ret_config,
		   enum options_outcome *ret_outcome, struct muster_error *err)
{
	struct emulator_config config = { .webhook_scale_percent = 1,
					  .page_size = 100,
					  .token_life_s = 3600,
					  .code_interval_s = 5,
					  .metadata_port = -1 };
	struct option options[ARRAY_SIZE(rows) + 3];
	int choice;

	fill_long_options(options);
	opterr = 0;
	*ret_outcome = OPTIONS_RUN;
	while ((choice = getopt_long(argc, argv, ":hV", options, NULL)) != -1) {
		if (choice == 'h' || choice == 'V') {
			*ret_outcome = choice == 'h' ? OPTIONS_HELP : OPTIONS_VERSION;
			return true;
		}
		if (choice == '?' || choice == ':')
			return muster_fail(err, CAUSE_USAGE, "'%s' %s", PRINTABLE(argv[optind - 1]),
					   choice == ':' ? "needs a value" : "is not an option");
		if (!set(&rows[choice - FIRST_ROW], optarg, &config, err))
			return false;
	}
	if (optind < argc)
		return muster_fail(err, CAUSE_USAGE, "'%s' is not an option",
				   PRINTABLE(argv[optind]));
	if (!config.state)
		return muster_fail(err, CAUSE_USAGE, "--state DIR is needed");
	*ret_config = config;
	return true;
}

char *options_help(void)
{
	CLEANUP(text_done) struct text text = { 0 };
	struct muster_error err;

	text_add(
		&text,
		"Usage: muster-emulator --state DIR [OPTIONS]\n\n"
		"A local stand-in for the Azure IoT Hub Device Provisioning Service.\n\nOptions:\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char left[64];
		(void)snprintf(left, sizeof(left), "--%s%s%s", rows[i].name,
			       rows[i].placeholder ? "=" : "",
			       rows[i].placeholder ? rows[i].placeholder : "");
		text_addf(&text, "  %-24s %s\n", left, rows[i].help);
	}
	text_addf(&text, "  %-24s %s\n", "-h, --help", "Show this help and exit");
	text_addf(&text, "  %-24s %s\n", "-V, --version", "Show the version and exit");
	text_add(&text, grammar);
	return text_take(&text, &err);
}
