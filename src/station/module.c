/* Which PKCS#11 module a URI means, and the variables that its worker alone gets. */
#include "module.h"

#include <dirent.h>
#include <errno.h>
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
	free(module->name);
	free(module->path);
	free(module->arguments);
	free(module->environment);
	*module = (struct station_module){ 0 };
}

/* -- p11-kit's configuration files ------------------------------------------------------------------------ */

/* The value of "KEY:" in NAME.module; NULL when there is none. */
static char *read_module_line(const char *directory, const char *name, const char *key)
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
		if (!text_has_prefix(line, key) || line[strlen(key)] != ':')
			continue;
		line += strlen(key) + 1;
		line += strspn(line, " \t");
		for (char *end = line + strlen(line); end > line && strchr(" \t", end[-1]);)
			*--end = 0;
		return strdup(line);
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

static char *find_by_name(const char *name, char **ret_arguments)
{
	CLEANUP(freep) char *file = NULL;

	if (strchr(name, '/'))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(p11_kit_directories) && !file; i++) {
		file = read_module_line(p11_kit_directories[i], name, "module");
		if (file)
			*ret_arguments =
				read_module_line(p11_kit_directories[i], name, "x-init-reserved");
	}
	if (!file)
		file = text_format("lib%s.so", name);
	return file ? resolve_file(file) : NULL;
}

/* -- Environment ---------------------------------------------------------------------------------------------- */

/* From where muster stands, which the worker has left. NULL: as it is. */
static char *path_of(const char *value)
{
	return *value != '/' && access(value, F_OK) == 0 ? file_absolute(value) : NULL;
}

/* One allocation, as config_module_environment makes it. */
static bool known_environment(const char *path, char ***ret_environment, struct muster_error *err)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash ? slash + 1 : path;

	for (size_t i = 0; i < ARRAY_SIZE(known_variables); i++) {
		const char *said = getenv(known_variables[i].variable);
		CLEANUP(freep) char *absolute = said ? path_of(said) : NULL;
		const char *value = absolute ? absolute : said;
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

/* Fills the rest of a module whose path is known, and with it name and arguments when it is not a configured one. */
static bool complete(struct station_module *module, const struct config_module *configured,
		     struct muster_error *err)
{
	if (access(module->path, R_OK) < 0)
		return muster_fail(err, CAUSE_MODULE_UNUSABLE, "there is no PKCS#11 module '%s'",
				   PRINTABLE(module->path));
	if (!file_check_trusted(module->path, err))
		return false;
	if (!configured)
		return known_environment(module->path, &module->environment, err);
	free(module->name);
	free(module->arguments);
	module->arguments = NULL;
	module->name = strdup(configured->name);
	if (!module->name || (configured->init_arguments &&
			      !(module->arguments = strdup(configured->init_arguments))))
		return muster_fail_memory(err);
	return config_module_environment(configured, &module->environment, err);
}

/* *ret_configured is the configured module, or NULL; the path is set in either case. */
static bool choose(const struct token_uri *uri, const struct config *config,
		   const struct config_module **ret_configured, struct station_module *module,
		   struct muster_error *err)
{
	*ret_configured = NULL;
	if (uri->module_path) {
		*ret_configured = find_by_path(config, uri->module_path);
		module->path = strdup(uri->module_path);
	} else if (uri->module_name) {
		*ret_configured = config_module_find(config, uri->module_name);
		module->name = strdup(uri->module_name);
		module->path = *ret_configured ? strdup((*ret_configured)->path)
					       : find_by_name(uri->module_name, &module->arguments);
		if (!module->path)
			return muster_fail(err, CAUSE_MODULE_UNUSABLE,
					   "no PKCS#11 module is configured under the name '%s'",
					   PRINTABLE(uri->module_name));
	} else if (config->module_count == 1) {
		*ret_configured = &config->modules[0];
		module->path = strdup(config->modules[0].path);
	} else {
		return muster_fail(
			err, CAUSE_MODULE_UNUSABLE,
			"the URI has no module-path or module-name, and %zu modules are configured",
			config->module_count);
	}
	return module->path || muster_fail_memory(err);
}

bool module_is_same(const struct station_module *a, const struct station_module *b)
{
	CLEANUP(freep) char *path = realpath(a->path, NULL);
	CLEANUP(freep) char *other = realpath(b->path, NULL);

	return strcmp(path ? path : a->path, other ? other : b->path) == 0;
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
	    !choose(&uri, &config, &configured, &module, err) ||
	    !complete(&module, configured, err))
		return false;
	module.sessions = configured ? configured->sessions : 0;
	*ret_module = module;
	module = (struct station_module){ 0 };
	return true;
}

bool station_module_by_path(const char *path, struct station_module *ret_module,
			    struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(station_module_done)
	struct station_module module = { .path = realpath(path, NULL) };
	const struct config_module *configured;

	if (!module.path)
		return muster_fail_errno(err, CAUSE_MODULE_UNUSABLE, errno,
					 "looking for the PKCS#11 module '%s'", PRINTABLE(path));
	if (!config_load(&config, &report, err))
		return false;
	configured = find_by_path(&config, path);
	if (!configured)
		configured = find_by_path(&config, module.path);
	if (!complete(&module, configured, err))
		return false;
	*ret_module = module;
	module = (struct station_module){ 0 };
	return true;
}

/* -- Every module ------------------------------------------------------------------------------------------------ */

void module_list_done(struct module_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		station_module_done(&list->modules[i].module);
	free(list->modules);
	*list = (struct module_list){ 0 };
}

/* One library may be configured under several names and paths. */
static bool is_listed(const struct module_list *list, const char *path)
{
	CLEANUP(freep) char *real = realpath(path, NULL);

	for (size_t i = 0; i < list->count; i++) {
		CLEANUP(freep) char *other = realpath(list->modules[i].module.path, NULL);

		if (strcmp(other ? other : list->modules[i].module.path, real ? real : path) == 0)
			return true;
	}
	return false;
}

/* Takes the module over. One that cannot be completed is listed with the reason. */
static bool add(struct module_list *list, struct station_module *module,
		const struct config_module *configured, struct muster_error *err)
{
	struct listed_module *all =
		reallocarray(list->modules, list->count + 1, sizeof(*list->modules));

	if (!all)
		return muster_fail_memory(err);
	list->modules = all;
	all[list->count] = (struct listed_module){ 0 };
	if (!complete(module, configured, &all[list->count].problem) &&
	    all[list->count].problem.cause == CAUSE_MEMORY)
		return muster_fail_memory(err);
	all[list->count++].module = *module;
	*module = (struct station_module){ 0 };
	return true;
}

static bool add_configured(struct module_list *list, const struct config_module *configured,
			   struct muster_error *err)
{
	CLEANUP(station_module_done)
	struct station_module module = { .name = strdup(configured->name),
					 .path = strdup(configured->path) };

	return module.name && module.path ? add(list, &module, configured, err)
					  : muster_fail_memory(err);
}

/* p11-kit lets a configured module be missing, and so do we. */
static bool add_named(struct module_list *list, const char *name, struct muster_error *err)
{
	CLEANUP(station_module_done) struct station_module module = { .name = strdup(name) };

	if (!module.name)
		return muster_fail_memory(err);
	module.path = find_by_name(name, &module.arguments);
	if (!module.path || access(module.path, R_OK) < 0 || is_listed(list, module.path))
		return true;
	return add(list, &module, NULL, err);
}

static bool add_directory(struct module_list *list, const char *directory, struct muster_error *err)
{
	struct dirent **items = NULL;
	int count = scandir(directory, &items, NULL, alphasort);
	bool good = true;

	for (int i = 0; i < count; i++) {
		CLEANUP(freep) char *name = strdup(items[i]->d_name);
		char *end = name ? strrchr(name, '.') : NULL;

		free(items[i]);
		if (!good || !end || strcmp(end, ".module") != 0)
			continue;
		*end = 0;
		good = add_named(list, name, err);
	}
	free(items);
	return good;
}

bool module_list_configured(struct module_list *ret_list, struct muster_error *err)
{
	CLEANUP(config_done) struct config config = { 0 };
	CLEANUP(profile_report_done) struct profile_report report = { 0 };
	CLEANUP(module_list_done) struct module_list list = { 0 };

	if (!config_load(&config, &report, err))
		return false;
	for (size_t i = 0; i < config.module_count; i++)
		if (!add_configured(&list, &config.modules[i], err))
			return false;
	*ret_list = list;
	list = (struct module_list){ 0 };
	return true;
}

bool module_list_read(struct module_list *ret_list, struct muster_error *err)
{
	CLEANUP(module_list_done) struct module_list list = { 0 };

	if (!module_list_configured(&list, err))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(p11_kit_directories); i++)
		if (!add_directory(&list, p11_kit_directories[i], err))
			return false;
	*ret_list = list;
	list = (struct module_list){ 0 };
	return true;
}
