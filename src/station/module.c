/* Which PKCS#11 module a URI means, and the variables that its worker alone gets. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "muster/config.h"
#include "muster/file.h"
#include "muster/station.h"
#include "muster/token-uri.h"

enum { MODULE_FILE_MAX = 16 * 1024 };

/* Variables that well-known modules find their configuration by. */
static const struct {
	const char *file; /* the module's file name */
	const char *variable;
} known_variables[] = {
	{ "libsofthsm2.so", "SOFTHSM2_CONF" },
};

static const char *const p11_kit_directories[] = {
	"/etc/pkcs11/modules",
	"/usr/share/p11-kit/modules",
};

static const char *const module_directories[] = {
	MUSTER_PKCS11_DIR,
	"/usr/lib/pkcs11",
	"/usr/lib/softhsm",
};

void station_module_done(struct station_module *module)
{
	free(module->path);
	free(module->environment);
	*module = (struct station_module){ 0 };
}

/* -- p11-kit's configuration files ------------------------------------------------------------------------ */

/* The value of "module:" in NAME.module; NULL when there is none. */
static char *read_module_line(const char *directory, const char *name)
{
	CLEANUP(freep) char *path = text_format("%s/%s.module", directory, name);
	CLEANUP(bytes_done) struct bytes content = { 0 };
	struct muster_error ignored;
	char *line, *rest;

	if (!path || !file_read(path, MODULE_FILE_MAX, &content, &ignored))
		return NULL;
	for (line = strtok_r((char *)content.data, "\r\n", &rest); line;
	     line = strtok_r(NULL, "\r\n", &rest)) {
		line += strspn(line, " \t");
		if (!text_has_prefix(line, "module:"))
			continue;
		line += strlen("module:");
		line += strspn(line, " \t");
		return strndup(line, strcspn(line, " \t"));
	}
	return NULL;
}

static char *resolve_file(const char *file)
{
	if (*file == '/')
		return strdup(file);
	for (size_t i = 0; i < ARRAY_SIZE(module_directories); i++) {
		CLEANUP(freep) char *path = text_format("%s/%s", module_directories[i], file);

		if (path && access(path, R_OK) == 0)
			return TAKE_PTR(path);
	}
	return NULL;
}

static char *find_by_name(const char *name)
{
	CLEANUP(freep) char *file = NULL;

	if (strchr(name, '/'))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(p11_kit_directories) && !file; i++)
		file = read_module_line(p11_kit_directories[i], name);
	if (!file)
		file = text_format("lib%s.so", name);
	return file ? resolve_file(file) : NULL;
}

/* -- Environment ---------------------------------------------------------------------------------------------- */

/* One allocation, as config_module_environment makes it. */
static bool known_environment(const char *path, char ***ret_environment, struct muster_error *err)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash ? slash + 1 : path;

	for (size_t i = 0; i < ARRAY_SIZE(known_variables); i++) {
		const char *value = getenv(known_variables[i].variable);
		size_t size;
		char **list;

		if (strcmp(file, known_variables[i].file) != 0 || !value)
			continue;
		size = strlen(known_variables[i].variable) + strlen(value) + 2;
		list = malloc(2 * sizeof(char *) + size);
		if (!list)
			return muster_fail_memory(err);
		list[0] = (char *)(list + 2);
		list[1] = NULL;
		snprintf(list[0], size, "%s=%s", known_variables[i].variable, value);
		*ret_environment = list;
		return true;
	}
	*ret_environment = NULL;
	return true;
}

static const struct config_module *find_by_path(const struct config *config, const char *path)
{
	for (size_t i = 0; i < config->module_count; i++)
		if (strcmp(config->modules[i].path, path) == 0)
			return &config->modules[i];
	return NULL;
}

/* -- All of it -------------------------------------------------------------------------------------------------- */

/* The configured module, or NULL with *ret_path set. */
static bool choose(const struct token_uri *uri, const struct config *config,
		   const struct config_module **ret_module, char **ret_path,
		   struct muster_error *err)
{
	*ret_module = NULL;
	if (uri->module_path) {
		*ret_module = find_by_path(config, uri->module_path);
		*ret_path = strdup(uri->module_path);
	} else if (uri->module_name) {
		*ret_module = config_module_find(config, uri->module_name);
		*ret_path =
			*ret_module ? strdup((*ret_module)->path) : find_by_name(uri->module_name);
		if (!*ret_path)
			return muster_fail(err, CAUSE_MODULE_UNUSABLE,
					   "no PKCS#11 module is configured under the name '%s'",
					   PRINTABLE(uri->module_name));
	} else if (config->module_count == 1) {
		*ret_module = &config->modules[0];
		*ret_path = strdup(config->modules[0].path);
	} else {
		return muster_fail(
			err, CAUSE_MODULE_UNUSABLE,
			"the URI has no module-path or module-name, and %zu modules are configured",
			config->module_count);
	}
	return *ret_path || muster_fail_memory(err);
}

bool station_module_find(const char *token_uri, struct station_module *ret_module,
			 struct muster_error *err)
{
	CLEANUP(token_uri_done) struct token_uri uri = { 0 };
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(station_module_done) struct station_module module = { 0 };
	const struct config_module *configured;

	if (!token_uri_parse(token_uri, &uri, err) || !config_load(&config, &report, err) ||
	    !choose(&uri, &config, &configured, &module.path, err))
		return false;
	if (access(module.path, R_OK) < 0)
		return muster_fail(err, CAUSE_MODULE_UNUSABLE, "there is no PKCS#11 module '%s'",
				   PRINTABLE(module.path));
	if (!file_check_trusted(module.path, err))
		return false;
	if (configured ? !config_module_environment(configured, &module.environment, err)
		       : !known_environment(module.path, &module.environment, err))
		return false;
	module.sessions = configured ? configured->sessions : 0;
	*ret_module = module;
	module = (struct station_module){ 0 };
	return true;
}
