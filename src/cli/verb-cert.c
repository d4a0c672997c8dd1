/* muster cert: certificates and requests whose keys lie in tokens. */
#include "muster/json.h"
#include "muster/station-custody.h"

#include "custody-options.h"

/* Without a file, people get the PEM itself. */
static bool print_made(const struct invocation *call, const cJSON *result, struct muster_error *err)
{
	if (call->output != OUTPUT_TABLE || json_get(result, "file"))
		return result_print(call, result, err);
	fputs(json_text(result, "pem"), stdout);
	return true;
}

static bool need(const struct invocation *call, const char *value, const char *option,
		 struct muster_error *err)
{
	return value ||
	       muster_fail(err, CAUSE_USAGE, "'muster cert %s' needs %s", call->verb->name, option);
}

/* -- request -------------------------------------------------------------------------------------------------- */

static const struct column request_columns[] = {
	{ "subject", "SUBJECT", false, true },
	{ "keyType", "KEY", false, false },
	{ "keyId", "KEY ID", false, false },
	{ "file", "FILE", false, false },
};

#define REQUEST(member) offsetof(struct station_certificate_request, member)

const char *const custody_key_types[] = { "ec-p256",  "ec-p384",  "ec-p521",  "ed25519",
					  "rsa-2048", "rsa-3072", "rsa-4096", NULL };

/* clang-format off */
static const struct option_row request_rows[] = {
	CUSTODY_ROWS(struct station_certificate_request, custody),
	KEY_CHOICE_ROWS(struct station_certificate_request, key),
	{ 0, "subject", NULL, OPTION_TEXT, "NAME", "Subject, CN=...,O=...: CN, O, OU, C, ST, L, serialNumber",
	  REQUEST(subject), NULL, NULL, 0 },
	{ 0, "out", NULL, OPTION_TEXT, "FILE", "Create this file; otherwise the PEM is printed", REQUEST(out), NULL, NULL, 0 },
	{ 0, "der", NULL, OPTION_FLAG, NULL, "Write DER instead of PEM", REQUEST(is_der), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run_request(const struct invocation *call, struct muster_error *err)
{
	const struct station_certificate_request *request = call->options;
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	return need(call, request->subject, "--subject NAME", err) &&
	       station_certificate_request(request, &result, err) && print_made(call, result, err);
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
	COLUMNS(request_columns),
	.run = run_request,
};

/* -- self-sign ------------------------------------------------------------------------------------------------- */

static const struct column certificate_columns[] = {
	{ "subject", "SUBJECT", false, true }, { "issuer", "ISSUER", false, true },
	{ "serial", "SERIAL", false, false },  { "notAfter", "NOT AFTER", false, false },
	{ "keyType", "KEY", false, false },    { "isAuthority", "AUTHORITY", false, false },
	{ "file", "FILE", false, false },
};

#define SELF_SIGN(member) offsetof(struct station_self_sign, member)

/* clang-format off */
static const struct option_row self_sign_rows[] = {
	CUSTODY_ROWS(struct station_self_sign, custody),
	KEY_CHOICE_ROWS(struct station_self_sign, key),
	{ 0, "subject", NULL, OPTION_TEXT, "NAME", "Subject, CN=...,O=...: CN, O, OU, C, ST, L, serialNumber",
	  SELF_SIGN(subject), NULL, NULL, 0 },
	TERMS_ROWS(struct station_self_sign, terms),
	OUTPUT_ROWS(struct station_self_sign, output),
	{ 0, "store", NULL, OPTION_FLAG, NULL, "Store it beside its key in the token", SELF_SIGN(is_stored), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run_self_sign(const struct invocation *call, struct muster_error *err)
{
	const struct station_self_sign *request = call->options;
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	return need(call, request->subject, "--subject NAME", err) &&
	       station_certificate_self_sign(request, &result, err) &&
	       print_made(call, result, err);
}

const struct verb verb_cert_self_sign = {
	.noun = "cert",
	.name = "self-sign",
	.summary = "Make a certificate that a key in a token signs for itself",
	.description =
		"For a device, or with --ca for an authority. What is to be signed is checked under a\n"
		"throw-away key and announced in the journal before the token signs it.",
	.options = self_sign_rows,
	.options_size = sizeof(struct station_self_sign),
	.default_output = OUTPUT_TABLE,
	COLUMNS(certificate_columns),
	.run = run_self_sign,
};

/* -- issue ------------------------------------------------------------------------------------------------------ */

#define ISSUE(member) offsetof(struct station_issue, member)

/* clang-format off */
static const struct option_row issue_rows[] = {
	CUSTODY_ROWS(struct station_issue, custody),
	{ 'p', "profile", NULL, OPTION_TEXT, "FILE", "Profile that says issuer and terms; other options hold over it",
	  ISSUE(profile_path), NULL, NULL, 0 },
	{ 0, "issuer-key", NULL, OPTION_TEXT, "URI", "The authority's key in the token", ISSUE(issuer_key), NULL, NULL, 0 },
	{ 0, "issuer-certificate", NULL, OPTION_TEXT, "FILE", "The authority's certificate, its own issuers behind it",
	  ISSUE(issuer_certificate), NULL, NULL, 0 },
	TERMS_ROWS(struct station_issue, terms),
	OUTPUT_ROWS(struct station_issue, output),
	{ 0, "chain", NULL, OPTION_TEXT, "FILE", "Create this file too: certificate and issuers, PEM",
	  ISSUE(output.chain), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run_issue(const struct invocation *call, struct muster_error *err)
{
	struct station_issue request = *(const struct station_issue *)call->options;
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	request.request_path = call->operands[0];
	return station_certificate_issue(&request, &result, err) && print_made(call, result, err);
}

const struct verb verb_cert_issue = {
	.noun = "cert",
	.name = "issue",
	.operands = "REQUEST",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Issue a certificate with an authority's key in a token",
	.description =
		"REQUEST is a PKCS#10 file whose signature has to verify. The subject is the request's;\n"
		"of its extensions nothing is taken over. For a device the common name has to be a\n"
		"registration ID; --ca makes an authority. Checked and announced before it is signed.",
	.options = issue_rows,
	.options_size = sizeof(struct station_issue),
	.default_output = OUTPUT_TABLE,
	COLUMNS(certificate_columns),
	.run = run_issue,
};

/* -- produce ---------------------------------------------------------------------------------------------------- */

static const struct column produce_columns[] = {
	{ "devices", "DEVICES", true, false },
	{ "sessions", "SESSIONS", true, false },
	{ "token", "TOKEN", false, false },
	{ "file", "FILE", false, false },
};

#define PRODUCE(member) offsetof(struct station_produce, member)

/* clang-format off */
static const struct option_row produce_rows[] = {
	CUSTODY_ROWS(struct station_produce, custody),
	{ 'p', "profile", NULL, OPTION_TEXT, "FILE", "Profile for X.509 devices", PRODUCE(profile_path), NULL, NULL, 0 },
	{ 0, "serials", NULL, OPTION_TEXT, "FILE", "Serials of the devices, one a line; - is standard input",
	  PRODUCE(serials_path), NULL, NULL, 0 },
	{ 0, "out", NULL, OPTION_TEXT, "FILE", "Create this file, JSON Lines", PRODUCE(out), NULL, NULL, 0 },
	{ 0, "sessions", NULL, OPTION_NUMBER, "N", "Sessions with the token at a time, 1 to 32", PRODUCE(sessions), NULL, NULL, 0 },
	{ 0, "approval", NULL, OPTION_TEXT, "FILE", "Who approved the serials and the profile (muster approval)", PRODUCE(approval), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run_produce(const struct invocation *call, struct muster_error *err)
{
	const struct station_produce *request = call->options;
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	return need(call, request->profile_path, "--profile FILE", err) &&
	       need(call, request->serials_path, "--serials FILE", err) &&
	       need(call, request->out, "--out FILE", err) &&
	       station_produce(request, &result, err) && result_print(call, result, err);
}

const struct verb verb_cert_produce = {
	.noun = "cert",
	.name = "produce",
	.summary = "Make keys in a token, and their certificates, for many devices",
	.description =
		"A key pair and a certificate for each serial, as the profile says; every name is looked\n"
		"at before the token is. The file has the enrollments that the profile says, a line each,\n"
		"for 'muster enrollment import'. Checked and announced as by 'issue' and 'request'.",
	.options = produce_rows,
	.options_size = sizeof(struct station_produce),
	.default_output = OUTPUT_TABLE,
	COLUMNS(produce_columns),
	.run = run_produce,
};

/* -- show --------------------------------------------------------------------------------------------------------- */

static const struct column show_columns[] = {
	{ "file", "FILE", false, false },          { "kind", "KIND", false, false },
	{ "subject", "SUBJECT", false, true },     { "issuer", "ISSUER", false, true },
	{ "notAfter", "NOT AFTER", false, false }, { "keyType", "KEY", false, false },
};

static bool run_show(const struct invocation *call, struct muster_error *err)
{
	CLEANUP(cJSON_freep) cJSON *rows = cJSON_CreateArray();

	if (!rows)
		return muster_fail_memory(err);
	for (size_t i = 0; i < call->operand_count; i++) {
		cJSON *row = NULL;

		if (!station_certificate_show(call->operands[i], &row, err))
			return false;
		if (!cJSON_AddItemToArray(rows, row))
			return muster_fail_memory(err);
	}
	return result_print(call, rows, err);
}

const struct verb verb_cert_show = {
	.noun = "cert",
	.name = "show",
	.operands = "FILE...",
	.operands_min = 1,
	.operands_max = 1000,
	.summary = "Show what certificates and requests say",
	.description =
		"PEM or DER; of several certificates in a file the leaf. A weak key is named.",
	.default_output = OUTPUT_TABLE,
	COLUMNS(show_columns),
	.run = run_show,
};

/* -- verify -------------------------------------------------------------------------------------------------------- */

static const struct column verify_columns[] = {
	{ "file", "FILE", false, false },
	{ "subject", "SUBJECT", false, true },
	{ "notAfter", "NOT AFTER", false, false },
	{ "verified", "VERIFIED", false, false },
};

#define VERIFY(member) offsetof(struct station_certificate_check, member)

/* clang-format off */
static const struct option_row verify_rows[] = {
	{ 0, "roots", NULL, OPTION_TEXT, "FILE", "The only roots to trust, PEM", VERIFY(roots), NULL, NULL, 0 },
	{ 0, "crl", NULL, OPTION_TEXT, "FILE", "CRL of the certificate's issuer, PEM or DER", VERIFY(crl), NULL, NULL, 0 },
	{ 0 },
};
/* clang-format on */

static bool run_verify(const struct invocation *call, struct muster_error *err)
{
	struct station_certificate_check check =
		*(const struct station_certificate_check *)call->options;
	CLEANUP(cJSON_freep) cJSON *result = NULL;

	check.path = call->operands[0];
	return need(call, check.roots, "--roots FILE", err) &&
	       station_certificate_verify(&check, &result, err) && result_print(call, result, err);
}

const struct verb verb_cert_verify = {
	.noun = "cert",
	.name = "verify",
	.operands = "FILE",
	.operands_min = 1,
	.operands_max = 1,
	.summary = "Check that a certificate chains to given roots",
	.description =
		"The first certificate of FILE; intermediates may follow it. A device's has to be good\n"
		"for a TLS client. Nothing but FILE, the roots and the CRL is looked at.",
	.options = verify_rows,
	.options_size = sizeof(struct station_certificate_check),
	.default_output = OUTPUT_TABLE,
	COLUMNS(verify_columns),
	.run = run_verify,
};
