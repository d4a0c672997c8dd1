#include "muster/config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "muster/file.h"
#include "muster/log.h"
#include "muster/process.h"

#include "fields.h"

#define SYSTEM_CONFIG "/etc/muster/muster.yaml"
#define CONFIG_SIZE_MAX (64 * 1024)

/* -- Fields --------------------------------------------------------------------------------------------------- */

/* 1 to 65535 */
#define PORT \
	"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

/* "N" or "N/SECONDS", as far as a million in a day. */
#define RATE                        \
	"([1-9][0-9]{0,5}|1000000)" \
	"(/([1-9][0-9]{0,3}|[1-7][0-9]{4}|8[0-5][0-9]{3}|86[0-3][0-9]{2}|86400))?"

/* As far as 30 days. */
#define PATIENCE_SECONDS \
	"([0-9]{1,6}|1[0-9]{6}|2[0-4][0-9]{5}|25[0-8][0-9]{4}|259[01][0-9]{3}|2592000)s?"
#define PATIENCE_MINUTES "([0-9]{1,4}|[1-3][0-9]{4}|4[0-2][0-9]{3}|43[01][0-9]{2}|43200)m"
#define PATIENCE_HOURS "([0-9]{1,2}|[1-6][0-9]{2}|7[01][0-9]|720)h"

#define AT(member) .offset = offsetof(struct config, member)

static const struct field module_rows[] = {
	{ "path", FIELD_TEXT, true, .offset = offsetof(struct config_module, path), .max = 1024,
	  .pattern = "^/", .form = "an absolute path",
	  .help = "the PKCS#11 module's shared object" },
	{ "environment", FIELD_LIST, .offset = offsetof(struct config_module, environment),
	  .max = 1024, .pattern = "^[A-Za-z_][A-Za-z0-9_]*(=.*)?$",
	  .form = "\"NAME=value\", or \"NAME\" to hand our own value on",
	  .help = "environment variables for this module's worker alone" },
	{ "sessions", FIELD_INTEGER, .offset = offsetof(struct config_module, sessions), .least = 1,
	  .most = 32, .help = "sessions with a token at a time; default of --sessions" },
	{ "initArguments", FIELD_TEXT, .offset = offsetof(struct config_module, init_arguments),
	  .max = 1024, .help = "the module's own arguments, handed to C_Initialize" },
};
static const struct fields module_fields = { FIELDS(module_rows),
					     .size = sizeof(struct config_module) };

static const struct field hook_rows[] = {
	{ "on", FIELD_LIST, true, .offset = offsetof(struct config_hook, on), .max = 32,
	  .pattern = "^(unit-start|unit-done|batch-done)$",
	  .form = "unit-start, unit-done or batch-done", .help = "what it is told of" },
	{ "command", FIELD_LIST, .offset = offsetof(struct config_hook, command), .max = 1024,
	  .help = "a program, by its absolute path, and its arguments; the event is its standard input" },
	{ "webhook", FIELD_TEXT, .offset = offsetof(struct config_hook, webhook), .max = 2048,
	  .pattern = "^https://", .form = "https://...", .help = "where the event is posted" },
	{ "secretFile", FIELD_PATH, .is_secret = true,
	  .offset = offsetof(struct config_hook, secret_file), .max = 1024,
	  .help = "what signs the webhook, base64" },
	{ "folder", FIELD_PATH, .offset = offsetof(struct config_hook, folder), .max = 1024,
	  .help = "where each event is put as a file" },
	{ "timeout", FIELD_INTEGER, .offset = offsetof(struct config_hook, timeout_s), .least = 1,
	  .most = 3600, .help = "seconds until it is given up for this time; 10 when not said" },
};
static const struct fields hook_fields = { FIELDS(hook_rows), .size = sizeof(struct config_hook) };

static const struct word auth_type_words[] = { { "key", 0 }, { "login", 0 }, { 0 } };
static const struct word sign_in_words[] = {
	{ "az", 0 },
	{ "client-secret", 0 },
	{ "client-certificate", 0 },
	{ "workload-identity", 0 },
	{ "managed-identity", 0 },
	{ "device-code", 0 },
	{ 0 },
};

static const struct word service_form_words[] = { { "intel", 1 }, { "amd", 2 }, { 0 } };
static const struct field service_rows[] = {
	{ "url", FIELD_TEXT, true, .offset = offsetof(struct config_ek_service, url), .max = 1024,
	  .pattern = "^https://", .form = "an https:// URL",
	  .help = "what stands in front of the key's name" },
	{ "form", FIELD_WORD, .offset = offsetof(struct config_ek_service, form),
	  .words = service_form_words, .help = "how the service names a key" },
};
static const struct fields service_fields = { FIELDS(service_rows),
					      .size = sizeof(struct config_ek_service) };

static const struct field deadline_rows[] = {
	{ "command", FIELD_INTEGER, AT(tpm_deadlines.command), .least = 1, .most = 60,
	  .fallback = "5", .help = "seconds that a TPM may take for most commands" },
	{ "activation", FIELD_INTEGER, AT(tpm_deadlines.activation), .least = 1, .most = 300,
	  .fallback = "30",
	  .help = "seconds for opening sessions, activating a credential, and reading NV" },
	{ "keyCreation", FIELD_INTEGER, AT(tpm_deadlines.key_creation), .least = 1, .most = 300,
	  .fallback = "120", .help = "seconds for making a key" },
};
static const struct fields deadline_fields = { FIELDS(deadline_rows) };

static const struct field approval_rows[] = {
	{ "needed", FIELD_INTEGER, AT(approvals.needed), .least = 0, .most = 8,
	  .help = "how many people beside the one who asks have to approve what is made" },
	{ "approvers", FIELD_PATH, true, AT(approvals.approvers), .max = 1024,
	  .help = "file with the public keys (PEM) of those whose approvals count" },
	{ "requesters", FIELD_PATH, AT(approvals.requesters), .max = 1024,
	  .help = "file with the public keys of those who may ask beside the approvers" },
	{ "stations", FIELD_PATH, AT(approvals.stations), .max = 1024,
	  .help = "file with the public keys of the stations whose bundles are sent" },
};
static const struct fields approval_fields = { FIELDS(approval_rows) };

static const struct field config_rows[] = {
	{ "modules", FIELD_MAP, AT(modules), .group = &module_fields, .max = 64,
	  .pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", .form = "letters, digits, '.', '_' and '-'",
	  .help = "PKCS#11 modules by name" },
	{ "ekCertificateServices", FIELD_MAP, AT(ek_services), .group = &service_fields, .max = 32,
	  .pattern = "^[A-Z]{2,4}$", .form = "a vendor's letters in the TCG's registry",
	  .help = "where vendors of TPMs hand out EK certificates" },
	{ "ekCertificateCache", FIELD_PATH, AT(ek_certificate_cache), .max = 1024,
	  .help = "folder for EK certificates that were fetched" },
	{ "hooks", FIELD_MAP, AT(hooks), .group = &hook_fields, .max = 64,
	  .pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", .form = "letters, digits, '.', '_' and '-'",
	  .help = "who is told of units and runs, by name" },
	{ "loginFile", FIELD_PATH, .is_secret = true, AT(login_file), .max = 1024,
	  .help = "default of --login-file" },
	{ "caFile", FIELD_PATH, AT(ca_file), .max = 1024, .help = "default of --ca-file" },
	{ "proxy", FIELD_TEXT, AT(proxy), .forbidden = "@",
	  .forbidden_why = "a user or a password does not belong into it; see proxyLoginFile",
	  .pattern = "^(none|http://[A-Za-z0-9.-]+:" PORT "/?)$",
	  .form = "http://HOST:PORT or none", .help = "default of --proxy" },
	{ "noProxy", FIELD_TEXT, AT(no_proxy), .max = 4096,
	  .pattern = "^[A-Za-z0-9.-]+(,[A-Za-z0-9.-]+)*$",
	  .form = "hosts and ends of hosts with commas between them",
	  .help = "default of --no-proxy" },
	{ "proxyLoginFile", FIELD_PATH, .is_secret = true, AT(proxy_login_file), .max = 1024,
	  .help = "default of --proxy-login-file" },
	{ "dpsName", FIELD_TEXT, AT(dps_name), .help = "default of --dps-name" },
	{ "resourceGroup", FIELD_TEXT, AT(resource_group), .help = "default of --resource-group" },
	{ "subscription", FIELD_TEXT, AT(subscription), .help = "default of --subscription" },
	{ "authType", FIELD_WORD_TEXT, AT(auth_type), .words = auth_type_words,
	  .help = "default of --auth-type" },
	{ "signIn", FIELD_WORD_TEXT, AT(sign_in), .words = sign_in_words,
	  .help = "default of --sign-in" },
	{ "tenant", FIELD_TEXT, AT(tenant), .help = "default of --tenant" },
	{ "clientId", FIELD_TEXT, AT(client_id), .help = "default of --client-id" },
	{ "clientSecretFile", FIELD_PATH, .is_secret = true, AT(client_secret_file), .max = 1024,
	  .help = "default of --client-secret-file" },
	{ "clientCertificate", FIELD_PATH, .is_secret = true, AT(client_certificate), .max = 1024,
	  .help = "default of --client-certificate" },
	{ "clientKey", FIELD_PATH, .is_secret = true, AT(client_key), .max = 1024,
	  .help = "default of --client-key" },
	{ "federatedTokenFile", FIELD_PATH, .is_secret = true, AT(federated_token_file),
	  .max = 1024, .help = "default of --federated-token-file" },
	{ "tokenCache", FIELD_PATH, AT(token_cache), .max = 1024,
	  .help = "default of --token-cache" },
	{ "authorityHost", FIELD_TEXT, AT(authority_host), .help = "default of --authority-host" },
	{ "managementEndpoint", FIELD_TEXT, AT(management_endpoint),
	  .help = "default of --management-endpoint" },
	{ "metadataEndpoint", FIELD_TEXT, AT(metadata_endpoint),
	  .help = "default of --metadata-endpoint" },
	{ "dpsSuffix", FIELD_TEXT, AT(dps_suffix), .help = "default of --dps-suffix" },
	{ "dpsResource", FIELD_TEXT, AT(dps_resource), .help = "default of --dps-resource" },
	{ "rate", FIELD_TEXT, AT(rate), .is_number_too = true, .pattern = "^" RATE "$",
	  .form = "a number of operations per minute, or N/SECONDS", .help = "default of --rate" },
	{ "patience", FIELD_TEXT, AT(patience), .is_number_too = true,
	  .pattern = "^(" PATIENCE_SECONDS "|" PATIENCE_MINUTES "|" PATIENCE_HOURS ")$",
	  .form = "a time of at most 30 days, as 90s, 30m or 8h", .help = "default of --patience" },
	{ "idScope", FIELD_TEXT, AT(id_scope), .max = 64, .pattern = "^[A-Za-z0-9]+$",
	  .form = "letters and digits", .help = "default of --id-scope" },
	{ "journal", FIELD_PATH, AT(journal), .max = 1024, .help = "default of --journal" },
	{ "out", FIELD_PATH, AT(out), .max = 1024, .help = "default of --out" },
	{ "operator", FIELD_TEXT, AT(operator_name), .help = "default of --operator" },
	{ "tpmNetwork", FIELD_BOOL, AT(tpm_network), .fallback = "false",
	  .help = "whether a TPM may be one that is reached over TCP" },
	{ "approvals", FIELD_GROUP, .group = &approval_fields, .help = "whose approval is needed" },
	{ "tpmDeadlines", FIELD_GROUP, .group = &deadline_fields,
	  .help = "how long a TPM may take" },
};
static const struct fields config_fields = { FIELDS(config_rows) };

/* -- Reading --------------------------------------------------------------------------------------------------- */

static bool remember_path(struct config *config, const char *path, struct muster_error *err)
{
	char **items = reallocarray(config->paths.items, config->paths.count + 1, sizeof(char *));

	if (!items)
		return muster_fail_memory(err);
	config->paths.items = items;
	items[config->paths.count] = strdup(path);
	if (!items[config->paths.count])
		return muster_fail_memory(err);
	config->paths.count++;
	return true;
}

/* -- Where a setting came from --------------------------------------------------------------------------------- */

struct config_origin {
	char *key;
	size_t path; /* index */
};

static bool remember_key(struct config *config, const char *group, const char *name,
			 struct muster_error *err)
{
	struct config_origin *origins =
		reallocarray(config->origins, config->origin_count + 1, sizeof(*origins));
	char *key;

	if (!origins)
		return muster_fail_memory(err);
	config->origins = origins;
	key = group ? text_format("%s.%s", group, name) : strdup(name);
	if (!key)
		return muster_fail_memory(err);
	origins[config->origin_count++] = (struct config_origin){ key, config->paths.count };
	return true;
}

/* Of a mapping's own members, too. The file is about to become the last of the paths. */
static bool remember_keys(struct config *config, const struct yaml_node *root,
			  struct muster_error *err)
{
	for (size_t i = 0; root && root->kind == YAML_MAP && i < root->count; i++) {
		const struct yaml_pair *pair = &root->pairs[i];
		const struct yaml_node *value = pair->value;

		if (!remember_key(config, NULL, pair->key, err))
			return false;
		for (size_t k = 0; value && value->kind == YAML_MAP && k < value->count; k++)
			if (!remember_key(config, pair->key, value->pairs[k].key, err))
				return false;
	}
	return true;
}

/* NULL when no file set it. */
static const char *origin_of(const struct config *config, const char *key)
{
	const char *path = NULL;

	for (size_t i = 0; i < config->origin_count; i++)
		if (strcmp(config->origins[i].key, key) == 0)
			path = config->paths.items[config->origins[i].path];
	return path;
}

const char *config_text(const struct config *config, const char *key, const char **ret_path)
{
	const char *value = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(config_rows); i++) {
		const struct field *row = &config_rows[i];

		if (strcmp(row->name, key) == 0 && row->kind != FIELD_MAP)
			value = *(char *const *)(const void *)((const char *)config + row->offset);
	}
	if (ret_path)
		*ret_path = origin_of(config, key);
	return value;
}

static const struct field *find_row(const struct fields *fields, const char *key)
{
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *row = &fields->rows[i];
		size_t length = strlen(row->name);

		if (strcmp(row->name, key) == 0)
			return row;
		if (row->kind == FIELD_GROUP && strncmp(row->name, key, length) == 0 &&
		    key[length] == '.')
			return find_row(row->group, key + length + 1);
	}
	return NULL;
}

const char *config_setting(const struct config *config, const char *key,
			   char room[CONFIG_NUMBER_SIZE], const char **ret_path)
{
	const struct field *row = find_row(&config_fields, key);
	const void *place;

	*ret_path = origin_of(config, key);
	if (!row || !*ret_path)
		return row ? row->fallback : NULL;
	place = (const char *)config + row->offset;
	switch (row->kind) {
	case FIELD_BOOL:
		return *(const bool *)place ? "true" : "false";
	case FIELD_INTEGER:
		snprintf(room, CONFIG_NUMBER_SIZE, "%lld", (long long)*(const int64_t *)place);
		return room;
	case FIELD_TEXT:
	case FIELD_PATH:
	case FIELD_WORD_TEXT:
		return *(const char *const *)place;
	default:
		return NULL;
	}
}

const char *config_key(char out[CONFIG_KEY_SIZE], const char *option)
{
	size_t used = 0;

	for (const char *c = option; *c && used + 1 < CONFIG_KEY_SIZE; c++) {
		if (*c != '-')
			out[used++] = c > option && c[-1] == '-' ? (char)(*c - 'a' + 'A') : *c;
	}
	out[used] = 0;
	return out;
}

/* -- A file ---------------------------------------------------------------------------------------------------- */

/* What an earlier file demands is not for a later one to change. */
static void check_approvals(struct source *source, const struct config *config,
			    const struct yaml_node *root)
{
	const struct yaml_pair *pair = yaml_get(root, "approvals");

	if (pair && config->approvals.approvers)
		mistake_add(source, CAUSE_APPROVALS_FIXED, pair->span,
			    "approvals are set in %s already", SYSTEM_CONFIG);
}

bool config_load_file(const char *path, struct config *config, struct profile_report *report,
		      struct muster_error *err)
{
	CLEANUP(bytes_done) struct bytes bytes = { 0 };
	CLEANUP(yaml_node_freep) struct yaml_node *root = NULL;
	struct source source;

	if (!file_read_trusted(path, CONFIG_SIZE_MAX, &bytes, err))
		return false;
	if (!source_open(&source, path, bytes.data ? (const char *)bytes.data : "", bytes.size,
			 report, err) ||
	    !yaml_parse(&source, &root, err))
		return false;
	if (root && root->kind == YAML_MAP) {
		check_approvals(&source, config, root);
		fields_read(&source, &config_fields, root, config);
	} else if (root && yaml_type_of(root) != YAML_NULL)
		fields_refuse_root(&source, root, "a configuration");
	return source_close(&source, err) && remember_keys(config, root, err) &&
	       remember_path(config, path, err);
}

static bool load_if_there(const char *path, struct config *config, struct profile_report *report,
			  struct muster_error *err)
{
	if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
		return true;
	return config_load_file(path, config, report, err);
}

static bool load_system(struct config *config, struct profile_report *report,
			struct muster_error *err)
{
	if (!load_if_there(SYSTEM_CONFIG, config, report, err))
		return false;
	config->approvals.are_systems = config->approvals.approvers != NULL;
	return true;
}

/* $XDG_CONFIG_HOME/muster/muster.yaml or the same under ~/.config; NULL when there is no home. */
static char *find_user_config(void)
{
	const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (base && base[0] == '/')
		return text_format("%s/muster/muster.yaml", base);
	if (home && home[0] == '/')
		return text_format("%s/.config/muster/muster.yaml", home);
	return NULL;
}

/* A file that is named instead of the system's and the user's still cannot do without these. */
static bool load_system_approvals(struct config *config, struct profile_report *report,
				  struct muster_error *err)
{
	CLEANUP(config_done) struct config system = { 0 };

	if (!load_system(&system, report, err))
		return false;
	if (!system.approvals.approvers)
		return true;
	for (size_t i = 0; i < system.origin_count; i++)
		if (text_has_prefix(system.origins[i].key, "approvals.") &&
		    !remember_key(config, NULL, system.origins[i].key, err))
			return false;
	config->approvals = system.approvals;
	system.approvals = (struct config_approvals){ 0 };
	return remember_path(config, SYSTEM_CONFIG, err);
}

bool config_load(struct config *ret_config, struct profile_report *report, struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(freep) char *user = find_user_config();
	const char *only = getenv("MUSTER_CONFIG");

	if (only && *only) {
		if (!load_system_approvals(&config, report, err) ||
		    !config_load_file(only, &config, report, err))
			return false;
	} else if (!load_system(&config, report, err) ||
		   (user && !load_if_there(user, &config, report, err))) {
		return false;
	}
	*ret_config = config;
	config = (struct config){ 0 };
	return true;
}

void config_done(struct config *config)
{
	fields_free(&config_fields, config);
	for (size_t i = 0; i < config->paths.count; i++)
		free(config->paths.items[i]);
	free(config->paths.items);
	for (size_t i = 0; i < config->origin_count; i++)
		free(config->origins[i].key);
	free(config->origins);
	*config = (struct config){ 0 };
}

/* -- Modules ------------------------------------------------------------------------------------------------------ */

const struct config_module *config_module_find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->module_count; i++) {
		if (strcmp(config->modules[i].name, name) == 0)
			return &config->modules[i];
	}
	return NULL;
}

/* Adds "NAME=value" to the texts, of a bare name the value that we were started with; one that there is not adds nothing. */
static bool add_variable(const struct config_module *module, const char *item, struct text *texts)
{
	bool is_bare = !strchr(item, '=');
	const char *value = is_bare ? process_variable_given(item) : NULL;

	if (is_bare && !value) {
		log_warning(
			"module '%s' is to get the variable '%s', which muster was started without",
			PRINTABLE(module->name), PRINTABLE(item));
		return false;
	}
	text_addf(texts, "%s%s%s", item, value ? "=" : "", value ? value : "");
	text_add_bytes(texts, "", 1);
	return true;
}

bool config_module_environment(const struct config_module *module, char ***ret_environment,
			       struct muster_error *err)
{
	CLEANUP(text_done) struct text texts = TEXT_MAX(256 * 1024);
	size_t count = 0, pointers;
	char **environment, *at;

	for (size_t i = 0; i < module->environment.count; i++)
		count += add_variable(module, module->environment.items[i], &texts);
	if (!text_ok(&texts, err))
		return false;
	pointers = (count + 1) * sizeof(char *);
	environment = malloc(pointers + texts.length + 1);
	if (!environment)
		return muster_fail_memory(err);
	at = (char *)environment + pointers;
	if (texts.length > 0)
		memcpy(at, texts.data, texts.length);
	for (size_t i = 0; i < count; i++, at += strlen(at) + 1)
		environment[i] = at;
	environment[count] = NULL;
	*ret_environment = environment;
	return true;
}
