/* muster enrollment delete: one enrollment. */
#include "muster/dps-enrollment.h"

#include "enrollment.h"

struct delete_options {
	const char *id;
	const char *etag;
	bool dry_run;
	struct login_options login;
};

/* clang-format off */
static const struct option_row rows[] = {
	ENROLLMENT_ID_ROW(struct delete_options),
	{ 'e', "etag", NULL, OPTION_TEXT, "ETAG", "Delete only what still has this etag; default: whatever is there",
	  offsetof(struct delete_options, etag), NULL, NULL, 0 },
	{ 0, "dry-run", NULL, OPTION_FLAG, NULL, "Print the request and do not send it",
	  offsetof(struct delete_options, dry_run), NULL, NULL, 0 },
	LOGIN_ROWS(struct delete_options, login),
	{ 0 },
};
/* clang-format on */

static bool run(const struct invocation *call, struct muster_error *err)
{
	const struct delete_options *options = call->options;
	const char *if_match = options->etag && *options->etag ? options->etag : "*";
	CLEANUP(service_done) struct service service = { 0 };

	if (!enrollment_id_check(call, options->id, err) ||
	    !enrollment_etag_check(options->etag, err) ||
	    !service_open(&options->login, &service, err))
		return false;
	return options->dry_run
		       ? enrollment_print_delete(call, service.client, options->id, if_match, err)
		       : dps_enrollment_remove(service.client, options->id, if_match, err);
}

const struct verb verb_enrollment_delete = {
	.noun = "enrollment",
	.name = "delete",
	.summary = "Delete an enrollment",
	.description =
		"Deletes the enrollment and asks nothing. Nothing is printed. The device keeps what it got at\n"
		"the hub; its registration record goes with the enrollment.",
	.options = rows,
	.options_size = sizeof(struct delete_options),
	.default_output = OUTPUT_JSON,
	.is_as_az = true,
	.run = run,
};
