#include "sync-options.h"

#include <stdlib.h>
#include <string.h>

#include "provision-report.h"
#include "report.h"

void sync_choice_done(struct sync_choice *choice)
{
	for (size_t i = 0; i < choice->count; i++)
		free(choice->ids[i]);
	free(choice->ids);
}

bool sync_choice_add(struct sync_choice *choice, const char *id, struct muster_error *err)
{
	char **ids = reallocarray(choice->ids, choice->count + 1, sizeof(*ids));

	if (!ids)
		return muster_fail_memory(err);
	choice->ids = ids;
	ids[choice->count] = strdup(id);
	return ids[choice->count++] || muster_fail_memory(err);
}

void sync_tell_waiting(const struct invocation *call, struct sync_choice *choice, const char *id,
		       enum station_wait what)
{
	static const char *const words[] = {
		[STATION_WAITS_NOT] = "it waits for nothing",
		[STATION_WAITS_DEVICE] =
			"its hardware has to be here, or the profile that it was begun with; run "
			"muster provision with it",
		[STATION_WAITS_PERSON] =
			"it waits for a person; look at it with muster outbox show",
	};

	choice->for_device += what == STATION_WAITS_DEVICE;
	choice->for_person += what == STATION_WAITS_PERSON;
	if (what != STATION_WAITS_NETWORK && !call->is_quiet)
		fprintf(stderr, "muster: %s: %s\n", PRINTABLE(id), words[what]);
}

bool sync_choice_check(const struct sync_choice *choice, struct muster_error *err)
{
	if (choice->for_device + choice->for_person == 0)
		return true;
	return muster_fail(
		err, choice->for_person > 0 ? CAUSE_WAITS_FOR_PERSON : CAUSE_DEVICE_NEEDED,
		"of the devices named, not sent: %zu wait for a person, %zu for their hardware or profile",
		choice->for_person, choice->for_device);
}

/* What waits for more than the network is no failure of this run, but nobody shall think that all is sent. */
static void tell_passed(const struct station_passed *passed)
{
	if (passed->for_device + passed->for_person > 0)
		fprintf(stderr,
			"muster: not sent: %zu wait for a person, %zu for their hardware; look at them with "
			"muster outbox list\n",
			passed->for_person, passed->for_device);
}

bool sync_run(const struct invocation *call, const struct sync_options *options,
	      const char *const *only, size_t only_count, struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report mistakes = { 0 };
	CLEANUP(provision_report_done)
	struct provision_report report = { .output = call->output, .is_quiet = call->is_quiet };
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(dps_credential_freep) struct dps_credential *credential = NULL;
	struct login_options login = options->login;
	struct station_request request = options->request;
	struct station_passed passed = { 0 };
	bool is_done;

	if (!report_config_load(&config, err))
		return false;
	login_options_complete(&login, &config);
	if (!http_terms_check(&login.network, err) ||
	    !login_credential_new(&login, &credential, err) ||
	    !login_rate(login.rate, &request.rate, err) ||
	    !outage_patience(login.patience, &request.patience_ms, err))
		return false;
	report.rows = cJSON_CreateArray();
	if (!report.rows)
		return muster_fail_memory(err);
	request.credential = credential;
	request.network = login.network;
	request.finished = provision_report_add;
	request.told = provision_told;
	request.outage = provision_report_outage;
	request.context = &report;
	is_done = station_sync(&request, only, only_count, &passed, &mistakes, err);
	if (!only && !call->is_quiet)
		tell_passed(&passed);
	if (!is_done || !call->is_quiet)
		report_print(&mistakes);
	return provision_report_end(&report, is_done ? err : &(struct muster_error){ 0 }) &&
	       is_done;
}
