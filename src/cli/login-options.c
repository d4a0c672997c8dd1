#include <string.h>

#include "muster/file.h"
#include "muster/station-key.h"

#include "login-options.h"
#include "outage.h"
#include "report.h"

enum { SECRET_TEXT_MAX = 4096, PEM_MAX = 60 * 1024 };

const char *const login_auth_types[] = { "key", "login", NULL };

/* -- Where a way to log in stands -------------------------------------------------------------------------- */

enum level { LEVEL_NONE, LEVEL_ENVIRONMENT, LEVEL_LINE };

static enum level level_of(const char *value, const char *variable)
{
	if (!value)
		return LEVEL_NONE;
	return variable && option_is_from(value, variable) ? LEVEL_ENVIRONMENT : LEVEL_LINE;
}

bool login_options_choose(struct login_options *options)
{
	const struct {
		const char **value;
		const char *variable;
	} ways[] = {
		{ &options->login, NULL },
		{ &options->login_file, "MUSTER_LOGIN_FILE" },
		{ &options->dps_name, "MUSTER_DPS_NAME" },
	};
	enum level highest = LEVEL_NONE;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (level_of(*ways[i].value, ways[i].variable) > highest)
			highest = level_of(*ways[i].value, ways[i].variable);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (level_of(*ways[i].value, ways[i].variable) < highest)
			*ways[i].value = NULL;
	return highest > LEVEL_NONE;
}

/* -- The configuration ------------------------------------------------------------------------------------- */

struct only_login {
	struct login_options login;
};

static const struct option_row rows[] = { LOGIN_ROWS_LETTERED(0, 0, 0, struct only_login, login),
					  { 0 } };

static bool is_way(const struct option_row *row)
{
	return row->offset == offsetof(struct only_login, login.login_file) ||
	       row->offset == offsetof(struct only_login, login.dps_name);
}

/* What is for the one proxy is not sent to another. */
static bool is_proxy_login(const struct option_row *row)
{
	return row->offset == offsetof(struct only_login, login.network.proxy_login);
}

void login_options_complete(struct login_options *options, const struct config *config)
{
	bool has_way = login_options_choose(options), has_proxy = options->network.proxy;
	char key[CONFIG_KEY_SIZE];

	for (const struct option_row *row = rows; row->name; row++) {
		const char **value = (const char **)(void *)((char *)options + row->offset);

		if (!*value && !(has_way && is_way(row)) && !(has_proxy && is_proxy_login(row)))
			*value = config_text(config, config_key(key, row->name), NULL);
	}
	if (!has_way && options->login_file)
		options->dps_name = NULL;
	if (!options->rate)
		options->rate = config->rate;
	if (!options->patience)
		options->patience = config->patience;
}

/* -- Connection strings ------------------------------------------------------------------------------------ */

static bool new_login(const struct login_options *options, struct dps_credential **ret_credential,
		      struct muster_error *err)
{
	CLEANUP(dps_login_done) struct dps_login login = { 0 };

	if (options->login && options->login_file)
		return muster_fail(err, CAUSE_USAGE, "--login and --login-file exclude each other");
	if (!(options->login ? dps_login_parse(&login, options->login, strlen(options->login), err)
			     : dps_login_read_source(&login, options->login_file, err)))
		return false;
	*ret_credential = dps_credential_new_login(&login, err);
	return *ret_credential;
}

/* -- Tokens ------------------------------------------------------------------------------------------------ */

enum dps_sign_in login_sign_in(const struct login_options *options)
{
	for (int i = 0; options->sign_in && i < DPS_SIGN_IN_COUNT; i++)
		if (strcmp(options->sign_in, dps_sign_in_names[i]) == 0)
			return (enum dps_sign_in)i;
	if (options->client_secret_file)
		return DPS_SIGN_IN_CLIENT_SECRET;
	if (options->client_certificate)
		return DPS_SIGN_IN_CLIENT_CERTIFICATE;
	return options->federated_token_file ? DPS_SIGN_IN_WORKLOAD_IDENTITY : DPS_SIGN_IN_AZ;
}

/* Standard output is for results, and whoever must act may have asked for quiet. */
static void tell_code(void *context, const char *user_code, const char *url)
{
	(void)context;
	fprintf(stderr, "muster: to sign in, open %s and enter the code %s\n", url, user_code);
}

static void free_token_key(void *key)
{
	station_key_free(key);
}

static bool open_token_key(const char *uri, struct dps_sign_in_request *request,
			   struct muster_error *err)
{
	struct station_key *key;

	if (!station_key_open(uri, &key, err))
		return muster_error_prefix(err, "opening the key of the client certificate");
	request->key_owner = key;
	request->key_owner_free = free_token_key;
	request->key = station_key_get(key);
	EVP_PKEY_up_ref(request->key);
	return true;
}

static bool read_key(const char *source, struct dps_sign_in_request *request,
		     struct muster_error *err)
{
	CLEANUP(secret_done) struct secret pem = { 0 };

	if (text_has_prefix(source, "pkcs11:"))
		return open_token_key(source, request, err);
	return secret_read_source(&pem, source, PEM_MAX, "the key of the client certificate",
				  err) &&
	       dps_client_key_read(&pem, &request->key, err);
}

/* Only what holds a key must be a secret. */
static bool read_certificate(const struct login_options *options,
			     struct dps_sign_in_request *request, struct muster_error *err)
{
	CLEANUP(secret_done) struct secret pem = { 0 };
	CLEANUP(bytes_done) struct bytes bytes = { 0 };

	if (!options->client_key)
		return secret_read_source(&pem, options->client_certificate, PEM_MAX,
					  "the client certificate", err) &&
		       dps_client_certificate_read(&pem, &request->certificate, err) &&
		       dps_client_key_read(&pem, &request->key, err);
	return file_read(options->client_certificate, PEM_MAX, &bytes, err) &&
	       secret_copy(&pem, bytes.data, bytes.size, err) &&
	       dps_client_certificate_read(&pem, &request->certificate, err) &&
	       read_key(options->client_key, request, err);
}

/* Only what the way needs is read. */
static bool read_proof(const struct login_options *options, struct dps_sign_in_request *request,
		       struct muster_error *err)
{
	if (request->way == DPS_SIGN_IN_CLIENT_SECRET && options->client_secret_file)
		return secret_read_source(&request->client_secret, options->client_secret_file,
					  SECRET_TEXT_MAX, "the client secret", err);
	if (request->way == DPS_SIGN_IN_CLIENT_CERTIFICATE && options->client_certificate)
		return read_certificate(options, request, err);
	return true;
}

static bool new_tokens(const struct login_options *options, struct dps_tokens **ret_tokens,
		       struct muster_error *err)
{
	CLEANUP(dps_sign_in_request_done)
	struct dps_sign_in_request request = {
		.way = login_sign_in(options),
		.endpoints = options->endpoints,
		.tenant = options->tenant,
		.client_id = options->client_id,
		.subscription = options->subscription,
		.federated_token = options->federated_token_file,
		.cache_file = options->token_cache,
		.tell = tell_code,
	};

	if (!dps_endpoints_complete(&request.endpoints, err) || !read_proof(options, &request, err))
		return false;
	*ret_tokens = dps_tokens_new(&request, err);
	return *ret_tokens;
}

static bool fail_name(const char *name, struct muster_error *err)
{
	return muster_fail(
		err, CAUSE_USAGE,
		"--dps-name '%s' is neither the name of a provisioning service nor its host",
		PRINTABLE(name));
}

/* "NAME" is NAME.SUFFIX; what has a dot or a port is a host. */
static bool host_of(const char *name, const char *suffix, char ret_host[DPS_HOST_SIZE],
		    struct muster_error *err)
{
	CLEANUP(freep)
	char *host = strpbrk(name, ".:") ? strdup(name) : text_format("%s.%s", name, suffix);
	struct muster_error unread;

	if (!host)
		return muster_fail_memory(err);
	return dps_host_parse(host, strlen(host), "the service", ret_host, &unread) ||
	       fail_name(name, err);
}

static bool new_by_tokens(const char *name, struct dps_tokens *tokens,
			  struct dps_credential **ret_credential, struct muster_error *err)
{
	char host[DPS_HOST_SIZE];

	if (!host_of(name, dps_tokens_endpoints(tokens)->suffix, host, err)) {
		dps_tokens_free(tokens);
		return false;
	}
	*ret_credential = dps_credential_new_tokens(tokens, host, err);
	return *ret_credential;
}

/* The az session knows the ID of a subscription that has been named to it. */
static bool may_be_asked(const struct login_options *options)
{
	return login_sign_in(options) == DPS_SIGN_IN_AZ && !options->tenant;
}

static bool is_subscription_id(const char *text)
{
	return strlen(text) == 36 && strspn(text, "0123456789abcdefABCDEF-") == 36;
}

/* A host is cut to the name that stands in front. */
static bool new_by_management(const struct login_options *options, const char *host,
			      struct dps_tokens *tokens, struct dps_credential **ret_credential,
			      struct muster_error *err)
{
	CLEANUP(freep) char *name = strndup(host, strcspn(host, ".:"));
	struct dps_service_name service = { options->subscription, options->resource_group, name };

	if (options->subscription && !is_subscription_id(options->subscription) &&
	    may_be_asked(options))
		service.subscription = NULL;

	if (!name || (!options->subscription && login_sign_in(options) != DPS_SIGN_IN_AZ)) {
		dps_tokens_free(tokens);
		return name ? muster_fail(err, CAUSE_SIGN_IN_INCOMPLETE,
					  "looking a service up by name needs --subscription")
			    : muster_fail_memory(err);
	}
	*ret_credential = dps_credential_new_named(tokens, &service, err);
	return *ret_credential;
}

/* "https://HOST/", as az takes it too, is HOST. */
static bool read_name(const char *text, char **ret_name, struct muster_error *err)
{
	const char *name = text;
	size_t length;

	if (strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0)
		name = strstr(text, "://") + 3;
	length = strlen(name);
	if (name > text && length > 0 && name[length - 1] == '/')
		length--;
	if (length == 0 || memchr(name, '/', length))
		return fail_name(text, err);
	*ret_name = strndup(name, length);
	return *ret_name || muster_fail_memory(err);
}

static bool new_by_name(const struct login_options *options, struct dps_credential **ret_credential,
			struct muster_error *err)
{
	bool is_login = options->auth_type && strcmp(options->auth_type, "login") == 0;
	CLEANUP(freep) char *name = NULL;
	struct dps_tokens *tokens = NULL;

	if (!read_name(options->dps_name, &name, err) || !new_tokens(options, &tokens, err))
		return false;
	return is_login ? new_by_tokens(name, tokens, ret_credential, err)
			: new_by_management(options, name, tokens, ret_credential, err);
}

bool login_credential_new(const struct login_options *options,
			  struct dps_credential **ret_credential, struct muster_error *err)
{
	if (options->login || options->login_file)
		return new_login(options, ret_credential, err);
	if (options->dps_name)
		return new_by_name(options, ret_credential, err);
	return muster_fail(
		err, CAUSE_LOGIN_MISSING,
		"nothing says which provisioning service to use: give --login-file FILE or "
		"--dps-name NAME");
}

/* -- The service ------------------------------------------------------------------------------------------- */

bool login_rate(const char *text, struct dps_rate *ret_rate, struct muster_error *err)
{
	const char *slash = text ? strchr(text, '/') : NULL;
	char count[32];
	int64_t seconds = DPS_BUDGET_WINDOW_MS / 1000;

	ret_rate->quota = DPS_BUDGET_QUOTA;
	if (text) {
		snprintf(count, sizeof(count), "%.*s", (int)strcspn(text, "/"), text);
		if (!text_to_int64(count, 1, DPS_BUDGET_QUOTA_MAX, &ret_rate->quota) ||
		    (slash && !text_to_int64(slash + 1, 1, 86400, &seconds)))
			return muster_fail(err, CAUSE_USAGE,
					   "%s=%s is not a number of operations per minute, or "
					   "N/SECONDS",
					   option_named(text, "--rate", "MUSTER_RATE"),
					   PRINTABLE(text));
	}
	ret_rate->window_ms = seconds * 1000;
	return true;
}

static bool open_meter(const struct login_options *options, struct service *service,
		       struct muster_error *err)
{
	struct dps_rate rate = { 0 };

	if (!login_rate(options->rate, &rate, err) ||
	    !dps_credential_connect(service->credential, service->http, err))
		return false;
	service->meter = dps_meter_open(NULL, dps_client_host(service->client), &rate, err);
	if (!service->meter)
		return false;
	dps_client_set_meter(service->client, service->meter);
	return true;
}

bool service_open(const struct login_options *options, struct service *ret_service,
		  struct muster_error *err)
{
	CLEANUP(service_done) struct service service = { 0 };
	CLEANUP(config_done) struct config config = { 0 };
	struct login_options complete = *options;

	if (!report_config_load(&config, err))
		return false;
	login_options_complete(&complete, &config);
	if (!outage_patience(complete.patience, &service.patience_ms, err) ||
	    !http_terms_check(&complete.network, err) ||
	    !login_credential_new(&complete, &service.credential, err))
		return false;
	service.http = http_new(&complete.network, err);
	if (!service.http)
		return false;
	service.client = dps_client_new(service.http, service.credential, err);
	if (!service.client || !open_meter(&complete, &service, err))
		return false;
	*ret_service = service;
	service = (struct service){ 0 };
	return true;
}

void service_done(struct service *service)
{
	dps_client_free(service->client);
	dps_meter_close(service->meter);
	dps_credential_free(service->credential);
	http_free(service->http);
	*service = (struct service){ 0 };
}
