/* muster cert: certificates and requests whose keys lie in tokens. */
#include "muster/json.h"
#include "muster/station-custody.h"

#include "custody-options.h"

static const struct column request_columns[] = {
	{ "subject", "SUBJECT", false, true },
	{ "keyType", "KEY", false, false },
	{ "keyId", "KEY ID", false, false },
	{ "file", "FILE", false, false },
};

/* Without a file, people get the PEM itself. */
static bool print_made(const struct invocation *call, const cJSON *result,
		       const struct column *columns, size_t column_count, struct muster_error *err)
{
	if (call->output != OUTPUT_TABLE || json_get(result, "file"))
		return output_print(stdout, call->output, result, columns, column_count, err);
	fputs(json_text(result, "pem"), stdout);
	return true;
}

/* -- request -------------------------------------------------------------------------------------------------- */

/* clang-format off */
static const struct option_row request_rows[] = {
	CUSTODY_ROWS(struct station_certificate_request, custody),
	KEY_CHOICE_ROWS(struct station_certificate_request, key),
	{ 0, "subject", NULL, OPTION_TEXT, "NAME", "Subject, CN=...,O=...: CN, O, OU, C, ST, L, serialNumber",
	  offsetof(struct station_certificate_request, subject), NULL, NULL, 0 },
	{ 0, "out", NULL, OPTION_TEXT, "FILE", "Create this file; otherwise the PEM is printed",
	  offsetof(struct station_certificate_request, out), NULL, NULL, 0 },
	{ 0, "der", NULL, OPTION_FLAG, NULL, "Write DER instead of PEM",
	  offsetof(struct station_certificate_request, is_der), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run_request(const struct invocation *call, struct muster_error *err)
{
	const struct station_certificate_request *request = call->options;
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	if (!request->subject)
		return muster_fail(err, CAUSE_USAGE, "'muster cert request' needs --subject NAME");
	return station_certificate_request(request, &result, err) &&
	       print_made(call, result, request_columns, ARRAY_SIZE(request_columns), err);
}

const struct verb verb_cert_request = {
	.noun = "cert",
	.name = "request",
	.summary = "Make a certificate request for a key in a token",
	.description =
		"Signs a PKCS#10 request with a key that is in the token (--key), or with one that is\n"
		"made there for it (--key-type, --label). Making a key is announced in the journal.",
	.options = request_rows,
	.options_size = sizeof(struct station_certificate_request),
	.default_output = OUTPUT_TABLE,
	.run = run_request,
};
