#include "muster/emulator.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muster/clock.h"
#include "muster/encoding.h"
#include "muster/file.h"
#include "muster/json.h"

#include "background.h"
#include "device-code.h"
#include "emulator-internal.h"
#include "server-certificate.h"
#include "server.h"
#include "spec.h"

/* Names it always answers to. The service's own host is added by --name. */
static const char *const own_names[] = { "localhost", "127.0.0.1", "::1" };
#define DEFAULT_HUB "hub.azure-devices.net"

/* The running whole: what handlers see, and what only starting and stopping know. */
struct emulator_process {
	struct emulator emulator;
	struct server *server;
	struct server *metadata; /* or NULL */
	char *state;             /* absolute */
	char *names[EMULATOR_LIST_MAX];
	struct server_certificate certificate;
};

static struct emulator_process *process_of(struct emulator *emulator)
{
	return (struct emulator_process *)emulator; /* its first member */
}

/* -- Configuration ----------------------------------------------------------------------------------------- */

static bool add_names(struct emulator_process *process, const struct emulator_config *config,
		      struct muster_error *err)
{
	struct emulator *emulator = &process->emulator;

	for (size_t i = 0; i < config->name_count; i++) {
		process->names[i] = strdup(config->names[i]);
		if (!process->names[i])
			return muster_fail_memory(err);
		text_fold(process->names[i]);
		emulator->names[emulator->name_count++] = process->names[i];
	}
	for (size_t i = 0; i < ARRAY_SIZE(own_names); i++)
		emulator->names[emulator->name_count++] = own_names[i];
	return true;
}

static bool add_hubs(struct emulator *emulator, const struct emulator_config *config,
		     struct muster_error *err)
{
	if (config->hub_count == 0) {
		emulator->hub_count = 1;
		return hub_parse(DEFAULT_HUB, &emulator->hubs[0], err);
	}
	for (size_t i = 0; i < config->hub_count; i++) {
		struct hub *hub = &emulator->hubs[emulator->hub_count];
		if (!hub_parse(config->hubs[i], hub, err))
			return false;
		if (hub_find(emulator->hubs, emulator->hub_count, hub->host))
			return muster_fail(err, CAUSE_USAGE, "--hub '%s': is given twice",
					   hub->host);
		emulator->hub_count++;
	}
	return true;
}

static bool add_listed_one(struct emulator *emulator, const char *spec, struct muster_error *err)
{
	struct listed *listed = &emulator->listed[emulator->listed_count];
	struct spec_part name, group = { .value = "bench" };
	const char *rest = spec;

	if (!spec_next(&rest, &name) || name.has_value || !id_is_valid(name.name) ||
	    (*rest && (!spec_next(&rest, &group) || strcmp(group.name, "group") != 0)) || *rest ||
	    !id_is_valid(group.value))
		return muster_fail(err, CAUSE_USAGE, "--instance '%s': is not NAME[:group=GROUP]",
				   PRINTABLE(spec));
	(void)snprintf(listed->name, sizeof(listed->name), "%s", name.name);
	(void)snprintf(listed->group, sizeof(listed->group), "%.63s", group.value);
	emulator->listed_count++;
	return true;
}

static bool add_listed(struct emulator *emulator, const struct emulator_config *config,
		       struct muster_error *err)
{
	emulator->page_size = config->page_size;
	if (config->listed_count == 0)
		return add_listed_one(emulator, "emulator", err);
	for (size_t i = 0; i < config->listed_count; i++)
		if (!add_listed_one(emulator, config->listed[i], err))
			return false;
	return true;
}

static bool add_throttles(struct emulator *emulator, const struct emulator_config *config,
			  struct muster_error *err)
{
	for (; emulator->throttle_count < config->throttle_count; emulator->throttle_count++)
		if (!throttle_parse(config->throttles[emulator->throttle_count],
				    &emulator->throttles[emulator->throttle_count], err))
			return false;
	return true;
}

static bool add_faults(struct emulator *emulator, const struct emulator_config *config,
		       struct muster_error *err)
{
	for (; emulator->fault_count < config->fault_count; emulator->fault_count++)
		if (!fault_parse(config->faults[emulator->fault_count],
				 &emulator->faults[emulator->fault_count], err))
			return false;
	return true;
}

static bool set_allocation(struct emulator *emulator, const char *word, struct muster_error *err)
{
	for (size_t i = 0; i < ALLOCATION_CUSTOM; i++) {
		if (!word || text_equal_folded(allocation_names[i], word)) {
			emulator->allocation = (enum allocation_policy)i;
			return true;
		}
	}
	return muster_fail(err, CAUSE_USAGE,
			   "--allocation '%s': is not hashed, geoLatency or static",
			   PRINTABLE(word));
}

static bool configure(struct emulator_process *process, const struct emulator_config *config,
		      struct muster_error *err)
{
	struct emulator *emulator = &process->emulator;

	emulator->poll_delay_ms = config->poll_delay_ms;
	emulator->clock_offset_ms = config->clock_offset_s * 1000;
	emulator->any_certificate_date = config->any_certificate_date;
	emulator->webhook_scale_percent = config->webhook_scale_percent;
	emulator->webhook_ca_file = config->webhook_ca_file;
	emulator->code_interval_s = config->code_interval_s;
	guid_new(emulator->run);
	return add_names(process, config, err) && add_hubs(emulator, config, err) &&
	       add_listed(emulator, config, err) && add_throttles(emulator, config, err) &&
	       add_faults(emulator, config, err) &&
	       set_allocation(emulator, config->allocation, err);
}

/* -- Start ------------------------------------------------------------------------------------------------- */

static bool open_directory(struct emulator_process *process, const char *state,
			   struct muster_error *err)
{
	if (!directory_make(state, err))
		return false;
	process->state = realpath(state, NULL);
	return process->state ||
	       muster_fail(err, CAUSE_EMULATOR_STATE, "'%s' cannot be resolved", PRINTABLE(state));
}

static bool open_state(struct emulator_process *process, const struct emulator_config *config,
		       struct muster_error *err)
{
	struct emulator *emulator = &process->emulator;

	if (!open_directory(process, config->state, err))
		return false;
	CLEANUP(freep) char *store = text_format("%s/store.db", process->state);
	CLEANUP(freep) char *instance = text_format("%s/instance.json", process->state);
	if (!store || !instance)
		return muster_fail_memory(err);
	/* The store's lock comes first: it keeps a second emulator from everything else here. */
	return store_open(store, &emulator->store, err) &&
	       instance_open(instance, config->policies, config->policy_count, &emulator->instance,
			     err) &&
	       (config->application_count == 0 ||
		authority_open(process->state, config->applications, config->application_count,
			       config->token_life_s, &emulator->authority, err)) &&
	       (!config->ledger ||
		ledger_open(config->ledger, config->ledger_bodies, &emulator->ledger, err)) &&
	       server_certificate_open(process->state, emulator->names, emulator->name_count,
				       clock_wall_ms(), &process->certificate, err);
}

static bool start_metadata(struct emulator_process *process, const struct emulator_config *config,
			   struct muster_error *err)
{
	const struct server_config server = {
		.emulator = &process->emulator,
		.address = "127.0.0.1",
		.port = (uint16_t)config->metadata_port,
	};

	return config->metadata_port < 0 || server_start(&server, &process->metadata, err);
}

static bool start_server(struct emulator_process *process, const struct emulator_config *config,
			 struct muster_error *err)
{
	struct emulator *emulator = &process->emulator;
	const struct server_config server = {
		.emulator = emulator,
		.address = config->address ? config->address : "127.0.0.1",
		.port = config->port,
		.certificate_pem = process->certificate.pem,
		.key_pem = (const char *)process->certificate.key_pem.data,
	};

	emulator->background = background_new();
	emulator->sas_cache = sas_cache_new();
	if (!emulator->background || !emulator->sas_cache)
		return muster_fail_memory(err);
	return start_metadata(process, config, err) && server_start(&server, &process->server, err);
}

bool emulator_start(const struct emulator_config *config, struct emulator **ret_emulator,
		    struct muster_error *err)
{
	struct emulator_process *process = calloc(1, sizeof(*process));

	if (!process)
		return muster_fail_memory(err);
	pthread_mutex_init(&process->emulator.lock, NULL);
	if (!configure(process, config, err) || !open_state(process, config, err) ||
	    !start_server(process, config, err)) {
		emulator_stop(&process->emulator);
		return false;
	}
	*ret_emulator = &process->emulator;
	return true;
}

void emulator_stop(struct emulator *emulator)
{
	if (!emulator)
		return;
	struct emulator_process *process = process_of(emulator);
	server_stop(process->server);
	server_stop(process->metadata);
	background_free(emulator->background);
	sas_cache_free(emulator->sas_cache);
	device_codes_free(emulator->codes);
	authority_close(emulator->authority);
	ledger_close(emulator->ledger);
	store_close(emulator->store);
	for (size_t i = 0; i < emulator->throttle_count; i++)
		throttle_done(&emulator->throttles[i]);
	for (size_t i = 0; i < ARRAY_SIZE(process->names); i++)
		free(process->names[i]);
	server_certificate_done(&process->certificate);
	pthread_mutex_destroy(&emulator->lock);
	free(process->state);
	free(process);
}

/* -- The ready line ---------------------------------------------------------------------------------------- */

/* That of the default policy; the other policies' keys are in the state directory. */
static char *connection_string(const struct emulator *emulator, uint16_t port)
{
	const struct policy *policy = instance_policy(&emulator->instance, DEFAULT_POLICY);
	CLEANUP(freep) char *key = policy ? base64_encode(policy->keys[0], POLICY_KEY_SIZE) : NULL;

	if (!key)
		return NULL;
	return text_format("HostName=%s:%u;SharedAccessKeyName=%s;SharedAccessKey=%s",
			   emulator->names[0], port, policy->name, key);
}

static bool describe_authority(const struct emulator_process *process, cJSON *object)
{
	CLEANUP(freep) char *url = NULL;

	if (!object || !authority_describe(process->emulator.authority, object))
		return false;
	if (!process->metadata)
		return true;
	url = text_format("http://localhost:%u", server_port(process->metadata));
	return url && json_add_text(object, "metadataUrl", url);
}

char *emulator_ready_line(const struct emulator *emulator)
{
	const struct emulator_process *process = (const struct emulator_process *)emulator;
	uint16_t port = server_port(process->server);
	CLEANUP(cJSON_freep) cJSON *line = cJSON_CreateObject();
	CLEANUP(freep) char *url = text_format("https://localhost:%u", port);
	CLEANUP(freep) char *login = connection_string(emulator, port);

	bool is_good = line && url && login && json_add_text(line, "url", url) &&
		       json_add_text(line, "connectionString", login) &&
		       json_add_text(line, "idScope", emulator->instance.id_scope) &&
		       json_add_text(line, "caFile", process->certificate.ca_file);
	cJSON *hubs = is_good ? cJSON_AddArrayToObject(line, "hubs") : NULL;
	for (size_t i = 0; hubs && i < emulator->hub_count; i++)
		is_good = cJSON_AddItemToArray(hubs, cJSON_CreateString(emulator->hubs[i].host)) &&
			  is_good;
	if (is_good && emulator->authority)
		is_good = describe_authority(process, cJSON_AddObjectToObject(line, "authority"));
	return is_good && hubs ? json_print_line(line) : NULL;
}
