/* The station's own settings: PKCS#11 modules by name, and defaults for options. Read with the profiles' table
 * machinery. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "muster/cleanup.h"
#include "muster/error.h"
#include "muster/profile.h"

struct config_module {
	char *name;
	char *path; /* of the shared object, absolute */
	/* "NAME=value", or "NAME" to hand our own value on, if process_harden() has let it stay. */
	struct profile_list environment;
	int64_t sessions;     /* with a token at a time; 0: not said */
	char *init_arguments; /* for C_Initialize, as some modules want it */
};

/* Where a vendor of TPMs hands out EK certificates. */
struct config_ek_service {
	char *name; /* the vendor's in the TCG's registry: "INTC" */
	char *url;
	int form; /* 0: the vendor's, if known; else that of enum ek_service_form, plus one */
};

/* Exactly one of command, webhook and folder. */
struct config_hook {
	char *name;
	struct profile_list on;      /* "unit-start", "unit-done", "batch-done" */
	struct profile_list command; /* program and arguments */
	char *webhook;               /* https:// */
	char *secret_file;           /* base64; signs webhooks; or NULL */
	char *folder;
	int64_t timeout_s; /* 0: not said */
};

/* Zero-initialised is an empty configuration. Texts are NULL when not set; file names are absolute or relative to
 * the configuration's directory as resolved. All owned. */
struct config {
	struct profile_list paths;     /* the files read, in order */
	struct config_origin *origins; /* which file set which key; config_text() */
	size_t origin_count;
	struct config_module *modules;
	size_t module_count;
	struct config_ek_service *ek_services;
	size_t ek_service_count;
	char *ek_certificate_cache; /* folder; NULL: the usual one */
	struct config_hook *hooks;
	size_t hook_count;
	char *login_file;
	char *ca_file;
	char *proxy; /* "http://HOST:PORT" or "none" */
	char *no_proxy;
	char *proxy_login_file;
	char *dps_name;
	char *resource_group;
	char *subscription;
	char *auth_type;
	char *sign_in;
	char *tenant;
	char *client_id;
	char *client_secret_file;
	char *client_certificate;
	char *client_key;
	char *federated_token_file;
	char *token_cache;
	char *authority_host;
	char *management_endpoint;
	char *metadata_endpoint;
	char *dps_suffix;
	char *dps_resource;
	char *rate;     /* "1000" or "1000/60" */
	char *patience; /* "90s", "30m", "8h", or seconds */
	char *id_scope;
	char *journal;
	char *out;
	char *operator_name;
	bool tpm_network; /* TPMs may be reached over TCP */
	/* Who has to agree. An earlier file's holds: see config_load_file(). */
	struct config_approvals {
		int64_t needed;   /* so many people beside the one who asks */
		char *approvers;  /* file of the public keys that count; NULL: nothing is said */
		char *requesters; /* and of those that may ask, beside them; or NULL */
		char *stations;   /* and of those whose bundles are taken; or NULL */
		bool are_systems; /* /etc/muster/muster.yaml says so */
	} approvals;
	/* In seconds; 0: not said. */
	struct config_tpm_deadlines {
		int64_t command, activation, key_creation;
	} tpm_deadlines;
};

/* Reads $MUSTER_CONFIG alone when it is set; else /etc/muster/muster.yaml, then $XDG_CONFIG_HOME/muster/muster.yaml
 * or ~/.config/muster/muster.yaml, where the later file's settings win. Files that do not exist are passed over
 * ($MUSTER_CONFIG has to exist); files others could change are refused (CAUSE_FILE_OWNER). With mistakes:
 * CAUSE_PROFILE_INVALID and the report of that file. What /etc/muster/muster.yaml says of approvals holds in any case. */
bool config_load(struct config *ret_config, struct profile_report *report, struct muster_error *err)
	MUST_CHECK;
/* One file over what *config holds already, but for approvals: to say anything of them again is a mistake
 * (CAUSE_APPROVALS_FIXED), so that no file of a user's can lower what the system's demands. */
bool config_load_file(const char *path, struct config *config, struct profile_report *report,
		      struct muster_error *err) MUST_CHECK;
void config_done(struct config *config);

/* A setting that is a text, by its key ("loginFile"), and in *ret_path (unless NULL) the file that set it. NULL when no
 * file did or there is no such text. Borrowed. */
const char *config_text(const struct config *config, const char *key, const char **ret_path);
/* The same of a text, number or truth value, also of a group ("tpmDeadlines.command"), in words; where no file set it the
 * default. *ret_path also of a map's entry ("modules.softhsm"), which has no value of its own. */
#define CONFIG_NUMBER_SIZE 24
const char *config_setting(const struct config *config, const char *key,
			   char room[CONFIG_NUMBER_SIZE], const char **ret_path);
/* The key that belongs to an option: "login-file" -> "loginFile". Returns out. */
#define CONFIG_KEY_SIZE 64
const char *config_key(char out[CONFIG_KEY_SIZE], const char *option);

/* NULL when there is none of that name. Borrowed. */
const struct config_module *config_module_find(const struct config *config, const char *name);
/* The environment for the module's worker: NULL-terminated "NAME=value" with bare names filled in from ours (left
 * out when we have none). One allocation, free() it. */
bool config_module_environment(const struct config_module *module, char ***ret_environment,
			       struct muster_error *err) MUST_CHECK;
