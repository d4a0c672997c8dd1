#include "sync-options.h"

#include "provision-report.h"
#include "report.h"

bool sync_run(const struct invocation *call, const struct sync_options *options,
	      const char *const *only, size_t only_count, struct muster_error *err)
{
	CLEANUP(profile_report_done) struct profile_report mistakes = { 0 };
	CLEANUP(provision_report_done) struct provision_report report = { .output = call->output };
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(dps_credential_freep) struct dps_credential *credential = NULL;
	struct login_options login = options->login;
	struct station_request request = options->request;
	bool is_done;

	if (!report_config_load(&config, err))
		return false;
	login_options_complete(&login, &config);
	if (!login_credential_new(&login, &credential, err) ||
	    !login_rate(login.rate, &request.rate, err))
		return false;
	report.rows = cJSON_CreateArray();
	if (!report.rows)
		return muster_fail_memory(err);
	request.credential = credential;
	request.ca_file = login.ca_file;
	request.finished = provision_report_add;
	request.context = &report;
	is_done = station_sync(&request, only, only_count, &mistakes, err);
	if (!is_done || !call->is_quiet)
		report_print(&mistakes);
	return provision_report_end(&report, is_done ? err : &(struct muster_error){ 0 }) &&
	       is_done;
}
